"""Step Functions: whether the execution that holds the lock still runs.

boto3 is imported on first use: it costs a cold start 130 ms.
"""

from typing import TYPE_CHECKING, Final

from billing_sync.domain.errors import Misconfigured
from billing_sync.ports import Executions

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

RUNS: Final = frozenset({"RUNNING", "PENDING_REDRIVE"})
UNKNOWN: Final = frozenset({"ExecutionDoesNotExist", "InvalidArn"})
REFUSED: Final = frozenset({"AccessDeniedException", "AccessDenied"})


class StepFunctionsExecutions(Executions):
    """The executions of the backfill's state machine."""

    def __init__(self, client: "SFNClient | None" = None) -> None:
        self._made = client

    @property
    def _client(self) -> "SFNClient":
        if self._made is None:
            import boto3  # noqa: PLC0415 - see the module's docstring

            self._made = boto3.client("stepfunctions")
        return self._made

    def is_running(self, execution_arn: str) -> bool:
        """Say whether the execution runs; history is kept for 90 days, so «unknown» is «over».

        :raises Misconfigured: it may not be asked. That is not «over»: two runs at once would
            follow from believing so.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415

        try:
            answer = self._client.describe_execution(executionArn=execution_arn)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in UNKNOWN:
                return False
            if code in REFUSED:
                raise Misconfigured(
                    "The execution that holds the lock may not be looked at.",
                    code="execution_unreadable",
                ) from None
            raise
        return answer["status"] in RUNS
