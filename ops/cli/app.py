"""The commands. Each checks what was typed, asks the stack, and shows the answer."""

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from billing_sync.domain.advice import CONFIRMABLE
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.steps import (
    LONGEST_REASON,
    ZOHO_ID,
    BackfillInput,
    Finding,
    Mode,
    PreflightAnswer,
    Severity,
)
from ops.cli import asked as read
from ops.cli import render
from ops.cli.answers import PlanSummary, RunStatus, Status, Story, Verdict, read_answer
from ops.cli.dashboard import serve
from ops.cli.follow import Follow
from ops.cli.session import FINE, INTERRUPTED, RED, By, Session, command, who
from ops.cli.stack import Execution, StackFault
from ops.cli.triggers import redrive, send

app = typer.Typer(
    name="billing-sync",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Keep Zoho Billing in step with your own database.\n\n"
        "Ends with 0 when all is well, 1 when something is red, refused or not yet in step, 2 when"
        " the command was not understood. To Zoho write `backfill --apply` and, once the sync is"
        " live, triggers and the sweep."
    ),
)

Phases = Annotated[
    list[str] | None,
    typer.Option(
        "--phases",
        metavar="a,b",
        help="Only these of customers, subscriptions, invoices, payments. All, if not given.",
    ),
]
OnlyIds = Annotated[
    list[str] | None, typer.Option("--only-ids", metavar="a,b", help="Only rows of these ids.")
]
Accounts = Annotated[
    list[str] | None,
    typer.Option(
        "--accounts",
        metavar="a,b",
        help="Only customers of these account numbers, and what is theirs.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="DATE", help="Only rows created since (ISO 8601)."),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="DATE", help="Only rows created until (ISO 8601)."),
]
States = Annotated[
    list[str] | None,
    typer.Option("--states", metavar="a,b", help="Only records in these states."),
]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Follow the run to its end, or only start it.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Entity = Annotated[
    EntityType,
    typer.Argument(
        metavar="ENTITY",
        help="customer, product, plan, subscription, invoice or payment.",
    ),
]
RecordId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help=(
            "The row's id; also an account number, a sku, an invoice number or a transaction id. A"
            " subscription's is its service's, a product's the service type."
        ),
    ),
]

Reason = Annotated[
    str, typer.Option("--reason", metavar="WORDS", help="Why; kept with your name and the time.")
]

_WHEN: Final = (
    "within a minute if the sync is live, else by the next backfill: `billing-sync backfill"
    " --apply`"
)
_STATE_NAMES: Final = [state.value for state in State]
_BROKEN_OFF: Final = (
    "The run broke off there, and nothing is lost: the next backfill takes up what is left, or"
    " redrive the execution in the console."
)
_STOP_HINT: Final = (
    "The run goes on without being watched. `billing-sync status --follow` watches it again,"
    " `billing-sync stop` ends it within the record in hand."
)


# -------------------------------------------------------------------------------------- before


@app.command(short_help="Check all that a run needs, before it runs.")
@command
def preflight(session: Session, phases: Phases = None) -> int:
    """Check everything that a run needs, and say all of it at once."""
    answer, checked = _check(session, read.backfill_input(Mode.APPLY, phases=phases))
    session.emit(answer)
    if checked.organisation is not None:
        session.show(render.organisation(checked.organisation))
    session.show(render.findings(checked.findings))
    return _code_of(checked)


@app.command(short_help="Confirm what Zoho's API does not tell.")
@command
def confirm(
    session: Session,
    items: Annotated[list[str] | None, typer.Argument(metavar="[ITEM]...")] = None,
    by: By = None,
) -> int:
    """Confirm what Zoho's API does not tell; without items, list what can be confirmed."""
    if not items:
        session.emit({"confirmable": CONFIRMABLE})
        session.show(render.confirmable(CONFIRMABLE))
        return FINE
    wanted = read.one_of("ITEM", items, list(CONFIRMABLE))
    for one, other in (
        ("prices_inclusive", "prices_exclusive"),
        ("tax_rounding_per_line", "tax_rounding_per_document"),
        ("display_names_unique", "display_names_may_repeat"),
    ):
        if one in wanted and other in wanted:
            raise read.refuse("ITEM", f"{one} and {other} cannot both be so")
    return _tell(
        session,
        session.operate("confirm", by=who(by), items=wanted),
        f"Confirmed: {', '.join(wanted)}.",
    )


