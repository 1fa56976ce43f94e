"""From what was typed to the execution's input: everything is checked before anything starts."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import typer
from pydantic import ValidationError

from billing_sync.domain.steps import BackfillInput, Mode, Phase, first_fault

LONGEST_NAME: Final = 80
"""Of an execution (Step Functions)."""

_OPTIONS: Final = {
    "phases": "--phases",
    "only.ids": "--only-ids",
    "only.accounts": "--accounts",
    "only.since": "--since",
    "only.until": "--until",
    "only.states": "--states",
}


def refuse(option: str, why: str) -> typer.BadParameter:
    """Make the error that names an option; Typer ends with 2 on it."""
    return typer.BadParameter(why, param_hint=f"'{option}'")


def listed(option: str, given: Sequence[str] | None) -> tuple[str, ...]:
    """Split `a,b` and repeated options into their values.

    An option that is given and names nothing is refused: without it a run would take everything,
    which is the opposite of what was meant.
    """
    if given is None:
        return ()
    values = tuple(part.strip() for each in given for part in each.split(","))
    if not values or not all(values):
        raise refuse(option, "names nothing, or has an empty part between commas")
    return tuple(dict.fromkeys(values))


def one_of(option: str, given: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Split, and refuse what is not one of the known words."""
    values = listed(option, given)
    for value in values:
        if value not in known:
            raise refuse(option, f"{value!r} is not one of {', '.join(known)}")
    return values


def moment(option: str, given: str | None) -> tuple[datetime | None, str | None]:
    """Read an ISO 8601 date or time; without a zone it is UTC, and the second value says so."""
    if given is None:
        return None, None
    try:
        read = datetime.fromisoformat(given)
    except ValueError:
        raise refuse(
            option,
            f"{given!r} is not an ISO 8601 date, such as 2025-01-31 or 2025-01-31T08:00:00+02:00",
        ) from None
    if read.tzinfo is not None:
        return read, None
    read = read.replace(tzinfo=UTC)
    return read, f"{option} {given} has no time zone: taken as {read:%Y-%m-%d %H:%M:%S} UTC"


def backfill_input(
    mode: Mode,
    *,
    phases: Sequence[str] | None = None,
    only_ids: Sequence[str] | None = None,
    accounts: Sequence[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    states: Sequence[str] | None = None,
) -> BackfillInput:
    """Build the input.

    :raises typer.BadParameter: an option is wrong; it is named.
    """
    if since is not None and until is not None and until < since:
        raise refuse("--until", "lies before --since: nothing could be between them")
    only: dict[str, Any] = {
        "ids": listed("--only-ids", only_ids),
        "accounts": listed("--accounts", accounts),
        "since": since,
        "until": until,
        "states": listed("--states", states),
    }
    asked: dict[str, Any] = {
        "mode": mode,
        "only": {name: value for name, value in only.items() if value},
    }
    wanted = one_of("--phases", phases, [phase.value for phase in Phase])
    if wanted:
        # In their own order, whatever order they were typed in: payments need their invoices.
        asked["phases"] = [phase for phase in Phase if phase.value in wanted]
    try:
        return BackfillInput.model_validate(asked)
    except ValidationError as error:
        field, why = first_fault(error)
        option = next(
            (option for name, option in _OPTIONS.items() if (field or "").startswith(name)),
            field or "input",
        )
        raise refuse(option, why) from error


def execution_name(asked: BackfillInput, now: datetime, suffix: str) -> str:
    """Name an execution: what it carries, what it does, when it was started; at most 80 letters.

    Readable in the console and sorted by time within one kind; `suffix` tells apart two of one
    second. A run of all of several phases is called `all`.
    """
    every = len(asked.phases) > 1 and len(asked.phases) == len(Phase)
    phases = "all" if every else "-".join(asked.phases)
    tail = f"-{asked.mode}-{now.astimezone(UTC):%Y-%m-%dT%H-%M-%SZ}-{suffix}"
    return phases[: LONGEST_NAME - len(tail)].rstrip("-") + tail
