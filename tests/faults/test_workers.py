"""Workers that are killed, stall, wake up or come ten at once: one customer each, every time."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from multiprocessing.context import ForkServerProcess

import httpx
import pytest

from billing_sync.bootstrap import Container
from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Priority, RecordKey
from billing_sync.services.attempt import Outcome
from ops.fake_zoho import AnswerDelayed, BadGateway, CommitDelayed
from ops.local_stack.postgres import Database
from tests.faults.doomed_worker import Point, process
from tests.records import (
    calls,
    closed_as,
    expire_lease,
    intents,
    make_due,
    row,
    sql,
    stray_answers,
)
from tests.world import World, world

JOHAN = "CT-2025-00004"
AFTER_THE_LAG = 10  # of the index, in Zoho's seconds


@pytest.fixture
def w(database: Database) -> Iterator[World]:
    with world(database) as made:
        made.worker.take_snapshot.young_snapshot()
        yield made


def johan(w: World) -> RecordKey:
    return w.customer(JOHAN)


def doomed(w: World, point: Point) -> AbstractContextManager[ForkServerProcess]:
    """Start a process of its own on Johan's sync, with the token that all share."""
    w.worker.tokens.current()
    return process(w.environment, w.database.functions_url, w.store.token, johan(w), point)


def killed(w: World, point: Point) -> int | None:
    """Let a worker die at a point of Johan's sync; give its exit code."""
    with doomed(w, point) as worker:
        worker.join(30)
        return worker.exitcode


def let_it_heal(w: World) -> None:
    """Do what the next minutes do: leases run out, proofs fall due, somebody comes by."""
    w.zoho.control.advance_clock(AFTER_THE_LAG)
    for _ in range(4):
        found = w.record(JOHAN)
        if found.state == "syncing":
            expire_lease(w.database, johan(w))
        if found.state in ("in_doubt", "retrying"):
            make_due(w.database, johan(w))
        w.sync(JOHAN)
    for record in w.worker.records.status_due(10):
        w.worker.status_columns.write(record)


def assert_one_customer_in_step(w: World) -> None:
    [customer] = w.in_zoho(JOHAN)
    found = w.record(JOHAN)
    assert (found.state, found.zoho_id) == ("synced", customer["customer_id"])
    assert None not in closed_as(w.database, johan(w))
    [shown] = w.sql(
        """SELECT zoho_billing_customer_id, zoho_sync_status FROM customers
           WHERE account_number = :account""",
        account=JOHAN,
    )
    assert tuple(shown) == (customer["customer_id"], "synced")


# ----------------------------------------------------------------------------------------- killed


def test_a_worker_that_lives_has_done_its_work(w: World) -> None:
    assert killed(w, Point.NEVER) == 0
    assert_one_customer_in_step(w)


def test_killed_after_its_claim_a_worker_leaves_a_record_that_is_pending_again(w: World) -> None:
    assert killed(w, Point.CLAIMED) == -9
    assert w.record(JOHAN).state == "syncing"
    assert w.sync(JOHAN).not_claimed is not None
    expire_lease(w.database, johan(w))

    assert w.sync(JOHAN).change == "created"

    assert_one_customer_in_step(w)
    assert calls(w.zoho).count("create_customer") == 1


def test_killed_between_its_intent_and_the_post_a_worker_leaves_a_doubt_that_is_proved_absent(
    w: World,
) -> None:
    assert killed(w, Point.INTENT) == -9
    expire_lease(w.database, johan(w))
    assert w.sync(JOHAN).state is State.IN_DOUBT
    asked = calls(w.zoho)

    let_it_heal(w)

    assert_one_customer_in_step(w)
    assert closed_as(w.database, johan(w)) == ["absent", "answered"]
    # First the proof, then the POST.
    assert calls(w.zoho)[len(asked) :] == ["list_customers", "create_customer"]


def test_killed_between_zohos_commit_and_ours_a_worker_leaves_a_doubt_that_is_proved_found(
    w: World,
) -> None:
    assert killed(w, Point.ANSWERED) == -9
    assert len(w.in_zoho(JOHAN)) == 1
    assert w.record(JOHAN).zoho_id is None

    let_it_heal(w)

    assert_one_customer_in_step(w)
    assert closed_as(w.database, johan(w)) == ["found"]
    assert calls(w.zoho).count("create_customer") == 1


def test_killed_from_outside_while_zoho_has_not_answered_yet_ends_in_one_customer(
    w: World,
) -> None:
    w.zoho.control.arm(AnswerDelayed(operation="create_customer", delay_seconds=20))
    with doomed(w, Point.NEVER) as worker:
        give_up_at = time.monotonic() + 20
        while not w.in_zoho(JOHAN) and time.monotonic() < give_up_at:
            time.sleep(0.02)
        worker.kill()
        worker.join()
        assert worker.exitcode == -9

    let_it_heal(w)

    assert_one_customer_in_step(w)
    assert calls(w.zoho).count("create_customer") == 1


