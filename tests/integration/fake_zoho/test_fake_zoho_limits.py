"""Limits per organisation, the order of the checks, and what the log proves of both."""

import asyncio
import time
from collections.abc import Callable

import httpx
import pytest

from ops.fake_zoho import (
    Credential,
    FakeZohoConfig,
    Limits,
    LimitsClock,
    LogEntry,
    OrganisationConfig,
    RunningFake,
    Switches,
    Throttled,
    max_in_any_window,
    max_in_flight,
    running_fake_zoho,
)
from ops.fake_zoho.limits import OrganisationLimits
from ops.fake_zoho.replies import RefusedError

type Mint = Callable[..., httpx.Response]

ORGANISATION = "X-com-zoho-subscriptions-organizationid"


def _authorization(zoho: RunningFake) -> str:
    own = Credential()
    answer = httpx.post(
        f"{zoho.accounts_url}/oauth/v2/token",
        data={
            "grant_type": "refresh_token",
            "client_id": own.client_id,
            "client_secret": own.client_secret,
            "refresh_token": own.refresh_token,
        },
    )
    return f"Bearer {answer.json()['access_token']}"


def _entry(arrived: float, ended: float | None = None) -> LogEntry:
    return LogEntry(sequence=1, arrived=arrived, ended=ended, method="GET", path="/", query_keys=[])


