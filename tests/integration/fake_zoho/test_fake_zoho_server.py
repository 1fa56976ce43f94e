"""How fake Zoho is started, steered and looked at."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from ops.fake_zoho import (
    ByHand,
    Credential,
    FakeZohoConfig,
    FakeZohoControl,
    RunningFake,
    SeedCustomer,
    SeedInvoice,
    running_fake_zoho,
)
from tests.integration.fake_zoho.books import Books

STRANGER = SeedCustomer(
    profile={"display_name": "<b>Dlamini</b> Traders"},
    created_time=datetime(2019, 3, 4, tzinfo=UTC),
    created_by="Thandi",
)
ORGANISATION = "60098765432"


def _command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ops.fake_zoho", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_command_says_where_it_listens_and_ends_on_term(tmp_path: Path) -> None:
    config = FakeZohoConfig(credentials=[Credential(client_id="1000.MINE")], time_scale=2)
    (tmp_path / "config.json").write_text(config.model_dump_json())
    (tmp_path / "seed.json").write_text(
        json.dumps({ORGANISATION: [STRANGER.model_dump(mode="json")]})
    )

    with _command(
        "--port=0",
        "--time-scale=30",
        f"--config={tmp_path / 'config.json'}",
        f"--seed={tmp_path / 'seed.json'}",
    ) as process:
        assert process.stdout is not None
        started = json.loads(process.stdout.readline())
        with FakeZohoControl(started["url"]) as control:
            names = [customer["display_name"] for customer in control.customers()]
        wrong_client = httpx.post(f"{started['accounts_url']}/oauth/v2/token", data={}).json()
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=10)

    assert started["pid"] == process.pid
    assert started["api_url"] == started["url"]
    assert names == ["<b>Dlamini</b> Traders"]
    assert wrong_client == {"error": "invalid_client"}
    assert (process.returncode, output, errors) == (0, "", "")


def test_command_refuses_a_config_with_a_misspelt_switch(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"switches": {"index_lagg_seconds": 3}}')

    with _command(f"--config={config}") as process:
        output, errors = process.communicate(timeout=10)

    assert (process.returncode, output) == (2, "")
    assert "index_lagg_seconds" in errors


def test_two_fakes_do_not_know_each_other() -> None:
    with running_fake_zoho() as one, running_fake_zoho() as other:
        one.control.seed([STRANGER])

        assert one.url != other.url
        assert len(one.control.customers()) == 1
        assert other.control.customers() == []


def test_reset_goes_back_to_the_seed_and_forgets_the_rest() -> None:
    with running_fake_zoho(FakeZohoConfig(seed={ORGANISATION: [STRANGER]})) as zoho:
        seeded = zoho.control.customers()
        zoho.control.seed([STRANGER])
        zoho.control.switch(index_lag_seconds=9)
        zoho.control.limit(calls_per_minute=1)
        httpx.get(f"{zoho.api_url}/billing/v1/customers")

        zoho.control.reset()

        assert zoho.control.customers() == seeded
        assert zoho.control.switches().index_lag_seconds == 2
        assert zoho.fake.organisation().limits.limits.calls_per_minute == 100
        assert zoho.control.log() == []


def test_reset_that_keeps_tokens_forgets_the_rest(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.seed([STRANGER])
    zoho.control.revoke_access_tokens()

    zoho.control.reset(keep_tokens=True)

    assert api.get("/customers").json()["customers"] == []
    assert zoho.control.counters().tokens_minted == 0


def test_wrong_switch_changes_nothing(zoho: RunningFake) -> None:
    wrong = {"index_lag_seconds": 9, "day": "lunar"}

    answer = httpx.patch(f"{zoho.url}/_fake/switches", json=wrong)

    assert answer.status_code == 400
    assert "day" in answer.text
    assert zoho.control.switches().index_lag_seconds == 2


def test_seed_of_a_customer_that_zoho_would_refuse_is_refused(zoho: RunningFake) -> None:
    nameless = SeedCustomer(profile={}, created_time=datetime(2019, 3, 4, tzinfo=UTC))

    with pytest.raises(httpx.HTTPStatusError, match="400"):
        zoho.control.seed([STRANGER, nameless])

    assert zoho.control.customers() == []


def test_seed_for_an_unknown_organisation_is_refused(zoho: RunningFake) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        zoho.control.seed([STRANGER], organization_id="1")


def test_control_calls_are_not_calls_of_zoho(zoho: RunningFake) -> None:
    zoho.control.seed([STRANGER])
    httpx.get(zoho.url)

    assert zoho.control.counters().calls == 0
    assert zoho.control.log() == []


def test_page_shows_what_zoho_holds_and_escapes_it(zoho: RunningFake) -> None:
    numbered = SeedCustomer(
        profile={
            "display_name": "Nomvula Dlamini",
            "custom_fields": [{"label": "Account Number", "value": "CT-2025-00014"}],
        },
        created_time=datetime(2020, 1, 1, tzinfo=UTC),
    )
    zoho.control.seed([STRANGER, numbered])

    page = httpx.get(zoho.url)

    assert page.headers["content-type"].startswith("text/html")
    assert "&lt;b&gt;Dlamini&lt;/b&gt; Traders" in page.text
    assert "<b>Dlamini" not in page.text
    for shown in ("CT-2025-00014", "Thandi", "0.00", "Demo Telecoms", "2 customers"):
        assert shown in page.text


def test_page_shows_each_customer_with_what_is_theirs(books: Books) -> None:
    books.subscribe(reference_id="SVC-<1>")
    invoice_id = books.opened()["invoice_id"]
    books.pay(1200, {invoice_id: 1150}, reference_number="PAY-77")

    page = httpx.get(books.zoho.url)

    assert page.status_code == 200
    assert page.text.count("Nomvula Dlamini") == 2
    assert "SVC-&lt;1&gt;" in page.text
    for shown in ("Internet-Fibre 50", "INV-000001", "INV-000002", "PAY-77", "1150.00", "50.00"):
        assert shown in page.text


def test_seed_for_an_unknown_customer_is_refused(books: Books) -> None:
    invoice = SeedInvoice(profile=books.invoice_body(), created_time=datetime.now(UTC))
    with pytest.raises(httpx.HTTPStatusError) as refused:
        books.zoho.control.seed_by_hand(ByHand(invoices={"1": [invoice]}))

    assert refused.value.response.json() == {"error": "Customer does not exist."}
