"""What we read of Zoho's records: tolerant of more, strict about ids and money.

Ids are strings (they exceed 2^53), money is Decimal, absent text is `""` as Zoho writes it itself.
Numbers may come as strings and the reverse; unknown fields are ignored (billing-api §3).
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field


def _text(value: object) -> object:
    """Read absent as empty, and a number as its digits."""
    if value is None:
        return ""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    return value


def _money(value: object) -> object:
    """Read absent as zero; refuse what is not a finite number."""
    if value is None or value == "":
        return Decimal(0)
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError("not an amount")  # noqa: TRY004 - pydantic reports no other kind
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise ValueError("not an amount") from None
    if not amount.is_finite():
        raise ValueError("not an amount")
    return amount


def _moment(value: object) -> object:
    """Read `2016-06-05T02:30:08-0700`, whose offset has no colon."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("a time without its zone")
        return moment
    return value


Text = Annotated[str, BeforeValidator(_text)]
Id = Annotated[str, BeforeValidator(_text), Field(min_length=1)]
Money = Annotated[Decimal, BeforeValidator(_money)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]


class _Remote(BaseModel):
    # A validation error prints its input unless told not to: these are people's data.
    model_config = ConfigDict(
        extra="ignore", frozen=True, populate_by_name=True, hide_input_in_errors=True
    )


class RemoteAddress(_Remote):
    attention: Text = ""
    street: Text = ""
    city: Text = ""
    state: Text = ""
    zip: Text = ""
    country: Text = ""


def _address(value: object) -> object:
    """Read an absent address (null, or Zoho's empty string) as an empty one."""
    return {} if value is None or value == "" else value


class RemoteCustomer(_Remote):
    """A customer of Zoho. List rows are flatter than details: no address and no custom fields.

    `account_number` is the value of the configured custom field: None where the row shows no
    custom fields or has none in it, so only details may be read as «has none».
    """

    zoho_id: Id = Field(alias="customer_id")
    display_name: Text = Field(
        default="", validation_alias=AliasChoices("display_name", "customer_name")
    )
    company_name: Text = ""
    first_name: Text = ""
    last_name: Text = ""
    email: Text = ""
    phone: Text = ""
    mobile: Text = ""
    account_number: str | None = None
    currency_code: Text = ""
    status: Text = ""
    outstanding: Money = Field(
        default=Decimal(0),
        validation_alias=AliasChoices("outstanding", "outstanding_receivable_amount"),
    )
    unused_credits: Money = Field(
        default=Decimal(0),
        validation_alias=AliasChoices("unused_credits", "unused_credits_receivable_amount"),
    )
    created_time: Moment = None
    updated_time: Moment = Field(
        default=None, validation_alias=AliasChoices("updated_time", "last_modified_time")
    )
    vat_reg_no: Text = ""
    billing_address: Annotated[RemoteAddress, BeforeValidator(_address)] = RemoteAddress()

    @classmethod
    def read(cls, row: Mapping[str, Any], account_number_label: str) -> Self:
        """Read a row of a list or a detail, finding the account number by its field's label."""
        return cls.model_validate(
            {**row, "account_number": _custom_field(row, account_number_label)}
        )


def _custom_field(row: Mapping[str, Any], label: str) -> str | None:
    fields = row.get("custom_fields")
    if not isinstance(fields, list):
        return None
    for field in fields:
        if isinstance(field, dict) and field.get("label") == label:
            value = str(_text(field.get("value"))).strip()
            return value or None
    return None


class CustomerPage(_Remote):
    """One page of customers. `has_more` as Zoho says it; there is no total."""

    rows: tuple[RemoteCustomer, ...]
    has_more: bool


class Organisation(_Remote):
    """An organisation that the token can see."""

    organisation_id: Id = Field(alias="organization_id")
    name: Text = ""
    currency_code: Text = ""
    time_zone: Text = ""
    price_precision: int = 2
    is_default: bool = Field(default=False, validation_alias="is_default_org")
    is_active: bool = Field(default=True, validation_alias="is_org_active")
    plan_name: Text = ""


class Tax(_Remote):
    tax_id: Id
    name: Text = Field(default="", validation_alias="tax_name")
    percentage: Money = Field(default=Decimal(0), validation_alias="tax_percentage")


CUSTOMER_FIELDS: Final = (
    "display_name",
    "salutation",
    "first_name",
    "last_name",
    "company_name",
    "email",
    "phone",
    "mobile",
    "website",
    "currency_code",
    "payment_terms",
    "vat_reg_no",
    "vat_treatment",
    "tax_reg_no",
    "billing_address",
    "attention",
    "street",
    "city",
    "state",
    "zip",
    "country",
    "custom_fields",
)
"""Names of the fields that we send; a refusal may name one of them and nothing else."""

_REFUSAL: Final = "invalid value passed for "


def field_named_in(message: object) -> str | None:
    """Give the field that Zoho's `Invalid value passed for <Field>` names, if it is one of ours.

    The rest of a message is never kept: it may quote the record.
    """
    if not isinstance(message, str) or not message.casefold().startswith(_REFUSAL):
        return None
    named = message[len(_REFUSAL) :].strip().strip(".").casefold().replace(" ", "_")
    return named if named in CUSTOMER_FIELDS else None
