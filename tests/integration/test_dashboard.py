"""The dashboard over PostgreSQL, as the functions' role reads it through the composition root."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from billing_sync.adapters.postgres.dashboard import PostgresDashboard
from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.bootstrap import Container
from billing_sync.domain.states import Colour, EntityType, State
from billing_sync.domain.steps import OperateEvent
from billing_sync.domain.widget import WidgetEvent
from billing_sync.ports import RecordKey, StateCount
from ops.local_stack.postgres import FUNCTIONS_ROLE, Database
from tests.records import ORGANISATION, change, put, row, sql

OPERATE = "arn:aws:lambda:us-east-1:000000000000:function:operate"


@pytest.fixture
def container(database: Database) -> Iterator[Container]:
    """The function's own: it knows the database, its organisation, and what buttons call."""
    container = Container({"ORGANISATION_ID": ORGANISATION, "OPERATE_FUNCTION_ARN": OPERATE})
    container.engine = make_engine(database.url(FUNCTIONS_ROLE))
    yield container
    container.close()


def insert(database: Database, table: str, **columns: object) -> str:
    """Insert a row of the first customer's, as the application does; gives its id."""
    names, values = ", ".join(columns), ", ".join(f"%({name})s" for name in columns)
    statement = f"INSERT INTO {table} (customer_id, {names}) VALUES (1, {values}) RETURNING id"  # noqa: S608 - names of the test's own
    return str(sql(database, statement, **columns)[0].id)


def invoice(database: Database, number: str, total: str) -> str:
    return insert(
        database,
        "customer_invoices",
        invoice_number=number,
        invoice_date=date(2026, 1, 1),
        due_date=date(2026, 1, 8),
        subtotal=Decimal(total),
        total_amount=Decimal(total),
    )


def failed(database: Database, entity: EntityType, entity_id: str, **columns: object) -> RecordKey:
    record = RecordKey(entity, entity_id)
    put(database, record, **{"state": "failed", "code": "totals_differ", **columns})
    return record


def test_red_is_grouped_by_cause_with_what_our_own_books_say_it_is_worth(
    database: Database, container: Container
) -> None:
    invoices = [invoice(database, "INV-1", "459.00"), invoice(database, "INV-2", "0.10")]
    for invoice_id, sentence in zip(invoices, ("It is so.", "Is it so?"), strict=True):
        failed(database, EntityType.INVOICE, invoice_id, sentence=sentence)
    service_id = insert(
        database, "customer_services", package_id=1, monthly_price=899, status="active"
    )
    failed(database, EntityType.SUBSCRIPTION, service_id, state="exhausted", code=None)
    payment_id = insert(
        database, "payment_transactions", transaction_id="NC-1", provider="netcash", amount=9
    )
    failed(database, EntityType.PAYMENT, payment_id, state="in_doubt", code="outcome_unknown")
    failed(database, EntityType.INVOICE, "gone", code="not_found_here")

    causes = PostgresDashboard(container.engine, ORGANISATION).read().causes

    assert [
        (each.entity, each.state, each.code, each.count, each.amount, each.alike) for each in causes
    ] == [
        (EntityType.INVOICE, State.FAILED, "totals_differ", 2,
         Decimal("459.10"), False),
        (EntityType.INVOICE, State.FAILED, "not_found_here", 1, None, True),
        (EntityType.PAYMENT, State.IN_DOUBT, "outcome_unknown", 1, Decimal(9), True),
        (EntityType.SUBSCRIPTION, State.EXHAUSTED, None, 1, Decimal(899), True),
    ]  # fmt: skip
    assert causes[0].ids == tuple(sorted(invoices))


