"""What we send, against Zoho's own description: every request of a whole backfill."""

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal

import httpx
import pytest

from billing_sync.domain.catalogue import plan_update
from billing_sync.domain.payments import payment_update
from billing_sync.ports import Priority
from ops.fake_zoho import RunningFake
from ops.local_stack.postgres import Database
from tests.contract.zoho_description import ZohoDescription
from tests.world import World
from tests.zoho_session import CALENDAR, Session, open_session

ROOT = "/billing/v1"


@pytest.fixture
def both_sides(database: Database, zoho: RunningFake) -> Iterator[World]:
    made = World(database, zoho)
    yield made
    made.close()


def test_every_request_about_customers_is_as_zoho_describes_it(
    both_sides: World, description: ZohoDescription
) -> None:
    worker = both_sides.worker
    sent: list[httpx.Request] = []
    worker.http.event_hooks = {"request": [sent.append]}
    accounts = both_sides.sql("SELECT account_number FROM customers ORDER BY id")

    for row in accounts:
        both_sides.sync(row.account_number)
    both_sides.sql("UPDATE customers SET phone = '+27215550000' WHERE id = 2")
    changed = both_sides.customer("CT-2025-00002")
    worker.records.signal(changed)
    worker.sync_record(changed, priority=Priority.TRIGGER)
    worker.api.get_customer(both_sides.record("CT-2025-00002").zoho_id)

    asked = [request for request in sent if request.url.path.startswith(ROOT)]
    assert {request.method for request in asked} == {"GET", "POST", "PUT"}
    assert len([request for request in asked if request.method == "POST"]) == 13
    assert wrong_in(asked, description) == {}


@pytest.fixture(scope="module")
def session(zoho: RunningFake) -> Iterator[Session]:
    """A client that has made each of its calls, with bodies as the domain makes them."""
    zoho.control.set_calendar(CALENDAR)
    with open_session(zoho) as opened:
        customer = opened.customer("Thandi Mokoena (CT-2025-00077)")
        _about_the_catalogue(opened)
        _about_subscriptions(opened, customer)
        _about_invoices_and_payments(opened, customer)
        yield opened


def _about_the_catalogue(session: Session) -> None:
    billing, bodies = session.billing, session.bodies()
    billing.organisations()
    made = billing.create_product(bodies.product(), permit=session.permit())
    billing.update_product(made.zoho_id, bodies.product("Sky Fibre"), permit=session.permit())
    billing.get_product(made.zoho_id)
    billing.list_products(1)
    plan = bodies.plan(made.zoho_id)
    code = billing.create_plan(plan, permit=session.permit()).plan_code
    billing.get_plan(code)
    billing.update_plan(code, plan_update(plan), permit=session.permit())


def _about_subscriptions(session: Session, customer: str) -> None:
    billing, bodies = session.billing, session.bodies()
    made = billing.create_subscription(bodies.subscription(customer), permit=session.permit())
    billing.update_subscription(made.zoho_id, bodies.change("449.00"), permit=session.permit())
    billing.get_subscription(made.zoho_id)
    billing.list_subscriptions(1)
    billing.list_subscriptions(1, newest_first=True)
    billing.cancel_subscription(made.zoho_id, at_end=True, permit=session.permit())
    billing.reactivate_subscription(made.zoho_id, permit=session.permit())
    billing.cancel_subscription(made.zoho_id, at_end=False, permit=session.permit())