# ---------------------------------------------------------------------------------------- runs


@app.command(short_help="Say what a backfill would do; writes nothing.")
@command
def plan(
    session: Session,
    phases: Phases = None,
    only_ids: OnlyIds = None,
    accounts: Accounts = None,
    since: Since = None,
    until: Until = None,
    states: States = None,
    wait: Wait = True,
) -> int:
    """Say what a backfill would do, record by record. Writes nothing to Zoho."""
    wanted = _asked(session, Mode.PLAN, phases, only_ids, accounts, since, until, states)
    return _run(session, wanted, wait=wait)


@app.command(short_help="Carry to Zoho what is not there; plans first.")
@command
def backfill(  # noqa: PLR0913, PLR0917 - one parameter for each option
    session: Session,
    phases: Phases = None,
    only_ids: OnlyIds = None,
    accounts: Accounts = None,
    since: Since = None,
    until: Until = None,
    states: States = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it. Without this the backfill only plans.")
    ] = False,
    yes: Yes = False,
    wait: Wait = True,
) -> int:
    """Carry to Zoho what is not there yet. Only a plan, unless --apply is given."""
    mode = Mode.APPLY if apply else Mode.PLAN
    wanted = _asked(session, mode, phases, only_ids, accounts, since, until, states)
    if apply:
        _can_ask(session, yes=yes)
        refused = _show_whom_it_concerns(session, wanted)
        if refused is not None:
            return refused
        phases_named = ", ".join(wanted.phases)
        if not yes and not typer.confirm(f"Send {phases_named} to this organisation?"):
            session.say("Nothing was started.")
            return RED
    return _run(session, wanted, wait=wait)


@app.command(short_help="End the run within the record in hand.")
@command
def stop(session: Session, by: By = None) -> int:
    """End the run that is under way, within the record in hand."""
    return _tell(
        session,
        session.operate("stop", by=who(by)),
        "Asked to stop. The run ends within the record in hand, with a report of what was done.",
    )


@app.command(short_help="Show run, records, quota, token, and what is red.")
@command
def status(
    session: Session,
    follow: Annotated[
        bool, typer.Option("--follow", help="Watch the run that is under way to its end.")
    ] = False,
) -> int:
    """Show the newest run, the records by state, the quota, the token, and what is red."""
    if follow:
        running = session.stack.running()
        if running:
            return _watch(session, running[0])
        session.say("No run is under way.")
    answer = session.operate("status")
    if not answer.get("ok"):
        return session.refuse(answer)
    now_is = read_answer(Status, answer)
    session.emit(answer)
    session.show(render.status(now_is, datetime.now(UTC)))
    run = now_is.run
    if run is not None and run.ended_at is None and run.run_id not in _names_running(session):
        # Its execution failed or was stopped in the console; nobody was left to write that down.
        session.say(f"No execution runs any more for {run.run_id}. {_BROKEN_OFF}", style="yellow")
    return RED if now_is.red else FINE


@app.command(short_help="Show the dashboard as a page on this machine.")
@command
def dashboard(
    session: Session,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where to listen; 0 takes a free port.")
    ] = 0,
) -> int:
    """Show what the CloudWatch dashboard shows, as a page for this machine alone, until Ctrl-C."""
    return serve(session, port)


# ------------------------------------------------------------------------------------- records


