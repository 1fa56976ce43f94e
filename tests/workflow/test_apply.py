"""An applied backfill that nothing goes wrong with, from its input to its report."""

from tests.workflow.stage import ACCOUNTS, Stage, assert_everyone_is_in_zoho_once, found_in

ALL_STATES = [
    "Preflight",
    "WhatPreflightSays",
    "Snapshot",
    "SnapshotNext",
    "Plan",
    "PlanNext",
    "SyncBatch",
    "WhatNext",
    "NextPhase",
    "WorkOffDue",
    "WorkOffNext",
    "Verify",
    "VerifyNext",
    "Report",
    "Conclude",
    "WhatColour",
    "InStep",
]


def test_an_applied_run_brings_everyone_in_step_with_one_token(stage: Stage) -> None:
    stage.forget_token()

    run = stage.apply()

    assert (run.status, run.error, run.cause) == ("SUCCEEDED", None, None)
    # In the order of their first time; a batch may ask for another one.
    assert list(dict.fromkeys(run.states)) == ALL_STATES
    assert_everyone_is_in_zoho_once(stage)
    seen = stage.zoho.counters()
    assert (seen.tokens_minted, seen.http_429, seen.mails, seen.secrets_in_query) == (1, {}, 0, 0)
    assert {entry.token for entry in stage.zoho.log() if entry.is_api_call} == {1}
    report = stage.report(run)
    assert (report["colour"], report["total"], report["in_step"]) == ("green", 15, ACCOUNTS)
    assert (report["created"], report["linked"], report["skipped"]) == (ACCOUNTS, 0, 2)
    assert report["duplicates_in_zoho"] == report["failed"] == report["http_429"] == 0


def test_the_application_sees_each_outcome_in_its_status_columns(stage: Stage) -> None:
    stage.apply()

    rows = stage.query("SELECT * FROM customers ORDER BY account_number")
    by_number = {customer["cf_account_number"]: customer for customer in _flat(stage)}
    for row in rows:
        if row["account_type"] == "internal_test":
            assert row["zoho_sync_status"] is None
            assert row["zoho_billing_customer_id"] is None
        else:
            assert row["zoho_sync_status"] == "synced"
            assert row["zoho_last_sync_error"] is None
            in_zoho = by_number[row["account_number"]]
            assert row["zoho_billing_customer_id"] == in_zoho["customer_id"]


def test_a_second_run_over_the_same_rows_sends_nothing(stage: Stage) -> None:
    stage.apply()
    before = (len(stage.writes()), stage.query("SELECT * FROM customers ORDER BY id"))

    again = stage.apply()

    assert again.status == "SUCCEEDED"
    assert (len(stage.writes()), stage.query("SELECT * FROM customers ORDER BY id")) == before
    assert {line["action"] for line in stage.plan_of(again)} == {"unchanged", "skip"}
    assert stage.report(again)["in_step"] == ACCOUNTS


def test_a_change_in_the_source_is_one_update(stage: Stage) -> None:
    stage.apply()
    before = len(stage.writes())
    stage.execute(
        "UPDATE customers SET phone = '+27215550000' WHERE account_number = 'CT-2025-00012'"
    )

    run = stage.apply()

    assert run.status == "SUCCEEDED"
    assert [entry.operation for entry in stage.writes()[before:]] == ["update_customer"]
    [customer] = stage.in_zoho("CT-2025-00012")
    assert customer["phone"] == "+27215550000"
    assert stage.report(run)["updated"] == 1


def test_outputs_are_small_and_nothing_personal_leaves(stage: Stage) -> None:
    refused = "CT-2025-00009"
    stage.zoho.switch(accept_emoji=False)
    stage.execute(
        "UPDATE customers SET company_name = company_name || ' 🩺' WHERE account_number = %(n)s",
        n=refused,
    )
    personal = stage.personal_words()

    run = stage.apply()

    # Red, so that causes and reasons are written, too.
    assert (run.status, run.states[-1]) == ("FAILED", "Conclude")
    for event in run.events:
        output = event.get("stateExitedEventDetails", {}).get("output", "")
        assert len(output) < 1000, event
    files = {
        name: stage.file(run.name, name)
        for name in ("plan.jsonl", "plan.json", "report.json", "report.md")
    }
    assert refused in files["plan.jsonl"]
    assert run.cause
    for where, text in {**files, "history": run.history, "logs": stage.logged()}.items():
        assert found_in(text, personal) == [], where


def _flat(stage: Stage) -> list[dict[str, str]]:
    return [
        {
            "customer_id": customer["customer_id"],
            "cf_account_number": next(
                (f["value"] for f in customer["custom_fields"] if f["label"] == "Account Number"),
                "",
            ),
        }
        for customer in stage.zoho.customers()
    ]
