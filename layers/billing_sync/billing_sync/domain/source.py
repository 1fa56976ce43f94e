"""What the software reads of the provider's database: the rows of the views `billing_source`."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class SourceRow(BaseModel):
    """A row of a view. Ids are text here, whatever they are there."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, coerce_numbers_to_str=True
    )

    id: str
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
