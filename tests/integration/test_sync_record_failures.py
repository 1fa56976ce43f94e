"""What becomes of a record when something goes wrong: the class of the failure alone decides."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from billing_sync.domain.errors import (
    CallFailed,
    LogNotWritten,
    LookUpFailed,
    Misconfigured,
    NeverSent,
    NotNow,
    QuotaExhausted,
    Rejected,
    Throttled,
    TokenRefused,
    Unauthorised,
    Unavailable,
    Unsendable,
)
from billing_sync.domain.states import State
from billing_sync.domain.timing import LADDER
from billing_sync.ports import Priority
from billing_sync.services.rules import Found
from ops.local_stack.postgres import Database
from tests.engine import RECORD, Engine, engine
from tests.fakes.clock import FakeClock
from tests.fakes.rules import FakeRules
from tests.records import closed_as, intents, make_due, sql

THROTTLED = Throttled("Slow down.", wait_seconds=30, reason="minute")
UNTIL = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def rules() -> FakeRules:
    rules = FakeRules()
    rules.write("1", "Ada")
    return rules


@pytest.fixture
def worker(database: Database, rules: FakeRules) -> Iterator[Engine]:
    with engine(database, rules) as worker:
        yield worker


def seconds_until_next(worker: Engine) -> float:
    [found] = sql(
        worker.database,
        """SELECT extract(epoch FROM next_attempt_at - clock_timestamp())::float AS left
           FROM billing_sync.records""",
    )
    return float(found.left)


# ------------------------------------------------------------------------------------- the ladder


def test_a_temporary_fault_climbs_five_rungs_and_is_then_exhausted(
    worker: Engine, rules: FakeRules
) -> None:
    rules.fail("find", *[Unavailable("No answer.")] * 6)

    waits = []
    for _ in LADDER:
        assert worker.sync().state is State.RETRYING
        waits.append(seconds_until_next(worker))
        assert worker.sync().not_claimed is not None
        make_due(worker.database, RECORD)

    assert waits == pytest.approx([rung.total_seconds() for rung in LADDER], abs=10)
    assert worker.sync().state is State.EXHAUSTED
    assert worker.row().sentence == "Given up after 5 attempts. No answer."
    assert rules.calls["create"] == 0


def test_what_is_exhausted_begins_the_ladder_anew_when_it_is_asked_for_again(
    worker: Engine, rules: FakeRules
) -> None:
    rules.fail("find", *[Unavailable("No answer.")] * 7)
    worker.sync()
    for _ in LADDER:
        worker.sync_when_due()
    assert worker.row().state == "exhausted"

    worker.retry()

    assert worker.sync().state is State.RETRYING
    assert worker.row().attempt_number == 1
    assert worker.sync_when_due().state is State.SYNCED
    assert worker.row().attempt_number == 0


@pytest.mark.parametrize(
    "failure",
    [
        Unavailable("No answer."),
        LookUpFailed("The filter was ignored."),
        NeverSent("Zoho could not be reached in time."),
    ],
)
def test_faults_that_prove_nothing_take_a_rung_and_create_nothing(
    worker: Engine, rules: FakeRules, failure: CallFailed
) -> None:
    rules.fail("find", failure)

    assert worker.sync().state is State.RETRYING
    assert (worker.row().attempt_number, worker.row().code) == (1, "unavailable")
    assert rules.zoho == {}


def test_a_call_that_never_left_closes_its_intent_and_is_sent_again(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    rules.fail("create", NeverSent("Zoho could not be reached in time."))

    assert worker.sync().state is State.RETRYING
    assert closed_as(database, RECORD) == ["never_sent"]
    assert worker.sync_when_due().state is State.SYNCED
    assert len(rules.zoho) == 1


def test_a_stall_before_sending_uses_up_no_attempt(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    rules.fail("create", NeverSent("The window was over.", late=True))

    assert worker.sync().state is State.RETRYING
    assert (worker.row().attempt_number, worker.row().code) == (0, "stalled")
    assert closed_as(database, RECORD) == ["never_sent"]


# -------------------------------------------------------------------------------------- throttled


@pytest.mark.parametrize(
    "failure",
    [
        THROTTLED,
        QuotaExhausted("The day is over.", wait_seconds=30, reason="day", resume_at=UNTIL),
        TokenRefused("Cooling.", wait_seconds=30, reason="token_cool_down", resume_at=UNTIL),
    ],
)
@pytest.mark.parametrize("method", ["find", "make_ready", "create"])
def test_being_told_to_wait_uses_up_no_attempt_however_often(
    worker: Engine, rules: FakeRules, failure: NotNow, method: str
) -> None:
    rules.fail(method, *[failure] * 7)

    for _ in range(7):
        outcome = worker.sync()
        assert (outcome.state, outcome.wait) == (State.RETRYING, failure)
        assert seconds_until_next(worker) == pytest.approx(30, abs=5)
        make_due(worker.database, RECORD)

    assert worker.row().attempt_number == 0
    assert worker.sync().state is State.SYNCED


def test_a_mismatch_that_has_to_wait_is_looked_at_again_and_not_written(
    worker: Engine, rules: FakeRules
) -> None:
    rules.is_kept_as = str.upper
    worker.sync()
    assert worker.row().state == "mismatch"
    written = rules.calls["update"]
    rules.fail("get", THROTTLED)
    worker.retry()

    assert worker.sync().state is State.RETRYING
    assert worker.row().resume_as == "mismatch"
    assert worker.sync_when_due().state is State.MISMATCH
    assert rules.calls["update"] == written


def test_a_mismatch_that_could_not_be_read_is_looked_at_again_and_not_written(
    worker: Engine, rules: FakeRules
) -> None:
    rules.is_kept_as = str.upper
    worker.sync()
    written = rules.calls["update"]
    rules.fail("get", Unavailable("No answer."), Unavailable("No answer."))
    worker.retry()

    assert worker.sync().state is State.RETRYING
    assert worker.sync_when_due().state is State.RETRYING
    assert worker.row().attempt_number == 2
    assert worker.sync_when_due().state is State.MISMATCH
    assert rules.calls["update"] == written


def test_a_refused_record_that_has_to_wait_after_its_change_is_sent_when_it_is_due(
    worker: Engine, rules: FakeRules
) -> None:
    rules.fail("create", Rejected("Zoho refuses it.", zoho_code=15))
    worker.sync()
    rules.fail("find", THROTTLED)

    assert worker.sync_after_change("Ada L.").state is State.RETRYING
    assert worker.row().resume_as == "failed"
    assert worker.sync_when_due().state is State.SYNCED
    assert list(rules.zoho.values()) == ["Ada L."]


# ---------------------------------------------------------------------------------------- refused


def test_what_zoho_refuses_is_failed_with_code_field_and_sentence(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    rules.fail("create", Rejected("Zoho refuses email.", zoho_code=15, field="email"))

    assert worker.sync().state is State.FAILED

    found = worker.row()
    assert (found.code, found.field, found.sentence) == ("zoho_15", "email", "Zoho refuses email.")
    assert closed_as(database, RECORD) == ["refused"]


def test_a_signal_about_nothing_gives_a_refused_record_its_old_state_back_without_a_call(
    worker: Engine, rules: FakeRules
) -> None:
    rules.fail("create", Rejected("Zoho refuses email.", zoho_code=15, field="email"))
    worker.sync()
    asked = rules.calls.total()
    before = worker.row()

    worker.records.signal(RECORD)

    assert worker.sync().state is State.FAILED
    assert rules.calls.total() == asked
    found = worker.row()
    assert (found.code, found.field, found.sentence) == (before.code, before.field, before.sentence)
    assert found.attempt_number == before.attempt_number


def test_an_operators_retry_of_a_refused_record_is_no_signal_about_nothing(
    worker: Engine, rules: FakeRules
) -> None:
    rules.fail("create", Rejected("Zoho refuses email.", zoho_code=15, field="email"))
    worker.sync()

    worker.retry()

    assert worker.sync().state is State.SYNCED


@pytest.mark.parametrize(
    ("left_as", "failure"),
    [
        (State.FAILED, Rejected("Zoho refuses it.", zoho_code=15)),
        (State.AMBIGUOUS, None),
        (State.SKIPPED, None),
    ],
)
def test_a_real_change_leaves_any_resting_state(
    worker: Engine, rules: FakeRules, left_as: State, failure: CallFailed | None
) -> None:
    if failure is not None:
        rules.fail("create", failure)
    if left_as is State.AMBIGUOUS:
        rules.found = Found(candidates=("900777",), code="plausible")
    if left_as is State.SKIPPED:
        rules.skip = "test account"
    assert worker.sync().state is left_as
    rules.found, rules.skip = Found(), None

    assert worker.sync_after_change("Ada L.").state is State.SYNCED


def test_what_our_own_rules_refuse_is_failed_with_its_field_and_no_call(
    worker: Engine, rules: FakeRules
) -> None:
    rules.refused = Unsendable("name_missing", "first_name", "There is no name.")

    assert worker.sync().state is State.FAILED
    found = worker.row()
    assert (found.code, found.field, found.sentence) == (
        "name_missing",
        "first_name",
        "There is no name.",
    )
    assert rules.calls.total() == 0


def test_a_skipped_record_says_why_and_costs_no_call(worker: Engine, rules: FakeRules) -> None:
    rules.skip = "test account"

    assert worker.sync().state is State.SKIPPED
    assert worker.row().sentence == "test account"
    assert rules.calls.total() == 0


def test_a_failure_that_every_record_would_meet_is_raised_after_it_was_settled(
    worker: Engine, rules: FakeRules
) -> None:
    rules.fail("create", Misconfigured("The scope is missing.", code="missing_scope"))

    with pytest.raises(Misconfigured):
        worker.sync()

    assert (worker.row().state, worker.row().code) == ("failed", "missing_scope")
    assert worker.status_columns.written == [RECORD]


def test_a_dead_token_is_replayed_once_with_an_intent_of_its_own(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    rules.fail("create", Unauthorised("Dead."))

    assert worker.sync().state is State.SYNCED
    assert closed_as(database, RECORD) == ["refused", "answered"]
    assert len(rules.zoho) == 1


def test_a_call_that_stays_unauthorised_is_not_replayed_for_ever(
    worker: Engine, rules: FakeRules
) -> None:
    rules.fail("create", *[Unauthorised("Dead.")] * 2)

    assert worker.sync().state is State.RETRYING
    assert rules.calls["create"] == 2


# ------------------------------------------------------------------------------------------- gone


def test_what_is_gone_in_zoho_is_failed_and_never_made_again_by_itself(
    worker: Engine, rules: FakeRules
) -> None:
    worker.sync()
    rules.zoho.clear()

    assert worker.sync_after_change("Ada L.").state is State.FAILED
    assert worker.row().code == "gone_in_zoho"

    worker.records.signal(RECORD)
    worker.sync()
    worker.sync_after_change("Ada King")
    worker.retry()
    worker.sync()

    assert worker.row().code == "gone_in_zoho"
    assert rules.calls["create"] == 1


def test_a_row_deleted_here_is_left_in_zoho_for_a_person_to_judge(
    worker: Engine, rules: FakeRules
) -> None:
    worker.sync()
    rules.texts.clear()
    worker.records.signal(RECORD)

    assert worker.sync().state is State.FAILED
    assert worker.row().code == "deleted_here"
    assert list(rules.zoho.values()) == ["Ada"]


def test_a_row_that_was_never_there_is_not_found_and_costs_no_call(
    worker: Engine, rules: FakeRules
) -> None:
    rules.texts.clear()

    assert worker.sync().state is State.RETRYING
    for _ in range(3):
        worker.sync_when_due()

    assert (worker.row().state, worker.row().code) == ("failed", "not_found_here")
    assert rules.calls.total() == 0


def test_a_webhook_before_its_senders_commit_is_waited_for_30_s_2_min_and_10_min(
    worker: Engine, rules: FakeRules
) -> None:
    text = rules.texts.pop(RECORD.entity_id)
    waits: list[int] = []
    for _ in range(3):
        before = worker.row_now()
        worker.sync_when_due() if waits else worker.sync()
        waits.append(round((worker.row().next_attempt_at - before).total_seconds()))
    rules.texts[RECORD.entity_id] = text

    assert waits == [30, 120, 600]
    assert worker.sync_when_due().change == "created"
    assert worker.row().attempt_number == 0


def test_a_webhooks_row_that_came_late_and_then_fails_starts_at_the_ladders_first_rung(
    worker: Engine, rules: FakeRules
) -> None:
    text = rules.texts.pop(RECORD.entity_id)
    worker.sync()
    worker.sync_when_due()
    rules.texts[RECORD.entity_id] = text
    rules.fail("find", Unavailable("no answer"))

    assert worker.sync_when_due().state is State.RETRYING
    assert (worker.row().code, worker.row().attempt_number) == ("unavailable", 1)


def test_a_row_that_comes_back_after_it_was_said_to_be_deleted_is_in_step_again(
    worker: Engine, rules: FakeRules
) -> None:
    worker.sync()
    text = rules.texts.pop(RECORD.entity_id)
    worker.records.signal(RECORD)
    assert worker.sync().code == "deleted_here"
    rules.texts[RECORD.entity_id] = text
    worker.records.signal(RECORD)

    assert worker.sync().state is State.SYNCED
    assert rules.calls["create"] == 1


def test_a_row_that_was_read_once_and_is_gone_before_it_reached_zoho_is_not_waited_for(
    worker: Engine, rules: FakeRules
) -> None:
    rules.skip = "test account"
    assert worker.sync().state is State.SKIPPED
    rules.texts.clear()
    worker.records.signal(RECORD)

    assert worker.sync().state is State.FAILED
    assert worker.row().code == "not_found_here"


# --------------------------------------------------------------------------------------- mismatch


def test_figures_that_differ_after_a_create_are_mended_by_one_update(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    kept = iter(["ADA", "Ada"])
    rules.is_kept_as = lambda _text: next(kept)

    assert worker.sync().state is State.SYNCED
    assert (rules.calls["create"], rules.calls["update"]) == (1, 1)
    assert closed_as(database, RECORD) == ["answered", "answered"]


def test_figures_that_still_differ_are_a_mismatch_and_nothing_is_written_until_a_change(
    worker: Engine, rules: FakeRules
) -> None:
    rules.is_kept_as = str.upper

    outcome = worker.sync()
    worker.records.signal(RECORD)
    worker.sync()
    worker.retry()
    worker.sync()

    assert outcome.state is State.MISMATCH
    assert (worker.row().state, worker.row().field) == ("mismatch", "text")
    assert worker.row().zoho_id in rules.zoho
    assert (rules.calls["create"], rules.calls["update"]) == (1, 1)


def test_a_mismatch_is_written_again_when_its_source_changes(
    worker: Engine, rules: FakeRules
) -> None:
    rules.is_kept_as = str.upper
    worker.sync()
    rules.is_kept_as = str

    assert worker.sync_after_change("Ada L.").state is State.SYNCED
    assert (rules.calls["create"], rules.calls["update"]) == (1, 2)


def test_a_mismatch_that_somebody_mended_in_zoho_is_synced_without_a_write(
    worker: Engine, rules: FakeRules
) -> None:
    rules.is_kept_as = str.upper
    worker.sync()
    rules.zoho[worker.row().zoho_id] = "Ada"
    worker.retry()

    assert worker.sync().state is State.SYNCED
    assert rules.calls["update"] == 1


def test_money_that_differs_after_a_create_is_not_written_a_second_time(
    worker: Engine, rules: FakeRules
) -> None:
    rules.repairs = False
    rules.is_kept_as = str.upper

    assert worker.sync().state is State.MISMATCH
    assert (rules.calls["create"], rules.calls["update"]) == (1, 0)


def test_a_difference_found_by_verify_is_repaired_though_nothing_changed_here(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    worker.sync()
    zoho_id = worker.row().zoho_id
    rules.zoho[zoho_id] = "Somebody else"
    sql(
        database,
        "UPDATE billing_sync.records SET confirmed_fingerprint = NULL, signals = signals + 1",
    )

    assert worker.sync().state is State.SYNCED
    assert rules.zoho == {zoho_id: "Ada"}


# ----------------------------------------------------------------------------- signals, log, rest


def test_a_change_during_the_sync_is_sent_by_the_next_one(worker: Engine, rules: FakeRules) -> None:
    def change() -> None:
        rules.write("1", "Ada L.")
        worker.records.signal(RECORD)

    rules.on["create"] = change

    assert worker.sync().state is State.PENDING
    assert worker.sync().state is State.SYNCED
    assert list(rules.zoho.values()) == ["Ada L."]
    assert (rules.calls["create"], rules.calls["update"]) == (1, 1)


def test_a_signal_without_a_change_during_the_sync_costs_no_call(
    worker: Engine, rules: FakeRules
) -> None:
    rules.on["create"] = lambda: worker.records.signal(RECORD)
    worker.sync()
    asked = rules.calls.total()

    outcome = worker.sync()

    assert (outcome.state, outcome.change) == (State.SYNCED, "unchanged")
    assert rules.calls.total() == asked


def test_a_log_that_refuses_its_row_stops_the_run_and_keeps_what_zoho_confirmed(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    sql(
        database,
        "ALTER TABLE billing_sync.zoho_sync_logs ADD CHECK (operation IN ('quote', 'contract'))",
    )

    with pytest.raises(LogNotWritten):
        worker.sync()

    found = worker.row()
    assert (found.state, found.zoho_id) == ("synced", next(iter(rules.zoho)))
    assert worker.status_columns.written == [RECORD]


def test_each_attempt_leaves_a_log_row_that_holds_nothing_personal(
    worker: Engine, rules: FakeRules, database: Database
) -> None:
    rules.fail("create", Rejected("Zoho refuses email.", zoho_code=15, http_status=400))
    worker.sync()
    worker.sync_after_change("Ada L.")

    first, second = sql(database, "SELECT * FROM billing_sync.zoho_sync_logs ORDER BY log_id")
    assert (first.status, first.error_code, first.zoho_code, first.http_status) == (
        "refused",
        "Rejected",
        15,
        400,
    )
    assert (second.status, second.zoho_entity_id, second.zoho_code) == (
        "answered",
        worker.row().zoho_id,
        0,
    )
    assert "Ada" not in f"{first} {second}"


class ClockOfAnswers(FakeClock):
    """While somebody sleeps, what is in flight is answered."""

    def __init__(self) -> None:
        super().__init__()
        self.while_sleeping: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.while_sleeping()


def test_a_short_wait_for_a_permit_is_slept_out_with_no_intent_open(
    database: Database, rules: FakeRules
) -> None:
    clock = ClockOfAnswers()
    with engine(database, rules, clock=clock) as worker:
        worker.quota.configure(1000, 100_000, 1)
        taken = worker.quota.take(Priority.TRIGGER)
        opened_meanwhile: list[int] = []

        def answer() -> None:
            opened_meanwhile.append(len(intents(database, RECORD)))
            worker.quota.answered(taken)

        clock.while_sleeping = answer

        assert worker.sync().state is State.SYNCED
        assert opened_meanwhile == [0]
        assert clock.slept == [pytest.approx(0.3, abs=0.1)]


def test_a_long_wait_for_a_permit_is_not_slept_out(
    database: Database, worker: Engine, rules: FakeRules
) -> None:
    worker.quota.configure(1, 100_000, 100)
    worker.quota.answered(worker.quota.take(Priority.TRIGGER))

    outcome = worker.sync()

    assert outcome.state is State.RETRYING
    assert outcome.wait is not None
    assert (outcome.wait.reason, worker.clock.slept) == ("minute", [])
    assert intents(database, RECORD) == []
    assert rules.calls["create"] == 0
