"""AWS clients for a local stack, closed when their block ends."""

from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

import boto3
from botocore.config import Config

from ops.local_stack.ministack import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_stepfunctions import SFNClient

# Longer than any function may take.
_INVOKE_SECONDS: Final = 910


class Clients:
    """The clients of one local AWS, with the root's credentials; each is made on first use."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self._session = boto3.session.Session(
            aws_access_key_id=ROOT_ACCESS_KEY,
            aws_secret_access_key=ROOT_SECRET_KEY,
            region_name=REGION,
        )
        # A second attempt at an invocation would be a second invocation.
        self._config = Config(read_timeout=_INVOKE_SECONDS, retries={"total_max_attempts": 1})
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of all clients that were made."""
        self._opened.close()

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        client = self._session.client("cloudformation", endpoint_url=self.endpoint_url)
        self._opened.callback(client.close)
        return client

    @cached_property
    def functions(self) -> "LambdaClient":
        client = self._session.client("lambda", endpoint_url=self.endpoint_url, config=self._config)
        self._opened.callback(client.close)
        return client

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        client = self._session.client("logs", endpoint_url=self.endpoint_url)
        self._opened.callback(client.close)
        return client

    @cached_property
    def queues(self) -> Any:
        # No stubs of this service are installed.
        make: Any = self._session.client
        client = make("sqs", endpoint_url=self.endpoint_url)
        self._opened.callback(client.close)
        return client

    @cached_property
    def s3(self) -> "S3Client":
        client = self._session.client("s3", endpoint_url=self.endpoint_url)
        self._opened.callback(client.close)
        return client

    @cached_property
    def secrets(self) -> "SecretsManagerClient":
        client = self._session.client("secretsmanager", endpoint_url=self.endpoint_url)
        self._opened.callback(client.close)
        return client

    @cached_property
    def step_functions(self) -> "SFNClient":
        client = self._session.client("stepfunctions", endpoint_url=self.endpoint_url)
        self._opened.callback(client.close)
        return client
