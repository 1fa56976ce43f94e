"""From a signed webhook to Zoho, and from a row that nobody told of, on the deployed stack."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import pytest

from billing_sync.domain.triggers import Trigger
from ops.fake_zoho import LogEntry
from tests.workflow.senders import Senders, body_of
from tests.workflow.stage import Stage, wait_for

CUSTOMER, SERVICE, INVOICE, PAYMENT = Trigger
BY_SERVICE: Final = ("product", "plan", "subscription")
"""What a service's record calls in Zoho, and a backfill of customers alone does not."""


@pytest.fixture
def early(stage: Stage) -> Iterator[Senders]:
    """Senders at the door of a stack that knows its organisation, and is not live."""
    machine = stage.stack.state.outputs["BackfillStateMachineArn"]
    execution = machine.replace(":stateMachine:", ":execution:") + ":learn"
    learnt = stage.invoke(
        "Preflight", {"input": {}, "execution": {"arn": execution, "name": "learn"}}
    )
    assert learnt["next"] == "go", learnt
    knocking = Senders(stage)
    yield knocking
    knocking.close()


@pytest.fixture
def senders(early: Senders) -> Senders:
    """Senders at the door of a stack that is live from now on."""
    assert early.stage.operate("go_live")["ok"]
    return early


def change_customer(stage: Stage, record_id: str) -> None:
    stage.execute("UPDATE customers SET city = 'Paarl' WHERE id::text = %(id)s", id=record_id)


def activate_service(stage: Stage) -> None:
    stage.execute(
        "INSERT INTO customer_services"
        " (id, customer_id, package_id, monthly_price, status, activation_date, billing_day)"
        " SELECT 4, 4, min(id), 459.00, 'active',"
        "  (now() AT TIME ZONE 'Africa/Johannesburg')::date, 1 FROM service_packages"
    )


def bill_and_pay(stage: Stage) -> None:
    stage.execute(
        "INSERT INTO customer_invoices (id, customer_id, invoice_number, invoice_type,"
        "  invoice_date, due_date, subtotal, tax_amount, total_amount, amount_paid, status,"
        "  line_items)"
        " SELECT 4, 4, 'CTI-90004', 'installation', day, day + 7, 100.00, 15.00, 115.00, 115.00,"
        "  'paid', %(lines)s::jsonb"
        " FROM (SELECT (now() AT TIME ZONE 'Africa/Johannesburg')::date AS day) AS today",
        lines=json.dumps([{"name": "Installation", "unit_price": "115.00", "quantity": 1}]),
    )
    stage.execute(
        "INSERT INTO payment_transactions (id, transaction_id, provider, amount, status,"
        "  payment_method, customer_id, invoice_id, completed_at)"
        " VALUES (4, 'TX-90004', 'netcash', 115.00, 'completed', 'eft', 4, 4, now())"
    )


def created(stage: Stage) -> dict[str, int]:
    """Count what was made in Zoho, by operation."""
    counts: dict[str, int] = {}
    for entry in stage.writes():
        operation = entry.operation or ""
        if operation.startswith("create_"):
            counts[operation] = counts.get(operation, 0) + 1
    return counts


def sweep(stage: Stage) -> dict[str, int]:
    """Do a round now, as the schedule does each minute."""
    counts = stage.invoke("Sweep", {})
    assert "due" in counts, counts
    return counts


def statuses(stage: Stage) -> list[str]:
    """Give what the application sees of the four records."""
    tables = ("customers", "customer_services", "customer_invoices", "payment_transactions")
    return [
        stage.query(f"SELECT zoho_sync_status FROM {table} WHERE id = 4")[0]["zoho_sync_status"]  # noqa: S608 - names of our own
        for table in tables
    ]


def test_each_trigger_s_example_webhook_brings_its_record_into_zoho(
    stage: Stage, senders: Senders
) -> None:
    change_customer(stage, "4")
    activate_service(stage)
    bill_and_pay(stage)

    # In the worst order, all at once: each has to wait for those that come after it.
    for trigger in reversed(Trigger):
        assert senders.post(trigger, body_of(trigger)) == 202

    # What came before its parent waits for the sweep, and a minute is long.
    wait_for(
        lambda: sweep(stage) and all(senders.is_synced(trigger, "4") for trigger in Trigger),
        "all four records",
        seconds=90,
    )
    records = [senders.synced(trigger, "4") for trigger in Trigger]
    assert all(record["zoho_id"] for record in records)
    assert created(stage) == {
        "create_customer": 1,
        "create_product": 1,
        "create_plan": 1,
        "create_subscription": 1,
        "create_invoice": 1,
        "create_payment": 1,
    }
    # They are written after the fact, and what is still due there is the sweep's.
    wait_for(
        lambda: sweep(stage) and set(statuses(stage)) == {"synced"},
        "the status columns of all four",
        seconds=30,
    )
    assert [senders.waiting(trigger) for trigger in Trigger] == [0, 0, 0, 0]


def test_an_unsigned_webhook_is_answered_401_and_nothing_is_queued(
    stage: Stage, senders: Senders
) -> None:
    change_customer(stage, "4")
    change_customer(stage, "5")

    assert senders.post(CUSTOMER, body_of(CUSTOMER), signed=False) == 401
    assert senders.post("nobody", body_of(CUSTOMER)) == 404
    # The queue is the same: what had gone onto it before this would have been seen before this.
    senders.tell(CUSTOMER, "5", "customer.updated")

    senders.synced(CUSTOMER, "5")
    assert senders.record(CUSTOMER, "4") is None
    assert len(stage.zoho.customers()) == 1


