"""A stack through CloudFormation, Lambda, Step Functions and S3."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from billing_sync.domain.signatures import SenderSecrets
from billing_sync.domain.steps import BackfillInput, OperateEvent, PreflightEvent
from billing_sync.domain.triggers import Trigger
from ops.cli.stack import Execution, StackFault

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import DescribeExecutionOutputTypeDef

# Longer than preflight, the slowest of what is asked, may take.
_INVOKE_SECONDS: Final = 180
# Longer than API Gateway waits for the function.
_POST_SECONDS: Final = 35
# Nobody else takes a dead letter while it is moved.
_HOLD_SECONDS: Final = 60
# botocore's own tries, for calls that may be repeated.
_AGAIN: Final = Config(retries={"total_max_attempts": 4, "mode": "standard"})


class AwsStack:
    """A deployed stack, local or in an account (`Stack`). Its outputs are read once."""

    def __init__(
        self, name: str, session: "boto3.session.Session", *, endpoint_url: str | None = None
    ) -> None:
        self._name = name
        self._session = session
        self._endpoint_url = endpoint_url

    @classmethod
    def in_account(cls, name: str) -> Self:
        """Use the caller's own region and credentials, and AWS_ENDPOINT_URL where it is set."""
        with _faults():
            return cls(name, boto3.session.Session())

    @classmethod
    def on_local_aws(cls, name: str, endpoint_url: str) -> Self:
        """Use local AWS, and nothing of the caller's profile: no call may reach a real account."""
        from ops.local_stack.ministack import (  # noqa: PLC0415 - not needed against AWS
            REGION,
            ROOT_ACCESS_KEY,
            ROOT_SECRET_KEY,
        )

        core = botocore.session.Session(
            {
                "profile": (None, None, None, None),
                "config_file": (None, None, "/dev/null", None),
                "credentials_file": (None, None, "/dev/null", None),
            }
        )
        session = boto3.session.Session(
            aws_access_key_id=ROOT_ACCESS_KEY,
            aws_secret_access_key=ROOT_SECRET_KEY,
            region_name=REGION,
            botocore_session=core,
        )
        return cls(name, session, endpoint_url=endpoint_url)

    @property
    def label(self) -> str:
        """Name the stack and where it is."""
        place = f"local AWS at {self._place}" if self._is_local else self._session.region_name
        return f"{self._name} ({place})"

    @property
    def poll_seconds(self) -> float:
        """Look less often where a look costs money; local runs are short besides."""
        return 0.5 if self._is_local else 2.0

    @property
    def _place(self) -> str:
        return self._endpoint_url or self._functions.meta.endpoint_url

    @property
    def _is_local(self) -> bool:
        return "amazonaws." not in self._place

    def operate(self, request: OperateEvent) -> dict[str, Any]:
        """Invoke the function `operate`."""
        payload = request.model_dump(mode="json", exclude_unset=True, by_alias=True)
        return self._invoke("OperateFunctionName", payload)

    @property
    def operate_function(self) -> str:
        """Read its name from the stack's outputs."""
        return self._output("OperateFunctionName")

    def dashboard(self, event: Mapping[str, Any]) -> str:
        """Invoke the function `dashboard`."""
        answer = self._answer("DashboardFunctionName", event)
        if not isinstance(answer, str):
            raise StackFault("UnknownAnswer", "The function dashboard answered with no HTML.")
        return answer

    def preflight(self, asked: BackfillInput) -> dict[str, Any]:
        """Invoke the function `preflight` to check only."""
        event = PreflightEvent(input=_input(asked), check_only=True)
        return self._invoke("PreflightFunctionName", event.model_dump(mode="json"))

    def start(self, name: str, asked: BackfillInput) -> Execution:
        """Start an execution of the state machine."""
        with _faults():
            started = self._machines.start_execution(
                stateMachineArn=self._output("BackfillStateMachineArn"),
                name=name,
                input=json.dumps(_input(asked)),
            )
        return Execution(
            arn=started["executionArn"],
            name=name,
            status="RUNNING",
            started_at=started["startDate"],
        )

    def execution(self, arn: str) -> Execution:
        """Describe an execution."""
        with _faults():
            return _execution(self._machines.describe_execution(executionArn=arn))

    def running(self) -> list[Execution]:
        """List the running executions of the state machine."""
        machine = self._output("BackfillStateMachineArn")
        with _faults():
            pages = self._machines.get_paginator("list_executions").paginate(
                stateMachineArn=machine, statusFilter="RUNNING"
            )
            found = [
                Execution(
                    arn=each["executionArn"],
                    name=each["name"],
                    status=each["status"],
                    started_at=each["startDate"],
                )
                for page in pages
                for each in page["executions"]
            ]
        return sorted(found, key=lambda each: each.started_at, reverse=True)

    def place(self, key: str) -> str:
        """Give the file's S3 address."""
        return f"s3://{self._output('RunsBucketName')}/{key}"

    def read(self, key: str) -> Iterator[bytes]:
        """Read a file of the bucket in pieces."""
        with _faults():
            found = self._files.get_object(Bucket=self._output("RunsBucketName"), Key=key)
            yield from found["Body"].iter_chunks()

    def sender_secrets(self) -> SenderSecrets:
        """Read the door's secret."""
        arn = self._output("WebhookSecretArn")
        with _faults():
            client: SecretsManagerClient = self._client("secretsmanager", _AGAIN)
            text = client.get_secret_value(SecretId=arn).get("SecretString", "")
        try:
            return SenderSecrets.model_validate_json(text.strip() or "{}")
        except ValidationError:
            raise StackFault(
                "SecretMalformed",
                "The webhook secret is not of the form that the door reads:"
                ' {"signing_secrets": ["whsec_..."], "static_secrets": ["..."]}.',
            ) from None

    def post(self, trigger: Trigger, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        """Post to the door over HTTP, as any sender does."""
        url = f"{self._door()}/{trigger}"
        # The scheme is the stack's own: nobody typed the address.
        request = Request(url, data=body, headers=dict(headers), method="POST")  # noqa: S310
        try:
            with urlopen(request, timeout=_POST_SECONDS) as answer:  # noqa: S310 - as above
                return answer.status, _json(answer.read())
        except HTTPError as refused:
            with refused:
                return refused.code, _json(refused.read())
        except (URLError, TimeoutError) as error:
            raise StackFault(type(error).__name__, f"{url} did not answer: {error}") from error

    def _door(self) -> str:
        url = self._output("WebhookUrl")
        if not self._is_local:
            return url
        # Local AWS has every API behind its one address.
        from ops.local_stack.ministack import local_address  # noqa: PLC0415 - as above

        return local_address(self._place, url)

    def redrive(self, trigger: Trigger) -> int:
        """Receive, send, delete: as StartMessageMoveTask does, which local AWS does not have.

        Broken off between sending and deleting, a message is there twice, which does no harm.
        What fails again is not waited for: it must be received several times first.
        """
        name = "".join(word.capitalize() for word in trigger.split("-"))
        queue, letters = (self._output(f"{name}{kind}Url") for kind in ("Queue", "DeadLetters"))
        client = self._client("sqs", _AGAIN)
        moved = 0
        while True:
            with _faults():
                found = client.receive_message(
                    QueueUrl=letters,
                    MaxNumberOfMessages=10,
                    MessageAttributeNames=["All"],
                    VisibilityTimeout=_HOLD_SECONDS,
                    WaitTimeSeconds=1,
                ).get("Messages", [])
                for message in found:
                    client.send_message(
                        QueueUrl=queue,
                        MessageBody=message["Body"],
                        MessageAttributes=message.get("MessageAttributes", {}),
                    )
                    client.delete_message(QueueUrl=letters, ReceiptHandle=message["ReceiptHandle"])
                    moved += 1
            if not found:
                return moved

    def _invoke(self, output: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._answer(output, payload)
        return answer

    def _answer(self, output: str, payload: Mapping[str, Any]) -> Any:
        function = self._output(output)
        with _faults():
            answer = self._functions.invoke(
                FunctionName=function, Payload=json.dumps(payload).encode()
            )
            body = json.loads(answer["Payload"].read())
        if answer.get("FunctionError"):
            raise StackFault(
                "FunctionFailed",
                f"{function} failed with {body.get('errorType', 'an unknown error')}:"
                f" {body.get('errorMessage', 'no message')}."
                f" Its log group is /aws/lambda/{function}.",
            )
        return body

    def _output(self, key: str) -> str:
        if key not in self._outputs:
            raise StackFault(
                "NotOurStack",
                f"The stack {self._name} has no output {key}: it is not one of billing-sync, or of"
                " another version.",
            )
        return self._outputs[key]

    @cached_property
    def _outputs(self) -> dict[str, str]:
        with _faults():
            client: CloudFormationClient = self._client("cloudformation", _AGAIN)
            described = client.describe_stacks(StackName=self._name)
        [stack] = described["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}

    @cached_property
    def _functions(self) -> "LambdaClient":
        # A second attempt at an invocation would be a second invocation.
        once = Config(read_timeout=_INVOKE_SECONDS, retries={"total_max_attempts": 1})
        client: LambdaClient = self._client("lambda", once)
        return client

    @cached_property
    def _machines(self) -> "SFNClient":
        client: SFNClient = self._client("stepfunctions", _AGAIN)
        return client

    @cached_property
    def _files(self) -> "S3Client":
        client: S3Client = self._client("s3", _AGAIN)
        return client

    def _client(self, service: str, config: Config) -> Any:
        with _faults():
            # mypy's stubs know each service by a literal only; here it is one of six.
            make: Any = self._session.client
            return make(service, endpoint_url=self._endpoint_url, config=config)


def _input(asked: BackfillInput) -> dict[str, Any]:
    """Write only what was asked for: the execution's input is read in the console."""
    return asked.model_dump(mode="json", exclude_defaults=True) | {"mode": asked.mode.value}


def _json(content: bytes) -> Any:
    """Read the door's answer; None where something before it answered, not in JSON."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def _execution(described: "DescribeExecutionOutputTypeDef") -> Execution:
    output = described.get("output")
    return Execution(
        arn=described["executionArn"],
        name=described["name"],
        status=described["status"],
        started_at=described["startDate"],
        error=described.get("error"),
        cause=described.get("cause"),
        output=json.loads(output) if output else None,
    )


@contextmanager
def _faults() -> Iterator[None]:
    """Turn what boto3 raises into a sentence."""
    try:
        yield
    except ClientError as error:
        told = error.response["Error"]
        code = told.get("Code", "Unknown")
        raise StackFault(code, f"{error.operation_name}: {told.get('Message', code)}") from error
    except BotoCoreError as error:
        raise StackFault(type(error).__name__, str(error)) from error
