"""What the dashboard reads, and what it is drawn by."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from billing_sync.domain.states import Colour, EntityType, State


@dataclass(frozen=True, slots=True)
class StateCount:
    """Records of one entity and state; red ones that a person accepted are counted apart."""

    entity: EntityType
    state: State
    accepted: bool
    count: int


@dataclass(frozen=True, slots=True)
class CauseGroup:
    """Red records of one cause.

    `code` is None where a record bears none. `amount` is what they are worth by our books (an
    invoice's total, a payment, a month of a service), None of what has no money of its own.
    `sentence` is one of theirs, and `alike` says whether it is all of theirs. `ids` are the first
    few, account numbers of customers. `reason` is why a person accepted the first of them.
    """

    entity: EntityType
    state: State
    code: str | None
    accepted: bool
    count: int
    amount: Decimal | None
    sentence: str
    alike: bool
    ids: tuple[str, ...]
    reason: str | None


@dataclass(frozen=True, slots=True)
class OrganisationNow:
    """The organisation, and what people have decided about the sync as a whole."""

    name: str
    currency: str
    live_from: datetime | None
    paused_at: datetime | None
    paused_by: str | None
    paused_reason: str | None


@dataclass(frozen=True, slots=True)
class DashboardTables:
    """Our tables at one moment, `now`, by the database's clock."""

    now: datetime
    organisation: OrganisationNow | None
    states: tuple[StateCount, ...]
    causes: tuple[CauseGroup, ...]


class DashboardReading(Protocol):
    """Our tables as the dashboard needs them."""

    def read(self) -> DashboardTables:
        """Read all of it as of one moment; writes nothing, takes no lock."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person needs first: one line, and what there is to say besides."""

    colour: Colour
    headline: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """Red records of one cause, in words.

    `more` counts those beyond `ids`. `retry` is what the button sends to `operate`, None where a
    retry changes nothing; `question` is asked before.
    """

    title: str
    entity: EntityType
    state: State
    code: str | None
    count: int
    amount: str | None
    sentence: str
    advice: str
    ids: tuple[str, ...]
    more: int
    retry: Mapping[str, Any] | None = None
    question: str = ""


@dataclass(frozen=True, slots=True)
class EntityRow:
    """How many records of an entity are in which state; accepted ones are in no state's count."""

    entity: EntityType
    total: int
    counts: Mapping[State, int]
    accepted: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of one phase of a run's plan is done."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class BackfillNow:
    """The newest run. `waits` is None unless the machine sleeps now."""

    run_id: str
    execution_arn: str
    is_running: bool
    colour: Colour
    doing: str
    since: str
    waits: str | None
    phases: tuple[Progress, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of quota or token. `share` is how much of a limit is used, 0 to 1, if it is one."""

    name: str
    value: str
    share: float | None = None
    colour: Colour = Colour.NONE


@dataclass(frozen=True, slots=True)
class DashboardData:
    """All that the dashboard shows, in plain words; nothing of it is markup."""

    verdict: Verdict
    organisation: str | None
    as_of: str
    red: tuple[Cause, ...]
    accepted: tuple[Cause, ...]
    rows: tuple[EntityRow, ...]
    backfill: BackfillNow | None
    quota: tuple[Fact, ...]
    token: tuple[Fact, ...]


class DashboardPage(Protocol):
    """The dashboard as HTML without scripts. Whatever it is given is escaped."""

    def __call__(self, data: DashboardData, *, is_dark: bool) -> str:
        """Draw it in the console's light theme, or its dark one."""
