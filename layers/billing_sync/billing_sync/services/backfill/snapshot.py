"""The step `Snapshot`: bring what Zoho holds into our tables, page by page."""

from typing import Final

from billing_sync.domain.errors import Misconfigured, NotNow, Unavailable
from billing_sync.domain.steps import Next, StepAnswer, StepEvent
from billing_sync.ports import Runs
from billing_sync.services.backfill.loop import SPARE_SECONDS, Loop, TimeLeft
from billing_sync.services.take_snapshot import TakeSnapshot

WALKING: Final = "walking"
ZOHO_IS_AWAY_SECONDS: Final = 60.0


class SnapshotStep:
    """Take a fresh snapshot for this run: what finance mended in Zoho must be seen."""

    def __init__(self, runs: Runs, loop: Loop, take_snapshot: TakeSnapshot) -> None:
        """Keep the ports."""
        self._runs = runs
        self._loop = loop
        self._take_snapshot = take_snapshot

    def __call__(self, event: StepEvent, time_left: TimeLeft) -> StepAnswer:
        """Walk on; `done` when the snapshot is complete."""
        run, ended = self._loop.enter(event.run_id, "snapshot")
        if ended is not None:
            return ended
        afresh = run.cursor != WALKING
        if afresh:
            self._take_snapshot.begin()
            self._runs.save_cursor(run.run_id, WALKING)
        return walk(
            self._take_snapshot, self._runs, self._loop, run.run_id, time_left, trust_details=False
        )


def walk(
    take_snapshot: TakeSnapshot,
    runs: Runs,
    loop: Loop,
    run_id: str,
    time_left: TimeLeft,
    *,
    trust_details: bool,
) -> StepAnswer:
    """Walk on as far as time and quota go, for `Snapshot` and for `Verify`."""

    def may_go_on() -> bool:
        return time_left() > SPARE_SECONDS and not runs.must_stop(run_id)

    try:
        complete = take_snapshot.advance(may_go_on, trust_details=trust_details)
    except NotNow as refusal:
        return loop.wait(run_id, refusal)
    except Unavailable as failure:
        return loop.wait_for(
            run_id,
            loop.scaled(ZOHO_IS_AWAY_SECONDS),
            reason="unavailable",
            why=failure.sentence,
        )
    except Misconfigured as failure:
        runs.end_early(run_id, failure.sentence)
        return loop.end(run_id)
    if complete:
        return StepAnswer(next=Next.DONE, counts=take_snapshot.counts())
    if runs.must_stop(run_id):
        return loop.end(run_id)
    return StepAnswer(next=Next.AGAIN, counts=take_snapshot.counts())
