"""Judge a run: green, amber or red.

Trigger: the state ``Conclude`` of the backfill.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from billing_sync import bootstrap
from billing_sync.domain.steps import StepEvent
from billing_sync.observability import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer green or amber.

    Raises ``RecordsNotInStep`` on red, by that name: the state machine never retries it, so the
    execution fails at this state, and a redrive after mending judges again.
    """
    answer = bootstrap.conclude()(StepEvent.model_validate(event))
    return answer.model_dump(mode="json")