def test_minute_is_a_rolling_window_and_exact(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.limit(calls_per_minute=3)
    zoho.control.switch(refused_calls_count=False)
    codes = [api.get("/customers").json()["code"]]
    zoho.control.advance_clock(30)
    codes += [api.get("/customers").json()["code"] for _ in range(3)]
    zoho.control.advance_clock(29.9)
    codes += [api.get("/customers").json()["code"]]
    zoho.control.advance_clock(0.1)
    codes += [api.get("/customers").json()["code"] for _ in range(2)]

    assert codes == [0, 0, 0, 44, 44, 0, 44]


def test_refused_calls_keep_the_minute_full(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.limit(calls_per_minute=1)
    api.get("/customers")
    zoho.control.advance_clock(59)
    assert api.get("/customers").json()["code"] == 44
    zoho.control.advance_clock(1)

    assert api.get("/customers").json()["code"] == 44
    zoho.control.advance_clock(60)
    assert api.get("/customers").json()["code"] == 0


def test_block_after_44_lasts_as_long_as_configured(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.limit(calls_per_minute=1)
    zoho.control.switch(block_seconds=300, refused_calls_count=False)
    api.get("/customers")
    blocked = api.get("/customers")
    zoho.control.advance_clock(60)

    assert blocked.status_code == 429
    assert blocked.json()["message"].startswith("For security reasons your organization")
    assert api.get("/customers").json()["code"] == 44
    zoho.control.advance_clock(300)
    assert api.get("/customers").json()["code"] == 0


def test_day_rolls(zoho: RunningFake, api: httpx.Client, mint: Mint) -> None:
    zoho.control.limit(calls_per_day=2)
    zoho.control.switch(refused_calls_count=False)
    api.get("/customers")
    zoho.control.advance_clock(1800)
    api.get("/customers")

    refused = api.get("/customers")
    zoho.control.advance_clock(86_400 - 1800)
    api.headers["Authorization"] = f"Bearer {mint().json()['access_token']}"

    assert (refused.status_code, refused.json()["code"]) == (429, 45)
    assert refused.json()["message"].endswith("call rate limit of 2")
    assert api.get("/customers").json()["code"] == 0
    assert api.get("/customers").json()["code"] == 45


def test_fixed_day_starts_anew_at_midnight(
    zoho: RunningFake, api: httpx.Client, mint: Mint
) -> None:
    to_midnight = 86_400 - zoho.control.state().limits_now % 86_400
    zoho.control.advance_clock(to_midnight + 86_400 - 1)
    api.headers["Authorization"] = f"Bearer {mint().json()['access_token']}"
    zoho.control.limit(calls_per_day=1)
    zoho.control.switch(day="fixed")

    before = [api.get("/customers").json()["code"] for _ in range(2)]
    zoho.control.advance_clock(1)

    assert before == [0, 45]
    assert api.get("/customers").json()["code"] == 0


def test_thousands_are_separated_in_the_day_message(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.arm(Throttled(code=45))

    assert api.get("/customers").json()["message"].endswith("maximum call rate limit of 1,000")


def test_headers_only_if_switched_on(zoho: RunningFake, api: httpx.Client) -> None:
    silent = api.get("/customers")
    zoho.control.switch(rate_limit_headers=True, retry_after_header=True)
    zoho.control.limit(calls_per_minute=2)
    talking = api.get("/customers")
    zoho.control.advance_clock(15)
    refused = api.get("/customers")

    assert not [name for name in silent.headers if name.lower().startswith("x-rate-limit")]
    assert talking.headers["X-Rate-Limit-Limit"] == "1000"
    assert talking.headers["X-Rate-Limit-Remaining"] == "998"
    assert talking.headers["X-Rate-Limit-Reset"] == "86400"
    assert "Retry-After" not in talking.headers
    assert refused.headers["Retry-After"] == "45"


def test_in_flight_is_real_concurrency_and_refused_with_1070() -> None:
    limits = Limits(calls_in_flight=3)
    config = FakeZohoConfig(organisations=[OrganisationConfig(limits=limits)])
    with running_fake_zoho(config) as zoho:
        headers = {"Authorization": _authorization(zoho)}
        zoho.control.switch(latency_ms=(150, 150))

        async def burst(calls: int) -> list[int]:
            async with httpx.AsyncClient(
                base_url=f"{zoho.api_url}/billing/v1", headers=headers
            ) as http:
                answers = await asyncio.gather(*(http.get("/customers") for _ in range(calls)))
                return sorted(answer.json()["code"] for answer in answers)

        within = asyncio.run(burst(3))
        beyond = asyncio.run(burst(5))
        log = zoho.control.log(operation="list_customers")

        assert within == [0, 0, 0]
        assert beyond == [0, 0, 0, 1070, 1070]
        assert max_in_flight(log[:3]) == 3
        assert zoho.control.counters().max_in_flight in {4, 5}
        assert zoho.control.counters().http_429 == {1070: 2}


def test_one_caller_after_another_never_meets_itself() -> None:
    limits = Limits(calls_in_flight=1, calls_per_minute=1000)
    config = FakeZohoConfig(organisations=[OrganisationConfig(limits=limits)])
    with running_fake_zoho(config) as zoho, httpx.Client() as http:
        http.headers["Authorization"] = _authorization(zoho)

        codes = {
            http.get(f"{zoho.api_url}/billing/v1/settings/taxes").json()["code"] for _ in range(100)
        }

        assert codes == {0}
        assert zoho.control.counters().max_in_flight == 1


def test_time_scale_makes_the_minute_pass_faster() -> None:
    limits = Limits(calls_per_minute=1)
    config = FakeZohoConfig(time_scale=600, organisations=[OrganisationConfig(limits=limits)])
    with running_fake_zoho(config) as zoho, httpx.Client() as http:
        http.headers["Authorization"] = _authorization(zoho)
        url = f"{zoho.api_url}/billing/v1/customers"

        first = http.get(url).json()["code"]
        time.sleep(0.15)  # 90 of Zoho's seconds

        assert (first, http.get(url).json()["code"]) == (0, 0)


def test_call_judged_late_is_judged_by_its_arrival() -> None:
    moment = 0.0
    clock = LimitsClock(monotonic=lambda: moment)
    start = clock.now()
    limits = OrganisationLimits(Limits(calls_per_minute=1), Switches(), clock)
    with limits.slot(arrived=start):
        moment = 60.1

    with pytest.raises(RefusedError, match="429/44"), limits.slot(arrived=start + 59.9):
        pytest.fail("two calls within 60 seconds, where one is allowed")


def test_a_crowd_gets_exactly_the_limit_in_its_fullest_minute() -> None:
    limits = Limits(calls_per_minute=15, calls_in_flight=10)
    config = FakeZohoConfig(
        time_scale=600,
        organisations=[OrganisationConfig(limits=limits)],
        switches=Switches(refused_calls_count=False),
    )
    with running_fake_zoho(config) as zoho:
        headers = {"Authorization": _authorization(zoho)}

        async def crowd() -> None:
            async with httpx.AsyncClient(
                base_url=f"{zoho.api_url}/billing/v1", headers=headers
            ) as http:
                for _ in range(15):
                    await asyncio.gather(*(http.get("/settings/taxes") for _ in range(10)))

        asyncio.run(crowd())
        log = zoho.control.log(operation="list_taxes")

    admitted = [entry for entry in log if entry.status == 200]
    assert max_in_any_window(admitted, 60) == 15
    assert {entry.code for entry in log} == {0, 44}
    assert max_in_any_window(log, 60) > 15


def test_limits_and_records_are_per_organisation() -> None:
    limits = Limits(calls_per_minute=1)
    config = FakeZohoConfig(
        organisations=[
            OrganisationConfig(organization_id="111", limits=limits),
            OrganisationConfig(organization_id="222", is_default_org=False, id_prefix="9000001"),
            OrganisationConfig(organization_id="333", is_default_org=False, id_prefix="9000002"),
        ],
        credentials=[Credential(organisations=["111", "222"])],
    )
    with running_fake_zoho(config) as zoho, httpx.Client() as http:
        http.headers["Authorization"] = _authorization(zoho)
        url = f"{zoho.api_url}/billing/v1"
        customer = {"display_name": "Somebody"}

        by_default = http.post(f"{url}/customers", json=customer)
        by_header = http.post(f"{url}/customers", json=customer, headers={ORGANISATION: "222"})
        by_query = http.get(f"{url}/customers", params={"organization_id": "111"})
        forbidden = http.get(f"{url}/customers", headers={ORGANISATION: "333"})
        listed = http.get(f"{url}/organizations", headers={ORGANISATION: "222"})

        assert by_default.json()["customer"]["customer_id"].startswith("4815162")
        assert by_header.json()["customer"]["customer_id"].startswith("9000001")
        assert by_query.json()["code"] == 44
        assert (forbidden.status_code, forbidden.json()["code"]) == (400, 9017)
        organisations = listed.json()["organizations"]
        assert [one["organization_id"] for one in organisations] == ["111", "222"]
        held = {one["organization_id"]: one["_writes"] for one in zoho.control.customers()}
        assert held == {"111": 1, "222": 1}


def test_organisation_tells_currency_zone_and_precision(api: httpx.Client) -> None:
    (organisation,) = api.get("/organizations").json()["organizations"]

    assert organisation == {
        "organization_id": "60098765432",
        "name": "Demo Telecoms",
        "is_default_org": True,
        "is_org_active": True,
        "plan_name": "Free",
        "currency_code": "ZAR",
        "currency_symbol": "R",
        "time_zone": "Africa/Johannesburg",
        "price_precision": 2,
    }


def test_taxes_have_name_and_percentage(api: httpx.Client) -> None:
    taxes = api.get("/settings/taxes").json()["taxes"]

    assert [(tax["tax_name"], tax["tax_percentage"]) for tax in taxes] == [
        ("Standard Rate", 15.0),
        ("Zero Rate", 0.0),
        ("Exempt", 0.0),
    ]


def test_checks_come_in_zohos_order(zoho: RunningFake, api: httpx.Client) -> None:
    nobody = {"Authorization": ""}
    unknown_path = api.get("/nothing", headers=nobody)
    unknown_organisation = {ORGANISATION: "1"}
    no_token = api.put("/customers", headers=nobody | unknown_organisation)
    no_organisation = api.put("/customers", headers=unknown_organisation)
    zoho.control.limit(calls_per_minute=1)
    wrong_method = api.put("/customers", content=b"{")
    throttled = api.put("/customers", content=b"{")
    zoho.control.limit(calls_per_minute=10)
    not_json = api.post("/customers", content=b"display_name=Somebody")
    invalid = api.post("/customers", json={})

    answers = [
        unknown_path,
        no_token,
        no_organisation,
        wrong_method,
        throttled,
        not_json,
        invalid,
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (404, 5),
        (401, 14),
        (400, 9017),
        (405, 37),
        (429, 44),
        (400, 1038),
        (400, 2),
    ]
    assert httpx.get(f"{zoho.url}/elsewhere").json()["code"] == 5


def test_log_tells_who_asked_what_and_what_came_of_it(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.advance_clock(5)
    api.get("/customers", params={"email": "a@mail.example", "page": "1"})

    minted, listed = zoho.control.log()
    assert (minted.operation, minted.token, minted.organisation) == ("mint_token", 1, None)
    assert (listed.sequence, listed.operation, listed.token) == (2, "list_customers", 1)
    assert (listed.organisation, listed.status, listed.code) == ("60098765432", 200, 0)
    assert listed.query_keys == ["email", "page"]
    assert (listed.method, listed.path) == ("GET", "/billing/v1/customers")
    assert listed.arrived - minted.arrived == pytest.approx(5)
    assert listed.ended is not None


def test_max_in_any_window_is_not_fooled_by_where_minutes_start() -> None:
    arrivals = [0, 50, 55, 61, 65, 109.9, 110, 170]

    assert max_in_any_window(map(_entry, arrivals), 60) == 5
    assert max_in_any_window([_entry(0), _entry(60)], 60) == 1
    assert max_in_any_window([], 60) == 0


def test_max_in_flight_counts_what_overlaps_and_what_never_ended() -> None:
    log = [_entry(0, 2), _entry(1, 3), _entry(2, 4), _entry(5), _entry(6), _entry(7, 8)]

    assert max_in_flight(log[:3]) == 2
    assert max_in_flight(log) == 3
    assert max_in_flight([]) == 0
