"""Claim, fence, intent, answer, settle: each statement of the protocol on real PostgreSQL."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.quota import PostgresQuota
from billing_sync.adapters.postgres.records import PostgresRecords
from billing_sync.domain.errors import FenceLost, LogNotWritten, NotNow
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.timing import Timing
from billing_sync.ports import (
    Claim,
    Intent,
    LogEntry,
    NotClaimed,
    Priority,
    RecordKey,
    Settlement,
    Write,
)
from ops.local_stack.postgres import SUPERUSER, Database
from tests.records import (
    ORGANISATION,
    change,
    closed_as,
    expire_lease,
    intents,
    make_due,
    put,
    row,
    sql,
    stray_answers,
)

TIMING = Timing(http_deadline_seconds=2, send_window_seconds=1, proof_delay_unscaled_seconds=60)
CUSTOMER = RecordKey(EntityType.CUSTOMER, "1")
OTHER = RecordKey(EntityType.CUSTOMER, "2")
SUBSCRIPTION = RecordKey(EntityType.SUBSCRIPTION, "7")
CREATE = Write("create", "CT-1", {"display_name": "A (CT-1)"}, "print-1", {"phone": "1"})
UPDATE = Write("update", "CT-1", {"display_name": "A (CT-1)"}, "print-2", {"phone": "2"}, "900001")


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    engine = make_engine(database.functions_url, connections=12)
    PostgresQuota(engine, ORGANISATION, TIMING, time.monotonic).configure(100, 10_000, 10)
    yield engine
    engine.dispose()


@pytest.fixture
def records(engine: Engine) -> PostgresRecords:
    return PostgresRecords(engine, ORGANISATION, TIMING)


def claimed(records: PostgresRecords, record: RecordKey = CUSTOMER) -> Claim:
    claim = records.claim(record)
    assert isinstance(claim, Claim)
    return claim


def opened(records: PostgresRecords, claim: Claim, write: Write = CREATE) -> Intent:
    intent, _ = records.open_intent(claim, write, Priority.TRIGGER, run_id=None)
    return intent


# -------------------------------------------------------------------------------------- claiming


def test_a_record_that_nobody_ever_saw_is_claimed_as_pending(
    database: Database, records: PostgresRecords
) -> None:
    claim = claimed(records)

    assert claim.claimed_from is State.PENDING
    assert claim.open_intents == ()
    assert row(database, CUSTOMER).state == "syncing"


def test_a_live_lease_is_not_taken_over(records: PostgresRecords) -> None:
    claimed(records)

    second = records.claim(CUSTOMER)

    assert isinstance(second, NotClaimed)
    assert second.state is State.SYNCING
    assert second.wait_seconds == pytest.approx(TIMING.lease_seconds, abs=5)


def test_ten_workers_that_ask_at_once_give_one_claim(
    database: Database, records: PostgresRecords
) -> None:
    start = threading.Barrier(10)

    def ask(_worker: int) -> Claim | NotClaimed:
        start.wait()
        return records.claim(CUSTOMER)

    with ThreadPoolExecutor(10) as workers:
        answers = list(workers.map(ask, range(10)))

    won = [answer for answer in answers if isinstance(answer, Claim)]
    assert len(won) == 1
    assert str(row(database, CUSTOMER).claim_id) == won[0].claim_id


# What §2 of the protocol says, state by state: with nothing, when due, when signalled.
CLAIMABLE = {
    State.PENDING: "always",
    State.SYNCING: "never",  # its lease is running here
    State.SYNCED: "signal",
    State.RETRYING: "due",
    State.WAITING: "due",
    State.BLOCKED: "never",  # its parent is not ready here
    State.IN_DOUBT: "due",
    State.MISMATCH: "signal",
    State.AMBIGUOUS: "signal",
    State.FAILED: "signal",
    State.EXHAUSTED: "signal",
    State.SKIPPED: "signal",
}


@pytest.mark.parametrize("state", State)
def test_each_state_is_claimable_exactly_as_the_protocol_says(
    database: Database, records: PostgresRecords, state: State
) -> None:
    asked = {}
    for number, (due, signalled) in enumerate(
        (due, signalled) for due in (False, True) for signalled in (False, True)
    ):
        record = RecordKey(EntityType.INVOICE, str(number))
        put(
            database,
            record,
            state=state.value,
            zoho_id=f"90000{number}",
            signals=3 if signalled else 2,
            signals_claimed=2,
        )
        minute = timedelta(minutes=1)
        now = sql(database, "SELECT clock_timestamp() AS now")[0].now
        change(
            database,
            record,
            next_attempt_at=now - minute if due else now + minute,
            lease_until=now + minute,
        )
        asked[due, signalled] = isinstance(records.claim(record), Claim)

    assert asked == {
        (due, signalled): {
            "always": True,
            "never": False,
            "due": due,
            "signal": signalled,
        }[CLAIMABLE[state]]
        for due in (False, True)
        for signalled in (False, True)
    }


def test_a_claim_says_what_it_found(database: Database, records: PostgresRecords) -> None:
    put(
        database,
        CUSTOMER,
        state="ambiguous",
        signals=1,
        code="plausible",
        field="email",
        sentence="Found one.",
        candidates='["900001"]',
        attempt_number=2,
        attempted_fingerprint="a",
        confirmed_fingerprint="c",
        create_anyway_by="finance",
    )

    claim = claimed(records)

    assert claim.claimed_from is State.AMBIGUOUS
    assert (claim.code, claim.field, claim.sentence) == ("plausible", "email", "Found one.")
    assert claim.candidates == ("900001",)
    assert (claim.attempt_number, claim.create_anyway) == (2, True)
    assert (claim.attempted_fingerprint, claim.confirmed_fingerprint) == ("a", "c")


def test_of_two_records_with_one_serial_key_one_waits_for_the_other(
    database: Database, records: PostgresRecords
) -> None:
    first = records.claim(CUSTOMER, serial_key="customer 1")
    assert isinstance(first, Claim)

    second = records.claim(OTHER, serial_key="customer 1")
    assert isinstance(second, NotClaimed)
    assert second.wait_seconds == TIMING.longest_sleep_seconds

    opened(records, first)
    records.settle(first, Settlement(State.IN_DOUBT, retry_in=60))
    assert isinstance(records.claim(OTHER, serial_key="customer 1"), NotClaimed)

    make_due(database, CUSTOMER)
    proof = claimed(records)
    records.close_intent(proof.open_intents[0], "absent")
    records.settle(proof, Settlement(State.PENDING))
    assert isinstance(records.claim(OTHER, serial_key="customer 1"), Claim)


# ------------------------------------------------------------------------ workers that disappear


def test_a_worker_lost_before_its_intent_leaves_a_record_to_claim_anew(
    database: Database, records: PostgresRecords
) -> None:
    lost = claimed(records)
    expire_lease(database, CUSTOMER)

    claim = claimed(records)

    assert claim.claimed_from is State.PENDING
    assert claim.open_intents == ()
    assert claim.claim_id != lost.claim_id


def test_a_worker_lost_after_its_intent_leaves_a_record_that_nobody_looks_at_yet(
    database: Database, records: PostgresRecords
) -> None:
    intent = opened(records, claimed(records))
    expire_lease(database, CUSTOMER)

    answer = records.claim(CUSTOMER)

    assert isinstance(answer, NotClaimed)
    assert answer.state is State.IN_DOUBT
    due = row(database, CUSTOMER).next_attempt_at
    assert due == intent.sent_at + timedelta(seconds=TIMING.proof_due_seconds)
    assert row(database, CUSTOMER).status_due is not None


def test_all_expired_leases_with_an_intent_become_in_doubt_at_once(
    database: Database, records: PostgresRecords
) -> None:
    opened(records, claimed(records))
    claimed(records, OTHER)
    alive = RecordKey(EntityType.CUSTOMER, "3")
    opened(records, claimed(records, alive))
    expire_lease(database, CUSTOMER)
    expire_lease(database, OTHER)

    assert records.expire_leases() == 1
    assert [row(database, one).state for one in (CUSTOMER, OTHER, alive)] == [
        "in_doubt",
        "syncing",
        "syncing",
    ]


def test_no_signal_makes_anybody_look_before_the_proof_is_due(
    database: Database, records: PostgresRecords
) -> None:
    claim = claimed(records)
    opened(records, claim)
    records.settle(claim, Settlement(State.IN_DOUBT, retry_in=60))

    for _ in range(3):
        records.signal(CUSTOMER)
        assert isinstance(records.claim(CUSTOMER), NotClaimed)

    make_due(database, CUSTOMER)
    assert claimed(records).claimed_from is State.IN_DOUBT


def test_the_claim_of_a_proof_finds_the_intent_and_leaves_signals_unclaimed(
    database: Database, records: PostgresRecords
) -> None:
    claim = claimed(records)
    intent = opened(records, claim)
    records.settle(claim, Settlement(State.IN_DOUBT, retry_in=0))
    records.signal(CUSTOMER)

    proof = claimed(records)

    assert proof.open_intents == (intent,)
    found = row(database, CUSTOMER)
    assert (found.signals, found.signals_claimed) == (1, 0)


def test_an_operators_retry_clears_the_fingerprint_and_no_intent(
    database: Database, records: PostgresRecords
) -> None:
    claim = claimed(records)
    opened(records, claim)
    records.settle(claim, Settlement(State.IN_DOUBT, retry_in=60))

    change(database, CUSTOMER, attempted_fingerprint=None)
    records.signal(CUSTOMER)

    assert isinstance(records.claim(CUSTOMER), NotClaimed)
    assert closed_as(database, CUSTOMER) == [None]


# ---------------------------------------------------------------------- fence, permit and intent


def test_an_intent_is_written_with_the_fence_and_the_permit(
    database: Database, records: PostgresRecords
) -> None:
    put(database, CUSTOMER, state="pending", confirmed_fingerprint="old")
    claim = claimed(records)
    before = row(database, CUSTOMER).lease_until

    opened(records, claim)

    [intent] = intents(database, CUSTOMER)
    assert (intent.key, intent.figures, intent.fingerprint) == (
        CREATE.key,
        CREATE.figures,
        CREATE.fingerprint,
    )
    assert str(intent.claim_id) == claim.claim_id
    found = row(database, CUSTOMER)
    assert found.lease_until > before
    # An update in flight: what Zoho holds is not known until its answer is here.
    assert found.confirmed_fingerprint is None
    assert found.attempted_fingerprint == CREATE.fingerprint
    assert len(sql(database, "SELECT 1 FROM billing_sync.permits")) == 1


def test_after_its_lease_a_worker_opens_no_intent_and_takes_no_permit(
    database: Database, records: PostgresRecords
) -> None:
    claim = claimed(records)
    expire_lease(database, CUSTOMER)

    with pytest.raises(FenceLost):
        opened(records, claim)

    assert intents(database, CUSTOMER) == []
    assert sql(database, "SELECT 1 FROM billing_sync.permits") == []


def test_a_worker_whose_record_was_claimed_by_another_opens_no_intent(
    database: Database, records: PostgresRecords
) -> None:
    stalled = claimed(records)
    expire_lease(database, CUSTOMER)
    claimed(records)

    with pytest.raises(FenceLost):
        opened(records, stalled)

    assert intents(database, CUSTOMER) == []


def test_without_a_permit_nothing_is_written(database: Database, engine: Engine) -> None:
    quota = PostgresQuota(engine, ORGANISATION, TIMING, time.monotonic)
    quota.configure(100, 10_000, 1)
    records = PostgresRecords(engine, ORGANISATION, TIMING)
    quota.take(Priority.TRIGGER)
    put(database, CUSTOMER, state="pending", confirmed_fingerprint="old")
    claim = claimed(records)
    before = row(database, CUSTOMER)

    with pytest.raises(NotNow) as refused:
        opened(records, claim)

    assert refused.value.reason == "in_flight"
    assert intents(database, CUSTOMER) == []
    assert row(database, CUSTOMER) == before


def test_the_send_window_runs_while_the_transaction_waits_for_a_lock(
    database: Database, records: PostgresRecords
) -> None:
    claim = claimed(records)
    asked_at = time.monotonic()
    with database.connect(SUPERUSER) as locker, ThreadPoolExecutor(1) as worker:
        with locker.transaction():
            locker.execute("SELECT 1 FROM billing_sync.records FOR UPDATE")
            opening = worker.submit(
                records.open_intent, claim, CREATE, Priority.TRIGGER, run_id=None
            )
            time.sleep(0.3)
        _, permit = opening.result()

    assert permit.send_by < asked_at + TIMING.send_window_seconds + 0.2


# ---------------------------------------------------------------------------------------- answers


def test_an_answers_id_is_stored_with_the_end_of_its_intent(
    database: Database, records: PostgresRecords
) -> None:
    claim = claimed(records)

    assert records.store_answer(claim, opened(records, claim), "900001", run_id="run-1")

    found = row(database, CUSTOMER)
    assert (found.zoho_id, found.how, found.created_by_run) == ("900001", "created", "run-1")
    assert found.state == "syncing"
    assert closed_as(database, CUSTOMER) == ["answered"]


def test_an_answer_after_the_lease_is_stored_as_long_as_nobody_else_claimed(
    database: Database, records: PostgresRecords
) -> None:
    claim = claimed(records)
    intent = opened(records, claim)
    expire_lease(database, CUSTOMER)
    records.expire_leases()

    assert records.store_answer(claim, intent, "900001", run_id=None)
    assert records.settle(claim, Settlement(State.SYNCED)) is State.SYNCED
    assert row(database, CUSTOMER).zoho_id == "900001"


def test_an_answer_after_the_claim_was_lost_is_kept_as_a_stray_for_the_proof(
    database: Database, records: PostgresRecords
) -> None:
    stalled = claimed(records)
    intent = opened(records, stalled)
    expire_lease(database, CUSTOMER)
    records.expire_leases()
    make_due(database, CUSTOMER)
    proof = claimed(records)

    assert not records.store_answer(stalled, intent, "900001", run_id=None)

    assert row(database, CUSTOMER).zoho_id is None
    assert closed_as(database, CUSTOMER) == [None]
    assert records.stray_answer(proof) == (intent, "900001")
    assert records.adopt(proof, "900001", intent=intent, run_id=None) is None
    assert closed_as(database, CUSTOMER) == ["found"]
    assert [stray.settled_as for stray in stray_answers(database, CUSTOMER)] == ["adopted"]


def test_an_id_that_another_record_holds_is_not_adopted(
    database: Database, records: PostgresRecords
) -> None:
    put(database, OTHER, state="synced", zoho_id="900001")

    holder = records.adopt(claimed(records), "900001", intent=None, run_id=None)

    assert holder == OTHER
    assert row(database, CUSTOMER).zoho_id is None


def test_a_worker_whose_claim_is_lost_adopts_nothing(
    database: Database, records: PostgresRecords
) -> None:
    stalled = claimed(records)
    expire_lease(database, CUSTOMER)
    claimed(records)

    with pytest.raises(FenceLost):
        records.adopt(stalled, "900001", intent=None, run_id=None)

    assert row(database, CUSTOMER).zoho_id is None


def test_another_id_keeps_the_former_one_in_memory(
    database: Database, records: PostgresRecords
) -> None:
    put(database, CUSTOMER, state="synced", signals=1, zoho_id="900001")

    records.adopt(claimed(records), "900002", intent=None, run_id=None)

    found = row(database, CUSTOMER)
    assert (found.zoho_id, found.former_zoho_ids) == ("900002", ["900001"])


# --------------------------------------------------------------------------------------- settling


def test_a_worker_whose_claim_is_lost_settles_nothing(
    database: Database, records: PostgresRecords
) -> None:
    stalled = claimed(records)
    expire_lease(database, CUSTOMER)
    claim = claimed(records)
    records.settle(claim, Settlement(State.FAILED, code="zoho_15"))
    before = row(database, CUSTOMER)

    assert records.settle(stalled, Settlement(State.SKIPPED)) is None
    assert row(database, CUSTOMER) == before


@pytest.mark.parametrize(
    ("state", "becomes"),
    [
        (State.SYNCED, State.PENDING),
        (State.SKIPPED, State.PENDING),
        (State.FAILED, State.PENDING),
        # A proof comes first; then what arrived meanwhile.
        (State.IN_DOUBT, State.IN_DOUBT),
        # Throttled: when it is due, it reads the source anew anyway.
        (State.RETRYING, State.RETRYING),
        (State.MISMATCH, State.MISMATCH),
        (State.AMBIGUOUS, State.AMBIGUOUS),
        (State.EXHAUSTED, State.EXHAUSTED),
    ],
)
def test_a_signal_that_arrives_during_a_sync_is_not_lost(
    records: PostgresRecords, state: State, becomes: State
) -> None:
    claim = claimed(records)
    records.store_answer(claim, opened(records, claim), "900001", run_id=None)
    records.signal(CUSTOMER)

    assert records.settle(claim, Settlement(state, retry_in=0)) is becomes
    # Whatever it is now, somebody comes back for it.
    assert isinstance(records.claim(CUSTOMER), Claim)


def test_settling_and_owing_the_status_columns_are_one_transaction(
    database: Database, records: PostgresRecords
) -> None:
    records.settle(claimed(records), Settlement(State.FAILED, code="zoho_15"))

    assert row(database, CUSTOMER).status_due is not None


def test_a_settlement_explains_its_own_state_and_forgets_the_reasons_of_the_last(
    database: Database, records: PostgresRecords
) -> None:
    put(
        database,
        CUSTOMER,
        state="pending",
        code="old",
        field="old",
        sentence="old",
        candidates='["1"]',
    )

    records.settle(claimed(records), Settlement(State.FAILED, code="zoho_15"))

    found = row(database, CUSTOMER)
    assert (found.code, found.field, found.sentence, found.candidates) == (
        "zoho_15",
        None,
        None,
        [],
    )


def test_a_record_that_waited_before_sending_is_claimed_as_what_it_was(
    database: Database, records: PostgresRecords
) -> None:
    put(database, CUSTOMER, state="mismatch", signals=1, zoho_id="900001")
    claim = claimed(records)
    records.settle(claim, Settlement(State.RETRYING, retry_in=0, resume_as=State.MISMATCH))

    assert claimed(records).claimed_from is State.MISMATCH
    assert row(database, CUSTOMER).resume_as is None


def test_an_acceptance_ends_when_the_source_row_changes(
    database: Database, records: PostgresRecords
) -> None:
    put(database, CUSTOMER, state="failed", signals=1)
    sql(
        database,
        """UPDATE billing_sync.records SET accepted_at = now(), accepted_by = 'finance',
                  accepted_reason = 'left', source_version = '2026-01-01T00:00Z'""",
    )
    version = row(database, CUSTOMER).source_version

    records.settle(claimed(records), Settlement(State.FAILED, source_version=version))
    assert row(database, CUSTOMER).accepted_at is not None

    records.signal(CUSTOMER)
    later = version + timedelta(seconds=1)
    records.settle(claimed(records), Settlement(State.FAILED, source_version=later))
    assert row(database, CUSTOMER).accepted_at is None


def test_a_log_row_that_is_refused_says_so(database: Database, records: PostgresRecords) -> None:
    sql(
        database,
        """ALTER TABLE billing_sync.zoho_sync_logs
           ADD CHECK (operation IN ('quote', 'contract'))""",
    )

    with pytest.raises(LogNotWritten) as refused:
        records.write_log(LogEntry(CUSTOMER, "create", "answered", 1))

    assert str(CUSTOMER) in str(refused.value)


@pytest.mark.parametrize("entity", EntityType)
def test_every_kind_of_record_has_its_log_row(
    database: Database, records: PostgresRecords, entity: EntityType
) -> None:
    records.write_log(LogEntry(RecordKey(entity, "1"), "create", "answered", 1, zoho_id="9"))

    [logged] = sql(database, "SELECT * FROM billing_sync.zoho_sync_logs")
    assert (logged.entity_type, logged.zoho_entity_id) == (entity.value, "9")


# ---------------------------------------------------------------------------------------- parents


@pytest.mark.parametrize(
    ("parent", "ready"),
    [
        ({"state": "synced", "zoho_id": "9"}, True),
        # Its update was refused: its children can be sent all the same.
        ({"state": "failed", "zoho_id": "9", "code": "zoho_15"}, True),
        ({"state": "syncing", "zoho_id": "9"}, True),
        ({"state": "pending"}, False),
        ({"state": "in_doubt"}, False),
        ({"state": "failed", "zoho_id": "9", "code": "gone_in_zoho"}, False),
    ],
)
def test_a_parent_is_ready_when_it_has_a_live_id(
    database: Database, records: PostgresRecords, parent: dict[str, str], ready: bool
) -> None:
    put(database, CUSTOMER, **parent)

    assert records.is_ready(CUSTOMER) is ready


@pytest.mark.parametrize(
    "columns",
    [
        {"state": "synced", "removed_at": "2026-01-01T00:00Z"},
        {"state": "skipped"},
    ],
    ids=["rightly removed", "skipped"],
)
def test_nobody_waits_for_a_parent_that_is_rightly_not_in_zoho(
    database: Database, records: PostgresRecords, columns: dict[str, str]
) -> None:
    put(database, CUSTOMER, **columns)

    assert records.is_ready(CUSTOMER)


def test_an_invoice_is_a_ready_parent_only_when_it_is_open_and_equal(
    database: Database, records: PostgresRecords
) -> None:
    invoice = RecordKey(EntityType.INVOICE, "5")
    put(database, invoice, state="mismatch", zoho_id="9")
    assert not records.is_ready(invoice)

    change(database, invoice, state="synced")
    assert records.is_ready(invoice)


def test_a_blocked_child_is_claimable_once_its_parent_is_ready(
    database: Database, records: PostgresRecords
) -> None:
    assert records.block(SUBSCRIPTION, CUSTOMER, run_id="run-1")
    blocked = row(database, SUBSCRIPTION)
    assert (blocked.state, blocked.blocked_on_type, blocked.blocked_on_id) == (
        "blocked",
        "customer",
        "1",
    )
    # The parent is known from now on, so that it will be worked on.
    assert row(database, CUSTOMER).state == "pending"
    assert isinstance(records.claim(SUBSCRIPTION), NotClaimed)

    claim = claimed(records)
    records.store_answer(claim, opened(records, claim), "900001", run_id=None)
    records.settle(claim, Settlement(State.SYNCED))

    assert row(database, SUBSCRIPTION).next_attempt_at is not None
    assert isinstance(records.claim(SUBSCRIPTION), Claim)


def test_a_child_whose_parent_has_just_become_ready_is_due_at_once(
    database: Database, records: PostgresRecords
) -> None:
    put(database, CUSTOMER, state="synced", zoho_id="900001")

    records.block(SUBSCRIPTION, CUSTOMER, run_id=None)

    assert row(database, SUBSCRIPTION).next_attempt_at is not None
    assert isinstance(records.claim(SUBSCRIPTION), Claim)


@pytest.mark.parametrize("state", ["syncing", "synced", "in_doubt", "mismatch"])
def test_a_stalled_worker_does_not_block_what_another_has_brought_further(
    database: Database, records: PostgresRecords, state: str
) -> None:
    put(database, SUBSCRIPTION, state=state, zoho_id="900007")

    assert not records.block(SUBSCRIPTION, CUSTOMER, run_id=None)
    assert row(database, SUBSCRIPTION).state == state


@pytest.mark.parametrize("state", ["skipped", "failed", "ambiguous", "exhausted"])
def test_a_resting_child_is_blocked_only_when_it_was_asked_for(
    database: Database, records: PostgresRecords, state: str
) -> None:
    put(database, SUBSCRIPTION, state=state)
    assert not records.block(SUBSCRIPTION, CUSTOMER, run_id=None)

    records.signal(SUBSCRIPTION)
    assert records.block(SUBSCRIPTION, CUSTOMER, run_id=None)


def test_a_child_whose_worker_was_lost_is_blocked_and_the_lost_worker_settles_nothing(
    database: Database, records: PostgresRecords
) -> None:
    lost = claimed(records, SUBSCRIPTION)
    expire_lease(database, SUBSCRIPTION)

    assert records.block(SUBSCRIPTION, CUSTOMER, run_id=None)

    assert records.settle(lost, Settlement(State.FAILED)) is None
    with pytest.raises(FenceLost):
        opened(records, lost)
    assert row(database, SUBSCRIPTION).state == "blocked"


def test_a_child_with_a_write_in_flight_is_proved_and_not_blocked(
    database: Database, records: PostgresRecords
) -> None:
    opened(records, claimed(records, SUBSCRIPTION))
    expire_lease(database, SUBSCRIPTION)

    assert not records.block(SUBSCRIPTION, CUSTOMER, run_id=None)


def test_no_wake_up_is_lost_when_a_parent_settles_while_its_child_is_blocked(
    database: Database, records: PostgresRecords
) -> None:
    """Ten children block themselves while their parent settles, many times over.

    Blocking locks parent before child, and so does settling: no round may end in a deadlock, and
    after each one every child must be due.
    """
    children = [RecordKey(EntityType.SUBSCRIPTION, str(number)) for number in range(10)]
    with ThreadPoolExecutor(len(children) + 1) as workers:
        for number in range(15):
            parent = RecordKey(EntityType.CUSTOMER, f"parent {number}")
            claim = claimed(records, parent)
            start = threading.Barrier(len(children) + 1)

            def block(
                child: RecordKey,
                parent: RecordKey = parent,
                start: threading.Barrier = start,
            ) -> bool:
                start.wait()
                return records.block(child, parent, run_id=None)

            blocking = [workers.submit(block, child) for child in children]
            start.wait()
            records.adopt(claim, f"91{number:04d}", intent=None, run_id=None)
            settled = records.settle(claim, Settlement(State.SYNCED))

            assert all(future.result() for future in blocking)
            assert settled is State.SYNCED
            due = sql(
                database,
                """SELECT 1 FROM billing_sync.records
                   WHERE state = 'blocked' AND next_attempt_at <= clock_timestamp()""",
            )
            assert len(due) == len(children)
            for child in children:
                change(database, child, state="pending")


# ------------------------------------------------------------------------------------------ views


def test_many_records_are_shown_in_one_round_trip(
    database: Database, records: PostgresRecords
) -> None:
    put(database, CUSTOMER, state="failed", code="zoho_15", signals=1)
    put(database, OTHER, state="synced", zoho_id="900002")

    shown = records.views(EntityType.CUSTOMER, ["1", "2", "3"])

    assert set(shown) == {"1", "2"}
    assert (shown["1"].code, shown["1"].signals_waiting) == ("zoho_15", True)
    assert shown["2"] == records.view(OTHER)
    assert records.view(RecordKey(EntityType.CUSTOMER, "3")) is None
