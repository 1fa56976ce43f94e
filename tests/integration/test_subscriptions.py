"""Catalogue and subscriptions on real sync records and fake Zoho: calls, changes, renewals, ends.

Their workers are killed and stalled in tests/faults/test_entities.py.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing_sync.domain.states import EntityType, State
from billing_sync.ports import RecordKey
from ops.fake_zoho import AnswerLost, FakeZohoConfig, SeedPlan
from ops.local_stack.postgres import Database
from tests.one_customer import ACCOUNT, TODAY, OneCustomer
from tests.records import calls, row
from tests.world import ORGANISATION, World, world

SKU = "SKY-START-10"
PRODUCT = RecordKey(EntityType.PRODUCT, "SkyFibre")
YEAR = TODAY.year
BEGUN = f"{YEAR}-03-10"
RENEWED = f"{YEAR}-04-10"
THE_DAY_AFTER = date(YEAR, 4, 11)


@pytest.fixture
def w(database: Database) -> Iterator[World]:
    with world(database) as made:
        yield made
        assert made.zoho.control.state().mails == []


@pytest.fixture
def one(w: World) -> OneCustomer:
    return OneCustomer(w)


def plan_of(w: World) -> RecordKey:
    [found] = w.sql("SELECT CAST(id AS text) AS id FROM service_packages WHERE sku = :sku", sku=SKU)
    return RecordKey(EntityType.PLAN, found.id)


def change(w: World, service: RecordKey, **columns: Any) -> None:
    """Change a service as the application does; its trigger signals."""
    w.change("customer_services", service.entity_id, **columns)
    w.worker.records.signal(service)


def subscriptions(w: World) -> list[dict[str, Any]]:
    return w.zoho.control.state().subscriptions


def invoices(w: World) -> list[tuple[str, float, float]]:
    """Give the invoices that Zoho raised: day, total, tax."""
    return [
        (invoice["date"], invoice["total"], invoice["tax_total"])
        for invoice in w.zoho.control.state().invoices
    ]


def assert_one_of_each(one: OneCustomer, services: int = 1) -> None:
    assert one.made() == Counter(
        customers=1, products=1, plans=1, subscriptions=services, invoices=services
    )


# ---------------------------------------------------------------------------------- how it is made


def test_a_subscription_brings_its_parents_and_costs_one_call(w: World, one: OneCustomer) -> None:
    first, second = one.add_service(), one.add_service()

    brought = one.calls_of(first)
    asked = one.calls_of(second)
    w.worker.records.signal(second)
    unchanged = one.calls_of(second)

    assert brought == [
        "create_customer",
        "list_products",
        "create_product",
        "get_plan",
        "create_plan",
        "list_subscriptions",
        "create_subscription",
        "get_invoice",
    ]
    assert asked == ["create_subscription"]
    assert unchanged == []
    one.assert_in_step(first, second, PRODUCT, plan_of(w), w.customer(ACCOUNT))
    assert_one_of_each(one, services=2)
    [plan] = w.zoho.control.state().plans
    assert (plan["plan_code"], plan["billing_cycles"], plan["setup_fee"]) == (SKU, -1, 0)
    assert invoices(w) == [(BEGUN, 459.0, 59.87)] * 2
    assert row(w.database, first).facts["spans"] == [[BEGUN, None]]


def test_a_service_with_a_past_begins_on_its_next_billing_day(w: World, one: OneCustomer) -> None:
    service = one.add_service(activation_date=date(2025, 6, 1), billing_day=1)

    one.bring(service)

    one.assert_in_step(service)
    [made] = subscriptions(w)
    assert (made["status"], made["next_billing_at"]) == ("future", f"{YEAR}-04-01")
    assert invoices(w) == []


def test_where_prices_are_without_tax_the_same_invoice_is_raised(database: Database) -> None:
    with world(database, PRICES_IN_ZOHO="exclusive") as w:
        w.zoho.control.switch(prices_inclusive=False)
        one = OneCustomer(w)
        service = one.add_service()

        one.bring(service)

        one.assert_in_step(service)
        assert invoices(w) == [(BEGUN, 459.0, 59.87)]


def test_prices_that_zoho_reads_otherwise_are_told_by_the_first_invoice(
    w: World, one: OneCustomer
) -> None:
    w.zoho.control.switch(prices_inclusive=False)
    service = one.add_service()

    assert one.bring(service) == ["mismatch"]

    found = row(w.database, service)
    assert found.code == "prices_setting_differs"
    assert "527.85, of which tax 68.85" in found.sentence
    assert "459.00, of which tax 59.87" in found.sentence


def test_a_plan_that_finance_made_is_taken_over_and_its_price_never_zero(
    database: Database,
) -> None:
    by_hand = SeedPlan(
        product="Internet",
        profile={"plan_code": SKU, "name": "Starter", "recurring_price": 400, "setup_fee": 99},
        created_time=datetime(2024, 2, 1, tzinfo=UTC),
    )
    config = FakeZohoConfig(time_scale=100, seed_plans={ORGANISATION: [by_hand]})
    with world(database, config) as w:
        one = OneCustomer(w)
        service = one.add_service()

        one.bring(service)

        one.assert_in_step(service, plan_of(w))
        [plan] = w.zoho.control.state().plans
        assert (plan["recurring_price"], plan["setup_fee"], plan["_writes"]) == (459.0, 99.0, 1)
        assert invoices(w) == [(BEGUN, 459.0, 59.87)]


def test_ten_workers_at_once_make_one_product_and_one_plan(w: World, one: OneCustomer) -> None:
    services = [one.add_service() for _ in range(10)]
    workers = [w.container() for _ in services]

    with ThreadPoolExecutor(len(services)) as pool:
        list(
            pool.map(
                lambda each: w.bring(each[0].entity, each[0].entity_id, each[1]),
                zip(services, workers, strict=True),
            )
        )
    one.let_it_heal(*services)

    one.assert_in_step(*services, PRODUCT, plan_of(w), w.customer(ACCOUNT))
    assert_one_of_each(one, services=10)


# ------------------------------------------------------------------------------ changes and ends


def test_a_price_change_is_two_calls_and_reaches_the_next_term(w: World, one: OneCustomer) -> None:
    service = one.add_service()
    one.bring(service)
    change(w, service, monthly_price=Decimal("529.00"))

    asked = one.calls_of(service)
    w.set_today(date.fromisoformat(RENEWED))

    assert asked == ["get_subscription", "update_subscription"]
    one.assert_in_step(service)
    assert invoices(w) == [(BEGUN, 459.0, 59.87), (RENEWED, 529.0, 69.0)]


def test_a_create_whose_answer_was_lost_is_found_by_its_reference(
    w: World, one: OneCustomer
) -> None:
    service = one.add_service()
    w.zoho.control.arm(AnswerLost(operation="create_subscription"))

    assert one.bring(service) == ["in_doubt"]
    one.let_it_heal(service)

    one.assert_in_step(service)
    assert calls(w.zoho)[-3:] == ["list_subscriptions", "get_subscription", "get_invoice"]
    assert_one_of_each(one)


def test_a_change_whose_answer_was_lost_is_proved_and_not_sent_twice(
    w: World, one: OneCustomer
) -> None:
    service = one.add_service()
    one.bring(service)
    change(w, service, monthly_price=Decimal("529.00"))
    w.zoho.control.arm(AnswerLost(operation="update_subscription"))

    assert one.bring(service) == ["in_doubt"]
    one.let_it_heal(service)

    one.assert_in_step(service)
    assert calls(w.zoho).count("update_subscription") == 1
    [there] = subscriptions(w)
    assert there["_scheduled_price"] == 529.0


def test_a_suspended_service_keeps_its_subscription_at_no_change(
    w: World, one: OneCustomer
) -> None:
    service = one.add_service()
    one.bring(service)
    change(w, service, status="suspended")

    assert one.calls_of(service) == ["get_subscription"]

    one.assert_in_step(service)
    assert subscriptions(w)[0]["status"] == "live"


def test_a_cancelled_service_ends_with_its_term_and_may_return_within_it(
    w: World, one: OneCustomer
) -> None:
    service = one.add_service()
    one.bring(service)

    change(w, service, status="cancelled", cancelled_at=datetime(YEAR, 3, 20, 9, tzinfo=UTC))
    ended = one.calls_of(service)
    is_ending = subscriptions(w)[0]["status"]
    change(w, service, status="active", cancelled_at=None)
    returned = one.calls_of(service)

    assert ended == ["get_subscription", "cancel_subscription"]
    assert is_ending == "non_renewing"
    assert returned == ["get_subscription", "reactivate_subscription"]
    one.assert_in_step(service)
    assert [each["status"] for each in subscriptions(w)] == ["live"]


def test_a_service_that_returns_later_gets_a_new_one_from_its_next_billing_day(
    w: World, one: OneCustomer
) -> None:
    service = one.add_service()
    one.bring(service)
    former = one.zoho_id(service)
    change(w, service, status="cancelled", cancelled_at=datetime(YEAR, 3, 20, 9, tzinfo=UTC))
    one.bring(service)
    w.set_today(THE_DAY_AFTER)
    change(w, service, status="active", cancelled_at=None)

    asked = one.calls_of(service)

    assert asked == ["get_subscription", "create_subscription"]
    one.assert_in_step(service)
    there = {each["subscription_id"]: each for each in subscriptions(w)}
    assert there[former]["status"] == "cancelled"
    assert there[one.zoho_id(service)]["next_billing_at"] == f"{YEAR}-05-10"
    found = row(w.database, service)
    assert found.former_zoho_ids == [former]
    assert found.facts["spans"] == [[BEGUN, RENEWED], [f"{YEAR}-05-10", None]]
    assert invoices(w) == [(BEGUN, 459.0, 59.87)]


def test_a_cancellation_to_come_waits_and_ends_the_term_that_contains_it(
    w: World, one: OneCustomer
) -> None:
    service = one.add_service()
    one.bring(service)
    change(w, service, status="cancelled", cancelled_at=datetime(YEAR, 4, 20, 9, tzinfo=UTC))

    assert one.bring(service) == ["waiting"]
    w.set_today(THE_DAY_AFTER)
    w.worker.records.signal(service)
    w.bring(service.entity, service.entity_id)

    one.assert_in_step(service)
    [there] = subscriptions(w)
    assert (there["status"], there["current_term_ends_at"]) == ("non_renewing", f"{YEAR}-05-10")
    assert len(invoices(w)) == 2


def test_a_service_that_was_never_begun_makes_nothing_in_zoho(one: OneCustomer) -> None:
    pending = one.add_service(status="pending", activation_date=None)
    suspended = one.add_service(status="suspended")
    cancelled = one.add_service(status="cancelled")

    assert one.bring(pending, suspended, cancelled) == [State.SKIPPED] * 3

    assert one.made()["subscriptions"] == 0
