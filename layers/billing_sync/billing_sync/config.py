"""What the environment says, validated; each function reads only the groups that it uses.

The door's own group stands in `billing_sync.environment`, which costs a cold start next to nothing.
"""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from billing_sync.domain.catalogue import ProductNames
from billing_sync.domain.data_centres import DATA_CENTRES
from billing_sync.domain.display_names import DisplayNames
from billing_sync.domain.invoices import Linking
from billing_sync.domain.money import read_json
from billing_sync.domain.ownership import Ownership, RecurringInvoicesOwner, word_of
from billing_sync.domain.payments import ANY, PaymentMode, PaymentWay, PaymentWays
from billing_sync.domain.tax import Prices, Rounding, TaxKind, TaxSetting
from billing_sync.domain.timing import Timing
from billing_sync.environment import Settings

ACCOUNT_NUMBER_LABEL: Final = "Account Number"
"""The label of the custom field of Zoho's customers that holds ours (made once, in its UI)."""


ZOHO_LABELS: Final = frozenset({"zoho", "zohoapis", "zohocloud"})


class CommonSettings(Settings):
    """What every function knows."""

    organisation_id: Annotated[str, Field(pattern=r"^[0-9]{4,20}$")]
    time_scale: Annotated[float, Field(gt=0)] = 1.0


class DatabaseSettings(Settings):
    """The functions' way into the database."""

    database_secret_arn: str


class OwnerSettings(Settings):
    """The owner's way into the database, for `migrate` alone."""

    database_owner_secret_arn: str
    functions_role: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")] = "billing_sync_functions"


class ZohoSettings(CommonSettings):
    """Zoho's hosts, credentials, limits and clocks."""

    zoho_secret_arn: str
    zoho_token_secret_arn: str
    zoho_data_centre: Literal[tuple(DATA_CENTRES)] = "com"  # type: ignore[valid-type]  # the table is the list
    zoho_api_url: str | None = None
    zoho_accounts_url: str | None = None
    zoho_writes: Literal["off", "on"] = "off"
    http_deadline_seconds: Annotated[float, Field(gt=0, le=60)] = 20.0
    send_window_seconds: Annotated[float, Field(gt=0, le=30)] = 5.0
    proof_delay_seconds: Annotated[float, Field(ge=60)] = 300.0
    calls_per_minute: Annotated[int, Field(ge=1, le=100)] = 90
    calls_per_day: Annotated[int, Field(ge=1)] = 1000
    calls_in_flight: Annotated[int, Field(ge=1, le=10)] = 5

    @property
    def accounts_url(self) -> str:
        """The OAuth server's base URL."""
        return self.zoho_accounts_url or DATA_CENTRES[self.zoho_data_centre][1]

    @property
    def api_url(self) -> str | None:
        """The API's base URL; None takes the one that came with the token."""
        return self.zoho_api_url

    @property
    def is_real_zoho(self) -> bool:
        """Whether any of the hosts is Zoho's own."""
        hosts = (self.accounts_url, self.api_url or DATA_CENTRES[self.zoho_data_centre][0])
        return any(is_zoho_host(url) for url in hosts)

    @property
    def timing(self) -> Timing:
        """The protocol's durations."""
        return Timing(
            scale=self.time_scale,
            http_deadline_seconds=self.http_deadline_seconds,
            send_window_seconds=self.send_window_seconds,
            proof_delay_unscaled_seconds=self.proof_delay_seconds,
        )

    @model_validator(mode="after")
    def _real_zoho_has_real_time(self) -> Self:
        """Refuse a scaled clock against Zoho itself: it would breach every limit."""
        if self.time_scale != 1 and self.is_real_zoho:
            raise ValueError("TIME_SCALE must be 1 for a real Zoho host")
        return self


def _from_json(given: object) -> object:
    """Read a variable that holds a JSON list; its numbers stay as they are written."""
    if not isinstance(given, str):
        return given
    try:
        read = read_json(given)
    except ValueError:
        raise ValueError("it must be a JSON list, and it is no JSON") from None
    if not isinstance(read, list):
        raise ValueError("it must be a JSON list")  # noqa: TRY004 - pydantic reports a ValueError
    return read


def _from_iso(given: object) -> object:
    """Read a day; without this, pydantic would take `20260101` for a number of seconds."""
    if not isinstance(given, str):
        return given
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", given):
        raise ValueError("it must be a day such as 2026-01-01")
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise ValueError("there is no such day") from None


def _words(given: object) -> object:
    """Read words separated by commas, in the form in which they are compared."""
    if not isinstance(given, str):
        return given
    return frozenset(word for part in given.split(",") if (word := word_of(part)))


class Row(BaseModel):
    """A row of a setting that is a table. A field that nobody knows is a misspelt one."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TaxRow(Row):
    """A tax as it is looked for in Zoho."""

    kind: TaxKind
    name: Annotated[str, Field(min_length=1, max_length=100)]
    percentage: Annotated[Decimal, Field(ge=0, le=100)]

    @model_validator(mode="after")
    def _kind_fits_its_rate(self) -> Self:
        if (self.kind is TaxKind.STANDARD) != (self.percentage > 0):
            raise ValueError("standard is above 0 %, zero and exempt are at 0 %")
        return self


class PaymentWayRow(Row):
    """How payments of a provider and a method are written in Zoho; `*` stands for any."""

    provider: Annotated[str, Field(min_length=1, max_length=100)] = ANY
    method: Annotated[str, Field(min_length=1, max_length=100)] = ANY
    mode: PaymentMode
    account_id: Annotated[str, Field(pattern=r"^[0-9]{0,25}$")] = ""


def _once(keys: Iterable[tuple[str, ...]]) -> None:
    repeated = [key for key, count in Counter(keys).items() if count > 1]
    if repeated:
        raise ValueError(f"{' / '.join(repeated[0])} stands there more than once")


def _each_kind_once(rows: tuple[TaxRow, ...]) -> tuple[TaxRow, ...]:
    _once((row.kind.value,) for row in rows)
    return rows


def _each_pair_once(rows: tuple[PaymentWayRow, ...]) -> tuple[PaymentWayRow, ...]:
    _once((word_of(row.provider), word_of(row.method)) for row in rows)
    return rows


SOUTH_AFRICA: Final = (
    TaxRow(kind=TaxKind.STANDARD, name="Standard Rate", percentage=Decimal(15)),
    TaxRow(kind=TaxKind.ZERO, name="Zero Rate", percentage=Decimal(0)),
    TaxRow(kind=TaxKind.EXEMPT, name="Exempt", percentage=Decimal(0)),
)
"""VAT as Zoho's edition for South Africa names it."""

