"""Customers: what Zoho keeps, refuses, and shows by id and in lists."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from ops.fake_zoho import FiltersIgnored, RunningFake, SeedCustomer

ACCOUNT_NUMBER_FIELD = "4815162000000000101"
NOMVULA = {
    "display_name": "Nomvula Dlamini (CT-2025-00014)",
    "first_name": "Nomvula",
    "last_name": "Dlamini",
    "email": "nomvula@mail.example",
    "phone": "+27 21 555 0114",
    "billing_address": {"street": "1 Long Street\nGardens", "city": "Cape Town"},
    "custom_fields": [{"label": "Account Number", "value": "CT-2025-00014"}],
}


def _create(api: httpx.Client, **fields: Any) -> Any:
    answer = api.post("/customers", json={"display_name": "Somebody", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["customer"]


def _names(api: httpx.Client, **query: str) -> list[str]:
    rows = api.get("/customers", params=query).json()["customers"]
    return [row["display_name"] for row in rows]


def _refusal(answer: httpx.Response) -> tuple[int, int, str]:
    return answer.status_code, answer.json()["code"], answer.json()["message"]


def test_created_customer_is_answered_whole(api: httpx.Client) -> None:
    answer = api.post("/customers", json=NOMVULA)

    body = answer.json()
    assert (answer.status_code, body["code"]) == (201, 0)
    assert body["message"] == "The customer has been created"
    customer = body["customer"]
    assert customer["display_name"] == "Nomvula Dlamini (CT-2025-00014)"
    assert customer["billing_address"]["street"] == "1 Long Street\nGardens"
    assert customer["billing_address"]["zip"] == ""
    assert (customer["currency_code"], customer["status"]) == ("ZAR", "active")
    assert (customer["outstanding"], customer["unused_credits"]) == (0.0, 0.0)
    (field,) = customer["custom_fields"]
    assert field["customfield_id"] == ACCOUNT_NUMBER_FIELD
    assert (field["label"], field["value"]) == ("Account Number", "CT-2025-00014")
    assert (field["index"], field["data_type"]) == (1, "text")


def test_ids_are_rising_strings_of_19_digits_with_the_prefix_of_the_organisation(
    api: httpx.Client,
) -> None:
    ids = [_create(api)["customer_id"] for _ in range(3)]

    assert all(len(one) == 19 and one.isdigit() and one.startswith("4815162") for one in ids)
    assert ids == sorted(set(ids))


def test_times_are_in_the_zone_of_the_organisation_without_a_colon(
    zoho: RunningFake, api: httpx.Client
) -> None:
    zoho.control.set_calendar(datetime(2025, 12, 31, 22, 30, tzinfo=UTC))

    assert _create(api)["created_time"] == "2026-01-01T00:30:00+0200"


def test_calendar_jumps_without_moving_the_limits(zoho: RunningFake, api: httpx.Client) -> None:
    before = zoho.control.state()
    zoho.control.advance_calendar(86_400 * 30)
    after = zoho.control.state()

    passed = datetime.fromisoformat(after.calendar_now) - datetime.fromisoformat(
        before.calendar_now
    )
    assert timedelta(days=30) <= passed < timedelta(days=30, minutes=1)
    assert after.limits_now == before.limits_now
    assert api.get("/customers").status_code == 200


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"display_name": ""}, "Display Name"),
        ({"display_name": "   "}, "Display Name"),
        ({"display_name": "x" * 201}, "Display Name"),
        ({"display_name": 7}, "Display Name"),
        ({"display_name": "a\x00b"}, "Display Name"),
        ({"display_name": "a\nb"}, "Display Name"),
        ({"display_name": "a\ud800b"}, "Display Name"),
        ({"first_name": "x" * 101}, "First Name"),
        ({"company_name": "x" * 201}, "Company Name"),
        ({"phone": "0" * 51}, "Phone"),
        ({"phone": None}, "Phone"),
        ({"email": "not an e-mail"}, "Email"),
        ({"email": "a@b"}, "Email"),
        ({"payment_terms": "Net 15"}, "Payment Terms"),
        ({"is_portal_enabled": "perhaps"}, "Is Portal Enabled"),
        ({"currency_code": "QQQ"}, "Currency Code"),
        ({"vat_reg_no": "4"}, "Vat Reg No"),
        ({"billing_address": "1 Long Street"}, "Billing Address"),
        ({"billing_address": {"city": "x" * 101}}, "City"),
        ({"billing_address": {"zip": None}}, "Zip"),
        ({"custom_fields": {"Account Number": "1"}}, "Custom Fields"),
        ({"custom_fields": [{"label": "Account Number", "value": None}]}, "Value"),
    ],
)
def test_value_that_does_not_fit_is_refused_and_named(
    zoho: RunningFake, api: httpx.Client, field: dict[str, Any], message: str
) -> None:
    created = _create(api)

    # Escaped by hand, because httpx cannot send a lone surrogate.
    sent = json.dumps({"display_name": "Somebody"} | field)
    refusals = [
        api.post("/customers", content=sent),
        api.put(f"/customers/{created['customer_id']}", content=sent),
    ]

    for refusal in refusals:
        assert _refusal(refusal) == (400, 2, f"Invalid value passed for {message}")
    assert [one["_writes"] for one in zoho.control.customers()] == [1]


@pytest.mark.parametrize(
    "field",
    [
        {"display_name": "x" * 200},
        {"display_name": "Shaun Ríos 🛰"},
        {"email": ""},
        {"email": "a.b+c@mail.co.example"},
        {"payment_terms": "15"},
        {"currency_code": "USD"},
        {"vat_reg_no": "4123456789"},
        {"notes": "two\nlines\tand a tab"},
    ],
)
def test_value_that_fits_is_kept(api: httpx.Client, field: dict[str, Any]) -> None:
    customer = _create(api, **field)

    (name, value) = next(iter(field.items()))
    assert str(customer[name]) == str(value)


def test_unknown_keys_are_ignored(zoho: RunningFake, api: httpx.Client) -> None:
    _create(api, street="1 Long Street", cf_account_number="CT-2025-00014", nonsense={"a": None})

    (customer,) = zoho.control.customers()
    assert customer["billing_address"]["street"] == ""
    assert customer["custom_fields"] == []
    assert "nonsense" not in customer


def test_unknown_custom_field_refuses_the_whole_customer(
    zoho: RunningFake, api: httpx.Client
) -> None:
    fields = [{"label": "Account No", "value": "CT-2025-00014"}]

    answer = api.post("/customers", json={"display_name": "Somebody", "custom_fields": fields})

    assert (answer.status_code, answer.json()["code"]) == (400, 120129)
    assert zoho.control.customers() == []


def test_custom_field_is_known_by_label_index_id_or_api_name(api: httpx.Client) -> None:
    names: list[dict[str, Any]] = [
        {"label": "Account Number"},
        {"index": 1},
        {"customfield_id": ACCOUNT_NUMBER_FIELD},
        {"api_name": "cf_account_number"},
    ]

    kept = [
        _create(api, custom_fields=[name | {"value": "CT-1"}])["custom_fields"] for name in names
    ]

    assert [fields[0]["value"] for fields in kept] == ["CT-1"] * 4


def test_switches_of_validation(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.switch(refuse_nulls=False, accept_emoji=False, email_required=True)

    null = api.post(
        "/customers", json={"display_name": "A", "email": "a@mail.example", "phone": None}
    )
    emoji = api.post("/customers", json={"display_name": "🛰", "email": "a@mail.example"})
    no_email = api.post("/customers", json={"display_name": "B"})

    assert null.status_code == 201
    assert null.json()["customer"]["phone"] == ""
    assert _refusal(emoji) == (400, 2, "Invalid value passed for Display Name")
    assert _refusal(no_email) == (400, 2, "Invalid value passed for Email")


def test_same_display_name_twice_makes_two_customers(zoho: RunningFake, api: httpx.Client) -> None:
    _create(api, display_name="Ashwin Walters")
    _create(api, display_name="Ashwin Walters")

    assert len(zoho.control.customers()) == 2


def test_switch_refuses_a_display_name_that_exists_however_written(
    zoho: RunningFake, api: httpx.Client
) -> None:
    zoho.control.switch(allow_duplicate_display_names=False)
    _create(api, display_name="Shaun Ríos")
    other = _create(api, display_name="Somebody Else")

    created = api.post("/customers", json={"display_name": "SHAUN RÍOS"})
    renamed = api.put(f"/customers/{other['customer_id']}", json={"display_name": "shaun ríos"})
    unchanged = api.put(
        f"/customers/{other['customer_id']}", json={"display_name": "Somebody Else"}
    )

    for refused in (created, renamed):
        assert (refused.status_code, refused.json()["code"]) == (400, 3062)
        assert "already exists" in refused.json()["message"]
    assert unchanged.status_code == 200
    assert len(zoho.control.customers()) == 2


def test_update_changes_what_was_sent_and_keeps_the_rest(api: httpx.Client) -> None:
    customer_id = _create(api, **NOMVULA)["customer_id"]

    answer = api.put(
        f"/customers/{customer_id}",
        json={
            "display_name": NOMVULA["display_name"],
            "phone": "+27 21 555 9999",
            "billing_address": {"zip": "8001"},
        },
    )

    assert (answer.status_code, answer.json()["message"]) == (
        200,
        "The customer details have been updated.",
    )
    kept = api.get(f"/customers/{customer_id}").json()["customer"]
    assert kept == answer.json()["customer"]
    assert (kept["phone"], kept["email"]) == ("+27 21 555 9999", "nomvula@mail.example")
    assert (kept["billing_address"]["zip"], kept["billing_address"]["city"]) == (
        "8001",
        "Cape Town",
    )
    assert kept["custom_fields"][0]["value"] == "CT-2025-00014"


def test_update_without_display_name_is_refused_unless_switched(
    zoho: RunningFake, api: httpx.Client
) -> None:
    path = f"/customers/{_create(api)['customer_id']}"
    refused = api.put(path, json={"phone": "1"})
    zoho.control.switch(update_requires_display_name=False)
    accepted = api.put(path, json={"phone": "1"})

    assert _refusal(refused) == (400, 2, "Invalid value passed for Display Name")
    assert accepted.json()["customer"]["display_name"] == "Somebody"


def test_customer_is_made_inactive_and_active_again(api: httpx.Client) -> None:
    path = f"/customers/{_create(api)['customer_id']}"

    inactive = api.post(f"{path}/markasinactive")
    status = api.get(path).json()["customer"]["status"]
    active = api.post(f"{path}/markasactive")

    assert inactive.json()["message"] == "The customer has been marked as inactive."
    assert status == "inactive"
    assert active.status_code == 200
    assert api.get(path).json()["customer"]["status"] == "active"


def test_deleted_customer_does_not_exist(api: httpx.Client) -> None:
    path = f"/customers/{_create(api)['customer_id']}"

    assert api.delete(path).json()["message"] == "The customer has been deleted."
    for answer in (api.get(path), api.delete(path), api.put(path, json=NOMVULA)):
        assert _refusal(answer) == (404, 1002, "Customer does not exist.")


def test_portal_invitation_is_a_mail_and_nothing_else_is(
    zoho: RunningFake, api: httpx.Client
) -> None:
    _create(api, email="a@mail.example")
    _create(api, is_portal_enabled=True)
    invited = _create(api, email="b@mail.example", is_portal_enabled=True)
    later = _create(api, email="c@mail.example")
    for _ in range(2):
        api.put(
            f"/customers/{later['customer_id']}",
            json={"display_name": "Somebody", "is_portal_enabled": True},
        )

    state = zoho.control.state()
    assert [(mail.reason, mail.resource_id) for mail in state.mails] == [
        ("portal_invitation", invited["customer_id"]),
        ("portal_invitation", later["customer_id"]),
    ]
    assert state.counters.mails == 2


def test_list_rows_are_flat_and_without_custom_fields(zoho: RunningFake, api: httpx.Client) -> None:
    detail = _create(api, **NOMVULA)
    zoho.control.advance_clock(2)

    (row,) = api.get("/customers").json()["customers"]

    assert row["customer_id"] == row["contact_id"] == detail["customer_id"]
    assert row["customer_name"] == row["display_name"] == NOMVULA["display_name"]
    assert (row["outstanding_receivable_amount"], row["unused_credits"]) == (0.0, 0.0)
    assert row["created_by"] == "billing-sync"
    assert row["created_time"] == detail["created_time"]
    absent = {"billing_address", "shipping_address", "custom_fields", "notes", "source"}
    assert not absent & row.keys()
    assert "CT-2025-00014" not in str({**row, "display_name": "", "customer_name": ""})


def test_pages_are_of_200_at_most_and_tell_no_total(zoho: RunningFake, api: httpx.Client) -> None:
    made = [
        SeedCustomer(
            profile={"display_name": f"{n:03}"}, created_time=datetime(2024, 1, 1, tzinfo=UTC)
        )
        for n in range(205)
    ]
    zoho.control.seed(made)

    first = api.get("/customers", params={"per_page": "500"}).json()
    second = api.get("/customers", params={"page": "2"}).json()
    third = api.get("/customers", params={"page": "3"}).json()

    assert [len(page["customers"]) for page in (first, second, third)] == [200, 5, 0]
    assert first["page_context"] == {
        "page": 1,
        "per_page": 200,
        "has_more_page": True,
        "report_name": "Customers",
        "applied_filter": "Status.All",
        "sort_column": "customer_name",
        "sort_order": "A",
    }
    assert second["page_context"]["has_more_page"] is False


@pytest.mark.parametrize("query", [{"page": "0"}, {"page": "x"}, {"per_page": "-1"}])
def test_page_that_is_no_number_is_refused(api: httpx.Client, query: dict[str, str]) -> None:
    assert api.get("/customers", params=query).json()["code"] == 2


def test_rows_come_in_the_order_asked_for(zoho: RunningFake, api: httpx.Client) -> None:
    for day, name in enumerate(["B", "a", "C"], start=1):
        created = datetime(2024, 1, day, tzinfo=UTC)
        zoho.control.seed([SeedCustomer(profile={"display_name": name}, created_time=created)])

    assert _names(api) == ["a", "B", "C"]
    assert _names(api, sort_column="created_time", sort_order="A") == ["B", "a", "C"]
    assert _names(api, sort_column="created_time", sort_order="D") == ["C", "a", "B"]
    assert _names(api, sort_column="nonsense") == ["a", "B", "C"]


@pytest.fixture
def people(zoho: RunningFake) -> None:
    """Three customers that are in Zoho already: one known by her custom field only."""
    profiles: list[dict[str, Any]] = [
        {"display_name": "Nomvula Dlamini", "phone": "+27 21 555 0114"}
        | {"custom_fields": [{"label": "Account Number", "value": "CT-2025-00014"}]},
        {"display_name": "Dlamini Traders", "company_name": "Dlamini", "is_portal_enabled": True},
        {"display_name": "A. Grobler", "email": "anton@newgate-medical.example"},
    ]
    created = datetime(2024, 5, 1, tzinfo=UTC)
    zoho.control.seed([SeedCustomer(profile=profile, created_time=created) for profile in profiles])


ALL = ["A. Grobler", "Dlamini Traders", "Nomvula Dlamini"]


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"email": "ANTON@newgate-medical.example"}, ["A. Grobler"]),
        ({"email": "anton"}, []),
        ({"email_contains": "newgate"}, ["A. Grobler"]),
        ({"search_text": "dlamini"}, ["Dlamini Traders", "Nomvula Dlamini"]),
        ({"search_text": "CT-2025-00014"}, []),
        ({"company_name_startswith": "dla"}, ["Dlamini Traders"]),
        ({"display_name_contains": "vula"}, ["Nomvula Dlamini"]),
        ({"contact_number_contains": "0114"}, ["Nomvula Dlamini"]),
        ({"phone": "+27 21 555 0114"}, ["Nomvula Dlamini"]),
        ({f"custom_field_{ACCOUNT_NUMBER_FIELD}_contains": "00014"}, ["Nomvula Dlamini"]),
        ({"custom_field_999_contains": "00014"}, []),
        ({"search_text": "dlamini", "phone_contains": "555"}, ["Nomvula Dlamini"]),
        ({"filter_by": "Status.PortalEnabled"}, ["Dlamini Traders"]),
        ({"filter_by": "Status.Inactive"}, []),
        ({"status": "active"}, ALL),
        # The traps: all of these return everybody.
        ({"email": ""}, ALL),
        ({"email_contains": "  "}, ALL),
        ({"account_number": "CT-2025-00014"}, ALL),
        ({"filter_by": "Status.Nonsense"}, ALL),
    ],
)
def test_filters_find_what_they_know_and_ignore_what_they_do_not(
    api: httpx.Client, query: dict[str, str], found: list[str]
) -> None:
    assert _names(api, **query) == found


@pytest.mark.usefixtures("people")
def test_filter_of_more_than_100_characters_is_refused(api: httpx.Client) -> None:
    answer = api.get("/customers", params={"search_text": "x" * 101})

    assert _refusal(answer) == (400, 2, "Invalid value passed for Search Text")


@pytest.mark.usefixtures("people")
def test_fault_makes_known_filters_ignored_too(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.arm(FiltersIgnored())

    ignored = _names(api, email="anton@newgate-medical.example", sort_order="D")
    honoured = _names(api, email="anton@newgate-medical.example")

    assert ignored == ALL[::-1]
    assert honoured == ["A. Grobler"]


def test_lists_show_writes_only_after_the_lag_and_reads_by_id_at_once(
    zoho: RunningFake, api: httpx.Client
) -> None:
    path = f"/customers/{_create(api, display_name='Old')['customer_id']}"
    assert (_names(api), _names(api, search_text="Old")) == ([], [])
    zoho.control.advance_clock(2)
    assert _names(api) == ["Old"]

    api.put(path, json={"display_name": "New"})
    assert api.get(path).json()["customer"]["display_name"] == "New"
    assert (_names(api), _names(api, search_text="New")) == (["Old"], [])
    zoho.control.advance_clock(2)
    assert _names(api) == ["New"]

    api.delete(path)
    assert _names(api) == ["New"]
    zoho.control.advance_clock(2)
    assert _names(api) == []


def test_lag_is_a_switch(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.switch(index_lag_seconds=0)
    _create(api, display_name="At once")
    zoho.control.switch(index_lag_seconds=30)
    _create(api, display_name="Later")

    assert _names(api) == ["At once"]
    zoho.control.advance_clock(30)
    assert _names(api) == ["At once", "Later"]


def test_money_is_rounded_half_up_and_answered_as_numbers(
    zoho: RunningFake, api: httpx.Client
) -> None:
    made = SeedCustomer(
        profile={"display_name": "Debtor"},
        created_time=datetime(2024, 1, 1, tzinfo=UTC),
        outstanding=Decimal("899.005"),
        unused_credits=Decimal("0.1"),
    )
    (customer_id,) = zoho.control.seed([made])

    answer = api.get(f"/customers/{customer_id}")

    assert '"outstanding":899.01' in answer.text
    assert '"unused_credits":0.1' in answer.text


def test_seeded_customers_carry_who_made_them_and_stay_untouched_by_reading(
    zoho: RunningFake, api: httpx.Client
) -> None:
    created = datetime(2019, 3, 4, 8, 0, tzinfo=UTC)
    profile = {"display_name": "By Hand", "custom_fields": NOMVULA["custom_fields"]}
    (customer_id,) = zoho.control.seed(
        [SeedCustomer(profile=profile, created_time=created, created_by="Thandi")]
    )
    api.get(f"/customers/{customer_id}")
    (row,) = api.get("/customers").json()["customers"]

    (before,) = zoho.control.customers()
    api.put(f"/customers/{customer_id}", json={"display_name": "By Hand"})
    (after,) = zoho.control.customers()

    assert (row["created_by"], row["created_time"]) == ("Thandi", "2019-03-04T10:00:00+0200")
    assert (before["_writes"], before["_by_api"], before["source"]) == (0, False, "user")
    assert before["_created_by"] == "Thandi"
    assert after["_writes"] == 1
