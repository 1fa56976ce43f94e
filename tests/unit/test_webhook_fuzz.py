"""The webhooks' door under whatever may knock: it never fails, and queues nothing invalid.

A thousand requests in every run of the tests; twenty thousand with `make fuzz`.
"""

import base64
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from billing_sync import bootstrap
from billing_sync.domain.signatures import key_of, sign
from billing_sync.domain.triggers import LONGEST_ID, TYPES_OF_TRIGGER, Trigger, WakeUp
from billing_sync.observability import logger
from billing_sync.services.door import Door
from tests.fakes.clock import START, FakeClock
from tests.fakes.queues import SIGNING_SECRET, STATIC_SECRET, FakeKeyRing, FakeQueues
from tests.webhook_function import webhook_function

settings.register_profile("webhook", max_examples=1_000, deadline=None, print_blob=True)
settings.register_profile("nightly", settings.get_profile("webhook"), max_examples=20_000)
PROFILE = settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "webhook"))

LARGEST = 4096
"""Small, so that bodies that are too large are drawn, too."""
NOW = int(START.timestamp())
KEY = key_of(SIGNING_SECRET)
FIELDS = {
    "body", "type", "data", "data.id", "table", "schema", "record", "record.id", "old_record",
    "old_record.id",
}  # fmt: skip

