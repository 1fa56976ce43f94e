"""Transaction B: what the application's own columns say of the sync, and what it never costs."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from billing_sync.domain.states import STATES, EntityType, State
from billing_sync.ports import Claim, Priority, RecordKey, Settlement, Write
from ops.fake_zoho import FieldAltered
from ops.local_stack.postgres import APPLICATION_ROLE, Database
from tests.records import calls, change, expire_lease, make_due, put, row, sql
from tests.world import World, world

JOHAN = "CT-2025-00004"
SHAUN = "CT-2025-00012"


@pytest.fixture
def w(database: Database) -> Iterator[World]:
    with world(database) as made:
        yield made


def columns(w: World, account_number: str) -> Any:
    [found] = w.sql(
        """SELECT zoho_billing_customer_id AS zoho_id, zoho_sync_status AS status,
                  zoho_last_synced_at AS synced_at, zoho_last_sync_error AS error, updated_at
           FROM customers WHERE account_number = :account""",
        account=account_number,
    )
    return found


def test_a_synced_customer_shows_its_zoho_id_and_when(w: World) -> None:
    w.sync(JOHAN)

    shown = columns(w, JOHAN)
    assert (shown.zoho_id, shown.status, shown.error) == (
        w.record(JOHAN).zoho_id,
        "synced",
        None,
    )
    assert shown.synced_at is not None
    assert w.record(JOHAN).status_due is None


@pytest.mark.parametrize("state", State)
def test_the_column_says_of_each_state_what_the_table_of_states_says(
    w: World, database: Database, state: State
) -> None:
    record = w.customer(JOHAN)
    put(database, record, state=state.value, zoho_id="900001", sentence="Because.")
    sql(database, "UPDATE billing_sync.records SET status_due = now()")
    w.sql("UPDATE customers SET zoho_sync_status = 'retrying', zoho_last_sync_error = 'old'")

    w.worker.status_columns.write(record)

    shown = columns(w, JOHAN)
    if STATES[state].status_written:
        error = None if state is State.SYNCED else "Because."
        assert (shown.status, shown.error) == (STATES[state].sync_status, error)
        assert w.record(JOHAN).status_due is None
    else:
        assert (shown.status, shown.error) == ("retrying", "old")
        assert w.record(JOHAN).status_due is not None


def test_our_own_write_is_no_change_of_the_row(w: World) -> None:
    before = columns(w, JOHAN).updated_at
    w.sync(JOHAN)

    # The application's trigger moved it; what it was moved to is known.
    assert columns(w, JOHAN).updated_at > before
    assert w.record(JOHAN).source_version == columns(w, JOHAN).updated_at
    assert w.customer(JOHAN) not in w.worker.source.changed(EntityType.CUSTOMER, 100)


def test_what_the_columns_say_already_is_not_written_again(w: World) -> None:
    w.sync(JOHAN)
    before = columns(w, JOHAN)

    w.worker.records.signal(w.customer(JOHAN))
    w.sync(JOHAN)

    assert columns(w, JOHAN) == before
    assert w.record(JOHAN).status_due is None


def test_a_row_that_the_application_holds_locked_costs_no_id_and_stays_due(w: World) -> None:
    with w.database.connect(APPLICATION_ROLE) as application, application.transaction():
        application.execute(
            "SELECT 1 FROM customers WHERE account_number = %s FOR UPDATE", (JOHAN,)
        )
        outcome = w.sync(JOHAN)

        assert outcome.state is State.SYNCED
        assert w.record(JOHAN).zoho_id == w.in_zoho(JOHAN)[0]["customer_id"]
        assert w.record(JOHAN).status_due is not None
        assert columns(w, JOHAN).status is None
        assert w.worker.records.status_due(10) == [w.customer(JOHAN)]

    # Whoever comes next does it: here the sweep, who sees that it is due.
    w.worker.status_columns.write(w.customer(JOHAN))

    assert columns(w, JOHAN).status == "synced"
    assert w.worker.records.status_due(10) == []


def test_the_state_is_read_when_it_is_written_and_not_remembered(
    w: World, database: Database
) -> None:
    """A worker that was slow to write «retrying» writes what the record is by then."""
    record = w.customer(JOHAN)
    claim = w.worker.records.claim(record)
    assert isinstance(claim, Claim)
    w.worker.records.settle(claim, Settlement(State.RETRYING, code="minute", retry_in=60))
    slow = w.container()
    make_due(database, record)
    w.sync(JOHAN)

    slow.status_columns.write(record)

    assert columns(w, JOHAN).status == "synced"


def test_while_another_worker_has_the_record_nothing_is_written(
    w: World, database: Database
) -> None:
    w.sync(JOHAN)
    change(database, w.customer(JOHAN), state="syncing")
    sql(database, "UPDATE billing_sync.records SET status_due = now()")
    before = columns(w, JOHAN)

    w.worker.status_columns.write(w.customer(JOHAN))

    assert columns(w, JOHAN) == before
    assert w.record(JOHAN).status_due is not None


def test_a_change_between_reading_and_writing_becomes_a_signal(w: World) -> None:
    """The row that Zoho was told is not the row that is there: the columns are not the place."""
    record = w.customer(JOHAN)
    w.sync(JOHAN)
    sql(w.database, "UPDATE billing_sync.records SET status_due = now(), state = 'failed'")
    w.sql("UPDATE customers SET phone = '+27215550000' WHERE account_number = :a", a=JOHAN)

    w.worker.status_columns.write(record)

    assert columns(w, JOHAN).status == "synced"
    found = w.record(JOHAN)
    assert found.signals == found.signals_claimed + 1
    assert w.sync(JOHAN).change == "updated"
    assert w.in_zoho(JOHAN)[0]["phone"] == "+27215550000"
    assert columns(w, JOHAN).status == "synced"


def test_a_change_after_a_worker_was_lost_is_not_hidden_by_our_own_write(
    w: World, database: Database
) -> None:
    record = w.customer(JOHAN)
    lost = w.worker.records.claim(record)
    assert isinstance(lost, Claim)
    source = w.worker.source.customer(record.entity_id)
    assert source is not None
    made = w.worker.take_snapshot.young_snapshot()
    assert made
    write = Write(
        "create",
        JOHAN,
        {
            "display_name": f"Johan de Witt ({JOHAN})",
            "account_number": JOHAN,
            "currency_code": "ZAR",
        },
        "print",
        {
            "display_name": f"Johan de Witt ({JOHAN})",
            "custom_fields": [{"label": "Account Number", "value": JOHAN}],
        },
        source_version=source.updated_at,
    )
    _, permit = w.worker.records.open_intent(lost, write, Priority.TRIGGER, run_id=None)
    w.worker.api.create_customer(write.payload, permit=permit)
    w.zoho.control.advance_clock(10)
    # The worker is gone, and nobody signals the change.
    w.sql("UPDATE customers SET phone = '+27215550000' WHERE account_number = :a", a=JOHAN)
    expire_lease(database, record)
    w.sync(JOHAN)
    w.worker.status_columns.write(record)
    make_due(database, record)
    for _ in range(3):
        w.sync(JOHAN)

    assert [one["phone"] for one in w.in_zoho(JOHAN)] == ["+27215550000"]
    assert columns(w, JOHAN).status == "synced"


def test_a_row_that_appears_after_it_was_not_found_is_a_change(
    w: World, database: Database
) -> None:
    """The webhook came before the application's commit, the commit before our status write."""
    record = RecordKey(EntityType.CUSTOMER, "4711")
    claim = w.worker.records.claim(record)
    assert isinstance(claim, Claim)
    w.worker.records.settle(claim, Settlement(State.FAILED, code="not_found_here"))
    w.sql(
        """INSERT INTO customers (id, account_number, first_name, last_name)
           VALUES (4711, 'CT-2025-00711', 'Late', 'Comer')"""
    )

    w.worker.status_columns.write(record)

    assert row(database, record).source_version is None
    assert record in w.worker.source.changed(EntityType.CUSTOMER, 100)


