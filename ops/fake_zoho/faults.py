"""Faults that can be armed: what goes wrong, with which calls, and how often.

Delays of answers and of commits are in *real* seconds: they are measured against a client's
time-outs, which are real whatever the time scale. Lock-outs are in Zoho's seconds.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from ops.fake_zoho.config import Document
from ops.fake_zoho.requestlog import MINT_TOKEN

WITH_TOKENS = frozenset(
    {"refuse_token", "answer_lost", "answer_delayed", "bad_gateway", "truncated_json"}
)


class Fault(Document):
    """Meet the next `count` calls that match, after letting `skip` of them pass.

    `operation` is a name of the log (`create_customer`, ...), None is every API call (not
    `mint_token`, which has to be named); `display_name_contains` looks into the body that was
    sent, `body_contains` into all of it as it was written, `path_contains` into the path (some
    calls have no body: they name their record there). `count` None: until cleared.
    """

    kind: str
    operation: str | None = None
    display_name_contains: str | None = None
    body_contains: str | None = None
    path_contains: str | None = None
    count: int | None = Field(default=1, ge=1)
    skip: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _can_happen_to_a_token(self) -> Self:
        if self.operation == MINT_TOKEN and self.kind not in WITH_TOKENS:
            raise ValueError(f"{self.kind} cannot happen to {MINT_TOKEN}")
        return self

    def concerns(
        self, operation: str | None, display_name: str | None, body: str, path: str
    ) -> bool:
        if self.operation != operation and (self.operation or operation == MINT_TOKEN):
            return False
        looked_at = (
            (self.display_name_contains, display_name or ""),
            (self.body_contains, body),
            (self.path_contains, path),
        )
        return all(wanted is None or wanted in text for wanted, text in looked_at)


class AnswerLost(Fault):
    """Commit, then close the connection without a byte."""

    kind: Literal["answer_lost"] = "answer_lost"


class CommitDelayed(Fault):
    """Commit only after a while, even if the caller has gone by then.

    `hang` keeps the caller waiting (and answers it if it is still there); else the connection
    drops at once.
    """

    kind: Literal["commit_delayed"] = "commit_delayed"
    delay_seconds: float = Field(gt=0)
    hang: bool = True


class AnswerDelayed(Fault):
    """Commit at once, answer late."""

    kind: Literal["answer_delayed"] = "answer_delayed"
    delay_seconds: float = Field(gt=0)


class BadGateway(Fault):
    """Answer 502 with a page of HTML, as a gateway does; `commits` if the call got through."""

    kind: Literal["bad_gateway"] = "bad_gateway"
    commits: bool = False


class InternalError(Fault):
    """Answer 500 with body code 1000."""

    kind: Literal["internal_error"] = "internal_error"
    commits: bool = False


class TruncatedJson(Fault):
    """Commit, answer 2xx with half of the JSON."""

    kind: Literal["truncated_json"] = "truncated_json"


class CodeNotZero(Fault):
    """Answer 2xx with a body code that says failure."""

    kind: Literal["code_not_zero"] = "code_not_zero"
    commits: bool = False


class WithoutId(Fault):
    """Commit, answer 2xx with the resource but without its id."""

    kind: Literal["without_id"] = "without_id"


class Throttled(Fault):
    """Answer 429 with this body code, whatever the limits say; 44, 45, 1070 or unknown."""

    kind: Literal["throttled"] = "throttled"
    code: int = 44


class Refused(Fault):
    """Refuse the call with this status and body code, and do nothing.

    For what cannot be changed while it runs: a custom field (400, 120129), a scope (401, 57).
    """

    kind: Literal["refused"] = "refused"
    status: int = Field(default=400, ge=400, le=499)
    code: int


class DeadToken(Fault):
    """Let every live access token die just before this call."""

    kind: Literal["dead_token"] = "dead_token"


class RefuseToken(Fault):
    """Answer a token request with "Access Denied", and go on so for the lock-out."""

    kind: Literal["refuse_token"] = "refuse_token"
    operation: Literal["mint_token"] = MINT_TOKEN
    lock_out_seconds: float = Field(default=600, ge=0)


class FiltersIgnored(Fault):
    """Answer a list as if no filter had been given."""

    kind: Literal["filters_ignored"] = "filters_ignored"


class FieldAltered(Fault):
    """Keep something else than what was sent: a value of ours, or only its first characters.

    `field` may lead into a part: `plan.price`, `invoice_items.0.price`. A field that was not sent
    is added if a value is given.
    """

    kind: Literal["field_altered"] = "field_altered"
    field: str = "display_name"
    value: str | int | float | bool | None = None
    keep_characters: int | None = Field(default=None, ge=1)

    def alter(self, body: dict[str, Any]) -> None:
        *parts, name = self.field.split(".")
        place: Any = body
        for part in parts:
            if isinstance(place, list) and part.isdigit() and int(part) < len(place):
                place = place[int(part)]
            else:
                place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            return
        sent = place.get(name)
        if self.value is not None:
            place[name] = self.value
        elif isinstance(sent, str):
            place[name] = sent[: self.keep_characters or max(1, len(sent) // 2)]


AnyFault = Annotated[
    AnswerLost
    | CommitDelayed
    | AnswerDelayed
    | BadGateway
    | InternalError
    | TruncatedJson
    | CodeNotZero
    | WithoutId
    | Throttled
    | Refused
    | DeadToken
    | RefuseToken
    | FiltersIgnored
    | FieldAltered,
    Field(discriminator="kind"),
]
FAULTS: TypeAdapter[AnyFault] = TypeAdapter(AnyFault)


@dataclass
class ArmedFault:
    id: int
    fault: AnyFault
    met: int = 0
    passed: int = 0

    @property
    def is_spent(self) -> bool:
        return self.fault.count is not None and self.met >= self.fault.count


class FaultDesk:
    """Hold the armed faults; each call meets at most one, the one that was armed first."""

    def __init__(self) -> None:
        self.armed: list[ArmedFault] = []

    def arm(self, fault: AnyFault) -> ArmedFault:
        armed = ArmedFault(id=len(self.armed) + 1, fault=fault)
        self.armed.append(armed)
        return armed

    def clear(self) -> None:
        """Disarm all; what was met stays readable."""
        self.armed = [
            ArmedFault(one.id, one.fault.model_copy(update={"count": one.met}), one.met, one.passed)
            for one in self.armed
        ]

    def take(
        self,
        operation: str | None,
        display_name: str | None = None,
        *,
        body: str = "",
        path: str = "",
    ) -> AnyFault | None:
        for armed in self.armed:
            if armed.is_spent or not armed.fault.concerns(operation, display_name, body, path):
                continue
            if armed.passed < armed.fault.skip:
                armed.passed += 1
                continue
            armed.met += 1
            return armed.fault
        return None