# Lone surrogates, too: JSON can write them, and API Gateway hands on what it was given.
any_text = st.text(st.characters(codec=None), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=4,
)
ids = (
    st.integers()
    | st.sampled_from(["42", "", " 42", "4\n2", "x" * LONGEST_ID, "x" * (LONGEST_ID + 1), 10**100])
    | st.text(max_size=LONGEST_ID + 1)
    | json_values
)
types = (
    st.sampled_from([type_ for types in TYPES_OF_TRIGGER.values() for type_ in types]) | any_text
)
events = st.fixed_dictionaries(
    {}, optional={"type": types, "data": st.fixed_dictionaries({}, optional={"id": ids})}
)
columns = st.sampled_from(["phone", "zoho_sync_status", "zoho_", "updated_at"]) | any_text
rows = st.builds(
    lambda row, more: row | more,
    st.dictionaries(columns, json_values, max_size=4),
    st.fixed_dictionaries({}, optional={"id": ids}),
)
row_changes = st.fixed_dictionaries(
    {"type": st.sampled_from(["INSERT", "UPDATE", "DELETE"])},
    optional={
        "table": st.just("customers") | json_values,
        "schema": st.just("public") | json_values,
        "record": rows | json_values,
        "old_record": rows | json_values,
    },
)
whole_events = st.builds(
    lambda type_, record_id: {"type": type_, "data": {"id": record_id}},
    st.sampled_from([type_ for types in TYPES_OF_TRIGGER.values() for type_ in types]),
    st.integers() | st.text(min_size=1, max_size=LONGEST_ID),
)
whole_row_changes = st.builds(
    lambda type_, row, old, record_id: {
        "type": type_,
        "table": "t",
        "schema": "s",
        "record": row | {"id": record_id},
        "old_record": old | {"id": record_id},
    },
    st.sampled_from(["INSERT", "UPDATE", "DELETE"]),
    rows,
    rows,
    st.integers() | st.text(min_size=1, max_size=LONGEST_ID),
)
good_bodies = st.one_of(whole_events, whole_row_changes).map(
    lambda value: json.dumps(value).encode()
)
odd_bodies = st.one_of(
    st.binary(max_size=200),
    st.binary(min_size=1, max_size=8).map(lambda piece: piece * (LARGEST // 4)),
    st.sampled_from([b"[" * 4000, b'{"a":' * 800, b"9" * 4000, b'{"type":' + b"9" * 4000 + b"}"]),
    any_text.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.one_of(json_values, events, row_changes).map(lambda value: json.dumps(value).encode()),
    st.one_of(whole_events, whole_row_changes).map(
        lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    ),
)


def mostly[T](usual: st.SearchStrategy[T], odd: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Draw what is usual nine times in ten: else hardly a request passes the first check."""
    return st.sampled_from([usual] * 9 + [odd]).flatmap(lambda each: each)


paths: st.SearchStrategy[str | None] = mostly(
    st.sampled_from([f"/webhooks/{trigger}" for trigger in Trigger]),
    st.sampled_from(["/", "/webhooks/", "/webhooks/refund", "/webhooks/customer-registered/x"])
    | any_text.map(lambda name: f"/webhooks/{name}")
    | any_text
    | st.none(),
)
methods = mostly(
    st.just("POST"), st.sampled_from(["GET", "PUT", "DELETE", "HEAD", "post", ""]) | any_text
)
content_types = mostly(
    st.sampled_from(["application/json", "application/json;charset=utf-8"]),
    st.just("text/plain") | any_text,
)
header_names = (
    st.sampled_from(
        ["webhook-id", "Webhook-Timestamp", "webhook-signature", "X-Webhook-Secret", "Accept"]
    )
    | any_text
)
header_values = (
    any_text
    | st.integers().map(str)
    | st.just(str(NOW))
    | any_text.map(lambda signature: f"v1,{signature} v1,")
)
many_headers = st.dictionaries(header_names, header_values, max_size=3)


@dataclass(frozen=True)
class Knock:
    """A request, and whether its sender is one who may come in."""

    event: dict[str, Any]
    is_known: bool


@st.composite
def knocks(draw: st.DrawFn) -> Knock:
    body = draw(good_bodies if draw(st.booleans()) else odd_bodies)
    headers = {"Content-Type": draw(content_types)} | draw(many_headers)
    sender = draw(st.sampled_from(["signing", "signing", "static", "nobody", "late", "tampered"]))
    in_base64: bool = draw(st.booleans())
    if sender != "nobody":
        ours = ("webhook-id", "webhook-timestamp", "webhook-signature", "x-webhook-secret")
        headers = {name: value for name, value in headers.items() if name.lower() not in ours}
    if sender == "static":
        headers["X-Webhook-Secret"] = STATIC_SECRET
    elif sender != "nobody":
        # An id that is empty is none.
        message_id = draw(any_text) or "msg_1"
        timestamp = str(NOW + (301 if sender == "late" else draw(st.integers(-300, 300))))
        signed = body + b" " if sender == "tampered" else body
        headers |= {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": sign(KEY, message_id, timestamp, signed),
        }
    text, as_sent = _written(body, in_base64=in_base64)
    if draw(mostly(st.just(False), st.just(True))):  # the flag says what is not so
        in_base64 = not in_base64
        as_sent = not body  # nothing is nothing, either way
    given_headers: dict[str, str] | None = headers
    if draw(mostly(st.just(False), st.just(True))):
        given_headers, sender = None, "nobody"
    return Knock(
        {
            "path": draw(paths),
            "httpMethod": draw(methods),
            "headers": given_headers,
            "body": text if text or draw(st.booleans()) else None,
            "isBase64Encoded": in_base64,
        },
        # Who brings a static secret is known by it, whatever became of the body.
        is_known=sender == "static" or (sender == "signing" and as_sent),
    )


def _written(body: bytes, *, in_base64: bool) -> tuple[str, bool]:
    """Write the body as API Gateway does; the second value says whether its bytes come back."""
    if in_base64:
        return base64.b64encode(body).decode(), True
    text = body.decode("utf-8", "replace")
    return text, text.encode() == body


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    """Let the function write its log nowhere: it is looked at in the door's own tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logger.registered_handler, "stream", io.StringIO())
        yield


@PROFILE
@given(knocks())
def test_whoever_knocks_at_the_webhook_never_breaks_it_nor_queues_anything_invalid(
    knock: Knock,
) -> None:
    queues = FakeQueues()
    door = Door(
        queues, FakeKeyRing(), FakeClock(), tolerance_seconds=300, largest_body_bytes=LARGEST
    )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "webhook", lambda: door)
        answer = json.loads(json.dumps(webhook_function()(knock.event)))

    status, told = answer["statusCode"], json.loads(answer["body"])
    event(f"answered {status}, {'known' if knock.is_known else 'not known'}")
    assert status in {202, 400, 401, 404, 405, 413, 415}
    if not knock.is_known:
        assert status not in {202, 400}
    if status == 202:
        assert told == {"accepted": True}
    if status == 400:
        assert told["error"] == "invalid_body"
        assert told["fields"]
        assert set(told["fields"]) <= FIELDS
    if status == 401:
        assert not knock.is_known or knock.event["isBase64Encoded"]
    assert status == 202 or queues.sent == []
    for wake_up, event_hash in queues.sent:
        assert knock.event["path"].endswith(f"/webhooks/{wake_up.trigger}")
        assert knock.event["httpMethod"] == "POST"
        # What stands on the queue is read back as what was meant; SQS takes no other characters.
        assert WakeUp.model_validate_json(wake_up.model_dump_json().encode()) == wake_up
        assert 1 <= len(wake_up.id) <= LONGEST_ID
        assert wake_up.id.isprintable()
        assert len(event_hash) == 64
        assert set(event_hash) <= set("0123456789abcdef")
