"""The backfill's steps, one after the other, as the state machine calls them."""

from collections.abc import Iterator

import pytest

from billing_sync.bootstrap import Container
from billing_sync.domain.errors import RecordsNotInStep
from billing_sync.domain.steps import BackfillInput, Next, StepAnswer, StepEvent
from billing_sync.ports import Executions, Run
from ops.local_stack.postgres import Database
from tests.world import World, world


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


@pytest.fixture
def stage(database: Database) -> Iterator[World]:
    with world(database) as made:
        made.worker.run_files = MemoryFiles()
        made.worker.executions = StillRunning()
        yield made


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


def apply(world: World, run_id: str, **asked: object) -> dict[str, object]:
    """Run a whole backfill; gives the report."""
    begin(world.worker, run_id, mode="apply", **asked)
    drive(world, run_id, "snapshot")
    drive(world, run_id, "plan")
    drive(world, run_id, "sync_batch", "customers")
    drive(world, run_id, "sync_batch", "due")
    drive(world, run_id, "verify")
    world.worker.report(StepEvent(run_id=run_id))
    return world.worker.report.content(world.worker.runs.get(run_id))


def test_a_backfill_brings_all_customers_in_step(stage: World) -> None:
    report = apply(stage, "first")

    assert report["colour"] == "green"
    assert (report["total"], report["in_step"], report["skipped"]) == (15, 13, 2)
    assert stage.worker.conclude(StepEvent(run_id="first")).colour == "green"
    assert len(stage.zoho.control.customers()) == 13
