"""The catalogue's rules: made or linked on demand, whole or not at all."""

from decimal import Decimal
from typing import Any

import pytest

from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.remote import RemotePlan, RemoteProduct
from billing_sync.domain.states import EntityType
from billing_sync.domain.tax import Prices
from billing_sync.ports import RecordKey, Write
from billing_sync.services.rules import Do, Done, Found, Remote, Source, Stuck
from tests.fakes.billing import NOW, PERMIT, Billing, create, lost

PRODUCT = RecordKey(EntityType.PRODUCT, "fibre")


def product(zoho_id: str, name: str, **fields: Any) -> RemoteProduct:
    return RemoteProduct(zoho_id=zoho_id, name=name, **fields)


def plan(**fields: Any) -> RemotePlan:
    return RemotePlan.model_validate(
        {
            "plan_id": "600",
            "plan_code": "SKY-START-10",
            "name": "SkyFibre Starter",
            "recurring_price": Decimal(459),
            "interval": 1,
            "interval_unit": "months",
            "billing_cycles": -1,
            "product_id": "500",
            "tax_id": "77",
        }
        | fields
    )


@pytest.fixture
def billing() -> Billing:
    return Billing()


def service_type(billing: Billing, name: str = "fibre") -> Source:
    source = billing.products.read(name)
    assert source is not None
    return source


# -------------------------------------------------------------------------------- products


def test_a_service_type_becomes_a_product_within_our_own_prefix(billing: Billing) -> None:
    source = service_type(billing)

    made = billing.products.send(create(source), PERMIT)

    assert billing.zoho.sent["create_product"] == {"name": "ISP: fibre"}
    assert billing.products.next_step(source, made, after="create") == Done()


def test_a_service_type_that_no_package_names_is_not_there(billing: Billing) -> None:
    assert billing.products.read("wireless") is None


def test_a_service_type_is_as_new_as_the_newest_package_of_it(billing: Billing) -> None:
    billing.books.put_package(id="10", updated_at=NOW, service_type=" fibre ")

    assert service_type(billing).version == NOW


def test_a_product_is_linked_by_its_whole_name_among_all_pages(billing: Billing) -> None:
    billing.zoho.products = [
        product("1", "ISP: fibre backup"),
        product("2", "fibre"),
        product("3", "ISP: Fibre"),
    ]

    found = billing.products.find(service_type(billing))

    assert found.link == "3"
    assert billing.zoho.calls == {"list_products": 2}


def test_no_product_of_the_name_is_none(billing: Billing) -> None:
    assert billing.products.find(service_type(billing)) == Found()


def test_two_products_of_one_name_are_for_a_person(billing: Billing) -> None:
    billing.zoho.products = [product("1", "ISP: fibre"), product("2", "ISP: fibre")]

    found = billing.products.find(service_type(billing))

    assert (found.link, found.candidates) == (None, ("1", "2"))


def test_a_product_that_another_service_type_holds_is_not_taken(billing: Billing) -> None:
    billing.zoho.products = [product("1", "ISP: fibre")]
    billing.records.put(EntityType.PRODUCT, "FIBRE", "1")

    assert billing.products.find(service_type(billing)).code == "linked_elsewhere"


def test_a_product_whose_answer_was_lost_is_found_by_its_whole_name(billing: Billing) -> None:
    billing.zoho.products = [
        product("1", "ISP: fibre", status="inactive"),
        product("2", "ISP: Fibre", status="active"),
        product("3", "ISP: fibre backup", status="active"),
    ]

    proofs = billing.products.look_up(lost(service_type(billing)))

    assert [remote.zoho_id for remote in proofs] == ["2"]


def test_a_product_that_was_renamed_there_is_named_anew(billing: Billing) -> None:
    source = service_type(billing)
    renamed = Remote("500", product("500", "Internet"))

    step = billing.products.next_step(source, renamed)

    assert step == Do("update", {"name": "ISP: fibre"})


# ----------------------------------------------------------------------------------- plans


def test_a_package_becomes_an_endless_plan_without_setup_fee(billing: Billing) -> None:
    source = billing.package()

    made = billing.plans.send(create(source), PERMIT)

    assert billing.zoho.sent["create_plan"] == {
        "plan_code": "SKY-START-10",
        "name": "SkyFibre Starter",
        "recurring_price": Decimal("459.00"),
        "interval": 1,
        "interval_unit": "months",
        "billing_cycles": -1,
        "product_id": "500",
        "tax_id": "77",
    }
    assert billing.plans.next_step(source, made, after="create") == Done()
    assert billing.zoho.calls == {"create_plan": 1}


def test_a_plan_brings_its_product(billing: Billing) -> None:
    assert billing.plans.parents("9") == (PRODUCT,)


def test_before_its_product_is_there_a_plan_is_read_all_the_same(billing: Billing) -> None:
    del billing.records.known[PRODUCT]

    assert "product_id" not in billing.package().payload


def test_a_price_with_tax_is_sent_net_where_prices_are_without() -> None:
    source = Billing(prices=Prices.EXCLUSIVE).package()

    assert source.figures["recurring_price"] == "399.13"


def test_a_price_that_cannot_be_expressed_is_refused_with_both_figures() -> None:
    source = Billing(prices=Prices.EXCLUSIVE).package(price=Decimal(379))

    assert source.refused is not None
    assert source.refused.field == "price"
    assert "379.00" in source.refused.sentence
    assert "379.01" in source.refused.sentence


