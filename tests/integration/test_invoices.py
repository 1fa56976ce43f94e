"""Invoices on real sync records and fake Zoho: calls, drafts, links, kills, late commits."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing_sync.domain.states import EntityType
from billing_sync.ports import RecordKey
from ops.fake_zoho import AnswerLost, ByHand, FieldAltered, SeedInvoice
from ops.local_stack.postgres import Database
from tests.faults.doomed_worker import Point, process
from tests.one_customer import TODAY, OneCustomer
from tests.records import calls, change, closed_as, make_due, row
from tests.world import World, world


@pytest.fixture
def w(database: Database) -> Iterator[World]:
    with world(database) as made:
        yield made
        assert made.zoho.control.state().mails == []


@pytest.fixture
def one(w: World) -> OneCustomer:
    return OneCustomer(w)


@pytest.fixture
def invoice(one: OneCustomer) -> RecordKey:
    """One invoice, whose customer is in Zoho already."""
    one.bring(RecordKey(EntityType.CUSTOMER, one.customer_id))
    return one.add_invoice()


def signalled(one: OneCustomer, record: RecordKey) -> list[str]:
    """Bring a record in step after somebody said that it changed; names the calls."""
    one.w.worker.records.signal(record)
    return one.calls_of(record)


def writes(w: World) -> list[str]:
    return [each for each in calls(w.zoho) if "invoice" in each and "get" not in each]


def by_hand(w: World, customer: str, **profile: Any) -> str:
    """Let finance write an invoice of 460.00 in Zoho's own screens; gives its id."""
    body = {
        "date": "2036-03-02",
        "is_inclusive_tax": True,
        "invoice_items": [
            {
                "name": "Thing",
                "price": 460,
                "quantity": 1,
                "tax_id": w.config.organisations[0].taxes[0].tax_id,
            }
        ],
    }
    seed = SeedInvoice(profile=body | profile, created_time=datetime(2036, 3, 2, tzinfo=UTC))
    made = w.zoho.control.seed_by_hand(ByHand(invoices={customer: [seed]}))
    return made.invoice_ids[0]


# ------------------------------------------------------------------------------------ our own


def test_a_one_off_invoice_is_a_draft_and_an_opening_and_then_nothing(
    w: World, one: OneCustomer, invoice: RecordKey
) -> None:
    assert one.calls_of(invoice) == ["create_invoice", "convert_invoice_to_open"]

    one.assert_in_step(invoice)
    there = one.invoice_in_zoho(invoice)
    assert (there["status"], there["invoice_number"]) == ("overdue", "CTI-2036-0001")
    assert (there["sub_total"], there["tax_total"], there["total"]) == (400.0, 60.0, 460.0)
    assert one.account() == (460.0, 0.0)
    assert row(w.database, invoice).facts == {
        "number": "CTI-2036-0001",
        "date": "2036-03-02",
        "total": "460.00",
        "tax": "60.00",
        "balance": "460.00",
    }
    [shown] = w.sql(
        "SELECT zoho_billing_invoice_id, zoho_invoice_number, zoho_sync_status"
        " FROM customer_invoices"
    )
    assert tuple(shown) == (one.zoho_id(invoice), "CTI-2036-0001", "synced")
    assert signalled(one, invoice) == []


def test_an_open_invoice_that_changes_is_read_and_written(
    w: World, one: OneCustomer, invoice: RecordKey
) -> None:
    one.bring(invoice)
    w.change("customer_invoices", invoice.entity_id, subtotal=500, tax_amount=75, total_amount=575)

    assert signalled(one, invoice) == ["get_invoice", "update_invoice"]

    one.assert_in_step(invoice)
    assert one.invoice_in_zoho(invoice)["total"] == 575.0


def test_a_paid_invoice_that_changes_here_is_left_alone(
    w: World, one: OneCustomer, invoice: RecordKey
) -> None:
    payment = one.add_payment(invoice)
    one.bring(invoice, payment)
    w.change("customer_invoices", invoice.entity_id, total_amount=575, subtotal=500, tax_amount=75)

    assert signalled(one, invoice) == ["get_invoice"]

    found = row(w.database, invoice)
    assert (found.state, found.code) == ("mismatch", "cannot_be_changed")
    assert "total: 575.00 here, 460.0 in Zoho" in found.sentence
    w.change("customer_invoices", invoice.entity_id, status="voided")
    assert signalled(one, invoice) == ["get_invoice"]
    assert row(w.database, invoice).code == "cannot_be_voided"


