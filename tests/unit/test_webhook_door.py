"""The webhooks' door: every answer, every fault of a signature, and what reaches a queue."""

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.session import get_session
from botocore.stub import Stubber

from billing_sync import bootstrap
from billing_sync.adapters.sender_keys import KEPT_SECONDS, SecretKeyRing
from billing_sync.adapters.sqs import SqsQueues
from billing_sync.domain.errors import Misconfigured, Unreachable
from billing_sync.domain.signatures import SenderKeys, SenderSecrets, key_of, sign
from billing_sync.domain.states import EntityType
from billing_sync.domain.triggers import ENTITY_OF_TRIGGER, TYPES_OF_TRIGGER, Trigger, WakeUp
from billing_sync.domain.web import WebAnswer, WebRequest
from billing_sync.environment import WebhookSettings
from billing_sync.observability import logger
from billing_sync.services.door import Door
from tests.fakes.clock import START, FakeClock
from tests.fakes.queues import SIGNING_SECRET, STATIC_SECRET, FakeKeyRing, FakeQueues
from tests.webhook_function import webhook_function

ROOT = Path(__file__).resolve().parents[2]
EVENTS = ROOT / "events" / "webhook"
NOW = str(int(START.timestamp()))
OTHER_SECRET = "whsec_" + base64.b64encode(b"another key of thirty-two bytes!").decode()
LARGEST = 131_072
PATH = "/webhooks/customer-registered"
NOT_ASKED = {"error": "unauthorised"}


class Stage:
    """A door with fakes around it."""

    def __init__(self) -> None:
        self.queues = FakeQueues()
        self.key_ring = FakeKeyRing()
        self.clock = FakeClock()
        self.door = Door(
            self.queues,
            self.key_ring,
            self.clock,
            tolerance_seconds=300,
            largest_body_bytes=LARGEST,
        )

    def post(self, event: dict[str, Any]) -> WebAnswer:
        return self.door(WebRequest.of(event))

    @property
    def ids(self) -> list[str]:
        return [wake_up.id for wake_up, _ in self.queues.sent]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def example(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def event_of(
    body: bytes | str | dict[str, Any],
    *,
    trigger: str = "customer-registered",
    secret: str = SIGNING_SECRET,
    message_id: str = "msg_1",
    timestamp: str = NOW,
    **headers: str,
) -> dict[str, Any]:
    """Make a signed proxy event; `headers` replace those of the signature."""
    text = json.dumps(body) if isinstance(body, dict) else body
    raw = text.encode() if isinstance(text, str) else text
    signed = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": sign(key_of(secret), message_id, timestamp, raw),
    }
    return {
        "path": f"/webhooks/{trigger}",
        "httpMethod": "POST",
        "headers": {**signed, **{name.replace("_", "-"): value for name, value in headers.items()}},
        "body": base64.b64encode(raw).decode(),
        "isBase64Encoded": True,
    }


def told(record_id: Any = "42", type_: str = "customer.registered") -> dict[str, Any]:
    return {"type": type_, "data": {"id": record_id}}


def row_change(
    type_: str, record: dict[str, Any] | None, old: dict[str, Any] | None = None
) -> dict[str, Any]:
    change = {
        "type": type_,
        "table": "customers",
        "schema": "public",
        "record": record,
        "old_record": old,
    }
    return {
        "path": PATH,
        "httpMethod": "POST",
        "headers": {"content-type": "application/json", "x-webhook-secret": STATIC_SECRET},
        "body": json.dumps(change),
        "isBase64Encoded": False,
    }


def content(answer: WebAnswer) -> Any:
    return json.loads(answer.body)


# -------------------------------------------------------------------------------------- let in


@pytest.mark.parametrize("trigger", Trigger)
def test_each_webhook_of_the_examples_wakes_its_own_queue_with_the_id_alone(
    trigger: Trigger, stage: Stage
) -> None:
    answer = stage.post(example(trigger.value))

    assert (answer.status, content(answer)) == (202, {"accepted": True})
    assert [wake_up for wake_up, _ in stage.queues.sent] == [WakeUp(trigger=trigger, id="4")]


