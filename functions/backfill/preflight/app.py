"""Check everything before a run writes anything.

Trigger: the state ``Preflight`` of the backfill, or a person, through ``billing-sync preflight``.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from billing_sync import bootstrap
from billing_sync.domain.steps import PreflightEvent
from billing_sync.observability import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer go, already_running or refused; asked to check only, the findings."""
    answer = bootstrap.preflight()(PreflightEvent.model_validate(event))
    return answer.model_dump(mode="json")
