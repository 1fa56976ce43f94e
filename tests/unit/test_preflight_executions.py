"""Whether the execution that holds the lock still runs, as Step Functions answers it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from billing_sync.adapters.step_functions import StepFunctionsExecutions
from billing_sync.domain.errors import Misconfigured

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

ARN = "arn:aws:states:af-south-1:123456789012:execution:billing-sync-backfill:first"


@pytest.fixture
def client() -> "SFNClient":
    return boto3.client(
        "stepfunctions",
        region_name="af-south-1",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
    )


@pytest.fixture
def stub(client: "SFNClient") -> Iterator[Stubber]:
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("status", "runs"),
    [
        ("RUNNING", True),
        ("PENDING_REDRIVE", True),
        ("SUCCEEDED", False),
        ("FAILED", False),
        ("TIMED_OUT", False),
        ("ABORTED", False),
    ],
)
def test_an_execution_runs_by_its_status(
    client: "SFNClient", stub: Stubber, status: str, runs: bool
) -> None:
    stub.add_response(
        "describe_execution",
        {
            "executionArn": ARN,
            "stateMachineArn": ARN,
            "status": status,
            "startDate": datetime(2026, 3, 1, tzinfo=UTC),
        },
        {"executionArn": ARN},
    )

    assert StepFunctionsExecutions(client).is_running(ARN) is runs


@pytest.mark.parametrize("code", ["ExecutionDoesNotExist", "InvalidArn"])
def test_an_execution_that_nobody_knows_is_over(
    client: "SFNClient", stub: Stubber, code: str
) -> None:
    stub.add_client_error("describe_execution", code)

    assert StepFunctionsExecutions(client).is_running(ARN) is False


def test_an_execution_that_may_not_be_looked_at_is_not_over(
    client: "SFNClient", stub: Stubber
) -> None:
    stub.add_client_error("describe_execution", "AccessDeniedException")

    with pytest.raises(Misconfigured) as refused:
        StepFunctionsExecutions(client).is_running(ARN)

    assert refused.value.code == "execution_unreadable"


def test_an_error_that_passes_is_raised_for_the_state_machine_to_retry(
    client: "SFNClient", stub: Stubber
) -> None:
    stub.add_client_error("describe_execution", "ThrottlingException")

    with pytest.raises(ClientError):
        StepFunctionsExecutions(client).is_running(ARN)
