"""Triggers through everything: order, repetition, a sender's commit, go-live, pause, quota."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing_sync.bootstrap import Container
from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import OperateAnswer, OperateEvent
from billing_sync.domain.triggers import ENTITY_OF_TRIGGER, Trigger, WakeUp
from billing_sync.ports import RecordKey
from billing_sync.services.attempt import Outcome
from ops.local_stack.postgres import APPLICATION_ROLE, Database
from tests.one_customer import OneCustomer
from tests.records import calls, change, make_due, row, sql
from tests.world import World, world

TRIGGER_OF_ENTITY = {entity: trigger for trigger, entity in ENTITY_OF_TRIGGER.items()}
WORKERS = 4


@pytest.fixture
def w(database: Database) -> Iterator[World]:
    with world(database) as made:
        yield made
        assert made.zoho.control.state().mails == []


@pytest.fixture
def one(w: World) -> OneCustomer:
    """One customer among rows that are history by now."""
    w.go_live(database_now(w.database))
    return OneCustomer(w)


def database_now(database: Database) -> datetime:
    moment: datetime = sql(database, "SELECT clock_timestamp() AS now")[0].now
    return moment


def wake(w: World, record: RecordKey, worker: Container | None = None) -> Outcome | None:
    """Work off a message that names the record, as the handler of its trigger does."""
    wake_up = WakeUp(trigger=TRIGGER_OF_ENTITY[record.entity], id=record.entity_id)
    return (worker or w.worker).wake_up(wake_up)


def operate(w: World, action: str, **event: object) -> OperateAnswer:
    asked = {"action": action, "by": "ops", **event}
    return w.worker.operate(OperateEvent.model_validate(asked))


def sweep_until_at_rest(w: World, *records: RecordKey) -> None:
    """Do what the next minutes do, with the waits between them."""
    for _ in range(20):
        w.worker.sweep(lambda: 300.0)
        states = [row(w.database, record).state for record in records]
        if set(states) <= {"synced", "skipped", "failed"}:
            return
        for record, state in zip(records, states, strict=True):
            if state == "retrying":
                make_due(w.database, record)


# -------------------------------------------------------------------------- order and repetition


@pytest.mark.parametrize("disorder", [False, True])
def test_triggers_in_any_order_three_times_each_by_several_workers_end_as_in_order_once(
    w: World, one: OneCustomer, *, disorder: bool
) -> None:
    customer = RecordKey(EntityType.CUSTOMER, one.customer_id)
    service = one.add_service()
    first, second = one.add_invoice(), one.add_invoice()
    payments = [
        one.add_payment(first, amount=Decimal(200)),
        one.add_payment(first, amount=Decimal(260)),
        one.add_payment(second),
    ]
    in_order = [customer, service, first, second, *payments]

    if disorder:
        again = in_order * 2
        random.Random(4).shuffle(again)  # noqa: S311 - the same disorder in every run
        told = [*reversed(in_order), *again]
        workers = [w.container() for _ in range(WORKERS)]
        with ThreadPoolExecutor(WORKERS) as pool:
            done = [
                pool.submit(wake, w, record, workers[number % WORKERS])
                for number, record in enumerate(told)
            ]
        for each in done:
            each.result()
    else:
        for record in in_order:
            wake(w, record)
    sweep_until_at_rest(w, *in_order)

    one.assert_in_step(*in_order)
    assert one.made() == {
        "customers": 1,
        "products": 1,
        "plans": 1,
        "subscriptions": 1,
        # The subscription raises its first by itself.
        "invoices": 3,
        "payments": 3,
    }
    by_reference = one.payments_in_zoho()
    assert [sum(applied.values()) for _, applied in sorted(by_reference.items())] == [200, 260, 460]
    [owed] = [i for i in w.zoho.control.state().invoices if i["balance"] > 0]
    assert one.account() == (owed["balance"], 0.0)


def test_a_webhook_that_is_faster_than_its_senders_commit_arrives_all_the_same(
    w: World, one: OneCustomer
) -> None:
    with w.database.connect(APPLICATION_ROLE) as connection, connection.transaction():
        found = connection.execute(
            """INSERT INTO customers (account_number, first_name, last_name, email)
               VALUES ('CT-2036-90001', 'Naledi', 'Khumalo', 'naledi@example.test')
               RETURNING CAST(id AS text)"""
        ).fetchone()
        assert found is not None
        record = RecordKey(EntityType.CUSTOMER, found[0])
        wake(w, record)
        wake(w, record)

        assert (row(w.database, record).state, row(w.database, record).code) == (
            "retrying",
            "not_found_here",
        )
    make_due(w.database, record)
    w.worker.sweep(lambda: 300.0)

    one.assert_in_step(record)
    assert len(w.in_zoho("CT-2036-90001")) == 1


def test_a_trigger_of_a_row_that_never_comes_ends_although_somebody_retries_it_again_and_again(
    w: World, one: OneCustomer
) -> None:
    nobody = RecordKey(EntityType.CUSTOMER, "987654")
    before = len(calls(w.zoho))
    wake(w, nobody)

    for _ in range(3):
        w.worker.operations.retry(
            EntityType.CUSTOMER, ids=[nobody.entity_id], states=[], code=None, by="ops"
        )
        w.worker.sweep(lambda: 300.0)

    assert (one.state(nobody), row(w.database, nobody).code) == ("failed", "not_found_here")
    assert len(calls(w.zoho)) == before


# ----------------------------------------------------------------------------------------- go-live


def test_before_go_live_a_trigger_and_the_sweep_only_record(w: World) -> None:
    one = OneCustomer(w)
    invoice = one.add_invoice()
    before = len(calls(w.zoho))

    assert wake(w, invoice) is None
    counts = w.worker.sweep(lambda: 300.0)

    assert (row(w.database, invoice).state, row(w.database, invoice).live_since) == (
        "pending",
        None,
    )
    assert counts == {"leases": 0, "changed": 0, "vanished": 0, "due": 0, "statuses": 0}
    assert len(calls(w.zoho)) == before


def test_what_a_trigger_recorded_before_go_live_is_swept_after_it_if_it_is_not_older(
    w: World,
) -> None:
    one = OneCustomer(w)
    older = one.add_invoice()
    live_from = database_now(w.database)
    newer = one.add_invoice()
    for invoice in (older, newer):
        wake(w, invoice)

    answer = operate(w, "go_live", **{"from": live_from.isoformat()})
    sweep_until_at_rest(w, newer)

    assert answer.ok
    one.assert_in_step(newer)
    assert row(w.database, older).state == "pending"
    assert one.made()["invoices"] == 1


def test_after_go_live_a_trigger_touches_nothing_older_but_parents(w: World) -> None:
    one = OneCustomer(w)
    paid, other = one.add_invoice(), one.add_invoice()
    w.go_live(database_now(w.database))
    payment = one.add_payment(paid)

    assert wake(w, other) is None
    wake(w, payment)
    sweep_until_at_rest(w, payment)

    one.assert_in_step(payment, paid, RecordKey(EntityType.CUSTOMER, one.customer_id))
    assert one.state(other) == "pending"
    assert (one.made()["invoices"], one.made()["customers"]) == (1, 1)


def test_an_older_row_that_is_changed_after_go_live_is_a_triggers_to_bring(w: World) -> None:
    one = OneCustomer(w)
    invoice = one.add_invoice()
    w.go_live(database_now(w.database))
    w.change("customer_invoices", invoice.entity_id, due_date=datetime(2036, 3, 20, tzinfo=UTC))

    wake(w, invoice)

    one.assert_in_step(invoice)


def test_go_live_says_what_was_before_is_not_moved_by_accident_and_never_lies_ahead(
    w: World,
) -> None:
    first = operate(w, "go_live").model_dump()
    again = operate(w, "go_live").model_dump()
    ahead = operate(w, "go_live", **{"from": (datetime.now(UTC) + timedelta(days=1)).isoformat()})

    assert (first["ok"], first["before"]) == (True, None)
    assert again["live_from"] == again["before"] == first["live_from"]
    assert (ahead.ok, ahead.field) == (False, "from")
    assert operate(w, "status").model_dump()["live_from"] == first["live_from"]


# ------------------------------------------------------------------------------------------- pause


def test_a_pause_stops_triggers_and_sweep_and_resume_loses_nothing(
    w: World, one: OneCustomer
) -> None:
    told, untold = one.add_invoice(), one.add_invoice()
    assert operate(w, "pause", reason="finance closes the month").ok
    before = len(calls(w.zoho))

    assert wake(w, told) is None
    counts = w.worker.sweep(lambda: 300.0)

    assert (counts["changed"], counts["due"]) == (1, 0)
    assert len(calls(w.zoho)) == before
    status = operate(w, "status").model_dump()
    assert (status["paused"]["by"], status["paused"]["reason"]) == (
        "ops",
        "finance closes the month",
    )
    assert operate(w, "pause", reason="again").error == "Paused"

    assert operate(w, "resume").ok
    assert operate(w, "resume").error == "NotPaused"
    sweep_until_at_rest(w, told, untold)
    one.assert_in_step(told, untold)


def test_a_pause_holds_back_a_triggers_next_write_and_resume_makes_it_due_at_once(
    w: World, one: OneCustomer
) -> None:
    """An invoice takes two writes; its customer's is a third. Reads go on."""
    invoice = one.add_invoice()
    assert one.bring(RecordKey(EntityType.CUSTOMER, one.customer_id)) == ["synced"]
    # What is under way when the pause comes: claimed by nobody, and not stopped beforehand.
    operate(w, "pause", reason="a look at the books")

    outcome = w.bring(invoice.entity, invoice.entity_id)

    assert outcome.wait is not None
    assert outcome.wait.reason == "writes_paused"
    held = row(w.database, invoice)
    assert (held.state, held.code, held.attempt_number) == ("retrying", "writes_paused", 0)
    assert held.next_attempt_at > database_now(w.database) + timedelta(seconds=900 / 100 - 5)
    assert [name for name in calls(w.zoho) if "create_invoice" in name] == []
    assert operate(w, "resume").model_dump()["due"] == 1
    w.worker.sweep(lambda: 300.0)
    sweep_until_at_rest(w, invoice)
    one.assert_in_step(invoice)