def test_two_workers_that_write_at_once_leave_the_newest_state(w: World) -> None:
    workers = [w.container() for _ in range(4)]
    w.sync(JOHAN)
    with ThreadPoolExecutor(len(workers)) as pool:
        for number in range(10):
            sql(
                w.database,
                "UPDATE billing_sync.records SET status_due = now(), state = %(state)s",
                state="failed" if number % 2 else "synced",
            )
            writes = [
                pool.submit(worker.status_columns.write, w.customer(JOHAN)) for worker in workers
            ]
            for write in writes:
                write.result()
            assert columns(w, JOHAN).status == ("failed" if number % 2 else "synced")
    found = w.record(JOHAN)
    assert found.source_version == columns(w, JOHAN).updated_at


def test_with_the_columns_off_nothing_of_the_application_is_written(database: Database) -> None:
    with world(database, STATUS_COLUMNS="off") as w:
        before = columns(w, JOHAN)
        w.sync(JOHAN)

        assert columns(w, JOHAN) == before
        assert w.record(JOHAN).status_due is None


def test_a_mismatch_shows_as_failed_with_its_reason(w: World) -> None:
    w.zoho.control.arm(FieldAltered(operation="create_customer", value="Somebody else"))
    w.zoho.control.arm(FieldAltered(operation="update_customer", value="Somebody else"))

    assert w.sync(SHAUN).state is State.MISMATCH

    shown = columns(w, SHAUN)
    assert (shown.status, shown.zoho_id) == ("failed", w.record(SHAUN).zoho_id)
    assert "display_name" in shown.error
    assert calls(w.zoho)[-2:] == ["create_customer", "update_customer"]


