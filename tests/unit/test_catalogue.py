"""Service types and packages as they are sent: nothing invented, nothing left at zero."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.catalogue import (
    PLAN_PUT_NEEDS,
    ProductNames,
    match_plan,
    match_product,
    plan_differences,
    plan_field_differences,
    plan_update,
    product_differences,
    read_package,
    read_product,
)
from billing_sync.domain.errors import Unsendable
from billing_sync.domain.matching import MatchKind
from billing_sync.domain.remote import RemotePlan, RemoteProduct
from billing_sync.domain.source import Package
from billing_sync.domain.tax import MoneyRules, Prices, Rounding, Taxes, TaxKind, TaxRate

NAMES = ProductNames("ISP: ")
STANDARD = TaxRate("77", "Standard Rate", Decimal(15))
INCLUSIVE = MoneyRules(
    "ZAR",
    ZoneInfo("Africa/Johannesburg"),
    Prices.INCLUSIVE,
    Rounding.LINE,
    Taxes({TaxKind.STANDARD: STANDARD}),
)
EXCLUSIVE = MoneyRules(
    "ZAR",
    ZoneInfo("Africa/Johannesburg"),
    Prices.EXCLUSIVE,
    Rounding.LINE,
    Taxes({TaxKind.STANDARD: STANDARD}),
)
UNREGISTERED = MoneyRules(
    "ZAR",
    ZoneInfo("Africa/Johannesburg"),
    Prices.EXCLUSIVE,
    Rounding.LINE,
    Taxes({}, is_registered=False),
)


def package(**columns: Any) -> Package:
    row: dict[str, Any] = {
        "id": 1,
        "updated_at": datetime(2025, 1, 1, tzinfo=UTC),
        "sku": "SKY-START-10",
        "name": "SkyFibre Starter",
        "service_type": "SkyFibre",
        "price": Decimal("459.00"),
        "price_includes_tax": True,
        "active": True,
    }
    return Package.model_validate(row | columns)


def plan(**fields: Any) -> RemotePlan:
    return RemotePlan.model_validate(
        {
            "plan_id": "5",
            "plan_code": "SKY-START-10",
            "name": "SkyFibre Starter",
            "recurring_price": 459,
            "interval": 1,
            "interval_unit": "months",
            "billing_cycles": -1,
            "product_id": "9",
            "tax_id": "77",
        }
        | fields
    )


def test_a_package_becomes_an_endless_monthly_plan() -> None:
    sent = read_package(package(), INCLUSIVE, product_zoho_id="9")

    assert sent.key == "SKY-START-10"
    assert sent.payload == {
        "plan_code": "SKY-START-10",
        "name": "SkyFibre Starter",
        "recurring_price": Decimal("459.00"),
        "interval": 1,
        "interval_unit": "months",
        "billing_cycles": -1,
        "product_id": "9",
        "tax_id": "77",
    }


def test_an_exclusive_organisation_is_sent_the_net_price() -> None:
    sent = read_package(package(), EXCLUSIVE, product_zoho_id="9")

    assert sent.figures["recurring_price"] == "399.13"


def test_an_organisation_without_tax_is_sent_the_price_and_no_tax() -> None:
    sent = read_package(package(), UNREGISTERED, product_zoho_id="9")

    assert sent.payload["recurring_price"] == Decimal(459)
    assert "tax_id" not in sent.payload


@pytest.mark.parametrize(
    ("columns", "code", "field"),
    [
        ({"sku": None}, "plan_code_unusable", "sku"),
        ({"sku": "A/../B"}, "plan_code_unusable", "sku"),
        ({"name": "  "}, "name_missing", "name"),
        ({"price": None}, "amount_missing", "price"),
        ({"price": Decimal(0)}, "price_not_positive", "price"),
        ({"price": Decimal("-1.00")}, "price_not_positive", "price"),
        ({"price": Decimal("NaN")}, "not_an_amount", "price"),
        ({"price": Decimal("459.005")}, "parts_of_a_cent", "price"),
    ],
)
def test_an_unusable_package_is_refused_by_its_column(
    columns: dict[str, Any], code: str, field: str
) -> None:
    with pytest.raises(Unsendable) as refused:
        read_package(package(**columns), INCLUSIVE, product_zoho_id="9")

    assert (refused.value.code, refused.value.field) == (code, field)


def test_a_price_that_cannot_be_expressed_is_refused_for_the_plan_too() -> None:
    with pytest.raises(Unsendable, match=r"909\.00 .* 790\.43 .* 908\.99"):
        read_package(package(price=Decimal(909)), EXCLUSIVE, product_zoho_id="9")


OPTIONAL = st.none() | st.just("") | st.text(max_size=8)


@given(
    sku=OPTIONAL,
    name=OPTIONAL,
    price=st.none() | st.decimals(-5, 10**4, places=2),
    zoho_id=OPTIONAL,
)
def test_what_was_not_read_is_never_sent(
    sku: str | None, name: str | None, price: Decimal | None, zoho_id: str | None
) -> None:
    try:
        sent = read_package(
            package(sku=sku, name=name, price=price), INCLUSIVE, product_zoho_id=zoho_id
        )
    except Unsendable:
        return

    assert all(value not in {None, ""} for value in sent.payload.values())
    assert sent.payload["recurring_price"] == price
    assert set(plan_update(sent.payload)) == set(sent.payload) - {"product_id"}
    assert set(PLAN_PUT_NEEDS) <= set(plan_update(sent.payload))
    assert "setup_fee" not in sent.payload


@pytest.mark.parametrize("field", PLAN_PUT_NEEDS)
def test_a_put_without_one_of_its_four_fields_is_never_made(field: str) -> None:
    payload = read_package(package(), INCLUSIVE, product_zoho_id="9").payload
    del payload[field]

    with pytest.raises(ValueError, match=field):
        plan_update(payload)


def test_equal_prices_have_equal_fingerprints_however_they_are_written() -> None:
    written = read_package(package(price=Decimal(459)), INCLUSIVE, product_zoho_id="9")
    read = read_package(package(price=Decimal("459.00")), INCLUSIVE, product_zoho_id="9")

    assert written.fingerprint == read.fingerprint


def test_a_package_taken_off_the_list_is_another_content() -> None:
    listed = read_package(package(), INCLUSIVE, product_zoho_id="9")
    taken_off = read_package(package(active=False), INCLUSIVE, product_zoho_id="9")

    assert listed.fingerprint != taken_off.fingerprint


@pytest.mark.parametrize(
    ("fields", "differing"),
    [
        ({}, []),
        ({"recurring_price": Decimal("459.0")}, []),
        ({"recurring_price": 0}, ["recurring_price"]),
        ({"recurring_price": None}, ["recurring_price"]),
        ({"billing_cycles": 12}, ["billing_cycles"]),
        ({"interval_unit": "years"}, ["interval_unit"]),
    ],
)
def test_figures_of_a_plan_are_compared(fields: dict[str, Any], differing: list[str]) -> None:
    sent = read_package(package(), INCLUSIVE, product_zoho_id="9")

    assert plan_differences(sent.figures, plan(**fields)) == differing


@pytest.mark.parametrize(
    ("fields", "differing"),
    [
        ({"name": "skyfibre  starter"}, []),
        ({"name": "Other"}, ["name"]),
        ({"product_id": "10"}, ["product_id"]),
        ({"product_id": ""}, []),
        ({"tax_id": "78"}, ["tax_id"]),
    ],
)
def test_fields_of_a_plan_are_compared(fields: dict[str, Any], differing: list[str]) -> None:
    sent = read_package(package(), INCLUSIVE, product_zoho_id="9")

    assert plan_field_differences(sent.payload, sent.figures, plan(**fields)) == differing


def test_a_plan_is_ours_by_its_code_alone() -> None:
    assert match_plan("SKY-START-10", None, {}, "1").kind is MatchKind.NONE
    assert match_plan("SKY-START-10", plan(), {}, "1").kind is MatchKind.SAME
    assert match_plan("sky-start-10", plan(), {}, "1").kind is MatchKind.NONE
    assert match_plan("SKY-START-10", plan(), {"SKY-START-10": "2"}, "1").kind is MatchKind.TAKEN


def product(zoho_id: str, name: str, status: str = "active") -> RemoteProduct:
    return RemoteProduct.model_validate({"product_id": zoho_id, "name": name, "status": status})


def test_a_service_type_becomes_a_product_within_our_prefix() -> None:
    sent = read_product(" SkyFibre ", NAMES)

    assert sent.payload == {"name": "ISP: SkyFibre"}
    assert product_differences(sent.figures, product("1", "ISP: SkyFibre")) == []
    assert product_differences(sent.figures, product("1", "SkyFibre")) == ["name"]


@pytest.mark.parametrize("service_type", [None, "", "  "])
def test_a_package_without_service_type_has_no_product(service_type: str | None) -> None:
    with pytest.raises(Unsendable) as refused:
        read_product(service_type, NAMES)

    assert refused.value.field == "service_type"


def test_products_match_by_their_whole_name_within_the_prefix() -> None:
    products = [product("1", "SkyFibre"), product("2", "isp: skyfibre"), product("3", "ISP: Sky")]

    assert match_product("ISP: SkyFibre", products, {}, "SkyFibre").zoho_ids == ("2",)


def test_an_active_product_goes_before_an_inactive_one_of_its_name() -> None:
    products = [product("1", "ISP: SkyFibre", "inactive"), product("2", "ISP: SkyFibre")]

    assert match_product("ISP: SkyFibre", products, {}, "SkyFibre").zoho_ids == ("2",)


def test_two_products_of_one_name_are_for_a_person() -> None:
    products = [product("1", "ISP: SkyFibre"), product("2", "ISP: SkyFibre")]

    found = match_product("ISP: SkyFibre", products, {}, "SkyFibre")

    assert found.kind is MatchKind.SEVERAL
    assert found.why == "2 in Zoho bear this name"
