"""Let in who is known, and wake the handler of the record that it tells of.

Trigger: ``POST /webhooks/{trigger}``, from the provider's own application.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from billing_sync import bootstrap
from billing_sync.domain.web import WebRequest
from billing_sync.observability import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer the request. No log line has anything of it but the trigger's name and hashes."""
    answer = bootstrap.webhook()(WebRequest.of(event))
    logger.info("webhook answered", extra=answer.log)
    return answer.model_dump(mode="json")
