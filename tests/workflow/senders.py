"""The deployed triggers seen from outside: a sender of webhooks, the queues, and the schedule."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import httpx

from billing_sync.domain.signatures import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    key_of,
    sign,
)
from billing_sync.domain.triggers import ENTITY_OF_TRIGGER, Trigger
from ops.local_stack.ministack import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY, local_address
from ops.local_stack.processes import project_root
from tests.workflow.stage import Stage

EVENTS = project_root() / "events" / "webhook"


def body_of(name: str) -> bytes:
    """Give the body of an example event, as its sender wrote it."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    return str(event["body"]).encode()


class Senders:
    """Whoever posts to the stack's door, and who looks after its queues."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        state = stage.stack.state
        self._outputs = state.outputs
        self._endpoint = state.aws_environment["AWS_ENDPOINT_URL"]
        self.url = local_address(self._endpoint, self._outputs["WebhookUrl"])
        secret = stage.stack.clients.secrets.get_secret_value(
            SecretId=self._outputs["WebhookSecretArn"]
        )
        self.secrets: dict[str, list[str]] = json.loads(secret["SecretString"])
        self._queues = self._client("sqs")
        self._schedules = self._client("scheduler")

    def close(self) -> None:
        """Empty all queues, so that the next test hears nothing of this one."""
        for trigger in Trigger:
            for kind in ("Queue", "DeadLetters"):
                self._queues.purge_queue(QueueUrl=self._url(trigger, kind))
        self._queues.close()
        self._schedules.close()

    def _client(self, service: str) -> Any:
        # No stubs of these services are installed.
        session: Any = boto3.session.Session(
            aws_access_key_id=ROOT_ACCESS_KEY,
            aws_secret_access_key=ROOT_SECRET_KEY,
            region_name=REGION,
        )
        return session.client(service, endpoint_url=self._endpoint)

    def _url(self, trigger: Trigger, kind: str) -> str:
        name = "".join(word.capitalize() for word in trigger.split("-"))
        return self._outputs[f"{name}{kind}Url"]

    # -------------------------------------------------------------------------------- the door

    def post(self, trigger: str, body: bytes, *, signed: bool = True, **headers: str) -> int:
        """Post a body now, with a signature made now; answers the status."""
        sent = {"Content-Type": "application/json", **headers}
        if signed:
            message_id, now = f"msg_{secrets.token_hex(8)}", str(int(time.time()))
            key = key_of(self.secrets["signing_secrets"][0])
            sent |= {
                ID_HEADER: message_id,
                TIMESTAMP_HEADER: now,
                SIGNATURE_HEADER: sign(key, message_id, now, body),
            }
        return httpx.post(
            f"{self.url}/{trigger}", content=body, headers=sent, timeout=30
        ).status_code

    def tell(self, trigger: Trigger, record_id: str, word: str) -> None:
        """Tell of a record as a sender does, and be heard."""
        body = json.dumps({"type": word, "data": {"id": record_id}}).encode()
        assert self.post(trigger, body) == 202

    # ------------------------------------------------------------------------------ the queues

    def waiting(self, trigger: Trigger, kind: str = "Queue") -> int:
        """Count a queue's messages, those in a handler's hands with them."""
        found = self._queues.get_queue_attributes(
            QueueUrl=self._url(trigger, kind),
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        )["Attributes"]
        return sum(int(value) for value in found.values())

    @contextmanager
    def hurrying(self, trigger: Trigger) -> Iterator[None]:
        """Let failed messages come back after a second, and die the second time."""
        queue, letters = self._url(trigger, "Queue"), self._url(trigger, "DeadLetters")
        kept = self._queues.get_queue_attributes(
            QueueUrl=queue, AttributeNames=["VisibilityTimeout", "RedrivePolicy"]
        )["Attributes"]
        arn = self._queues.get_queue_attributes(QueueUrl=letters, AttributeNames=["QueueArn"])
        policy = {"deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": 2}
        self._queues.set_queue_attributes(
            QueueUrl=queue,
            Attributes={"VisibilityTimeout": "1", "RedrivePolicy": json.dumps(policy)},
        )
        try:
            yield
        finally:
            self._queues.set_queue_attributes(QueueUrl=queue, Attributes=kept)

    # ---------------------------------------------------------------------------- the schedule

    def schedule_sweep(self, *, enabled: bool) -> None:
        """Switch the sweep's schedule; everything else about it stays."""
        name = f"{self.stage.stack.options.stack_name}-sweep"
        now = self._schedules.get_schedule(Name=name)
        kept = ("ScheduleExpression", "FlexibleTimeWindow", "Target", "Description")
        self._schedules.update_schedule(
            Name=name,
            State="ENABLED" if enabled else "DISABLED",
            **{key: now[key] for key in kept},
        )

    # ------------------------------------------------------------------------------ what it did

    def record(self, trigger: Trigger, record_id: str) -> dict[str, Any] | None:
        """Give the sync record that a trigger's id belongs to, if there is one."""
        found = self.stage.query(
            "SELECT * FROM billing_sync.records"
            " WHERE entity_type = %(entity)s AND entity_id = %(id)s",
            entity=ENTITY_OF_TRIGGER[trigger].value,
            id=record_id,
        )
        return found[0] if found else None

    def is_synced(self, trigger: Trigger, record_id: str) -> bool:
        """Say whether the record is in step."""
        record = self.record(trigger, record_id)
        return record is not None and record["state"] == "synced"

    def synced(self, trigger: Trigger, record_id: str, *, seconds: float = 60) -> dict[str, Any]:
        """Wait until the record is in step, and give it; else show how far it came."""
        give_up_at = time.monotonic() + seconds
        while not self.is_synced(trigger, record_id):
            if time.monotonic() > give_up_at:
                raise AssertionError(f"{trigger} {record_id}: {self.record(trigger, record_id)}")
            time.sleep(0.1)
        record = self.record(trigger, record_id)
        assert record is not None
        return record
