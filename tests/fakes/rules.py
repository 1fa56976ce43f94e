"""One entity, both its sides in memory: the engine of `sync_record` without customers or HTTP."""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from billing_sync.domain.errors import CallFailed, GoneInZoho, OutcomeUnknown, Unsendable
from billing_sync.domain.states import EntityType
from billing_sync.ports import Intent, Permit, RecordKey, StatusColumns, Write
from billing_sync.services.rules import EntityRules, Found, Remote, Source

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class FakeRules(EntityRules):
    """What is sent is one text; Zoho keeps it by id. `calls` counts what was asked of Zoho.

    `failures[method]` holds what the next calls of a method raise; `on[method]` is run as its call
    begins (another worker may do something in that very moment). `loses_answers` makes writes
    happen whose answer is lost.
    """

    entity: EntityType = EntityType.CUSTOMER
    texts: dict[str, str] = field(default_factory=dict)
    zoho: dict[str, str] = field(default_factory=dict)
    found: Found = field(default_factory=Found)
    parents_of: dict[str, tuple[RecordKey, ...]] = field(default_factory=dict)
    serial_keys: dict[str, str] = field(default_factory=dict)
    refused: Unsendable | None = None
    skip: str | None = None
    failures: dict[str, list[CallFailed]] = field(default_factory=dict)
    on: dict[str, Callable[[], object]] = field(default_factory=dict)
    is_kept_as: Callable[[str], str] = str
    loses_answers: bool = False
    repairs: bool = True
    enforces: bool = False
    taken_codes: frozenset[int] = frozenset()
    calls: Counter[str] = field(default_factory=Counter)
    _versions: dict[str, int] = field(default_factory=dict)
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(900001))

    def write(self, entity_id: str, text: str) -> None:
        """Change the row of ours."""
        self.texts[entity_id] = text
        self._versions[entity_id] = self._versions.get(entity_id, 0) + 1

    def fail(self, method: str, *failures: CallFailed) -> None:
        self.failures.setdefault(method, []).extend(failures)

    # ------------------------------------------------------------------------------ EntityRules

    def parents(self, entity_id: str) -> tuple[RecordKey, ...]:
        return self.parents_of.get(entity_id, ())

    def serial_key(self, entity_id: str) -> str | None:
        return self.serial_keys.get(entity_id)

    def read(self, entity_id: str) -> Source | None:
        if entity_id not in self.texts:
            return None
        text = self.texts[entity_id]
        version = START + timedelta(seconds=self._versions.get(entity_id, 0))
        if self.skip is not None:
            return Source(text, version, f"skip {self.skip}", skip=self.skip)
        if self.refused is not None:
            return Source(text, version, f"refused {self.refused.code}", refused=self.refused)
        return Source(
            text,
            version,
            fingerprint=f"print of {text}",
            key=f"key of {entity_id}",
            payload={"key": f"key of {entity_id}", "text": text},
            figures={"text": text},
        )

    def find(self, source: Source) -> Found:  # noqa: ARG002 - of the protocol
        self._called("find")
        return self.found

    def make_ready(self) -> None:
        self._called("make_ready")

    def send(self, write: Write, permit: Permit) -> Remote | None:  # noqa: ARG002 - of the protocol
        zoho_id = write.zoho_id or str(next(self._ids))
        try:
            self._called(write.method)
        except OutcomeUnknown:
            if self.loses_answers:
                self._keep(write, zoho_id)
            raise
        self._keep(write, zoho_id)
        return Remote(zoho_id, self.zoho[zoho_id])

    def get(self, zoho_id: str) -> Remote:
        self._called("get")
        if zoho_id not in self.zoho:
            raise GoneInZoho("not there")
        return Remote(zoho_id, self.zoho[zoho_id])

    def look_up(self, intent: Intent) -> list[Remote]:
        self._called("look_up")
        return [
            Remote(zoho_id, text)
            for zoho_id, text in self.zoho.items()
            if text.casefold() == intent.figures["text"].casefold()
        ]

    def server_enforces_key(self) -> bool:
        return self.enforces

    def is_taken(self, zoho_code: int | None) -> bool:
        return zoho_code in self.taken_codes

    def taken(self, zoho_code: int | None) -> None:
        self.enforces = self.enforces or zoho_code in self.taken_codes

    def figures_differ(self, figures: dict[str, Any], remote: Remote) -> list[str]:
        return [] if figures["text"] == remote.body else ["text"]

    def fields_differ(self, source: Source, remote: Remote) -> list[str]:
        return [] if source.payload["text"] == remote.body else ["text"]

    def repairs_by_update(self) -> bool:
        return self.repairs

    def masked_answer(self, remote: Remote) -> dict[str, Any]:
        return {"zoho_id": remote.zoho_id}

    def masked(self, write: Write) -> dict[str, Any]:
        return {"fields": sorted(write.payload)}

    def _keep(self, write: Write, zoho_id: str) -> None:
        if write.zoho_id is not None and write.zoho_id not in self.zoho:
            raise GoneInZoho("not there")
        self.zoho[zoho_id] = self.is_kept_as(write.payload["text"])

    def _called(self, method: str) -> None:
        self.calls[method] += 1
        if method in self.on:
            self.on[method]()
        if self.failures.get(method):
            raise self.failures[method].pop(0)


class FakeStatusColumns(StatusColumns):
    """Remembers whose columns were to be written."""

    def __init__(self) -> None:
        self.written: list[RecordKey] = []

    def write(self, record: RecordKey) -> None:
        self.written.append(record)
