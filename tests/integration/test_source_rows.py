"""The provider's rows through the five views: exact, in order, restricted, and never guessed."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.source import PostgresSource
from billing_sync.domain.source import PaymentAllocation
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.steps import Only
from billing_sync.ports import RecordKey
from ops.local_stack.postgres import APPLICATION_ROLE, FUNCTIONS_ROLE, OWNER_ROLE, Database
from tests.records import ORGANISATION, put, sql

JOHAN = "CT-2025-00004"
SHAUN = "CT-2025-00012"
NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)

# Ids from 9001 on, beside whatever the demo's books hold.
ROWS = """
    INSERT INTO customer_services (id, customer_id, package_id, monthly_price, created_at)
    SELECT 9001, c.id, p.id, 459.00, '2026-11-01T12:00Z'
    FROM customers c, service_packages p
    WHERE c.account_number = 'CT-2025-00004' AND p.sku = 'SKY-START-10';
    INSERT INTO customer_invoices (id, customer_id, service_id, invoice_number, invoice_type,
        invoice_date, due_date, period_start, subtotal, tax_amount, total_amount, line_items,
        status, created_at)
    SELECT n, s.customer_id, CASE WHEN n < 9003 THEN s.id END, 'TST-' || n, 'recurring',
           '2026-11-01', '2026-11-08', '2026-11-01', 399.13, 59.87, 459.00, CAST(
               '[{"unit_price": 459.00, "tiny": 0.1000000000000000055, "large": 12345678901234567}]'
               AS jsonb), 'sent', CAST('2026-11-02T12:00Z' AS timestamptz) + n * interval '1 day'
                                  - 9001 * interval '1 day'
    FROM customer_services s, generate_series(9001, 9003) AS n WHERE s.id = 9001;
    INSERT INTO payment_transactions (id, transaction_id, provider, amount, status, customer_id,
        invoice_id, completed_at, created_at)
    SELECT n, 'PAY-' || n, 'payfast', 459.00, CASE WHEN n = 9003 THEN 'pending'
           ELSE 'completed' END, s.customer_id, 9001, '2026-11-02T12:00Z', '2026-11-02T12:00Z'
    FROM customer_services s, generate_series(9001, 9003) AS n WHERE s.id = 9001;
