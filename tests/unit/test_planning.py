"""What a plan says of one record: its words, in the engine's own order."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing_sync.domain.errors import Unsendable
from billing_sync.domain.source import Invoice, Service
from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Planned, RecordKey, RecordView
from billing_sync.services.backfill.planning import (
    ACTIONS,
    CALLS,
    OTHER_CALLS,
    at_rest,
    before_zoho,
    calls_of,
    differing,
    is_to_do,
    of_found,
    of_step,
    worth,
)
from billing_sync.services.rules import Anew, Do, Done, Found, Source, Step, Stuck, Wait

NOON = datetime(2036, 3, 1, 12, tzinfo=UTC)
PRINT = "as it was"


def source(**given: Any) -> Source:
    return Source(None, NOON, PRINT, **given)


def view(state: State, **given: Any) -> RecordView:
    known: dict[str, Any] = {
        "zoho_id": None,
        "code": None,
        "field": None,
        "sentence": None,
        "candidates": (),
        "attempt_number": 0,
        "next_attempt_at": None,
        "confirmed_fingerprint": None,
        "attempted_fingerprint": None,
        "confirmed_fields": {},
        "source_version": None,
        "signals_waiting": False,
        "how": None,
    }
    return RecordView(RecordKey(EntityType.INVOICE, "1"), state, **known | given)


@pytest.mark.parametrize(
    ("state", "action"),
    [
        (State.SYNCED, "unchanged"),
        (State.SKIPPED, "skip"),
        (State.AMBIGUOUS, "ambiguous"),
        (State.FAILED, "fail"),
        (State.MISMATCH, "stays"),
        (State.EXHAUSTED, "stays"),
    ],
)
def test_what_rests_and_has_not_changed_is_named_as_it_rests(state: State, action: str) -> None:
    resting = view(state, confirmed_fingerprint=PRINT, attempted_fingerprint=PRINT, sentence="So.")

    assert at_rest(source(), resting) == (action, "So.")


@pytest.mark.parametrize(
    "stirred",
    [
        view(State.SYNCED, confirmed_fingerprint="another", attempted_fingerprint=PRINT),
        view(State.FAILED, attempted_fingerprint="another"),
        view(State.FAILED, attempted_fingerprint=PRINT, signals_waiting=True),
        view(State.RETRYING, attempted_fingerprint=PRINT),
        view(State.WAITING, attempted_fingerprint=PRINT),
        None,
    ],
)
def test_what_changed_or_was_asked_for_does_not_rest(stirred: RecordView | None) -> None:
    assert at_rest(source(), stirred) is None


def test_a_write_in_flight_goes_before_all_else() -> None:
    assert before_zoho(source(skip="zero amount"), view(State.IN_DOUBT)) == (
        "prove",
        "a write to Zoho is in flight",
    )


def test_what_our_rules_leave_out_or_refuse_says_why() -> None:
    refused = Unsendable("totals_differ", "price", "price is 459.00; it would be 458.99.")

    assert before_zoho(source(skip="zero amount"), None) == ("skip", "zero amount")
    assert before_zoho(source(refused=refused), None) == ("fail", refused.sentence)


def test_what_was_withdrawn_is_skipped_where_nothing_of_it_is_in_zoho() -> None:
    withdrawn = source(withdrawn="cancelled here")

    assert before_zoho(withdrawn, None) == ("skip", "cancelled here")
    assert before_zoho(withdrawn, view(State.SYNCED, zoho_id="1")) is None


@pytest.mark.parametrize(
    ("found", "link_only", "said"),
    [
        (Found(), False, ("create", None)),
        (Found(link="1", why="same number"), False, ("link", "same number")),
        (Found(candidates=("1", "2"), why="2 bear it"), False, ("ambiguous", "2 bear it")),
        (Found(skip="credit"), False, ("skip", "credit")),
        (Found(waiting_for="Zoho's invoice"), True, ("wait", "Zoho's invoice")),
        (
            Found(waiting_for="Zoho's invoice", is_past_due=True, why="none came"),
            True,
            ("fail", "none came"),
        ),
        (Found(), True, ("fail", "Zoho makes it itself, and does not have it")),
    ],
)
def test_what_is_foreseen_in_our_own_tables_becomes_an_action(
    found: Found, link_only: bool, said: tuple[str, str | None]
) -> None:
    assert of_found(found, link_only=link_only) == said


@pytest.mark.parametrize(
    ("step", "action"),
    [
        (None, "update"),
        (Done(), "compare"),
        (Do("open"), "open"),
        (Do("void"), "void"),
        (Do("delete"), "delete"),
        (Do("update_at_end"), "update"),
        (Do("cancel_at_end"), "cancel"),
        (Do("cancel_now"), "cancel"),
        (Do("reactivate"), "reactivate"),
        (Wait("a term", NOON, "It ends later."), "wait"),
        (Anew(source()), "create"),
        (Stuck(State.MISMATCH, "code", "It differs."), "fail"),
        (Stuck(State.AMBIGUOUS, "code", "Two of them."), "ambiguous"),
    ],
)
def test_the_next_step_of_one_in_zoho_becomes_an_action(step: Step | None, action: str) -> None:
    assert of_step(step, view(State.SYNCED, zoho_id="1"))[0] == action


def test_a_mismatch_that_no_list_shows_is_compared_and_not_written_over() -> None:
    assert of_step(None, view(State.MISMATCH, zoho_id="1")) == ("compare", None)


def test_every_word_is_explained_and_every_cost_is_of_a_word() -> None:
    assert CALLS.keys() <= ACTIONS.keys()
    assert {action for _, action in OTHER_CALLS} <= ACTIONS.keys()


def test_one_that_waits_already_is_not_worked_on() -> None:
    assert not is_to_do(("wait", None), view(State.WAITING))
    assert is_to_do(("wait", None), None)
    assert is_to_do(("link", None), view(State.WAITING))


def test_only_what_is_written_names_its_fields() -> None:
    given = source(payload={"name": "Protea", "price": Decimal("459.00")})

    assert differing("create", given, None) == ("name", "price")
    assert differing("wait", given, None) == ()


def test_calls_are_those_of_the_entity() -> None:
    def planned(entity: EntityType, action: str) -> int:
        return calls_of(Planned("any", entity, action, False, 10, Decimal(0)))

    assert planned(EntityType.CUSTOMER, "create") == 10
    assert planned(EntityType.SUBSCRIPTION, "create") == 10
    assert planned(EntityType.INVOICE, "create") == 20
    assert planned(EntityType.PAYMENT, "create") == 20
    assert planned(EntityType.INVOICE, "link") == 0
    assert planned(EntityType.SUBSCRIPTION, "update") == 20
    assert planned(EntityType.CUSTOMER, "unchanged") == 0


def test_a_row_is_worth_what_our_books_say() -> None:
    invoice = Invoice(id="1", updated_at=NOON, customer_id="1", total_amount=Decimal("345.00"))
    service = Service(
        id="1",
        updated_at=NOON,
        customer_id="1",
        monthly_price=Decimal("NaN"),
        activation_date=date(2036, 3, 1),
    )

    assert worth(invoice) == Decimal("345.00")
    assert worth(service) is None
    assert worth(object()) is None