def test_the_envelope_of_a_webhook_is_an_example_too(stage: Stage) -> None:
    event = json.loads((ROOT / "events" / "webhook.json").read_text())

    assert stage.post(event).status == 202
    assert stage.ids == ["4"]


@pytest.mark.parametrize(
    ("trigger", "type_"),
    [(trigger, type_) for trigger in Trigger for type_ in TYPES_OF_TRIGGER[trigger]],
)
def test_webhooks_of_a_record_s_later_life_take_the_same_queue(
    trigger: Trigger, type_: str, stage: Stage
) -> None:
    answer = stage.post(event_of(told(type_=type_), trigger=trigger.value))

    assert answer.status == 202
    assert stage.queues.sent[0][0] == WakeUp(trigger=trigger, id="42")


def test_each_trigger_has_an_entity_of_its_own() -> None:
    assert ENTITY_OF_TRIGGER == {
        Trigger.CUSTOMER_REGISTERED: EntityType.CUSTOMER,
        Trigger.SERVICE_ACTIVATED: EntityType.SUBSCRIPTION,
        Trigger.INVOICE_GENERATED: EntityType.INVOICE,
        Trigger.PAYMENT_COMPLETED: EntityType.PAYMENT,
    }


@pytest.mark.parametrize("record_id", [42, "42", "b7c1-ÄÖ", "x" * 100, -1, 10**99])
def test_a_webhook_s_id_is_a_text_or_a_whole_number(record_id: object, stage: Stage) -> None:
    assert stage.post(event_of(told(record_id))).status == 202
    assert stage.ids == [str(record_id)]


def test_what_else_a_webhook_tells_is_passed_over(stage: Stage) -> None:
    body = told() | {"timestamp": "whenever", "tenant": 7}
    body["data"]["email"] = "thandi@example.com"

    assert stage.post(event_of(body)).status == 202
    assert stage.queues.sent[0][0].model_dump() == {"trigger": "customer-registered", "id": "42"}


def test_a_webhook_s_path_may_stand_behind_a_stage_or_a_base_path(stage: Stage) -> None:
    event = event_of(told()) | {"path": f"/isp/live{PATH}"}

    assert stage.post(event).status == 202


def test_what_a_webhook_s_sender_named_is_hashed_before_it_goes_along(stage: Stage) -> None:
    answer = stage.post(event_of(told(), message_id="msg_of_thandi@example.com"))

    event = hashlib.sha256(b"msg_of_thandi@example.com").hexdigest()
    assert stage.queues.sent[0][1] == event
    assert answer.log == {
        "trigger": "customer-registered",
        "answer": 202,
        "event": event,
        "record": hashlib.sha256(b"customer:42").hexdigest(),
    }


# ------------------------------------------------------------------------------- row changes


def test_a_webhook_of_supabase_wakes_by_the_row_s_id(stage: Stage) -> None:
    for name in ("supabase-insert", "supabase-update", "supabase-delete"):
        assert stage.post(example(name)).status == 202

    assert [wake_up for wake_up, _ in stage.queues.sent] == [
        WakeUp(trigger=Trigger.PAYMENT_COMPLETED, id="4"),
        WakeUp(trigger=Trigger.CUSTOMER_REGISTERED, id="4"),
        WakeUp(trigger=Trigger.INVOICE_GENERATED, id="4"),
    ]


def test_a_webhook_about_status_columns_only_is_accepted_and_dropped(stage: Stage) -> None:
    answer = stage.post(example("supabase-status-columns"))

    assert (answer.status, content(answer)) == (202, {"accepted": True})
    assert stage.queues.sent == []
    assert answer.log["why"] == "status_columns_only"


@pytest.mark.parametrize(
    ("changed", "is_wanted"),
    [
        ({"zoho_sync_status": "synced"}, False),
        ({"zoho_sync_status": "synced", "updated_at": "12:01"}, False),
        ({"zoho_sync_status": "synced", "phone": "2"}, True),
        ({"zoho_sync_status": "synced", "note": None}, True),
        ({"updated_at": "12:01"}, True),
        ({"vip": 1}, True),
        ({}, True),
    ],
)
def test_a_webhook_is_dropped_only_if_a_status_column_and_nothing_else_differs(
    changed: dict[str, Any], is_wanted: bool, stage: Stage
) -> None:
    old = {"id": 7, "phone": "1", "vip": True, "zoho_sync_status": None, "updated_at": "12:00"}

    answer = stage.post(row_change("UPDATE", old | changed, old))

    assert answer.status == 202
    assert stage.ids == ["7"] * is_wanted