@app.command(short_help="Tell a record's story.")
@command
def show(session: Session, entity: Entity, record_id: RecordId) -> int:
    """Tell a record's story: how it stands, why, what to do, and what was tried."""
    answer = session.operate("show", entity=entity, id=record_id)
    if not answer.get("ok"):
        return session.refuse(answer)
    story = read_answer(Story, answer)
    session.emit(answer)
    session.show(render.story(story, datetime.now(UTC)))
    return RED if render.is_red(story.record) else FINE


@app.command(short_help="Let records be tried again.")
@command
def retry(
    session: Session,
    entity: Entity,
    ids: Annotated[list[str] | None, typer.Option("--ids", metavar="a,b")] = None,
    states: States = None,
    code: Annotated[
        str | None, typer.Option("--code", help="Only those with this code, such as zoho_3062.")
    ] = None,
    by: By = None,
) -> int:
    """Let records be tried again, by ids, states or code; all that are given must hold."""
    wanted: dict[str, Any] = {
        "ids": read.listed("--ids", ids),
        "states": read.one_of("--states", states, _STATE_NAMES),
        "code": code.strip() if code is not None else None,
    }
    if code is not None and not wanted["code"]:
        raise read.refuse("--code", "names nothing")
    wanted = {name: value for name, value in wanted.items() if value}
    if not wanted:
        raise read.refuse("--ids / --states / --code", "say which records: one of them is needed")
    answer = session.operate("retry", by=who(by), entity=entity, **wanted)
    count = answer.get("signalled", 0)
    return _tell(
        session,
        answer,
        f"{render.plural(count, 'record')} will be tried again {_WHEN}."
        if count
        else "No record is like that: nothing was changed.",
    )


@app.command(short_help="Say which record of Zoho ours is.")
@command
def link(
    session: Session,
    entity: Entity,
    record_id: RecordId,
    zoho_id: Annotated[str, typer.Argument(metavar="ZOHO_ID", help="The id that Zoho shows.")],
    by: By = None,
) -> int:
    """Say which record of Zoho ours is. Our fields win there, in one update."""
    # Zoho's ids are long numbers; only a plan is known there by its code.
    if entity is not EntityType.PLAN and not ZOHO_ID.fullmatch(zoho_id):
        raise read.refuse("ZOHO_ID", "is a number of 6 to 25 digits, as Zoho shows it")
    return _tell(
        session,
        session.operate("link", by=who(by), entity=entity, id=record_id, zoho_id=zoho_id),
        f"{entity} {record_id} is {zoho_id} in Zoho. The two are compared, and what differs is"
        f" sent, {_WHEN}.",
    )


@app.command("create-anyway", short_help="Create it although others look alike.")
@command
def create_anyway(
    session: Session, entity: Entity, record_id: RecordId, yes: Yes = False, by: By = None
) -> int:
    """Say that no candidate in Zoho is ours, so that the record is created there."""
    person = who(by)
    _can_ask(session, yes=yes)
    if not yes:
        told = session.operate("show", entity=entity, id=record_id)
        if not told.get("ok"):
            return session.refuse(told)
        record = read_answer(Story, told).record
        among = f" besides {', '.join(record.candidates)}" if record.candidates else ""
        if not typer.confirm(f"Let {entity} {record_id} be created in Zoho{among}?"):
            session.say("Nothing was changed.")
            return RED
    return _tell(
        session,
        session.operate("create_anyway", by=person, entity=entity, id=record_id),
        f"{entity} {record_id} will be created {_WHEN}.",
    )


@app.command(short_help="Let a red record be, with a reason.")
@command
def accept(
    session: Session, entity: Entity, record_id: RecordId, reason: Reason, by: By = None
) -> int:
    """Let a red record be: it is listed apart, and is red again when its row changes."""
    return _tell(
        session,
        session.operate("accept", by=who(by), entity=entity, id=record_id, reason=_words(reason)),
        f"{entity} {record_id} is accepted as it is, until its row changes.",
    )


# ------------------------------------------------------------------------------- the whole sync


