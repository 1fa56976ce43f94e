"""Writes of several steps, each with its own intent and its own proof; and what only waits."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from billing_sync.domain.errors import GoneInZoho, OutcomeUnknown, Rejected, Throttled
from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Claim, RecordKey, Write
from billing_sync.services.rules import Found, Remote, Wait
from ops.local_stack.postgres import Database
from tests.engine import Engine, engine
from tests.fakes.documents import DRAFT, ENDED, VOID, FakeDocuments
from tests.records import closed_as, expire_lease, make_due

INVOICE = RecordKey(EntityType.INVOICE, "1")
LOST = OutcomeUnknown("The answer was lost.")


@pytest.fixture
def documents() -> FakeDocuments:
    documents = FakeDocuments()
    documents.write("1", "459.00")
    return documents


@pytest.fixture
def worker(database: Database, documents: FakeDocuments) -> Iterator[Engine]:
    with engine(database, documents) as worker:
        yield worker


def settle(worker: Engine, rounds: int = 6) -> State | None:
    """Let the record fall due until it rests."""
    state = worker.sync(INVOICE).state
    for _ in range(rounds):
        if state not in {State.IN_DOUBT, State.RETRYING, State.PENDING}:
            return state
        state = worker.sync_when_due(INVOICE).state
    raise AssertionError(f"still {state}")


# ------------------------------------------------------------------------------ draft and open


def test_a_document_is_made_as_a_draft_compared_and_opened(
    worker: Engine, documents: FakeDocuments
) -> None:
    outcome = worker.sync(INVOICE)

    assert (outcome.state, outcome.change) == (State.SYNCED, "created")
    assert documents.writes == ["create", "open"]
    assert list(documents.zoho.values()) == ["459.00"]
    assert closed_as(worker.database, INVOICE) == ["answered", "answered"]
    assert worker.row(INVOICE).facts == {"seen": [*documents.zoho]}


@pytest.mark.parametrize("step", ["create", "open"])
@pytest.mark.parametrize("was_done", [True, False], ids=["done", "not done"])
def test_a_lost_answer_to_either_step_ends_in_one_open_document(
    worker: Engine, documents: FakeDocuments, step: str, was_done: bool
) -> None:
    documents.loses_answers = was_done
    documents.fail(step, LOST)

    assert worker.sync(INVOICE).state is State.IN_DOUBT
    assert worker.sync(INVOICE).not_claimed is not None, "nobody looks before it is due"
    assert settle_from_doubt(worker) is State.SYNCED

    assert list(documents.zoho.values()) == ["459.00"]
    assert documents.writes.count("create") == 1 or not was_done


def settle_from_doubt(worker: Engine) -> State | None:
    state = worker.sync_when_due(INVOICE).state
    while state is State.PENDING:
        state = worker.sync(INVOICE).state
    return state


@pytest.mark.parametrize("enforces", [True, False])
def test_a_draft_whose_worker_died_before_opening_it_is_opened_not_made_again(
    worker: Engine, documents: FakeDocuments, enforces: bool
) -> None:
    documents.enforces = enforces
    source = documents.read("1")
    assert source is not None
    write = Write("create", source.key, source.figures, source.fingerprint, source.payload)
    claim, intent = worker.lose_worker(write, INVOICE)
    documents.zoho["77"] = DRAFT + "459.00"

    assert worker.records.store_answer(claim, intent, "77", run_id=None), "nobody took it over"
    assert settle_from_doubt(worker) is State.SYNCED

    assert documents.zoho == {"77": "459.00"}
    assert documents.writes == ["open"]


def test_a_worker_that_dies_between_the_two_steps_leaves_a_draft_that_the_next_one_opens(
    worker: Engine, documents: FakeDocuments
) -> None:
    claim = worker.records.claim(INVOICE)
    assert isinstance(claim, Claim)
    documents.zoho["77"] = DRAFT + "459.00"
    assert worker.records.adopt(claim, "77", intent=None, run_id=None) is None
    expire_lease(worker.database, INVOICE)

    assert worker.sync(INVOICE).state is State.SYNCED

    assert documents.zoho == {"77": "459.00"}


def test_a_throttled_second_step_is_taken_up_where_the_first_one_ended(
    worker: Engine, documents: FakeDocuments
) -> None:
    documents.fail("open", Throttled("Slow down.", wait_seconds=30, reason="minute"))

    assert worker.sync(INVOICE).state is State.RETRYING
    assert worker.sync_when_due(INVOICE).state is State.SYNCED

    assert documents.writes == ["create", "open", "open"]
    assert list(documents.zoho.values()) == ["459.00"]


def test_an_answer_that_opened_nothing_is_not_believed_twice(
    worker: Engine, documents: FakeDocuments
) -> None:
    documents.opens = False
    documents.fail("open", LOST)
    worker.sync(INVOICE)

    assert settle_from_doubt(worker) is State.SYNCED, "Zoho says that it is open"
    worker.retry(INVOICE)
    assert documents.writes.count("open") == 2


# ------------------------------------------------------------------- drafts that come out wrong


def test_a_draft_with_other_totals_is_deleted_and_its_record_failed_with_both_figures(
    worker: Engine, documents: FakeDocuments
) -> None:
    documents.is_kept_as = lambda _: "459.01"

    assert worker.sync(INVOICE).state is State.FAILED

    assert documents.zoho == {}
    row = worker.row(INVOICE)
    assert (row.code, row.field, row.sentence) == ("totals_differ", "text", "1 here, 2 there")
    assert (row.zoho_id, row.former_zoho_ids) == (None, ["900001"])
    worker.records.signal(INVOICE)
    assert worker.sync(INVOICE).state is State.FAILED, "unchanged, it is not sent again"
    assert documents.writes == ["create", "delete"]


@pytest.mark.parametrize("was_done", [True, False], ids=["done", "not done"])
def test_a_deletion_whose_answer_is_lost_ends_as_one_that_was_answered(
    worker: Engine, documents: FakeDocuments, was_done: bool
) -> None:
    documents.is_kept_as = lambda _: "459.01"
    documents.loses_answers = was_done
    documents.fail("delete", LOST)

    assert worker.sync(INVOICE).state is State.IN_DOUBT
    assert settle_from_doubt(worker) is State.FAILED

    assert documents.zoho == {}
    row = worker.row(INVOICE)
    assert (row.code, row.zoho_id) == ("totals_differ", None)


def test_a_deletion_that_is_answered_late_is_no_duplicate(
    worker: Engine, documents: FakeDocuments
) -> None:
    worker.sync(INVOICE)
    [zoho_id] = documents.zoho
    documents.withdrawn = True
    source = documents.read("1")
    assert source is not None
    write = Write("delete", source.key, {}, source.fingerprint, {}, zoho_id)
    worker.records.signal(INVOICE)
    claim, intent = worker.lose_worker(write, INVOICE)
    del documents.zoho[zoho_id]
    assert settle_from_doubt(worker) is State.SYNCED

    assert not worker.records.let_go(claim, intent)

    row = worker.row(INVOICE)
    assert (row.state, row.zoho_id, row.former_zoho_ids) == ("synced", None, [zoho_id])
    assert row.removed_at is not None


# ----------------------------------------------------------------------------------- withdrawn


def withdraw(worker: Engine, documents: FakeDocuments) -> State | None:
    documents.withdrawn = True
    worker.records.signal(INVOICE)
    return settle(worker)


def test_what_is_withdrawn_before_it_was_sent_is_never_made(
    worker: Engine, documents: FakeDocuments
) -> None:
    assert withdraw(worker, documents) is State.SKIPPED
    assert worker.row(INVOICE).sentence == "cancelled before it was sent"
    assert documents.writes == []


def test_what_is_withdrawn_after_it_was_opened_is_voided_and_rests(
    worker: Engine, documents: FakeDocuments
) -> None:
    worker.sync(INVOICE)

    assert withdraw(worker, documents) is State.SYNCED
    worker.records.signal(INVOICE)
    assert worker.sync(INVOICE).change == "unchanged"

    assert list(documents.zoho.values()) == [VOID]
    assert documents.writes == ["create", "open", "void"]


def test_a_withdrawn_draft_is_deleted_and_is_rightly_gone(
    worker: Engine, documents: FakeDocuments
) -> None:
    documents.fail("open", Throttled("Slow down.", wait_seconds=30, reason="minute"))
    worker.sync(INVOICE)
    documents.withdrawn = True
    make_due(worker.database, INVOICE)

    assert worker.sync(INVOICE).state is State.SYNCED

    row = worker.row(INVOICE)
    assert (documents.zoho, row.zoho_id) == ({}, None)
    assert row.removed_at is not None
    worker.records.signal(INVOICE)
    assert worker.sync(INVOICE).change == "unchanged"
    assert worker.row(INVOICE).removed_at is not None


def test_what_a_person_deleted_there_after_it_was_withdrawn_here_is_rightly_gone(
    worker: Engine, documents: FakeDocuments
) -> None:
    worker.sync(INVOICE)
    documents.zoho.clear()

    assert withdraw(worker, documents) is State.SYNCED
    assert worker.row(INVOICE).removed_at is not None


def test_what_was_removed_and_comes_back_is_made_again(
    worker: Engine, documents: FakeDocuments
) -> None:
    worker.sync(INVOICE)
    documents.zoho.clear()
    withdraw(worker, documents)
    documents.withdrawn = False
    worker.records.signal(INVOICE)

    assert settle(worker) is State.SYNCED

    row = worker.row(INVOICE)
    assert documents.zoho == {row.zoho_id: "459.00"}
    assert row.removed_at is None
    assert row.former_zoho_ids == ["900001"]


# ------------------------------------------------------------------------------- waits, anew


def test_what_zoho_makes_itself_is_waited_for_without_an_attempt_and_linked_when_it_is_there(
    worker: Engine, documents: FakeDocuments
) -> None:
    documents.link_only = True
    documents.found = Found(waiting_for="Zoho's invoice", due_at=worker.clock.now())

    assert worker.sync(INVOICE).state is State.WAITING
    row = worker.row(INVOICE)
    assert (row.attempt_number, row.due_at) == (0, worker.clock.now())
    assert worker.sync(INVOICE).not_claimed is not None
    documents.zoho["55"] = "459.00"
    documents.found = Found(link="55", remote=Remote("55", "459.00"))
    outcome = worker.sync_when_due(INVOICE)

    assert (outcome.state, outcome.change) == (State.SYNCED, "linked")
    assert documents.writes == []
    assert documents.calls["get"] == 0, "the list row was enough"


def test_past_due_it_is_failed_and_still_linked_when_it_comes(
    worker: Engine, documents: FakeDocuments
) -> None:
    documents.link_only = True
    documents.found = Found(waiting_for="Zoho's invoice", is_past_due=True, why="460.00 in Zoho")

    assert worker.sync(INVOICE).state is State.FAILED
    row = worker.row(INVOICE)
    assert (row.code, row.sentence) == ("not_raised", "Zoho's invoice has not come. 460.00 in Zoho")
    documents.found = Found(link="55", remote=Remote("55", "459.00"))
    worker.records.signal(INVOICE)

    assert worker.sync(INVOICE).state is State.SYNCED


def test_what_zoho_makes_itself_is_never_made_by_us(
    worker: Engine, documents: FakeDocuments
) -> None:
    documents.link_only = True

    assert worker.sync(INVOICE).state is State.FAILED
    assert worker.row(INVOICE).code == "not_found_in_zoho"
    assert documents.writes == []


def test_a_change_here_does_not_wait_with_the_record(
    worker: Engine, documents: FakeDocuments
) -> None:
    documents.link_only = True
    documents.found = Found(waiting_for="Zoho's invoice")
    worker.sync(INVOICE)
    documents.skip = "zero amount"

    worker.records.signal(INVOICE)

    assert worker.sync(INVOICE).state is State.SKIPPED


def test_a_wait_for_a_day_is_looked_at_daily_at_most_and_climbs_no_ladder(
    worker: Engine, documents: FakeDocuments
) -> None:
    worker.sync(INVOICE)
    documents.write("1", "460.00")
    documents.wait = Wait("the term", worker.clock.now() + timedelta(days=9), "A term to come.")
    worker.records.signal(INVOICE)

    assert worker.sync(INVOICE).state is State.WAITING

    row = worker.row(INVOICE)
    assert (row.sentence, row.attempt_number) == ("A term to come.", 0)
    assert timedelta(hours=23) < row.next_attempt_at - row.changed_at <= timedelta(days=1)


def test_what_has_ended_for_good_is_made_anew_and_its_id_kept_as_a_former_one(
    worker: Engine, documents: FakeDocuments
) -> None:
    worker.sync(INVOICE)
    documents.zoho["900001"] = ENDED
    documents.write("1", "460.00")
    worker.records.signal(INVOICE)

    assert worker.sync(INVOICE).state is State.SYNCED

    row = worker.row(INVOICE)
    assert documents.zoho == {"900001": ENDED, row.zoho_id: "460.00"}
    assert row.former_zoho_ids == ["900001"]
    assert row.facts == {"seen": ["900001", row.zoho_id]}


def test_what_was_seen_of_the_ended_one_outlives_a_worker_that_dies_before_the_new_one(
    worker: Engine, documents: FakeDocuments
) -> None:
    worker.sync(INVOICE)
    documents.zoho["900001"] = ENDED
    documents.write("1", "460.00")
    documents.on["find"] = lambda: expire_lease(worker.database, INVOICE)
    worker.records.signal(INVOICE)

    assert worker.sync(INVOICE).state is None, "its claim is lost"

    row = worker.row(INVOICE)
    assert (row.zoho_id, row.former_zoho_ids) == (None, ["900001"])
    assert row.facts == {"seen": ["900001"]}


# ------------------------------------------------------------------------- refusals of a key


def test_what_a_body_refers_to_may_be_gone_and_not_the_record(
    worker: Engine, documents: FakeDocuments
) -> None:
    worker.sync(INVOICE)
    documents.looks = False
    documents.fail("update", GoneInZoho("not there", http_status=404, zoho_code=1002))
    documents.write("1", "460.00")
    worker.records.signal(INVOICE)

    assert worker.sync(INVOICE).state is State.FAILED

    row = worker.row(INVOICE)
    assert (row.code, row.zoho_id) == ("zoho_1002", "900001")


@pytest.mark.parametrize(
    ("zoho_code", "stranger", "code"),
    [
        (3062, False, "taken"),
        (990403, True, "taken"),
        (990403, False, "zoho_990403"),
    ],
    ids=["known code", "seen there", "another rule of Zoho's"],
)
def test_a_key_is_taken_if_zoho_says_so_or_a_look_shows_a_stranger_with_it(
    worker: Engine, documents: FakeDocuments, zoho_code: int, stranger: bool, code: str
) -> None:
    documents.taken_codes = frozenset({3062, 990403})
    documents.key_field = "invoice_number"
    documents.fail("create", Rejected("Zoho refused it.", http_status=400, zoho_code=zoho_code))
    if stranger:
        documents.strangers = {"88": "other totals"}

    assert worker.sync(INVOICE).state is State.FAILED

    row = worker.row(INVOICE)
    assert (row.code, row.candidates) == (code, ["88"] if stranger else [])
    if code == "taken":
        assert row.field == "invoice_number"
        assert "invoice_number key of 1" in row.sentence
    assert documents.writes == ["create"]
