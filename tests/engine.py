"""The engine of `sync_record` on real sync records, with one entity in memory on both sides."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.quota import PostgresQuota
from billing_sync.adapters.postgres.records import PostgresRecords
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.timing import Timing
from billing_sync.ports import Claim, Intent, Priority, RecordKey, Write
from billing_sync.services.attempt import Outcome
from billing_sync.services.rules import EntityRules
from billing_sync.services.sync_record import SyncRecord
from ops.local_stack.postgres import Database
from tests.fakes.clock import FakeClock
from tests.fakes.rules import FakeRules, FakeStatusColumns
from tests.records import ORGANISATION, change, expire_lease, make_due, row, sql

RECORD = RecordKey(EntityType.CUSTOMER, "1")
TIMING = Timing(http_deadline_seconds=2, send_window_seconds=1, proof_delay_unscaled_seconds=60)


class Engine:
    """One worker. Time passes for it only when a test lets it (`make_due`, `expire_lease`)."""

    def __init__(
        self,
        database: Database,
        rules: FakeRules,
        others: Mapping[EntityType, EntityRules] | None = None,
        connections: int = 3,
        clock: FakeClock | None = None,
    ) -> None:
        self.database = database
        self.rules = rules
        self.clock = clock or FakeClock()
        self.status_columns = FakeStatusColumns()
        self._engine = make_engine(database.functions_url, connections=connections)
        self.quota = PostgresQuota(self._engine, ORGANISATION, TIMING, time.monotonic)
        self.quota.configure(1000, 100_000, 100)
        self.records = PostgresRecords(self._engine, ORGANISATION, TIMING)
        self._sync_record = SyncRecord(
            self.records,
            {rules.entity: rules, **(others or {})},
            self.status_columns,
            self.clock,
            TIMING,
        )

    def sync(self, record: RecordKey = RECORD) -> Outcome:
        return self._sync_record(record, priority=Priority.TRIGGER)

    def sync_when_due(self, record: RecordKey = RECORD) -> Outcome:
        make_due(self.database, record)
        return self.sync(record)

    def sync_after_change(self, text: str, record: RecordKey = RECORD) -> Outcome:
        self.rules.write(record.entity_id, text)
        self.records.signal(record)
        return self.sync(record)

    def retry(self, record: RecordKey = RECORD) -> None:
        """Do what an operator's `retry` does to the record."""
        change(self.database, record, attempted_fingerprint=None)
        self.records.signal(record)

    def row(self, record: RecordKey = RECORD) -> Any:
        return row(self.database, record)

    def row_now(self) -> datetime:
        """Give the database's time."""
        moment: datetime = sql(self.database, "SELECT clock_timestamp() AS now")[0].now
        return moment

    def lose_worker(self, write: Write, record: RecordKey = RECORD) -> tuple[Claim, Intent]:
        """Leave the record as a worker does that stalls between its intent and its answer."""
        claim = self.records.claim(record)
        assert isinstance(claim, Claim)
        intent, _ = self.records.open_intent(claim, write, Priority.TRIGGER, run_id=None)
        expire_lease(self.database, record)
        assert self.sync(record).state is State.IN_DOUBT
        return claim, intent

    def close(self) -> None:
        self._engine.dispose()


@contextmanager
def engine(
    database: Database,
    rules: FakeRules,
    others: Mapping[EntityType, EntityRules] | None = None,
    connections: int = 3,
    clock: FakeClock | None = None,
) -> Iterator[Engine]:
    made = Engine(database, rules, others, connections, clock)
    try:
        yield made
    finally:
        made.close()
