"""A payment, and what of it was applied to which invoice."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from ops.fake_zoho.shelf import Record


@dataclass(frozen=True)
class Application:
    """The part of a payment that was applied to one invoice."""

    invoice_payment_id: str
    invoice_id: str
    amount: Decimal


@dataclass(kw_only=True)
class Payment(Record):
    """One payment; what is not applied is its customer's credit."""

    payment_id: str
    number: str
    customer_id: str
    currency_code: str
    payment_mode: str
    amount: Decimal
    date: date
    reference_number: str = ""
    description: str = ""
    bank_charges: Decimal = Decimal(0)
    exchange_rate: Decimal = Decimal(1)
    account_id: str = ""
    tax_account_id: str = ""
    applications: list[Application] = field(default_factory=list)

    @property
    def applied(self) -> Decimal:
        return sum((one.amount for one in self.applications), Decimal(0))

    @property
    def unapplied(self) -> Decimal:
        return self.amount - self.applied

    def applied_to(self, invoice_id: str) -> Decimal:
        return sum(
            (one.amount for one in self.applications if one.invoice_id == invoice_id), Decimal(0)
        )
