"""Tables and sentences: how answers look on a screen, 80 columns wide or more."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from billing_sync.domain.advice import advice, wait_in_words
from billing_sync.domain.states import STATES, Colour, State
from billing_sync.domain.steps import Finding, Mode, OrganisationView, Phase, Severity
from ops.cli.answers import (
    PlanSummary,
    QuotaStatus,
    RedGroup,
    RunStatus,
    Status,
    Story,
    StoryAttempt,
    StoryRecord,
    TokenStatus,
)

STYLES: Final[dict[str, str]] = {
    Colour.GREEN: "green",
    Colour.AMBER: "yellow",
    Colour.RED: "red",
    Colour.GREY: "dim",
    Colour.NONE: "",
}
# Accepted records are red ones that somebody has looked at.
_ACCEPTED: Final = "accepted"

_SEVERITIES: Final[dict[Severity, tuple[str, str]]] = {
    Severity.BLOCKING: ("Must be mended before a run", "bold red"),
    Severity.CONFIRM: ("Must be confirmed by a person before a run", "bold yellow"),
    Severity.RED: ("Red", "bold red"),
    Severity.WARNING: ("Should be looked at", "yellow"),
    Severity.NOTE: ("Good to know", "dim"),
}
STOPPING: Final = frozenset({Severity.BLOCKING, Severity.CONFIRM})
"""Findings with which no run that applies its plan starts."""
AT_THE_END: Final = frozenset({Severity.RED, Severity.WARNING})
"""Findings that are worth saying again when a run has ended."""

_ACTIONS: Final[tuple[str, ...]] = (
    "create", "link", "update", "open", "cancel", "reactivate", "void", "delete", "compare",
    "prove", "wait", "unchanged", "skip", "ambiguous", "fail", "stays", "deleted_here",
)  # fmt: skip
_ACTION_STYLES: Final = {
    **dict.fromkeys(("ambiguous", "fail", "stays", "deleted_here"), "red"),
    **dict.fromkeys(("skip", "unchanged", "wait"), "dim"),
}

# What a run calls its step, and what the console calls the machine's state.
_MACHINE_STATES: Final = {
    "preflight": "Preflight",
    "snapshot": "Snapshot",
    "plan": "Plan",
    "sync_batch": "SyncBatch",
    "sync_batch due": "WorkOffDue",
    "verify": "Verify",
    "report": "Report",
}


def clock(moment: datetime, now: datetime | None = None) -> str:
    """Write a time in the reader's own zone; with its date unless it is of the same day."""
    local = moment.astimezone()
    today = (now or datetime.now(UTC)).astimezone()
    return f"{local:%H:%M:%S}" if local.date() == today.date() else f"{local:%Y-%m-%d %H:%M:%S}"


def duration(seconds: float) -> str:
    """Write a duration as people say it."""
    if seconds < 1:
        return f"{seconds:.1f} s" if seconds >= 0.05 else "0 s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def plural(count: int, noun: str) -> str:
    """Write a count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def style_of_state(state: str) -> str:
    """Give the style of a state, as the report colours it."""
    return STYLES[STATES[State(state)].colour] if state in set(State) else ""


def counts(numbers: Mapping[str, int]) -> Text:
    """Write states and how many records are in each, coloured, the table's order kept."""
    order = [*(state.value for state in State), _ACCEPTED]
    known = [name for name in order if numbers.get(name)]
    others = [name for name in numbers if name not in order and numbers[name]]
    parts = [Text(f"{name} {numbers[name]}", style_of_state(name)) for name in known + others]
    return Text(", ").join(parts) if parts else Text("none yet", "dim")


