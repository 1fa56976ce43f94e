"""Bring our tables, roles and the five source views up to date.

Trigger: a person, once after each deployment; the database is within reach of functions only.
"""

from pathlib import Path
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from billing_sync import bootstrap
from billing_sync.observability import logger

# The views *are* the mapping from the application's tables; an adopter edits them there.
SOURCE_VIEWS = Path(__file__).with_name("source")


@logger.inject_lambda_context(clear_state=True)
def handler(_event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Migrate; answer the schema's revision and the views that were made. Safe to repeat."""
    answer = bootstrap.migrate()(SOURCE_VIEWS)
    return answer.model_dump(mode="json")
