"""Bring invoices that were generated, changed or voided, in step with Zoho.

Trigger: the queue of ``invoice-generated``, whose messages say which record to look at.
"""

from typing import Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from billing_sync import bootstrap
from billing_sync.domain.triggers import WakeUp
from billing_sync.observability import logger


def look_at(record: SQSRecord) -> None:
    """Work off one message. What it raises brings back this message, and no other."""
    try:
        bootstrap.wake_up()(WakeUp.model_validate_json(record.body))
    except Exception:
        times = record.attributes.approximate_receive_count
        told = {"message_id": record.message_id, "times": times}
        logger.exception("message failed", extra=told)
        raise


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answer which messages shall come back. Where all of them failed, the invocation does."""
    processor = BatchProcessor(event_type=EventType.SQS)
    return process_partial_response(event, look_at, processor, context)
