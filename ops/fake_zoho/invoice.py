"""An invoice, and what its status follows from."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

from ops.fake_zoho.config import Tax
from ops.fake_zoho.replies import JsonObject
from ops.fake_zoho.shelf import Record


@dataclass(frozen=True)
class InvoiceLine:
    """One line; its amount is quantity times price less discount, whatever the tax does."""

    item_id: str
    name: str
    description: str
    price: Decimal
    quantity: Decimal
    discount: Decimal
    unit: str
    tax: Tax | None
    amount: Decimal
    product_id: str = ""
    code: str = ""


@dataclass(frozen=True)
class CreditUse:
    """Some of a customer's credit, used on an invoice."""

    use_id: str
    number: str
    amount: Decimal
    date: date


@dataclass(kw_only=True)
class Invoice(Record):
    """One invoice. What was paid is kept by the payments; `payment_made` follows them."""

    invoice_id: str
    number: str
    customer_id: str
    currency_code: str
    issued_on: date
    due_date: date
    payment_terms: int
    payment_terms_label: str
    is_inclusive_tax: bool
    lines: list[InvoiceLine]
    by_tax: dict[str, Decimal]
    sub_total: Decimal
    tax_total: Decimal
    total: Decimal
    shipping_charge: Decimal = Decimal(0)
    adjustment: Decimal = Decimal(0)
    texts: JsonObject = field(default_factory=dict)
    state: Literal["draft", "open", "void"] = "draft"
    transaction_type: str = "one_time"
    subscription_id: str = ""
    payment_made: Decimal = Decimal(0)
    credits: list[CreditUse] = field(default_factory=list)
    is_emailed: bool = False
    reminders_sent: int = 0

    @property
    def credits_applied(self) -> Decimal:
        return sum((use.amount for use in self.credits), Decimal(0))

    @property
    def balance(self) -> Decimal:
        """What is still to be paid; of a void invoice nothing is."""
        if self.state == "void":
            return Decimal(0)
        return self.total - self.payment_made - self.credits_applied

    @property
    def is_owed(self) -> bool:
        return self.state == "open" and self.balance > 0

    def is_past_due(self, today: date) -> bool:
        return self.is_owed and self.due_date < today

    def status(self, today: date) -> str:
        """Say what Zoho shows. That overdue outranks partially paid is inferred, not known."""
        if self.state != "open":
            return self.state
        if self.balance == 0:
            return "paid"
        if self.is_past_due(today):
            return "overdue"
        if self.payment_made + self.credits_applied > 0:
            return "partially_paid"
        return "sent"
