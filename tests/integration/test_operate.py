"""What an operator asks about records of every entity, by ids and by the numbers on screens."""

from collections.abc import Iterator
from datetime import date

import pytest
from pydantic import ValidationError

from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import OperateAnswer, OperateEvent
from billing_sync.ports import RecordKey
from ops.fake_zoho import FakeZohoConfig, RunningFake, running_fake_zoho
from ops.local_stack.postgres import Database
from tests.world import World


@pytest.fixture(scope="module")
def zoho() -> Iterator[RunningFake]:
    # Nobody here calls it; the composition root wants its address.
    with running_fake_zoho(FakeZohoConfig()) as running:
        yield running


@pytest.fixture
def world(database: Database, zoho: RunningFake) -> Iterator[World]:
    world = World(database, zoho)
    yield world
    world.close()


def operate(world: World, action: str, entity: str, id_: str, **event: object) -> OperateAnswer:
    asked = {"action": action, "by": "ops", "entity": entity, "id": id_, **event}
    return world.worker.operate(OperateEvent.model_validate(asked))


def known(world: World, entity: EntityType, entity_id: str) -> None:
    """Let the sync know a record, as a trigger does."""
    world.worker.records.signal(RecordKey(entity, entity_id))


def invoice(world: World, number: str) -> str:
    return world.insert(
        "customer_invoices",
        customer_id=1,
        invoice_number=number,
        invoice_date=date(2026, 1, 1),
        due_date=date(2026, 1, 8),
        subtotal=100,
        total_amount=100,
    )


def test_an_invoice_and_a_payment_and_a_plan_are_found_by_their_numbers(world: World) -> None:
    of_invoice = invoice(world, "INV-2026-0001")
    of_payment = world.insert(
        "payment_transactions", transaction_id="NC-77", provider="netcash", amount=9, customer_id=1
    )
    [package] = world.sql("SELECT CAST(id AS text) AS id, sku FROM service_packages LIMIT 1")
    for entity, number, row_id in (
        (EntityType.INVOICE, "INV-2026-0001", of_invoice),
        (EntityType.PAYMENT, "NC-77", of_payment),
        (EntityType.PLAN, package.sku, package.id),
    ):
        known(world, entity, row_id)

        by_number = operate(world, "show", entity, number)
        assert by_number.ok, by_number.why
        assert by_number.model_dump()["record"]["id"] == row_id
        assert operate(world, "show", entity, row_id) == by_number


def test_an_id_goes_before_another_rows_number(world: World) -> None:
    first = invoice(world, "INV-1")
    second = invoice(world, first)
    known(world, EntityType.INVOICE, first)

    assert second != first
    assert operate(world, "show", "invoice", first).model_dump()["record"]["id"] == first


def test_of_two_rows_with_one_number_only_the_id_tells(world: World) -> None:
    world.sql("ALTER TABLE customer_invoices DROP CONSTRAINT customer_invoices_invoice_number_key")
    ids = sorted((invoice(world, "INV-1"), invoice(world, "INV-1")))

    answer = operate(world, "link", "invoice", "INV-1", zoho_id="4815162000000001")

    assert (answer.ok, answer.error, answer.field) == (False, "Several", "id")
    assert answer.why == f"Several rows have this number: {', '.join(ids)}. Give the id."


def test_of_a_row_that_is_gone_the_record_is_still_told_and_a_stranger_is_unknown(
    world: World,
) -> None:
    known(world, EntityType.INVOICE, "999")

    assert operate(world, "show", "invoice", "999").ok
    assert operate(world, "show", "invoice", "998").error == "Unknown"
    assert operate(world, "show", "subscription", "998").error == "Unknown"


def test_a_plan_is_linked_by_its_code_and_nothing_else_is(world: World) -> None:
    [package] = world.sql("SELECT CAST(id AS text) AS id, sku FROM service_packages LIMIT 1")
    known(world, EntityType.PLAN, package.id)

    assert operate(world, "link", "plan", package.sku, zoho_id="OLD-CODE").ok

    assert world.row(EntityType.PLAN, package.id).zoho_id == "OLD-CODE"
    with pytest.raises(ValidationError, match="must be a number of 6 to 25 digits"):
        operate(world, "link", "invoice", "1", zoho_id="OLD-CODE")