def test_a_webhook_that_comes_again_creates_nothing_twice(stage: Stage, senders: Senders) -> None:
    change_customer(stage, "4")
    static = {"x-webhook-secret": senders.secrets["static_secrets"][0]}

    for _ in range(3):
        assert senders.post(CUSTOMER, body_of(CUSTOMER)) == 202
    assert senders.post(CUSTOMER, body_of("supabase-update"), signed=False, **static) == 202
    senders.synced(CUSTOMER, "4")
    told = stage.command("send", "customer-registered", "4", "--type", "customer.updated")
    wait_for(lambda: senders.waiting(CUSTOMER) == 0, "the last message's end")

    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["status"] == 202
    assert created(stage) == {"create_customer": 1}
    assert senders.synced(CUSTOMER, "4")["zoho_id"]


def test_a_trigger_s_message_that_fails_ends_as_a_dead_letter_and_redrive_brings_it_back(
    stage: Stage, senders: Senders
) -> None:
    change_customer(stage, "4")
    # Not Zoho's fault and not the record's: nothing that a sync record could wait for.
    stage.execute("ALTER TABLE billing_sync.records RENAME TO records_mislaid")
    try:
        with senders.hurrying(CUSTOMER):
            senders.tell(CUSTOMER, "4", "customer.updated")
            wait_for(lambda: senders.waiting(CUSTOMER, "DeadLetters") == 1, "the dead letter")
    finally:
        stage.execute("ALTER TABLE billing_sync.records_mislaid RENAME TO records")
    assert senders.waiting(CUSTOMER) == 0

    redriven = stage.command("redrive", "customer-registered")

    assert json.loads(redriven.stdout)["redriven"] == 1
    assert senders.synced(CUSTOMER, "4")["zoho_id"]
    assert senders.waiting(CUSTOMER, "DeadLetters") == 0
    assert created(stage) == {"create_customer": 1}


def test_before_go_live_neither_trigger_nor_sweep_calls_zoho(stage: Stage, early: Senders) -> None:
    before = len(stage.zoho.log())
    change_customer(stage, "4")

    early.tell(CUSTOMER, "4", "customer.updated")
    wait_for(lambda: early.record(CUSTOMER, "4"), "the record")
    sweep(stage)

    record = early.record(CUSTOMER, "4")
    assert record is not None
    assert (record["state"], record["live_since"]) == ("pending", None)
    assert len(stage.zoho.log()) == before


def is_of_a_service(entry: LogEntry) -> bool:
    return any(word in (entry.operation or "") for word in BY_SERVICE)


class TestBesideABackfill:
    """Functions whose clocks run at a third of their speed, so that intervals can be measured."""

    SCALE: Final = 3
    CALLS_PER_MINUTE: Final = 60
    INTERVAL_SECONDS: Final = 60 / CALLS_PER_MINUTE / SCALE

    def test_calls_of_a_trigger_s_record_are_two_quota_intervals_apart_at_the_most(
        self, stage: Stage, senders: Senders
    ) -> None:
        change_customer(stage, "4")
        senders.tell(CUSTOMER, "4", "customer.updated")
        senders.synced(CUSTOMER, "4")
        activate_service(stage)
        scaled = {"TIME_SCALE": str(self.SCALE)}
        with (
            stage.environment("SyncBatch", **scaled),
            stage.environment("ServiceActivated", **scaled),
        ):
            # Warm: it is not the start of a process that is measured. Nobody knows this service.
            senders.tell(SERVICE, "400", "service.activated")
            wait_for(lambda: senders.record(SERVICE, "400"), "the handler's start")
            stage.allow(calls_per_minute=self.CALLS_PER_MINUTE)
            run = stage.start({"mode": "apply", "phases": ["customers"]})
            before = created(stage).get("create_customer", 0)
            wait_for(lambda: created(stage).get("create_customer", 0) >= before + 3, "the backfill")

            told_after = stage.zoho.log()[-1].sequence
            senders.tell(SERVICE, "4", "service.activated")
            senders.synced(SERVICE, "4")

            mine = [
                one
                for one in stage.zoho.log()
                if one.sequence > told_after and is_of_a_service(one)
            ]
            # The log's times are fake Zoho's own, which run at another scale.
            real = stage.stack.options.time_scale
            gaps = [(two.arrived - one.arrived) / real for one, two in pairwise(mine)]
            assert [one.operation for one in mine if one.method == "POST"] == [
                "create_product",
                "create_plan",
                "create_subscription",
            ]
            assert max(gaps) <= 2 * self.INTERVAL_SECONDS
            # The backfill stood back, and goes on.
            wait_for(
                lambda: any(
                    one.operation == "create_customer" and one.arrived > mine[-1].arrived
                    for one in stage.zoho.log()
                ),
                "the backfill's next customer",
            )
            stage.stop_execution(run)
        assert stage.zoho.counters().http_429 == {}


def test_the_sweep_carries_on_its_schedule_what_no_webhook_told_of(
    stage: Stage, senders: Senders
) -> None:
    change_customer(stage, "4")

    # Local AWS looks every ten seconds whether a minute is over.
    senders.schedule_sweep(enabled=True)
    try:
        record = senders.synced(CUSTOMER, "4", seconds=90)
    finally:
        senders.schedule_sweep(enabled=False)

    assert record["zoho_id"]
    # Thirteen others are history, and are not the sweep's.
    assert len(stage.zoho.customers()) == 1