def test_an_invoice_that_is_cancelled_here_is_voided_there_once(
    w: World, one: OneCustomer, invoice: RecordKey
) -> None:
    one.bring(invoice)
    w.change("customer_invoices", invoice.entity_id, status="cancelled")

    assert signalled(one, invoice) == ["get_invoice", "void_invoice"]

    one.assert_in_step(invoice)
    assert one.invoice_in_zoho(invoice)["status"] == "void"
    assert one.account() == (0.0, 0.0)
    assert signalled(one, invoice) == []


def test_a_draft_of_other_totals_is_deleted_and_its_number_is_free(
    w: World, one: OneCustomer, invoice: RecordKey
) -> None:
    w.zoho.control.arm(
        FieldAltered(operation="create_invoice", field="invoice_items.0.price", value=459.99)
    )

    assert one.calls_of(invoice) == ["create_invoice", "delete_invoice"]

    found = row(w.database, invoice)
    assert (found.state, found.code, found.zoho_id) == ("failed", "totals_differ", None)
    assert "total: 460.00 here, 459.99 in Zoho" in found.sentence
    assert one.made()["invoices"] == 0
    change(w.database, invoice, attempted_fingerprint=None)
    assert signalled(one, invoice) == ["create_invoice", "convert_invoice_to_open"]
    one.assert_in_step(invoice)


def test_a_number_that_finance_used_for_something_else_is_told(
    w: World, one: OneCustomer, invoice: RecordKey
) -> None:
    w.zoho.control.switch(invoice_number_taken_code=1001)
    [customer] = w.zoho.control.customers()
    there = by_hand(w, customer["customer_id"], invoice_number="CTI-2036-0001", date="2036-01-05")

    one.bring(invoice)

    found = row(w.database, invoice)
    assert (found.state, found.code, found.field) == ("failed", "taken", "invoice_number")
    assert "CTI-2036-0001" in found.sentence
    assert list(found.candidates) == [there]
    assert one.made()["invoices"] == 1


def test_history_that_is_there_already_is_linked_by_its_number(
    w: World, one: OneCustomer, invoice: RecordKey
) -> None:
    [customer] = w.zoho.control.customers()
    there = by_hand(
        w, customer["customer_id"], invoice_number="CTI-2036-0001", due_date="2036-03-09"
    )
    w.worker.invoice_rows.young_snapshot()

    one.bring(invoice)

    assert one.zoho_id(invoice) == there
    one.assert_in_step(invoice)
    assert one.made()["invoices"] == 1


def test_bad_input_sends_nothing_and_the_others_go_on(w: World, one: OneCustomer) -> None:
    bad = [
        one.add_invoice(total_amount=Decimal("460.01")),
        one.add_invoice(currency="USD"),
        one.add_invoice(line_items='{"name": "Router"}'),
        one.add_invoice(subtotal=-400, tax_amount=-60, total_amount=-460),
    ]
    good = one.add_invoice()

    assert one.bring(*bad, good) == ["failed"] * 4 + ["synced"]

    assert [row(w.database, each).field for each in bad] == [
        "total_amount",
        "currency",
        "line_items",
        "total_amount",
    ]
    assert one.made()["invoices"] == 1


# ---------------------------------------------------------------------------------- in doubt

# Draft and open, killed, stalled and late, are in tests/faults/test_entities.py.


@pytest.mark.parametrize("point", [Point.INTENT, Point.ANSWERED, Point.STORED])
def test_a_worker_killed_while_it_deletes_a_wrong_draft_leaves_none(
    w: World, one: OneCustomer, invoice: RecordKey, point: Point
) -> None:
    for operation in ("create_invoice", "update_invoice"):
        w.zoho.control.arm(
            FieldAltered(operation=operation, field="invoice_items.0.price", value=1, count=2)
        )
    w.worker.tokens.current()
    arguments = (w.environment, w.database.functions_url, w.store.token, invoice, point)
    with process(*arguments, 1) as worker:  # the draft is made before
        worker.join(30)
        assert worker.exitcode == -9

    one.let_it_heal(invoice)

    found = row(w.database, invoice)
    assert (found.state, found.code, found.zoho_id) == ("failed", "totals_differ", None)
    assert one.made()["invoices"] == 0
    assert None not in closed_as(w.database, invoice)


