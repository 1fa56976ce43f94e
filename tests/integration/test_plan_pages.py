"""What a plan reads ahead for a page of rows is what the rules would have read one by one."""

from dataclasses import replace

import pytest
from sqlalchemy import event

from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import Only
from ops.local_stack.postgres import Database
from tests.one_customer import TODAY, OneCustomer
from tests.world import World, world

ENTITIES = (EntityType.SUBSCRIPTION, EntityType.INVOICE, EntityType.PAYMENT)


def furnish(w: World) -> None:
    """Put something of everything on both sides, some of it brought in step and changed since."""
    one = OneCustomer(w)
    service, idle = one.add_service(), one.add_service(status="suspended")
    paid, open_invoice, void = one.add_invoice(), one.add_invoice(), one.add_invoice()
    month = {"invoice_type": "recurring", "period_start": TODAY}
    one.add_invoice(service_id=service.entity_id, **month)
    one.add_invoice(service_id=idle.entity_id, **month)
    one.add_invoice(service_id=idle.entity_id, invoice_type="recurring", invoice_number="")
    payment = one.add_payment(paid)
    shared, _ = one.add_payment(), one.add_payment(open_invoice, amount=100)
    one.share(shared, open_invoice, 200)
    one.bring(service, payment, void)
    w.change("customer_invoices", void.entity_id, status="voided")
    w.change("customer_services", service.entity_id, status="cancelled")
    for walk in (w.worker.subscription_rows, w.worker.invoice_rows):
        w.zoho.control.advance_clock(10)
        walk.begin()
        walk.advance(lambda: True)


@pytest.mark.parametrize("entity", ENTITIES)
def test_the_rules_see_the_same_of_a_page_as_of_each_row(
    database: Database, entity: EntityType
) -> None:
    with world(database) as w:
        furnish(w)
        rows = w.worker.source.rows_after(entity, None, 100, Only())
        plain, pages = w.worker.rules[entity], w.worker.pages
        paged = w.worker.rules_over(
            pages.source, pages.records, pages.snapshots, pages.organisations
        )[entity]
        assert len(rows) > 1

        pages.turn(entity, rows)

        for row in rows:
            source, seen = plain.read(row.id), paged.read(row.id)
            assert source is not None
            assert seen is not None
            # Refusals are exceptions: equal when they say the same.
            assert repr(seen.refused) == repr(source.refused)
            assert replace(seen, refused=None) == replace(source, refused=None)
            assert paged.parents(row.id) == plain.parents(row.id)
            if source.skip is None and source.refused is None and source.withdrawn is None:
                assert paged.foresee(source) == plain.foresee(source)
            view = w.worker.records.views(entity, [row.id]).get(row.id)
            assert pages.records.views(entity, [row.id]).get(row.id) == view
            if view is not None and view.zoho_id is not None:
                assert paged.shown(view.zoho_id) == plain.shown(view.zoho_id)


@pytest.mark.parametrize("entity", ENTITIES)
def test_another_row_on_a_page_costs_no_further_round_trip(
    database: Database, entity: EntityType
) -> None:
    with world(database) as w:
        one = OneCustomer(w)
        for _ in range(8):
            one.add_payment(one.add_invoice(service_id=one.add_service().entity_id))
        rows = w.worker.source.rows_after(entity, None, 100, Only())
        pages = w.worker.pages
        rules = w.worker.rules_over(
            pages.source, pages.records, pages.snapshots, pages.organisations
        )[entity]
        statements = 0

        def count(*_: object) -> None:
            nonlocal statements
            statements += 1

        def read(count_of_rows: int) -> int:
            pages.turn(entity, rows[:count_of_rows])
            for row in rows[:count_of_rows]:
                rules.read(row.id)
                rules.parents(row.id)
            return statements

        read(len(rows))  # the types of the ids are asked for once
        event.listen(w.worker.engine, "before_cursor_execute", count)

        of_two = read(2)
        statements = 0

        assert read(len(rows)) == of_two