USUAL_WAYS: Final = tuple(
    PaymentWayRow(method=method, mode=mode)
    for method, mode in (
        ("eft", PaymentMode.BANK_TRANSFER),
        ("bank_transfer", PaymentMode.BANK_TRANSFER),
        ("debit_order", PaymentMode.BANK_TRANSFER),
        ("card", PaymentMode.CREDIT_CARD),
        ("credit_card", PaymentMode.CREDIT_CARD),
        ("cash", PaymentMode.CASH),
    )
)
"""What a word alone tells, whoever the provider is; preflight lists what no row maps."""

SHORTEST_MONTH: Final = 28

Day = Annotated[date | None, BeforeValidator(_from_iso)]
Days = Annotated[int, Field(ge=0, lt=SHORTEST_MONTH)]


class SyncSettings(Settings):
    """How records are sent."""

    display_name_template: str = "{name} ({account_number})"
    status_columns: Literal["off", "on"] = "on"
    snapshot_max_age_hours: Annotated[float, Field(gt=0, le=24 * 7)] = 24.0
    work_off_hours: Annotated[float, Field(ge=0, le=24 * 7)] = 2.0
    recurring_invoices_owner: RecurringInvoicesOwner = RecurringInvoicesOwner.ZOHO
    recurring_invoice_types: Annotated[
        frozenset[str], BeforeValidator(_words), Field(min_length=1)
    ] = frozenset({"recurring"})
    invoices_from: Day = None
    payments_from: Day = None
    prices_in_zoho: Prices = Prices.INCLUSIVE
    tax_rounding: Rounding = Rounding.LINE
    taxes: Annotated[
        tuple[TaxRow, ...], BeforeValidator(_from_json), AfterValidator(_each_kind_once)
    ] = SOUTH_AFRICA
    payment_ways_table: Annotated[
        tuple[PaymentWayRow, ...],
        BeforeValidator(_from_json),
        AfterValidator(_each_pair_once),
        Field(alias="payment_ways"),
    ] = USUAL_WAYS
    product_name_prefix: Annotated[str, Field(max_length=50)] = ""
    link_days_before: Days = 3
    link_days_after: Days = 10
    invoice_due_after_days: Days = 3

    @property
    def ownership(self) -> Ownership:
        """Who bills what, and from which day on."""
        return Ownership(
            self.recurring_invoices_owner,
            self.recurring_invoice_types,
            self.invoices_from,
            self.payments_from,
        )

    @property
    def prices(self) -> Prices:
        """Whether the prices of plans hold their tax in Zoho."""
        return self.prices_in_zoho

    @property
    def rounding(self) -> Rounding:
        """Whether Zoho rounds tax for each line, or once."""
        return self.tax_rounding

    @property
    def tax_settings(self) -> tuple[TaxSetting, ...]:
        """The taxes that are looked for in Zoho by name and rate."""
        return tuple(TaxSetting(row.kind, row.name, row.percentage) for row in self.taxes)

    @property
    def payment_ways(self) -> PaymentWays:
        """The table provider/method to Zoho's mode and account."""
        return PaymentWays(
            tuple(
                PaymentWay(row.provider, row.method, row.mode, row.account_id)
                for row in self.payment_ways_table
            )
        )

    @property
    def product_names(self) -> ProductNames:
        """How products are named in Zoho."""
        return ProductNames(self.product_name_prefix)

    @property
    def linking(self) -> Linking:
        """How an invoice that Zoho raised is recognised, and when it must be there."""
        return Linking(self.link_days_before, self.link_days_after, self.invoice_due_after_days)

    @model_validator(mode="after")
    def _names_hold_the_account_number(self) -> Self:
        DisplayNames(self.display_name_template)
        return self

    @model_validator(mode="after")
    def _window_holds_one_renewal(self) -> Self:
        """Refuse a window in which two renewals of one service would both fit."""
        window = self.link_days_before + self.link_days_after
        if window >= SHORTEST_MONTH:
            raise ValueError(
                f"LINK_DAYS_BEFORE and LINK_DAYS_AFTER come to {window} days; they must stay below"
                f" {SHORTEST_MONTH}, or two renewals of one service would both fit"
            )
        return self


class DashboardSettings(Settings):
    """What the dashboard's buttons call."""

    operate_function_arn: Annotated[
        str, Field(pattern=r"^arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[\w-]+$")
    ]


class StorageSettings(Settings):
    """Where plans and reports are kept."""

    runs_bucket: str


def is_zoho_host(url: str) -> bool:
    """Say whether a URL leads to Zoho itself."""
    labels = (urlsplit(url).hostname or "").split(".")
    return bool(ZOHO_LABELS.intersection(labels))