def test_a_webhook_of_an_update_that_does_not_tell_the_old_row_wakes(stage: Stage) -> None:
    assert stage.post(row_change("UPDATE", {"id": 7, "zoho_sync_status": "synced"})).status == 202
    assert stage.ids == ["7"]


def test_an_inserted_row_wakes_by_its_webhook_whatever_its_status_columns_say(stage: Stage) -> None:
    stage.post(row_change("INSERT", {"id": 7, "zoho_sync_status": "synced"}, {"id": 7}))

    assert stage.ids == ["7"]


# ---------------------------------------------------------------------------- 400, by the fields


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", ["body"]),
        (b"\xff\xfe", ["body"]),
        (b"{", ["body"]),
        (b"[1]", ["body"]),
        (b'"customer.registered"', ["body"]),
        (b'{"type": "customer.registered", "data": {"id": NaN}}', ["body"]),
        (b'{"type": "customer.registered", "data": {"id": "\\ud800"}}', ["body"]),
        (b"[" * 100_000, ["body"]),
        ({}, ["type", "data"]),
        ({"type": "customer.registered"}, ["data"]),
        ({"type": "customer.registered", "data": "42"}, ["data"]),
        ({"type": "customer.registered", "data": {}}, ["data.id"]),
        ({"type": "payment.completed", "data": {"id": "42"}}, ["type"]),
        ({"type": ["customer.registered"], "data": {"id": "42"}}, ["type"]),
        ({"type": 7, "data": {"id": True}}, ["type", "data.id"]),
        (told(""), ["data.id"]),
        (told(" 42"), ["data.id"]),
        (told("4\n2"), ["data.id"]),
        (told("4\u202e2"), ["data.id"]),
        (told("x" * 101), ["data.id"]),
        (told(10**100), ["data.id"]),
        (told(4.2), ["data.id"]),
        (told(4.0), ["data.id"]),
        (told(True), ["data.id"]),
        (told(None), ["data.id"]),
        (told({"id": 1}), ["data.id"]),
        (told(["42"]), ["data.id"]),
        ({"type": "INSERT"}, ["table", "schema"]),
        ({"type": "INSERT", "table": "", "schema": 7, "record": []}, ["table", "schema", "record"]),
        ({"type": "INSERT", "table": "c", "schema": "p", "old_record": {"id": 1}}, ["record"]),
        ({"type": "UPDATE", "table": "c", "schema": "p", "record": {"no": 1}}, ["record.id"]),
        ({"type": "DELETE", "table": "c", "schema": "p", "record": {"id": 1}}, ["old_record"]),
        (
            {"type": "DELETE", "table": "c", "schema": "p", "old_record": {"id": [1]}},
            ["old_record.id"],
        ),
        ({"type": "TRUNCATE", "table": "c", "schema": "p"}, ["type", "data"]),
    ],
)  # fmt: skip
def test_a_bad_webhook_is_answered_with_the_names_of_its_fields(
    body: Any, fields: list[str], stage: Stage
) -> None:
    answer = stage.post(event_of(body))

    assert answer.status == 400
    assert content(answer) == {"error": "invalid_body", "fields": fields}
    assert stage.queues.sent == []


def test_a_bad_webhook_is_never_told_its_own_values(stage: Stage) -> None:
    body = {"type": "thandi@example.com", "data": {"id": "Thandi\nNkosi", "x@y.example": 1}}

    answer = stage.post(event_of(body))

    assert content(answer)["fields"] == ["type", "data.id"]
    everything = answer.model_dump_json() + repr(answer.log)
    assert not re.search(r"thandi|nkosi|x@y", everything, re.IGNORECASE)


# ---------------------------------------------------------------------- 401, one for all of them


def without(event: dict[str, Any], *names: str) -> dict[str, Any]:
    kept = {name: value for name, value in event["headers"].items() if name not in names}
    return event | {"headers": kept}


