"""Where the records of one kind lie: by id at once, in lists only after the index's lag."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ops.fake_zoho.lagging_index import LaggingIndex
from ops.fake_zoho.premises import Premises
from ops.fake_zoho.replies import does_not_exist


@dataclass(kw_only=True)
class Record:
    """What all records have; `writes` counts the API's, so that a test can prove one untouched."""

    created_time: datetime
    updated_time: datetime
    created_by: str
    writes: int = 0
    by_api: bool = True
    custom_values: dict[str, Any] = field(default_factory=dict)


class Shelf[Kept: Record]:
    """Keep records by their key and, where they have one, by their owner, who never changes.

    No method awaits: each is one commit.
    """

    def __init__(
        self,
        resource: str,
        premises: Premises,
        key: Callable[[Kept], str],
        owner: Callable[[Kept], str] = lambda _: "",
    ) -> None:
        self.index: LaggingIndex[Kept] = LaggingIndex(premises.switches, premises.clock)
        self._resource = resource
        self._premises = premises
        self._key = key
        self._owner = owner
        self._records: dict[str, Kept] = {}
        self._owned: dict[str, dict[str, Kept]] = {}

    def all(self) -> list[Kept]:
        """Return all records, those that the index does not show yet included."""
        return list(self._records.values())

    def of(self, owner: str) -> list[Kept]:
        return list(self._owned.get(owner, {}).values())

    def holds(self, key: str) -> bool:
        return key in self._records

    def get(self, key: str) -> Kept:
        try:
            return self._records[key]
        except KeyError:
            raise does_not_exist(self._resource) from None

    def add(self, record: Kept) -> None:
        """Keep a new record; lists show at once what was made by hand, before anything ran."""
        self._records[self._key(record)] = record
        self._owned.setdefault(self._owner(record), {})[self._key(record)] = record
        self.index.put(self._key(record), record, at_once=not record.by_api)

    def written(self, record: Kept) -> None:
        """Note that a call of the API changed this record."""
        record.writes += 1
        record.updated_time = self._premises.now()
        self.changed(record)

    def changed(self, record: Kept) -> None:
        """Let lists follow a change that no call of the API made to this very record."""
        self.index.put(self._key(record), record)

    def show_by_hand(self) -> None:
        """Let lists show at once how records stand that people made and no call has touched."""
        for key, record in self._records.items():
            if not record.by_api and not record.writes:
                self.index.put(key, record, at_once=True)

    def remove(self, key: str) -> None:
        record = self.get(key)
        del self._records[key]
        del self._owned[self._owner(record)][key]
        self.index.put(key, None)
