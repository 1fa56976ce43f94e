"""What we read of Zoho's records: tolerant of more, strict about ids and money.

Ids are strings (they exceed 2^53), money is Decimal, absent text is `""` as Zoho writes it itself.
Numbers may come as strings and the reverse; unknown fields are ignored (billing-api §3).
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


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


# ----------------------------------------------- catalogue, subscriptions, invoices, payments


def _shown_money(value: object) -> object:
    """Read absent as «not shown», which is not zero: list rows leave most amounts out."""
    return None if value is None or value == "" else _money(value)


def _day(value: object) -> object:
    """Read `2016-06-05`, and the day of a time; absent and empty are none."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) > len("2016-06-05"):
        return value[: len("2016-06-05")]
    return value


def _flag(value: object) -> object:
    """Read `"true"` and `"false"`, which older fields come as (billing-api §3); absent is no."""
    if value is None or value == "":
        return False
    return value


def _rows(value: object) -> object:
    """Read an absent list (null, or Zoho's empty string) as an empty one."""
    return () if value is None or value == "" else value


ShownMoney = Annotated[Decimal | None, BeforeValidator(_shown_money)]
Day = Annotated[date | None, BeforeValidator(_day)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Count = Annotated[int | None, BeforeValidator(lambda value: None if value == "" else value)]


class RemoteProduct(_Remote):
    """A product of Zoho: what plans belong to. Its name is not unique there."""

    zoho_id: Id = Field(alias="product_id")
    name: Text = ""
    status: Text = ""
    created_time: Moment = None


class RemotePlan(_Remote):
    """A plan of Zoho, which its paths address by `plan_code`."""

    zoho_id: Text = Field(default="", alias="plan_id")
    plan_code: Id
    name: Text = ""
    recurring_price: ShownMoney = None
    setup_fee: ShownMoney = None
    interval: Count = None
    interval_unit: Text = ""
    billing_cycles: Count = None
    product_id: Text = ""
    tax_id: Text = ""
    status: Text = ""


class RemoteSubscription(_Remote):
    """A subscription of Zoho. List rows are flat; details hold `plan` and `customer`.

    `end_of_term` says that a change waits for the end of the term: plan and price are the old ones
    until then. What is scheduled stands in an answer of its own (`/scheduledchanges`), empty and
    None here where it was not read.
    """

    zoho_id: Id = Field(alias="subscription_id")
    subscription_number: Text = ""
    customer_id: Text = ""
    reference_id: Text = ""
    status: Text = ""
    plan_code: Text = ""
    price: ShownMoney = None
    amount: ShownMoney = None
    starts_at: Day = None
    activated_at: Day = None
    current_term_starts_at: Day = None
    current_term_ends_at: Day = None
    last_billing_at: Day = None
    next_billing_at: Day = None
    expires_at: Day = None
    cancelled_at: Day = None
    auto_collect: Flag = False
    end_of_term: Flag = False
    scheduled_plan_code: Text = ""
    scheduled_price: ShownMoney = None
    child_invoice_id: Text = ""
    currency_code: Text = ""
    created_time: Moment = None

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, row: object) -> object:
        if not isinstance(row, Mapping):
            return row
        flat = dict(row)
        for nested, names in (("plan", ("plan_code", "price")), ("customer", ("customer_id",))):
            inner = row.get(nested)
            if isinstance(inner, Mapping):
                for name in names:
                    flat.setdefault(name, inner.get(name))
        return flat

    @property
    def starts_on(self) -> date | None:
        """The day from which Zoho bills: of all its dates the first term's, where it is shown.

        The answers name no `starts_at` (billing-api §4.3); the current term moves on with each
        renewal, so it comes last. What has not begun shows only when it will be billed first.
        """
        shown = self.starts_at or self.activated_at or self.current_term_starts_at
        return self.next_billing_at if shown is None and self.status == "future" else shown


class RemoteInvoicePayment(_Remote):
    """A payment as the detail of an invoice shows it: no index delays this row."""

    zoho_id: Id = Field(alias="payment_id")
    reference_number: Text = ""
    amount: Money = Decimal(0)
    date: Day = None
    payment_mode: Text = ""


class RemoteInvoiceItem(_Remote):
    """A line of an invoice."""

    name: Text = ""
    description: Text = ""
    price: ShownMoney = None
    quantity: ShownMoney = None
    item_total: ShownMoney = None
    tax_id: Text = ""