def at(seconds: float) -> str:
    return str(int(START.timestamp() + seconds))


WRONG = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
GOOD = event_of(told())["headers"]["webhook-signature"]
ALL_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
STATIC = row_change("INSERT", {"id": 1})
SIGNED = event_of(told())
UNSIGNED = without(SIGNED, *ALL_HEADERS)


def bringing(static_secret: str) -> dict[str, Any]:
    return STATIC | {"headers": STATIC["headers"] | {"x-webhook-secret": static_secret}}


def signature(given: str) -> dict[str, Any]:
    return event_of(told(), webhook_signature=given)


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": (UNSIGNED, "unsigned"),
    "no id": (without(SIGNED, "webhook-id"), "header_missing"),
    "no time": (without(SIGNED, "webhook-timestamp"), "header_missing"),
    "no signature": (without(SIGNED, "webhook-signature"), "header_missing"),
    "empty signature": (signature(""), "header_missing"),
    "partial signature": (signature("v1,"), "signature_wrong"),
    "no version": (signature(WRONG.removeprefix("v1,")), "signature_wrong"),
    "no ascii": (signature("v1,Ünsigned\ud800"), "signature_wrong"),
    "wrong signature": (signature(WRONG), "signature_wrong"),
    "another version": (signature(GOOD.replace("v1,", "v2,")), "signature_wrong"),
    "capital version": (signature(GOOD.replace("v1,", "V1,")), "signature_wrong"),
    "another key": (event_of(told(), secret=OTHER_SECRET), "signature_wrong"),
    "another id": (event_of(told(), webhook_id="msg_2"), "signature_wrong"),
    "another time": (event_of(told(), webhook_timestamp=at(1)), "signature_wrong"),
    "another body": (SIGNED | {"body": base64.b64encode(b"{}").decode()}, "signature_wrong"),
    "too old": (event_of(told(), timestamp=at(-301)), "too_old"),
    "too new": (event_of(told(), timestamp=at(301)), "too_new"),
    "no whole number": (event_of(told(), timestamp=f"{NOW}.0"), "timestamp_malformed"),
    "not a number": (event_of(told(), timestamp="nan"), "timestamp_malformed"),
    "arabic digits": (event_of(told(), timestamp="\u0661\u0662"), "timestamp_malformed"),
    "far too long": (event_of(told(), timestamp="9" * 5000), "timestamp_malformed"),
    "no base64": (SIGNED | {"body": "{}"}, "body_unreadable"),
    "wrong static secret": (bringing("x" * 28), "static_secret_wrong"),
    "static secret's beginning": (bringing(STATIC_SECRET[:-1]), "static_secret_wrong"),
    "empty static secret": (bringing(""), "unsigned"),
    "a wrong signature and a static secret": (
        event_of(told(), webhook_signature=WRONG, x_webhook_secret=STATIC_SECRET),
        "signature_wrong",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_of_a_webhook_s_signature_is_answered_alike(name: str, stage: Stage) -> None:
    event, why = FAULTS[name]

    answer = stage.post(event)

    assert (answer.status, content(answer)) == (401, NOT_ASKED)
    # Alike to the last byte: nobody learns from outside how near he came.
    assert answer.model_dump_json() == Stage().post(UNSIGNED).model_dump_json()
    assert answer.log["why"] == why
    assert stage.queues.sent == []


@pytest.mark.parametrize("event", [SIGNED, STATIC], ids=["signed", "static"])
def test_without_secrets_every_webhook_is_refused_like_an_unsigned_one(
    event: dict[str, Any], stage: Stage
) -> None:
    stage.key_ring.secrets = SenderSecrets()

    answer = stage.post(event)

    assert (answer.status, content(answer)) == (401, NOT_ASKED)


def test_an_unsigned_webhook_is_refused_before_its_body_is_looked_at(stage: Stage) -> None:
    answer = stage.post(without(event_of(b"no JSON at all"), *ALL_HEADERS))

    assert answer.status == 401


# ------------------------------------------------------------------------- signatures that hold


def test_the_published_vector_of_standard_webhooks_holds() -> None:
    """`TestWebhookSign` of the specification's own libraries."""
    body = b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    keys = SenderKeys.of(SenderSecrets(signing_secrets=(SIGNING_SECRET,)))
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": expected,
    }

    made = sign(key_of(SIGNING_SECRET), headers["webhook-id"], "1614265330", body)
    then = datetime.fromtimestamp(1614265330, UTC)

    assert made == expected
    assert keys.fault(headers, body, then, 300) is None
    assert keys.fault(headers, body + b" ", then, 300) == "signature_wrong"


