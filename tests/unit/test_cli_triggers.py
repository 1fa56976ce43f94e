"""`billing-sync send` and `billing-sync redrive`, and what they ask of AWS."""

import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request

import boto3
import pytest
from botocore.stub import Stubber
from typer.testing import CliRunner, Result

from billing_sync.domain.signatures import SenderKeys, SenderSecrets
from billing_sync.domain.triggers import TYPES_OF_TRIGGER, Trigger, read_body
from ops.cli import aws as aws_module
from ops.cli.app import app
from ops.cli.aws import AwsStack
from ops.cli.stack import StackFault
from tests.fakes.queues import SIGNING_SECRET
from tests.fakes.stack import FakeStack

Run = Callable[..., Result]
QUEUE = "https://sqs.test/1/customers"
LETTERS = "https://sqs.test/1/customers-dead"
DOOR = "https://ab12cd.execute-api.af-south-1.amazonaws.com/live/webhooks"
SECRET_ARN = "arn:aws:secretsmanager:af-south-1:000000000000:secret:webhook"


@pytest.fixture
def stack() -> FakeStack:
    stack = FakeStack()
    stack.senders = SenderSecrets(signing_secrets=(SIGNING_SECRET,))
    return stack


@pytest.fixture
def run(stack: FakeStack) -> Run:
    return lambda *arguments: CliRunner().invoke(
        app, list(arguments), obj=lambda _name, _local: stack
    )


# ------------------------------------------------------------------------------------------ send


@pytest.mark.parametrize("trigger", Trigger)
def test_send_posts_an_event_that_the_trigger_s_door_lets_in(
    trigger: Trigger, run: Run, stack: FakeStack
) -> None:
    result = run("send", trigger.value, "42")

    assert result.exit_code == 0
    assert "202" in result.stdout
    [(posted_to, headers, body)] = stack.posted
    assert posted_to is trigger
    keys = SenderKeys.of(stack.senders)
    assert keys.fault(headers, body, datetime.now(UTC), 300) is None
    wake_up, is_wanted = read_body(trigger, body)
    assert (wake_up.id, is_wanted) == ("42", True)
    assert json.loads(body)["type"] == TYPES_OF_TRIGGER[trigger][0]


def test_send_takes_another_word_of_its_trigger(run: Run, stack: FakeStack) -> None:
    result = run("send", "invoice-generated", "42", "--type", "invoice.voided")

    assert result.exit_code == 0
    assert json.loads(stack.posted[0][2])["type"] == "invoice.voided"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("refund-paid", "42"), "TRIGGER"),
        (("invoice-generated", "42", "--type", "payment.completed"), "--type"),
        (("invoice-generated", " "), "ID"),
        (("invoice-generated", "x" * 101), "ID"),
    ],
)
def test_send_refuses_what_no_trigger_s_door_would_take(
    arguments: tuple[str, ...], named: str, run: Run, stack: FakeStack
) -> None:
    result = run("send", *arguments)

    assert result.exit_code == 2
    assert named in result.stderr
    assert stack.posted == []


def test_send_without_a_webhook_secret_says_where_to_put_one(run: Run, stack: FakeStack) -> None:
    stack.senders = SenderSecrets()

    result = run("send", "invoice-generated", "42")

    assert result.exit_code == 1
    assert "NoSigningSecret (signing_secrets)" in result.stderr
    assert stack.posted == []


def test_send_ends_red_when_the_webhook_is_refused(run: Run, stack: FakeStack) -> None:
    stack.door_answers = (401, {"error": "unauthorised"})

    result = run("send", "invoice-generated", "42", "--json")

    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["status"], told["answer"]) == (401, {"error": "unauthorised"})
    assert told["message_id"] == stack.posted[0][1]["webhook-id"]


# --------------------------------------------------------------------------------------- redrive


@pytest.mark.parametrize(
    ("letters", "said"),
    [(0, "has no dead letters"), (1, "1 message put back"), (3, "3 messages put back")],
)
def test_redrive_says_how_many_messages_the_trigger_got_back(
    letters: int, said: str, run: Run, stack: FakeStack
) -> None:
    stack.dead_letters[Trigger.PAYMENT_COMPLETED] = letters

    result = run("redrive", "payment-completed")

    assert result.exit_code == 0
    assert said in result.stdout


# ------------------------------------------------------------------------------------ through AWS


class StubbedSession:
    """Makes real clients that answer from a list, and nothing from the network."""

    region_name = "af-south-1"

    def __init__(self) -> None:
        real = boto3.session.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name=self.region_name
        )
        names: list[Any] = ["cloudformation", "lambda", "sqs", "secretsmanager"]
        self.clients: dict[str, Any] = {name: real.client(name) for name in names}
        self.stubs = {name: Stubber(client) for name, client in self.clients.items()}
        for stub in self.stubs.values():
            stub.activate()
        outputs = {
            "WebhookUrl": DOOR,
            "WebhookSecretArn": SECRET_ARN,
            "CustomerRegisteredQueueUrl": QUEUE,
            "CustomerRegisteredDeadLettersUrl": LETTERS,
        }
        told = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
        described = {
            "StackName": "billing-sync",
            "CreationTime": datetime(2026, 11, 22, tzinfo=UTC),
            "StackStatus": "CREATE_COMPLETE",
            "Outputs": told,
        }
        self.stubs["cloudformation"].add_response("describe_stacks", {"Stacks": [described]})

    def client(self, service: str, **_options: Any) -> Any:
        return self.clients[service]


