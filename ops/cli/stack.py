"""Which stack the command works on, and the few things that it asks of one."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

from pydantic import BaseModel

from billing_sync.domain.steps import BackfillInput, OperateEvent

LOCAL_RUN_DIRECTORY: Final = Path(__file__).resolve().parents[2] / "build" / "local"
"""Where `make up` keeps its stack's state."""


class StackFault(Exception):
    """The stack could not be asked, or did not answer: `code` for programs, `sentence` for people.

    Nothing is known to have happened, unless the sentence says so.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class NoStackChosen(Exception):
    """Nobody said which stack is meant."""


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution of the backfill, as Step Functions tells it. `name` is the run's id."""

    arn: str
    name: str
    status: str
    started_at: datetime
    error: str | None = None
    cause: str | None = None
    output: dict[str, Any] | None = None

    @property
    def is_running(self) -> bool:
        """Say whether it may still change; a redrive that is about to begin counts as running."""
        return self.status in {"RUNNING", "PENDING_REDRIVE"}


class Stack(Protocol):
    """A deployed stack. Every method may raise `StackFault`."""

    @property
    def label(self) -> str:
        """Name it as a person tells stacks apart: its name and where it is."""

    @property
    def poll_seconds(self) -> float:
        """Say how often a run is looked at: every look is an invocation."""

    def operate(self, request: OperateEvent) -> dict[str, Any]:
        """Ask the function `operate`; its answer as it came."""

    def preflight(self, asked: BackfillInput) -> dict[str, Any]:
        """Check without starting anything."""

    def start(self, name: str, asked: BackfillInput) -> Execution:
        """Start an execution of the backfill under that name."""

    def execution(self, arn: str) -> Execution:
        """Say how an execution stands."""

    def running(self) -> list[Execution]:
        """List the executions that run now, the newest first."""

    def place(self, key: str) -> str:
        """Name where a file of the runs' bucket lies."""

    def read(self, key: str) -> Iterator[bytes]:
        """Read a file of the runs' bucket piece by piece."""


class LocalStackFile(BaseModel):
    """What the command needs of `stack.json`, which the local stack writes of itself."""

    stack_name: str
    endpoint_url: str


def local_stack(run_directory: Path = LOCAL_RUN_DIRECTORY) -> LocalStackFile | None:
    """Find the stack that `make up` left running, None where none is up."""
    path = run_directory / "stack.json"
    if not path.exists():
        return None
    # Only now: what starts and watches processes is of no use against AWS.
    from ops.local_stack.processes import ProcessIdentity  # noqa: PLC0415

    class Whole(BaseModel):
        stack_name: str
        endpoint_url: str | None
        processes: list[ProcessIdentity]

    state = Whole.model_validate_json(path.read_bytes())
    if state.endpoint_url is None or not all(process.find() for process in state.processes):
        return None
    return LocalStackFile(stack_name=state.stack_name, endpoint_url=state.endpoint_url)


def connect(name: str | None, *, local: bool) -> Stack:
    """Give the stack that was asked for: by name, else the local one that is up.

    :raises NoStackChosen: no name was given and no local stack is up.
    """
    found = local_stack() if local or name is None else None
    if found is None and (local or name is None):
        raise NoStackChosen(
            "no local stack is up: `make up` starts one"
            if local
            else "no stack was named (--stack NAME, or BILLING_SYNC_STACK), and no local one is up"
        )
    # boto3 takes longer to import than all the rest: not for --help, nor for a mistyped option.
    from ops.cli.aws import AwsStack  # noqa: PLC0415

    if found is not None:
        return AwsStack.on_local_aws(found.stack_name, found.endpoint_url)
    assert name is not None  # noqa: S101 - the two branches above leave nothing else
    return AwsStack.in_account(name)