# ------------------------------------------------------------------------------------------- quota


def test_forty_triggers_in_a_quota_pause_of_days_fail_nowhere_and_arrive_when_it_ends(
    w: World, one: OneCustomer
) -> None:
    w.sql(
        """INSERT INTO customers (account_number, first_name, last_name, email)
           SELECT 'CT-2036-' || to_char(n, 'FM00000'), 'Name', 'Number ' || n,
                  'c' || n || '@example.test'
           FROM generate_series(1, 40) n"""
    )
    new = [
        RecordKey(EntityType.CUSTOMER, found.id)
        for found in w.sql(
            "SELECT CAST(id AS text) AS id FROM customers WHERE account_number LIKE 'CT-2036-%'"
            " ORDER BY account_number"
        )
    ]
    w.worker.quota.configure(90, 100_000, 5)
    until = timedelta(days=2) / 100
    w.sql(
        "UPDATE billing_sync.quota SET probe_at = clock_timestamp() + make_interval(secs => :secs)",
        secs=until.total_seconds(),
    )

    outcomes = [wake(w, record) for record in new]
    deferred = [row(w.database, record) for record in new]

    assert {outcome.wait.reason for outcome in outcomes if outcome and outcome.wait} == {"paused"}
    assert {(each.state, each.attempt_number) for each in deferred} == {("retrying", 0)}
    for record in new:
        make_due(w.database, record)
    # Due again and again while the pause lasts: no round claims them in vain.
    before = w.sql("SELECT xmin, entity_id FROM billing_sync.records ORDER BY 2")
    assert w.worker.sweep(lambda: 300.0)["due"] == 0
    assert w.sql("SELECT xmin, entity_id FROM billing_sync.records ORDER BY 2") == before

    w.sql("UPDATE billing_sync.quota SET probe_at = NULL")
    sweep_until_at_rest(w, *new)

    one.assert_in_step(*new)
    assert len(w.zoho.control.customers()) == 40


