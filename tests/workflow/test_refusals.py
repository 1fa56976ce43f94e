"""What a run is refused for before anything is written, and what it says then."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ops.fake_zoho import Credential
from tests.workflow.stage import Ended, Stage

NUMBER = "CT-2025-00012"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"mode": "apply", "phases": ["invoicez"]}, "phases.0"),
        ({"mode": "apply", "phases": []}, "phases"),
        ({"mode": "aply"}, "mode"),
        ({"mode": "apply", "only": {"since": "2025-13-01T00:00:00Z"}}, "only.since"),
        ({"mode": "apply", "only": {"until": "20250101"}}, "only.until"),
        ({"mode": "apply", "only": {"accounts": NUMBER}}, "only.accounts"),
        ({"mode": "apply", "only": {"ids": ["one"]}}, "only.ids"),
        ({"mode": "apply", "olny": {"accounts": [NUMBER]}}, "olny"),
        (["customers"], None),
    ],
)
def test_an_input_that_is_not_understood_names_the_field(
    stage: Stage, given: Any, field: str | None
) -> None:
    run = stage.run(given)

    assert (run.status, run.error, run.states[-1]) == ("FAILED", "InvalidInput", "Refused")
    assert run.cause
    if field is not None:
        assert field in run.cause
    _assert_nothing_was_written(stage)


def test_without_confirmation_a_plan_is_made_and_an_apply_refused(stage: Stage) -> None:
    stage.execute("TRUNCATE billing_sync.confirmations")

    apply, plan = stage.apply(), stage.run()

    _assert_refused(apply, "confirmed")
    assert plan.status == "SUCCEEDED"
    _assert_nothing_was_written(stage, runs=1)


@pytest.mark.parametrize("wrong", ["client_secret", "refresh_token"])
def test_a_wrong_secret_refuses_the_run_and_a_mended_one_lets_it_go(
    stage: Stage, wrong: str
) -> None:
    right = Credential().model_dump(include={"client_id", "client_secret", "refresh_token"})

    try:
        stage.stack.put_secret("ZohoCredentialsSecretArn", right | {wrong: "1000.mistyped"})
        refused = stage.apply()
    finally:
        stage.stack.put_secret("ZohoCredentialsSecretArn", right)
    mended = stage.run()

    _assert_refused(refused, wrong.replace("_", " "))
    assert "1000.mistyped" not in refused.history
    assert mended.status == "SUCCEEDED"
    _assert_nothing_was_written(stage, runs=1)


def test_all_that_is_wrong_with_the_database_is_said_at_once(stage: Stage) -> None:
    with _broken_database(stage):
        refused = stage.apply()
        findings = stage.invoke("Preflight", {"check_only": True, "input": {"mode": "apply"}})
    blocking = [one for one in findings["findings"] if one["severity"] == "blocking"]

    _assert_refused(refused, "more")
    # No rows are shown, and a status column cannot be written.
    assert len(blocking) >= 2
    said = json.dumps(blocking)
    assert "zoho_sync_status" in said
    assert "row" in said
    _assert_nothing_was_written(stage)


def test_with_zohowrites_off_only_reads_and_the_tokens_call_leave(stage: Stage) -> None:
    with stage.environment("Preflight", ZOHO_WRITES="off"):
        refused = stage.apply()
        plan = stage.run()

    _assert_refused(refused, "ZohoWrites is off")
    assert plan.status == "SUCCEEDED"
    assert {entry.method for entry in stage.zoho.log() if entry.is_api_call} == {"GET"}
    _assert_nothing_was_written(stage, runs=1)


def test_zohowrites_off_holds_even_where_preflight_let_the_run_go(stage: Stage) -> None:
    with stage.environment("SyncBatch", ZOHO_WRITES="off"):
        run = stage.apply()

    assert run.status == "FAILED"
    assert stage.report(run)["ended_early"]
    assert stage.writes() == []
    assert stage.zoho.customers() == []


@contextmanager
def _broken_database(stage: Stage) -> Iterator[None]:
    try:
        stage.execute(
            "ALTER TABLE customers ENABLE ROW LEVEL SECURITY;"
            "REVOKE UPDATE (zoho_sync_status) ON billing_source.customers"
            " FROM billing_sync_functions"
        )
        yield
    finally:
        stage.execute(
            "ALTER TABLE customers DISABLE ROW LEVEL SECURITY;"
            "GRANT UPDATE (zoho_sync_status) ON billing_source.customers TO billing_sync_functions"
        )


def _assert_refused(run: Ended, says: str) -> None:
    assert (run.status, run.error, run.states[-1]) == ("FAILED", "PreflightRefused", "Refused")
    assert run.cause is not None
    assert says in run.cause


def _assert_nothing_was_written(stage: Stage, *, runs: int = 0) -> None:
    assert stage.writes() == []
    assert stage.states() == {}
    assert len(stage.query("SELECT * FROM billing_sync.runs")) == runs
    touched = stage.query("SELECT * FROM customers WHERE zoho_sync_status IS NOT NULL")
    assert touched == []
