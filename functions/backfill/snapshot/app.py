"""Read Zoho's lists into our tables, some pages at a time: customers, subscriptions, invoices.

Trigger: the state ``Snapshot`` of the backfill, in a loop.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from billing_sync import bootstrap
from billing_sync.domain.steps import StepEvent
from billing_sync.observability import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Read pages until the time or the quota is used up; answer what comes next."""
    step = StepEvent.model_validate(event)

    def time_left() -> float:
        return context.get_remaining_time_in_millis() / 1000

    answer = bootstrap.snapshot()(step, time_left)
    return answer.model_dump(mode="json")