def test_a_webhook_s_secret_may_come_without_its_prefix_and_its_padding() -> None:
    assert key_of(SIGNING_SECRET) == key_of(SIGNING_SECRET.removeprefix("whsec_"))
    assert key_of(OTHER_SECRET) == key_of(OTHER_SECRET.rstrip("="))


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_YQ==", "whsec_not base64 at all, is it", "whsec_Ü"]
)
def test_a_webhook_s_secret_that_is_no_key_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(ValueError, match=r"^it|its key") as refused:
        key_of(secret)
    assert secret == "" or secret not in str(refused.value)


def test_one_good_signature_among_several_lets_a_webhook_in(stage: Stage) -> None:
    answer = stage.post(signature(f"{WRONG} v2,x {GOOD} {WRONG}"))

    assert answer.status == 202


@pytest.mark.parametrize("secret", [SIGNING_SECRET, OTHER_SECRET])
def test_while_secrets_rotate_a_webhook_may_be_signed_with_either(
    secret: str, stage: Stage
) -> None:
    stage.door._key_ring = FakeKeyRing(signing=(OTHER_SECRET, SIGNING_SECRET))

    assert stage.post(event_of(told(), secret=secret)).status == 202


def test_while_static_secrets_rotate_a_webhook_may_bring_either(stage: Stage) -> None:
    stage.door._key_ring = FakeKeyRing(static=("the-new-one-of-two-secrets", STATIC_SECRET))

    assert stage.post(STATIC).status == 202


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_webhook_may_be_five_minutes_old_or_early(seconds: int, stage: Stage) -> None:
    assert stage.post(event_of(told(), timestamp=at(seconds))).status == 202


def test_a_webhook_is_signed_over_its_raw_bytes_whether_in_base64_or_not(stage: Stage) -> None:
    raw = b'{ "type":"customer.registered",\r\n "data":{"id":"\xc3\xa9 \\u00e9"} }'
    in_base64 = event_of(raw)
    as_text = in_base64 | {"body": raw.decode(), "isBase64Encoded": False}

    assert [stage.post(event).status for event in (in_base64, as_text)] == [202, 202]
    assert stage.ids == ["é é", "é é"]


def test_a_webhook_s_header_names_may_be_written_in_any_case(stage: Stage) -> None:
    event = event_of(told())
    loud = {name.upper(): value for name, value in event["headers"].items()}

    assert stage.post(event | {"headers": loud}).status == 202


# --------------------------------------------------------------------- 404, 405, 413, 415 and 503


UNKNOWN_PATHS = (
    "/webhooks/refund-paid",
    "/webhooks/Customer-Registered",
    "/webhooks/customer_registered",
    "/webhooks/",
    "/webhooks",
    "/",
    "",
    None,
    f"{PATH}/",
    f"{PATH}/x",
)


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_webhook_of_an_unknown_trigger_is_not_found(
    path: str | None, method: str, stage: Stage
) -> None:
    answer = stage.post(event_of(told()) | {"path": path, "httpMethod": method})

    assert (answer.status, content(answer)) == (404, {"error": "unknown_trigger"})
    # The path is the sender's: it stands in no log.
    assert answer.log == {"answer": 404}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD", "post", ""])
def test_a_webhook_is_posted_or_refused_with_what_is_allowed(method: str, stage: Stage) -> None:
    answer = stage.post(event_of(told()) | {"httpMethod": method})

    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("type_", ["", "text/plain", "application/x-www-form-urlencoded", "json"])
def test_a_webhook_that_is_not_json_is_refused_by_its_type(type_: str, stage: Stage) -> None:
    answer = stage.post(event_of(told(), Content_Type=type_))

    assert answer.status == 415


