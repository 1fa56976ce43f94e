"""The dashboard: whether all is in step, what is red and why, what runs, what Zoho allows."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any, Final

from billing_sync.domain.advice import advice, wait_in_words
from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.states import STATES, Colour, EntityType, State, states_coloured
from billing_sync.domain.steps import Mode
from billing_sync.domain.widget import WidgetEvent
from billing_sync.ports import (
    BackfillNow,
    Cause,
    CauseGroup,
    DashboardData,
    DashboardPage,
    DashboardReading,
    DashboardTables,
    EntityRow,
    Fact,
    OrganisationNow,
    Progress,
    Quota,
    QuotaView,
    Run,
    Runs,
    StateCount,
    Verdict,
    Verification,
)

HELP: Final = """\
### billing-sync

Whether Zoho Billing is in step with your own database: what is red and why, with what it is worth;
all records by state; the newest backfill; Zoho's limits and the access token.

It reads only, and takes no parameters. *Retry these* asks the function `operate`, after a
confirmation: who may press it needs the right `lambda:InvokeFunction` on that function as well.
"""

NOT_YET: Final = frozenset({*states_coloured(Colour.AMBER), *states_coloured(Colour.NONE)})

NEARLY_USED: Final = 0.9

# A retry never touches what is in doubt: its proof does, in its own time.
_SETTLED_BY_PROOF: Final = State.IN_DOUBT

_DOING: Final = {
    "preflight": "checking what a run needs",
    "snapshot": "reading what Zoho holds",
    "plan": "planning",
    "sync_batch due": "working off what has fallen due",
    "verify": "comparing both sides",
    "report": "writing the report",
}


class Dashboard:
    """Show how things stand; `describe` gives help instead."""

    def __init__(
        self,
        reading: DashboardReading,
        runs: Runs,
        quota: Quota,
        verification: Verification,
        page: DashboardPage,
    ) -> None:
        """Keep the ports; nothing is written through any of them."""
        self._reading = reading
        self._runs = runs
        self._quota = quota
        self._verification = verification
        self._page = page

    def __call__(self, event: WidgetEvent) -> str:
        """Give HTML, or the help as markdown."""
        if event.describe:
            return HELP
        return self._page(self.data(event.zone), is_dark=event.is_dark)

    def data(self, zone: tzinfo) -> DashboardData:
        """Say in plain words how things stand, times in the viewer's zone."""
        tables = self._reading.read()
        words = _Words(tables, zone)
        run = self._runs.latest()
        backfill = self._backfill(run, words) if run else None
        quota = self._quota_view()
        token = self._verification.token_facts()
        return DashboardData(
            verdict=_verdict(words, run, quota, token),
            organisation=tables.organisation.name if tables.organisation else None,
            as_of=f"{words.clock(tables.now)} {words.zone_name}",
            red=tuple(words.cause(group) for group in tables.causes if not group.accepted),
            accepted=tuple(words.cause(group) for group in tables.causes if group.accepted),
            rows=_rows(tables.states),
            backfill=backfill,
            quota=_quota_facts(quota, words),
            token=_token_facts(token, words),
        )

    def _backfill(self, run: Run, words: "_Words") -> BackfillNow:
        planned = self._runs.plan_counts(run.run_id)
        phases = [
            Progress(phase, total - min(self._runs.plan_left(run.run_id, phase), total), total)
            for phase, actions in planned.items()
            if (total := sum(actions.values()))
        ]
        remarks = []
        if run.mode is Mode.PLAN:
            remarks.append("It only plans: nothing is written to Zoho.")
        if run.stop_requested and run.ended_at is None:
            remarks.append("It was asked to stop, and ends within the record in hand.")
        if run.ended_early:
            remarks.append(f"It ended early: {run.ended_early.rstrip('.')}.")
        is_running = run.ended_at is None
        return BackfillNow(
            run_id=run.run_id,
            execution_arn=run.execution_arn,
            is_running=is_running,
            colour=_run_colour(run),
            doing=_doing(run) if is_running else f"ended {run.colour or 'without a report'}",
            since=words.clock(run.ended_at or run.started_at),
            waits=words.wait(run),
            phases=tuple(phases) if run.mode is Mode.APPLY else (),
            remarks=tuple(remarks),
        )

    def _quota_view(self) -> QuotaView | None:
        try:
            return self._quota.view()
        except Misconfigured:
            return None  # no call was ever made: nothing is configured, and nothing taken


