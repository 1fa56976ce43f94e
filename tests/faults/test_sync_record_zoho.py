"""Zoho's bad days, over HTTP: whatever becomes of an answer, each customer is there once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Priority, RecordKey
from ops.fake_zoho import (
    AnswerDelayed,
    AnswerLost,
    BadGateway,
    CodeNotZero,
    DeadToken,
    FiltersIgnored,
    InternalError,
    SeedCustomer,
    Throttled,
    TruncatedJson,
    WithoutId,
)
from ops.fake_zoho.faults import AnyFault
from ops.local_stack.postgres import Database
from tests.records import calls, closed_as, intents, make_due
from tests.world import World, world

JOHAN = "CT-2025-00004"
AFTER_THE_LAG = 10  # of the index, in Zoho's seconds


@pytest.fixture
def w(database: Database) -> Iterator[World]:
    with world(database, HTTP_DEADLINE_SECONDS="0.5") as made:
        made.worker.take_snapshot.young_snapshot()
        yield made


def johan(w: World) -> RecordKey:
    return w.customer(JOHAN)


def prove(w: World) -> None:
    w.zoho.control.advance_clock(AFTER_THE_LAG)
    make_due(w.database, johan(w))
    w.sync(JOHAN)


def fill_a_page_with_older_customers(w: World) -> None:
    year_2024 = datetime(2024, 2, 1, tzinfo=UTC)
    w.zoho.control.seed(
        [
            SeedCustomer(profile={"display_name": f"Customer {number}"}, created_time=year_2024)
            for number in range(205)
        ]
    )


def take_the_order_off(request: httpx.Request) -> None:
    request.url = request.url.copy_remove_param("sort_order").copy_remove_param("sort_column")


def lose(w: World) -> None:
    w.zoho.control.arm(AnswerLost(operation="create_customer"))
    assert w.sync(JOHAN).state is State.IN_DOUBT


COMMITTED: list[AnyFault] = [
    AnswerLost(operation="create_customer"),
    AnswerDelayed(operation="create_customer", delay_seconds=2),
    BadGateway(operation="create_customer", commits=True),
    InternalError(operation="create_customer", commits=True),
    TruncatedJson(operation="create_customer"),
    WithoutId(operation="create_customer"),
]
NOT_COMMITTED: list[AnyFault] = [
    BadGateway(operation="create_customer"),
    InternalError(operation="create_customer"),
]


@pytest.mark.parametrize("fault", COMMITTED, ids=lambda fault: fault.kind)
def test_a_create_that_was_done_without_a_readable_answer_is_proved_and_adopted(
    w: World, fault: AnyFault
) -> None:
    w.zoho.control.arm(fault)

    assert w.sync(JOHAN).state is State.IN_DOUBT
    assert w.record(JOHAN).zoho_id is None
    [intent] = intents(w.database, johan(w))
    due = intent.sent_at + timedelta(seconds=w.worker.timing.proof_due_seconds)
    assert w.record(JOHAN).next_attempt_at >= due
    prove(w)

    [customer] = w.in_zoho(JOHAN)
    assert (w.record(JOHAN).state, w.record(JOHAN).zoho_id) == ("synced", customer["customer_id"])
    assert calls(w.zoho).count("create_customer") == 1


@pytest.mark.parametrize("fault", NOT_COMMITTED, ids=lambda fault: fault.kind)
def test_a_create_that_was_not_done_is_proved_absent_and_sent_again(
    w: World, fault: AnyFault
) -> None:
    w.zoho.control.arm(fault)

    assert w.sync(JOHAN).state is State.IN_DOUBT
    prove(w)
    assert w.record(JOHAN).state == "pending"
    w.sync(JOHAN)

    assert len(w.in_zoho(JOHAN)) == 1
    assert closed_as(w.database, johan(w)) == ["absent", "answered"]


def test_a_success_that_says_it_is_none_is_a_refusal(w: World) -> None:
    w.zoho.control.arm(CodeNotZero(operation="create_customer"))

    assert w.sync(JOHAN).state is State.FAILED
    assert w.record(JOHAN).code == "zoho_1000"


@pytest.mark.parametrize("done", [True, False], ids=["applied", "not applied"])
def test_an_update_whose_answer_was_lost_is_proved_by_reading_the_customer(
    w: World, done: bool
) -> None:
    w.sync(JOHAN)
    w.zoho.control.arm(BadGateway(operation="update_customer", commits=done))
    w.sql("UPDATE customers SET phone = '+27215550000' WHERE account_number = :a", a=JOHAN)
    w.worker.records.signal(johan(w))
    assert w.sync(JOHAN).state is State.IN_DOUBT
    asked = len(calls(w.zoho))

    prove(w)
    w.sync(JOHAN)

    repeated = [] if done else ["update_customer"]
    assert calls(w.zoho)[asked:] == ["get_customer", *repeated]
    assert w.record(JOHAN).state == "synced"
    assert w.in_zoho(JOHAN)[0]["phone"] == "+27215550000"


def test_a_token_that_dies_under_a_create_makes_one_customer_with_two_intents(w: World) -> None:
    w.zoho.control.arm(DeadToken(operation="create_customer"))

    assert w.sync(JOHAN).state is State.SYNCED
    assert closed_as(w.database, johan(w)) == ["refused", "answered"]
    assert len(w.in_zoho(JOHAN)) == 1


@pytest.mark.parametrize("code", [44, 45, 1070, 9999])
def test_a_429_of_any_code_uses_up_no_attempt_and_makes_one_customer(w: World, code: int) -> None:
    w.zoho.control.arm(Throttled(operation="create_customer", code=code))

    outcome = w.sync(JOHAN)

    assert (outcome.state, w.record(JOHAN).attempt_number) == (State.RETRYING, 0)
    assert outcome.wait is not None
    assert closed_as(w.database, johan(w)) == ["refused"]
    assert w.in_zoho(JOHAN) == []


def test_what_a_proof_found_twice_is_not_made_once_more_from_an_older_snapshot(w: World) -> None:
    lose(w)
    by_hand = {
        "display_name": "Johan, by hand",
        "custom_fields": [{"label": "Account Number", "value": JOHAN}],
    }
    now = datetime.now(UTC)
    [stranger] = w.zoho.control.seed([SeedCustomer(profile=by_hand, created_time=now)])
    prove(w)
    assert (w.record(JOHAN).state, w.record(JOHAN).code) == ("ambiguous", "duplicate")
    candidates = w.record(JOHAN).candidates

    w.sql("UPDATE customers SET phone = '+27215559999' WHERE account_number = :a", a=JOHAN)
    w.worker.records.signal(johan(w))
    w.zoho.control.arm(Throttled(operation="list_customers"))
    assert w.sync(JOHAN).state is State.RETRYING
    make_due(w.database, johan(w))
    w.sql("UPDATE billing_sync.quota SET blocked_until = NULL")
    outcome = w.sync(JOHAN)

    assert (outcome.state, outcome.code) == (State.AMBIGUOUS, "duplicate")
    assert w.record(JOHAN).candidates == candidates
    assert calls(w.zoho).count("create_customer") == 1
    # Once a person has cleared up, what is left is linked.
    w.zoho.fake.organisation().customers.delete(stranger)
    w.worker.operations.retry(
        EntityType.CUSTOMER, ids=[], states=[State.AMBIGUOUS], code=None, by="thandi"
    )
    assert w.sync(JOHAN).change == "linked"
    assert w.record(JOHAN).zoho_id == w.in_zoho(JOHAN)[0]["customer_id"]


# ----------------------------------------------------------------------------- what proves nothing


def test_a_proof_trusts_no_filter(w: World) -> None:
    """Zoho ignores filters that it does not know, or not yet: the first stranger is not ours."""
    for number in range(3):
        permit = w.worker.quota.take(Priority.TRIGGER)
        w.worker.api.create_customer({"display_name": f"Stranger {number}"}, permit=permit)
    lose(w)
    w.zoho.control.arm(FiltersIgnored(operation="list_customers", count=None))

    prove(w)

    [customer] = w.in_zoho(JOHAN)
    assert w.record(JOHAN).zoho_id == customer["customer_id"]
    assert [one["_writes"] for one in w.zoho.control.customers()] == [1] * 4


def test_a_list_that_cannot_be_read_proves_nothing(w: World) -> None:
    lose(w)
    w.zoho.control.arm(BadGateway(operation="list_customers"))

    prove(w)

    assert (w.record(JOHAN).state, w.record(JOHAN).code) == ("in_doubt", "not_proved_yet")
    assert closed_as(w.database, johan(w)) == [None]


def test_a_detail_that_cannot_be_read_proves_nothing(w: World) -> None:
    lose(w)
    w.zoho.control.arm(BadGateway(operation="get_customer"))

    prove(w)

    assert w.record(JOHAN).state == "in_doubt"
    assert closed_as(w.database, johan(w)) == [None]


def test_a_proof_that_needs_more_calls_than_a_minute_has_goes_on_where_it_stopped(
    w: World,
) -> None:
    lose(w)
    imported = w.zoho.control.seed(
        [
            SeedCustomer(profile={"display_name": f"Import {n}"}, created_time=datetime.now(UTC))
            for n in range(8)
        ]
    )
    w.worker.quota.configure(4, 100_000, 5)

    minutes = 0
    while w.record(JOHAN).state == "in_doubt" and minutes < 10:
        minutes += 1
        w.sql("DELETE FROM billing_sync.permits")
        w.sql("UPDATE billing_sync.quota SET backfill_next_at = NULL")
        prove(w)

    assert w.record(JOHAN).state == "synced"
    assert minutes > 1
    read = [entry.path for entry in w.zoho.control.log() if entry.operation == "get_customer"]
    assert [sum(path.endswith(zoho_id) for path in read) for zoho_id in imported] == [1] * 8
    assert calls(w.zoho).count("create_customer") == 1


def test_a_list_in_another_order_is_read_to_its_end(w: World) -> None:
    """Should Zoho ignore the sort order, the newest customer stands on the last page."""
    fill_a_page_with_older_customers(w)
    lose(w)
    asked = len(calls(w.zoho))
    w.worker.http.event_hooks = {"request": [take_the_order_off]}

    prove(w)

    assert w.record(JOHAN).state == "synced"
    assert calls(w.zoho)[asked:] == ["list_customers", "list_customers", "get_customer"]


def test_in_the_order_that_was_asked_for_one_page_is_enough(w: World) -> None:
    fill_a_page_with_older_customers(w)
    lose(w)
    asked = len(calls(w.zoho))

    prove(w)

    assert calls(w.zoho)[asked:] == ["list_customers", "get_customer"]
