"""What the demo does to its own run: Zoho loses answers, and a Lambda is killed at work."""

import threading
from datetime import UTC, datetime
from typing import Final, Self

import psutil
from pydantic import BaseModel

from ops.fake_zoho import AnswerDelayed, AnswerLost, FakeZohoControl, LogEntry
from ops.local_stack.processes import ProcessIdentity, StackError

KILLED_DURING: Final = "CT-2025-00004"
"""The second customer to be sent; the first goes alone, as the canary."""

ANSWER_LOST_OF: Final = "CT-2025-00012"
"""Not among the five that the killed Lambda has in hand: one mishap for each."""

DRAFT_LOST: Final = "CTI-00039"
"""An invoice: Zoho keeps its draft, and the answer with its id is lost before it was opened."""

PAYMENT_LOST: Final = "TX-0029"
"""A payment of three invoices."""

_LOST: Final = {
    ANSWER_LOST_OF: AnswerLost(operation="create_customer", display_name_contains=ANSWER_LOST_OF),
    DRAFT_LOST: AnswerLost(operation="create_invoice", body_contains=DRAFT_LOST),
    PAYMENT_LOST: AnswerLost(operation="create_payment", body_contains=PAYMENT_LOST),
}

# Longer than the Lambda would wait for it: it dies, or times out, and never sees the answer.
_ANSWER_AFTER_SECONDS: Final = 30.0
_LOOK_EVERY_SECONDS: Final = 0.03


class Happened(BaseModel):
    """What really happened: read from fake Zoho's own list of faults, and from the kill itself."""

    # By the record whose answer it was: how many of its calls lost theirs.
    answers_lost: dict[str, int] = {}
    killed_pid: int | None = None
    killed_at: datetime | None = None
    committed_before_kill: bool = False


class Mishaps:
    """Arms the faults and, beside the run, kills the worker once Zoho has committed its record."""

    def __init__(self, zoho: FakeZohoControl, local_aws: ProcessIdentity, function: str) -> None:
        """Take the name under which local AWS runs the function that is to be killed."""
        self.happened = Happened()
        self._zoho = zoho
        self._local_aws = local_aws
        self._function = function
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill_at_work, name="mishaps")
        self._lost: dict[str, int] = {}
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        self._lost = {record: self._zoho.arm(fault) for record, fault in _LOST.items()}
        self._zoho.arm(
            AnswerDelayed(
                operation="create_customer",
                display_name_contains=KILLED_DURING,
                delay_seconds=_ANSWER_AFTER_SECONDS,
            )
        )
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if kind is not None:
            return
        if self._error is not None:
            raise self._error
        met = self._zoho.faults_met()
        self.happened.answers_lost = {record: met[fault] for record, fault in self._lost.items()}
        self._zoho.clear_faults()

    def _kill_at_work(self) -> None:
        try:
            while not self._over.wait(_LOOK_EVERY_SECONDS):
                if self._is_at_work():
                    self._kill()
                    return
        except Exception as error:  # noqa: BLE001 - carried to the thread that waits for this one
            self._error = error

    def _is_at_work(self) -> bool:
        """Say whether the call that is answered late has come in: Zoho commits it at once."""
        calls: list[LogEntry] = self._zoho.log(operation="create_customer")
        return any(call.fault == "answer_delayed" and call.ended is None for call in calls)

    def _kill(self) -> None:
        self.happened.committed_before_kill = any(
            KILLED_DURING in customer["display_name"] for customer in self._zoho.customers()
        )
        worker = worker_of(self._local_aws, self._function)
        worker.kill()
        self.happened.killed_pid = worker.pid
        self.happened.killed_at = datetime.now(UTC)


def worker_of(local_aws: ProcessIdentity, function: str) -> psutil.Process:
    """Find the process in which our own local AWS runs a function.

    Among that server's descendants only, so that no process of anybody else's is ever meant. Local
    AWS unpacks each worker into a folder that bears the function's name.
    """
    server = local_aws.find()
    if server is None:
        raise StackError("local AWS does not run")
    folder = f"ministack-lambda-{function}-"
    for process in server.children(recursive=True):
        try:
            if any(folder in part for part in process.cmdline()):
                return process
        except psutil.NoSuchProcess:
            continue
    raise StackError(f"local AWS has no worker of {function}")
