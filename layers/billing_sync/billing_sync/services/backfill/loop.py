"""What every looping step does the same way: begin, end early, and hand waits to the machine."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from billing_sync.domain.errors import NotNow, QuotaExhausted
from billing_sync.domain.steps import Next, StepAnswer
from billing_sync.domain.timing import LONGEST_WAIT_SECONDS, Timing
from billing_sync.ports import Clock, Run, Runs

MOST_LOOPS: Final = 2000
"""Two thousand loops of about nine events stay below an execution's 25,000 (protocol §8)."""

SPARE_SECONDS: Final = 40.0
"""What must be left of a Lambda's time to begin a record: permit, window, deadline, settling."""

TimeLeft = Callable[[], float]


class Loop:
    """One step's loop of one run."""

    def __init__(self, runs: Runs, clock: Clock, timing: Timing) -> None:
        """Keep the ports."""
        self._runs = runs
        self._clock = clock
        self._timing = timing

    def scaled(self, seconds: float) -> float:
        """Give real seconds for unscaled ones."""
        return self._timing.scaled(seconds)

    def enter(self, run_id: str, step: str) -> tuple[Run, StepAnswer | None]:
        """Begin a loop; the answer is given where the run has to go to its report instead."""
        run = self._runs.enter(run_id, step)
        if run.loops > MOST_LOOPS:
            self._runs.end_early(run_id, f"{MOST_LOOPS} loops are used up: start again")
        if self._runs.must_stop(run_id):
            return run, self.end(run_id)
        return run, None

    def end(self, run_id: str, counts: dict[str, int] | None = None) -> StepAnswer:
        """Go to the report: stopped, or ended early for the reason that the run row holds."""
        run = self._runs.get(run_id)
        if run.ended_early is None and run.stop_requested:
            self._runs.end_early(run_id, f"stopped by {run.stop_requested_by}")
            run = self._runs.get(run_id)
        return StepAnswer(next=Next.END, why=run.ended_early, counts=counts or {})

    def wait(
        self,
        run_id: str,
        refusal: NotNow,
        counts: dict[str, int] | None = None,
    ) -> StepAnswer:
        """Let the state machine wait: a time for the day's quota, seconds for what is short."""
        if isinstance(refusal, QuotaExhausted):
            return self._until(
                run_id,
                refusal.wait_seconds,
                reason=refusal.reason,
                why=refusal.sentence,
                counts=counts,
            )
        return self.wait_for(
            run_id, refusal.wait_seconds, reason=refusal.reason, why=refusal.sentence, counts=counts
        )

    def wait_for(
        self,
        run_id: str,
        real_seconds: float,
        *,
        reason: str,
        why: str,
        counts: dict[str, int] | None = None,
    ) -> StepAnswer:
        """Wait so many real seconds; the machine is told unscaled ones."""
        if real_seconds * self._timing.scale > LONGEST_WAIT_SECONDS:
            return self._until(run_id, real_seconds, reason=reason, why=why, counts=counts)
        seconds = self._timing.wait_state_seconds(real_seconds)
        self._runs.wait(run_id, seconds=seconds / self._timing.scale, reason=reason)
        return StepAnswer(next=Next.COOL_DOWN, wait_seconds=seconds, why=why, counts=counts or {})

    def _until(
        self,
        run_id: str,
        real_seconds: float,
        *,
        reason: str,
        why: str,
        counts: dict[str, int] | None,
    ) -> StepAnswer:
        resume_at = self._clock.now() + timedelta(seconds=real_seconds * self._timing.scale)
        self._runs.wait(run_id, seconds=real_seconds, reason=reason)
        return StepAnswer(next=Next.WAIT_UNTIL, resume_at=resume_at, why=why, counts=counts or {})
