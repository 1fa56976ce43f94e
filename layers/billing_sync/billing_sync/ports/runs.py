"""Runs of the backfill: lock, plan, canary, findings, files."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import BackfillInput, Finding, Mode, Only, Phase
from billing_sync.ports.records import RecordKey


class CanaryState(StrEnum):
    """Whether a phase may already work on many records at once."""

    OPEN = "open"
    HELD = "held"
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the backfill as its steps find it."""

    run_id: str
    execution_arn: str
    mode: Mode
    phases: tuple[Phase, ...]
    only: Only
    step: str
    cursor: str | None
    loops: int
    stop_requested: bool
    stop_requested_by: str | None
    ended_early: str | None
    waiting_until: datetime | None
    waiting_reason: str | None
    waited_seconds: float
    cooldowns: int
    started_at: datetime
    ended_at: datetime | None
    work_off_seconds_left: float | None
    colour: str | None


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What a run will do with one record, and why.

    `amount` is what the record is worth by our books: an invoice's total, a payment, a month of a
    service. `as_parent`: it was not selected; a record of the run needs it, and brings it along.
    """

    phase: str
    record: RecordKey
    account_number: str | None
    action: str
    reason: str | None = None
    differing: tuple[str, ...] = ()
    amount: Decimal | None = None
    to_do: bool = True
    as_parent: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """How many rows of a plan bear one action, and what they are worth together."""

    phase: str
    entity: EntityType
    action: str
    as_parent: bool
    rows: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class RunCalls:
    """What a run cost, by the governor's own counters."""

    calls: int
    throttled: int
    tokens_minted: int


class Runs(Protocol):
    """The runs of one organisation, their plans and findings. One run at a time."""

    def spent(self) -> RunCalls:
        """Give what all runs have cost together, by the governor's and the token's counters."""

    def begin(
        self,
        run_id: str,
        execution_arn: str,
        asked: BackfillInput,
        *,
        before: RunCalls | None = None,
    ) -> Run:
        """Begin the run, or give the one that holds the lock (its id tells which).

        `before` is what had been spent when the run's preflight began.
        """

    def take_over(self, former_run_id: str) -> None:
        """End a run whose execution does not run any more."""

    def get(self, run_id: str) -> Run:
        """Read the run.

        :raises KeyError: there is none of that id.
        """

    def latest(self) -> Run | None:
        """Read the newest run."""

    def enter(self, run_id: str, step: str) -> Run:
        """Begin a loop of a step: count it, and end the wait that led to it."""

    def save_cursor(self, run_id: str, cursor: str | None) -> None:
        """Remember how far a step came."""

    def wait(self, run_id: str, *, seconds: float, reason: str) -> None:
        """Remember that the state machine waits, for how long (real seconds) and why."""

    def end_early(self, run_id: str, why: str) -> None:
        """Remember why the run goes to its report before its end; the first reason stays."""

    def end(self, run_id: str, colour: str) -> None:
        """End the run and free the lock."""

    def request_stop(self, by: str) -> Run | None:
        """Ask the running run to stop; None when none runs."""

    def must_stop(self, run_id: str) -> bool:
        """Say whether a stop was asked for, or the run ends early."""

    def hold_canary(self, run_id: str, phase: str, record: RecordKey) -> CanaryState:
        """Try to be the phase's first record: `OPEN` says that it is ours to try."""

    def free_canary(self, run_id: str, phase: str, record: RecordKey, *, passed: bool) -> None:
        """Give the canary back, or declare it passed."""

    def canary_holder(self, run_id: str, phase: str) -> RecordKey | None:
        """Give the record that holds the phase, if one does."""

    def count_refusal(self, run_id: str, code: str) -> int:
        """Count refusals of one code without a success between; gives the count."""

    def clear_refusals(self, run_id: str) -> None:
        """Forget refusals: a record was synced, so they are about records, not about all."""

    def set_work_off(self, run_id: str, seconds: float) -> None:
        """Start the time of working off, once."""

    def clear_plan(self, run_id: str) -> None:
        """Forget a plan that was begun."""

    def add_to_plan(self, run_id: str, rows: Sequence[PlanRow]) -> None:
        """Append rows to the plan; a record that is in it already is left as it is."""

    def plan_rows(self, run_id: str) -> Iterator[PlanRow]:
        """Give the whole plan in its order, in constant memory."""

    def in_plan(self, run_id: str, records: Sequence[RecordKey]) -> set[RecordKey]:
        """Say which of the records stand in the plan already."""

    def planned(self, run_id: str) -> list[Planned]:
        """Count the plan's rows, and add up their money."""

    def plan_counts(self, run_id: str) -> dict[str, dict[str, int]]:
        """Count the plan's rows by phase and action; parents that come along are not counted."""

    def plan_counts_with_field(self, run_id: str, field: str) -> int:
        """Count the plan's rows that write a field."""

    def plan_to_do(
        self, run_id: str, phase: str, limit: int, *, but: Collection[RecordKey] = ()
    ) -> list[RecordKey]:
        """Give the phase's next records that were not worked on yet, leaving some out."""

    def plan_left(self, run_id: str, phase: str) -> int:
        """Count the phase's records that were not worked on yet."""

    def worked(self, run_id: str, record: RecordKey) -> None:
        """Take the record off the plan; what is left of it is the sync records' to do."""

    def due(self, run_id: str, limit: int, *, but: Collection[RecordKey] = ()) -> list[RecordKey]:
        """Give the run's records that are claimable now, leaving some out."""

    def waiting(self, run_id: str, entity: EntityType) -> list[RecordKey]:
        """Give the run's records of an entity that wait for what others make."""

    def next_due_seconds(self, run_id: str) -> float | None:
        """Say in how many real seconds the next record of the run falls due, None if none will.

        Nobody waits for what is `waiting`: it comes when others have made it, days from now.
        """

    def put_findings(self, run_id: str, source: str, findings: Sequence[Finding]) -> None:
        """Replace the findings of one source (`preflight`, `plan`, `verify`)."""

    def forget_findings(self, run_id: str, source: str, codes: Sequence[str]) -> None:
        """Forget what one source found under these codes: another one has looked since."""

    def findings(self, run_id: str) -> list[Finding]:
        """Give all findings of the run."""

    def record_counts(self, run_id: str) -> dict[str, int]:
        """Count the records of the run's plan by state; accepted ones as `accepted`."""


class Executions(Protocol):
    """The executions of the backfill's state machine."""

    def is_running(self, execution_arn: str) -> bool:
        """Say whether the execution still runs; one that nobody knows does not."""


class RunFiles(Protocol):
    """Where plans and reports are kept for people."""

    def write(self, key: str, chunks: Iterator[bytes], content_type: str) -> None:
        """Write a file in constant memory."""

    def probe(self) -> None:
        """Write a small file, so that a missing right is found before a run needs it."""
