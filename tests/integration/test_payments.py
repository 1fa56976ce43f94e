"""Payments on real sync records and fake Zoho: calls, shares, removals, order, dependencies."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import pairwise
from threading import Barrier
from typing import Any

import httpx
import pytest

from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Priority, RecordKey
from ops.fake_zoho import ByHand, SeedPayment
from ops.local_stack.postgres import Database
from tests.one_customer import ACCOUNT, OneCustomer
from tests.records import row
from tests.world import World, world


@pytest.fixture
def w(database: Database) -> Iterator[World]:
    with world(database) as made:
        yield made
        assert made.zoho.control.state().mails == []


@pytest.fixture
def one(w: World) -> OneCustomer:
    return OneCustomer(w)


def paid_by_hand(one: OneCustomer, invoice: RecordKey, reference: str, amount: int) -> str:
    """Let finance note a payment in Zoho's own screens; gives its id."""
    shown = one.invoice_in_zoho(invoice)
    profile: dict[str, Any] = {
        "payment_mode": "cash",
        "amount": amount,
        "date": "2036-03-06",
        "reference_number": reference,
        "invoices": [{"invoice_number": shown["invoice_number"], "amount_applied": amount}],
    }
    seed = SeedPayment(profile=profile, created_time=datetime(2036, 3, 6, tzinfo=UTC))
    made = one.w.zoho.control.seed_by_hand(ByHand(payments={shown["customer_id"]: [seed]}))
    return made.payment_ids[0]


def by_hand(w: World, method: str, path: str) -> None:
    """Do something in Zoho that no worker of ours knows of."""
    headers = {
        "Authorization": f"Zoho-oauthtoken {w.worker.tokens.current().value}",
        "X-com-zoho-subscriptions-organizationid": w.config.organisations[0].organization_id,
    }
    httpx.request(method, f"{w.zoho.api_url}/billing/v1{path}", headers=headers).raise_for_status()


def at_once(work: list[Callable[[], object]]) -> None:
    start = Barrier(len(work))

    def begin(each: Callable[[], object]) -> None:
        start.wait()
        each()

    with ThreadPoolExecutor(len(work)) as pool:
        list(pool.map(begin, work))


# ---------------------------------------------------------------------------------------- figures


def test_a_payment_is_put_on_its_invoice_in_two_calls(w: World, one: OneCustomer) -> None:
    invoice = one.add_invoice()
    payment = one.add_payment(invoice)
    one.bring(invoice)

    asked = one.calls_of(payment)

    assert asked == ["get_invoice", "create_payment"]
    one.assert_in_step(payment)
    assert one.payments_in_zoho() == {"TX-0002": {one.zoho_id(invoice): 460.0}}
    assert one.account() == (0.0, 0.0)
    found = row(w.database, payment)
    assert found.facts == {"amount": "460.00", "applied": {one.zoho_id(invoice): "460.00"}}
    assert found.serial_key == f"customer:{one.customer_id}"
    [shown] = w.sql("SELECT zoho_payment_id, zoho_sync_status FROM payment_transactions")
    assert tuple(shown) == (found.zoho_id, "synced")
    # In step, nothing is asked of Zoho any more.
    w.worker.records.signal(payment)
    assert one.calls_of(payment) == []


def test_shares_are_our_books_and_what_they_leave_over_is_credit(one: OneCustomer) -> None:
    first, second, third = (one.add_invoice() for _ in range(3))
    partly = one.add_payment(first, amount=Decimal(100))
    over = one.add_payment(first, amount=Decimal(400))
    several = one.add_payment(amount=Decimal(600))
    one.share(several, second, 460)
    one.share(several, third, 40)
    credit = one.add_payment(amount=Decimal(50))

    # Whoever comes first: our books have said who pays what.
    one.bring(credit, over, several, partly)

    one.assert_in_step(first, second, third, partly, over, several, credit)
    on_first, on_second, on_third = map(one.zoho_id, (first, second, third))
    assert one.payments_in_zoho() == {
        "TX-0004": {on_first: 100.0},
        "TX-0005": {on_first: 360.0},
        "TX-0006": {on_second: 460.0, on_third: 40.0},
        "TX-0007": {},
    }
    # 420 of the third invoice are open; 40, 100 and 50 are the customer's credit.
    assert one.account() == (420.0, 190.0)


