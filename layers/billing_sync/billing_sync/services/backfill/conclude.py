"""The step `Conclude`: judge the run by its records; a red one fails the execution."""

from billing_sync.domain.errors import RecordsNotInStep
from billing_sync.domain.steps import ConcludeAnswer, StepEvent
from billing_sync.ports import Runs, Verification
from billing_sync.services.backfill.report import judge


class Conclude:
    """Judge what stands in the tables *now*, so that a redrive after mending ends green."""

    def __init__(self, runs: Runs, verification: Verification) -> None:
        """Keep the ports."""
        self._runs = runs
        self._verification = verification

    def __call__(self, event: StepEvent) -> ConcludeAnswer:
        """End the run.

        :raises RecordsNotInStep: at least one record, or finding, is red.
        """
        run = self._runs.get(event.run_id)
        figures = self._verification.figures(run.run_id)
        colour, why = judge(run, figures, self._runs.findings(run.run_id))
        self._runs.end(run.run_id, colour)
        if colour == "red":
            raise RecordsNotInStep(why)
        return ConcludeAnswer(
            colour="green" if colour == "green" else "amber", why=why, counts=figures.states
        )
