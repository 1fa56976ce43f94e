"""SQS: the queues that wake the handlers, one for each trigger.

botocore is imported on first use, and without boto3 around it: the door is the one function that
somebody waits for.
"""

from collections.abc import Mapping
from typing import Any, Final

from billing_sync.domain.errors import Unreachable
from billing_sync.domain.triggers import Trigger, WakeUp

CONNECT_SECONDS: Final = 2
READ_SECONDS: Final = 3
ATTEMPTS: Final = 2
"""Together 10 s: the sender is answered before the function's own end and API Gateway's 29 s."""


class SqsQueues:
    """The queues of one stack (`Queues`)."""

    def __init__(self, urls: Mapping[Trigger, str], client: Any = None) -> None:
        """Keep the addresses; the client is made on first use."""
        self._urls = urls
        self._made = client

    @property
    def _client(self) -> Any:
        if self._made is None:
            self._made = make_client("sqs")
        return self._made

    def wake(self, wake_up: WakeUp, event_hash: str) -> None:
        """Send the message; what SQS cannot be asked for is out of reach, whatever the reason."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            self._client.send_message(
                QueueUrl=self._urls[wake_up.trigger],
                MessageBody=wake_up.model_dump_json(),
                MessageAttributes={"event": {"DataType": "String", "StringValue": event_hash}},
            )
        except (BotoCoreError, ClientError):
            raise Unreachable("queue_unreachable") from None


def make_client(service: str) -> Any:
    """Make a client that gives up early; region, credentials and endpoint are the process's own."""
    import botocore.session  # noqa: PLC0415 - see the module's docstring
    from botocore.config import Config  # noqa: PLC0415

    patience = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
    )
    return botocore.session.get_session().create_client(service, config=patience)
