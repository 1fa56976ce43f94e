"""The steps `SyncBatch` and `WorkOffDue`: records, some side by side, until time or quota is up."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from billing_sync.domain.errors import LogNotWritten, Misconfigured, NotNow, Paused, Unavailable
from billing_sync.domain.remote import RemoteInvoice
from billing_sync.domain.states import STATES, EntityType, State
from billing_sync.domain.steps import ENTITY_OF_PHASE, OFF_DUE, Next, Phase, StepAnswer, StepEvent
from billing_sync.ports import (
    BillingApi,
    CanaryState,
    Clock,
    Executions,
    Organisations,
    Priority,
    Quota,
    RecordKey,
    Run,
    Runs,
    SyncRecords,
)
from billing_sync.services.attempt import Outcome
from billing_sync.services.backfill.loop import SPARE_SECONDS, Loop, TimeLeft
from billing_sync.services.backfill.snapshot import away
from billing_sync.services.sync_record import SyncRecord
from billing_sync.services.take_rows import TakeRows

MOST_REFUSALS: Final = 5
"""More refusals of one code without a success between are about the organisation, not records."""

EXECUTION_ASKED_EVERY: Final = 5.0
"""Real seconds between two looks whether the execution was stopped in the console."""

SEEN: Final = "seen"
"""The cursor of these two, once Zoho's newest invoices were looked at."""

LOOKS_AGAIN: Final = frozenset((Phase.INVOICES.value, OFF_DUE))

PHASE_OF_ENTITY: Final = {entity: phase for phase, entity in ENTITY_OF_PHASE.items()}
"""Whose canary a record may pass: a product or a plan shows nothing of a subscription."""


@dataclass
class _Batch:
    """What one invocation has done so far."""

    run: Run
    counts: Counter[str] = field(default_factory=Counter)
    wait: NotNow | None = None
    held: set[RecordKey] = field(default_factory=set)
    """Not claimable now, for another record of the same customer is in hand."""
    worked_since_held: bool = False


