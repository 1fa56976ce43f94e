"""Let in who is known, and put nothing on a queue but which record to look at.

Whoever is not known learns which triggers there are, how they are asked, and how much they take:
404, 405, 415 and 413 come first, and after them one and the same 401. What is in a body is read
after that.
"""

from typing import TYPE_CHECKING, Final

from billing_sync.domain.errors import Unreachable
from billing_sync.domain.signatures import ID_HEADER, sha256
from billing_sync.domain.triggers import (
    ENTITY_OF_TRIGGER,
    InvalidBody,
    Trigger,
    WakeUp,
    read_body,
)
from billing_sync.domain.web import WebAnswer, WebRequest

if TYPE_CHECKING:
    # For the type checker alone: the ports together cost a cold start half of what it may take.
    from billing_sync.ports.clock import Clock
    from billing_sync.ports.queues import KeyRing, Queues

ACCEPTED: Final = WebAnswer.of(202, {"accepted": True})
UNAUTHORISED: Final = WebAnswer.of(401, {"error": "unauthorised"})
UNKNOWN: Final = WebAnswer.of(404, {"error": "unknown_trigger"})
NOT_POSTED: Final = WebAnswer.of(405, {"error": "method_not_allowed"}, Allow="POST")
TOO_LARGE: Final = WebAnswer.of(413, {"error": "body_too_large"})
NO_JSON: Final = WebAnswer.of(415, {"error": "send_application_json"})
TRY_AGAIN: Final = WebAnswer.of(503, {"error": "try_again"}, **{"Retry-After": "30"})

JSON: Final = "application/json"


class Door:
    """The one way in from outside."""

    def __init__(
        self,
        queues: "Queues",
        key_ring: "KeyRing",
        clock: "Clock",
        *,
        tolerance_seconds: float,
        largest_body_bytes: int,
    ) -> None:
        """`tolerance_seconds` is how far a signature's time may lie before or behind ours."""
        self._queues = queues
        self._key_ring = key_ring
        self._clock = clock
        self._tolerance_seconds = tolerance_seconds
        self._largest = largest_body_bytes

    def __call__(self, request: WebRequest) -> WebAnswer:
        """Answer a request; its `log` holds trigger, answer, a word of ours and hashes."""
        if request.name not in Trigger:
            return UNKNOWN.noting(answer=UNKNOWN.status)
        trigger = Trigger(request.name)
        if request.method != "POST":
            return _noting(NOT_POSTED, trigger)
        if request.media_type != JSON:
            return _noting(NO_JSON, trigger)
        try:
            body = request.body(largest=self._largest)
        except ValueError:
            # Nobody can have signed bytes that are not there.
            return _noting(UNAUTHORISED, trigger, why="body_unreadable")
        if body is None:
            return _noting(TOO_LARGE, trigger)
        try:
            return self._of_sender(trigger, request, body)
        except Unreachable as error:
            return _noting(TRY_AGAIN, trigger, why=error.code)

    def _of_sender(self, trigger: Trigger, request: WebRequest, body: bytes) -> WebAnswer:
        fault = self._key_ring.keys().fault(
            request.headers, body, self._clock.now(), self._tolerance_seconds
        )
        if fault is not None:
            return _noting(UNAUTHORISED, trigger, why=fault)
        # Senders that cannot sign give their deliveries no id: each is an event of its own kind.
        message_id = request.headers.get(ID_HEADER)
        event_hash = sha256(message_id or body.hex())
        try:
            wake_up, is_wanted = read_body(trigger, body)
        except InvalidBody as error:
            answer = WebAnswer.of(400, {"error": "invalid_body", "fields": list(error.fields)})
            return _noting(answer, trigger, why=",".join(error.fields), event=event_hash)
        if is_wanted:
            self._queues.wake(wake_up, event_hash)
        why = None if is_wanted else "status_columns_only"
        return _noting(ACCEPTED, trigger, why=why, event=event_hash, record=hash_of(wake_up))


def hash_of(wake_up: WakeUp) -> str:
    """Hash a record's name: `printf %s customer:42 | sha256sum` finds it in the log."""
    return sha256(f"{ENTITY_OF_TRIGGER[wake_up.trigger]}:{wake_up.id}")


def _noting(answer: WebAnswer, trigger: Trigger, **log: str | None) -> WebAnswer:
    return answer.noting(trigger=trigger.value, answer=answer.status, **log)