@app.command("go-live", short_help="Let triggers and sweep carry what comes from now on.")
@command
def go_live(
    session: Session,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DATE",
            help="What was created or changed since then (ISO 8601); now, if not given.",
        ),
    ] = None,
    yes: Yes = False,
    by: By = None,
) -> int:
    """Let triggers and sweep carry what comes: what is older stays the backfill's, but parents.

    The first clean backfill of all phases does this by itself, from its own start.
    """
    person = who(by)
    moment, remark = read.moment("--from", since)
    _can_ask(session, yes=yes)
    if remark:
        session.say(remark)
    named = "now on" if moment is None else moment.isoformat()
    if not yes and not typer.confirm(f"Carry to Zoho what is created or changed from {named}?"):
        session.say("Nothing was changed.")
        return RED
    asked = {} if moment is None else {"from": moment.isoformat()}
    answer = session.operate("go_live", by=person, **asked)
    return _tell(
        session,
        answer,
        f"Live: what is created or changed since {answer.get('live_from')} is carried as it comes.",
    )


@app.command(short_help="Hold back every write to Zoho.")
@command
def pause(session: Session, reason: Reason, by: By = None) -> int:
    """Hold back every write to Zoho, of backfill, triggers and sweep, after the record in hand."""
    return _tell(
        session,
        session.operate("pause", by=who(by), reason=_words(reason)),
        "Writes are paused. What comes is recorded; `billing-sync resume` lets it go on.",
    )


@app.command(short_help="Let writes to Zoho go on.")
@command
def resume(session: Session, by: By = None) -> int:
    """Let writes to Zoho go on: the sweep within a minute, a waiting backfill within 15."""
    answer = session.operate("resume", by=who(by))
    return _tell(
        session,
        answer,
        f"Writes go on; {render.plural(answer.get('due', 0), 'record')} waited for it.",
    )


@app.command(short_help="Show a run's report, or save it.")
@command
def report(
    session: Session,
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN_ID]", help="The newest, if not given.")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="DIR", help="Write its files there.", file_okay=False),
    ] = None,
) -> int:
    """Show a run's report; ends with 1 unless all was in step."""
    answer = session.operate("report", run_id=run_id)
    if not answer.get("ok"):
        return session.refuse(answer)
    keys: dict[str, str] = answer["bucket_keys"]
    told = _read_json(session, keys["report.json"])
    if save is not None:
        for path in _save(session, keys, save):
            session.say(f"wrote {path}")
    session.emit(told)
    if not session.as_json:
        _show_markdown(session, keys["report.md"])
    return FINE if told.get("colour") == "green" else RED


# ------------------------------------------------------------------------------------- triggers


app.command(short_help="Sign an event and post it to the door.")(send)
app.command(short_help="Put a trigger's dead letters back.")(redrive)


# --------------------------------------------------------------------------------------- parts


def _asked(
    session: Session,
    mode: Mode,
    phases: list[str] | None,
    only_ids: list[str] | None,
    accounts: list[str] | None,
    since: str | None,
    until: str | None,
    states: list[str] | None,
) -> BackfillInput:
    """Check the options of a run, and say how a date without a zone was taken."""
    since_at, of_since = read.moment("--since", since)
    until_at, of_until = read.moment("--until", until)
    wanted = read.backfill_input(
        mode,
        phases=phases,
        only_ids=only_ids,
        accounts=accounts,
        since=since_at,
        until=until_at,
        states=states,
    )
    for remark in (of_since, of_until):
        if remark:
            session.say(remark)
    return wanted


def _can_ask(session: Session, *, yes: bool) -> None:
    if session.as_json and not yes:
        raise read.refuse("--yes", "is needed with --json: nobody can be asked")


def _check(session: Session, wanted: BackfillInput) -> tuple[dict[str, Any], PreflightAnswer]:
    answer = session.stack.preflight(wanted)
    return answer, read_answer(PreflightAnswer, answer)


def _stopping(checked: PreflightAnswer) -> list[Finding]:
    return [each for each in checked.findings if each.severity in render.STOPPING]