class SyncBatch:
    """Work off a phase of the plan, or what has fallen due, and leave every wait to the machine."""

    def __init__(  # noqa: PLR0913, PLR0917 - the ports of a batch
        self,
        runs: Runs,
        loop: Loop,
        records: SyncRecords,
        sync_record: SyncRecord,
        quota: Quota,
        api: BillingApi,
        organisations: Organisations,
        executions: Executions,
        clock: Clock,
        invoice_rows: TakeRows[RemoteInvoice],
        *,
        workers: int,
        longest_sleep_seconds: float,
        pause_seconds: float,
        work_off_seconds: float,
    ) -> None:
        """`workers` records at once; `work_off_seconds` is real time for what falls due."""
        self._runs = runs
        self._loop = loop
        self._records = records
        self._sync_record = sync_record
        self._quota = quota
        self._api = api
        self._organisations = organisations
        self._executions = executions
        self._clock = clock
        self._invoice_rows = invoice_rows
        self._workers = workers
        self._longest_sleep_seconds = longest_sleep_seconds
        self._pause_seconds = pause_seconds
        self._work_off_seconds = work_off_seconds
        self._asked_at = float("-inf")

    def __call__(self, event: StepEvent, time_left: TimeLeft) -> StepAnswer:
        """Work until the phase is done, the time is short, or something says wait or stop."""
        phase = event.phase or OFF_DUE
        run, ended = self._loop.enter(event.run_id, f"sync_batch {phase}")
        if ended is not None:
            return ended
        if phase == OFF_DUE:
            self._runs.set_work_off(run.run_id, self._work_off_seconds)
        batch = _Batch(run)
        if phase in LOOKS_AGAIN and run.cursor is None:
            answer = self._see_what_was_raised(run, phase)
            if answer is not None:
                return answer
        with ThreadPoolExecutor(self._workers) as pool:
            while True:
                answer = self._may_go_on(batch, time_left) or (
                    self._next_due(batch, pool)
                    if phase == OFF_DUE
                    else self._next_of_plan(batch, Phase(phase), pool)
                )
                if answer is not None:
                    return answer

    def _see_what_was_raised(self, run: Run, phase: str) -> StepAnswer | None:
        """Look once at what Zoho has raised since the snapshot: this run's own subscriptions begin.

        Else their first invoices would wait for an hour that nobody need wait. In WorkOffDue those
        that wait are looked at again, in our own tables: Zoho's list lags.
        """
        waiting = self._runs.waiting(run.run_id, EntityType.INVOICE) if phase == OFF_DUE else []
        if (phase == OFF_DUE and not waiting) or Phase.INVOICES not in run.phases:
            return None
        try:
            self._invoice_rows.not_older_than(0.0)
        except NotNow as refusal:
            return self._loop.wait(run.run_id, refusal)
        except Unavailable as failure:
            return away(self._loop, run.run_id, failure)
        except Misconfigured as failure:
            self._runs.end_early(run.run_id, failure.sentence)
            return self._loop.end(run.run_id)
        for record in waiting:
            self._records.signal(record)
        self._runs.save_cursor(run.run_id, SEEN)
        return None

    # -------------------------------------------------------------------------------- go on?

    def _may_go_on(self, batch: _Batch, time_left: TimeLeft) -> StepAnswer | None:
        run_id, counts = batch.run.run_id, dict(batch.counts)
        if self._must_stop(batch.run):
            return self._loop.end(run_id, counts)
        if batch.wait is not None:
            return self._loop.wait(run_id, batch.wait, counts)
        if time_left() < SPARE_SECONDS:
            return StepAnswer(next=Next.AGAIN, counts=counts)
        if self._organisations.standing().is_paused:
            # Asked before a record is claimed: each would only be put down again.
            return self._loop.wait(run_id, Paused(self._pause_seconds), counts)
        try:
            self._probe_a_paused_day()
        except NotNow as refusal:
            return self._loop.wait(run_id, refusal, counts)
        wait = self._quota.wait_for(Priority.BACKFILL)
        if wait > self._longest_sleep_seconds:
            return self._loop.wait_for(
                run_id,
                wait,
                reason="quota",
                why="No call is free yet: Zoho's limits, shared with everybody else.",
                counts=counts,
            )
        return None

    def _probe_a_paused_day(self) -> None:
        """Ask, once an hour and by one worker, whether Zoho counts a new day.

        A write is never the probe: its permit stands in a transaction with its intent.
        """
        if self._quota.probe_is_due():
            self._api.organisations()

    def _must_stop(self, run: Run) -> bool:
        """Look at the run's row each time, at the execution every few seconds."""
        if self._runs.must_stop(run.run_id):
            return True
        now = self._clock.monotonic()
        if now - self._asked_at < EXECUTION_ASKED_EVERY:
            return False
        self._asked_at = now
        if self._executions.is_running(run.execution_arn):
            return False
        self._runs.end_early(run.run_id, "its execution was stopped")
        return True

    # ---------------------------------------------------------------------------------- phase

    def _next_of_plan(
        self, batch: _Batch, phase: Phase, pool: ThreadPoolExecutor
    ) -> StepAnswer | None:
        run_id = batch.run.run_id
        to_do = self._runs.plan_to_do(run_id, phase.value, self._workers, but=batch.held)
        if not to_do and batch.held:
            self._take_held_up_again(batch)
            return None
        if not to_do:
            return StepAnswer(next=Next.DONE, counts=dict(batch.counts))
        catalogue = [record for record in to_do if record.entity is not ENTITY_OF_PHASE[phase]]
        if catalogue:
            # A changed product or plan: it shows nothing of the phase's own records.
            self._work(batch, catalogue[:1], pool, on_plan=True)
            return None
        match self._runs.hold_canary(run_id, phase.value, to_do[0]):
            case CanaryState.HELD:
                return self._wait_for_canary(batch, phase)
            case CanaryState.OPEN:
                to_do = to_do[:1]
            case CanaryState.PASSED:
                # Ask for no more at once than the quota has in store.
                pass
        self._work(batch, to_do, pool, on_plan=True)
        return None

    def _take_held_up_again(self, batch: _Batch) -> None:
        """Try those again whose turn had not come; leave them to WorkOffDue where nothing moves.

        What holds them may be a proof that is minutes away: the phase does not wait for it. As
        `pending` records of the run they are not lost.
        """
        if not batch.worked_since_held:
            for record in batch.held:
                self._records.signal(record)
                self._runs.worked(batch.run.run_id, record)
        batch.held.clear()
        batch.worked_since_held = False

    def _wait_for_canary(self, batch: _Batch, phase: Phase) -> StepAnswer | None:
        """Nobody else goes before the first write is known to be right."""
        holder = self._runs.canary_holder(batch.run.run_id, phase.value)
        if holder is None:
            return None
        outcome = self._sync(batch, holder, on_plan=False)
        if outcome is None or outcome.not_claimed is None:
            self._judge(batch, holder, outcome, on_plan=False)
            return None
        return self._loop.wait_for(
            batch.run.run_id,
            outcome.not_claimed.wait_seconds or 0.0,
            reason="canary",
            why="The first record's write is being proved; the others wait for it.",
            counts=dict(batch.counts),
        )

    # ------------------------------------------------------------------------------------ due

    def _next_due(self, batch: _Batch, pool: ThreadPoolExecutor) -> StepAnswer | None:
        run_id, counts = batch.run.run_id, dict(batch.counts)
        due = self._runs.due(run_id, self._workers, but=batch.held)
        if due:
            self._work(batch, due, pool, on_plan=False)
            return None
        if batch.held and batch.worked_since_held:
            self._take_held_up_again(batch)
            return None
        seconds = self._runs.next_due_seconds(run_id)
        left = self._runs.get(run_id).work_off_seconds_left or 0.0
        if seconds is None or seconds > left:
            return StepAnswer(next=Next.DONE, counts=counts)
        return self._loop.wait_for(
            run_id,
            seconds,
            reason="due",
            why="Records come back when they fall due: a proof, or another attempt.",
            counts=counts,
        )

    # --------------------------------------------------------------------------------- records

    def _work(
        self,
        batch: _Batch,
        records: Sequence[RecordKey],
        pool: ThreadPoolExecutor,
        *,
        on_plan: bool,
    ) -> None:
        outcomes = pool.map(lambda record: self._sync(batch, record, on_plan=on_plan), records)
        for record, outcome in zip(records, outcomes, strict=True):
            self._judge(batch, record, outcome, on_plan=on_plan)

    def _sync(self, batch: _Batch, record: RecordKey, *, on_plan: bool) -> Outcome | None:
        """Bring one record in step; None where the run has to stop before or because of it."""
        run_id = batch.run.run_id
        if self._runs.must_stop(run_id):
            return None
        try:
            outcome = self._sync_record(record, priority=Priority.BACKFILL, run_id=run_id)
            if (
                on_plan
                and outcome.not_claimed is not None
                and _is_claimed_on_signal(outcome.not_claimed.state)
            ):
                # At rest, and yet on the plan: its source has changed, or what it waits for has
                # come, and nobody said so.
                self._records.signal(record)
                outcome = self._sync_record(record, priority=Priority.BACKFILL, run_id=run_id)
        except Misconfigured as failure:
            self._runs.end_early(run_id, failure.sentence)
            return None
        except LogNotWritten:
            self._runs.end_early(run_id, "the sync log refuses a row")
            return None
        return outcome

    def _judge(
        self, batch: _Batch, record: RecordKey, outcome: Outcome | None, *, on_plan: bool
    ) -> None:
        """Take the record off the plan, and draw the run's conclusions from how it went."""
        run_id = batch.run.run_id
        if outcome is None:
            return
        self._judge_canary(batch, record, outcome)
        if outcome.wait is not None:
            batch.wait = outcome.wait
            return
        if outcome.not_claimed is not None and outcome.not_claimed.state is State.PENDING:
            batch.held.add(record)
            return
        batch.worked_since_held = True
        if on_plan:
            self._runs.worked(run_id, record)
        state = outcome.state or State.SYNCING
        batch.counts[state.value] += 1
        if state is State.SYNCED and outcome.change != "unchanged":
            self._runs.clear_refusals(run_id)
        if state is State.FAILED and (outcome.code or "").startswith("zoho_"):
            count = self._runs.count_refusal(run_id, outcome.code or "")
            if count > MOST_REFUSALS:
                self._runs.end_early(
                    run_id, f"Zoho refused {count} records in a row with {outcome.code}"
                )

    def _judge_canary(self, batch: _Batch, record: RecordKey, outcome: Outcome) -> None:
        """Pass it by a write that came out right; keep it in doubt; stop the run by a mismatch."""
        phase = PHASE_OF_ENTITY.get(record.entity)
        if phase is None:
            return
        run_id = batch.run.run_id
        if outcome.state is State.SYNCED and outcome.change in ("created", "updated"):
            self._runs.free_canary(run_id, phase.value, record, passed=True)
        elif outcome.state is State.MISMATCH and (
            self._runs.canary_holder(run_id, phase.value) == record
        ):
            self._runs.end_early(
                run_id, f"the first record written, {record}, came out different in Zoho"
            )
        elif outcome.state not in (State.IN_DOUBT, State.SYNCING, None):
            self._runs.free_canary(run_id, phase.value, record, passed=False)


def _is_claimed_on_signal(state: State) -> bool:
    return STATES[state].claimed_on_signal or state is State.WAITING
