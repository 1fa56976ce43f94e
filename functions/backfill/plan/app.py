"""Decide what would be done with every record, and export it.

Trigger: the state ``Plan`` of the backfill, in a loop.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from billing_sync import bootstrap
from billing_sync.domain.steps import StepEvent
from billing_sync.observability import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Plan records until the time is used up; answer what comes next."""
    step = StepEvent.model_validate(event)

    def time_left() -> float:
        return context.get_remaining_time_in_millis() / 1000

    answer = bootstrap.plan()(step, time_left)
    return answer.model_dump(mode="json")