def _code_of(checked: PreflightAnswer) -> int:
    return RED if _stopping(checked) or checked.next == "refused" else FINE


def _show_whom_it_concerns(session: Session, wanted: BackfillInput) -> int | None:
    """Show organisation, currency and customers before anybody says yes; refuse what would fail."""
    answer, checked = _check(session, wanted)
    if _code_of(checked) == RED:
        session.show(render.findings(checked.findings))
        return session.refuse(
            {
                **answer,
                "ok": False,
                "error": "PreflightRefused",
                "why": checked.why
                or f"{render.plural(len(_stopping(checked)), 'finding')} must be dealt with first;"
                " nothing was started.",
            }
        )
    if checked.organisation is not None:
        session.show(render.organisation(checked.organisation))
    grave = [each for each in checked.findings if each.severity is not Severity.NOTE]
    if grave:
        session.show(render.findings(grave))
    return None


def _names_running(session: Session) -> set[str]:
    return {each.name for each in session.stack.running()}


def _run(session: Session, wanted: BackfillInput, *, wait: bool) -> int:
    """Start an execution, and follow it unless that is not wanted."""
    name = read.execution_name(wanted, datetime.now(UTC), secrets.token_hex(2))
    execution = session.stack.start(name, wanted)
    if not wait:
        session.emit({"ok": True, "run_id": name, "execution_arn": execution.arn})
        session.show(f"Started {name}. `billing-sync status --follow` watches it.")
        return FINE
    return _watch(session, execution)


def _watch(session: Session, execution: Execution) -> int:
    stack = session.stack

    def now_is() -> Status:
        answer = session.operate("status")
        if not answer.get("ok"):
            raise StackFault(str(answer.get("error")), str(answer.get("why")))
        return read_answer(Status, answer)

    def ended() -> Execution | None:
        found = stack.execution(execution.arn)
        return None if found.is_running else found

    # With --json the answer has standard output for itself; who watches reads the lines beside it.
    follow = Follow(
        now_is,
        session.out,
        run_id=execution.name,
        plain=True if session.as_json else None,
        poll_seconds=stack.poll_seconds,
    )
    try:
        end = follow.until(ended)
    except KeyboardInterrupt:
        session.say(_STOP_HINT, style="yellow")
        session.emit({"ok": True, "run_id": execution.name, "execution_arn": execution.arn})
        return INTERRUPTED
    except StackFault as fault:
        raise StackFault(fault.code, f"{fault.sentence} {_STOP_HINT}") from fault
    return _conclude(session, end)


def _words(reason: str) -> str:
    words = reason.strip()
    if not 0 < len(words) <= LONGEST_REASON:
        raise read.refuse("--reason", f"takes 1 to {LONGEST_REASON} characters")
    return words


def _conclude(session: Session, end: Execution) -> int:
    """Say how a run ended, what is red, and what to do next."""
    answer: dict[str, Any] = {
        "ok": end.status == "SUCCEEDED",
        "run_id": end.name,
        "execution_arn": end.arn,
        "execution_status": end.status,
    }
    running = (end.output or {}).get("already_running")
    if running:
        return session.refuse(
            answer
            | {
                "ok": False,
                "error": "AlreadyRunning",
                "why": f"Another run is under way: {running}. Nothing was started;"
                " `billing-sync status --follow` watches that one.",
                "already_running": running,
            }
        )
    told = session.operate("status")
    now_is = read_answer(Status, told)
    run = now_is.run if now_is.run and now_is.run.run_id == end.name else None
    error, why = _cause(end)
    colour = _colour(end, run)
    if run is None or colour is None:
        if error == "PreflightRefused":
            why += " `billing-sync preflight` shows every finding."
        elif run is not None:
            why += f" {_BROKEN_OFF}"
        return session.refuse(answer | {"ok": False, "error": error, "field": None, "why": why})
    answer |= {"ok": colour == "green", "colour": colour, "status": told}
    session.show(render.run_summary(run, datetime.now(UTC)))
    if run.mode is Mode.PLAN and colour == "green":
        key = f"runs/{run.run_id}/plan.json"
        summary = _read_json(session, key)
        lines = session.stack.place(f"runs/{run.run_id}/plan.jsonl")
        answer |= {"plan": summary, "plan_lines": lines}
        session.show("")
        session.show(render.plan(run, read_answer(PlanSummary, summary)))
        _show_verdict(session, _verdict(session, run, Status()))
        session.show("\nEvery record, with its reason, as JSON Lines:")
        session.show(f"{lines}\n`billing-sync report {run.run_id} --save DIR` fetches it.")
    else:
        _show_verdict(session, _verdict(session, run, now_is))
        _say_what_next(session, colour, why)
    session.emit(answer)
    return FINE if colour == "green" else RED


