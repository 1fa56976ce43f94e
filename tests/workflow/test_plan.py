"""What a run does that was not told to write, and what `only` selects."""

from datetime import timedelta
from typing import Any

import pytest

from tests.workflow.stage import ACCOUNTS, Stage

EVERYBODY = 15


def test_without_a_mode_a_run_plans_and_writes_nothing(stage: Stage) -> None:
    customers = stage.query("SELECT * FROM customers ORDER BY id")

    run = stage.run()

    assert (run.status, run.states[-1]) == ("SUCCEEDED", "InStep")
    assert "SyncBatch" not in run.states
    assert stage.writes() == []
    assert stage.zoho.customers() == []
    assert stage.states() == {}
    assert stage.query("SELECT * FROM customers ORDER BY id") == customers
    plan = stage.plan_of(run)
    assert len(plan) == EVERYBODY
    actions = [line["action"] for line in plan]
    assert (actions.count("create"), actions.count("skip")) == (ACCOUNTS, 2)
    assert {line["account_number"] for line in plan if line["action"] == "skip"} == {
        "CT-2025-00001",
        "CT-2025-00003",
    }


def test_only_restricts_a_plan_to_what_all_its_parts_select(stage: Stage) -> None:
    rows = stage.query("SELECT id::text, account_number, created_at FROM customers ORDER BY id")
    second, fourth, last = rows[1], rows[3], rows[-1]
    between = {
        "since": second["created_at"].isoformat(),
        "until": (fourth["created_at"] + timedelta(seconds=1)).isoformat(),
    }

    def planned(**only: Any) -> set[str]:
        run = stage.run(only=only)
        assert run.status == "SUCCEEDED", run.cause
        return {line["account_number"] for line in stage.plan_of(run)}

    numbers = [row["account_number"] for row in rows]
    assert planned(ids=[second["id"], last["id"]]) == {numbers[1], numbers[-1]}
    assert planned(accounts=[numbers[4]]) == {numbers[4]}
    assert planned(**between) == set(numbers[1:4])
    # All that are given must hold.
    assert planned(**between, ids=[fourth["id"], last["id"]]) == {numbers[3]}


def test_only_states_selects_by_the_sync_records(stage: Stage) -> None:
    stage.apply(only={"accounts": ["CT-2025-00001", "CT-2025-00002", "CT-2025-00004"]})

    run = stage.run(only={"states": ["skipped"]})

    assert [line["account_number"] for line in stage.plan_of(run)] == ["CT-2025-00001"]


def test_an_applied_run_of_one_account_writes_no_other(stage: Stage) -> None:
    run = stage.apply(only={"accounts": ["CT-2025-00012"]})

    assert run.status == "SUCCEEDED"
    assert stage.account_numbers_in_zoho() == {"CT-2025-00012": 1}
    assert stage.states() == {"synced": 1}
    assert stage.report(run)["total"] == 1


@pytest.mark.parametrize("only", [{"accounts": ["CT-2025-99999"]}, {"ids": ["999999"]}])
def test_a_selection_of_nobody_says_so(stage: Stage, only: dict[str, list[str]]) -> None:
    run = stage.run(only=only)

    assert run.status == "SUCCEEDED"
    assert stage.plan_of(run) == []
    assert "nothing_selected" in {one["code"] for one in stage.report(run)["findings"]}
