"""Messages of the triggers' queues: each is one wake-up, and one that fails comes back alone."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    FailureResponse,
    process_partial_response,
)
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from billing_sync.domain.triggers import WakeUp
from billing_sync.observability import logger


class _Messages(BatchProcessor):
    """Says of each message that fails which one it was, and how often it has come."""

    def failure_handler(self, record: SQSRecord, exception: Any) -> FailureResponse:
        """Write it down; `exception` is as `sys.exc_info` gives it."""
        times = record.attributes.approximate_receive_count
        told = {"message_id": record.message_id, "times": times}
        logger.error("message failed", exc_info=exception[1], extra=told)
        return super().failure_handler(record, exception)


def work_off(
    event: dict[str, Any], context: LambdaContext, look_at: Callable[[WakeUp], object]
) -> PartialItemFailureResponse:
    """Look at each message of `event`; give those that shall come back.

    :raises BatchProcessingError: all of them failed; so does the invocation, and its alarm rises.
    """

    def look(record: SQSRecord) -> None:
        look_at(WakeUp.model_validate_json(record.body))

    return process_partial_response(event, look, _Messages(event_type=EventType.SQS), context)