def test_ten_thousand_deferred_triggers_are_due_before_history_in_the_order_they_came(
    w: World,
) -> None:
    """Sync records alone, written by SQL: who is taken up first, and that nobody else is."""
    w.sql(
        """INSERT INTO billing_sync.records
               (organisation_id, entity_type, entity_id, state, code, next_attempt_at, live_since)
           SELECT '60098765432', 'customer', 'live ' || n, 'retrying', 'paused',
                  clock_timestamp() - interval '1 s',
                  clock_timestamp() - make_interval(secs => 20000 - n)
           FROM generate_series(1, 10000) n"""
    )
    w.sql(
        """INSERT INTO billing_sync.records
               (organisation_id, entity_type, entity_id, state, code, next_attempt_at)
           SELECT '60098765432', 'customer', 'history ' || n, 'retrying', 'paused',
                  clock_timestamp() - interval '1 day'
           FROM generate_series(1, 1000) n"""
    )

    # As the server does by itself, within a minute of so many rows.
    w.sql("ANALYZE billing_sync.records")

    mixed = w.worker.records.due(20_000)
    live = w.worker.records.due(20_000, live_only=True)

    in_turn = [RecordKey(EntityType.CUSTOMER, f"live {n}") for n in range(1, 10_001)]
    assert live == in_turn
    assert mixed[:10_000] == in_turn
    assert len(mixed) == 11_000


