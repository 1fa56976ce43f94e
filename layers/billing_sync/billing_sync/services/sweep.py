"""Bring back whatever nobody else will: what is due, what changed, what owes its status columns."""

from collections.abc import Callable
from typing import Final

from billing_sync.domain.states import EntityType
from billing_sync.ports import Priority, Source, StatusColumns, SyncRecords
from billing_sync.services.sync_record import SyncRecord

AT_ONCE: Final = 50


class Sweep:
    """One round over the records and the source. Over a table in step it claims and writes nothing.

    It is not on a schedule yet: until `live_from` exists, history belongs to the backfill alone.
    """

    def __init__(
        self,
        records: SyncRecords,
        source: Source,
        status_columns: StatusColumns,
        sync_record: SyncRecord,
    ) -> None:
        """Keep the ports."""
        self._records = records
        self._source = source
        self._status_columns = status_columns
        self._sync_record = sync_record

    def __call__(self, may_go_on: Callable[[], bool]) -> dict[str, int]:
        """Do one round; gives how many of each were found."""
        counts = {"leases": self._records.expire_leases(), "due": 0, "changed": 0, "statuses": 0}
        for record in self._source.changed(EntityType.CUSTOMER, AT_ONCE):
            # The source changed and nobody said so; whether it matters is the fingerprint's to say.
            self._records.signal(record)
            counts["changed"] += 1
        for record in self._records.due(AT_ONCE):
            if not may_go_on():
                return counts
            self._sync_record(record, priority=Priority.BACKFILL)
            counts["due"] += 1
        for record in self._records.status_due(AT_ONCE):
            self._status_columns.write(record)
            counts["statuses"] += 1
        return counts