def test_killed_after_the_id_was_stored_a_worker_leaves_a_record_that_is_never_created_again(
    w: World,
) -> None:
    assert killed(w, Point.STORED) == -9
    assert w.record(JOHAN).zoho_id == w.in_zoho(JOHAN)[0]["customer_id"]
    expire_lease(w.database, johan(w))

    assert w.sync(JOHAN).state is State.SYNCED

    assert_one_customer_in_step(w)
    assert calls(w.zoho).count("create_customer") == 1


def test_killed_after_settling_a_worker_leaves_its_status_columns_due(w: World) -> None:
    assert killed(w, Point.SETTLED) == -9
    assert w.record(JOHAN).state == "synced"
    assert w.worker.records.status_due(10) == [johan(w)]

    let_it_heal(w)

    assert_one_customer_in_step(w)
    assert w.worker.records.status_due(10) == []


# ---------------------------------------------------------------------------------------- stalled


def stalled(w: World, when: str, meanwhile: Callable[[], object], **environment: str) -> Container:
    """Make a worker that, at its POST, stands still while `meanwhile` happens.

    `when` is `request` (its intent is open, no byte has left) or `response` (Zoho has answered).
    """
    worker = w.container(**environment)

    def stand_still(message: httpx.Request | httpx.Response) -> None:
        request = message.request if isinstance(message, httpx.Response) else message
        if request.method == "POST" and request.url.path.endswith("/customers"):
            meanwhile()

    # Its connection is open already: only the look before the first byte can hold it back.
    worker.api.organisations()
    worker.http.event_hooks = {when: [stand_still]}
    return worker


def test_a_worker_that_wakes_up_too_late_before_its_post_makes_no_call(w: World) -> None:
    def meanwhile() -> None:
        expire_lease(w.database, johan(w))
        assert w.sync(JOHAN).state is State.IN_DOUBT
        time.sleep(0.3)

    worker = stalled(w, "request", meanwhile, SEND_WINDOW_SECONDS="0.2")

    outcome = w.sync(JOHAN, worker)

    # Nobody took the record over: it closes its own intent, and says so.
    assert (outcome.state, outcome.code) == (State.RETRYING, "stalled")
    assert closed_as(w.database, johan(w)) == ["never_sent"]
    assert "create_customer" not in calls(w.zoho)
    let_it_heal(w)
    assert_one_customer_in_step(w)


def test_a_worker_that_wakes_up_before_its_post_after_another_proved_and_created_makes_no_call(
    w: World,
) -> None:
    def meanwhile() -> None:
        expire_lease(w.database, johan(w))
        let_it_heal(w)
        assert_one_customer_in_step(w)
        time.sleep(0.3)

    worker = stalled(w, "request", meanwhile, SEND_WINDOW_SECONDS="0.2")

    outcome = w.sync(JOHAN, worker)

    assert outcome.state is None
    assert_one_customer_in_step(w)
    assert calls(w.zoho).count("create_customer") == 1
    assert closed_as(w.database, johan(w)) == ["absent", "answered"]


def test_a_worker_that_wakes_up_before_its_intent_finds_its_fence_lost(w: World) -> None:
    worker = w.container()
    worker.tokens.current()
    sql(w.database, "DELETE FROM billing_sync.snapshots")  # it looks into Zoho itself
    once = iter([True])

    def stand_still(_request: httpx.Request) -> None:
        if next(once, False):
            expire_lease(w.database, johan(w))
            assert w.sync(JOHAN).change == "created"

    worker.http.event_hooks = {"request": [stand_still]}

    outcome = w.sync(JOHAN, worker)

    assert outcome.state is None
    assert len(intents(w.database, johan(w))) == 1
    assert_one_customer_in_step(w)


def test_a_worker_that_wakes_up_with_its_answer_before_anybody_proved_stores_it(
    w: World,
) -> None:
    def meanwhile() -> None:
        expire_lease(w.database, johan(w))
        assert w.sync(JOHAN).state is State.IN_DOUBT

    worker = stalled(w, "response", meanwhile)

    assert w.sync(JOHAN, worker).state is State.SYNCED
    assert_one_customer_in_step(w)
    assert closed_as(w.database, johan(w)) == ["answered"]


def test_a_worker_that_wakes_up_with_its_answer_after_the_proof_changes_nothing(
    w: World,
) -> None:
    def meanwhile() -> None:
        expire_lease(w.database, johan(w))
        let_it_heal(w)

    worker = stalled(w, "response", meanwhile)

    assert w.sync(JOHAN, worker).state is None
    assert_one_customer_in_step(w)
    # Its stray answer is the record's own id: nothing to report.
    assert [stray.zoho_id for stray in stray_answers(w.database, johan(w))] == [
        w.record(JOHAN).zoho_id
    ]
    assert w.worker.verification.stray_duplicates() == ()


