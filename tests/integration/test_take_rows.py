"""Zoho's subscriptions and invoices in our tables: whole, resumable, and renewed by what is new."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.snapshots import PostgresSnapshots
from billing_sync.domain.errors import Unavailable
from billing_sync.domain.remote import (
    RemoteInvoice,
    RemoteInvoiceItem,
    RemoteInvoicePayment,
    RemoteSubscription,
)
from billing_sync.domain.states import EntityType
from billing_sync.ports.zoho import Page
from billing_sync.services.take_rows import TakeRows
from ops.local_stack.postgres import FUNCTIONS_ROLE, Database
from tests.records import ORGANISATION, sql

INVOICE, SUBSCRIPTION = EntityType.INVOICE, EntityType.SUBSCRIPTION
DAY_SECONDS = 86_400.0
HOUR_SECONDS = 3_600.0
NOW = datetime.now(UTC)
LATER = "UPDATE billing_sync.snapshots SET {column} = {column} - interval '{hours} hours'"


class ZohosInvoices:
    """Zoho's list, two invoices to a page, oldest first or newest first; it may fail."""

    def __init__(self, *rows: RemoteInvoice) -> None:
        self.rows = list(rows)
        self.asked: list[tuple[int, bool]] = []
        self.fails_at: int | None = None

    def page(self, number: int, newest_first: bool) -> Page[RemoteInvoice]:
        self.asked.append((number, newest_first))
        if number == self.fails_at:
            self.fails_at = None
            raise Unavailable("Nothing was answered.")
        rows = self.rows[::-1] if newest_first else self.rows
        end = 2 * number
        return Page(tuple(rows[end - 2 : end]), has_more=end < len(rows))


def invoice(number: int, *, hours_ago: float = 72, **more: object) -> RemoteInvoice:
    return RemoteInvoice.model_validate(
        {
            "invoice_id": f"90000{number}",
            "number": f"INV-{number:06}",
            "customer_id": f"7000{number % 2}",
            "total": "459.00",
            "created_time": NOW - timedelta(hours=hours_ago),
            **more,
        }
    )


@pytest.fixture
def snapshots(database: Database) -> Iterator[PostgresSnapshots]:
    engine = make_engine(database.url(FUNCTIONS_ROLE), connections=5)
    yield PostgresSnapshots(engine, ORGANISATION)
    engine.dispose()


def rows_of(snapshots: PostgresSnapshots, zoho: ZohosInvoices) -> TakeRows[RemoteInvoice]:
    return TakeRows(INVOICE, zoho.page, snapshots, max_age_seconds=DAY_SECONDS)


def numbers(snapshots: PostgresSnapshots, snapshot_id: int) -> list[str]:
    found = snapshots.invoices(snapshot_id, customer_zoho_ids=["70000", "70001"])
    return [each.number for each in found]


def test_a_row_comes_back_as_zoho_showed_it_to_the_cent(snapshots: PostgresSnapshots) -> None:
    whole = RemoteInvoice(
        zoho_id="900001",
        number="INV-000001",
        date=date(2026, 11, 1),
        customer_id="70001",
        total=Decimal("459.00"),
        tax_total=Decimal("59.87"),
        balance=Decimal("0.00"),
        items=(RemoteInvoiceItem(name="SkyFibre", price=Decimal("399.1304347826")),),
        payments=(RemoteInvoicePayment(zoho_id="800001", amount=Decimal("459.00")),),
        subscription_ids=("600001",),
        created_time=NOW,
    )
    flat = RemoteInvoice(zoho_id="900002")
    service = RemoteSubscription(
        zoho_id="600001", reference_id="17", customer_id="70001", price=Decimal("459.00"),
        end_of_term=True, starts_at=date(2026, 1, 1), created_time=NOW,
    )  # fmt: skip
    strangers = RemoteSubscription(zoho_id="600002", customer_id="70002")
    invoices = snapshots.begin(INVOICE, instead_of=None).snapshot_id
    subscriptions = snapshots.begin(SUBSCRIPTION, instead_of=None).snapshot_id
    for _ in range(2):  # A page that was stored twice is the same page.
        snapshots.store_rows(INVOICE, invoices, 1, [flat, whole], is_last=True)
        snapshots.store_rows(SUBSCRIPTION, subscriptions, 1, [service, strangers], is_last=True)

    for wanted in (
        {"zoho_ids": ["900001"]},
        {"numbers": ["INV-000001", ""]},
        {"customer_zoho_ids": ["70001", ""]},
    ):
        [found] = snapshots.invoices(invoices, **wanted)
        assert found == whole
        assert str(found.balance) == "0.00"
    assert snapshots.invoices(invoices, zoho_ids=["900002"]) == [flat]
    for wanted in (
        {"zoho_ids": ["600001"]},
        {"references": ["17", ""]},
        {"customer_zoho_ids": ["70001", ""]},
    ):
        assert snapshots.subscriptions(subscriptions, **wanted) == [service]
    # Two have no reference; nobody is found by that.
    assert snapshots.subscriptions(subscriptions, references=[""]) == []
    assert not snapshots.invoices(invoices)
    assert not snapshots.subscriptions(subscriptions)
    assert snapshots.count_rows(INVOICE, invoices) == 2
    # What a later row does not show any more is not kept from an older one.
    snapshots.renew_rows(SUBSCRIPTION, subscriptions, [service.model_copy(update={
        "end_of_term": False, "price": None})])  # fmt: skip
    [newer] = snapshots.subscriptions(subscriptions, references=["17"])
    assert (newer.end_of_term, newer.price) == (False, None)