class _Words:
    """Times in the viewer's zone, money in the organisation's currency."""

    def __init__(self, tables: DashboardTables, zone: tzinfo) -> None:
        self.tables = tables
        self.now = tables.now
        self._zone = zone
        self._currency = tables.organisation.currency if tables.organisation else ""

    @property
    def zone_name(self) -> str:
        return self.now.astimezone(self._zone).tzname() or "UTC"

    def clock(self, moment: datetime) -> str:
        """Write a time; with its day, unless it is today's."""
        local = moment.astimezone(self._zone)
        if local.date() == self.now.astimezone(self._zone).date():
            return f"{local:%H:%M}"
        return f"{local:%a} {local.day} {local:%b} {local:%H:%M}"

    def ahead(self, moment: datetime | None) -> str | None:
        """Write a time that is still to come, None for any other."""
        return self.clock(moment) if moment is not None and moment > self.now else None

    def money(self, amount: Decimal | None) -> str | None:
        """Write an amount, in rand as people do here."""
        if amount is None:
            return None
        sign = "R" if self._currency == "ZAR" else self._currency
        return f"{'-' if amount < 0 else ''}{f'{sign} {abs(amount):,.2f}'.strip()}"

    def wait(self, run: Run) -> str | None:
        """Say until when and for what the run sleeps."""
        until = self.ahead(run.waiting_until) if run.ended_at is None else None
        return f"{until}: {wait_in_words(run.waiting_reason)}" if until else None

    def cause(self, group: CauseGroup) -> Cause:
        """Say what is red, why, and what to do."""
        what = _plural(group.count, group.entity.value)
        retry: dict[str, Any] | None = None
        if not group.accepted and group.state is not _SETTLED_BY_PROOF:
            retry = {
                "action": "retry",
                "by": "dashboard",
                "entity": group.entity.value,
                "states": [group.state.value],
            }
            # Of records without a code the state alone tells.
            retry |= {"code": group.code} if group.code is not None else {}
        sentence = group.sentence or f"{STATES[group.state].meaning.capitalize()}."
        if group.accepted:
            todo = f"Accepted: {group.reason}" if group.reason else "Accepted by a person."
        else:
            todo = advice(group.code, group.entity, group.ids, state=group.state)
        return Cause(
            title=what,
            entity=group.entity,
            state=group.state,
            code=group.code,
            count=group.count,
            amount=self.money(group.amount),
            sentence=sentence if group.alike else f"For example: {sentence}",
            advice=todo,
            ids=group.ids,
            more=max(group.count - len(group.ids), 0),
            retry=retry,
            question=f"Let {what} ({group.code or group.state.value}) be tried again?",
        )


def _verdict(
    words: _Words, run: Run | None, quota: QuotaView | None, token: dict[str, Any] | None
) -> Verdict:
    """Say the most pressing thing first: a pause, what is red, what waits, what is under way."""
    tables = words.tables
    red = sum(group.count for group in tables.causes if not group.accepted)
    not_yet = sum(count.count for count in tables.states if count.state in NOT_YET)
    said: list[tuple[Colour, str]] = []
    if pause := _pause(tables.organisation, words):
        said.append((Colour.AMBER, pause))
    if red:
        worth = words.money(_sum(group.amount for group in tables.causes if not group.accepted))
        verb = "is" if red == 1 else "are"
        said.append(
            (
                Colour.RED,
                f"{_plural(red, 'record')} {verb} red{f', worth {worth}' if worth else ''}",
            )
        )
    said.extend((Colour.AMBER, wait) for wait in _waits(words, run, quota, token))
    if run is not None and run.ended_at is None and not words.wait(run):
        said.append((Colour.AMBER, f"A backfill is under way: {_doing(run)}"))
    if not_yet:
        verb = "is" if not_yet == 1 else "are"
        said.append((Colour.AMBER, f"{_plural(not_yet, 'record')} {verb} not in step yet"))
    if not tables.states and not said:
        said.append((Colour.GREY, "No record has been looked at yet"))
    if not said:
        said.append((Colour.GREEN, "All in step"))
    organisation = tables.organisation
    if organisation is not None and organisation.live_from is None:
        said.append((Colour.NONE, "Not live yet: triggers and sweep only record"))
    order = (Colour.RED, Colour.AMBER, Colour.GREY, Colour.GREEN)
    colours = {colour for colour, _sentence in said}
    return Verdict(
        colour=next(colour for colour in order if colour in colours),
        headline=said[0][1],
        also=tuple(sentence for _colour, sentence in said[1:]),
    )


