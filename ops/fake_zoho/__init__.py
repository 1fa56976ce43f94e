"""Fake Zoho: Zoho Billing's API over HTTP, with its limits, its tokens and its bad days.

Run it with `python -m ops.fake_zoho` (one JSON line on stdout: `url`, `accounts_url`, `api_url`,
`pid`), or beside a test::

    with running_fake_zoho(FakeZohoConfig(time_scale=60)) as zoho:
        zoho.url                        # both hosts; clients add /oauth/v2/token, /billing/v1/...
        zoho.fake                       # the FakeZoho, for reading
        zoho.control                    # a FakeZohoControl: steer it and look into it

What it is told (`FakeZohoConfig`, one JSON document): organisations with limits, custom fields and
taxes; credentials with scopes; `Switches`, for what is unknown of Zoho or set per organisation;
plans (`SeedPlan`) and customers with all that is theirs (`SeedCustomer`) kept by hand.

`FakeZohoControl(url)`, over HTTP, so from any process: `state()` → `Holdings` (customers, mails,
counters), `counters()`, `customers()`, `log()` → `[LogEntry]`, `seed([...])` → ids,
`seed_by_hand(ByHand(plans=..., customers=..., invoices={customer_id: [...]}))` → `MadeIds`,
`reset()`,
`arm(fault)` → id, `faults_met()`, `clear_faults()`, `switches()`, `switch(name=value)`,
`limit(calls_per_minute=...)`, `set_calendar(moment)`, `advance_calendar(seconds)`,
`advance_clock(seconds)`, `revoke_access_tokens()`.

Faults: `AnswerLost`, `CommitDelayed`, `AnswerDelayed`, `BadGateway`, `InternalError`,
`TruncatedJson`, `CodeNotZero`, `WithoutId`, `Throttled`, `DeadToken`, `RefuseToken`,
`FiltersIgnored`, `FieldAltered`; each takes `operation`, `display_name_contains`, `body_contains`,
`path_contains`, `count`, `skip`. Operations are named as in the log: `ops.fake_zoho.operations.ALL`
has them all (`create_customer`, `create_plan`, `create_invoice`, `convert_invoice_to_open`, ...,
`mint_token`). To meet the second step of a write of two, name its operation.

The calendar makes invoices: when it moves, subscriptions start, renew, change, end and expire on
their dates, and open invoices become overdue. Not modelled: addons, coupons, cards (all of them
"do not exist"), discounts of whole invoices, refunds, credit notes of their own, write-offs.

Proof from the log: `max_in_any_window(log, seconds)`, `max_in_flight(log)`.

Time: limits, tokens and the index's lag run `time_scale` times as fast as real time, and the log's
times are theirs; the calendar, which dates the records, runs at real speed and jumps on demand;
latency and the delays of faults are real.
"""

from ops.fake_zoho.app import create_app
from ops.fake_zoho.by_hand import ByHand, MadeIds
from ops.fake_zoho.client import FakeZohoControl
from ops.fake_zoho.clock import LimitsClock
from ops.fake_zoho.config import (
    Credential,
    CustomField,
    FakeZohoConfig,
    Limits,
    OrganisationConfig,
    SeedCustomer,
    SeedInvoice,
    SeedPayment,
    SeedPlan,
    SeedSubscription,
    Switches,
    Tax,
    TokenRules,
)
from ops.fake_zoho.fake import Counters, FakeZoho, Holdings
from ops.fake_zoho.faults import (
    AnswerDelayed,
    AnswerLost,
    AnyFault,
    BadGateway,
    CodeNotZero,
    CommitDelayed,
    DeadToken,
    FieldAltered,
    FiltersIgnored,
    InternalError,
    Refused,
    RefuseToken,
    Throttled,
    TruncatedJson,
    WithoutId,
)
from ops.fake_zoho.outbox import Mail
from ops.fake_zoho.requestlog import LogEntry, max_in_any_window, max_in_flight
from ops.fake_zoho.server import RunningFake, running_fake_zoho

__all__ = [
    "AnswerDelayed",
    "AnswerLost",
    "AnyFault",
    "BadGateway",
    "ByHand",
    "CodeNotZero",
    "CommitDelayed",
    "Counters",
    "Credential",
    "CustomField",
    "DeadToken",
    "FakeZoho",
    "FakeZohoConfig",
    "FakeZohoControl",
    "FieldAltered",
    "FiltersIgnored",
    "Holdings",
    "InternalError",
    "Limits",
    "LimitsClock",
    "LogEntry",
    "MadeIds",
    "Mail",
    "OrganisationConfig",
    "RefuseToken",
    "Refused",
    "RunningFake",
    "SeedCustomer",
    "SeedInvoice",
    "SeedPayment",
    "SeedPlan",
    "SeedSubscription",
    "Switches",
    "Tax",
    "Throttled",
    "TokenRules",
    "TruncatedJson",
    "WithoutId",
    "create_app",
    "max_in_any_window",
    "max_in_flight",
    "running_fake_zoho",
]