def test_a_worker_that_wakes_up_with_its_answer_while_the_proof_could_not_see_helps_it(
    w: World,
) -> None:
    def meanwhile() -> None:
        expire_lease(w.database, johan(w))
        w.sync(JOHAN)
        w.zoho.control.arm(BadGateway(operation="list_customers"))
        make_due(w.database, johan(w))
        assert w.sync(JOHAN).state is State.IN_DOUBT

    worker = stalled(w, "response", meanwhile)

    assert w.sync(JOHAN, worker).state is None
    assert [stray.settled_as for stray in stray_answers(w.database, johan(w))] == [None]
    before = len(calls(w.zoho))
    let_it_heal(w)

    assert_one_customer_in_step(w)
    assert [stray.settled_as for stray in stray_answers(w.database, johan(w))] == ["adopted"]
    # The answer is the proof: no list was walked for it.
    assert calls(w.zoho)[before:] == ["get_customer"]


def test_should_a_second_customer_ever_be_made_the_late_answer_gives_it_away(w: World) -> None:
    """Zoho's index is slower here than the proof allows for: what cannot be seen is not there."""
    w.zoho.control.switch(index_lag_seconds=36_000)

    def meanwhile() -> None:
        expire_lease(w.database, johan(w))
        let_it_heal(w)

    assert w.sync(JOHAN, stalled(w, "response", meanwhile)).state is None

    first_id, second_id = [customer["customer_id"] for customer in w.in_zoho(JOHAN)]
    assert w.record(JOHAN).zoho_id == second_id
    assert w.worker.verification.stray_duplicates() == (first_id,)


# ------------------------------------------------------------------------------------ late commits


@pytest.mark.parametrize("hang", [True, False], ids=["after our time-out", "after a reset"])
def test_a_commit_that_zoho_delays_past_our_deadline_makes_no_second_customer(
    database: Database, hang: bool
) -> None:
    with world(database, HTTP_DEADLINE_SECONDS="0.4", SEND_WINDOW_SECONDS="0.4") as w:
        w.worker.take_snapshot.young_snapshot()
        w.zoho.control.arm(CommitDelayed(operation="create_customer", delay_seconds=0.7, hang=hang))

        assert w.sync(JOHAN).state is State.IN_DOUBT
        assert w.in_zoho(JOHAN) == []
        # In real time, by the proof's own date.
        give_up_at = time.monotonic() + 10
        while w.record(JOHAN).state != "synced" and time.monotonic() < give_up_at:
            w.worker.records.signal(johan(w))
            w.sync(JOHAN)
            time.sleep(0.1)

        assert_one_customer_in_step(w)
        assert calls(w.zoho).count("create_customer") == 1


def test_a_look_before_the_proof_is_due_would_have_missed_the_late_commit(w: World) -> None:
    """The counter-example: why nobody looks earlier, and why nothing may bring it forward."""
    w.zoho.control.arm(CommitDelayed(operation="create_customer", delay_seconds=1, hang=False))
    assert w.sync(JOHAN).state is State.IN_DOUBT

    make_due(w.database, johan(w))
    assert w.sync(JOHAN).state is State.PENDING
    assert w.sync(JOHAN).state is State.SYNCED

    give_up_at = time.monotonic() + 10
    while len(w.in_zoho(JOHAN)) < 2 and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert len(w.in_zoho(JOHAN)) == 2


# ------------------------------------------------------------------------------------ ten at once


def sync(worker: Container, record: RecordKey) -> Outcome:
    return worker.sync_record(record, priority=Priority.TRIGGER)


def at_once(work: list[Callable[[], Outcome]]) -> list[Outcome]:
    start = threading.Barrier(len(work))

    def begin(one: Callable[[], Outcome]) -> Outcome:
        start.wait()
        return one()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(begin, work))


def test_ten_workers_that_ask_for_one_customer_at_once_create_it_once(w: World) -> None:
    workers = [w.container() for _ in range(10)]
    record = johan(w)

    outcomes = at_once([partial(sync, worker, record) for worker in workers])

    changes = [outcome.change for outcome in outcomes]
    assert (changes.count("created"), changes.count(None)) == (1, 9)
    assert calls(w.zoho).count("create_customer") == 1
    assert_one_customer_in_step(w)


def test_ten_workers_that_find_no_snapshot_take_one_that_all_can_use(database: Database) -> None:
    with world(database) as w:
        workers = [w.container() for _ in range(10)]
        records = [
            RecordKey(EntityType.CUSTOMER, str(found.id))
            for found in w.sql("SELECT id FROM customers ORDER BY id LIMIT 10")
        ]

        outcomes = at_once(list(map(partial, [sync] * 10, workers, records)))

        # Whoever was told to wait was told so by the quota; nobody took anybody's snapshot away.
        states = {outcome.state for outcome in outcomes}
        assert states <= {State.SYNCED, State.SKIPPED, State.RETRYING}
        assert [row(database, record).attempt_number for record in records] == [0] * 10
