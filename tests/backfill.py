"""The backfill's steps driven one after the other, as the state machine calls them."""

import json
from collections.abc import Iterator
from typing import Any

from billing_sync.bootstrap import Container
from billing_sync.domain.steps import BackfillInput, Next, StepAnswer, StepEvent
from billing_sync.ports import Executions, Run
from tests.world import World


class MemoryFiles:
    """The bucket, in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def write(self, key: str, chunks: Iterator[bytes], content_type: str) -> None:
        assert content_type
        self.files[key] = b"".join(chunks)

    def probe(self) -> None:
        self.files["runs/.probe"] = b"ok"


class StillRunning(Executions):
    """An execution that runs until it is stopped in the console."""

    def __init__(self) -> None:
        self.stopped = False

    def is_running(self, execution_arn: str) -> bool:
        assert execution_arn
        return not self.stopped


def begin(worker: Container, run_id: str, **asked: object) -> Run:
    return worker.runs.begin(run_id, f"arn:{run_id}", BackfillInput.model_validate(asked))


def drive(world: World, run_id: str, step: str, phase: str | None = None) -> StepAnswer:
    """Repeat a step as the state machine does, with its waits."""
    service = getattr(world.worker, step)
    for _ in range(200):
        answer: StepAnswer = service(StepEvent(run_id=run_id, phase=phase), lambda: 300.0)
        if answer.next in (Next.DONE, Next.END):
            return answer
        assert answer.next in (Next.AGAIN, Next.COOL_DOWN, Next.WAIT_UNTIL)
        if answer.next is Next.COOL_DOWN:
            assert answer.wait_seconds is not None
            world.worker.clock.sleep(answer.wait_seconds / world.worker.timing.scale)
    raise AssertionError(f"{step} does not come to an end")


def apply(world: World, run_id: str, **asked: object) -> dict[str, Any]:
    """Run a whole backfill; gives the report."""
    run = begin(world.worker, run_id, mode="apply", **asked)
    drive(world, run_id, "snapshot")
    drive(world, run_id, "plan")
    for phase in run.phases:
        drive(world, run_id, "sync_batch", phase)
    drive(world, run_id, "sync_batch", "due")
    drive(world, run_id, "verify")
    world.worker.report(StepEvent(run_id=run_id))
    return world.worker.report.content(world.worker.runs.get(run_id))


def files(stage: World) -> dict[str, bytes]:
    assert isinstance(stage.worker.run_files, MemoryFiles)
    return stage.worker.run_files.files


def plan_of(world: World, run_id: str) -> list[dict[str, Any]]:
    """Give the lines of an exported plan."""
    return [json.loads(line) for line in files(world)[f"runs/{run_id}/plan.jsonl"].splitlines()]