def _pause(organisation: OrganisationNow | None, words: _Words) -> str | None:
    if organisation is None or organisation.paused_at is None:
        return None
    by = f" by {organisation.paused_by}" if organisation.paused_by else ""
    why = f": {organisation.paused_reason}" if organisation.paused_reason else ""
    return f"Paused since {words.clock(organisation.paused_at)}{by}{why}"


def _waits(
    words: _Words, run: Run | None, quota: QuotaView | None, token: dict[str, Any] | None
) -> list[str]:
    """Say what everything waits for: the backfill's reason is one of the others, if it waits."""
    wait = words.wait(run) if run is not None else None
    if wait:
        return [f"The backfill waits until {wait}"]
    until = words.ahead(quota.paused_until or quota.blocked_until) if quota else None
    said = [f"Zoho takes no calls until {until}"] if until else []
    cools = words.ahead(_moment(token, "cooldown_until"))
    return [*said, f"Zoho gives no access token until {cools}"] if cools else said


def _rows(states: Sequence[StateCount]) -> tuple[EntityRow, ...]:
    """Lay the counts out by entity, in the order in which records depend on each other."""
    counts: dict[EntityType, Counter[State]] = {}
    accepted: Counter[EntityType] = Counter()
    for each in states:
        in_states = counts.setdefault(each.entity, Counter())
        if each.accepted:
            accepted[each.entity] += each.count
        else:
            in_states[each.state] += each.count
    return tuple(
        EntityRow(
            entity,
            counts[entity].total() + accepted[entity],
            dict(counts[entity]),
            accepted[entity],
        )
        for entity in EntityType
        if entity in counts
    )


def _quota_facts(quota: QuotaView | None, words: _Words) -> tuple[Fact, ...]:
    if quota is None:
        return (Fact("Calls", "none was ever made"),)
    facts = [
        _used("This minute", quota.taken_in_minute, quota.limit_per_minute),
        _used("In 24 hours", quota.taken_today, quota.day_cap),
        _used("In flight", quota.in_flight, quota.in_flight_limit),
    ]
    if quota.limit_per_minute < quota.configured_per_minute:
        lowered = f"{quota.limit_per_minute} a minute instead of {quota.configured_per_minute}"
        facts.append(Fact("Lowered after a 429", lowered, colour=Colour.AMBER))
    if until := words.ahead(quota.blocked_until):
        facts.append(Fact("Blocked by Zoho", f"until {until}", colour=Colour.AMBER))
    if until := words.ahead(quota.paused_until):
        facts.append(Fact("Day used up", f"Zoho is asked again at {until}", colour=Colour.AMBER))
    return tuple(facts)


def _used(name: str, taken: int, limit: int) -> Fact:
    share = min(taken / limit, 1.0) if limit > 0 else 0.0
    colour = Colour.AMBER if share >= NEARLY_USED else Colour.NONE
    return Fact(name, f"{taken:,} of {limit:,}", share, colour)


def _token_facts(token: dict[str, Any] | None, words: _Words) -> tuple[Fact, ...]:
    """Say how the access token stands; what it is stands in no table."""
    if not token or not token.get("generation"):
        facts = [Fact("Access token", "none was asked for yet")]
    else:
        expires = _moment(token, "expires_at")
        ahead = words.ahead(expires)
        value = f"good until {ahead}" if ahead else "expired; the next call asks for a new one"
        facts = [Fact("Access token", value)]
    if until := words.ahead(_moment(token, "cooldown_until")):
        facts.append(Fact("Refused by Zoho", f"nobody asks until {until}", colour=Colour.AMBER))
    return tuple(facts)


def _moment(facts: dict[str, Any] | None, name: str) -> datetime | None:
    written = (facts or {}).get(name)
    return datetime.fromisoformat(written) if isinstance(written, str) else written


def _doing(run: Run) -> str:
    step, _, phase = run.step.partition(" ")
    known = _DOING.get(run.step) or _DOING.get(step)
    return known or (f"sending {phase}" if phase else step)


def _run_colour(run: Run) -> Colour:
    if run.ended_at is None:
        return Colour.NONE
    return Colour(run.colour) if run.colour in set(Colour) else Colour.AMBER


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
