"""What the function `operate` answers, as far as the command shows it.

Tolerant on purpose: a stack may be a version ahead of the command, and what is new then stands in
`--json` only.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from billing_sync.domain.states import EntityType, State
from billing_sync.domain.steps import Finding, Mode, first_fault
from ops.cli.stack import StackFault


class Answer(BaseModel):
    """Part of an answer. What the command does not know is let pass."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class OrganisationName(Answer):
    id: str
    name: str | None = None
    currency: str | None = None


class RunStatus(Answer):
    """A run: where it is, what it waits for, how much of its plan is left."""

    run_id: str
    mode: Mode
    step: str
    phase: str | None = None
    started_at: datetime
    ended_at: datetime | None = None
    colour: str | None = None
    loops: int = 0
    waiting_until: datetime | None = None
    waiting_reason: str | None = None
    waited_seconds: float = 0
    cooldowns: int = 0
    stop_requested: bool = False
    ended_early: str | None = None
    plan: dict[str, dict[str, int]] = {}
    left: dict[str, int] = {}

    @property
    def total(self) -> int:
        """Count the plan's records."""
        return sum(sum(actions.values()) for actions in self.plan.values())

    @property
    def done(self) -> int:
        """Count those of the plan that need no more work, or had none to do."""
        return max(self.total - sum(self.left.values()), 0)


class QuotaStatus(Answer):
    limit_per_minute: int
    configured_per_minute: int
    taken_in_minute: int
    in_flight: int
    in_flight_limit: int
    taken_today: int
    day_cap: int
    blocked_until: datetime | None = None
    paused_until: datetime | None = None


class TokenStatus(Answer):
    generation: int = 0
    expires_at: datetime | None = None
    tokens_minted: int | None = None
    cooldown_until: datetime | None = None


class RedGroup(Answer):
    """Red records of one cause. `ids` are the first few."""

    code: str
    entity: EntityType
    state: State = State.FAILED
    count: int
    sentence: str | None = None
    ids: tuple[str, ...] = ()
    reason: str | None = None
    """Why a person accepted the first of them."""


class PausedWrites(Answer):
    """Who holds back every write, since when, and why."""

    at: datetime
    by: str
    reason: str


class Status(Answer):
    """The run, the records, the quota and the token, at one moment."""

    organisation: OrganisationName | None = None
    run: RunStatus | None = None
    records: dict[str, dict[str, int]] = {}
    in_the_run: dict[str, int] = {}
    quota: QuotaStatus | None = None
    token: TokenStatus | None = None
    live_from: datetime | None = None
    paused: PausedWrites | None = None
    red: tuple[RedGroup, ...] = ()
    accepted: tuple[RedGroup, ...] = ()


class StoryRecord(Answer):
    """A record as `show` tells it."""

    entity: EntityType
    id: str
    account_number: str | None = None
    state: State
    meaning: str | None = None
    sentence: str | None = None
    code: str | None = None
    field: str | None = None
    zoho_id: str | None = None
    how: str | None = None
    attempt_number: int = 0
    next_attempt_at: datetime | None = None
    candidates: tuple[str, ...] = ()
    leaves_by: str | None = None
    accepted: Any = None


class StoryAttempt(Answer):
    at: datetime
    operation: str
    status: str
    http_status: int | None = None
    zoho_code: int | None = None
    error_sentence: str | None = None
    duration_ms: int | None = None
    run_id: str | None = None


class StoryAudit(Answer):
    at: datetime
    by: str
    action: str
    details: dict[str, Any] = {}


class StoryIntent(Answer):
    step: str
    method: str
    sent_at: datetime
    closed_as: str | None = None


class Story(Answer):
    """A record, what was tried for it, and what people did about it."""

    record: StoryRecord
    attempts: tuple[StoryAttempt, ...] = ()
    audit: tuple[StoryAudit, ...] = ()
    intents: tuple[StoryIntent, ...] = ()


class PlanSummary(BaseModel):
    """`plan.json`: what a run would cost. What it would do, the run itself counts."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    calls: int | None = None
    customers_in_zoho: int | None = None
    in_zoho: dict[str, int] = {}
    minutes: float | None = None
    days: float | None = None
    finish_at: datetime | None = None
    could_be_mailed: int | None = None
    could_be_reminded: int | None = None


class Verdict(Answer):
    """What a run's `report.json` says besides its figures: causes and findings of this run."""

    red: tuple[RedGroup, ...] = ()
    findings: tuple[Finding, ...] = ()


def read_answer[M: BaseModel](model: type[M], answer: object) -> M:
    """Read an answer as the command knows it.

    :raises StackFault: it is of another shape, so the stack is of another version.
    """
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        field, why = first_fault(error)
        raise StackFault(
            "UnknownAnswer",
            f"The stack's answer is not what this version of the command knows:"
            f" {field or 'answer'}: {why}. --json shows it as it is.",
        ) from error
