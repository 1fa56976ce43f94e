"""Ask Zoho what preflight must know: token, data centre, scopes, organisation, taxes, quota.

Three reads for customers, and one for each module more that the phases need.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from billing_sync.domain.errors import (
    CallFailed,
    GoneInZoho,
    Misconfigured,
    NotNow,
    Rejected,
    TokenRefused,
)
from billing_sync.domain.findings import blocking
from billing_sync.domain.remote import Organisation, Tax
from billing_sync.domain.steps import Finding, Phase, Severity
from billing_sync.domain.timing import Timing
from billing_sync.ports import Clock, OrganisationReads, Quota, Tokens

PATIENCE_SECONDS: Final = 20.0
"""How long preflight waits for permits in all, in short sleeps; it makes three to eight reads."""

ROWS_PER_PAGE: Final = 200

WRITES_FOR: Final = {"customers": 1, "packages": 1, "services": 1, "invoices": 2, "payments": 2}
"""By view: the calls of a new record. A draft is opened; a payment looks at its invoice first."""

PHASE_OF: Final = {
    "customers": Phase.CUSTOMERS,
    "packages": Phase.SUBSCRIPTIONS,
    "services": Phase.SUBSCRIPTIONS,
    "invoices": Phase.INVOICES,
    "payments": Phase.PAYMENTS,
}
NOBODYS_PLAN: Final = "billing-sync-preflight"
NOBODYS_ID: Final = "1"
"""Asked for where there is no list to be read: that it is not there is answer enough."""


@dataclass(frozen=True, slots=True)
class PreflightZoho:
    """What preflight needs of Zoho; its token and permits are rows of our database."""

    api: OrganisationReads
    tokens: Tokens
    quota: Quota


class ZohoCheck:
    """One look at Zoho; afterwards `organisation`, `customers` and `taxes` say what was seen there.

    A `taxes` of None was not read; an empty one is an organisation that charges no VAT.
    """

    def __init__(
        self,
        zoho: PreflightZoho,
        clock: Clock,
        timing: Timing,
        *,
        organisation_id: str,
        expected_api_url: str | None,
    ) -> None:
        """`expected_api_url` is the configured data centre's; None: the host is configured."""
        self._zoho = zoho
        self._clock = clock
        self._timing = timing
        self._organisation_id = organisation_id
        self._expected_api_url = expected_api_url
        self.organisation: Organisation | None = None
        self.customers: int | None = None
        self.taxes: list[Tax] | None = None
        self._patient_until: float | None = None

    def __call__(self, rows: Mapping[str, int], phases: Sequence[Phase]) -> Iterator[Finding]:
        """Give the findings; `rows` of the source's views tell how many calls a run may take."""
        try:
            token = self._zoho.tokens.current()
        except NotNow as failure:
            yield _not_now(failure)
            return
        except Misconfigured as failure:
            yield token_finding(failure)
            return
        yield from self._check_data_centre(token.api_domain)
        yield from self._check_organisation()
        yield from self._check_taxes()
        yield from self._check_customers()
        yield from self._check_modules(phases)
        yield from self._check_quota(rows, phases)

    def _check_data_centre(self, api_url: str) -> Iterator[Finding]:
        expected = self._expected_api_url
        if expected is not None and not _same_host(api_url, expected):
            yield blocking(
                "wrong_data_centre",
                "Zoho keeps this account in another data centre: its API is at"
                f" {urlsplit(api_url).hostname}.",
                "Set ZohoDataCentre to the end of that host's name.",
            )

    def _check_organisation(self) -> Iterator[Finding]:
        try:
            visible = self._patiently(self._zoho.api.organisations)
        except CallFailed as failure:
            yield _call_finding(failure, "the organisations", "ZohoSubscriptions.settings.READ")
            return
        mine = [one for one in visible if one.organisation_id == self._organisation_id]
        if not mine:
            ids = ", ".join(one.organisation_id for one in visible[:10]) or "none"
            yield blocking(
                "organisation_not_found",
                f"The token does not see the organisation {self._organisation_id}; it sees {ids}.",
                "Set OrganisationId to the right one, or let a user of that organisation make the"
                " refresh token.",
            )
            return
        organisation = self.organisation = mine[0]
        yield from _judge_organisation(organisation)

    def _check_taxes(self) -> Iterator[Finding]:
        if self.organisation is None:
            return  # the same scope, and nobody's taxes
        try:
            self.taxes = self._patiently(self._zoho.api.taxes)
        except CallFailed as failure:
            yield _call_finding(failure, "the taxes", "ZohoSubscriptions.settings.READ")

    def _check_modules(self, phases: Sequence[Phase]) -> Iterator[Finding]:
        """Read something of each module that the phases write; their parents go along.

        At the first failure it ends. A scope that is missing costs an access token to find out, of
        which Zoho gives ten in ten minutes, so all that are needed are named at once; and of a Zoho
        that hangs the function would not outlive many reads.
        """
        api = self._zoho.api
        last = max((list(Phase).index(phase) for phase in phases), default=0)
        reads: tuple[tuple[Phase, str, Callable[[], object]], ...] = (
            (Phase.SUBSCRIPTIONS, "products", lambda: api.list_products(1)),
            (Phase.SUBSCRIPTIONS, "plans", lambda: api.get_plan(NOBODYS_PLAN)),
            (Phase.SUBSCRIPTIONS, "subscriptions", lambda: api.list_subscriptions(1)),
            (Phase.INVOICES, "invoices", lambda: api.list_invoices(1)),
            (Phase.PAYMENTS, "payments", lambda: api.get_payment(NOBODYS_ID)),
        )
        wanted = [each for each in reads if list(Phase).index(each[0]) <= last]
        for _, module, read in wanted:
            try:
                self._patiently(read)
            except (GoneInZoho, Rejected):
                continue  # an answer about the id: the module may be read
            except CallFailed as failure:
                finding = _call_finding(
                    failure, f"the {module}", f"ZohoSubscriptions.{module}.READ"
                )
                if finding.code == "missing_scope":
                    scopes = ", ".join(f"ZohoSubscriptions.{name}.READ" for _, name, _ in wanted)
                    finding = finding.model_copy(
                        update={
                            "what_to_do": "Make a new refresh token; besides those of customers"
                            f" and settings the phases need {scopes}, and .CREATE and .UPDATE"
                            " of each."
                        }
                    )
                yield finding
                return

    def _check_customers(self) -> Iterator[Finding]:
        """Read a page of customers: what the phase, the snapshot and verify all need."""
        try:
            page = self._patiently(lambda: self._zoho.api.list_customers(1))
        except CallFailed as failure:
            yield _call_finding(failure, "the customers", "ZohoSubscriptions.customers.READ")
            return
        if not page.has_more:
            self.customers = len(page.rows)
        yield Finding(
            code="seen_only_by_writing",
            severity=Severity.NOTE,
            sentence="Zoho does not tell whether the token may create and update, nor whether"
            " customers have the custom field «Account Number»: the first record that is written,"
            " which goes alone, will show it.",
            what_to_do="See that the refresh token was made with .CREATE and .UPDATE of each module"
            " that it reads, and .DELETE of invoices and payments, and that the field exists:"
            " Settings, Preferences, Customers, Custom Fields.",
        )

    def _check_quota(self, rows: Mapping[str, int], phases: Sequence[Phase]) -> Iterator[Finding]:
        view = self._zoho.quota.view()
        if view.paused_until is not None:
            yield Finding(
                code="day_is_used_up",
                severity=Severity.WARNING,
                sentence="Zoho's calls of the day are used up; it is asked again at"
                f" {_utc(view.paused_until)}.",
                what_to_do="The run waits by itself.",
            )
        if view.blocked_until is not None:
            yield Finding(
                code="blocked_by_zoho",
                severity=Severity.WARNING,
                sentence=f"Zoho blocks the organisation's calls until {_utc(view.blocked_until)}.",
                what_to_do="The run waits by itself. See which other application calls so much.",
            )
        left = max(view.day_cap - view.taken_today, 0)
        sentence = f"{left} of the day's {view.day_cap} calls are left."
        here = {view: count for view, count in rows.items() if PHASE_OF.get(view) in phases}
        if here:
            # The writes, and the pages of Zoho's lists: twice, for the snapshot and for verify.
            listed = {**here, "customers": max(here.get("customers", 0), self.customers or 0)}
            pages = sum(
                -(-listed.get(view, 0) // ROWS_PER_PAGE)
                for view in ("customers", "services", "invoices")
            )
            calls = sum(WRITES_FOR[view] * count for view, count in here.items()) + 2 * pages
            sentence += f" The {_named(list(here))} here take about {calls}, if all are new."
        yield Finding(
            code="day_quota",
            severity=Severity.NOTE,
            sentence=sentence,
            what_to_do="Nothing: the run waits when they are used up. The plan says how long.",
        )

    def _patiently[Answer](self, read: Callable[[], Answer]) -> Answer:
        """Read, waiting in short sleeps for a permit that is nearly there."""
        if self._patient_until is None:
            self._patient_until = self._clock.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return read()
            except NotNow as refused:
                left = self._patient_until - self._clock.monotonic()
                if refused.resume_at is not None or refused.wait_seconds > left or left <= 0:
                    raise
                pause = min(max(refused.wait_seconds, 0.02), self._timing.longest_sleep_seconds)
                self._clock.sleep(pause)


def _not_now(failure: NotNow) -> Finding:
    if failure.resume_at is not None:
        when = f"It may be asked again at {_utc(failure.resume_at)}."
    else:
        when = f"It may be asked again in {failure.wait_seconds:.0f} s."
    if isinstance(failure, TokenRefused):
        return blocking(
            "token_refused",
            f"There is no access token. {failure.sentence} {when}",
            "Start again then. To ask sooner would make Zoho's cool-down longer.",
        )
    return blocking("zoho_not_now", f"{failure.sentence} {when}", "Start again then.")


MAKE_A_NEW_ONE: Final = "Make a new refresh token and put it into ZohoCredentialsSecret."
TOKEN_FAULTS: Final = {
    "invalid_code": ("dead_refresh_token", "the refresh token", MAKE_A_NEW_ONE),
    "invalid_grant": ("dead_refresh_token", "the refresh token", MAKE_A_NEW_ONE),
    "invalid_client": (
        "wrong_client_id",
        "the client id, at least not in this data centre",
        "Compare client_id in ZohoCredentialsSecret with api-console.zoho.com, and ZohoDataCentre.",
    ),
    "invalid_client_secret": (
        "wrong_client_secret",
        "the client secret",
        "Copy it from api-console.zoho.com: each data centre has its own.",
    ),
    "unauthorized_client": (
        "client_not_authorised",
        "this kind of client",
        "Make a server-based or self client at api-console.zoho.com.",
    ),
}
"""By the word of Zoho's OAuth server: our code, what it does not accept, and what mends it."""


def token_finding(failure: Misconfigured) -> Finding:
    """Say what is wrong with credentials or token, by the word of Zoho's OAuth server."""
    if failure.code not in TOKEN_FAULTS:
        return blocking(
            failure.code, failure.sentence, "See ZohoCredentialsSecret and ZohoTokenSecret."
        )
    code, what, what_to_do = TOKEN_FAULTS[failure.code]
    return blocking(code, f"Zoho does not accept {what} ({failure.code}).", what_to_do)


def _call_finding(failure: CallFailed, what: str, scope: str) -> Finding:
    """Say what a read that failed means for the run."""
    if isinstance(failure, NotNow):
        return _not_now(failure)
    code = failure.code if isinstance(failure, Misconfigured) else "zoho_unreadable"
    todo = {
        "missing_scope": f"Make a new refresh token with the scope {scope}.",
        "wrong_data_centre": "Set ZohoDataCentre to where the account is; ZohoApiUrl stays empty.",
        "wrong_api_url": "Leave ZohoApiUrl empty, and see whether ZohoDataCentre is right.",
        "no_organisation": "Let a user of the organisation make the refresh token.",
    }.get(code, "See Zoho's status page, then run `billing-sync preflight` again.")
    if code == "missing_scope":
        sentence = f"The token may not read {what}: the scope {scope} is missing."
    else:
        sentence = f"Reading {what} failed. {failure.sentence}"
    return blocking(code, sentence, todo)


def _judge_organisation(organisation: Organisation) -> Iterator[Finding]:
    if not organisation.is_active:
        yield blocking(
            "organisation_inactive",
            "The organisation is not active in Zoho.",
            "Activate it, or set OrganisationId to another.",
        )
    if not organisation.currency_code:
        yield blocking(
            "organisation_without_currency",
            "Zoho names no currency of the organisation.",
            "Finish the organisation's setup in Zoho.",
        )
    try:
        ZoneInfo(organisation.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        yield blocking(
            "time_zone_unknown",
            "The organisation's time zone is none that we know: no date could be told.",
            "Set it in Zoho: Settings, Organization Profile.",
        )
    if organisation.price_precision != 2:
        yield Finding(
            code="price_precision",
            severity=Severity.WARNING,
            sentence=f"Zoho keeps amounts with {organisation.price_precision} decimals, not 2.",
            what_to_do="See that this is meant: amounts are compared as they stand.",
        )


def _named(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _same_host(one: str, other: str) -> bool:
    return urlsplit(one).hostname == urlsplit(other).hostname