def test_what_is_paid_there_already_is_for_a_person_and_never_capped(
    w: World, one: OneCustomer
) -> None:
    invoice = one.add_invoice()
    payment = one.add_payment(invoice)
    one.bring(invoice)
    by_hand = paid_by_hand(one, invoice, "counter 17", 200)

    asked = one.calls_of(payment)

    assert asked == ["get_invoice", "get_invoice"]
    found = row(w.database, payment)
    assert (found.state, found.code, list(found.candidates)) == (
        "ambiguous",
        "already_paid",
        [by_hand],
    )
    assert "460.00 on invoice" in found.sentence
    assert f"of which 260.00 is open: already paid there by {by_hand}" in found.sentence
    assert list(one.payments_in_zoho()) == ["counter 17"]


def test_what_zoho_took_itself_is_linked(w: World, one: OneCustomer) -> None:
    invoice = one.add_invoice()
    payment = one.add_payment(invoice, provider="zoho_billing", payment_method="card")
    one.bring(invoice)

    assert one.bring(payment) == ["failed"]
    assert row(w.database, payment).code == "not_found_in_zoho"

    taken = paid_by_hand(one, invoice, "TX-0002", 460)
    w.worker.records.signal(payment)
    asked = one.calls_of(payment)

    one.assert_in_step(payment)
    assert one.zoho_id(payment) == taken
    assert asked == ["get_invoice", "get_payment"]


# ----------------------------------------------------------------------------- changes, removals


def test_a_returned_payment_is_taken_out_and_its_invoice_is_open_again(
    w: World, one: OneCustomer
) -> None:
    invoice = one.add_invoice()
    payment = one.add_payment(invoice)
    one.bring(payment)
    was = one.zoho_id(payment)
    w.change("payment_transactions", payment.entity_id, status="reversed")
    w.worker.records.signal(payment)

    asked = one.calls_of(payment)

    assert asked == ["get_payment", "delete_payment"]
    one.assert_in_step(payment)
    found = row(w.database, payment)
    assert (found.zoho_id, found.former_zoho_ids) == (None, [was])
    assert found.removed_at is not None
    assert one.payments_in_zoho() == {}
    assert one.account() == (460.0, 0.0)
    w.worker.records.signal(payment)
    assert one.calls_of(payment) == []


def test_one_that_finance_took_out_first_is_rightly_gone(w: World, one: OneCustomer) -> None:
    invoice = one.add_invoice()
    payment = one.add_payment(invoice)
    one.bring(payment)
    taken_out = one.zoho_id(payment)
    by_hand(w, "DELETE", f"/payments/{taken_out}")
    w.change("payment_transactions", payment.entity_id, status="reversed")
    w.worker.records.signal(payment)

    one.bring(payment)

    one.assert_in_step(payment)
    assert row(w.database, payment).removed_at is not None


def test_one_that_was_returned_before_it_was_sent_is_skipped(w: World, one: OneCustomer) -> None:
    payment = one.add_payment(one.add_invoice(), status="reversed")

    assert one.calls_of(payment) == []

    assert (one.state(payment), row(w.database, payment).sentence) == (
        "skipped",
        "reversed before it reached Zoho",
    )


def test_a_changed_payment_is_written_whole_in_two_calls(w: World, one: OneCustomer) -> None:
    invoice = one.add_invoice()
    payment = one.add_payment(invoice, amount=Decimal(100))
    one.bring(payment)
    w.change("payment_transactions", payment.entity_id, amount=Decimal(500))
    w.worker.records.signal(payment)

    asked = one.calls_of(payment)

    assert asked == ["get_payment", "update_payment"]
    one.assert_in_step(payment)
    assert one.payments_in_zoho() == {"TX-0002": {one.zoho_id(invoice): 460.0}}
    assert one.account() == (0.0, 40.0)


# --------------------------------------------------------------------------------------- bad input


