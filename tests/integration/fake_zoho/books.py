"""What tests of Zoho's money begin with: a customer, a plan, and short words for the calls."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from ops.fake_zoho import RunningFake

STANDARD_RATE = "4815162000000000201"
ZERO_RATE = "4815162000000000203"
JANUARY = datetime(2026, 1, 15, 8, tzinfo=UTC)


@dataclass
class Books:
    """One customer on 15 January 2026, and a plan of R 459.00 a month."""

    zoho: RunningFake
    api: httpx.Client
    customer_id: str = ""
    product_id: str = ""

    def open(self) -> "Books":
        self.zoho.control.set_calendar(JANUARY)
        customer = {"display_name": "Nomvula Dlamini", "email": "nomvula@mail.example"}
        self.customer_id = self.made("/customers", "customer", customer)["customer_id"]
        product = self.made("/products", "product", {"name": "Internet"})
        self.product_id = product["product_id"]
        self.plan()
        return self

    def made(self, path: str, resource: str, body: Any, **query: Any) -> Any:
        """POST, and be sure that it worked."""
        answer = self.api.post(path, json=body, params=query)
        assert answer.status_code == 201, answer.text
        return answer.json()[resource]

    def plan(self, **fields: Any) -> Any:
        body = {
            "plan_code": "FIBRE-50",
            "name": "Fibre 50",
            "recurring_price": 459,
            "interval": 1,
            "interval_unit": "months",
            "tax_id": STANDARD_RATE,
            "product_id": self.product_id,
        }
        return self.made("/plans", "plan", body | fields)

    def subscribe(self, **fields: Any) -> Any:
        return self.made("/subscriptions", "subscription", self.subscription_body(**fields))

    def subscription_body(self, **fields: Any) -> dict[str, Any]:
        body = {
            "customer_id": self.customer_id,
            "plan": {"plan_code": "FIBRE-50"},
            "auto_collect": False,
        }
        return body | fields

    def subscription(self, subscription_id: str) -> Any:
        return self.api.get(f"/subscriptions/{subscription_id}").json()["subscription"]

    def invoice_body(self, **fields: Any) -> dict[str, Any]:
        body = {
            "customer_id": self.customer_id,
            "date": "2026-01-15",
            "is_inclusive_tax": True,
            "invoice_items": [
                {"name": "Installation", "price": 1150, "quantity": 1, "tax_id": STANDARD_RATE}
            ],
        }
        return body | fields

    def draft(self, *, query: dict[str, Any] | None = None, **fields: Any) -> Any:
        return self.made("/invoices", "invoice", self.invoice_body(**fields), **(query or {}))

    def opened(self, **fields: Any) -> Any:
        invoice = self.draft(**fields)
        answer = self.api.post(f"/invoices/{invoice['invoice_id']}/converttoopen")
        assert answer.status_code == 200, answer.text
        return self.invoice(invoice["invoice_id"])

    def invoice(self, invoice_id: str) -> Any:
        return self.api.get(f"/invoices/{invoice_id}").json()["invoice"]

    def pay(self, amount: Any, applied: dict[str, Any] | None = None, **fields: Any) -> Any:
        return self.made("/payments", "payment", self.payment_body(amount, applied, **fields))

    def payment_body(
        self, amount: Any, applied: dict[str, Any] | None = None, **fields: Any
    ) -> dict[str, Any]:
        shares = [
            {"invoice_id": invoice_id, "amount_applied": part}
            for invoice_id, part in (applied or {}).items()
        ]
        body = {
            "customer_id": self.customer_id,
            "payment_mode": "banktransfer",
            "amount": amount,
            "date": "2026-01-15",
            "reference_number": "PAY-1",
            "invoices": shares,
        }
        return body | fields

    def customer(self) -> Any:
        return self.api.get(f"/customers/{self.customer_id}").json()["customer"]

    def balances(self) -> tuple[float, float]:
        customer = self.customer()
        return customer["outstanding"], customer["unused_credits"]

    def go_to(self, year: int, month: int, day: int) -> None:
        """Let the calendar jump to this day in the morning."""
        self.zoho.control.set_calendar(datetime(year, month, day, 8, tzinfo=UTC))

    def invoices(self) -> list[Any]:
        """All invoices, index or not, in the order of their dates."""
        held = self.zoho.control.state().invoices
        return sorted(held, key=lambda one: (one["invoice_date"], one["number"]))

    def rows(self, path: str, **query: str) -> list[Any]:
        """List, once the index has caught up."""
        self.zoho.control.advance_clock(2)
        rows: list[Any] = self.api.get(path, params=query).json()[path.strip("/")]
        return rows
