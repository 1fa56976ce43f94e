"""The sweep: what nobody told of arrives, history stays where it is, and it comes to rest."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from billing_sync.domain.errors import RecordsNotInStep
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.steps import Next, OperateEvent, StepEvent
from billing_sync.domain.triggers import Trigger, WakeUp
from billing_sync.ports import RecordKey
from billing_sync.services.backfill.loop import SPARE_SECONDS
from ops.local_stack.postgres import Database
from tests.backfill import MemoryFiles, StillRunning, apply, begin, drive
from tests.one_customer import OneCustomer
from tests.records import calls, expire_lease, make_due, row, sql
from tests.world import World, world

NOTHING = {"leases": 0, "changed": 0, "vanished": 0, "due": 0, "statuses": 0}
TABLES = (
    "billing_sync.records",
    "billing_sync.intents",
    "billing_sync.zoho_sync_logs",
    "billing_sync.organisations",
    "billing_sync.quota",
    "billing_sync.permits",
    "customers",
    "customer_services",
    "customer_invoices",
    "payment_transactions",
)


@pytest.fixture
def w(database: Database) -> Iterator[World]:
    with world(database) as made:
        made.worker.run_files = MemoryFiles()
        made.worker.executions = StillRunning()
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


def sweep(w: World) -> dict[str, int]:
    return w.worker.sweep(lambda: 300.0)


def everything(w: World) -> list[list[Any]]:
    """Give each row with the transaction that wrote it last."""
    return [
        w.sql(f"SELECT xmin, t.* FROM {table} t ORDER BY CAST(t AS text)")  # noqa: S608 - our own names
        for table in TABLES
    ]


def operate(w: World, action: str, **event: object) -> dict[str, Any]:
    asked = OperateEvent.model_validate({"action": action, "by": "ops", **event})
    return w.worker.operate(asked).model_dump()


def retry_what_waits(w: World, *records: RecordKey) -> None:
    for record in records:
        if row(w.database, record).state == "retrying":
            make_due(w.database, record)


# --------------------------------------------------------------------------- without any webhook


def test_with_the_webhook_door_off_the_sweep_brings_everything_and_comes_to_rest(
    w: World, one: OneCustomer
) -> None:
    service = one.add_service()
    invoice = one.add_invoice()
    payment = one.add_payment(invoice)

    for _ in range(4):
        sweep(w)
        retry_what_waits(w, service, invoice, payment)

    customer = RecordKey(EntityType.CUSTOMER, one.customer_id)
    one.assert_in_step(customer, service, invoice, payment)
    # Then what follows in a record's life.
    w.change("customers", one.customer_id, phone="+27215550000")
    w.change("payment_transactions", payment.entity_id, status="reversed")
    for _ in range(3):
        sweep(w)
        retry_what_waits(w, customer, payment)
    one.assert_in_step(customer, payment)
    assert one.payments_in_zoho() == {}

    before, asked = everything(w), len(calls(w.zoho))
    for _ in range(5):
        assert sweep(w) == NOTHING
    assert everything(w) == before
    assert len(calls(w.zoho)) == asked


def test_a_package_is_swept_when_it_changes_but_not_before_a_service_needs_it(
    w: World, one: OneCustomer
) -> None:
    w.sql("UPDATE service_packages SET name = name || ' 2'")
    assert sweep(w) == NOTHING
    service = one.add_service()
    for _ in range(3):
        sweep(w)
        retry_what_waits(w, service)
    one.assert_in_step(service)

    w.sql("UPDATE service_packages SET name = name || ' 3'")
    assert sweep(w)["changed"] == 1

    [plan] = w.zoho.control.state().plans
    assert plan["name"].endswith(" 2 3")


def test_a_row_that_vanishes_is_told_by_the_sweep_once_and_one_that_comes_back_is_in_step(
    w: World, one: OneCustomer
) -> None:
    customer = RecordKey(EntityType.CUSTOMER, one.customer_id)
    one.bring(customer)
    sweep(w)
    w.sql("CREATE TABLE kept AS SELECT * FROM customers")
    w.sql("DELETE FROM customers WHERE CAST(id AS text) = :id", id=one.customer_id)
    asked = len(calls(w.zoho))

    assert sweep(w)["vanished"] == 1
    assert (one.state(customer), row(w.database, customer).code) == ("failed", "deleted_here")
    assert sweep(w) == NOTHING

    w.sql(
        "INSERT INTO customers OVERRIDING SYSTEM VALUE"
        " SELECT * FROM kept WHERE CAST(id AS text) = :id",
        id=one.customer_id,
    )
    assert sweep(w)["changed"] == 1
    one.assert_in_step(customer)
    assert len(calls(w.zoho)) == asked
    assert sweep(w) == NOTHING


def test_two_sweeps_at_once_make_everything_once(w: World, one: OneCustomer) -> None:
    invoices = [one.add_invoice() for _ in range(4)]
    payments = [one.add_payment(invoice) for invoice in invoices]
    workers = [w.container() for _ in range(2)]

    for _ in range(4):
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(worker.sweep, lambda: 300.0) for worker in workers]:
                done.result()
        retry_what_waits(w, *invoices, *payments)

    one.assert_in_step(*invoices, *payments)
    assert (one.made()["customers"], one.made()["invoices"], one.made()["payments"]) == (1, 4, 4)


def test_a_lost_workers_record_is_swept_when_its_proof_is_due(w: World, one: OneCustomer) -> None:
    invoice = one.add_invoice()
    w.worker.records.signal(invoice, live=True)
    w.worker.records.claim(invoice)
    expire_lease(w.database, invoice)

    for _ in range(3):
        sweep(w)
        retry_what_waits(w, invoice)

    one.assert_in_step(invoice)


def test_a_sweep_that_is_short_of_time_leaves_the_rest_to_the_next_one(
    w: World, one: OneCustomer
) -> None:
    invoices = [one.add_invoice() for _ in range(3)]
    left = iter([300.0] * 8)

    counts = w.worker.sweep(lambda: next(left, SPARE_SECONDS - 1))

    assert (counts["changed"], counts["due"]) == (3, 2)
    for _ in range(3):
        sweep(w)
        retry_what_waits(w, *invoices)
    one.assert_in_step(*invoices)


def test_a_record_that_a_sweep_finds_held_by_another_of_its_customer_holds_up_nobody(
    w: World, one: OneCustomer
) -> None:
    """A page of what is due may be full of payments that wait for one of them."""
    invoice = one.add_invoice()
    one.bring(invoice)
    held = [one.add_payment(invoice, amount=Decimal(1)) for _ in range(3)]
    for record in held:
        w.worker.records.signal(record, live=True)
    w.worker.records.claim(held[0], serial_key=f"customer:{one.customer_id}")
    other = one.add_invoice()

    counts = sweep(w)

    one.assert_in_step(other)
    assert counts["due"] == 3
    assert [one.state(record) for record in held] == ["syncing", "pending", "pending"]


# ---------------------------------------------------------------------------------------- history


def test_a_hundred_thousand_old_rows_are_not_swept_and_none_is_recorded(w: World) -> None:
    w.sql(
        """INSERT INTO customers (account_number, first_name, last_name)
           SELECT 'CT-' || to_char(3000 + n / 100000, 'FM0000') || '-' ||
                  to_char(n % 100000, 'FM00000'), 'Old', 'Row'
           FROM generate_series(1, 100000) n"""
    )
    assert operate(w, "go_live")["ok"]

    assert [sweep(w) for _ in range(2)] == [NOTHING, NOTHING]
    assert w.sql("SELECT count(*) FROM billing_sync.records")[0].count == 0
    assert calls(w.zoho) == []


def test_what_a_backfill_left_of_history_is_not_the_sweeps_but_a_persons_retry_is(
    w: World,
) -> None:
    one = OneCustomer(w)
    invoice = one.add_invoice(total_amount=Decimal(461))
    one.bring(invoice)
    w.go_live(database_now(w.database))
    w.worker.records.signal(invoice)
    assert sweep(w) == NOTHING

    asked = {"entity": "invoice", "ids": [invoice.entity_id]}
    assert operate(w, "retry", **asked)["signalled"] == 1
    assert sweep(w)["due"] == 1
    assert one.state(invoice) == "failed"


def test_a_parent_of_history_that_a_live_record_waits_for_is_swept_with_its_own_parent(
    w: World,
) -> None:
    one = OneCustomer(w)
    invoice = one.add_invoice(total_amount=Decimal(461))
    w.go_live(database_now(w.database))
    payment = one.add_payment(invoice)
    sweep(w)
    assert (one.state(payment), one.state(invoice)) == ("blocked", "failed")

    w.sql("UPDATE customer_invoices SET total_amount = 460")
    w.worker.records.signal(invoice)
    assert row(w.database, invoice).live_since is None
    due = w.worker.records.due(10, live_only=True)

    assert due == [invoice]
    for _ in range(3):
        sweep(w)
        retry_what_waits(w, invoice, payment)
    one.assert_in_step(invoice, payment)


# --------------------------------------------------------------------- beside and after a backfill


def test_the_first_clean_backfill_of_everything_goes_live_and_the_sweep_takes_over(
    w: World,
) -> None:
    apply(w, "some", phases=["customers"])
    w.worker.conclude(StepEvent(run_id="some"))
    assert operate(w, "status")["live_from"] is None

    apply(w, "all")
    started_at = w.worker.runs.get("all").started_at
    w.worker.conclude(StepEvent(run_id="all"))
    apply(w, "again")
    w.worker.conclude(StepEvent(run_id="again"))

    assert operate(w, "status")["live_from"] == started_at.isoformat()
    w.sql("UPDATE customers SET phone = '+27215550000' WHERE account_number = 'CT-2025-00014'")
    assert sweep(w)["changed"] == 1
    assert w.in_zoho("CT-2025-00014")[0]["phone"] == "+27215550000"


def test_a_backfill_that_ends_red_leaves_triggers_and_sweep_as_they_were(w: World) -> None:
    one = OneCustomer(w)
    one.add_invoice(total_amount=Decimal(461))
    apply(w, "red")
    with pytest.raises(RecordsNotInStep):
        w.worker.conclude(StepEvent(run_id="red"))

    assert operate(w, "status")["live_from"] is None


def test_a_paused_backfill_waits_long_while_the_sweep_records_and_goes_on_after_resume(
    w: World,
) -> None:
    w.go_live(database_now(w.database))
    run = begin(w.worker, "paused", mode="apply", phases=["customers"])
    drive(w, run.run_id, "snapshot")
    drive(w, run.run_id, "plan")
    operate(w, "pause", reason="a look at the books")
    step = StepEvent(run_id=run.run_id, phase="customers")
    before = len(calls(w.zoho))

    answers = [w.worker.sync_batch(step, lambda: 300.0) for _ in range(2)]
    # Reads go on: a run that only plans needs no resume.
    assert drive(w, run.run_id, "plan").next is Next.DONE

    assert [(each.next, each.wait_seconds) for each in answers] == [(Next.COOL_DOWN, 900)] * 2
    assert answers[0].why == "An operator has paused all writes to Zoho."
    assert len(calls(w.zoho)) == before
    assert sweep(w)["due"] == 0
    assert w.sql("SELECT count(*) FROM billing_sync.records")[0].count == 0

    operate(w, "resume")
    drive(w, run.run_id, "sync_batch", "customers")
    assert len(w.zoho.control.customers()) == 13


def test_a_trigger_that_is_told_again_while_it_works_needs_no_sweep(
    w: World, one: OneCustomer, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = RecordKey(EntityType.CUSTOMER, one.customer_id)
    w.change("customers", one.customer_id, phone="+27215550042")
    wake_up = WakeUp(trigger=Trigger.CUSTOMER_REGISTERED, id=one.customer_id)
    other = w.container()
    create = w.worker.api.create_customer

    def told_meanwhile(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(w.worker.api, "create_customer", create)
        other.wake_up(wake_up)
        return create(*args, **kwargs)

    monkeypatch.setattr(w.worker.api, "create_customer", told_meanwhile)

    outcome = w.worker.wake_up(wake_up)

    assert outcome is not None
    assert outcome.state is State.SYNCED
    assert row(w.database, record).state == "synced"
    assert calls(w.zoho).count("create_customer") == 1
    assert "update_customer" not in calls(w.zoho)
