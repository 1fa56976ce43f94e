"""What the command asks of a deployed stack."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from billing_sync.domain.signatures import SenderSecrets
from billing_sync.domain.steps import BackfillInput, OperateEvent
from billing_sync.domain.triggers import Trigger


class StackFault(Exception):
    """The stack could not be asked, or did not answer: `code` for programs, `sentence` for people.

    Nothing is known to have happened, unless the sentence says so.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


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

    @property
    def operate_function(self) -> str:
        """Name the function `operate`, as its ARN ends."""

    def dashboard(self, event: Mapping[str, Any]) -> str:
        """Ask the function `dashboard` as CloudWatch does; the widget's HTML."""

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

    def sender_secrets(self) -> SenderSecrets:
        """Read by what the webhooks' door knows its senders."""

    def post(self, trigger: Trigger, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        """Post to the webhooks' door; gives the status and what was answered."""

    def redrive(self, trigger: Trigger) -> int:
        """Move a trigger's dead letters back to its queue; gives how many."""
