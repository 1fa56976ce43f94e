"""Each function may do what it must and no more: what is taken away is missed at once."""

import pytest

from tests.workflow.stage import Stage, assert_everyone_is_in_zoho_once


@pytest.mark.parametrize(
    ("function", "statement", "state"),
    [("Plan", "WriteRuns", "Plan"), ("SyncBatch", "ReadDatabaseSecret", "SyncBatch")],
)
def test_a_run_fails_where_a_permission_was_taken_away(
    stage: Stage, function: str, statement: str, state: str
) -> None:
    # A warm worker has read its secrets already.
    stage.let_functions_die(function)

    with stage.without_permission(function, statement):
        run = stage.apply()

    assert (run.status, run.states[-1]) == ("FAILED", state)
    assert run.cause is not None
    assert "AccessDenied" in run.cause
    assert stage.writes() == []

    # Its lock is left; with the permission back, the next run takes over.
    assert stage.apply().status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)


def test_preflight_finds_out_that_reports_could_not_be_stored(stage: Stage) -> None:
    with stage.without_permission("Preflight", "WriteRuns"):
        run = stage.apply()

    assert (run.status, run.error) == ("FAILED", "PreflightRefused")
    assert run.cause is not None
    assert "cannot be stored" in run.cause
    assert stage.writes() == []
