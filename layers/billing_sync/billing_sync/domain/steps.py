"""What goes into and comes out of the functions: small, readable in the console, ids only."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from billing_sync.domain.states import EntityType, State

ZOHO_ID: Final = re.compile(r"[0-9]{6,25}", re.ASCII)
LONGEST_PLAN_CODE: Final = 100
LONGEST_REASON: Final = 500


class Strict(BaseModel):
    """A message that refuses what it does not know, naming the field and never the value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Phase(StrEnum):
    """The phases of a backfill, in their order."""

    CUSTOMERS = "customers"
    SUBSCRIPTIONS = "subscriptions"
    INVOICES = "invoices"
    PAYMENTS = "payments"


ENTITY_OF_PHASE = {
    Phase.CUSTOMERS: EntityType.CUSTOMER,
    Phase.SUBSCRIPTIONS: EntityType.SUBSCRIPTION,
    Phase.INVOICES: EntityType.INVOICE,
    Phase.PAYMENTS: EntityType.PAYMENT,
}
"""The entity that a phase carries; its parents go along."""

OFF_DUE = "due"
"""The `phase` of WorkOffDue: whatever has fallen due, of any phase."""


class Mode(StrEnum):
    """Whether a run only plans, or applies its plan."""

    PLAN = "plan"
    APPLY = "apply"


def _written_out(value: object) -> object:
    """Refuse numbers as times: pydantic reads `20250101` as seconds, and finds August 1970."""
    if isinstance(value, int | float) or (isinstance(value, str) and "T" not in value.upper()):
        raise PydanticCustomError("datetime_written_out", "must be a time with its zone")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]


class Only(Strict):
    """Restrict a run: all that are given must hold. Times are of the row's creation."""

    ids: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    since: Moment | None = None
    until: Moment | None = None
    states: tuple[State, ...] = ()


