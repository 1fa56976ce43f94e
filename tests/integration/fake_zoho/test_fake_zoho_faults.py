"""Faults on demand: what the caller sees, and what Zoho holds afterwards."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ops.fake_zoho import (
    AnswerDelayed,
    AnswerLost,
    BadGateway,
    CodeNotZero,
    CommitDelayed,
    DeadToken,
    FieldAltered,
    InternalError,
    Refused,
    RunningFake,
    Throttled,
    TruncatedJson,
    WithoutId,
)

type Mint = Callable[..., httpx.Response]

SOMEBODY = {"display_name": "Shaun Ríos (CT-2025-00012)", "email": "shaun@mail.example"}


def _held(zoho: RunningFake) -> int:
    return len(zoho.control.customers())


def _wait_for(condition: Callable[[], bool], seconds: float = 5) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.01)


def test_answer_lost_after_the_commit(zoho: RunningFake, api: httpx.Client) -> None:
    fault = zoho.control.arm(AnswerLost(operation="create_customer"))
    api.get("/customers")

    with pytest.raises(httpx.RemoteProtocolError):
        api.post("/customers", json=SOMEBODY)

    assert _held(zoho) == 1
    (lost,) = zoho.control.log(operation="create_customer")
    assert (lost.status, lost.fault) == (None, "answer_lost")
    assert lost.ended is not None
    assert zoho.control.faults_met() == {fault: 1}
    assert api.post("/customers", json=SOMEBODY).status_code == 201


def test_commit_happens_after_the_caller_gave_up(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.arm(CommitDelayed(operation="create_customer", delay_seconds=0.4))

    with pytest.raises(httpx.ReadTimeout):
        api.post("/customers", json=SOMEBODY, timeout=0.1)

    assert _held(zoho) == 0
    _wait_for(lambda: _held(zoho) == 1)
    (entry,) = zoho.control.log(operation="create_customer")
    assert entry.status is None


def test_commit_happens_after_the_connection_dropped(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.arm(CommitDelayed(operation="create_customer", delay_seconds=0.3, hang=False))

    with pytest.raises(httpx.RemoteProtocolError):
        api.post("/customers", json=SOMEBODY)

    assert _held(zoho) == 0
    _wait_for(lambda: _held(zoho) == 1)


def test_caller_patient_enough_gets_the_answer_of_a_delayed_commit(
    zoho: RunningFake, api: httpx.Client
) -> None:
    zoho.control.arm(CommitDelayed(operation="create_customer", delay_seconds=0.1))

    assert api.post("/customers", json=SOMEBODY).status_code == 201
    assert _held(zoho) == 1


def test_reset_forgets_commits_to_come(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.arm(CommitDelayed(operation="create_customer", delay_seconds=0.2, hang=False))
    with pytest.raises(httpx.RemoteProtocolError):
        api.post("/customers", json=SOMEBODY)

    zoho.control.reset()
    time.sleep(0.3)

    assert _held(zoho) == 0


def test_late_answer_comes_after_the_commit(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.arm(AnswerDelayed(operation="create_customer", delay_seconds=0.3))

    with pytest.raises(httpx.ReadTimeout):
        api.post("/customers", json=SOMEBODY, timeout=0.1)

    assert _held(zoho) == 1


@pytest.mark.parametrize("commits", [False, True])
def test_bad_gateway_is_a_page_of_html(
    zoho: RunningFake, api: httpx.Client, *, commits: bool
) -> None:
    zoho.control.arm(BadGateway(commits=commits))

    answer = api.post("/customers", json=SOMEBODY)

    assert answer.status_code == 502
    assert answer.headers["content-type"].startswith("text/html")
    assert _held(zoho) == int(commits)


def test_internal_error_has_code_1000(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.arm(InternalError())

    answer = api.post("/customers", json=SOMEBODY)

    assert (answer.status_code, answer.json()["code"]) == (500, 1000)
    assert _held(zoho) == 0


def test_truncated_json_has_a_good_status(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.arm(TruncatedJson())

    answer = api.post("/customers", json=SOMEBODY)

    assert answer.status_code == 201
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert _held(zoho) == 1


def test_good_status_with_a_code_that_is_not_zero(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.arm(CodeNotZero())

    answer = api.post("/customers", json=SOMEBODY)

    assert (answer.status_code, answer.json()["code"]) == (200, 1000)
    assert _held(zoho) == 0


def test_good_answer_without_the_id(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.arm(WithoutId())

    answer = api.post("/customers", json=SOMEBODY)

    assert (answer.status_code, answer.json()["code"]) == (201, 0)
    assert "customer_id" not in answer.json()["customer"]
    assert zoho.control.customers()[0]["customer_id"]


@pytest.mark.parametrize("code", [44, 45, 1070, 4711])
def test_each_429_on_demand(zoho: RunningFake, api: httpx.Client, code: int) -> None:
    zoho.control.arm(Throttled(code=code, count=2))

    answers = [api.post("/customers", json=SOMEBODY) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [429, 429, 201]
    assert [answer.json()["code"] for answer in answers[:2]] == [code, code]
    assert _held(zoho) == 1
    assert zoho.control.counters().http_429 == {code: 2}


@pytest.mark.parametrize(("status", "code"), [(400, 120129), (401, 57)])
def test_each_refusal_on_demand(
    zoho: RunningFake, api: httpx.Client, status: int, code: int
) -> None:
    zoho.control.arm(Refused(status=status, code=code))

    refused, taken = (api.post("/customers", json=SOMEBODY) for _ in range(2))

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert taken.status_code == 201
    assert _held(zoho) == 1


def test_tokens_die_in_the_middle(zoho: RunningFake, api: httpx.Client, mint: Mint) -> None:
    zoho.control.arm(DeadToken(operation="create_customer", skip=2))

    answers = [api.post("/customers", json=SOMEBODY) for _ in range(4)]
    api.headers["Authorization"] = f"Bearer {mint().json()['access_token']}"
    answers.append(api.post("/customers", json=SOMEBODY))

    assert [answer.status_code for answer in answers] == [201, 201, 401, 401, 201]
    assert answers[2].json()["code"] == 57
    assert _held(zoho) == 3


def test_access_tokens_can_be_revoked_at_once(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.revoke_access_tokens()

    assert api.get("/customers").json()["code"] == 57


@pytest.mark.parametrize(
    ("alteration", "kept"),
    [
        (FieldAltered(keep_characters=5), "Shaun"),
        (FieldAltered(value="Someone Else"), "Someone Else"),
        (FieldAltered(), "Shaun Ríos (C"),
    ],
)
def test_field_is_kept_otherwise_than_sent(
    zoho: RunningFake, api: httpx.Client, alteration: FieldAltered, kept: str
) -> None:
    zoho.control.arm(alteration)

    answer = api.post("/customers", json=SOMEBODY)

    assert answer.json()["customer"]["display_name"] == kept
    assert zoho.control.customers()[0]["display_name"] == kept


def test_fault_is_for_the_record_it_was_armed_for(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.arm(InternalError(display_name_contains="CT-2025-00012", count=None))

    others = api.post("/customers", json={"display_name": "Other (CT-2025-00013)"})
    theirs = [api.post("/customers", json=SOMEBODY).status_code for _ in range(3)]
    zoho.control.clear_faults()

    assert others.status_code == 201
    assert theirs == [500, 500, 500]
    assert api.post("/customers", json=SOMEBODY).status_code == 201


def test_faults_of_api_calls_leave_token_requests_alone(zoho: RunningFake, mint: Mint) -> None:
    fault = zoho.control.arm(Throttled())

    assert "access_token" in mint().json()
    assert zoho.control.faults_met() == {fault: 0}


def test_latency_lies_within_its_range(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.switch(latency_ms=(60, 80))
    started = time.monotonic()

    for _ in range(3):
        api.get("/customers")

    assert 0.18 <= time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ({"kind": "nonsense"}, "kind"),
        ({"kind": "answer_lost", "operation": "create_custommer"}, "create_custommer"),
        ({"kind": "answer_lost", "count": 0}, "count"),
        ({"kind": "throttled", "operation": "mint_token"}, "throttled"),
    ],
)
def test_fault_that_could_never_happen_is_not_armed(
    zoho: RunningFake, fault: dict[str, Any], word: str
) -> None:
    answer = httpx.post(f"{zoho.url}/_fake/faults", json=fault)

    assert answer.status_code == 400
    assert word in answer.text
    assert zoho.control.faults_met() == {}
