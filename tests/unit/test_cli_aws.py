"""A stack through the AWS APIs: what is asked of them, and their refusals as sentences."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import NoCredentialsError
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from billing_sync.domain.steps import BackfillInput, Mode, OperateEvent
from ops.cli.aws import AwsStack
from ops.cli.stack import StackFault

MACHINE = "arn:aws:states:af-south-1:000000000000:stateMachine:backfill"
EXECUTION = "arn:aws:states:af-south-1:000000000000:execution:backfill:customers-plan-1"
OUTPUTS = {
    "OperateFunctionName": "operate-1",
    "PreflightFunctionName": "preflight-1",
    "DashboardFunctionName": "dashboard-1",
    "BackfillStateMachineArn": MACHINE,
    "RunsBucketName": "runs",
}
BEGAN = datetime(2026, 11, 22, 20, 15, tzinfo=UTC)


class StubbedSession:
    """Makes real clients that answer from a list, and nothing from the network."""

    region_name = "af-south-1"

    def __init__(self) -> None:
        real = boto3.session.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name=self.region_name
        )
        names: list[Any] = ["cloudformation", "lambda", "stepfunctions", "s3"]
        self.clients: dict[str, Any] = {name: real.client(name) for name in names}
        self.stubs = {name: Stubber(client) for name, client in self.clients.items()}
        for stub in self.stubs.values():
            stub.activate()

    def client(self, service: str, **_options: Any) -> Any:
        """Give the client of a service."""
        return self.clients[service]

    def deploy(self, outputs: dict[str, str]) -> None:
        """Let CloudFormation tell once of a stack with these outputs."""
        told = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
        stack = {
            "StackName": "billing-sync",
            "CreationTime": BEGAN,
            "StackStatus": "CREATE_COMPLETE",
            "Outputs": told,
        }
        self.stubs["cloudformation"].add_response("describe_stacks", {"Stacks": [stack]})

    def invoked(
        self, function: str, answer: object, *, payload: Any = ANY, error: str | None = None
    ) -> None:
        """Let a function answer once, asserting what it is asked."""
        body = json.dumps(answer).encode()
        response: dict[str, Any] = {"Payload": StreamingBody(io.BytesIO(body), len(body))}
        if error is not None:
            response["FunctionError"] = error
        self.stubs["lambda"].add_response(
            "invoke", response, {"FunctionName": function, "Payload": payload}
        )


@pytest.fixture
def aws() -> Iterator[StubbedSession]:
    session = StubbedSession()
    yield session
    for stub in session.stubs.values():
        stub.assert_no_pending_responses()
    for client in session.clients.values():
        client.close()


def stack_of(aws: StubbedSession) -> AwsStack:
    session: Any = aws
    return AwsStack("billing-sync", session)


def status_event() -> OperateEvent:
    return OperateEvent.model_validate({"action": "status"})


def test_operate_is_sent_only_what_was_said_and_outputs_are_read_once(aws: StubbedSession) -> None:
    aws.deploy(OUTPUTS)
    aws.invoked("operate-1", {"ok": True}, payload=b'{"action": "status"}')
    aws.invoked("operate-1", {"ok": False}, payload=b'{"action": "status"}')
    stack = stack_of(aws)

    assert stack.operate(status_event()) == {"ok": True}
    assert stack.operate(status_event()) == {"ok": False}


def test_preflight_is_asked_to_check_only(aws: StubbedSession) -> None:
    aws.deploy(OUTPUTS)
    asked = {"input": {"mode": "apply"}, "execution": None, "check_only": True}
    aws.invoked("preflight-1", {"next": "checked"}, payload=json.dumps(asked).encode())

    answer = stack_of(aws).preflight(BackfillInput(mode=Mode.APPLY))

    assert answer == {"next": "checked"}


def test_dashboard_answers_with_html(aws: StubbedSession) -> None:
    aws.deploy(OUTPUTS)
    aws.invoked("dashboard-1", "<p>All in step</p>", payload=b'{"widgetContext": {}}')
    aws.invoked("dashboard-1", {"statusCode": 200})
    stack = stack_of(aws)

    assert stack.dashboard({"widgetContext": {}}) == "<p>All in step</p>"
    assert stack.operate_function == "operate-1"
    with pytest.raises(StackFault, match="answered with no HTML"):
        stack.dashboard({})


def test_execution_is_started_with_a_readable_input(aws: StubbedSession) -> None:
    aws.deploy(OUTPUTS)
    aws.stubs["stepfunctions"].add_response(
        "start_execution",
        {"executionArn": EXECUTION, "startDate": BEGAN},
        {"stateMachineArn": MACHINE, "name": "customers-plan-1", "input": '{"mode": "plan"}'},
    )

    started = stack_of(aws).start("customers-plan-1", BackfillInput())

    assert (started.arn, started.is_running) == (EXECUTION, True)


def test_end_of_an_execution_is_read_with_its_output(aws: StubbedSession) -> None:
    aws.stubs["stepfunctions"].add_response(
        "describe_execution",
        {
            "executionArn": EXECUTION,
            "stateMachineArn": MACHINE,
            "name": "customers-plan-1",
            "status": "SUCCEEDED",
            "startDate": BEGAN,
            "output": '{"already_running": "arn"}',
        },
        {"executionArn": EXECUTION},
    )

    ended = stack_of(aws).execution(EXECUTION)

    assert not ended.is_running
    assert ended.output == {"already_running": "arn"}


def test_running_executions_come_newest_first(aws: StubbedSession) -> None:
    aws.deploy(OUTPUTS)
    listed = [
        {
            "executionArn": f"{EXECUTION}{hour}",
            "stateMachineArn": MACHINE,
            "name": f"at-{hour}",
            "status": "RUNNING",
            "startDate": BEGAN.replace(hour=hour),
        }
        for hour in (8, 10, 9)
    ]
    aws.stubs["stepfunctions"].add_response("list_executions", {"executions": listed})

    assert [each.name for each in stack_of(aws).running()] == ["at-10", "at-9", "at-8"]


def test_file_is_read_from_the_runs_bucket(aws: StubbedSession) -> None:
    aws.deploy(OUTPUTS)
    body = StreamingBody(io.BytesIO(b"{}"), 2)
    aws.stubs["s3"].add_response(
        "get_object", {"Body": body}, {"Bucket": "runs", "Key": "runs/1/plan.json"}
    )
    stack = stack_of(aws)

    assert b"".join(stack.read("runs/1/plan.json")) == b"{}"
    assert stack.place("runs/1/plan.json") == "s3://runs/runs/1/plan.json"


def test_function_that_raises_is_a_fault_that_names_its_log(aws: StubbedSession) -> None:
    aws.deploy(OUTPUTS)
    raised = {"errorType": "OperationalError", "errorMessage": "no route to the database"}
    aws.invoked("operate-1", raised, error="Unhandled")

    with pytest.raises(StackFault, match=r"no route to the database.*/aws/lambda/operate-1"):
        stack_of(aws).operate(status_event())


def test_stack_of_something_else_is_told_from_ours(aws: StubbedSession) -> None:
    aws.deploy({"WebsiteUrl": "https://example.com"})

    with pytest.raises(StackFault, match="no output OperateFunctionName") as caught:
        stack_of(aws).operate(status_event())

    assert caught.value.code == "NotOurStack"


def test_refusal_of_aws_keeps_its_code(aws: StubbedSession) -> None:
    aws.stubs["cloudformation"].add_client_error(
        "describe_stacks", "AccessDenied", "not authorised to perform DescribeStacks"
    )

    with pytest.raises(StackFault, match="DescribeStacks: not authorised") as caught:
        stack_of(aws).operate(status_event())

    assert caught.value.code == "AccessDenied"


def test_missing_credentials_are_a_sentence(
    aws: StubbedSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_arguments: Any) -> None:
        raise NoCredentialsError

    monkeypatch.setattr(aws.clients["cloudformation"], "describe_stacks", refuse)

    with pytest.raises(StackFault, match="credentials") as caught:
        stack_of(aws).operate(status_event())

    assert caught.value.code == "NoCredentialsError"


def test_label_tells_an_account_from_local_aws(aws: StubbedSession) -> None:
    session: Any = aws

    in_account = stack_of(aws)
    local = AwsStack("billing-sync", session, endpoint_url="http://127.0.0.1:4566")

    assert in_account.label == "billing-sync (af-south-1)"
    assert local.label == "billing-sync (local AWS at http://127.0.0.1:4566)"
    assert local.poll_seconds < in_account.poll_seconds
