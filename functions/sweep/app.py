"""Bring back what nobody else does: what is due, what changed unsaid, what a lost worker held.

Trigger: the schedule, every minute.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from billing_sync import bootstrap
from billing_sync.observability import logger


@logger.inject_lambda_context(clear_state=True)
def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Do one round while there is time; answer how many of each were found."""

    def time_left() -> float:
        return context.get_remaining_time_in_millis() / 1000

    return bootstrap.sweep()(time_left)