def test_a_walk_is_resumed_is_complete_or_not_used_and_leaves_no_older_rows(
    snapshots: PostgresSnapshots, database: Database
) -> None:
    zoho = ZohosInvoices(*(invoice(number) for number in range(1, 6)))
    rows = rows_of(snapshots, zoho)
    zoho.fails_at = 2

    with pytest.raises(Unavailable):
        rows.young_snapshot()
    assert rows.if_young() is None
    assert rows.counts() == {"invoices_in_zoho": 2, "calls": 1}
    zoho.rows.append(invoice(6, hours_ago=0))  # Added while we walk, at the end.
    first = rows.young_snapshot()

    assert zoho.asked == [(1, False), (2, False), (2, False), (3, False)]
    assert numbers(snapshots, first) == [f"INV-{number:06}" for number in range(1, 7)]
    assert rows.counts() == {"invoices_in_zoho": 6, "calls": 3}
    assert rows.young_snapshot() == first
    assert len(zoho.asked) == 4
    # Too old to say «none»: walked again. What went before the last complete one is deleted.
    sql(database, LATER.format(column="started_at", hours=25))
    second = rows.young_snapshot()
    assert second > first
    assert snapshots.count_rows(INVOICE, first) == 6
    rows.begin()
    assert not rows.advance(lambda: False)
    assert snapshots.count_rows(INVOICE, first) == 0
    assert snapshots.count_rows(INVOICE, second) == 6
    assert rows.young_snapshot() == second


def test_what_is_new_costs_a_page_and_no_whole_walk(
    snapshots: PostgresSnapshots, database: Database
) -> None:
    zoho = ZohosInvoices(*(invoice(number, hours_ago=90 - number) for number in range(1, 6)))
    rows = rows_of(snapshots, zoho)
    walked = rows.not_older_than(HOUR_SECONDS)
    zoho.asked.clear()
    zoho.rows.append(invoice(6, hours_ago=0.05))  # Before the walk, by a clock that differs.
    zoho.rows.append(invoice(7, hours_ago=0))

    assert rows.not_older_than(HOUR_SECONDS) == walked
    assert zoho.asked == []  # Young enough.
    sql(database, LATER.format(column="started_at", hours=2))
    zoho.fails_at = 2
    with pytest.raises(Unavailable):
        rows.not_older_than(HOUR_SECONDS)
    assert len(numbers(snapshots, walked)) == 5  # Half a look is none.
    zoho.asked.clear()

    assert rows.not_older_than(HOUR_SECONDS) == walked
    # The second page reaches back beyond the first walk.
    assert zoho.asked == [(1, True), (2, True)]
    assert len(numbers(snapshots, walked)) == 7
    assert rows.not_older_than(HOUR_SECONDS) == walked
    assert len(zoho.asked) == 2
    latest = rows.if_young()
    assert latest is not None
    assert latest.renewed_seconds < HOUR_SECONDS < latest.age_seconds
    # However often it is renewed, it is not younger for it: old ones may have changed.
    sql(database, LATER.format(column="started_at", hours=24))
    assert rows.not_older_than(HOUR_SECONDS) > walked


def test_a_row_that_was_read_by_its_id_replaces_what_the_list_showed(
    snapshots: PostgresSnapshots,
) -> None:
    zoho = ZohosInvoices(invoice(1))
    rows = rows_of(snapshots, zoho)
    rows.add(invoice(1))  # No snapshot yet: nothing to put it into.
    snapshot_id = rows.young_snapshot()

    rows.add(invoice(1, tax_total="59.87", subscription_ids=("600001",)))
    rows.add(invoice(2))

    first, second = snapshots.invoices(snapshot_id, numbers=["INV-000001", "INV-000002"])
    assert (first.tax_total, first.subscription_ids) == (Decimal("59.87"), ("600001",))
    assert second.tax_total is None
    # A snapshot that was forgotten meanwhile keeps nothing.
    snapshots.renew_rows(INVOICE, snapshot_id + 1000, [invoice(3)], renewed=True)
    assert snapshots.count_rows(INVOICE, snapshot_id + 1000) == 0


def test_workers_of_one_process_walk_once(snapshots: PostgresSnapshots) -> None:
    zoho = ZohosInvoices(*(invoice(number) for number in range(1, 6)))
    rows = rows_of(snapshots, zoho)
    start = threading.Barrier(5)

    def ask(number: int) -> int:
        start.wait()
        return rows.young_snapshot() if number % 2 else rows.not_older_than(HOUR_SECONDS)

    with ThreadPoolExecutor(5) as pool:
        assert len(set(pool.map(ask, range(5)))) == 1
    assert zoho.asked == [(1, False), (2, False), (3, False)]


def test_customers_subscriptions_and_invoices_have_snapshots_of_their_own(
    snapshots: PostgresSnapshots,
) -> None:
    taken = rows_of(snapshots, ZohosInvoices(invoice(1))).young_snapshot()

    assert snapshots.latest(SUBSCRIPTION, complete=True) is None
    snapshots.begin(SUBSCRIPTION, instead_of=None)
    snapshots.begin(EntityType.CUSTOMER, instead_of=None)
    assert snapshots.count_rows(INVOICE, taken) == 1
