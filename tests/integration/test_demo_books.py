"""The demo's books brought in step record by record: without local AWS, and without mishaps."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import OperateEvent
from billing_sync.domain.triggers import ENTITY_OF_TRIGGER, Trigger
from billing_sync.ports import RecordKey
from ops.demo import newcomer, scenario
from ops.demo.books import Books, pass_until, read_books
from ops.demo.load import load_books, write_passed
from ops.demo.reckoning import Reckoning, read_application, reckon
from ops.demo.zoho_page import pay_on_zohos_page
from ops.local_stack.calendar import set_calendars
from ops.local_stack.postgres import APPLICATION_ROLE, OWNER_ROLE, SUPERUSER, Database
from tests.world import ORGANISATION, World, world

SENT = (
    (EntityType.CUSTOMER, "customers"),
    (EntityType.SUBSCRIPTION, "customer_services"),
    (EntityType.INVOICE, "customer_invoices"),
    (EntityType.PAYMENT, "payment_transactions"),
)


@pytest.fixture
def books(database: Database) -> Books:
    made = read_books(scenario.demo_day(datetime.now(UTC).date()))
    with database.connect(APPLICATION_ROLE) as connection:
        load_books(connection, made)
    return made


@pytest.fixture
def both(database: Database, books: Books) -> Iterator[World]:
    config = scenario.zoho()
    [organisation] = config.organisations
    roomy = organisation.limits.model_copy(update={"calls_per_minute": 100})
    organisations = [organisation.model_copy(update={"limits": roomy})]
    config = config.model_copy(update={"organisations": organisations, "time_scale": 1000})
    with world(database, config, TIME_SCALE="1000", CALLS_PER_MINUTE="100") as made:
        let_it_be(made, books.today)
        yield made


def let_it_be(both: World, today: date) -> None:
    with both.database.connect(OWNER_ROLE) as connection:
        set_calendars(connection, both.zoho.control, ORGANISATION, today)


def bring_what_changed(both: World) -> dict[str, str]:
    """Bring all that is new or changed in step; give what is neither in step nor skipped."""
    left = {}
    for entity, table in SENT:
        rows = both.sql(
            f"""SELECT s.id FROM {table} s LEFT JOIN billing_sync.records r
                  ON r.entity_type = :entity AND r.entity_id = CAST(s.id AS text)
                WHERE r.state IS NULL OR r.state NOT IN ('synced', 'skipped')
                   OR r.source_version IS DISTINCT FROM s.updated_at
                ORDER BY s.id""",  # noqa: S608 - names of this module's own
            entity=entity.value,
        )
        for (row_id,) in rows:
            both.worker.records.signal(RecordKey(entity, str(row_id)))
            both.bring(entity, row_id)
            record = both.row(entity, row_id)
            if record.state not in {"synced", "skipped"}:
                left[f"{entity} {row_id}"] = record.state
    return left


def reckoned(both: World) -> Reckoning:
    with both.database.connect(SUPERUSER) as connection:
        application = read_application(connection)
    return reckon(application, both.zoho.control.state())


def assert_equal_to_the_cent(reckoning: Reckoning) -> None:
    assert reckoning.monthly.equal, reckoning.monthly
    assert reckoning.invoices.equal, reckoning.invoices
    assert reckoning.tax.equal, reckoning.tax
    assert reckoning.payments.equal, reckoning.payments
    assert all(here == there > 0 for here, there in reckoning.counts.values()), reckoning.counts
    assert [one for one in reckoning.debtors if not (one.owed.equal and one.credit.equal)] == []
    assert (reckoning.days.twice, reckoning.days.missing, reckoning.days.too_many) == (0, 0, 0)
    assert set(reckoning.duplicates.values()) == {0}


def test_the_books_are_the_same_on_both_sides_before_and_after_two_renewals(
    both: World, books: Books, database: Database
) -> None:
    customer_7 = both.customer_id(scenario.LOOKS_ALIKE)
    left = bring_what_changed(both)
    [candidate] = both.row(EntityType.CUSTOMER, customer_7).candidates
    link = {"action": "link", "entity": "customer", "id": customer_7, "by": "me"}
    both.worker.operate(OperateEvent.model_validate(link | {"zoho_id": candidate}))
    left_when_linked = bring_what_changed(both)
    before = reckoned(both)

    until = scenario.last_day(books.today)
    let_it_be(both, until)
    passed = pass_until(books, until)
    with database.connect(APPLICATION_ROLE) as connection:
        write_passed(connection, books, passed)
    taken = pay_on_zohos_page(both.zoho.control, passed)
    left_at_last = bring_what_changed(both)
    after = reckoned(both)

    assert left.pop(f"customer {customer_7}") == "ambiguous"
    assert set(left.values()) == {"blocked"}
    assert left_when_linked == {}
    assert_equal_to_the_cent(before)
    assert taken == scenario.RENEWALS
    assert list(left_at_last.values()) == ["waiting"]
    assert_equal_to_the_cent(after)
    assert both.zoho.control.state().mails == []


def test_who_comes_by_trigger_is_in_zoho_as_she_is_here(
    both: World, books: Books, database: Database
) -> None:
    before = both.zoho.control.state()
    rows = {}

    for trigger in Trigger:
        with database.connect(APPLICATION_ROLE) as connection:
            rows[trigger] = newcomer.write(connection, trigger, books.today)
        both.bring(ENTITY_OF_TRIGGER[trigger], rows[trigger]["id"])

    there = both.zoho.control.state()
    for trigger, row in rows.items():
        assert newcomer.shown(trigger, row, before) == []
        assert [one.is_right for one in newcomer.shown(trigger, row, there)] == [True]
        with database.connect(APPLICATION_ROLE) as connection:
            assert newcomer.sync_status(connection, trigger, row["id"]) == "synced"
    # Zoho bills her from a day to come: it has raised nothing by itself.
    assert [one["number"] for one in there.invoices] == [newcomer.INVOICE]
