"""What a fake Zoho is told: organisations, credentials, limits and switches, as one JSON document.

Facts that Zoho does not document, or that organisations can set, are *switches*: they can be
changed while the server runs. Every duration here is in Zoho's seconds, which `time_scale` makes
pass faster; only `latency_ms` is real time, because sockets are.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

EVERYTHING = "ZohoSubscriptions.fullaccess.all"


class Document(BaseModel):
    """Refuse unknown keys: a misspelt switch must not be a switch that does nothing."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


def _known_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("not a time zone of the IANA database") from error
    return name


Seconds = Annotated[float, Field(ge=0)]
TimeZoneName = Annotated[str, AfterValidator(_known_time_zone)]


class Limits(Document):
    """How much one organisation's callers may do together."""

    calls_per_minute: int = Field(default=100, ge=1)
    calls_per_day: int = Field(default=1000, ge=1)
    calls_in_flight: int = Field(default=5, ge=1)


class CustomField(Document):
    """One custom field, as made in Zoho's own screens."""

    label: str
    customfield_id: str
    api_name: str
    index: int = 1
    data_type: Literal["text", "number", "date"] = "text"


class Tax(Document):
    tax_id: str
    tax_name: str
    tax_percentage: Decimal
    is_default_tax: bool = False


def _taxes_of_south_africa() -> list[Tax]:
    return [
        Tax(
            tax_id="4815162000000000201",
            tax_name="Standard Rate",
            tax_percentage=Decimal(15),
            is_default_tax=True,
        ),
        Tax(tax_id="4815162000000000203", tax_name="Zero Rate", tax_percentage=Decimal(0)),
        Tax(tax_id="4815162000000000205", tax_name="Exempt", tax_percentage=Decimal(0)),
    ]


class OrganisationConfig(Document):
    organization_id: str = "60098765432"
    name: str = "Demo Telecoms"
    is_default_org: bool = True
    is_org_active: bool = True
    plan_name: str = "Free"
    currency_code: str = "ZAR"
    currency_symbol: str = "R"
    other_currencies: list[str] = ["EUR", "GBP", "USD"]
    time_zone: TimeZoneName = "Africa/Johannesburg"
    price_precision: int = 2
    id_prefix: str = Field(default="4815162", pattern=r"^[1-9]\d{6}$")
    limits: Limits = Limits()
    customer_custom_fields: list[CustomField] = [
        CustomField(
            label="Account Number",
            customfield_id="4815162000000000101",
            api_name="cf_account_number",
        )
    ]
    subscription_custom_fields: list[CustomField] = []
    invoice_custom_fields: list[CustomField] = []
    payment_custom_fields: list[CustomField] = []
    taxes: list[Tax] = Field(default_factory=_taxes_of_south_africa)
    is_registered_for_vat: bool = Field(
        default=True, description="False: no taxes are listed, and none is accepted"
    )
    invoice_number_prefix: str = "INV-"

    def usable_taxes(self) -> list[Tax]:
        return self.taxes if self.is_registered_for_vat else []


class Credential(Document):
    """One refresh token, its client, and what it may do. Nothing here is a real secret."""

    client_id: str = "1000.FAKECLIENT"
    client_secret: str = "fake-client-secret"  # noqa: S105 - of a fake
    refresh_token: str = "1000.fake.refresh"  # noqa: S105 - of a fake
    scopes: list[str] = [EVERYTHING]
    organisations: list[str] | None = Field(default=None, description="None: all of them")
    user_name: str = "billing-sync"


class TokenRules(Document):
    life_seconds: Seconds = 3600
    live_tokens: int = Field(default=15, ge=1)
    mints: int = Field(default=10, ge=1)
    mint_window_seconds: Seconds = 600