"""


@pytest.fixture
def source(database: Database) -> Iterator[PostgresSource]:
    with database.connect(APPLICATION_ROLE) as application:
        application.execute(ROWS)
    engine = make_engine(database.url(FUNCTIONS_ROLE))
    yield PostgresSource(engine, ORGANISATION)
    engine.dispose()


def ids(source: PostgresSource, entity: EntityType, only: Only | None = None) -> list[str]:
    return [row.id for row in source.rows_after(entity, "9000", 100, only or Only())]


def test_each_kind_of_row_is_read_as_it_is_written(source: PostgresSource) -> None:
    service, invoice, payment = (
        source.service("9001"),
        source.invoice("9001"),
        source.payment("9001"),
    )

    assert service is not None
    assert service.monthly_price == Decimal("459.00")
    assert service.package_id is not None
    package = source.package(service.package_id)
    assert package is not None
    assert (package.sku, package.service_type) == ("SKY-START-10", "SkyFibre")
    assert package in source.packages()
    assert len(source.packages()) == source.count(EntityType.PLAN)
    assert source.count(EntityType.PRODUCT) == len({p.service_type for p in source.packages()})
    assert invoice is not None
    assert (invoice.invoice_date, invoice.total_amount) == (date(2026, 11, 1), Decimal("459.00"))
    # Numbers of JSON as they were written: a binary float would have lost all three.
    assert [{name: str(value) for name, value in line.items()} for line in invoice.line_items] == [
        {"unit_price": "459.00", "tiny": "0.1000000000000000055", "large": "12345678901234567"}
    ]
    assert payment is not None
    assert (payment.transaction_id, payment.completed_at) == ("PAY-9001", NOON)
    # An id that is none, and one that cannot be one.
    for none in ("777777", "x", ""):
        for read in (source.package, source.service, source.invoice, source.payment):
            assert read(none) is None
        for list_ in (source.invoices_of_service, source.completed_payments_on, source.allocations):
            assert list_(none) == []


def test_a_number_that_nobody_can_read_spoils_one_row_and_not_its_page(
    source: PostgresSource, database: Database
) -> None:
    sql(
        database,
        "UPDATE customer_invoices SET line_items = CAST('[{\"price\": ' || repeat('9', 5000)"
        " || '}]' AS jsonb) WHERE id = 9002",
    )

    rows = source.invoices_of_service("9001")

    assert [row.id for row in rows] == ["9001", "9002"]
    assert [isinstance(row.line_items, list) for row in rows] == [True, False]


def test_rows_come_by_what_they_name(source: PostgresSource, database: Database) -> None:
    assert [row.id for row in source.invoices_of_service("9001")] == ["9001", "9002"]
    assert [row.id for row in source.completed_payments_on("9001")] == ["9001", "9002"]
    assert source.same_number("TST-9001", "9001") == []
    assert source.same_number("TST-9001", "9002") == ["9001"]
    assert source.our_numbers(["TST-9002", "INV-000001"]) == {"TST-9002"}
    # The view is optional; what it says is asked for by the payment's id.
    with database.connect(OWNER_ROLE) as owner:
        owner.execute("DROP VIEW IF EXISTS billing_source.payment_allocations")
    engine = make_engine(database.url(FUNCTIONS_ROLE))
    without, later = (PostgresSource(engine, ORGANISATION) for _ in range(2))
    assert without.allocations("9001") == []
    with database.connect(OWNER_ROLE) as owner:
        owner.execute(
            "CREATE VIEW billing_source.payment_allocations AS SELECT * FROM (VALUES"
            " (9001, 9002, 59.50), (9001, 9001, 399.50), (9002, 9001, 1.00))"
            " AS shares (payment_id, invoice_id, amount)"
        )
        owner.execute(
            "GRANT SELECT ON billing_source.payment_allocations TO billing_sync_functions"
        )
    assert later.allocations("9001") == [
        PaymentAllocation(payment_id="9001", invoice_id="9001", amount=Decimal("399.50")),
        PaymentAllocation(payment_id="9001", invoice_id="9002", amount=Decimal("59.50")),
    ]
    assert later.allocations("9003") == []
    # A process that found none asks no more.
    assert without.allocations("9001") == []
    engine.dispose()


def test_a_run_is_restricted_by_the_customers_account_the_rows_own_id_its_time_and_its_state(
    source: PostgresSource, database: Database
) -> None:
    invoice, day = EntityType.INVOICE, timedelta(days=1)
    put(database, RecordKey(invoice, "9002"), state="failed")

    assert ids(source, invoice) == ["9001", "9002", "9003"]
    assert [row.id for row in source.rows_after(invoice, "9001", 1, Only())] == ["9002"]
    assert ids(source, invoice, Only(ids=("9003", "9001"))) == ["9001", "9003"]
    assert ids(source, invoice, Only(since=NOON + day, until=NOON + 2 * day)) == ["9002"]
    assert ids(source, invoice, Only(states=(State.FAILED,))) == ["9002"]
    assert ids(source, invoice, Only(states=(State.FAILED,), ids=("9001",))) == []
    for entity in (EntityType.SUBSCRIPTION, invoice, EntityType.PAYMENT):
        assert ids(source, entity, Only(accounts=(JOHAN,))) == ids(source, entity) != []
        assert ids(source, entity, Only(accounts=(SHAUN,))) == []
    # Packages are no customer's, and nobody notes when they were made.
    packages = source.rows_after(EntityType.PLAN, None, 100, Only(accounts=(JOHAN,), since=NOON))
    assert packages == source.packages()
    assert source.rows_after(EntityType.PLAN, None, 1, Only(ids=(packages[1].id,))) == [packages[1]]


def test_what_changed_and_what_vanished_is_seen_of_every_entity(
    source: PostgresSource, database: Database
) -> None:
    for entity in (EntityType.SUBSCRIPTION, EntityType.INVOICE, EntityType.PAYMENT):
        record = RecordKey(entity, "9001")
        assert record in source.changed(entity, 10_000)
        [row] = source.rows_after(entity, "9000", 1, Only())
        put(database, record, state="synced", zoho_id="1", source_version=row.updated_at)
        assert record not in source.changed(entity, 10_000)
        put(database, RecordKey(entity, "8888"), state="synced", zoho_id="2")
        assert source.vanished(entity) == [RecordKey(entity, "8888")]
        assert source.count(entity) >= 1

    product = EntityType.PRODUCT
    put(database, RecordKey(product, "SkyFibre"), state="synced", zoho_id="1")
    put(database, RecordKey(product, "Dial-up"), state="synced", zoho_id="2")
    assert source.vanished(product) == [RecordKey(product, "Dial-up")]
    assert source.changed(product, 10) == []
    assert len(source.changed(EntityType.PLAN, 100)) == source.count(EntityType.PLAN)