BOOKS = """
    INSERT INTO customer_services (id, customer_id, package_id, monthly_price)
    SELECT 9001, c.id, p.id, 459.00 FROM customers c, service_packages p
    WHERE c.account_number = 'CT-2025-00004' AND p.sku = 'SKY-START-10';
    INSERT INTO customer_invoices (id, customer_id, invoice_number, invoice_date, due_date,
        subtotal, total_amount)
    SELECT 9001, customer_id, 'TST-9001', '2026-11-01', '2026-11-08', 459.00, 459.00
    FROM customer_services WHERE id = 9001;
    INSERT INTO payment_transactions (id, transaction_id, provider, amount, customer_id)
    SELECT 9001, 'PAY-9001', 'payfast', 459.00, customer_id
    FROM customer_services WHERE id = 9001;
"""
IN_THE_BOOKS = """
    SELECT 'subscription' AS entity, zoho_subscription_id AS zoho_id, NULL AS number,
           zoho_sync_status AS status, zoho_last_sync_error AS error,
           zoho_last_synced_at IS NOT NULL AS was_synced, updated_at
    FROM customer_services WHERE id = 9001 UNION ALL
    SELECT 'invoice', zoho_billing_invoice_id, zoho_invoice_number, zoho_sync_status,
           zoho_last_sync_error, zoho_last_synced_at IS NOT NULL, updated_at
    FROM customer_invoices WHERE id = 9001 UNION ALL
    SELECT 'payment', zoho_payment_id, NULL, zoho_sync_status, zoho_last_sync_error,
           zoho_last_synced_at IS NOT NULL, updated_at
    FROM payment_transactions WHERE id = 9001
"""


def test_services_invoices_and_payments_show_what_customers_show(
    w: World, database: Database
) -> None:
    sql(database, BOOKS)
    records = {entity: RecordKey(EntityType(entity), "9001") for entity in ("subscription",
               "invoice", "payment")}  # fmt: skip
    version = {shown.entity: shown.updated_at for shown in sql(database, IN_THE_BOOKS)}
    for entity, record in records.items():
        put(database, record, state="synced", zoho_id="900001", source_version=version[entity])
        change(database, record, facts='{"number": "INV-000017", "total": "459.00"}')

    def write_all() -> dict[str, tuple[Any, ...]]:
        sql(database, "UPDATE billing_sync.records SET status_due = now()")
        for record in records.values():
            w.worker.status_columns.write(record)
            assert row(database, record).status_due is None
        return {shown.entity: tuple(shown[1:6]) for shown in sql(database, IN_THE_BOOKS)}

    assert write_all() == {
        "subscription": ("900001", None, "synced", None, True),
        # Zoho's number of the invoice that we linked.
        "invoice": ("900001", "INV-000017", "synced", None, True),
        "payment": ("900001", None, "synced", None, True),
    }
    for entity, record in records.items():
        [shown] = [each for each in sql(database, IN_THE_BOOKS) if each.entity == entity]
        # Our own write is no change of the row.
        assert row(database, record).source_version == shown.updated_at > version[entity]
        assert record not in w.worker.source.changed(record.entity, 10_000)
        # A draft that was deleted has neither id nor number there any more.
        change(database, record, state="failed", zoho_id=None, sentence="Totals differ.")
    gone = (None, None, "failed", "Totals differ.", True)
    assert write_all() == dict.fromkeys(records, gone)
    # A row that was changed since it was read is not written, and comes back by itself.
    sql(database, "UPDATE customer_invoices SET due_date = '2026-12-31' WHERE id = 9001")
    change(database, records["invoice"], state="retrying", sentence="Again in 5 min.")
    assert write_all()["invoice"] == gone
    assert row(database, records["invoice"]).signals == 1


def test_products_and_plans_have_no_columns_and_owe_nothing(w: World, database: Database) -> None:
    [package] = sql(database, "SELECT id FROM service_packages WHERE sku = 'SKY-START-10'")
    before = sql(database, "SELECT * FROM service_packages ORDER BY id")
    for record in (
        RecordKey(EntityType.PRODUCT, "SkyFibre"),
        RecordKey(EntityType.PLAN, str(package.id)),
    ):
        put(database, record, state="failed", zoho_id="1", sentence="No.")
        change(database, record, status_due="2026-11-22T12:00Z")

        w.worker.status_columns.write(record)

        assert row(database, record).status_due is None
        assert row(database, record).signals == 0
    assert sql(database, "SELECT * FROM service_packages ORDER BY id") == before
