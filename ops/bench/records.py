"""One record at a time through `sync_record`, and the snapshot: calls, own time, round trips."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from statistics import mean, median
from typing import Final

from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Priority, RecordKey
from ops.bench import books
from ops.bench.figures import Table
from ops.bench.samples import Sample, sample
from ops.bench.world import World, filled_database, world
from ops.fake_zoho import FieldAltered, SeedCustomer
from ops.local_stack.postgres import PostgresServer

RECORDS: Final = 100
WARM_UP: Final = 2 * RECORDS + 1
"""A customer of its own: with its service come connections, token, product and plan."""


def measure(server: PostgresServer, directory: Path) -> list[Table]:
    """Let records of every entity live their lives, each on 100 records; then walk the lists."""
    table = Table(
        "One record through sync_record",
        f"{RECORDS} records each, one after the other, in this order; their parents are there."
        " Calls are all calls by all records, the list pages of links included; the rest is the"
        " middle one. «Our own» is all but the HTTP calls: Python and PostgreSQL over its socket."
        " «Processor» is Python's own, calls included: other work on the machine adds less to it."
        " A round trip is a statement, a BEGIN or a COMMIT.",
        (
            "what",
            "calls a record",
            "our own ms",
            "processor ms",
            "statements",
            "transactions",
            "round trips",
        ),
    )
    database = filled_database(
        server,
        "bench_records",
        books.customers(WARM_UP),
        books.package(),
        books.services(WARM_UP),
    )
    with world(database, directory) as bench:
        _seed(bench, range(RECORDS + 1, 2 * RECORDS + 1))
        bench.take_snapshot()
        _sync(bench, [RecordKey(EntityType.SUBSCRIPTION, str(WARM_UP))], State.SYNCED)
        lives = _Lives(bench, table)
        lives.customers()
        lives.subscriptions()
        lives.linked_invoices()
        lives.invoices_and_payments()
        lives.withdrawals()
        bench.let_an_hour_pass()
        return [table, _snapshot(bench)]


class _Lives:
    """What becomes of records, and what each step of it costs."""

    def __init__(self, bench: World, table: Table) -> None:
        self._bench = bench
        self._table = table

    def customers(self) -> None:
        new = _numbered(EntityType.CUSTOMER, 1)
        self._row("customer: create", new)
        self._row("customer: unchanged", new, signal=True)
        self._bench.application("UPDATE customers SET phone = phone || '0'")
        self._row("customer: update", new, signal=True)
        known = _numbered(EntityType.CUSTOMER, RECORDS + 1)
        self._row("customer: link, with fields that differ", known)

    def subscriptions(self) -> None:
        records = _numbered(EntityType.SUBSCRIPTION, 1)
        self._row("subscription: create", records)
        self._row("subscription: unchanged", records, signal=True)

    def linked_invoices(self) -> None:
        """Zoho raised one as each subscription began: ours are found on its list."""
        self._bench.let_an_hour_pass()
        self._bench.add(books.recurring_invoices(RECORDS, customers=RECORDS))
        records = _numbered(EntityType.INVOICE, 1)
        self._row("recurring invoice: link", records)
        self._row("recurring invoice: unchanged", records, signal=True)

    def invoices_and_payments(self) -> None:
        self._bench.add(books.one_off_invoices(2 * RECORDS, customers=RECORDS, after=RECORDS))
        invoices = _numbered(EntityType.INVOICE, RECORDS + 1)
        self._row("one-off invoice: create", invoices)
        self._row("one-off invoice: unchanged", invoices, signal=True)
        self._bench.application(
            "UPDATE customer_invoices SET due_date = due_date + 7"
            " WHERE invoice_type = 'installation'"
        )
        self._row("one-off invoice: update", invoices, signal=True)
        self._bench.add(books.payments(RECORDS, after=RECORDS))
        payments = _numbered(EntityType.PAYMENT, RECORDS + 1)
        self._row("payment on one invoice: create", payments)
        self._row("payment on one invoice: unchanged", payments, signal=True)
        self._bench.application("UPDATE payment_transactions SET amount = 230")
        self._row("payment on one invoice: update", payments, signal=True)

    def withdrawals(self) -> None:
        payments = _numbered(EntityType.PAYMENT, RECORDS + 1)
        self._bench.application("UPDATE payment_transactions SET status = 'reversed'")
        self._row("payment: reversed, taken out", payments, signal=True)
        invoices = _numbered(EntityType.INVOICE, RECORDS + 1)
        self._bench.application(
            "UPDATE customer_invoices SET status = 'voided' WHERE invoice_type = 'installation'"
            " AND id <= :last",
            last=2 * RECORDS,
        )
        self._row("one-off invoice: voided", invoices, signal=True)
        self._bench.control.arm(
            FieldAltered(
                operation="create_invoice",
                field="invoice_items.0.price",
                value=459.99,
                count=RECORDS,
            )
        )
        differing = _numbered(EntityType.INVOICE, 2 * RECORDS + 1)
        self._row(
            "one-off invoice: another total there, its draft deleted", differing, State.FAILED
        )
        subscriptions = _numbered(EntityType.SUBSCRIPTION, 1)
        subscriptions = _numbered(EntityType.SUBSCRIPTION, 1)
        self._bench.application(
            "UPDATE customer_services SET status = 'cancelled', cancelled_at = :at"
            " WHERE id <= :last",
            at=datetime(2036, 3, 20, 9, tzinfo=UTC),
            last=RECORDS,
        )
        self._row("subscription: cancelled, ends with its term", subscriptions, signal=True)
        self._bench.application(
            "UPDATE customer_services SET status = 'active', cancelled_at = NULL WHERE id <= :last",
            last=RECORDS,
        )
        self._row("subscription: returned within its term", subscriptions, signal=True)
        self._bench.application(
            "UPDATE customer_services SET monthly_price = :price WHERE id <= :last",
            price=books.PRICE + Decimal(115),
            last=RECORDS,
        )
        self._row(
            "subscription: update, of its price from the next term", subscriptions, signal=True
        )

    def _row(
        self,
        what: str,
        records: Sequence[RecordKey],
        expected: State = State.SYNCED,
        *,
        signal: bool = False,
    ) -> None:
        """Measure one step of many lives; `signal` says of each first that it changed."""
        if signal:
            for record in records:
                self._bench.worker.records.signal(record)
        samples = _sync(self._bench, records, expected)

        def middle(of: Callable[[Sample], float]) -> float:
            return median(of(each) for each in samples)

        self._table.rows.append(
            (
                what,
                f"{mean(each.calls for each in samples):g}",
                f"{middle(lambda each: each.own_seconds) * 1000:.1f}",
                f"{middle(lambda each: each.processor_seconds) * 1000:.1f}",
                f"{middle(lambda each: each.statements):g}",
                f"{middle(lambda each: each.transactions):g}",
                f"{middle(lambda each: each.round_trips):g}",
            )
        )


def _numbered(entity: EntityType, first: int) -> list[RecordKey]:
    return [RecordKey(entity, str(number)) for number in range(first, first + RECORDS)]


def _seed(bench: World, numbers: Sequence[int]) -> None:
    """Put customers into Zoho as finance would: the account number in the custom field only."""
    bench.control.seed(
        [
            SeedCustomer(
                profile={
                    "display_name": f"Kept by hand {number}",
                    "custom_fields": [
                        {"label": "Account Number", "value": f"CT-2025-{number:05d}"}
                    ],
                },
                created_time=datetime(2024, 1, 1, tzinfo=UTC),
            )
            for number in numbers
        ]
    )


def _sync(bench: World, records: Sequence[RecordKey], expected: State) -> list[Sample]:
    return [_bring(bench, record, expected) for record in records]


def _bring(bench: World, record: RecordKey, expected: State) -> Sample:
    outcome, measured = sample(
        bench, lambda: bench.worker.sync_record(record, priority=Priority.TRIGGER)
    )
    if outcome.state is not expected:
        raise RuntimeError(f"{record} came out {outcome.state} ({outcome.code})")
    return measured


def _snapshot(bench: World) -> Table:
    """Walk each list once more, and count."""
    table = Table(
        "The snapshot",
        "One walk over each of Zoho's lists, as they are after the table above, for all records"
        " together: it is what finding records costs, and no record costs it again.",
        ("list", "records in Zoho", "calls", "seconds"),
    )
    state = bench.control.state()
    worker = bench.worker
    for name, in_zoho, walk in (
        ("customers", len(state.customers), worker.take_snapshot),
        ("subscriptions", len(state.subscriptions), worker.subscription_rows),
        ("invoices", len(state.invoices), worker.invoice_rows),
    ):
        calls, started = bench.zoho.calls, time.perf_counter()
        walk.begin()
        walk.advance(lambda: True)
        seconds = time.perf_counter() - started
        table.rows.append((name, f"{in_zoho:,}", f"{bench.zoho.calls - calls}", f"{seconds:.2f}"))
    return table
