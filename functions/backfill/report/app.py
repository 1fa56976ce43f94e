"""Write the report of a run to S3.

Trigger: the state ``Report`` of the backfill.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from billing_sync import bootstrap
from billing_sync.domain.steps import StepEvent
from billing_sync.observability import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Write the report, and answer its figures."""
    answer = bootstrap.report()(StepEvent.model_validate(event))
    return answer.model_dump(mode="json")
