"""The step `Conclude`: judge the run by its records; a red one fails the execution."""

from billing_sync.domain.errors import RecordsNotInStep
from billing_sync.domain.steps import ConcludeAnswer, Mode, Only, Phase, StepEvent
from billing_sync.ports import Operations, Run, Runs, Verification
from billing_sync.services.backfill.report import judge


class Conclude:
    """Judge what stands in the tables *now*, so that a redrive after mending ends green."""

    def __init__(self, runs: Runs, verification: Verification, operations: Operations) -> None:
        """Keep the ports."""
        self._runs = runs
        self._verification = verification
        self._operations = operations

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
        if colour == "green" and _is_of_everything(run):
            # All of history is in Zoho: whatever came since the run began is real time's.
            self._operations.go_live(run.started_at, by=f"run {run.run_id}", only_first=True)
        return ConcludeAnswer(
            colour="green" if colour == "green" else "amber", why=why, counts=figures.states
        )


def _is_of_everything(run: Run) -> bool:
    """Say whether a run applied all phases, to all records."""
    return run.mode is Mode.APPLY and run.phases == tuple(Phase) and run.only == Only()
