"""Parents first: subscriptions and invoices wait for their customer, and nobody waits for ever."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from billing_sync.domain.errors import OutcomeUnknown, Rejected, Throttled, Unavailable
from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Claim, RecordKey, Settlement
from ops.local_stack.postgres import Database
from tests.engine import Engine, engine
from tests.fakes.rules import FakeRules
from tests.records import expire_lease, sql

CUSTOMER = RecordKey(EntityType.CUSTOMER, "1")
SUBSCRIPTION = RecordKey(EntityType.SUBSCRIPTION, "7")
INVOICE = RecordKey(EntityType.INVOICE, "9")


@pytest.fixture
def customers() -> FakeRules:
    rules = FakeRules()
    rules.write("1", "Ada")
    return rules


@pytest.fixture
def subscriptions() -> FakeRules:
    rules = FakeRules(EntityType.SUBSCRIPTION, parents_of={"7": (CUSTOMER,)})
    rules.write("7", "Fibre")
    return rules


@pytest.fixture
def invoices() -> FakeRules:
    rules = FakeRules(EntityType.INVOICE, parents_of={"9": (SUBSCRIPTION,)})
    rules.write("9", "January")
    return rules


@pytest.fixture
def worker(
    database: Database, customers: FakeRules, subscriptions: FakeRules, invoices: FakeRules
) -> Iterator[Engine]:
    others = {EntityType.SUBSCRIPTION: subscriptions, EntityType.INVOICE: invoices}
    with engine(database, customers, others, connections=11) as worker:
        yield worker


def test_a_missing_parent_is_synced_first_and_its_own_parent_before_it(
    worker: Engine, customers: FakeRules, subscriptions: FakeRules
) -> None:
    assert worker.sync(INVOICE).state is State.SYNCED

    assert (customers.calls["create"], subscriptions.calls["create"]) == (1, 1)
    assert worker.row(CUSTOMER).state == worker.row(SUBSCRIPTION).state == "synced"


def test_a_ready_parent_is_not_touched(worker: Engine, customers: FakeRules) -> None:
    worker.sync(CUSTOMER)
    asked = customers.calls.total()

    worker.sync(SUBSCRIPTION)

    assert customers.calls.total() == asked


def test_a_child_whose_parent_is_refused_is_blocked_and_uses_no_attempt(
    worker: Engine, customers: FakeRules, subscriptions: FakeRules
) -> None:
    customers.fail("create", Rejected("Zoho refuses email.", zoho_code=2, field="email"))

    assert worker.sync(SUBSCRIPTION).state is State.BLOCKED

    found = worker.row(SUBSCRIPTION)
    assert (found.state, found.blocked_on_type, found.blocked_on_id) == ("blocked", "customer", "1")
    assert found.sentence == "Waits for customer 1 to be in Zoho."
    assert found.attempt_number == 0
    assert subscriptions.calls.total() == 0
    assert SUBSCRIPTION in worker.status_columns.written


@pytest.mark.parametrize(
    "failure",
    [Unavailable("No answer."), Throttled("Slow down.", wait_seconds=30, reason="minute")],
)
def test_a_parent_that_must_wait_blocks_its_child_until_it_is_there(
    worker: Engine, customers: FakeRules, failure: Unavailable | Throttled
) -> None:
    customers.fail("create", failure)
    assert worker.sync(SUBSCRIPTION).state is State.BLOCKED
    assert worker.sync(SUBSCRIPTION).state is State.BLOCKED

    assert worker.sync_when_due(CUSTOMER).state is State.SYNCED

    # Settling woke it: it is due, and nobody asks for its parent again.
    assert worker.row(SUBSCRIPTION).next_attempt_at is not None
    assert SUBSCRIPTION in worker.records.due(10)
    assert worker.sync(SUBSCRIPTION).state is State.SYNCED


def test_a_parent_in_another_workers_hand_blocks_its_child(
    worker: Engine, customers: FakeRules
) -> None:
    held = worker.records.claim(CUSTOMER)
    assert isinstance(held, Claim)

    assert worker.sync(SUBSCRIPTION).state is State.BLOCKED
    assert customers.calls.total() == 0

    worker.records.adopt(held, "900777", intent=None, run_id=None)
    worker.records.settle(held, Settlement(State.SYNCED))
    assert worker.sync(SUBSCRIPTION).state is State.SYNCED


def test_an_update_that_zoho_refuses_blocks_nobody(worker: Engine, customers: FakeRules) -> None:
    """A bad phone of a customer that is in Zoho keeps no invoice of theirs back."""
    worker.sync(CUSTOMER)
    customers.fail("update", Rejected("Zoho refuses phone.", zoho_code=2, field="phone"))
    assert worker.sync_after_change("Ada, with a bad phone", CUSTOMER).state is State.FAILED

    assert worker.sync(SUBSCRIPTION).state is State.SYNCED


def test_a_parent_that_is_gone_in_zoho_blocks_its_children(
    worker: Engine, customers: FakeRules
) -> None:
    worker.sync(CUSTOMER)
    customers.zoho.clear()
    assert worker.sync_after_change("Ada L.", CUSTOMER).code == "gone_in_zoho"

    assert worker.sync(SUBSCRIPTION).state is State.BLOCKED


def test_an_invoice_whose_figures_differ_is_no_parent_for_its_payments(
    worker: Engine, invoices: FakeRules, database: Database
) -> None:
    invoices.repairs, invoices.is_kept_as = False, str.upper
    assert worker.sync(INVOICE).state is State.MISMATCH
    payments = FakeRules(EntityType.PAYMENT, parents_of={"4": (INVOICE,)})
    payments.write("4", "R 100")

    others = {EntityType.INVOICE: invoices, EntityType.SUBSCRIPTION: FakeRules()}
    with engine(database, payments, others) as another:
        assert another.sync(RecordKey(EntityType.PAYMENT, "4")).state is State.BLOCKED


def test_a_proof_needs_no_parent(
    worker: Engine, customers: FakeRules, subscriptions: FakeRules
) -> None:
    """Else a doubt would last as long as its parent is away, which may be for ever."""
    subscriptions.loses_answers = True
    subscriptions.fail("create", OutcomeUnknown("The answer was lost."))
    assert worker.sync(SUBSCRIPTION).state is State.IN_DOUBT
    customers.zoho.clear()
    assert worker.sync_after_change("Ada L.", CUSTOMER).code == "gone_in_zoho"

    assert worker.sync(SUBSCRIPTION).state is State.IN_DOUBT
    assert worker.sync_when_due(SUBSCRIPTION).state is State.SYNCED


def test_payments_of_one_invoice_never_run_side_by_side(database: Database) -> None:
    payments = FakeRules(EntityType.PAYMENT, serial_keys={"4": "customer 1", "5": "customer 1"})
    payments.write("4", "R 100")
    payments.write("5", "R 50")
    with engine(database, payments) as worker:
        first, second = (RecordKey(EntityType.PAYMENT, number) for number in "45")
        payments.on["create"] = lambda: beside.append(worker.sync(second).not_claimed is not None)
        beside: list[bool] = []

        worker.sync(first)
        del payments.on["create"]

        assert beside == [True]
        assert worker.sync(second).state is State.SYNCED


def test_many_children_of_one_customer_at_once_create_it_once_and_all_arrive(
    worker: Engine, customers: FakeRules, subscriptions: FakeRules
) -> None:
    """Ten workers, each with a child, none with the parent; then the sweep's rounds."""
    children = [RecordKey(EntityType.SUBSCRIPTION, f"{number}") for number in range(10, 20)]
    for child in children:
        subscriptions.parents_of[child.entity_id] = (CUSTOMER,)
        subscriptions.write(child.entity_id, f"Fibre {child.entity_id}")
    start = threading.Barrier(10)

    def sync(child: RecordKey) -> State | None:
        start.wait()
        return worker.sync(child).state

    with ThreadPoolExecutor(10) as pool:
        states = list(pool.map(sync, children))

    assert set(states) <= {State.SYNCED, State.BLOCKED}
    assert customers.calls["create"] == 1
    for _ in range(3):
        for record in worker.records.due(100):
            worker.sync(record)
    assert {worker.row(child).state for child in children} == {"synced"}
    assert subscriptions.calls["create"] == 10


def test_a_child_whose_parents_worker_was_lost_arrives_when_the_parent_does(
    worker: Engine, database: Database
) -> None:
    lost = worker.records.claim(CUSTOMER)
    assert isinstance(lost, Claim)
    assert worker.sync(SUBSCRIPTION).state is State.BLOCKED
    expire_lease(database, CUSTOMER)

    # Whoever comes for the child brings the parent along.
    assert worker.sync(SUBSCRIPTION).state is State.SYNCED
    assert sql(database, "SELECT 1 FROM billing_sync.records WHERE state <> 'synced'") == []
