"""A message of a trigger that fails is written down by its id, and nothing of it is lost."""

import io
import json
from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from billing_sync.domain.triggers import WakeUp
from billing_sync.messages import work_off
from billing_sync.observability import logger


def message(message_id: str, body: str) -> dict[str, Any]:
    return {
        "messageId": message_id,
        "body": body,
        "attributes": {"ApproximateReceiveCount": "3"},
        "eventSource": "aws:sqs",
    }


def test_a_trigger_s_message_that_fails_is_told_by_its_id_and_count_and_not_by_its_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", written)
    good = message("m-1", '{"trigger": "customer-registered", "id": "4"}')
    bad = message("m-2", '{"trigger": "customer-registered", "id": "4", "name": "Ada Lovelace"}')
    seen: list[WakeUp] = []

    answer = work_off({"Records": [good, bad]}, LambdaContext(), seen.append)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-2"}]}
    assert [each.id for each in seen] == ["4"]
    [line] = written.getvalue().splitlines()
    told = json.loads(line)
    assert (told["message"], told["message_id"], told["times"]) == ("message failed", "m-2", "3")
    assert told["exception_name"] == "ValidationError"
    assert "Lovelace" not in line