def _in_their_order(phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
    """Bring phases into their order, each once: parents go before children however it is asked."""
    return tuple(phase for phase in Phase if phase in phases)


class BackfillInput(Strict):
    """The execution's input. Without a mode it plans, and writes nothing to Zoho."""

    phases: Annotated[tuple[Phase, ...], Field(min_length=1), AfterValidator(_in_their_order)] = (
        tuple(Phase)
    )
    mode: Mode = Mode.PLAN
    only: Only = Only()


def first_fault(error: ValidationError) -> tuple[str | None, str]:
    """Give field and sentence of the first fault, without the value that somebody typed."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in fault["loc"]) or None
    return field, fault["msg"]


class Execution(Strict):
    """The execution that a step belongs to; its name is the run's id."""

    arn: str
    name: str


class PreflightEvent(Strict):
    """Asked by the state machine (`execution`) or by a person (`check_only`).

    `input` is judged by the service, so that a bad one is an answer and not an error.
    """

    input: Any = None
    execution: Execution | None = None
    check_only: bool = False


class StepEvent(Strict):
    """Asked by the state machine, once per loop."""

    run_id: str
    phase: str | None = None


class Next(StrEnum):
    """What the state machine does after a step."""

    AGAIN = "again"
    COOL_DOWN = "cool_down"
    WAIT_UNTIL = "wait_until"
    DONE = "done"
    END = "end"


class StepAnswer(BaseModel):
    """What a step answers. `wait_seconds` is unscaled, 15 to 3600; `resume_at` is UTC."""

    next: Next
    wait_seconds: int | None = None
    resume_at: datetime | None = None
    why: str | None = None
    counts: dict[str, int] = {}


class Severity(StrEnum):
    """How much a finding matters. `BLOCKING` and `CONFIRM` stop a run before its first write."""

    BLOCKING = "blocking"
    CONFIRM = "confirm"
    RED = "red"
    WARNING = "warning"
    NOTE = "note"


class Finding(BaseModel):
    """Something that a person should know: one word for preflight, plan and verify."""

    code: str
    severity: Severity
    sentence: str
    what_to_do: str
    count: int = 1
    records: tuple[str, ...] = ()
    """Ids of ours or of Zoho, at most the first fifty."""


class OrganisationView(BaseModel):
    """Zoho's organisation as a person recognises it before saying yes."""

    id: str
    name: str
    currency: str
    time_zone: str
    customers: int | None = None


class PreflightAnswer(BaseModel):
    """What preflight says, to the state machine (`go`, ...) or to a person (`checked`)."""

    next: Literal["go", "already_running", "refused", "checked"]
    run_id: str | None = None
    mode: Mode | None = None
    phases: tuple[Phase, ...] = ()
    running: str | None = None
    error: str | None = None
    why: str | None = None
    findings: tuple[Finding, ...] = ()
    organisation: OrganisationView | None = None
    counts: dict[str, int] = {}


class ConcludeAnswer(BaseModel):
    """How a run ends when nothing is red."""

    colour: Literal["green", "amber"]
    why: str
    counts: dict[str, int]


# ------------------------------------------------------------------------------------- operate


class Confirm(Strict):
    """A person has looked in Zoho at what its API does not tell."""

    action: Literal["confirm"]
    by: str
    items: Annotated[
        tuple[
            Literal[
                "notifications_off",
                "excess_payments_off",
                "prices_inclusive",
                "prices_exclusive",
                "tax_rounding_per_line",
                "tax_rounding_per_document",
                "display_names_unique",
                "display_names_may_repeat",
            ],
            ...,
        ],
        Field(min_length=1),
    ]


class Retry(Strict):
    """Try records again, by ids, by states or by code; all that are given must hold."""

    action: Literal["retry"]
    by: str
    entity: EntityType
    ids: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    code: str | None = None


class Link(Strict):
    """A person says which record of Zoho ours is. A plan is known there by its code."""

    action: Literal["link"]
    by: str
    entity: EntityType
    id: str
    zoho_id: str

    @field_validator("zoho_id")
    @classmethod
    def _is_an_id_of_zoho(cls, given: str, told: ValidationInfo) -> str:
        is_plan = told.data.get("entity") is EntityType.PLAN
        if is_plan and not 0 < len(given) <= LONGEST_PLAN_CODE:
            raise PydanticCustomError("plan_code", "must be a plan's code, of 1 to 100 characters")
        if not is_plan and not ZOHO_ID.fullmatch(given):
            raise PydanticCustomError("zoho_id", "must be a number of 6 to 25 digits")
        return given


class CreateAnyway(Strict):
    """A person says that none of the plausible candidates is ours."""

    action: Literal["create_anyway"]
    by: str
    entity: EntityType
    id: str


class Stop(Strict):
    """End the running backfill within the record in hand."""

    action: Literal["stop"]
    by: str


Words = Annotated[str, Field(min_length=1, max_length=LONGEST_REASON)]


class GoLive(Strict):
    """From now on (or since a time) triggers and sweep carry what comes; before, they record."""

    action: Literal["go_live"]
    by: str
    since: Annotated[Moment | None, Field(alias="from")] = None


class Pause(Strict):
    """Hold back every write to Zoho within the record in hand."""

    action: Literal["pause"]
    by: str
    reason: Words


class Resume(Strict):
    """Let writes go on."""

    action: Literal["resume"]
    by: str


class Accept(Strict):
    """A person has looked at a red record, and it may stay so until its row changes."""

    action: Literal["accept"]
    by: str
    entity: EntityType
    id: str
    reason: Words


class Status(Strict):
    """Show the run, the records by state, the quota and the token."""

    action: Literal["status"]
    by: str = ""


class Show(Strict):
    """Tell a record's story."""

    action: Literal["show"]
    by: str = ""
    entity: EntityType
    id: str


class ReportKeys(Strict):
    """Say where a run's report lies."""

    action: Literal["report"]
    by: str = ""
    run_id: str | None = None


class OperateEvent(
    RootModel[
        Annotated[
            Confirm
            | Retry
            | Link
            | CreateAnyway
            | Accept
            | GoLive
            | Pause
            | Resume
            | Stop
            | Status
            | Show
            | ReportKeys,
            Field(discriminator="action"),
        ]
    ]
):
    """What an operator asks for, told apart by `action`."""


class OperateAnswer(BaseModel):
    """`ok` with what was asked for; else the error, the field and the reason."""

    model_config = ConfigDict(extra="allow")

    ok: bool
    error: str | None = None
    field: str | None = None
    why: str | None = None


class MigrateAnswer(BaseModel):
    """The schema's revision, and the views that were made."""

    revision: str
    views: tuple[str, ...]