def facts(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Lay out names and values in two columns without lines."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(ratio=1)
    for name, value in rows:
        grid.add_row(name, value)
    return grid


# --------------------------------------------------------------------------------------- findings


def findings(found: Sequence[Finding]) -> RenderableType:
    """Show findings by severity, the gravest first, each with what to do."""
    if not found:
        return Text("Nothing was found: a run may start.", "green")
    tables: list[RenderableType] = []
    for severity, (title, style) in _SEVERITIES.items():
        of_this = [finding for finding in found if finding.severity is severity]
        if not of_this:
            continue
        table = Table(title=title, title_style=style, title_justify="left", expand=True)
        table.add_column("What was found", ratio=1)
        table.add_column("What to do", ratio=1)
        for finding in of_this:
            sentence = Text(finding.sentence)
            if finding.count > 1:
                sentence.append(f" ({finding.count})")
            sentence.append(f"\n{finding.code}", "dim")
            if finding.records:
                sentence.append(f": {_some(finding.records, finding.count)}", "dim")
            table.add_row(sentence, finding.what_to_do, end_section=finding is not of_this[-1])
        tables.append(table)
    return Group(*tables)


def organisation(view: OrganisationView) -> RenderableType:
    """Show Zoho's organisation as a person recognises it."""
    there = "not counted" if view.customers is None else f"{view.customers} are in Zoho now"
    return facts(
        [
            ("Organisation", Text(f"{view.name} ({view.id})", "bold")),
            ("Currency", Text(view.currency, "bold")),
            ("Time zone", view.time_zone),
            ("Customers", Text(there, "bold")),
        ]
    )


# ------------------------------------------------------------------------------------------- runs


def current_step(run: RunStatus) -> str:
    """Say where the machine is, in the words of its console."""
    if run.step in _MACHINE_STATES:
        return _MACHINE_STATES[run.step]
    step, _, phase = run.step.partition(" ")
    return f"{_MACHINE_STATES.get(step, step)} {phase or run.phase or ''}".rstrip()


def waiting(run: RunStatus, now: datetime) -> str | None:
    """Say what the machine waits for and for how long, None where it works."""
    if run.waiting_until is None:
        return None
    left = max((run.waiting_until - now).total_seconds(), 0)
    return (
        f"until {clock(run.waiting_until, now)} ({duration(left)}):"
        f" {wait_in_words(run.waiting_reason)}"
    )


def calls(quota: QuotaStatus, now: datetime) -> Text:
    """Say what of the limits is taken, and what Zoho has forbidden for a while."""
    text = Text(
        f"{quota.taken_in_minute} of {quota.limit_per_minute} this minute,"
        f" {quota.in_flight} of {quota.in_flight_limit} in flight,"
        f" {quota.taken_today} of {quota.day_cap} today"
    )
    if quota.limit_per_minute < quota.configured_per_minute:
        text.append(f"; lowered from {quota.configured_per_minute} a minute", "yellow")
    for word, until in (("blocked", quota.blocked_until), ("paused", quota.paused_until)):
        if until is not None and until > now:
            text.append(f"; {word} until {clock(until, now)}", "yellow")
    return text


def token(state: TokenStatus, now: datetime) -> Text:
    """Say how the access token stands."""
    if state.cooldown_until is not None and state.cooldown_until > now:
        return Text(
            f"none may be asked for until {clock(state.cooldown_until, now)}: Zoho cools down",
            "yellow",
        )
    if not state.generation:
        return Text("none asked for yet", "dim")
    text = Text(f"number {state.generation}")
    if state.expires_at is not None:
        text.append(f", good until {clock(state.expires_at, now)}")
    if state.tokens_minted is not None:
        text.append(f"; {state.tokens_minted} minted in all")
    return text


def run_summary(run: RunStatus, now: datetime) -> RenderableType:
    """Show the newest run, under way or ended."""
    rows: list[tuple[str, RenderableType]] = [
        ("Run", Text(run.run_id, "bold")),
        ("Mode", "plan: nothing is written to Zoho" if run.mode is Mode.PLAN else "apply"),
    ]
    if run.ended_at is None:
        rows.append(("Under way", f"since {clock(run.started_at, now)}, in {current_step(run)}"))
        wait = waiting(run, now)
        if wait:
            rows.append(("Waiting", wait))
        if run.stop_requested:
            rows.append(("Stop", Text("asked for; ends within the record in hand", "yellow")))
    else:
        colour = run.colour or "unknown"
        ended = Text(f"{clock(run.ended_at, now)}, ")
        ended.append(colour, f"bold {STYLES.get(colour, '')}")
        rows.append(("Ended", ended))
    if run.ended_early:
        rows.append(("Ended early", Text(run.ended_early, "yellow")))
    if run.total:
        planned = run.mode is Mode.PLAN
        amount = plural(run.total, "record") if planned else f"{run.done} of {run.total}"
        rows.append(("Planned" if planned else "Done", amount))
    took = ((run.ended_at or now) - run.started_at).total_seconds()
    rows.append(
        (
            "Time",
            (
                f"{duration(max(took - run.waited_seconds, 0))} of work,"
                f" {duration(run.waited_seconds)} of waiting ({plural(run.cooldowns, 'wait')})"
            ),
        )
    )
    return facts(rows)


def records(by_entity: Mapping[str, Mapping[str, int]]) -> RenderableType:
    """Show how many records of each entity are in which state."""
    present = [
        state.value for state in State if any(row.get(state.value) for row in by_entity.values())
    ]
    if not present:
        return Text("No record has been looked at yet.", "dim")
    table = Table(title="Records", title_justify="left")
    table.add_column("State")
    for entity in by_entity:
        table.add_column(entity, justify="right")
    table.add_column("What it means", style="dim")
    for state in present:
        numbers = [str(row.get(state) or "") for row in by_entity.values()]
        table.add_row(Text(state, style_of_state(state)), *numbers, STATES[State(state)].meaning)
    return table


def red(groups: Sequence[RedGroup]) -> RenderableType:
    """Show what is red, by cause, with the next step to take for each."""
    parts: list[RenderableType] = []
    for group in groups:
        head = Text()
        head.append(f"{plural(group.count, group.entity)}, {group.code}", "bold red")
        if group.ids:
            head.append(f": {_some(group.ids, group.count)}", "red")
        lines: list[RenderableType] = [head]
        if group.sentence:
            lines.append(_indented(group.sentence))
        lines.append(
            _indented(advice(group.code, group.entity, group.ids, state=group.state), mark="→")
        )
        parts.append(Group(*lines))
    return Group(*parts)


def status(now_is: Status, now: datetime) -> RenderableType:
    """Show everything that `status` tells."""
    parts: list[RenderableType] = []
    if now_is.organisation is not None:
        its = now_is.organisation
        named = f"{its.name or 'not asked yet'} ({its.id})"
        live: list[tuple[str, RenderableType]] = [("Live", _live(now_is, now))]
        if now_is.paused is not None:
            paused = now_is.paused
            why = f"since {clock(paused.at, now)} by {paused.by}: {paused.reason}"
            live.append(("Writes paused", Text(why, "bold yellow")))
        parts.append(
            facts([("Organisation", named), ("Currency", its.currency or "not known"), *live])
        )
    if now_is.run is None:
        parts.append(Text("No run yet: `billing-sync plan` begins with one that writes nothing."))
    else:
        parts.append(run_summary(now_is.run, now))
    governor: list[tuple[str, RenderableType]] = []
    if now_is.quota is not None:
        governor.append(("Calls", calls(now_is.quota, now)))
    if now_is.token is not None:
        governor.append(("Token", token(now_is.token, now)))
    if governor:
        parts.append(facts(governor))
    parts.append(records(now_is.records))
    if now_is.red:
        parts.append(red(now_is.red))
    if now_is.accepted:
        parts.append(accepted(now_is.accepted))
    return _apart(parts)


def _live(now_is: Status, now: datetime) -> str:
    if now_is.live_from is None:
        return "not yet: triggers and sweep only record"
    return f"for what was created or changed since {clock(now_is.live_from, now)}"


def accepted(groups: Sequence[RedGroup]) -> RenderableType:
    """List what is red and a person has let be, by cause."""
    return Group(
        *(
            Text(
                f"accepted: {plural(group.count, group.entity)}, {group.code}:"
                f" {_some(group.ids, group.count)} ({group.reason or 'no reason kept'})",
                "dim",
            )
            for group in groups
        )
    )


def plan(run: RunStatus, summary: PlanSummary) -> RenderableType:
    """Show what a plan would do, and what it would cost."""
    actions = {action for numbers in run.plan.values() for action in numbers}
    order: list[str] = [name for name in _ACTIONS if name in actions]
    order += sorted(actions.difference(_ACTIONS))
    table = Table(title="The plan", title_justify="left")
    table.add_column("Phase")
    for action in order:
        table.add_column(Text(action, _ACTION_STYLES.get(action, "")), justify="right")
    table.add_column("all", justify="right")
    phases = [phase.value for phase in Phase]
    for phase in sorted(run.plan, key=phases.index):
        numbers = run.plan[phase]
        row = [
            Text(str(numbers.get(action, 0) or ""), _ACTION_STYLES.get(action, ""))
            for action in order
        ]
        table.add_row(phase, *row, str(sum(numbers.values())))
    rows: list[tuple[str, RenderableType]] = []
    if summary.calls is not None:
        rows.append(("Calls to Zoho", str(summary.calls)))
    if summary.customers_in_zoho is not None:
        there = {"customer": summary.customers_in_zoho, **summary.in_zoho}
        named = ", ".join(plural(count, entity) for entity, count in there.items())
        rows.append(("In Zoho now", named))
    if summary.minutes is not None:
        at_least = duration(summary.minutes * 60) if summary.minutes >= 1 else "under a minute"
        rows.append(("Time", f"{at_least}, at the limit in force"))
    if summary.days is not None and summary.days > 1:
        rows.append(("Days", f"{summary.days:g}, by the day's quota"))
    if summary.finish_at is not None:
        rows.append(("Done by", f"{clock(summary.finish_at)} if started now"))
    if summary.could_be_mailed is not None:
        rows.append(("Mail", f"Zoho could mail {plural(summary.could_be_mailed, 'customer')}"))
    if summary.could_be_reminded:
        late = plural(summary.could_be_reminded, "customer")
        rows.append(("Reminders", f"{late} past due, whom Zoho reminds where its reminders are on"))
    head = table if run.total else Text("No record is selected.", "yellow")
    return _apart([head, *([facts(rows)] if rows else [])])


# ------------------------------------------------------------------------------------------- story


def story(told: Story, now: datetime) -> RenderableType:
    """Tell a record's story: how it stands and why, what to do, what was tried, who did what."""
    record = told.record
    parts: list[RenderableType] = [_record(record, now)]
    if told.intents:
        table = Table(title="Writes to Zoho", title_justify="left")
        for column in ("Sent", "Step", "What became of it"):
            table.add_column(column)
        for intent in told.intents:
            ended = intent.closed_as or Text("not known yet", "red")
            method = "" if intent.method == intent.step else f" ({intent.method})"
            table.add_row(clock(intent.sent_at, now), f"{intent.step}{method}", ended)
        parts.append(table)
    if told.attempts:
        table = Table(title="Calls about it", title_justify="left")
        table.add_column("When")
        table.add_column("Call")
        table.add_column("Answer")
        table.add_column("Took", justify="right")
        for attempt in told.attempts:
            took = "" if attempt.duration_ms is None else f"{attempt.duration_ms} ms"
            table.add_row(clock(attempt.at, now), attempt.operation, _answer(attempt), took)
        parts.append(table)
    if told.audit:
        table = Table(title="What people did", title_justify="left")
        for column in ("When", "Who", "What"):
            table.add_column(column)
        for entry in told.audit:
            details = ", ".join(f"{name} {value}" for name, value in entry.details.items())
            what = f"{entry.action} {details}".rstrip()
            table.add_row(clock(entry.at, now), entry.by, what)
        parts.append(table)
    return _apart(parts)


def is_red(record: StoryRecord) -> bool:
    """Say whether a record is red and nobody has accepted that."""
    return STATES[record.state].colour is Colour.RED and not record.accepted


def _record(record: StoryRecord, now: datetime) -> RenderableType:
    rule = STATES[record.state]
    name = f"{record.entity} {record.id}"
    if record.account_number:
        name += f" ({record.account_number})"
    state = Text(record.state.value, f"bold {STYLES[rule.colour]}")
    state.append(f": {record.meaning or rule.meaning}", "not bold")
    rows: list[tuple[str, RenderableType]] = [("Record", Text(name, "bold")), ("State", state)]
    if record.sentence:
        rows.append(("Why", record.sentence))
    if record.code and record.state is not State.SYNCED:
        field = f", field {record.field}" if record.field else ""
        rows.append(("Code", f"{record.code}{field}"))
    if record.accepted:
        rows.append(("Accepted", str(record.accepted)))
    zoho = record.zoho_id or "not in Zoho, as far as we know"
    rows.append(("In Zoho", f"{zoho} ({record.how})" if record.how else zoho))
    if record.candidates:
        rows.append(("Candidates", ", ".join(record.candidates)))
    if record.attempt_number:
        rows.append(("Attempts", f"{record.attempt_number} in vain"))
    if record.next_attempt_at is not None:
        rows.append(("Next attempt", clock(record.next_attempt_at, now)))
    # The code of a record that is not red only tells how it came there.
    code = record.code if rule.colour is Colour.RED else None
    what = advice(code, record.entity, [record.id], state=record.state)
    rows.append(("What to do", what))
    return facts(rows)


def _answer(attempt: StoryAttempt) -> Text:
    style = "green" if attempt.status == "answered" else "yellow"
    text = Text(attempt.status, style)
    if attempt.http_status is not None:
        text.append(f" {attempt.http_status}", "dim")
    if attempt.zoho_code:
        text.append(f", Zoho's code {attempt.zoho_code}", "dim")
    if attempt.error_sentence:
        text.append(f"\n{attempt.error_sentence}")
    return text


def confirmable(items: Mapping[str, str]) -> RenderableType:
    """List what may be confirmed and what one says by it."""
    table = Table(title="What a person can confirm", title_justify="left", show_lines=True)
    table.add_column("Item", no_wrap=True)
    table.add_column("What you say by it")
    for item, meaning in items.items():
        table.add_row(item, meaning)
    return table


def _some(ids: Sequence[str], count: int) -> str:
    """Name ids, and say that there are more."""
    shown = ids[:10]
    more = count - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _indented(sentence: str, *, mark: str = "") -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=2, justify="right")
    grid.add_column(ratio=1)
    grid.add_row(mark, sentence)
    return grid


def _apart(parts: Sequence[RenderableType]) -> RenderableType:
    """Put an empty line between parts."""
    spaced: list[RenderableType] = []
    for part in parts:
        spaced += [part, Text("")]
    return Group(*spaced[:-1])
