"""What the software reads of the provider's database: the rows of the views `billing_source`."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _id(value: object) -> object:
    """Read an id: the driver gives a uuid column as an object."""
    return str(value) if isinstance(value, UUID) else value


RowId = Annotated[str, BeforeValidator(_id)]


class SourceRow(BaseModel):
    """A row of a view. Ids are text here, whatever they are there."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, coerce_numbers_to_str=True
    )

    id: RowId
    updated_at: datetime


class Customer(SourceRow):
    """A row of `billing_source.customers`. Everything a person typed may be missing or odd."""

    account_number: str | None = None
    account_type: str | None = None
    account_status: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    company_name: str | None = None
    tax_number: str | None = None
    email: str | None = None
    phone: str | None = None
    street: str | None = None
    city: str | None = None
    state: str | None = None
    zip: str | None = None
    country: str | None = None
    currency: str | None = None
    created_at: datetime | None = None


def _no_float(value: object) -> object:
    """Refuse a binary float: what it once was to the cent cannot be told any more."""
    if isinstance(value, float):
        raise ValueError("an amount must not be a float")  # noqa: TRY004 - pydantic's own kind
    return value


Amount = Annotated[Decimal, Field(allow_inf_nan=True), BeforeValidator(_no_float)]
"""An amount as the column gives it; whether it can be one of money is for `money` to say."""


class Package(SourceRow):
    """A row of `billing_source.packages`: the price list."""

    sku: str | None = None
    name: str | None = None
    service_type: str | None = None
    price: Amount | None = None
    price_includes_tax: bool = True
    active: bool = True


class Service(SourceRow):
    """A row of `billing_source.services`. `monthly_price` is its own, promotion included."""

    customer_id: RowId
    package_id: RowId | None = None
    monthly_price: Amount | None = None
    price_includes_tax: bool = True
    status: str | None = None
    activation_date: date | None = None
    billing_day: int | None = None
    contract_end_date: date | None = None
    cancelled_at: datetime | None = None
    created_at: datetime | None = None


class Invoice(SourceRow):
    """A row of `billing_source.invoices`.

    `line_items` is the JSON as the application wrote it, its numbers read exactly
    (`money.read_json`); it may be anything.
    """

    customer_id: RowId
    service_id: RowId | None = None
    invoice_number: str | None = None
    invoice_type: str | None = None
    invoice_date: date | None = None
    due_date: date | None = None
    period_start: date | None = None
    period_end: date | None = None
    subtotal: Amount | None = None
    tax_amount: Amount | None = None
    total_amount: Amount | None = None
    amount_paid: Amount | None = None
    amount_due: Amount | None = None
    currency: str | None = None
    tax_inclusive: bool = True
    status: str | None = None
    line_items: Any = None
    created_at: datetime | None = None


class Payment(SourceRow):
    """A row of `billing_source.payments`."""

    transaction_id: str | None = None
    provider: str | None = None
    amount: Amount | None = None
    refunded_amount: Amount | None = None
    currency: str | None = None
    status: str | None = None
    payment_method: str | None = None
    customer_id: RowId
    invoice_id: RowId | None = None
    completed_at: datetime | None = None
    created_at: datetime | None = None


class PaymentAllocation(BaseModel):
    """A row of the optional view `billing_source.payment_allocations`: a payment's share."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, coerce_numbers_to_str=True
    )

    payment_id: RowId
    invoice_id: RowId
    amount: Amount | None = None
