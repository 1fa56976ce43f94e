"""Bring customers who registered, or changed, in step with Zoho.

Trigger: the queue of ``customer-registered``, whose messages say which record to look at.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from billing_sync import bootstrap
from billing_sync.messages import work_off
from billing_sync.observability import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer which messages shall come back. Where all of them failed, the invocation does."""
    return {**work_off(event, context, bootstrap.wake_up())}
