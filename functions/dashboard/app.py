"""Show how things stand, as HTML: what is in step, what is red, what runs, what Zoho allows.

Trigger: the CloudWatch dashboard's custom widget, and the command ``billing-sync dashboard``.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from billing_sync import bootstrap
from billing_sync.domain.widget import WidgetEvent
from billing_sync.observability import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> str:
    """Answer with HTML, or with help as markdown when asked to describe."""
    return bootstrap.dashboard()(WidgetEvent.model_validate(event))
