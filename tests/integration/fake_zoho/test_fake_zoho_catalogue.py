"""Products and plans: what Zoho keeps, refuses, and lists."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from ops.fake_zoho import (
    AnswerLost,
    FakeZohoConfig,
    FieldAltered,
    OrganisationConfig,
    RunningFake,
    SeedPlan,
    WithoutId,
    running_fake_zoho,
)

STANDARD_RATE = "4815162000000000201"
FIBRE = {
    "plan_code": "FIBRE-50",
    "name": "Fibre 50",
    "recurring_price": 459,
    "interval": 1,
    "interval_unit": "months",
    "tax_id": STANDARD_RATE,
}


@pytest.fixture
def product_id(api: httpx.Client) -> str:
    answer = api.post("/products", json={"name": "Internet"})
    assert answer.status_code == 201, answer.text
    product_id: str = answer.json()["product"]["product_id"]
    return product_id


def _plan(api: httpx.Client, product_id: str, **fields: Any) -> Any:
    answer = api.post("/plans", json=FIBRE | {"product_id": product_id} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()["plan"]


def test_product_is_made_shown_and_changed(api: httpx.Client, product_id: str) -> None:
    changed = api.put(f"/products/{product_id}", json={"name": "Fibre", "description": "Fast"})
    shown = api.get(f"/products/{product_id}").json()["product"]

    assert changed.json()["message"] == "The product details have been updated."
    assert (shown["name"], shown["description"], shown["status"]) == ("Fibre", "Fast", "active")


def test_names_of_products_may_repeat_and_no_filter_finds_them(
    zoho: RunningFake, api: httpx.Client, product_id: str
) -> None:
    again = api.post("/products", json={"name": "Internet"}).json()["product"]["product_id"]
    zoho.control.advance_clock(2)
    rows = api.get("/products", params={"name": "nothing of that name"}).json()["products"]

    assert [row["product_id"] for row in rows] == [product_id, again]


def test_lists_of_products_and_plans_lag(
    zoho: RunningFake, api: httpx.Client, product_id: str
) -> None:
    _plan(api, product_id)

    assert api.get("/products").json()["products"] == []
    assert api.get("/plans").json()["plans"] == []
    zoho.control.advance_clock(2)
    assert len(api.get("/products").json()["products"]) == 1
    assert len(api.get("/plans").json()["plans"]) == 1


def test_product_without_a_name_is_refused(api: httpx.Client) -> None:
    answer = api.post("/products", json={"description": "nameless"})

    assert (answer.status_code, answer.json()["code"]) == (400, 2)
    assert answer.json()["message"] == "Invalid value passed for Name"


def test_product_is_hidden_from_its_list_of_active_ones_once_inactive(
    zoho: RunningFake, api: httpx.Client, product_id: str
) -> None:
    answer = api.post(f"/products/{product_id}/markasinactive")
    zoho.control.advance_clock(2)

    assert answer.json()["message"] == "The product has been marked as inactive."
    active = api.get("/products", params={"filter_by": "ProductStatus.ACTIVE"})
    inactive = api.get("/products", params={"filter_by": "ProductStatus.INACTIVE"})
    assert active.json()["products"] == []
    assert [row["status"] for row in inactive.json()["products"]] == ["inactive"]


def test_product_with_plans_cannot_be_deleted(api: httpx.Client, product_id: str) -> None:
    _plan(api, product_id)
    refused = api.delete(f"/products/{product_id}")
    api.delete(f"/plans/{FIBRE['plan_code']}")
    allowed = api.delete(f"/products/{product_id}")

    assert (refused.status_code, allowed.status_code) == (400, 200)
    assert api.get(f"/products/{product_id}").status_code == 404


def test_plan_is_addressed_by_its_code(api: httpx.Client, product_id: str) -> None:
    created = _plan(api, product_id)
    shown = api.get("/plans/FIBRE-50").json()["plan"]

    assert created == shown
    assert (shown["recurring_price"], shown["billing_cycles"]) == (459.0, -1)
    assert (shown["interval"], shown["interval_unit"]) == (1, "months")
    assert (shown["setup_fee"], shown["status"]) == (0.0, "active")
    assert shown["product_id"] == product_id
    assert len(shown["plan_id"]) == 19


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ({"plan_code": ""}, "Plan Code"),
        ({"plan_code": "two words"}, "Plan Code"),
        ({"name": ""}, "Name"),
        ({"recurring_price": "much"}, "Recurring Price"),
        ({"recurring_price": -1}, "Recurring Price"),
        ({"recurring_price": True}, "Recurring Price"),
        ({"recurring_price": None}, "Recurring Price"),
        ({"interval": 0}, "Interval"),
        ({"interval_unit": "fortnights"}, "Interval Unit"),
        ({"billing_cycles": 0}, "Billing Cycles"),
        ({"billing_cycles": -2}, "Billing Cycles"),
        ({"tax_id": "1"}, "Tax Id"),
        ({"setup_fee": "free"}, "Setup Fee"),
    ],
)
def test_plan_that_does_not_fit_is_refused_and_the_field_named(
    zoho: RunningFake, api: httpx.Client, product_id: str, field: dict[str, Any], named: str
) -> None:
    answer = api.post("/plans", json=FIBRE | {"product_id": product_id} | field)

    assert (answer.status_code, answer.json()["code"]) == (400, 2)
    assert answer.json()["message"] == f"Invalid value passed for {named}"
    assert zoho.control.state().plans == []


@pytest.mark.parametrize("missing", ["plan_code", "name", "recurring_price", "interval"])
def test_update_of_a_plan_needs_the_four_fields(
    api: httpx.Client, product_id: str, missing: str
) -> None:
    _plan(api, product_id)
    sent = {key: value for key, value in FIBRE.items() if key != missing}
    answer = api.put("/plans/FIBRE-50", json=sent)

    assert (answer.status_code, answer.json()["code"]) == (400, 2)
    assert answer.json()["message"].endswith(missing.replace("_", " ").title())


def test_update_of_a_plan_keeps_what_was_not_sent(api: httpx.Client, product_id: str) -> None:
    _plan(api, product_id, description="50 Mbit/s", setup_fee=100)
    four = {"plan_code": "FIBRE-50", "name": "Fibre 50+", "recurring_price": "499", "interval": 1}
    answer = api.put("/plans/FIBRE-50", json=four)

    plan = answer.json()["plan"]
    assert answer.json()["message"] == "The plan details has been updated."
    assert (plan["name"], plan["recurring_price"]) == ("Fibre 50+", 499.0)
    assert (plan["description"], plan["setup_fee"], plan["tax_id"]) == (
        "50 Mbit/s",
        100.0,
        STANDARD_RATE,
    )


def test_plan_needs_a_product_that_exists(api: httpx.Client) -> None:
    unknown = api.post("/plans", json=FIBRE | {"product_id": "4815162000000999999"})
    absent = api.post("/plans", json=FIBRE)

    assert (unknown.status_code, unknown.json()["code"]) == (404, 1002)
    assert (absent.status_code, absent.json()["code"]) == (400, 2)


def test_code_of_a_plan_is_unique_at_once(api: httpx.Client, product_id: str) -> None:
    _plan(api, product_id)
    again = api.post("/plans", json=FIBRE | {"product_id": product_id})

    assert again.status_code == 400
    assert "already exists" in again.json()["message"]


def test_price_is_kept_at_the_precision_of_the_organisation(
    api: httpx.Client, product_id: str
) -> None:
    assert _plan(api, product_id, recurring_price="399.135")["recurring_price"] == 399.14


def test_plans_are_listed_by_product_and_status(
    zoho: RunningFake, api: httpx.Client, product_id: str
) -> None:
    other = api.post("/products", json={"name": "Voice"}).json()["product"]["product_id"]
    _plan(api, product_id)
    _plan(api, other, plan_code="VOICE-1", name="Voice")
    api.post("/plans/VOICE-1/markasinactive")
    zoho.control.advance_clock(2)

    def codes(**query: str) -> list[str]:
        return [row["plan_code"] for row in api.get("/plans", params=query).json()["plans"]]

    assert codes() == ["FIBRE-50", "VOICE-1"]
    assert codes(product_id=other) == ["VOICE-1"]
    assert codes(filter_by="PlanStatus.ACTIVE") == ["FIBRE-50"]
    assert codes(search_text="voi") == ["VOICE-1"]
    assert codes(sort_column="name", sort_order="D") == ["VOICE-1", "FIBRE-50"]


def test_organisation_without_vat_has_no_taxes_and_takes_none() -> None:
    config = FakeZohoConfig(organisations=[OrganisationConfig(is_registered_for_vat=False)])
    with running_fake_zoho(config) as zoho:
        token = zoho.fake.tokens.answer(
            {
                "grant_type": "refresh_token",
                "client_id": "1000.FAKECLIENT",
                "client_secret": "fake-client-secret",
                "refresh_token": "1000.fake.refresh",
            },
            api_domain=zoho.url,
        )[0].body["access_token"]
        with httpx.Client(
            base_url=f"{zoho.url}/billing/v1", headers={"Authorization": f"Bearer {token}"}
        ) as api:
            product = api.post("/products", json={"name": "Internet"}).json()["product"]
            taxed = api.post("/plans", json=FIBRE | {"product_id": product["product_id"]})

            assert api.get("/settings/taxes").json()["taxes"] == []
            assert taxed.json()["message"] == "Invalid value passed for Tax Id"


def test_plans_made_by_hand_are_there_from_the_start() -> None:
    made = [
        SeedPlan(product="Internet", profile=FIBRE, created_time=datetime(2024, 3, 1, tzinfo=UTC)),
        SeedPlan(
            product="Internet",
            profile=FIBRE | {"plan_code": "FIBRE-100"},
            created_time=datetime(2024, 3, 1, tzinfo=UTC),
        ),
    ]
    config = FakeZohoConfig(seed_plans={OrganisationConfig().organization_id: made})
    with running_fake_zoho(config) as zoho:
        state = zoho.control.state()

    assert [product["name"] for product in state.products] == ["Internet"]
    assert [(plan["plan_code"], plan["_by_api"]) for plan in state.plans] == [
        ("FIBRE-50", False),
        ("FIBRE-100", False),
    ]


def test_writes_to_the_catalogue_are_counted(
    zoho: RunningFake, api: httpx.Client, product_id: str
) -> None:
    _plan(api, product_id)
    api.put("/plans/FIBRE-50", json=FIBRE)

    state = zoho.control.state()
    assert [plan["_writes"] for plan in state.plans] == [2]
    assert [product["_writes"] for product in state.products] == [1]


def test_product_may_be_made_and_the_plan_lost(
    zoho: RunningFake, api: httpx.Client, product_id: str
) -> None:
    zoho.control.arm(AnswerLost(operation="create_plan", body_contains="FIBRE-50"))
    with pytest.raises(httpx.RemoteProtocolError):
        api.post("/plans", json=FIBRE | {"product_id": product_id})
    zoho.control.arm(WithoutId(operation="create_plan"))
    without = api.post("/plans", json=FIBRE | {"product_id": product_id, "plan_code": "F"})
    zoho.control.arm(FieldAltered(operation="create_plan", field="recurring_price", value=1))
    altered = _plan(api, product_id, plan_code="G")

    assert api.get("/plans/FIBRE-50").status_code == 200
    assert "plan_code" not in without.json()["plan"]
    assert altered["recurring_price"] == 1.0
