"""In doubt: what a proof may conclude, and what it must never take for a conclusion."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from billing_sync.domain.errors import (
    CallFailed,
    LookUpFailed,
    Misconfigured,
    NeverSent,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unavailable,
)
from billing_sync.domain.states import EntityType, State
from billing_sync.ports import RecordKey, Write
from ops.local_stack.postgres import Database
from tests.engine import RECORD, TIMING, Engine, engine
from tests.fakes.rules import FakeRules
from tests.records import closed_as, intents, make_due, put, stray_answers

LOST = OutcomeUnknown("The answer was lost.")
CREATE = Write("create", "key of 1", {"text": "Ada"}, "print of Ada", {"text": "Ada"})


@pytest.fixture
def rules() -> FakeRules:
    rules = FakeRules()
    rules.write("1", "Ada")
    return rules


@pytest.fixture
def worker(database: Database, rules: FakeRules) -> Iterator[Engine]:
    with engine(database, rules) as worker:
        yield worker


def lose_create(worker: Engine, rules: FakeRules, *, done: bool) -> None:
    rules.loses_answers = done
    rules.fail("create", LOST)
    assert worker.sync().state is State.IN_DOUBT


def lose_update(worker: Engine, rules: FakeRules, *, done: bool) -> None:
    worker.sync()
    rules.loses_answers = done
    rules.fail("update", LOST)
    assert worker.sync_after_change("Ada L.").state is State.IN_DOUBT


# ---------------------------------------------------------------------------------------- creates


def test_a_create_whose_answer_was_lost_is_in_doubt_until_the_proof_is_due(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    lose_create(worker, rules, done=True)

    [intent] = intents(database, RECORD)
    due = worker.row().next_attempt_at
    assert due >= intent.sent_at + timedelta(seconds=TIMING.proof_due_seconds)
    for _ in range(3):
        worker.records.signal(RECORD)
        assert worker.sync().not_claimed is not None
    assert rules.calls["look_up"] == 0


def test_a_create_that_was_done_is_found_and_adopted(worker: Engine, rules: FakeRules) -> None:
    lose_create(worker, rules, done=True)

    outcome = worker.sync_when_due()

    assert (outcome.state, outcome.change) == (State.SYNCED, "created")
    assert worker.row().zoho_id == next(iter(rules.zoho))
    assert worker.row().confirmed_fingerprint == "print of Ada"
    assert rules.calls["create"] == 1


def test_a_create_that_was_not_done_is_sent_again_after_the_proof_and_not_by_it(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    lose_create(worker, rules, done=False)

    assert worker.sync_when_due().state is State.PENDING
    assert closed_as(database, RECORD) == ["absent"]
    assert rules.calls["create"] == 1
    assert worker.sync().state is State.SYNCED
    assert len(rules.zoho) == 1


def test_the_look_is_for_what_was_sent_and_not_for_what_the_row_says_today(
    worker: Engine, rules: FakeRules
) -> None:
    lose_create(worker, rules, done=True)
    rules.write("1", "Ada King")
    worker.records.signal(RECORD)

    # Found as it was sent; the change that came meanwhile is still owed.
    assert worker.sync_when_due().state is State.PENDING
    assert worker.sync().state is State.SYNCED
    assert list(rules.zoho.values()) == ["Ada King"]
    assert rules.calls["create"] == 1


def test_a_change_before_the_proof_is_not_lost_with_the_proofs_claim(
    worker: Engine, rules: FakeRules
) -> None:
    """The proof of the old write must not claim the new signal: nobody else would come."""
    lose_create(worker, rules, done=False)
    rules.write("1", "Ada King")
    worker.records.signal(RECORD)

    worker.sync_when_due()
    worker.sync()

    assert list(rules.zoho.values()) == ["Ada King"]


@pytest.mark.parametrize(
    "failure",
    [
        LookUpFailed("The filter was ignored."),
        Unavailable("No answer."),
        Throttled("Slow down.", wait_seconds=30, reason="minute"),
    ],
)
def test_a_look_that_failed_is_never_read_as_none(
    worker: Engine, rules: FakeRules, database: Database, failure: CallFailed
) -> None:
    lose_create(worker, rules, done=True)
    rules.fail("look_up", failure)

    assert worker.sync_when_due().state is State.IN_DOUBT
    assert closed_as(database, RECORD) == [None]
    assert worker.sync().not_claimed is not None
    assert worker.sync_when_due().state is State.SYNCED
    assert rules.calls["create"] == 1


def test_a_proof_that_meets_a_misconfiguration_stops_the_run_and_stays_in_doubt(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    lose_create(worker, rules, done=True)
    rules.fail("look_up", Misconfigured("The scope is missing.", code="missing_scope"))
    make_due(database, RECORD)

    with pytest.raises(Misconfigured):
        worker.sync()

    assert worker.row().state == "in_doubt"
    assert closed_as(database, RECORD) == [None]


def test_two_that_bear_the_key_are_for_a_person_to_judge(worker: Engine, rules: FakeRules) -> None:
    lose_create(worker, rules, done=True)
    rules.zoho["900777"] = "Ada"

    outcome = worker.sync_when_due()

    assert (outcome.state, outcome.code) == (State.AMBIGUOUS, "duplicate")
    assert worker.row().candidates == list(rules.zoho)
    assert worker.row().zoho_id is None


def test_what_a_proof_finds_and_another_record_holds_is_ambiguous(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    lose_create(worker, rules, done=True)
    put(
        database,
        RecordKey(EntityType.CUSTOMER, "2"),
        state="synced",
        zoho_id=next(iter(rules.zoho)),
    )

    outcome = worker.sync_when_due()

    assert (outcome.state, outcome.code) == (State.AMBIGUOUS, "linked_elsewhere")
    assert worker.row().sentence == "The one in Zoho is linked to customer 2."
    assert closed_as(database, RECORD) == ["found"]


def test_what_is_found_with_other_figures_is_adopted_and_then_updated(
    worker: Engine, rules: FakeRules
) -> None:
    rules.is_kept_as = str.upper
    lose_create(worker, rules, done=True)
    rules.is_kept_as = str

    assert worker.sync_when_due().state is State.PENDING
    assert worker.row().zoho_id == "900001"
    assert worker.sync().state is State.SYNCED
    assert rules.zoho == {"900001": "Ada"}


# ---------------------------------------------------------------------------------------- updates


def test_an_update_whose_answer_was_lost_and_that_was_done_is_confirmed_without_another(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    lose_update(worker, rules, done=True)

    outcome = worker.sync_when_due()

    assert (outcome.state, outcome.change) == (State.SYNCED, "updated")
    assert rules.calls["update"] == 1
    assert closed_as(database, RECORD)[-1] == "applied"


def test_an_update_whose_answer_was_lost_and_that_was_not_done_is_sent_again(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    lose_update(worker, rules, done=False)

    assert worker.sync_when_due().state is State.PENDING
    assert closed_as(database, RECORD)[-1] == "not_applied"
    # Without this the old confirmation would call the row unchanged once it is changed back.
    assert worker.row().confirmed_fingerprint is None
    assert worker.sync().state is State.SYNCED
    assert list(rules.zoho.values()) == ["Ada L."]


def test_a_row_changed_back_after_a_lost_update_is_written_back_too(
    worker: Engine, rules: FakeRules
) -> None:
    """Zoho confirmed «Ada» once; the lost update to «Ada L.» was done all the same."""
    lose_update(worker, rules, done=True)
    rules.write("1", "Ada")
    worker.records.signal(RECORD)

    worker.sync_when_due()
    worker.sync()

    assert worker.row().state == "synced"
    assert list(rules.zoho.values()) == ["Ada"]


def test_an_update_of_what_is_gone_meanwhile_is_failed(worker: Engine, rules: FakeRules) -> None:
    lose_update(worker, rules, done=False)
    rules.zoho.clear()

    assert worker.sync_when_due().state is State.FAILED
    assert worker.row().code == "gone_in_zoho"


# -------------------------------------------------- workers that answer after their time


def test_an_answer_that_came_after_the_claim_was_lost_is_adopted_by_the_proof(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    claim, intent = worker.lose_worker(CREATE)
    rules.zoho["900001"] = "Ada"
    # While the proof looks, the stalled worker wakes up with its answer.
    rules.on["look_up"] = lambda: worker.records.store_answer(claim, intent, "900001", run_id=None)
    rules.fail("look_up", Unavailable("No answer."))
    assert worker.sync_when_due().state is State.IN_DOUBT
    assert worker.row().zoho_id is None

    assert worker.sync_when_due().state is State.SYNCED

    assert worker.row().zoho_id == "900001"
    assert [stray.settled_as for stray in stray_answers(database, RECORD)] == ["adopted"]
    assert rules.calls["create"] == 0


def test_a_stray_answers_record_that_was_deleted_in_zoho_is_gone_and_not_in_doubt_for_ever(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    claim, intent = worker.lose_worker(CREATE)
    rules.on["look_up"] = lambda: worker.records.store_answer(claim, intent, "900001", run_id=None)
    rules.fail("look_up", Unavailable("No answer."))
    worker.sync_when_due()

    assert worker.sync_when_due().state is State.FAILED

    assert (worker.row().code, worker.row().zoho_id) == ("gone_in_zoho", "900001")
    assert closed_as(database, RECORD) == ["found"]


def test_a_stray_answer_to_an_update_is_no_creation(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    worker.sync()
    zoho_id = worker.row().zoho_id
    rules.write("1", "Ada L.")
    worker.records.signal(RECORD)
    update = Write(
        "update", "key of 1", {"text": "Ada L."}, "print of Ada L.", {"text": "Ada L."}, zoho_id
    )
    claim, intent = worker.lose_worker(update)
    rules.on["get"] = lambda: worker.records.store_answer(claim, intent, zoho_id, run_id=None)
    rules.fail("get", Unavailable("No answer."))
    worker.sync_when_due()
    rules.zoho[zoho_id] = "Ada L."
    del rules.on["get"]

    proof, after = worker.sync_when_due(), worker.sync()

    # A late PUT may have put older values over newer ones: looked at once more.
    assert (proof.state, proof.change) == (State.PENDING, "updated")
    assert (after.state, after.change) == (State.SYNCED, "unchanged")
    assert [stray.settled_as for stray in stray_answers(database, RECORD)] == ["late_update"]


# ------------------------------------------------------------------- where Zoho enforces the key


def test_where_the_key_is_enforced_sending_again_is_the_proof_and_not_before_its_time(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    rules.enforces = True
    lose_create(worker, rules, done=False)
    worker.records.signal(RECORD)
    assert worker.sync().not_claimed is not None
    assert rules.calls["create"] == 1

    outcome = worker.sync_when_due()

    assert (outcome.state, outcome.change) == (State.PENDING, "created")  # for the signal above
    assert closed_as(database, RECORD) == ["absent", "answered"]
    assert rules.calls["look_up"] == 0
    assert len(rules.zoho) == 1


def test_where_the_key_is_enforced_already_exists_leads_to_ours(
    worker: Engine, rules: FakeRules
) -> None:
    rules.enforces, rules.taken_codes = True, frozenset({3062})
    lose_create(worker, rules, done=True)
    rules.fail("create", Rejected("It exists.", zoho_code=3062))

    assert worker.sync_when_due().state is State.SYNCED
    assert len(rules.zoho) == 1
    assert worker.row().zoho_id == next(iter(rules.zoho))


@pytest.mark.parametrize(
    ("failure", "second"),
    [
        (Rejected("Zoho refuses email.", zoho_code=15), "refused"),
        (NeverSent("Zoho could not be reached."), "never_sent"),
        (Throttled("Slow down.", wait_seconds=30, reason="minute"), "refused"),
        (LOST, None),
    ],
)
def test_sending_again_in_vain_leaves_the_first_intent_open(
    worker: Engine, rules: FakeRules, database: Database, failure: CallFailed, second: str | None
) -> None:
    """It is the only memory of the first POST, which may have been done."""
    rules.enforces = True
    lose_create(worker, rules, done=True)
    rules.loses_answers = False
    rules.fail("create", failure)

    assert worker.sync_when_due().state is State.IN_DOUBT
    assert closed_as(database, RECORD) == [None, second]


def test_after_a_change_of_the_name_the_same_post_would_be_another_one(
    worker: Engine, rules: FakeRules
) -> None:
    """The server enforces the name that was sent; today's name it would take a second time."""
    rules.enforces = True
    lose_create(worker, rules, done=True)
    rules.write("1", "Ada King")
    worker.records.signal(RECORD)

    worker.sync_when_due()
    worker.sync()

    assert rules.calls["create"] == 1
    assert list(rules.zoho.values()) == ["Ada King"]
