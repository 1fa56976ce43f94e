"""Fake Zoho against Zoho's own description: every call it knows, every answer it gives."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from ops.fake_zoho import RunningFake
from ops.fake_zoho.operations import ALL
from ops.fake_zoho.routing import Operation, find_route
from tests.contract.zoho_description import ZohoDescription

ROOT = "/billing/v1"
STANDARD_RATE = "4815162000000000201"
ADDRESS = {"street": "1 Long Street", "city": "Cape Town", "zip": "8001", "country": "South Africa"}
OWN_FIELD = [{"label": "Account Number", "value": "CT-2025-00014"}]
CUSTOMER = {
    "display_name": "Nomvula Dlamini (CT-2025-00014)",
    "email": "nomvula@mail.example",
    "phone": "+27 21 555 0114",
    "billing_address": ADDRESS,
    "custom_fields": OWN_FIELD,
}
PLAN = {
    "plan_code": "FIBRE-50",
    "name": "Fibre 50",
    "recurring_price": 459,
    "interval": 1,
    "interval_unit": "months",
    "billing_cycles": -1,
    "tax_id": STANDARD_RATE,
}


@dataclass(frozen=True)
class Answered:
    operation: str
    method: str
    path: str
    status: int
    body: Any


class Session:
    """Call the fake, and keep every call with its answer."""

    def __init__(self, zoho: RunningFake, access_token: str) -> None:
        self.zoho = zoho
        self.answered: list[Answered] = []
        self._http = httpx.Client(
            base_url=f"{zoho.url}{ROOT}",
            headers={"Authorization": f"Zoho-oauthtoken {access_token}"},
        )

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        answer = self._http.request(method, path, json=body, params=query)
        assert answer.json()["code"] == 0, f"{method} {path}: {answer.text}"
        route = find_route(ALL, method, path)
        assert route is not None
        assert route.operation is not None
        self.answered.append(
            Answered(route.operation.name, method, path, answer.status_code, answer.json())
        )
        return answer.json()


def _catalogue(session: Session) -> None:
    session.call("GET", "/organizations")
    session.call("GET", "/settings/taxes")
    product = session.call("POST", "/products", {"name": "Internet", "description": "Fibre"})
    path = f"/products/{product['product']['product_id']}"
    session.call("GET", path)
    session.call("PUT", path, {"name": "Internet"})
    session.call("POST", f"{path}/markasinactive")
    session.call("POST", f"{path}/markasactive")
    product_id = product["product"]["product_id"]
    session.call("POST", "/plans", PLAN | {"product_id": product_id})
    spare = PLAN | {"product_id": product_id, "plan_code": "SPARE", "trial_period": 14}
    session.call("POST", "/plans", spare)
    session.call("GET", "/plans/FIBRE-50")
    session.call("PUT", "/plans/FIBRE-50", PLAN)
    session.call("POST", "/plans/SPARE/markasinactive")
    session.call("POST", "/plans/SPARE/markasactive")
    session.call("DELETE", "/plans/SPARE")
    unused = session.call("POST", "/products", {"name": "Voice"})["product"]
    session.call("DELETE", f"/products/{unused['product_id']}")


def _customers(session: Session) -> str:
    customer_id: str = session.call("POST", "/customers", CUSTOMER)["customer"]["customer_id"]
    path = f"/customers/{customer_id}"
    session.call("PUT", path, CUSTOMER)
    session.call("POST", f"{path}/markasinactive")
    session.call("POST", f"{path}/markasactive")
    stray = session.call("POST", "/customers", {"display_name": "Stray"})["customer"]
    session.call("DELETE", f"/customers/{stray['customer_id']}")
    return customer_id


def _subscriptions(session: Session, customer_id: str) -> None:
    body = {
        "customer_id": customer_id,
        "plan": {"plan_code": "FIBRE-50", "price": 399, "exclude_setup_fee": True},
        "auto_collect": False,
        "reference_id": "SVC-1",
        "custom_fields": OWN_FIELD,
    }
    subscription = session.call("POST", "/subscriptions", body)["subscription"]
    path = f"/subscriptions/{subscription['subscription_id']}"
    session.call("POST", f"{path}/reference", {"reference_id": "SVC-2"})
    change = {"plan": {"plan_code": "FIBRE-50", "price": 449}, "end_of_term": True}
    session.call("PUT", path, change)
    session.call("GET", f"{path}/scheduledchanges")
    session.call("DELETE", f"{path}/scheduledchanges")
    session.call("POST", f"{path}/cancel", cancel_at_end="true")
    session.call("POST", f"{path}/reactivate")
    session.call("POST", f"{path}/postpone", {"renewal_at": "2026-02-20"})
    later = session.call("POST", "/subscriptions", body | {"starts_at": "2026-06-01"})
    spare = f"/subscriptions/{later['subscription']['subscription_id']}"
    session.call("GET", spare)
    session.call("DELETE", spare)
    session.zoho.control.set_calendar(datetime(2026, 4, 1, 8, tzinfo=UTC))
    session.call("GET", path)
    raised = session.zoho.control.state().invoices
    session.call("GET", f"/invoices/{raised[-1]['invoice_id']}")


def _invoice(session: Session, customer_id: str, number: str, **query: str) -> Any:
    body = {
        "customer_id": customer_id,
        "date": "2026-04-01",
        "invoice_number": number,
        "reference_number": "R-1",
        "is_inclusive_tax": True,
        "custom_fields": OWN_FIELD,
        "invoice_items": [
            {"name": "Router", "price": 900, "quantity": "1.5", "tax_id": STANDARD_RATE},
            {"name": "Visit", "description": "On site", "price": "0.50", "quantity": 1},
        ],
    }
    query |= {"ignore_auto_number_generation": "true"}
    invoice = session.call("POST", "/invoices", body, **query)["invoice"]
    return f"/invoices/{invoice['invoice_id']}", body


def _invoices_and_payments(session: Session, customer_id: str) -> None:
    first, body = _invoice(session, customer_id, "CT-1", send="true")
    second, _ = _invoice(session, customer_id, "CT-2")
    third, _ = _invoice(session, customer_id, "CT-3")
    fourth, _ = _invoice(session, customer_id, "CT-4")
    session.call("PUT", second, body | {"invoice_number": "CT-2"})
    session.call("POST", f"{second}/converttoopen")
    session.call("POST", f"{third}/sent")
    session.call("POST", f"{third}/void")
    session.call("POST", f"{fourth}/status/sent")
    session.call("DELETE", fourth)
    share = {"invoice_id": first.rpartition("/")[2], "amount_applied": 1000}
    payment = {
        "customer_id": customer_id,
        "payment_mode": "banktransfer",
        "amount": 1200,
        "date": "2026-04-01",
        "reference_number": "PAY-1",
        "invoices": [share],
        "custom_fields": OWN_FIELD,
    }
    made = session.call("POST", "/payments", payment)["payment"]
    path = f"/payments/{made['payment_id']}"
    session.call("PUT", path, payment)
    session.call("GET", path)
    session.zoho.control.switch(apply_credits_automatically=True)
    fifth, _ = _invoice(session, customer_id, "CT-5", send="true")
    for invoice in (first, second, third, fifth):
        session.call("GET", invoice)
    spare = session.call("POST", "/payments", payment | {"invoices": []})["payment"]
    session.call("DELETE", f"/payments/{spare['payment_id']}")


@pytest.fixture(scope="module")
def answered(zoho: RunningFake, access_token: str) -> list[Answered]:
    """Call everything there is to call, so that it works."""
    session = Session(zoho, access_token)
    zoho.control.set_calendar(datetime(2026, 1, 15, 8, tzinfo=UTC))
    _catalogue(session)
    customer_id = _customers(session)
    _subscriptions(session, customer_id)
    _invoices_and_payments(session, customer_id)
    zoho.control.advance_clock(5)
    session.call("GET", f"/customers/{customer_id}")
    for path in ("products", "plans", "customers", "subscriptions", "invoices", "payments"):
        session.call("GET", f"/{path}")
    session.call("GET", "/transactions", customer_id=customer_id)
    session.close()
    return session.answered


def test_every_call_of_the_fake_is_among_the_answers(answered: list[Answered]) -> None:
    assert {one.operation for one in answered} == {operation.name for operation in ALL}


@pytest.mark.parametrize("operation", [operation.name for operation in ALL])
def test_answers_are_as_zoho_describes_them(
    description: ZohoDescription, answered: list[Answered], operation: str
) -> None:
    wrong = {
        sentence
        for one in answered
        if one.operation == operation
        for sentence in description.wrong_in_answer(one.method, one.path, one.status, one.body)
    }

    assert wrong == set()


@pytest.mark.parametrize("operation", ALL, ids=lambda operation: operation.name)
def test_call_is_described_with_the_scope_that_the_fake_asks_for(
    description: ZohoDescription, operation: Operation
) -> None:
    call = description.calls[f"{operation.method} {operation.path}"]

    assert call.scope == operation.scope


@pytest.mark.parametrize("operation", ALL, ids=lambda operation: operation.name)
def test_fake_reads_a_body_where_one_is_described(
    description: ZohoDescription, operation: Operation
) -> None:
    call = description.calls[f"{operation.method} {operation.path}"]

    assert bool(call.request) is operation.takes_body