@pytest.mark.parametrize("code", [4060, 1001])
def test_a_draft_whose_answer_is_lost_is_proved_by_its_number_whatever_the_code(
    w: World, one: OneCustomer, invoice: RecordKey, code: int
) -> None:
    w.zoho.control.switch(invoice_number_taken_code=code)
    w.zoho.control.arm(AnswerLost(operation="create_invoice"))

    assert one.bring(invoice) == ["in_doubt"]
    one.let_it_heal(invoice)

    one.assert_in_step(invoice)
    assert writes(w)[:2] == ["create_invoice", "create_invoice"]
    assert one.made()["invoices"] == 1
    assert one.account() == (460.0, 0.0)


def test_a_voiding_whose_answer_is_lost_is_proved_by_its_id(
    w: World, one: OneCustomer, invoice: RecordKey
) -> None:
    one.bring(invoice)
    w.change("customer_invoices", invoice.entity_id, status="voided")
    w.zoho.control.arm(AnswerLost(operation="void_invoice"))

    signalled(one, invoice)
    one.let_it_heal(invoice)

    one.assert_in_step(invoice)
    assert writes(w).count("void_invoice") == 1
    assert one.account() == (0.0, 0.0)


def test_a_source_that_changes_while_a_draft_is_in_doubt_is_carried_over_before_it_is_opened(
    w: World, one: OneCustomer, invoice: RecordKey
) -> None:
    w.zoho.control.arm(AnswerLost(operation="create_invoice"))
    assert one.bring(invoice) == ["in_doubt"]
    w.change("customer_invoices", invoice.entity_id, subtotal=500, tax_amount=75, total_amount=575)

    one.let_it_heal(invoice)

    one.assert_in_step(invoice)
    assert one.made()["invoices"] == 1
    assert one.invoice_in_zoho(invoice)["total"] == 575.0
    assert writes(w)[-2:] == ["update_invoice", "convert_invoice_to_open"]
    assert set(closed_as(w.database, invoice)) == {"found", "answered"}


# ---------------------------------------------------------------------------------- Zoho's own


def add_recurring(one: OneCustomer, service: RecordKey, first: date, **columns: Any) -> RecordKey:
    """Write the service's invoice for the month from a day on, at the price of its package."""
    [price] = one.w.sql(
        "SELECT monthly_price FROM customer_services WHERE id = :id", id=int(service.entity_id)
    )
    total = Decimal(price.monthly_price)
    tax = (total * 15 / 115).quantize(Decimal("0.01"))
    columns = {
        "service_id": service.entity_id,
        "invoice_type": "recurring",
        "invoice_date": first,
        "due_date": first,
        "period_start": first,
        "subtotal": total - tax,
        "tax_amount": tax,
        "total_amount": total,
        **columns,
    }
    return one.add_invoice(**columns)


def let_it_be_listed(w: World) -> None:
    """Let Zoho's index show what was raised just now."""
    w.zoho.control.advance_clock(10)