def test_a_parents_turn_is_that_of_the_first_trigger_that_waits_for_it(w: World) -> None:
    """A payment came first and its customer last; for another's plan nobody but it was told of."""
    w.sql(
        """INSERT INTO billing_sync.records
               (organisation_id, entity_type, entity_id, state, code, next_attempt_at, live_since,
                blocked_on_type, blocked_on_id)
           SELECT '60098765432', kind, id, state, 'paused',
                  CASE state WHEN 'retrying' THEN clock_timestamp() - interval '1 s' END,
                  clock_timestamp() - make_interval(secs => ago), parent, parent_id
           FROM (VALUES ('payment', 'first', 'blocked', 500, 'invoice', 'of the first'),
                        ('customer', 'second', 'retrying', 400, NULL, NULL),
                        ('subscription', 'third', 'blocked', 300, 'plan', 'of the third'),
                        ('customer', 'fourth', 'retrying', 200, NULL, NULL),
                        ('invoice', 'of the first', 'blocked', 150, 'customer', 'last'),
                        ('customer', 'last', 'retrying', 100, NULL, NULL),
                        ('plan', 'of the third', 'retrying', NULL, NULL, NULL)
                ) AS told (kind, id, state, ago, parent, parent_id)"""
    )

    due = w.worker.records.due(10, live_only=True)

    assert [record.entity_id for record in due] == ["last", "second", "of the third", "fourth"]


# ---------------------------------------------------------------------------------------- payments


def test_a_reversed_payments_trigger_lets_later_ones_on_its_invoice_cover_it(
    w: World, one: OneCustomer
) -> None:
    invoice = one.add_invoice()
    first = one.add_payment(invoice, amount=Decimal(400))
    second = one.add_payment(invoice, amount=Decimal(200))
    for record in (first, second):
        wake(w, record)
    zoho_id = one.zoho_id(invoice)
    reference = row_of_payment(w, second)
    assert one.payments_in_zoho()[reference] == {zoho_id: 60.0}

    w.change("payment_transactions", first.entity_id, status="reversed")
    wake(w, first)
    sweep_until_at_rest(w, first, second)

    one.assert_in_step(first, second)
    assert one.payments_in_zoho() == {reference: {zoho_id: 200.0}}


def test_a_payment_in_zoho_that_a_trigger_tells_of_again_makes_no_call(
    w: World, one: OneCustomer
) -> None:
    payment = one.add_payment(one.add_invoice())
    wake(w, payment)
    before = len(calls(w.zoho))

    for _ in range(3):
        wake(w, payment)
        w.worker.sweep(lambda: 300.0)

    assert len(calls(w.zoho)) == before


def row_of_payment(w: World, payment: RecordKey) -> str:
    [found] = w.sql(
        "SELECT transaction_id FROM payment_transactions WHERE CAST(id AS text) = :id",
        id=payment.entity_id,
    )
    return str(found.transaction_id)


# ------------------------------------------------------------------------------------------ accept


def test_an_accepted_record_leaves_the_red_count_and_comes_back_when_a_trigger_changes_it(
    w: World, one: OneCustomer
) -> None:
    invoice = one.add_invoice(total_amount=Decimal(461))
    wake(w, invoice)
    assert one.state(invoice) == "failed"
    asked = {"entity": "invoice", "id": invoice.entity_id, "reason": "the customer left"}

    assert operate(w, "accept", **asked).ok
    wake(w, invoice)
    status = operate(w, "status").model_dump()

    assert status["red"] == []
    assert [(each["ids"], each["reason"]) for each in status["accepted"]] == [
        ([invoice.entity_id], "the customer left")
    ]
    assert status["records"]["invoice"] == {"accepted": 1}

    w.change("customer_invoices", invoice.entity_id, total_amount=Decimal(462))
    wake(w, invoice)
    status = operate(w, "status").model_dump()
    assert ([each["count"] for each in status["red"]], status["accepted"]) == ([1], [])


def test_only_what_is_red_and_not_in_doubt_is_accepted_whatever_trigger_told_of_it(
    w: World, one: OneCustomer
) -> None:
    invoice = one.add_invoice()
    wake(w, invoice)
    asked = {"entity": "invoice", "id": invoice.entity_id, "reason": "why not"}

    assert operate(w, "accept", **asked).error == "NotAllowed"
    change(w.database, invoice, state="in_doubt")
    assert operate(w, "accept", **asked).error == "NotAllowed"


def test_every_trigger_has_the_record_that_its_id_is_of() -> None:
    assert TRIGGER_OF_ENTITY.keys() == {
        EntityType.CUSTOMER,
        EntityType.SUBSCRIPTION,
        EntityType.INVOICE,
        EntityType.PAYMENT,
    }
    assert set(TRIGGER_OF_ENTITY.values()) == set(Trigger)