class RemoteInvoice(_Remote):
    """An invoice of Zoho, in either spelling.

    Create and update answer with `invoice_number`, `date`, `last_modified_time`; list and get with
    `number`, `invoice_date`, `updated_time` (billing-api §4.4). Amounts that a row leaves out are
    None, not zero.
    """

    zoho_id: Id = Field(alias="invoice_id")
    number: Text = Field(default="", validation_alias=AliasChoices("number", "invoice_number"))
    date: Day = Field(default=None, validation_alias=AliasChoices("date", "invoice_date"))
    due_date: Day = None
    status: Text = ""
    customer_id: Text = ""
    reference_number: Text = ""
    currency_code: Text = ""
    is_inclusive_tax: Flag = False
    tax_rounding: Text = ""
    sub_total: ShownMoney = None
    tax_total: ShownMoney = None
    total: ShownMoney = None
    balance: ShownMoney = None
    payment_made: ShownMoney = None
    credits_applied: ShownMoney = None
    write_off_amount: ShownMoney = None
    items: Annotated[tuple[RemoteInvoiceItem, ...], BeforeValidator(_rows)] = Field(
        default=(), validation_alias=AliasChoices("invoice_items", "items")
    )
    payments: Annotated[tuple[RemoteInvoicePayment, ...], BeforeValidator(_rows)] = ()
    subscription_ids: tuple[str, ...] = ()
    created_time: Moment = None
    updated_time: Moment = Field(
        default=None, validation_alias=AliasChoices("updated_time", "last_modified_time")
    )

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, row: object) -> object:
        """Drop an empty twin of a doubled field, and collect the subscriptions it bills."""
        if not isinstance(row, Mapping):
            return row
        twins = ("number", "invoice_number", "date", "invoice_date")
        kept = {name: value for name, value in row.items() if value or name not in twins}
        if "subscription_ids" not in kept:
            named = [row.get("subscription_id")]
            listed = row.get("subscriptions")
            if isinstance(listed, list):
                named += [each.get("subscription_id") for each in listed if isinstance(each, dict)]
            kept["subscription_ids"] = tuple(
                dict.fromkeys(str(_text(each)) for each in named if each)
            )
        return kept

    def total_before_credits(self) -> tuple[Decimal, ...]:
        """Give the readings of `total`: as it stands, and with the credits that were applied.

        Zoho's text says that the total is determined after credits; its figures are seen both ways.
        """
        if self.total is None:
            return ()
        return tuple(dict.fromkeys((self.total, self.total + (self.credits_applied or 0))))


class RemoteAppliedInvoice(_Remote):
    """An invoice as a payment shows it: what of the payment it took."""

    zoho_id: Id = Field(alias="invoice_id")
    number: Text = Field(default="", validation_alias=AliasChoices("invoice_number", "number"))
    amount_applied: Money = Decimal(0)
    balance_amount: ShownMoney = None


class RemotePayment(_Remote):
    """A payment of Zoho. Nothing of it is unique there: ours is told by `reference_number`."""

    zoho_id: Id = Field(alias="payment_id")
    customer_id: Text = ""
    payment_mode: Text = ""
    amount: Money = Decimal(0)
    amount_refunded: Money = Decimal(0)
    date: Day = None
    status: Text = ""
    reference_number: Text = ""
    account_id: Text = ""
    currency_code: Text = ""
    invoices: Annotated[tuple[RemoteAppliedInvoice, ...], BeforeValidator(_rows)] = ()
    created_time: Moment = None


class RemoteTransaction(_Remote):
    """A row of a customer's transactions; `amount` is a number or its digits."""

    zoho_id: Id = Field(alias="transaction_id")
    reference_id: Text = ""
    date: Day = None
    type: Text = ""
    status: Text = ""
    amount: Money = Decimal(0)


SENT_FIELDS: Final = (
    # customers
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
    # products and plans
    "name",
    "plan_code",
    "recurring_price",
    "interval",
    "interval_unit",
    "billing_cycles",
    "product_id",
    "tax_id",
    # subscriptions
    "customer_id",
    "plan",
    "price",
    "exclude_setup_fee",
    "reference_id",
    "auto_collect",
    "starts_at",
    "end_of_term",
    # invoices
    "invoice_number",
    "date",
    "due_date",
    "is_inclusive_tax",
    "invoice_items",
    "description",
    "quantity",
    # payments
    "payment_mode",
    "amount",
    "reference_number",
    "invoices",
    "invoice_id",
    "amount_applied",
    "account_id",
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
    return named if named in SENT_FIELDS else None