def months(first: date, count: int) -> list[date]:
    return [
        date(first.year + (first.month - 1 + n) // 12, (first.month - 1 + n) % 12 + 1, first.day)
        for n in range(count)
    ]


def let_an_hour_pass(w: World) -> None:
    """Let the list of Zoho's invoices be older than what a link may be made by."""
    w.sql(
        "UPDATE billing_sync.snapshots SET renewed_at = now() - interval '1 hour',"
        " started_at = started_at - interval '1 hour' WHERE entity_type = 'invoice'"
    )


def test_twenty_invoices_that_zoho_raised_are_linked_by_two_calls(
    w: World, one: OneCustomer
) -> None:
    service = one.add_service()
    one.bring(service)
    firsts = months(TODAY, 20)
    w.set_today(firsts[-1])
    let_it_be_listed(w)
    records = [add_recurring(one, service, first) for first in firsts]

    asked = one.calls_of(*records)

    one.assert_in_step(*records)
    assert asked == ["list_invoices", "get_invoice"]
    assert len(asked) / len(records) <= 0.1
    assert len({one.zoho_id(each) for each in records}) == one.made()["invoices"] == 20
    [shown] = w.sql(
        "SELECT zoho_invoice_number FROM customer_invoices WHERE id = :id",
        id=int(records[-1].entity_id),
    )
    assert shown.zoho_invoice_number == one.invoice_in_zoho(records[-1])["invoice_number"]
    assert signalled(one, records[0]) == []


def test_two_services_of_one_price_are_told_apart_by_a_subscriptions_own_list(
    w: World, one: OneCustomer
) -> None:
    services = [one.add_service() for _ in range(2)]
    one.bring(*services)
    let_it_be_listed(w)
    records = [add_recurring(one, service, TODAY) for service in reversed(services)]

    asked = one.calls_of(*records)

    one.assert_in_step(*records)
    assert asked == ["list_invoices", "list_invoices", "get_invoice"]
    assert [one.invoice_in_zoho(each)["_subscription_id"] for each in records] == [
        one.zoho_id(service) for service in reversed(services)
    ]


def test_an_invoice_brings_its_service_and_waits_for_zoho_to_raise_it(
    w: World, one: OneCustomer
) -> None:
    service = one.add_service()
    following = months(TODAY, 2)[1]
    record = add_recurring(one, service, following)

    assert one.bring(record) == ["waiting"]

    assert one.made() == {
        "customers": 1,
        "products": 1,
        "plans": 1,
        "subscriptions": 1,
        "invoices": 1,
        "payments": 0,
    }
    assert row(w.database, record).due_at == datetime(2036, 4, 12, 22, tzinfo=UTC)
    w.set_today(following)
    let_it_be_listed(w)
    let_an_hour_pass(w)
    make_due(w.database, record)
    assert one.bring(record) == ["synced"]
    one.assert_in_step(record, service)


def test_one_that_zoho_has_not_raised_in_time_is_red_and_still_linkable(
    w: World, one: OneCustomer
) -> None:
    service = one.add_service()
    one.bring(service)
    let_it_be_listed(w)
    record = add_recurring(one, service, TODAY, subtotal=800, tax_amount=120, total_amount=920)
    assert one.bring(record) == ["waiting"]

    w.set_today(date(2036, 3, 13))
    make_due(w.database, record)

    assert one.bring(record) == ["failed"]
    found = row(w.database, record)
    assert found.code == "not_raised"
    assert "total 920.00 here, " in found.sentence
    right = add_recurring(one, service, TODAY)
    [figures] = w.sql(
        "SELECT subtotal, tax_amount, total_amount FROM customer_invoices WHERE id = :id",
        id=int(right.entity_id),
    )
    w.change("customer_invoices", record.entity_id, **figures._asdict())
    signalled(one, record)
    one.assert_in_step(record)


def test_what_was_billed_before_the_subscription_is_pushed_as_history(
    w: World, one: OneCustomer
) -> None:
    service = one.add_service(activation_date=date(2036, 1, 10))
    before = add_recurring(one, service, date(2036, 2, 10), status="paid")
    now = add_recurring(one, service, TODAY)
    after = add_recurring(one, service, date(2036, 4, 10))

    one.bring(service)
    let_it_be_listed(w)
    states = one.bring(service, before, now, after)

    # Invoiced until the ninth of May here: Zoho's first day is the tenth of March, today.
    assert states == ["synced", "synced", "synced", "waiting"]
    assert one.invoice_in_zoho(before)["invoice_number"] == "CTI-2036-0001"
    assert one.invoice_in_zoho(now)["_subscription_id"] == one.zoho_id(service)


def test_one_of_zohos_that_is_cancelled_here_is_voided_there(w: World, one: OneCustomer) -> None:
    service = one.add_service()
    one.bring(service)
    let_it_be_listed(w)
    record = add_recurring(one, service, TODAY)
    assert one.bring(record) == ["synced"]
    w.change("customer_invoices", record.entity_id, status="cancelled")

    assert signalled(one, record) == ["get_invoice", "void_invoice"]

    one.assert_in_step(record)
    assert one.invoice_in_zoho(record)["status"] == "void"


def test_where_the_application_owns_recurring_invoices_they_are_ours(database: Database) -> None:
    with world(database, RECURRING_INVOICES_OWNER="application") as w:
        one = OneCustomer(w)
        record = add_recurring(one, one.add_service(), TODAY)

        assert one.bring(record) == ["synced"]

        assert one.invoice_in_zoho(record)["_subscription_id"] == ""
        assert one.made()["subscriptions"] == 0