def test_what_is_refused_sends_nothing_and_the_others_go_on(w: World, one: OneCustomer) -> None:
    invoice = one.add_invoice()
    strangers = one.add_invoice(customer_id=w.customer_id("CT-2025-00002"))
    on_strangers = one.add_payment(strangers)
    unmapped = one.add_payment(invoice, payment_method="shells", amount=Decimal(1))
    good = one.add_payment(invoice, amount=Decimal(400))

    states = one.bring(on_strangers, unmapped, good)

    assert states == ["failed", "failed", "synced"]
    assert row(w.database, on_strangers).sentence == (
        f"Invoice {strangers.entity_id} is customer {w.customer_id('CT-2025-00002')}'s, the payment"
        f" is customer {one.customer_id}'s."
    )
    assert row(w.database, unmapped).field == "payment_method"
    assert list(one.payments_in_zoho()) == ["TX-0005"]


# ------------------------------------------------------------------------------------- dependencies


def test_payments_of_one_customer_go_one_after_the_other(w: World, one: OneCustomer) -> None:
    invoice = one.add_invoice()
    payments = [one.add_payment(invoice, amount=Decimal(100)) for _ in range(4)]
    one.bring(invoice)
    workers = [w.container() for _ in payments]
    w.zoho.control.switch(latency_ms=(20, 20))

    def until_synced(payment: RecordKey, worker: Any) -> None:
        give_up_at = time.monotonic() + 20
        state = None
        while state is not State.SYNCED and time.monotonic() < give_up_at:
            state = worker.sync_record(payment, priority=Priority.TRIGGER).state
            time.sleep(0.01)

    at_once([partial(until_synced, *each) for each in zip(payments, workers, strict=True)])

    one.assert_in_step(*payments)
    assert one.account() == (60.0, 0.0)
    writes = sorted(
        (entry.arrived, entry.ended or 0.0)
        for entry in w.zoho.control.log()
        if entry.operation == "create_payment"
    )
    assert len(writes) == 4
    for (_, before_ended), (arrived, _) in pairwise(writes):
        assert before_ended <= arrived


def test_ten_workers_that_ask_for_one_customer_with_all_its_parents_make_everything_once(
    w: World, one: OneCustomer
) -> None:
    service = one.add_service()
    invoices = [one.add_invoice() for _ in range(3)]
    payments = [one.add_payment(invoice) for invoice in invoices]
    records = [*payments, *payments, *invoices, service]
    workers = [w.container() for _ in records]

    at_once(
        [
            partial(worker.sync_record, record, priority=Priority.TRIGGER)
            for record, worker in zip(records, workers, strict=True)
        ]
    )
    one.let_it_heal(*payments, *invoices, service)

    one.assert_in_step(*payments, *invoices, service)
    assert one.made() == {
        "customers": 1,
        "products": 1,
        "plans": 1,
        "subscriptions": 1,
        # The subscription raises its first by itself.
        "invoices": 4,
        "payments": 3,
    }
    assert len(w.in_zoho(ACCOUNT)) == 1


def test_blocked_payments_follow_by_themselves_when_their_invoice_is_mended(
    w: World, one: OneCustomer
) -> None:
    invoice = one.add_invoice(total_amount=Decimal(461))
    payments = [one.add_payment(invoice, amount=Decimal(200)) for _ in range(2)]

    assert one.bring(*payments) == ["blocked", "blocked"]
    assert (one.state(invoice), row(w.database, invoice).code) == ("failed", "totals_differ")
    assert one.made()["payments"] == 0

    w.change("customer_invoices", invoice.entity_id, total_amount=Decimal(460))
    w.worker.records.signal(invoice)
    one.bring(invoice)
    w.go_live()
    w.worker.sweep(lambda: 300.0)

    one.assert_in_step(invoice, *payments)
    assert one.account() == (60.0, 0.0)


def test_a_payment_follows_its_invoice_that_is_not_sent(database: Database) -> None:
    with world(database, INVOICES_FROM="2036-03-03", PAYMENTS_FROM="2036-03-03") as w:
        one = OneCustomer(w)
        payment = one.add_payment(one.add_invoice())

        assert one.bring(payment) == ["skipped"]

        assert row(database, payment).sentence == "before cut-over, as its invoice"
        assert row(database, RecordKey(EntityType.CUSTOMER, one.customer_id)).state == "synced"
        assert one.made()["invoices"] == 0