def test_accepted_records_are_counted_apart_with_the_reason(
    database: Database, container: Container
) -> None:
    failed(database, EntityType.INVOICE, invoice(database, "INV-1", "12.00"))
    accepted = failed(database, EntityType.INVOICE, invoice(database, "INV-2", "340.00"))
    change(
        database,
        accepted,
        accepted_at=datetime(2026, 11, 20, tzinfo=UTC),
        accepted_by="thandi",
        accepted_reason="Settled by hand.",
    )

    tables = PostgresDashboard(container.engine, ORGANISATION).read()

    assert tables.states == (
        StateCount(EntityType.INVOICE, State.FAILED, False, 1),
        StateCount(EntityType.INVOICE, State.FAILED, True, 1),
    )
    assert {each.accepted: (each.count, each.amount, each.reason) for each in tables.causes}[
        True
    ] == (1, Decimal(340), "Settled by hand.")


def test_a_button_asks_for_the_records_that_its_cause_counts_and_no_others(
    database: Database, container: Container
) -> None:
    wanted = [failed(database, EntityType.INVOICE, entity_id) for entity_id in ("1", "2")]
    others = [
        failed(database, EntityType.INVOICE, "3", code="number_missing"),
        failed(database, EntityType.INVOICE, "4", state="skipped"),
        failed(database, EntityType.PAYMENT, "1"),
        failed(database, EntityType.INVOICE, "5", accepted_at=datetime.now(UTC)),
    ]
    [cause] = [
        each
        for each in container.dashboard.data(UTC).red
        if (each.entity, each.code) == (EntityType.INVOICE, "totals_differ")
    ]

    answer = container.operate(OperateEvent.model_validate(cause.retry))

    assert (cause.count, answer.model_dump()["signalled"]) == (2, 2)
    assert [row(database, record).signals for record in wanted] == [1, 1]
    assert [row(database, record).signals for record in others] == [0, 0, 0, 0]


def test_the_whole_page_is_drawn_and_carries_nothing_personal(
    database: Database, container: Container
) -> None:
    container.organisations.learn("Demo", "ZAR", "Africa/Johannesburg", price_precision=2, taxes=[])
    people = sql(
        database,
        """SELECT CAST(id AS text) AS id, account_number, last_name, company_name, email, phone
           FROM billing_source.customers ORDER BY 1""",
    )
    for person in people:
        failed(database, EntityType.CUSTOMER, person.id, state="ambiguous", code="plausible")

    html = container.dashboard(WidgetEvent())
    data = container.dashboard.data(UTC)

    assert f"{len(people)} records are red" in html
    assert "Demo" in html
    assert OPERATE in html
    assert min(person.account_number for person in people) in html
    for person in people:
        for personal in (person.last_name, person.company_name, person.email, person.phone):
            assert not personal or personal not in html
    assert data.verdict.colour is Colour.RED
    assert [fact.value for fact in data.quota] == ["none was ever made"]
    assert data.backfill is None


def test_it_reads_what_people_decided(database: Database, container: Container) -> None:
    container.organisations.learn("Demo", "ZAR", "Africa/Johannesburg", price_precision=2, taxes=[])
    sql(
        database,
        """UPDATE billing_sync.organisations SET live_from = '2026-11-20 08:00+02',
               paused_at = '2026-11-22 22:00+02', paused_by = 'thandi', paused_reason = 'audit'""",
    )

    found = PostgresDashboard(container.engine, ORGANISATION).read().organisation

    assert found is not None
    assert (found.name, found.currency) == ("Demo", "ZAR")
    assert found.live_from == datetime(2026, 11, 20, 6, tzinfo=UTC)
    assert found.paused_at == datetime(2026, 11, 22, 20, tzinfo=UTC)
    assert (found.paused_by, found.paused_reason) == ("thandi", "audit")


def test_another_organisation_s_records_are_not_shown(
    database: Database, container: Container
) -> None:
    failed(database, EntityType.CUSTOMER, "1")

    tables = PostgresDashboard(container.engine, "70000000001").read()

    assert (tables.organisation, tables.states, tables.causes) == (None, (), ())
