"""Workers that are killed, stall or are answered late, at each write of each entity: once, right.

Every test looks at both sides: what fake Zoho holds and mailed, and how the record rests.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from billing_sync.bootstrap import Container
from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Priority, RecordKey
from ops.fake_zoho import CommitDelayed
from ops.local_stack.postgres import Database
from tests.faults.doomed_worker import Point, process
from tests.one_customer import OneCustomer
from tests.records import calls, expire_lease, row
from tests.world import World, world

Records = tuple[RecordKey, ...]


@dataclass(frozen=True)
class Case:
    """One write: how it comes to be the next one, where it goes, and what is there in the end.

    `prepare` gives the records that it brings in step, the one that is asked for last. `passes`
    are the writes that come before it in the same call.
    """

    prepare: Callable[[OneCustomer], Records]
    operation: str
    method: str
    path_end: str
    holds: dict[str, int]
    account: tuple[float, float]
    passes: int = 0


def subscription(one: OneCustomer) -> Records:
    """Leave only the subscription itself to be made: its customer, product and plan are there."""
    package = one.w.sql("SELECT id FROM service_packages ORDER BY id LIMIT 1")[0].id
    one.bring(customer(one), RecordKey(EntityType.PLAN, str(package)))
    return (one.add_service(),)


def invoice(one: OneCustomer) -> Records:
    one.bring(customer(one))
    return (one.add_invoice(),)


def payment(one: OneCustomer) -> Records:
    unpaid = one.add_invoice()
    one.bring(unpaid)
    return (one.add_payment(unpaid),)


def credit(one: OneCustomer) -> Records:
    one.bring(customer(one))
    return (one.add_payment(),)


def change(one: OneCustomer) -> Records:
    [paid] = payment(one)
    one.bring(paid)
    one.w.change("payment_transactions", paid.entity_id, amount=500)
    one.w.worker.records.signal(paid)
    return (paid,)


def removal(one: OneCustomer) -> Records:
    [paid] = payment(one)
    one.bring(paid)
    one.w.change("payment_transactions", paid.entity_id, status="reversed")
    one.w.worker.records.signal(paid)
    return (paid,)


def plan(one: OneCustomer) -> Records:
    one.bring(customer(one))
    package = one.w.sql("SELECT id, service_type FROM service_packages ORDER BY id LIMIT 1")[0]
    product = RecordKey(EntityType.PRODUCT, package.service_type)
    return product, RecordKey(EntityType.PLAN, str(package.id))


def customer(one: OneCustomer) -> RecordKey:
    return RecordKey(EntityType.CUSTOMER, one.customer_id)


CATALOGUE = {"customers": 1, "products": 1, "plans": 1}
# Zoho raises the first invoice of a subscription as it begins.
SUBSCRIBED = {**CATALOGUE, "subscriptions": 1, "invoices": 1}
INVOICED = {"customers": 1, "invoices": 1}
CASES = {
    "product": Case(plan, "create_product", "POST", "/products", CATALOGUE, (0, 0)),
    "plan": Case(plan, "create_plan", "POST", "/plans", CATALOGUE, (0, 0), passes=1),
    "subscription": Case(
        subscription, "create_subscription", "POST", "/subscriptions", SUBSCRIBED, (459, 0)
    ),
    "draft": Case(invoice, "create_invoice", "POST", "/invoices", INVOICED, (460, 0)),
    "open": Case(
        invoice, "convert_invoice_to_open", "POST", "/converttoopen", INVOICED, (460, 0), passes=1
    ),
    "payment": Case(
        payment, "create_payment", "POST", "/payments", {**INVOICED, "payments": 1}, (0, 0)
    ),
    "credit": Case(
        credit, "create_payment", "POST", "/payments", {"customers": 1, "payments": 1}, (0, 460)
    ),
    "change": Case(change, "update_payment", "PUT", "", {**INVOICED, "payments": 1}, (0, 40)),
    "removal": Case(removal, "delete_payment", "DELETE", "", INVOICED, (460, 0)),
}


@pytest.fixture
def one(database: Database) -> Iterator[OneCustomer]:
    with world(database) as w:
        yield OneCustomer(w)


def assert_once_and_right(one: OneCustomer, case: Case, records: Records) -> None:
    """Look at both sides: counts and figures in Zoho, and records that rest with no write open."""
    one.assert_in_step(*records)
    assert {kind: count for kind, count in one.made().items() if count} == case.holds
    assert one.account() == case.account
    for record in records:
        found = row(one.w.database, record)
        assert (found.zoho_id is None) == (case.operation == "delete_payment")
        assert (found.removed_at is None) == (case.operation != "delete_payment")
    assert one.w.worker.records.status_due(50) == []
    assert one.w.worker.verification.stray_duplicates() == ()
    for sent in one.w.zoho.control.state().invoices:
        assert sent["status"] != "draft"


# ----------------------------------------------------------------------------------------- killed


@pytest.mark.parametrize("point", [Point.INTENT, Point.ANSWERED, Point.STORED])
@pytest.mark.parametrize("write", CASES)
def test_a_worker_killed_at_a_write_leaves_what_the_next_one_ends_once(
    one: OneCustomer, write: str, point: Point
) -> None:
    case = CASES[write]
    records = case.prepare(one)
    w = one.w
    w.worker.tokens.current()

    with process(
        w.environment,
        w.database.functions_url,
        w.store.token,
        records[-1],
        point,
        case.passes,
    ) as worker:
        worker.join(30)
        assert worker.exitcode == -9
    reached_zoho = calls(w.zoho).count(case.operation)
    one.let_it_heal(*records)

    assert reached_zoho == (point is not Point.INTENT)
    assert_once_and_right(one, case, records)


# ---------------------------------------------------------------------------------------- stalled


def stalled(
    w: World, case: Case, when: str, meanwhile: Callable[[], None], **environment: str
) -> Container:
    """Make a worker that stands still at the write while `meanwhile` happens.

    `when` is `request` (its intent is open, no byte has left) or `response` (Zoho has answered).
    """
    worker = w.container(**environment)
    once = iter([True])

    def stand_still(message: httpx.Request | httpx.Response) -> None:
        request = message.request if isinstance(message, httpx.Response) else message
        is_the_write = request.method == case.method and request.url.path.endswith(case.path_end)
        if is_the_write and next(once, False):
            meanwhile()

    # Its connection is open already: only the look before the first byte can hold it back.
    worker.api.organisations()
    worker.http.event_hooks = {when: [stand_still]}
    return worker


@pytest.mark.parametrize("write", ["subscription", "draft", "open", "payment", "removal"])
def test_a_worker_that_wakes_up_before_its_write_after_another_has_done_it_makes_no_call(
    one: OneCustomer, write: str
) -> None:
    case = CASES[write]
    [record] = case.prepare(one)

    def meanwhile() -> None:
        expire_lease(one.w.database, record)
        one.let_it_heal(record)
        assert_once_and_right(one, case, (record,))
        time.sleep(0.3)

    late = stalled(one.w, case, "request", meanwhile, SEND_WINDOW_SECONDS="0.2")

    outcome = late.sync_record(record, priority=Priority.TRIGGER)

    assert outcome.state is None
    assert calls(one.w.zoho).count(case.operation) == 1
    assert_once_and_right(one, case, (record,))


@pytest.mark.parametrize("write", ["subscription", "draft", "open", "payment", "removal"])
def test_a_worker_that_wakes_up_with_its_answer_after_the_proof_changes_nothing(
    one: OneCustomer, write: str
) -> None:
    case = CASES[write]
    [record] = case.prepare(one)

    def meanwhile() -> None:
        expire_lease(one.w.database, record)
        one.let_it_heal(record)
        assert_once_and_right(one, case, (record,))

    late = stalled(one.w, case, "response", meanwhile)

    outcome = late.sync_record(record, priority=Priority.TRIGGER)

    assert outcome.state is None
    assert_once_and_right(one, case, (record,))


# ------------------------------------------------------------------------------------ late commits


@pytest.mark.parametrize("write", ["subscription", "draft", "open", "payment", "removal"])
def test_a_commit_that_zoho_delays_past_our_deadline_is_waited_for(
    database: Database, write: str
) -> None:
    case = CASES[write]
    with world(database, HTTP_DEADLINE_SECONDS="0.4", SEND_WINDOW_SECONDS="0.4") as w:
        one = OneCustomer(w)
        [record] = case.prepare(one)
        delayed = CommitDelayed(operation=case.operation, delay_seconds=0.7, hang=False)
        w.zoho.control.arm(delayed)

        assert w.bring(record.entity, record.entity_id).state is State.IN_DOUBT
        # In real time, by the proof's own date.
        give_up_at = time.monotonic() + 10
        while one.state(record) != "synced" and time.monotonic() < give_up_at:
            w.worker.records.signal(record)
            w.bring(record.entity, record.entity_id)
            time.sleep(0.1)

        assert_once_and_right(one, case, (record,))
