"""A stack in memory: answers what it was told to, and remembers what it was asked."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from billing_sync.domain.signatures import SenderSecrets
from billing_sync.domain.steps import BackfillInput, OperateEvent
from billing_sync.domain.triggers import Trigger
from ops.cli.stack import Execution, StackFault

STARTED = datetime(2026, 11, 22, 20, 15, 3, tzinfo=UTC)
ARN = "arn:aws:states:us-east-1:000000000000:execution:backfill:"

ORGANISATION: dict[str, Any] = {
    "id": "842100001",
    "name": "Circle ISP (Test)",
    "currency": "ZAR",
    "time_zone": "Africa/Johannesburg",
    "customers": 4,
}
RED_CUSTOMER: dict[str, Any] = {
    "code": "plausible",
    "entity": "customer",
    "state": "ambiguous",
    "count": 1,
    "sentence": "Found 1 in Zoho without account number, with the same e-mail and name:"
    " a person must say whether it is the same.",
    "ids": ["CT-2025-00009"],
}
STORY: dict[str, Any] = {
    "ok": True,
    "record": {
        "entity": "customer",
        "id": "7",
        "account_number": "CT-2025-00009",
        "state": "ambiguous",
        "meaning": "several, or merely plausible, candidates in Zoho",
        "sentence": RED_CUSTOMER["sentence"],
        "code": "plausible",
        "field": None,
        "zoho_id": None,
        "how": None,
        "attempt_number": 0,
        "next_attempt_at": None,
        "candidates": ["4600000000000103"],
        "leaves_by": "link, create-anyway, source change",
        "accepted": None,
    },
    "attempts": [
        {
            "at": "2026-11-22T20:16:00Z",
            "operation": "create_customer",
            "status": "refused",
            "http_status": 400,
            "zoho_code": 3062,
            "error_sentence": "Zoho refuses it (code 3062).",
            "duration_ms": 412,
            "run_id": "customers-apply-2026-11-22T20-15-03Z-ab12",
        }
    ],
    "audit": [
        {"at": "2026-11-22T20:20:00Z", "by": "thandi", "action": "retry", "details": {"n": 1}}
    ],
    "intents": [
        {
            "step": "create",
            "method": "create",
            "sent_at": "2026-11-22T20:16:00Z",
            "closed_as": "refused",
        }
    ],
}


def run_status(**changes: Any) -> dict[str, Any]:
    """Make the part `run` of a status: an applied run, ended green."""
    return {
        "run_id": "customers-apply-2026-11-22T20-15-03Z-ab12",
        "mode": "apply",
        "step": "sync_batch customers",
        "phase": "customers",
        "started_at": STARTED.isoformat(),
        "ended_at": (STARTED + timedelta(minutes=5)).isoformat(),
        "colour": "green",
        "loops": 4,
        "waiting_until": None,
        "waiting_reason": None,
        "waited_seconds": 120.0,
        "cooldowns": 2,
        "stop_requested": False,
        "ended_early": None,
        "plan": {"customers": {"create": 11, "link": 1, "ambiguous": 1, "skip": 2}},
        "left": {"customers": 0},
    } | changes


def status(run: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Make an answer of `status`: all in step."""
    return {
        "ok": True,
        "organisation": {"id": "842100001", "name": "Circle ISP (Test)", "currency": "ZAR"},
        "run": run if run is not None else run_status(),
        "records": {"customer": {"synced": 13, "skipped": 2}},
        "in_the_run": {"synced": 13, "skipped": 2},
        "quota": {
            "limit_per_minute": 90,
            "configured_per_minute": 90,
            "taken_in_minute": 12,
            "in_flight": 2,
            "in_flight_limit": 5,
            "taken_today": 31,
            "day_cap": 1000,
            "blocked_until": None,
            "paused_until": None,
        },
        "token": {
            "generation": 1,
            "expires_at": "2026-11-22T21:15:00Z",
            "tokens_minted": 1,
            "cooldown_until": None,
        },
        "red": [],
    } | changes