class Switches(Document):
    """What is unknown of Zoho, or can be set in an organisation: changeable at run time."""

    throttled_token_status: Literal[200, 400] = 400
    asking_while_refused_extends: bool = True
    refused_calls_count: bool = True
    day: Literal["rolling", "fixed"] = "rolling"
    block_seconds: Seconds | None = Field(
        default=None, description="after a 44; None: until the minute's window frees"
    )
    rate_limit_headers: bool = False
    retry_after_header: bool = False
    allow_duplicate_display_names: bool = True
    email_required: bool = False
    update_requires_display_name: bool = True
    refuse_nulls: bool = True
    accept_emoji: bool = True
    prices_inclusive: bool = Field(
        default=True, description="what plans and subscriptions cost contains the tax"
    )
    tax_rounding: Literal["line", "document"] = "document"
    free_text_lines: bool = Field(default=True, description="invoice lines without a product")
    refuse_own_number: bool = Field(
        default=False, description="without the flag; False: it is ignored, as was seen"
    )
    invoice_number_taken_code: int = 4060
    date_filters: bool = Field(default=True, description="of invoices and payments, as in Books")
    custom_payment_modes: bool = False
    apply_credits_automatically: bool = False
    prorate_changes: bool = Field(default=True, description="changes in the middle of a term")
    terms_end_the_day_before: bool = Field(
        default=False, description="before the next billing date, not on it"
    )
    notifications: bool = Field(default=False, description="mail invoices of subscriptions")
    reminders: bool = Field(default=False, description="mail customers who are late")
    index_lag_seconds: Seconds = 2
    latency_ms: tuple[int, int] = Field(default=(0, 0), description="real time, least and most")

    @model_validator(mode="after")
    def _latency_is_a_range(self) -> Self:
        least, most = self.latency_ms
        if not 0 <= least <= most:
            raise ValueError("latency_ms is [least, most], both at least 0")
        return self


class SeedSubscription(Document):
    """A subscription that people made; `profile` has the fields of Zoho's create call.

    One that starts in the past raises the invoice of its current term only if `profile` says
    `create_backdated_invoice`; the calendar does the rest.
    """

    profile: dict[str, Any]
    created_time: AwareDatetime
    created_by: str = "Finance"
    status: Literal["as_started", "non_renewing", "cancelled"] = "as_started"


class SeedInvoice(Document):
    """An invoice that people made; its number is `profile`'s `invoice_number`, else the next."""

    profile: dict[str, Any]
    created_time: AwareDatetime
    created_by: str = "Finance"
    state: Literal["draft", "open", "void"] = "open"


class SeedPayment(Document):
    """A payment that people noted; its `profile` names its `invoices` by `invoice_number`."""

    profile: dict[str, Any]
    created_time: AwareDatetime
    created_by: str = "Finance"


class SeedCustomer(Document):
    """A customer that people made in Zoho's own screens before anything of ours ran.

    `profile` has the fields of Zoho's create call, custom fields included. `outstanding` and
    `unused_credits` are opening figures, beside what its invoices and payments come to.
    """

    profile: dict[str, Any]
    created_time: AwareDatetime
    created_by: str = "Finance"
    status: Literal["active", "inactive"] = "active"
    outstanding: Decimal = Decimal(0)
    unused_credits: Decimal = Decimal(0)
    subscriptions: list[SeedSubscription] = Field(default_factory=list)
    invoices: list[SeedInvoice] = Field(default_factory=list)
    payments: list[SeedPayment] = Field(default_factory=list)


class SeedPlan(Document):
    """A plan that people made; `profile` has the fields of Zoho's create call, less the product."""

    product: str = Field(description="by name; it is made if nobody made it yet")
    profile: dict[str, Any]
    created_time: AwareDatetime
    created_by: str = "Finance"
    status: Literal["active", "inactive"] = "active"


class FakeZohoConfig(Document):
    time_scale: float = Field(default=1, gt=0)
    organisations: list[OrganisationConfig] = Field(
        default_factory=lambda: [OrganisationConfig()], min_length=1
    )
    credentials: list[Credential] = Field(default_factory=lambda: [Credential()])
    tokens: TokenRules = Field(default_factory=TokenRules)
    switches: Switches = Field(default_factory=Switches)
    seed: dict[str, list[SeedCustomer]] = Field(
        default_factory=dict, description="by organisation id"
    )
    seed_plans: dict[str, list[SeedPlan]] = Field(
        default_factory=dict, description="by organisation id; they are made before the customers"
    )
    calendar_start: AwareDatetime | None = None
    random_seed: int = 1

    @model_validator(mode="after")
    def _ids_fit_together(self) -> Self:
        known = [organisation.organization_id for organisation in self.organisations]
        if len(set(known)) != len(known):
            raise ValueError("two organisations with one id")
        refresh_tokens = [credential.refresh_token for credential in self.credentials]
        if len(set(refresh_tokens)) != len(refresh_tokens):
            raise ValueError("two credentials with one refresh token")
        named = {name for credential in self.credentials for name in credential.organisations or ()}
        if unknown := (named | set(self.seed) | set(self.seed_plans)) - set(known):
            raise ValueError(f"unknown organisations: {', '.join(sorted(unknown))}")
        return self
