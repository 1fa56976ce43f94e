"""What happens in the application comes to the stack's door over HTTP, and is timed until Zoho."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final

from billing_sync.domain.triggers import TYPES_OF_TRIGGER, Trigger
from ops.cli.aws import AwsStack
from ops.cli.triggers import ACCEPTED, signed_event
from ops.demo import newcomer
from ops.demo.display import Display
from ops.fake_zoho import FakeZohoControl, LogEntry
from ops.local_stack.postgres import APPLICATION_ROLE
from ops.local_stack.stack import LocalStack

_LOOK_EVERY_SECONDS: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A webhook, and what came of it. `seconds` are from its post to the record in Zoho."""

    trigger: Trigger
    record_id: str
    answered: int
    # None: it did not come.
    seconds: float | None
    seen: str


@dataclass(frozen=True, kw_only=True)
class RealTime:
    """All of it. `again` are the answers to the same webhooks, each posted once more at the end."""

    arrivals: Sequence[Arrival] = ()
    again: dict[Trigger, int] = field(default_factory=dict)
    # Whether the queues were empty at the end, and what was written to Zoho for those posts.
    is_worked_off: bool = False
    writes_again: int = 0


class Senders:
    """The application's side: it writes its rows, and tells of each by a signed webhook."""

    def __init__(
        self,
        display: Display,
        stack: LocalStack,
        aws: AwsStack,
        zoho: FakeZohoControl,
        sweep: Callable[[], None],
    ) -> None:
        """Take the stack and its door; `sweep` does one round, for what was told to wait."""
        self._display = display
        self._stack = stack
        self._aws = aws
        self._zoho = zoho
        self._sweep = sweep
        self._posted: dict[Trigger, tuple[dict[str, str], bytes]] = {}

    def play(self, today: date) -> RealTime:
        """Let the four things happen, one after the other; then post every webhook once more."""
        arrivals: list[Arrival] = []
        for trigger in Trigger:
            arrivals.append(self._happens(trigger, today))
            if arrivals[-1].seconds is None:
                # What follows is of this one, and could not come either.
                return RealTime(arrivals=arrivals)
        before = _writes(self._zoho.log())
        again = {trigger: self._post(trigger) for trigger in self._posted}
        is_worked_off = self._wait(self._queues_are_empty)
        writes_again = _writes(self._zoho.log()) - before
        self._display.say(
            f"Each webhook came a second time: answered {_once(again.values())}, worked off,"
            f" {writes_again} writes to Zoho."
        )
        return RealTime(
            arrivals=arrivals,
            again=again,
            is_worked_off=is_worked_off,
            writes_again=writes_again,
        )

    def _happens(self, trigger: Trigger, today: date) -> Arrival:
        with self._stack.database.connect(APPLICATION_ROLE) as connection:
            row = newcomer.write(connection, trigger, today)
        record_id = str(row["id"])
        [secret, *_] = self._aws.sender_secrets().signing_secrets
        word = TYPES_OF_TRIGGER[trigger][0]
        self._posted[trigger] = signed_event(secret, word, record_id, datetime.now(UTC))

        began = time.monotonic()
        answered = self._post(trigger)
        found: list[newcomer.Shown] = []

        def is_there() -> bool:
            found[:] = newcomer.shown(trigger, row, self._zoho.state())
            return any(one.is_right for one in found)

        arrived = answered == ACCEPTED and self._wait(is_there)
        seconds = time.monotonic() - began if arrived else None
        seen = "; ".join(one.told for one in found) or "nothing"
        took = "not in Zoho" if seconds is None else f"in Zoho after {seconds:.1f} s"
        self._display.say(
            f"  {newcomer.TOLD[trigger]}: POST /webhooks/{trigger} → {answered}; {took}: {seen}"
        )
        if arrived:
            # The answer is stored, and what hangs on this record may follow.
            self._wait(lambda: self._is_synced(trigger, row["id"]))
        return Arrival(
            trigger=trigger, record_id=record_id, answered=answered, seconds=seconds, seen=seen
        )

    def _post(self, trigger: Trigger) -> int:
        headers, body = self._posted[trigger]
        status, _ = self._aws.post(trigger, headers, body)
        return status

    def _is_synced(self, trigger: Trigger, row_id: int) -> bool:
        with self._stack.database.connect(APPLICATION_ROLE) as connection:
            return newcomer.sync_status(connection, trigger, row_id) == "synced"

    def _queues_are_empty(self) -> bool:
        return not any(
            int(count)
            for output, url in self._stack.state.outputs.items()
            if output.endswith("QueueUrl")
            for count in self._stack.clients.queues.get_queue_attributes(
                QueueUrl=url, AttributeNames=_COUNTS
            )["Attributes"].values()
        )

    def _wait(self, is_so: Callable[[], bool]) -> bool:
        return wait(is_so, self._sweep_once)

    def _sweep_once(self) -> None:
        self._sweep()
        self._display.say("  (it had to wait: a round of the sweep)")


def wait(
    is_so: Callable[[], bool],
    sweep: Callable[[], None],
    *,
    sweep_every_seconds: float = 10,
    give_up_after_seconds: float = 40,
) -> bool:
    """Wait until it is so, and say whether it came to be; on the way sweep now and then.

    The sweep sleeps in the demo, so that what is shown came by its webhook. One whose call had to
    wait is left to it, as the schedule would bring it within a minute.
    """
    began = time.monotonic()
    rounds = 0
    while not is_so():
        waited = time.monotonic() - began
        if waited > give_up_after_seconds:
            return False
        if waited > (rounds + 1) * sweep_every_seconds:
            rounds += 1
            sweep()
        time.sleep(_LOOK_EVERY_SECONDS)
    return True


_COUNTS: Final = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]


def _writes(log: Sequence[LogEntry]) -> int:
    return sum(1 for entry in log if entry.is_api_call and entry.method != "GET")


def _once(answers: Iterable[int]) -> str:
    return ", ".join(str(answer) for answer in sorted(set(answers)))
