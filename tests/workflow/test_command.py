"""`billing-sync` on a deployed stack: exit codes, and JSON on standard output alone."""

import json
from datetime import UTC, datetime
from typing import Any

from ops.fake_zoho import SeedCustomer
from tests.workflow.stage import (
    ACCOUNTS,
    Stage,
    assert_everyone_is_in_zoho_once,
    found_in,
    wait_for,
)

NUMBER = "CT-2025-00012"
TWIN = "CT-2025-00009"


def asked(stage: Stage, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Give exit code and answer; with --json nothing else may stand on standard output."""
    done = stage.command(*arguments)
    assert "Traceback" not in done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, answer


def test_preflight_plan_and_apply_end_with_0_and_say_what_was_done(stage: Stage) -> None:
    code, checked = asked(stage, "preflight")
    assert (code, checked["next"]) == (0, "checked")
    assert checked["organisation"]["name"] == "Demo Telecoms"
    assert not [one for one in checked["findings"] if one["severity"] in ("blocking", "confirm")]

    code, planned = asked(stage, "plan")
    assert (code, planned["ok"], planned["colour"]) == (0, True, "green")
    assert planned["plan"]["total"] == 15
    assert stage.writes() == []

    code, applied = asked(stage, "backfill", "--apply", "--yes")
    assert (code, applied["ok"], applied["execution_status"]) == (0, True, "SUCCEEDED")
    assert_everyone_is_in_zoho_once(stage)

    code, status = asked(stage, "status")
    assert (code, status["red"]) == (0, [])
    assert status["run"]["run_id"] == applied["run_id"]
    assert status["run"]["colour"] == "green"
    assert status["in_the_run"] == {"synced": ACCOUNTS, "skipped": 2}

    code, story = asked(stage, "show", "customer", NUMBER)
    assert (code, story["record"]["state"]) == (0, "synced")
    assert story["attempts"]
    assert found_in(json.dumps(story), stage.personal_words()) == []

    code, report = asked(stage, "report")
    assert code == 0
    assert report == json.loads(stage.file(applied["run_id"], "report.json"))


def test_a_red_run_ends_with_1_and_link_mends_it(stage: Stage) -> None:
    [kept_by_hand] = stage.zoho.seed(
        [
            SeedCustomer(
                profile={
                    "display_name": "Newgate Medical",
                    "email": "anton@newgate-medical.example",
                },
                created_time=datetime(2024, 5, 6, tzinfo=UTC),
            )
        ]
    )

    code, red = asked(stage, "backfill", "--apply", "--yes")
    assert (code, red["ok"], red["colour"]) == (1, False, "red")

    code, story = asked(stage, "show", "customer", TWIN)
    assert (code, story["record"]["state"]) == (1, "ambiguous")
    assert story["record"]["candidates"] == [kept_by_hand]

    code, linked = asked(stage, "link", "customer", TWIN, kept_by_hand)
    assert (code, linked["ok"]) == (0, True)
    assert stage.apply().status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)


def test_stop_ends_a_run_and_says_so_where_none_is_under_way(stage: Stage) -> None:
    code, nothing = asked(stage, "stop")
    assert (code, nothing["error"]) == (1, "NothingRuns")

    stage.zoho.switch(latency_ms=(900, 900))
    code, started = asked(stage, "backfill", "--apply", "--yes", "--no-wait")
    assert (code, started["ok"]) == (0, True)
    wait_for(lambda: stage.zoho.log(operation="create_customer"), "the first write")
    code, stopped = asked(stage, "stop")
    run = stage.end_of(started["execution_arn"])

    assert (code, stopped["ok"], stopped["run_id"]) == (0, True, started["run_id"])
    assert (run.error, run.states[-1]) == ("NotYetInStep", "NotYetInStep")
    assert len(stage.zoho.customers()) < ACCOUNTS


def test_what_is_not_understood_ends_with_2_and_asks_nothing(stage: Stage) -> None:
    calls = len(stage.zoho.log())

    wrong = stage.command("backfill", "--phases", "invoicez", "--apply", "--yes")
    unasked = stage.command("backfill", "--apply")

    assert (wrong.returncode, unasked.returncode) == (2, 2)
    assert "--phases" in wrong.stderr
    # Nobody can be asked where a program reads the answer.
    assert "--yes" in unasked.stderr
    assert len(stage.zoho.log()) == calls
    assert stage.query("SELECT * FROM billing_sync.runs") == []