def _about_invoices_and_payments(session: Session, customer: str) -> None:
    billing, bodies = session.billing, session.bodies()
    # Tax by the line, a part of a quantity, prices without tax, a line with a description.
    lines = [
        {"name": "Cable", "unit_price": Decimal("10.00"), "quantity": Decimal("2.5")},
        {"name": "Visit", "description": "On site", "price": Decimal("75.00"), "tax": "zero"},
    ]
    totals = {"subtotal": Decimal(100), "tax_amount": Decimal("3.75")}
    total = {"total_amount": Decimal("103.75")}
    several = {**totals, **total, "line_items": lines, "tax_inclusive": False}
    paid, unpaid, draft = (
        billing.create_invoice(
            bodies.invoice(customer, invoice_number=number, **columns), permit=session.permit()
        ).zoho_id
        for number, columns in (("CT-77-1", {}), ("CT-77-2", several), ("CT-77-3", {}))
    )
    changed = bodies.invoice(customer, invoice_number="CT-77-3", **several)
    billing.update_invoice(draft, changed, permit=session.permit())
    billing.open_invoice(paid, permit=session.permit())
    billing.open_invoice(unpaid, permit=session.permit())
    billing.get_invoice(paid)
    billing.list_invoices(1)
    billing.list_invoices(1, newest_first=True)
    billing.list_invoices(1, newest_first=True, subscription_zoho_id="4815162000000000999")
    billing.void_invoice(unpaid, permit=session.permit())
    billing.delete_invoice(draft, permit=session.permit())
    payment = bodies.payment(customer, paid)
    made = billing.create_payment(payment, permit=session.permit()).zoho_id
    billing.get_payment(made)
    billing.update_payment(made, payment_update(payment), permit=session.permit())
    billing.delete_payment(made, permit=session.permit())
    billing.create_payment(bodies.payment(customer, None), permit=session.permit())
    billing.list_transactions(customer, 1)


CALLS = {
    "GET /organizations",
    "GET /settings/taxes",
    "POST /customers",
    "POST /products",
    "GET /products",
    "GET /products/{product_id}",
    "PUT /products/{product_id}",
    "POST /plans",
    "GET /plans/{plan_code}",
    "PUT /plans/{plan_code}",
    "POST /subscriptions",
    "GET /subscriptions",
    "GET /subscriptions/{subscription_id}",
    "PUT /subscriptions/{subscription_id}",
    "GET /subscriptions/{subscription_id}/scheduledchanges",
    "POST /subscriptions/{subscription_id}/cancel",
    "POST /subscriptions/{subscription_id}/reactivate",
    "POST /invoices",
    "GET /invoices",
    "GET /invoices/{invoice_id}",
    "PUT /invoices/{invoice_id}",
    "DELETE /invoices/{invoice_id}",
    "POST /invoices/{invoice_id}/converttoopen",
    "POST /invoices/{invoice_id}/void",
    "POST /payments",
    "GET /payments/{payment_id}",
    "PUT /payments/{payment_id}",
    "DELETE /payments/{payment_id}",
    "GET /transactions",
}


def test_every_request_about_the_other_entities_is_as_zoho_describes_it(
    session: Session, description: ZohoDescription
) -> None:
    made = {name_of(request, description) for request in session.sent}

    assert made == CALLS
    assert wrong_in(session.sent, description) == {}


def test_every_call_is_made_with_the_scope_that_zoho_describes(
    session: Session, description: ZohoDescription
) -> None:
    described = [description.calls[name_of(one, description)].scope for one in session.sent]

    made = [f"ZohoSubscriptions.{scope}" for _, scope in session.tokens.taken_for]
    assert made == described


def test_nothing_that_is_sent_could_mail_anybody(session: Session, zoho: RunningFake) -> None:
    queries = [dict(one.url.params) for one in session.sent if one.url.path == f"{ROOT}/invoices"]
    created = [query for query in queries if "send" in query]

    assert created == [{"ignore_auto_number_generation": "true", "send": "false"}] * 3
    assert zoho.control.state().mails == []


def wrong_in(
    requests: Iterable[httpx.Request], description: ZohoDescription
) -> dict[tuple[str, str], list[str]]:
    return {
        (request.method, request.url.path): faults
        for request in requests
        if (
            faults := description.wrong_in_request(
                request.method,
                request.url.path.removeprefix(ROOT),
                dict(request.url.params),
                json.loads(request.content) if request.content else None,
            )
        )
    }


def name_of(request: httpx.Request, description: ZohoDescription) -> str:
    call = description.call(request.method, request.url.path.removeprefix(ROOT))
    assert call is not None, request
    return call.name