def test_another_price_that_cannot_be_expressed_is_another_refusal() -> None:
    billing = Billing(prices=Prices.EXCLUSIVE)

    first = billing.package(price=Decimal(379))

    assert first.fingerprint != billing.package(price=Decimal("379.15")).fingerprint


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"service_type": " "}, "service_type"),
        ({"price": None}, "price"),
        ({"price": Decimal(0)}, "price"),
        ({"sku": None}, "sku"),
        ({"name": ""}, "name"),
    ],
)
def test_a_package_that_is_not_whole_is_refused_by_its_column(
    billing: Billing, columns: dict[str, Any], field: str
) -> None:
    source = billing.package(**columns)

    assert source.refused is not None
    assert source.refused.field == field
    assert source.payload == {}


def test_a_package_without_service_type_brings_no_product(billing: Billing) -> None:
    billing.package(service_type=None)

    assert billing.plans.parents("9") == ()


def test_a_plan_that_finance_made_under_our_code_is_linked_as_it_was_seen(
    billing: Billing,
) -> None:
    billing.zoho.plans["SKY-START-10"] = plan(recurring_price=Decimal(400))

    found = billing.plans.find(billing.package())

    assert found.link == "SKY-START-10"
    assert found.remote == Remote("SKY-START-10", plan(recurring_price=Decimal(400)))
    assert billing.zoho.calls == {"get_plan": 1}


def test_no_plan_of_the_code_is_none(billing: Billing) -> None:
    assert billing.plans.find(billing.package()) == Found()


def test_two_packages_with_one_sku_have_not_one_plan(billing: Billing) -> None:
    billing.zoho.plans["SKY-START-10"] = plan()
    billing.records.put(EntityType.PLAN, "9")
    billing.records.put(EntityType.PLAN, "8", "SKY-START-10")

    assert billing.plans.find(billing.package()).code == "linked_elsewhere"


def test_an_update_writes_the_whole_plan_and_never_a_price_that_was_not_read(
    billing: Billing,
) -> None:
    billing.zoho.plans["SKY-START-10"] = plan(setup_fee=Decimal(99))
    source = billing.package(price=Decimal(499))

    step = billing.plans.next_step(source, Remote("SKY-START-10", plan()))
    assert isinstance(step, Do)
    write = Write("update", source.key, source.figures, "", step.payload, "SKY-START-10")
    changed = billing.plans.send(write, PERMIT)

    body = billing.zoho.sent["update_plan"]
    assert body.keys() >= {"plan_code", "name", "recurring_price", "interval"}
    assert body["recurring_price"] == Decimal("499.00")
    assert "setup_fee" not in body
    assert billing.plans.next_step(source, changed, after="update") == Done()


def test_a_plan_that_finance_keeps_under_another_product_stays_there(billing: Billing) -> None:
    elsewhere = Remote("SKY-START-10", plan(product_id="999"))

    assert billing.plans.next_step(billing.package(), elsewhere) == Done()


def test_a_plan_s_update_without_its_price_is_never_sent(billing: Billing) -> None:
    write = Write("update", "SKY-START-10", {}, "", {"name": "Starter"}, "SKY-START-10")

    with pytest.raises(ValueError, match="recurring_price"):
        billing.plans.send(write, PERMIT)

    assert billing.zoho.calls == {}


def test_an_update_that_was_answered_and_does_not_show_is_a_mismatch(billing: Billing) -> None:
    source = billing.package(price=Decimal(499))

    step = billing.plans.next_step(source, Remote("SKY-START-10", plan()), after="update")

    assert isinstance(step, Stuck)
    assert step.field == "recurring_price"


def test_another_sku_is_not_written_over_a_plan(billing: Billing) -> None:
    source = billing.package(sku="SKY-20")

    step = billing.plans.next_step(source, Remote("SKY-START-10", plan()))

    assert billing.plans.looks_first()
    assert isinstance(step, Stuck)
    assert "SKY-20" in step.sentence
    assert "SKY-START-10" in step.sentence


def test_a_refusal_that_may_mean_that_finance_was_faster_is_looked_into(billing: Billing) -> None:
    assert billing.plans.is_taken(990202)
    assert not billing.plans.is_taken(2)
    assert not billing.plans.is_taken(None)


def test_a_plan_whose_answer_was_lost_is_read_by_its_code(billing: Billing) -> None:
    source = billing.package()

    before = billing.plans.look_up(lost(source))
    billing.zoho.plans["SKY-START-10"] = plan()
    afterwards = billing.plans.look_up(lost(source))

    assert before == []
    assert afterwards == [Remote("SKY-START-10", plan())]


def test_the_log_shows_codes_and_prices_as_text(billing: Billing) -> None:
    masked = billing.plans.masked(create(billing.package()))
    answered = billing.plans.masked_answer(Remote("SKY-START-10", plan()))

    assert masked["recurring_price"] == "459.00"
    assert answered["billing_cycles"] == -1


# ----------------------------------------------------------------------------------- money


def test_the_organisation_s_facts_are_read_once(billing: Billing) -> None:
    assert billing.money.rules() is billing.money.rules()
    assert billing.calendar.reads == 1


def test_a_tax_that_is_added_in_zoho_is_seen_without_a_new_process(billing: Billing) -> None:
    taxes, billing.calendar.tax_rows = billing.calendar.tax_rows, []
    billing.calendar.tax_rows = [taxes[0].model_copy(update={"percentage": Decimal(14)})]

    before = billing.package()
    billing.calendar.tax_rows = taxes

    assert before.refused is not None
    assert before.refused.code == "tax_not_in_zoho"
    assert billing.package().refused is None


def test_without_preflight_there_is_no_money(billing: Billing) -> None:
    billing.calendar.preflight_ran = False

    with pytest.raises(Misconfigured):
        billing.money.rules()