@pytest.fixture
def aws() -> Iterator[StubbedSession]:
    session = StubbedSession()
    yield session
    for stub in session.stubs.values():
        stub.assert_no_pending_responses()
    for client in session.clients.values():
        client.close()


def stack_of(aws: StubbedSession, endpoint_url: str | None = None) -> AwsStack:
    session: Any = aws
    return AwsStack("billing-sync", session, endpoint_url=endpoint_url)


class Answer(io.BytesIO):
    status = 202


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What was posted to a door that accepts everything."""
    requests: list[Request] = []

    def urlopen(request: Request, *, timeout: float) -> Answer:
        assert timeout > 0
        requests.append(request)
        return Answer(b'{"accepted": true}')

    monkeypatch.setattr(aws_module, "urlopen", urlopen)
    return requests


@pytest.mark.parametrize(
    ("endpoint_url", "address"),
    [
        (None, f"{DOOR}/payment-completed"),
        (
            "http://127.0.0.1:4566",
            "http://127.0.0.1:4566/_aws/execute-api/ab12cd/live/webhooks/payment-completed",
        ),
    ],
    ids=["in an account", "local"],
)
def test_a_webhook_is_posted_where_the_stack_has_its_door(
    endpoint_url: str | None, address: str, aws: StubbedSession, posted: list[Request]
) -> None:
    answer = stack_of(aws, endpoint_url).post(
        Trigger.PAYMENT_COMPLETED, {"webhook-id": "msg_1"}, b"{}"
    )

    assert answer == (202, {"accepted": True})
    [request] = posted
    assert (request.full_url, request.method, request.data) == (address, "POST", b"{}")
    assert request.get_header("Webhook-id") == "msg_1"


def test_a_webhook_s_refusal_is_an_answer_and_silence_is_a_fault(
    aws: StubbedSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals: list[Exception] = [
        HTTPError(DOOR, 401, "no", {}, io.BytesIO(b'{"error": "unauthorised"}')),  # type: ignore[arg-type]  # a dict will do
        HTTPError(DOOR, 429, "no", {}, io.BytesIO(b"slow down")),  # type: ignore[arg-type]  # as above
        URLError("nobody there"),
    ]

    def urlopen(_request: Request, **_given: Any) -> None:
        raise refusals.pop(0)

    monkeypatch.setattr(aws_module, "urlopen", urlopen)
    stack = stack_of(aws)

    assert stack.post(Trigger.PAYMENT_COMPLETED, {}, b"{}") == (401, {"error": "unauthorised"})
    assert stack.post(Trigger.PAYMENT_COMPLETED, {}, b"{}") == (429, None)
    with pytest.raises(StackFault, match="did not answer"):
        stack.post(Trigger.PAYMENT_COMPLETED, {}, b"{}")


def test_the_webhook_secret_is_read_where_the_stack_keeps_it(aws: StubbedSession) -> None:
    for text in (json.dumps({"signing_secrets": [SIGNING_SECRET]}), " ", "no JSON"):
        aws.stubs["secretsmanager"].add_response(
            "get_secret_value", {"SecretString": text}, {"SecretId": SECRET_ARN}
        )
    stack = stack_of(aws)

    assert stack.sender_secrets().signing_secrets == (SIGNING_SECRET,)
    assert stack.sender_secrets() == SenderSecrets()
    with pytest.raises(StackFault, match="not of the form"):
        stack.sender_secrets()


def test_redrive_sends_each_dead_letter_of_a_trigger_before_it_deletes_it(
    aws: StubbedSession,
) -> None:
    event = {"event": {"DataType": "String", "StringValue": "ab12"}}
    asked = {
        "QueueUrl": LETTERS,
        "MaxNumberOfMessages": 10,
        "MessageAttributeNames": ["All"],
        "VisibilityTimeout": 60,
        "WaitTimeSeconds": 1,
    }
    letters: list[dict[str, Any]] = [
        {"Body": "one", "ReceiptHandle": "r1", "MessageAttributes": event},
        {"Body": "two", "ReceiptHandle": "r2"},
    ]
    queues = aws.stubs["sqs"]
    queues.add_response("receive_message", {"Messages": letters}, asked)
    for letter, attributes in zip(letters, (event, {}), strict=True):
        sent = {"QueueUrl": QUEUE, "MessageBody": letter["Body"], "MessageAttributes": attributes}
        queues.add_response("send_message", {"MessageId": "new"}, sent)
        deleted = {"QueueUrl": LETTERS, "ReceiptHandle": letter["ReceiptHandle"]}
        queues.add_response("delete_message", {}, deleted)
    queues.add_response("receive_message", {}, asked)

    assert stack_of(aws).redrive(Trigger.CUSTOMER_REGISTERED) == 2
