"""Customers, subscriptions, invoices and payments, through the state machine on local AWS."""

from datetime import UTC, datetime

from ops.demo import scenario
from ops.demo.books import read_books
from ops.demo.load import load_books
from ops.local_stack.postgres import APPLICATION_ROLE
from ops.local_stack.stack import set_calendar
from tests.workflow.stage import Stage

ACCOUNTS = ["CT-2025-00002", "CT-2025-00006", "CT-2025-00007"]
PHASES = ["customers", "subscriptions", "invoices", "payments"]


def test_four_phases_run_one_after_the_other_and_end_in_step_to_the_cent(stage: Stage) -> None:
    today = scenario.demo_day(datetime.now(UTC).date())
    set_calendar(stage.stack.state, today)
    with stage.stack.database.connect(APPLICATION_ROLE) as connection:
        load_books(connection, read_books(today))

    run = stage.run({"mode": "apply", "only": {"accounts": ACCOUNTS}}, seconds=90)
    again = stage.run({"mode": "apply", "only": {"accounts": ACCOUNTS}}, seconds=90)

    assert run.status == "SUCCEEDED", run.cause
    report = stage.report(run)
    assert (report["phases"], report["colour"]) == (PHASES, "green")
    for phase in PHASES:
        entity = report["entities"][phase]
        assert entity["in_step"] + entity["skipped"] == entity["total"] > 0
        assert entity["local_amount"] == entity["zoho_amount"]
    assert (report["difference"], report["tax_difference"]) == ("0.00", "0.00")
    assert (report["debtors"]["difference"], report["debtors"]["customers_that_differ"]) == (
        "0.00",
        0,
    )
    assert stage.zoho.state().mails == []

    assert again.status == "SUCCEEDED", again.cause
    assert {line["action"] for line in stage.plan_of(again)} == {"unchanged", "skip"}
    written = sum(report["entities"][phase]["in_step"] for phase in PHASES)
    assert stage.states()["synced"] == written + report["parents"]["synced"]
