"""One customer at a time through `sync_record`: our own time, round trips, calls."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Priority, RecordKey
from ops.bench.figures import Table
from ops.bench.world import World, filled_database, world
from ops.fake_zoho import SeedCustomer
from ops.local_stack.postgres import PostgresServer

RECORDS: Final = 200


def measure(server: PostgresServer, directory: Path) -> Table:
    """Create, update, look again without a change, and link; each on 200 customers."""
    table = Table(
        "One customer through sync_record",
        f"Each row is the middle one of {RECORDS} customers, one after the other. «Our own» is all"
        " but the HTTP calls: Python and PostgreSQL over its socket. The fake answers without"
        " latency. A round trip is a statement, a BEGIN or a COMMIT.",
        ("what", "calls to Zoho", "our own ms", "statements", "transactions", "round trips"),
    )
    database = filled_database(server, "bench_records", 2 * RECORDS + 1)
    with world(database, directory) as bench:
        new = _customers(1, RECORDS)
        known = _customers(RECORDS + 1, 2 * RECORDS)
        _seed(bench, known)
        bench.worker.take_snapshot.begin()
        bench.worker.take_snapshot.advance(lambda: True)
        _sync(bench, [RecordKey(EntityType.CUSTOMER, str(2 * RECORDS + 1))])  # makes connections
        table.rows.append(_row("create", bench, new))
        table.rows.append(_row("unchanged", bench, new, before=_signal))
        bench.application("UPDATE customers SET phone = phone || '0'")
        table.rows.append(_row("update", bench, new, before=_signal))
        table.rows.append(_row("link, with fields that differ", bench, known))
    return table


def _customers(first: int, last: int) -> list[RecordKey]:
    return [RecordKey(EntityType.CUSTOMER, str(number)) for number in range(first, last + 1)]


def _seed(bench: World, records: Sequence[RecordKey]) -> None:
    """Put customers into Zoho as finance would: the account number in the custom field only."""
    bench.control.seed(
        [
            SeedCustomer(
                profile={
                    "display_name": f"Kept by hand {record.entity_id}",
                    "custom_fields": [
                        {
                            "label": "Account Number",
                            "value": f"CT-2025-{int(record.entity_id):05d}",
                        }
                    ],
                },
                created_time=datetime(2024, 1, 1, tzinfo=UTC),
            )
            for record in records
        ]
    )


def _signal(bench: World, records: Sequence[RecordKey]) -> None:
    for record in records:
        bench.worker.records.signal(record)


def _nothing(_bench: World, _records: Sequence[RecordKey]) -> None:
    """Prepare nothing."""


def _row(
    what: str,
    bench: World,
    records: Sequence[RecordKey],
    *,
    before: Callable[[World, Sequence[RecordKey]], None] = _nothing,
) -> tuple[str, ...]:
    before(bench, records)
    samples = _sync(bench, records)
    calls, own, statements, transactions, round_trips = (
        median(sample[column] for sample in samples) for column in range(5)
    )
    return (
        what,
        f"{calls:g}",
        f"{own * 1000:.1f}",
        f"{statements:g}",
        f"{transactions:g}",
        f"{round_trips:g}",
    )


def _sync(bench: World, records: Sequence[RecordKey]) -> list[tuple[float, ...]]:
    samples: list[tuple[float, ...]] = []
    for record in records:
        zoho, database = bench.zoho, bench.round_trips
        before = (
            zoho.calls,
            zoho.seconds,
            database.statements,
            database.transactions,
            database.total,
        )
        started = time.perf_counter()
        outcome = bench.worker.sync_record(record, priority=Priority.TRIGGER)
        elapsed = time.perf_counter() - started
        if outcome.state is not State.SYNCED:
            raise RuntimeError(f"{record} came out {outcome.state} ({outcome.code})")
        samples.append(
            (
                zoho.calls - before[0],
                elapsed - (zoho.seconds - before[1]),
                database.statements - before[2],
                database.transactions - before[3],
                database.total - before[4],
            )
        )
    return samples
