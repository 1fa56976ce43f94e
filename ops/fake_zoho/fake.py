"""All that one fake Zoho knows, in one object: nothing of it is global."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from pydantic import BaseModel

from ops.fake_zoho import by_hand
from ops.fake_zoho.by_hand import ByHand
from ops.fake_zoho.clock import CalendarClock, LimitsClock
from ops.fake_zoho.config import FakeZohoConfig, Switches
from ops.fake_zoho.faults import FaultDesk
from ops.fake_zoho.inventory import inventory
from ops.fake_zoho.limits import MINUTE_SECONDS
from ops.fake_zoho.oauth import TokenOffice
from ops.fake_zoho.organisation import Organisation
from ops.fake_zoho.outbox import Mail
from ops.fake_zoho.replies import JsonObject
from ops.fake_zoho.requestlog import LogEntry, RequestLog, max_in_any_window, max_in_flight


class Counters(BaseModel):
    """What happened since the start or the last reset.

    `http_429` is by body code. The maxima are over all organisations: the most that any one saw.
    """

    calls: int = 0
    http_429: dict[int, int] = {}
    token_requests: int = 0
    tokens_minted: int = 0
    token_refusals: int = 0
    secrets_in_query: int = 0
    mails: int = 0
    max_in_flight: int = 0
    max_in_a_minute: int = 0


class Holdings(BaseModel):
    """The state that `/_fake/state` shows.

    Each record is as Zoho's own detail shows it, with `organization_id`, `_created_by`,
    `_by_api` (False: kept by hand) and `_writes` (API writes since it was made) beside; invoices
    have the names of both create and get. What Zoho's answers do not tell has a dash before it:
    `_subscription_id` of invoices, `_cancelled_on` and `_scheduled_price` of subscriptions,
    `_account_id` of payments.
    `customers_zoho_could_mail` are those with an address and an invoice past due: whom reminders
    would mail, on or off.
    """

    customers: list[JsonObject] = []
    products: list[JsonObject] = []
    plans: list[JsonObject] = []
    subscriptions: list[JsonObject] = []
    invoices: list[JsonObject] = []
    payments: list[JsonObject] = []
    customers_zoho_could_mail: list[str] = []
    mails: list[Mail]
    counters: Counters
    limits_now: float
    calendar_now: str


class FakeZoho:
    """Hold configuration, clocks and state. Create one per server; `reset` starts it anew."""

    def __init__(self, config: FakeZohoConfig | None = None, clock: LimitsClock | None = None):
        self.config = config or FakeZohoConfig()
        self.clock = clock or LimitsClock(self.config.time_scale)
        self._background: set[asyncio.Task[None]] = set()
        self.reset()

    def reset(self, *, keep_tokens: bool = False) -> None:
        """Go back to the start: seeds again, all else forgotten, commits to come cancelled.

        With `keep_tokens` a client that holds a token in memory may go on using it; one that was
        revoked is good again.
        """
        kept = self.tokens.given() if keep_tokens else {}
        self.stop()
        self.switches = self.config.switches.model_copy()
        self.random = random.Random(self.config.random_seed)  # noqa: S311 - latency only
        self.calendar = CalendarClock(self.config.calendar_start)
        self.log = RequestLog()
        self.faults = FaultDesk()
        self.tokens: TokenOffice = TokenOffice(
            self.config.credentials, self.config.tokens, self.switches, self.clock, kept
        )
        self.organisations = {
            one.organization_id: Organisation(one, self.switches, self.clock, self.calendar)
            for one in self.config.organisations
        }
        for organization_id, organisation in self.organisations.items():
            by_hand.keep(
                organisation,
                ByHand(
                    plans=self.config.seed_plans.get(organization_id, []),
                    customers=self.config.seed.get(organization_id, []),
                ),
            )

    def stop(self) -> None:
        """Cancel what was still to be committed."""
        for task in self._background:
            task.cancel()
        self._background.clear()

    def later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do work that goes on when its caller has gone."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def switch(self, changes: JsonObject) -> Switches:
        """Change some switches, all or none; raise pydantic's ValidationError if one is wrong."""
        changed = Switches.model_validate(self.switches.model_dump() | changes)
        for name in Switches.model_fields:
            setattr(self.switches, name, getattr(changed, name))
        return self.switches

    def organisation(self, organization_id: str | None = None) -> Organisation:
        """Find an organisation; None: the default one. Raises KeyError."""
        if organization_id is not None:
            return self.organisations[organization_id]
        everyone = list(self.organisations.values())
        return next((one for one in everyone if one.config.is_default_org), everyone[0])

    def turn_calendar(self) -> None:
        """Let happen everywhere what the calendar has brought about."""
        for organisation in self.organisations.values():
            organisation.turn_calendar()

    def counters(self) -> Counters:
        calls = [entry for entry in self.log.entries if entry.is_api_call]
        refused: dict[int, int] = {}
        for entry in calls:
            if entry.status == 429 and entry.code is not None:
                refused[entry.code] = refused.get(entry.code, 0) + 1
        by_organisation: dict[str | None, list[LogEntry]] = {}
        for entry in calls:
            by_organisation.setdefault(entry.organisation, []).append(entry)
        return Counters(
            calls=len(calls),
            http_429=refused,
            token_requests=len(self.log.entries) - len(calls),
            tokens_minted=self.tokens.minted,
            token_refusals=self.tokens.refused,
            secrets_in_query=self.tokens.secrets_in_query,
            mails=sum(len(one.outbox.mails) for one in self.organisations.values()),
            max_in_flight=max(map(max_in_flight, by_organisation.values()), default=0),
            max_in_a_minute=max(
                (max_in_any_window(some, MINUTE_SECONDS) for some in by_organisation.values()),
                default=0,
            ),
        )

    def holdings(self) -> Holdings:
        self.turn_calendar()
        everyone = self.organisations.values()
        return Holdings(
            **inventory(everyone),
            customers_zoho_could_mail=sorted(
                customer_id for one in everyone for customer_id in one.customers_it_could_mail()
            ),
            mails=[mail for organisation in everyone for mail in organisation.outbox.mails],
            counters=self.counters(),
            limits_now=self.clock.now(),
            calendar_now=self.calendar.now().isoformat(),
        )
