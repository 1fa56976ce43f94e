"""What the demo's Zoho holds before anything of ours runs, and how fast its clocks go.

`make up` starts with the same content, so that what the demo shows can be tried by hand.
"""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final

from ops.demo.books import months_on
from ops.fake_zoho import (
    FakeZohoConfig,
    Limits,
    OrganisationConfig,
    SeedCustomer,
    Switches,
)
from ops.local_stack.stack import StackOptions

CUSTOMERS: Final = 13
NEWCOMERS: Final = 1
"""Who registers at the end, in real time."""

TEST_ACCOUNTS: Final = ("CT-2025-00001", "CT-2025-00003")

RENEWALS: Final = 2
"""How many months the calendar passes."""

SKIPPED: Final = {"customers": 2, "subscriptions": 4, "invoices": 7, "payments": 6}
"""What is not to be sent: test accounts with all that is theirs, a service that is pending, one
suspended and one cancelled before they had a subscription; invoices that are a draft, of no amount,
void or cancelled before they were sent; payments that are pending, failed, or taken back before."""

WAITING: Final = 1
"""Invoices that the application wrote ahead: Zoho raises them in two days."""

KEPT_BY_ACCOUNT_NUMBER: Final = "CT-2025-00014"
"""Customer 10: no e-mail, and in Zoho already, under a name that finance typed."""

LOOKS_ALIKE: Final = "CT-2025-00009"
"""Customer 7: somebody in Zoho has his e-mail, a shorter name, and no account number."""

LOOKS_ALIKE_EMAIL: Final = "anton@newgate-medical.example"

UNKNOWN_HERE: Final = "CT-2025-00099"

CALLS_PER_MINUTE: Final = 28

# How many of the protocol's seconds pass in a real one. The larger, the shorter are the waits, and
# the shorter lives an access token: 3600 / 24 = 150 s, renewed 12.5 s before its end. The demo must
# do with one.
TIME_SCALE: Final = 24

# Zoho's limits are ours: one call too many, at any moment, would be answered 429. At 28 calls a
# minute the next call is 2.1 s away, which is longer than a Lambda sleeps (2 s): the state machine
# waits. The HTTP deadline and the send window are real seconds, whatever the scale; with the proof
# delay (unscaled, and longer than the index lags) they make a lost answer's proof due after
# 2 + 2 + 60 / 24 = 6.5 s. What falls due within a quarter of an hour is waited for at the end of a
# run; an invoice that Zoho has not raised is looked for again after an hour.
PARAMETERS: Final[dict[str, str | int | float]] = {
    "ZohoWrites": "on",
    "CallsPerMinute": CALLS_PER_MINUTE,
    "HttpDeadlineSeconds": 2,
    "SendWindowSeconds": 2,
    "ProofDelaySeconds": 60,
    "WorkOffHours": 0.25,
    # Live as the sync is from the first clean run on, the sweep would bring some of what the runs
    # and the webhooks are there to show, now more of it and now less.
    "SweepSchedule": "DISABLED",
}
INDEX_LAG_SECONDS: Final = 10


def demo_day(real: date) -> date:
    """Give the day on which the demo's history ends: the 20th that comes next.

    Never a day that is over: what is made in Zoho would then seem older than the call that made it.
    """
    day = real.replace(day=20)
    return day if day > real else months_on(day, 1)


def last_day(today: date) -> date:
    """Give the day to which the calendar passes on."""
    return months_on(today, RENEWALS)


def zoho() -> FakeZohoConfig:
    """Give fake Zoho's configuration: its limits, its index, and four customers kept by hand."""
    organisation = OrganisationConfig(limits=Limits(calls_per_minute=CALLS_PER_MINUTE))
    return FakeZohoConfig(
        time_scale=TIME_SCALE,
        organisations=[organisation],
        switches=Switches(index_lag_seconds=INDEX_LAG_SECONDS, tax_rounding="line"),
        seed={organisation.organization_id: kept_by_hand()},
    )


def options() -> StackOptions:
    """Give the options of the demo's stack."""
    return StackOptions(
        zoho=zoho(),
        time_scale=TIME_SCALE,
        parameters=PARAMETERS,
        today=demo_day(datetime.now(UTC).date()),
    )


def options_for_playing() -> StackOptions:
    """Give the options of a stack that a person plays with: tokens live for a real hour there.

    At the demo's scale they would be gone after two minutes, between two commands; and a token
    that Zoho refuses would then meet preflight, which starts nothing without one, and not the run
    that is to heal. The sweep runs there, every real minute.
    """
    played = zoho()
    rules = played.tokens.model_copy(
        update={"life_seconds": played.tokens.life_seconds * TIME_SCALE}
    )
    return replace(
        options(),
        zoho=played.model_copy(update={"tokens": rules}),
        parameters=PARAMETERS | {"SweepSchedule": "ENABLED"},
    )


def kept_by_hand() -> list[SeedCustomer]:
    """Give the customers that people made in Zoho's own screens, the oldest first."""
    return [
        # No e-mail either, and older: the first hit of a search for nothing.
        _made(
            datetime(2021, 3, 8, 7, 15, tzinfo=UTC),
            display_name="Dlamini Trading",
            company_name="Dlamini Trading CC",
            first_name="Bongani",
            last_name="Mthembu",
            phone="+27315550182",
            notes="Pays by debit order on the 25th.",
        ),
        _made(
            datetime(2024, 6, 3, 9, 40, tzinfo=UTC),
            display_name="Lindiwe Khumalo",
            first_name="Lindiwe",
            last_name="Khumalo",
            email="lindiwe.khumalo@mail.example",
            account_number=UNKNOWN_HERE,
        ),
        _made(
            datetime(2025, 2, 20, 12, 5, tzinfo=UTC),
            display_name="Newgate Medical",
            company_name="Newgate Medical",
            email=LOOKS_ALIKE_EMAIL,
        ),
        _made(
            datetime(2025, 9, 1, 6, 30, tzinfo=UTC),
            display_name="N. Dlamini",
            first_name="Nomvula",
            last_name="Dlamini",
            account_number=KEPT_BY_ACCOUNT_NUMBER,
        ),
    ]


def _made(at: datetime, *, account_number: str | None = None, **profile: Any) -> SeedCustomer:
    if account_number is not None:
        profile["custom_fields"] = [{"label": "Account Number", "value": account_number}]
    return SeedCustomer(profile=profile, created_time=at)
