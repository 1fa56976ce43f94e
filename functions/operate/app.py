"""Do what an operator asks: confirm, retry, link, create anyway, stop, status, show, report.

Trigger: a person, through the command ``billing-sync`` or a button of the dashboard.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import ValidationError

from billing_sync import bootstrap
from billing_sync.domain.steps import OperateAnswer, OperateEvent, first_fault
from billing_sync.domain.widget import as_asked
from billing_sync.observability import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer ``ok`` with what was asked for, or the error, the field and the reason."""
    try:
        request = OperateEvent.model_validate(as_asked(event))
    except ValidationError as error:
        field, why = first_fault(error)
        answer = OperateAnswer(ok=False, error="InvalidRequest", field=field, why=why)
    else:
        answer = bootstrap.operate()(request)
    return answer.model_dump(mode="json")