class FakeStack:
    """A stack whose run is over at once, unless told otherwise (`Stack`).

    `statuses` are given one after the other, the last one for ever; so are `executions`. The run
    of a status takes the name of the execution that was started, as on a real stack.
    """

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, Any]] = {"show": deepcopy(STORY)}
        self.statuses: list[dict[str, Any] | StackFault] = [status()]
        self.executions: list[dict[str, Any]] = [{"status": "SUCCEEDED"}]
        self.checked: dict[str, Any] = {
            "next": "checked",
            "findings": [],
            "organisation": dict(ORGANISATION),
        }
        self.files: dict[str, bytes] = {}
        self.others_running: list[Execution] = []
        self.asked: list[dict[str, Any]] = []
        self.started: list[tuple[str, BackfillInput]] = []
        self.senders = SenderSecrets()
        self.posted: list[tuple[Trigger, dict[str, str], bytes]] = []
        self.door_answers: tuple[int, Any] = (202, {"accepted": True})
        self.dead_letters: dict[Trigger, int] = {}
        self.label = "billing-sync (nowhere)"
        self.poll_seconds = 0.0
        self.operate_function = "billing-sync-operate"
        self.widget: str | StackFault = "<p>All in step</p>"

    def operate(self, request: OperateEvent) -> dict[str, Any]:
        """Answer as told; `ok` where nothing was told."""
        asked = request.model_dump(mode="json", exclude_unset=True, by_alias=True)
        self.asked.append(asked)
        if asked["action"] != "status":
            return self.answers.get(asked["action"], {"ok": True})
        answer = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(answer, StackFault):
            raise answer
        if self.started and answer["run"] and answer["run"]["run_id"].startswith("customers-"):
            return answer | {"run": answer["run"] | {"run_id": self.started[-1][0]}}
        return answer

    def dashboard(self, event: Mapping[str, Any]) -> str:
        """Give the widget."""
        self.asked.append({"dashboard": event})
        if isinstance(self.widget, StackFault):
            raise self.widget
        return self.widget

    def preflight(self, asked: BackfillInput) -> dict[str, Any]:
        """Answer the findings."""
        self.asked.append({"preflight": asked.model_dump(mode="json")})
        return self.checked

    def start(self, name: str, asked: BackfillInput) -> Execution:
        """Start nothing, and remember that it was asked."""
        self.started.append((name, asked))
        return Execution(ARN + name, name, "RUNNING", STARTED)

    def execution(self, arn: str) -> Execution:
        """Say what the execution's next description was told to be."""
        told = self.executions.pop(0) if len(self.executions) > 1 else self.executions[0]
        return Execution(
            **{"arn": arn, "name": arn.rsplit(":", 1)[1], "started_at": STARTED, **told}
        )

    def running(self) -> list[Execution]:
        """Give the executions that run."""
        return self.others_running

    def place(self, key: str) -> str:
        """Give an address."""
        return f"s3://runs/{key}"

    def read(self, key: str) -> Iterator[bytes]:
        """Read a file in two pieces; names of runs do not matter."""
        name = key.rsplit("/", 1)[1]
        if name not in self.files:
            raise StackFault("NoSuchKey", f"GetObject: there is no {key}")
        content = self.files[name]
        yield content[: len(content) // 2]
        yield content[len(content) // 2 :]

    def sender_secrets(self) -> SenderSecrets:
        """Give the secrets that were put there."""
        return self.senders

    def post(self, trigger: Trigger, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        """Answer as told, and remember what was posted."""
        self.posted.append((trigger, dict(headers), body))
        return self.door_answers

    def redrive(self, trigger: Trigger) -> int:
        """Have no dead letters any more."""
        return self.dead_letters.pop(trigger, 0)

    def put_json(self, name: str, value: dict[str, Any]) -> None:
        """Put a file into every run's folder."""
        self.files[name] = json.dumps(value).encode()