def _verdict(session: Session, run: RunStatus, now_is: Status) -> Verdict:
    """Take causes and findings from the run's report; status tells of other runs' records, too."""
    try:
        told = _read_json(session, f"runs/{run.run_id}/report.json")
    except StackFault as fault:
        session.say(f"The report could not be read: {fault.sentence}", style="yellow")
        return Verdict(red=now_is.red)
    return read_answer(Verdict, told)


def _show_verdict(session: Session, verdict: Verdict) -> None:
    if verdict.red:
        session.show("")
        session.show(render.red(verdict.red))
    grave = [each for each in verdict.findings if each.severity in render.AT_THE_END]
    if grave:
        session.show("")
        session.show(render.findings(grave))


def _colour(end: Execution, run: RunStatus | None) -> str | None:
    """Give the colour that the run was concluded with; None where it never came to that."""
    if end.status == "SUCCEEDED":
        return (run.colour if run else None) or "green"
    if run is not None and run.ended_at is not None and run.colour is not None:
        return run.colour
    return {"RecordsNotInStep": "red", "NotYetInStep": "amber"}.get(_cause(end)[0])


def _say_what_next(session: Session, colour: str, why: str) -> None:
    match colour:
        case "green":
            session.show("\nAll is in step. `billing-sync report` shows the figures.")
        case "amber":
            session.show(f"\nNothing is wrong, but something is still owed: {why}")
        case _:
            session.show(
                "\nSome records are not in step. When they are mended, run the backfill again:"
                " it takes up what is left, and nothing is sent twice."
            )


def _cause(end: Execution) -> tuple[str, str]:
    """Read error and cause of an execution; a function's own error comes wrapped in JSON."""
    error, why = end.error or end.status, end.cause or ""
    try:
        wrapped = json.loads(why)
    except ValueError:
        wrapped = None
    if isinstance(wrapped, dict):
        error = str(wrapped.get("errorType", error))
        why = str(wrapped.get("errorMessage", why))
    return error, why or f"The execution ended as {end.status}; the console shows where."


def _tell(session: Session, answer: dict[str, Any], sentence: str) -> int:
    """Show what came of an order."""
    if not answer.get("ok"):
        return session.refuse(answer)
    session.emit(answer)
    session.show(sentence)
    return FINE


def _read_json(session: Session, key: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b"".join(session.stack.read(key)))
    return found


def _show_markdown(session: Session, key: str) -> None:
    """Show the report; as it is where it goes into a file or a pipe."""
    text = b"".join(session.stack.read(key)).decode()
    if not session.out.is_terminal:
        typer.echo(text)
        return
    # Only here: it takes as long to import as all the rest of the command.
    from rich.markdown import Markdown  # noqa: PLC0415

    session.show(Markdown(text))


def _save(session: Session, keys: dict[str, str], directory: Path) -> list[Path]:
    """Write the run's files, each in constant memory; a run that did not plan has fewer."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, key in keys.items():
        path = directory / Path(name).name
        with path.open("wb") as file:
            for piece in session.stack.read(key):
                file.write(piece)
        written.append(path)
    return written