@pytest.mark.parametrize("type_", ["application/json; charset=utf-8", "Application/JSON"])
def test_a_webhook_s_type_may_have_parameters(type_: str, stage: Stage) -> None:
    assert stage.post(event_of(told(), Content_Type=type_)).status == 202


def test_a_webhook_may_be_as_large_as_allowed_and_not_a_byte_larger(stage: Stage) -> None:
    body = told() | {"x": ""}
    body["x"] = "y" * (LARGEST - len(json.dumps(body)))
    larger = body | {"x": body["x"] + "y"}

    answers = [
        stage.post(event | {"body": text, "isBase64Encoded": in_base64})
        for each in (body, larger)
        for event in [event_of(each)]
        for text, in_base64 in ((event["body"], True), (json.dumps(each), False))
    ]

    assert [answer.status for answer in answers] == [202, 202, 413, 413]


def test_a_webhook_s_size_is_counted_in_bytes(stage: Stage) -> None:
    event = event_of("é" * (LARGEST // 2 + 1))

    assert stage.post(event).status == 413
    assert stage.post(event | {"body": "x" * 10_000_000}).status == 413


@pytest.mark.parametrize("which", ["queues", "key_ring"])
def test_a_webhook_that_cannot_be_kept_is_to_be_sent_again(which: str, stage: Stage) -> None:
    getattr(stage, which).fault = "queue_unreachable"

    answer = stage.post(event_of(told("Thandi")))

    assert (answer.status, content(answer)) == (503, {"error": "try_again"})
    assert answer.headers["Retry-After"] == "30"
    assert answer.log == {
        "trigger": "customer-registered",
        "answer": 503,
        "why": "queue_unreachable",
    }


def test_whoever_is_not_known_learns_nothing_of_queues_that_are_out_of_reach(stage: Stage) -> None:
    stage.queues.fault = "queue_unreachable"

    assert stage.post(FAULTS["wrong signature"][0]).status == 401


# ------------------------------------------------------------------------------------- the handler


@pytest.fixture
def handler(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The function, with the stage's door behind it."""
    monkeypatch.setattr(bootstrap, "webhook", lambda: stage.door)
    return webhook_function()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", written)
    return written


def test_the_webhook_function_answers_what_api_gateway_wants(
    handler: Callable[[dict[str, Any]], dict[str, Any]], log: io.StringIO
) -> None:
    assert handler(event_of(told())) == {
        "statusCode": 202,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": '{"accepted": true}',
        "isBase64Encoded": False,
    }
    assert log.getvalue()


def test_nothing_of_a_webhook_is_logged_but_its_trigger_the_answer_and_hashes(
    handler: Callable[[dict[str, Any]], dict[str, Any]], log: io.StringIO
) -> None:
    for body in (told("Thandi-Nkosi"), {"type": "Thandi-Nkosi", "data": {"Thandi-Nkosi": 1}}):
        handler(event_of(body, message_id="msg_Thandi-Nkosi", x_webhook_secret="Thandi-Nkosi"))
    handler(event_of(told(), webhook_signature="v1,Thandi-Nkosi"))
    handler(event_of(told()) | {"path": "/webhooks/Thandi-Nkosi"})

    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    event = hashlib.sha256(b"msg_Thandi-Nkosi").hexdigest()
    record = hashlib.sha256(b"customer:Thandi-Nkosi").hexdigest()
    names = ("trigger", "answer", "why", "event", "record")
    assert [tuple(line.get(name) for name in names) for line in lines] == [
        ("customer-registered", 202, None, event, record),
        ("customer-registered", 400, "type,data.id", event, None),
        ("customer-registered", 401, "signature_wrong", None, None),
        (None, 404, None, None, None),
    ]
    assert {line["message"] for line in lines} == {"webhook answered"}
    assert "Thandi" not in log.getvalue()


def test_the_webhook_function_imports_neither_the_database_nor_zoho() -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import app; print(*sys.modules)"
    imported = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "functions" / "webhook")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    roots = {name.partition(".")[0] for name in imported}
    assert not roots & {"sqlalchemy", "psycopg", "alembic", "httpx", "httpcore", "boto3"}
    # What is imported when the first request comes is no more than that.
    assert "billing_sync.ports" not in imported
    assert "billing_sync.config" not in imported


def test_the_webhook_s_door_is_made_without_the_database_and_zoho() -> None:
    program = """
import sys
from billing_sync import bootstrap
container = bootstrap.Container({
    "WEBHOOK_SECRET_ARN": "arn",
    **{f"QUEUE_URL_{name}": "https://sqs.test/1/q" for name in (
        "CUSTOMER_REGISTERED", "SERVICE_ACTIVATED", "INVOICE_GENERATED", "PAYMENT_COMPLETED")},
})
container.door
print(*sys.modules)
"""
    imported = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()

    assert "billing_sync.services.door" in imported
    roots = {name.partition(".")[0] for name in imported}
    assert not roots & {"sqlalchemy", "psycopg", "alembic", "httpx", "httpcore", "boto3"}


# -------------------------------------------------------------------------------------- settings

ENVIRONMENT = {
    "WEBHOOK_SECRET_ARN": "arn:aws:secretsmanager:af-south-1:000000000000:secret:webhook",
    "QUEUE_URL_CUSTOMER_REGISTERED": "https://sqs.test/1/customers",
    "QUEUE_URL_SERVICE_ACTIVATED": "https://sqs.test/1/services",
    "QUEUE_URL_INVOICE_GENERATED": "https://sqs.test/1/invoices",
    "QUEUE_URL_PAYMENT_COMPLETED": "https://sqs.test/1/payments",
}


def test_the_webhook_s_settings_know_a_queue_for_each_trigger() -> None:
    settings = WebhookSettings.from_environment(ENVIRONMENT)

    assert settings.queue_urls == {
        Trigger.CUSTOMER_REGISTERED: "https://sqs.test/1/customers",
        Trigger.SERVICE_ACTIVATED: "https://sqs.test/1/services",
        Trigger.INVOICE_GENERATED: "https://sqs.test/1/invoices",
        Trigger.PAYMENT_COMPLETED: "https://sqs.test/1/payments",
    }
    assert settings.webhook_tolerance_seconds == 300
    assert settings.webhook_largest_body_bytes == LARGEST


def test_the_webhook_s_settings_name_what_is_missing() -> None:
    with pytest.raises(Misconfigured, match="QUEUE_URL_PAYMENT_COMPLETED"):
        WebhookSettings.from_environment({**ENVIRONMENT, "QUEUE_URL_PAYMENT_COMPLETED": ""})


# ------------------------------------------------------------------------- SQS and the secret


@pytest.fixture
def aws() -> Iterator[Callable[[str], tuple[Any, Stubber]]]:
    """Make a real client that answers from a list, and nothing from the network."""
    made: list[tuple[Any, Stubber]] = []

    def make(service: str) -> tuple[Any, Stubber]:
        client = get_session().create_client(
            service,
            region_name="af-south-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        stub = Stubber(client)
        stub.activate()
        made.append((client, stub))
        return client, stub

    yield make
    for client, stub in made:
        stub.assert_no_pending_responses()
        client.close()


Aws = Callable[[str], tuple[Any, Stubber]]
URLS = WebhookSettings.from_environment(ENVIRONMENT).queue_urls


def test_a_webhook_s_message_is_the_trigger_and_the_id_and_its_attribute_a_hash(aws: Aws) -> None:
    client, stub = aws("sqs")
    stub.add_response(
        "send_message",
        {"MessageId": "1"},
        {
            "QueueUrl": "https://sqs.test/1/invoices",
            "MessageBody": '{"trigger":"invoice-generated","id":"42"}',
            "MessageAttributes": {"event": {"DataType": "String", "StringValue": "ab12"}},
        },
    )

    SqsQueues(URLS, client).wake(WakeUp(trigger=Trigger.INVOICE_GENERATED, id="42"), "ab12")


@pytest.mark.parametrize("code", ["AccessDenied", "QueueDoesNotExist", "ThrottlingException"])
def test_a_webhook_s_queue_that_refuses_is_out_of_reach(code: str, aws: Aws) -> None:
    client, stub = aws("sqs")
    stub.add_client_error("send_message", code)

    with pytest.raises(Unreachable) as failed:
        SqsQueues(URLS, client).wake(WakeUp(trigger=Trigger.INVOICE_GENERATED, id="42"), "ab12")
    assert failed.value.code == "queue_unreachable"


class NotThere:
    """Nobody answers."""

    def send_message(self, **_given: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://sqs.test")

    def get_secret_value(self, **_given: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://secretsmanager.test")


def test_a_webhook_s_queue_and_secret_that_nobody_answers_for_are_out_of_reach() -> None:
    with pytest.raises(Unreachable, match="queue_unreachable"):
        SqsQueues(URLS, NotThere()).wake(WakeUp(trigger=Trigger.INVOICE_GENERATED, id="42"), "ab")
    with pytest.raises(Unreachable, match="secret_unreadable"):
        SecretKeyRing("arn", FakeClock().monotonic, NotThere()).keys()


def stored(stub: Stubber, text: str) -> None:
    stub.add_response("get_secret_value", {"SecretString": text}, {"SecretId": "arn"})


def test_a_rotated_webhook_secret_is_taken_up_in_two_minutes_and_not_read_before(aws: Aws) -> None:
    client, stub = aws("secretsmanager")
    stored(stub, json.dumps({"signing_secrets": [SIGNING_SECRET]}))
    stored(stub, json.dumps({"signing_secrets": [OTHER_SECRET], "static_secrets": [STATIC_SECRET]}))
    clock = FakeClock()
    ring = SecretKeyRing("arn", clock.monotonic, client)

    first = ring.keys()
    clock.advance(KEPT_SECONDS - 1)
    kept = ring.keys()
    clock.advance(1)
    second = ring.keys()

    assert first.signing == (key_of(SIGNING_SECRET),)
    assert kept is first
    assert second.signing == (key_of(OTHER_SECRET),)
    assert len(second.static_digests) == 1


def test_a_webhook_secret_that_cannot_be_read_again_is_used_no_longer(aws: Aws) -> None:
    client, stub = aws("secretsmanager")
    stored(stub, json.dumps({"signing_secrets": [SIGNING_SECRET]}))
    stub.add_client_error("get_secret_value", "AccessDeniedException")
    stored(stub, json.dumps({"signing_secrets": [OTHER_SECRET]}))
    clock = FakeClock()
    ring = SecretKeyRing("arn", clock.monotonic, client)

    ring.keys()
    clock.advance(KEPT_SECONDS)
    with pytest.raises(Unreachable, match="secret_unreadable"):
        ring.keys()

    assert ring.keys().signing == (key_of(OTHER_SECRET),)


@pytest.mark.parametrize("text", [" ", "{}", '{"signing_secrets": [], "static_secrets": []}'])
def test_a_webhook_secret_that_was_never_filled_in_knows_nobody(text: str, aws: Aws) -> None:
    client, stub = aws("secretsmanager")
    stored(stub, text)

    assert SecretKeyRing("arn", FakeClock().monotonic, client).keys() == SenderKeys()


@pytest.mark.parametrize(
    "text",
    [
        "whsec_",
        "[]",
        '{"signing_secrets": "whsec_"}',
        '{"signing_secrets": ["whsec_no base64"]}',
        '{"signing_secrets": [""]}',
        '{"static_secrets": [""]}',
        '{"static_secrets": ["short"]}',
    ],
)
def test_a_webhook_secret_that_is_no_key_closes_the_door_for_everybody(text: str, aws: Aws) -> None:
    client, stub = aws("secretsmanager")
    stored(stub, text)

    with pytest.raises(Unreachable) as failed:
        SecretKeyRing("arn", FakeClock().monotonic, client).keys()
    assert failed.value.code == "secret_malformed"
    assert failed.value.__suppress_context__


def test_keys_of_webhooks_do_not_show_in_what_is_printed() -> None:
    secrets = SenderSecrets(signing_secrets=(SIGNING_SECRET,), static_secrets=(STATIC_SECRET,))
    keys = SenderKeys.of(secrets)

    assert (repr(secrets), repr(keys)) == ("SenderSecrets()", "SenderKeys()")
    assert STATIC_SECRET not in repr(WebRequest.of(STATIC))
