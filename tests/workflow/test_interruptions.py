"""Workers die, answers are lost, runs are stopped: nobody is made twice, and nobody is missed."""

from ops.fake_zoho import AnswerDelayed, AnswerLost
from tests.workflow.stage import ACCOUNTS, Stage, assert_everyone_is_in_zoho_once, wait_for

CREATE = "create_customer"


def test_a_worker_killed_between_zohos_commit_and_ours_makes_no_second_customer(
    stage: Stage,
) -> None:
    held_up = stage.zoho.arm(AnswerDelayed(operation=CREATE, skip=4, delay_seconds=1.8))
    arn = stage.start(mode="apply")
    # Zoho has committed it; its answer is on the way.
    wait_for(lambda: stage.zoho.faults_met().get(held_up), "the call that takes long")

    assert stage.let_functions_die("SyncBatch") == 1
    run = stage.end_of(arn)

    assert run.status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)
    # The console shows it: the task failed, and was tried again.
    assert [event["type"] for event in run.events].count("TaskFailed") == 1
    assert {"WorkOffCoolDown", "InStep"} <= set(run.states)
    closed = stage.query("SELECT closed_as FROM billing_sync.intents WHERE closed_as <> 'answered'")
    assert "found" in {row["closed_as"] for row in closed}
    assert stage.report(run)["duplicates_in_zoho"] == 0


def test_an_answer_lost_after_the_commit_is_proved_when_it_falls_due(stage: Stage) -> None:
    stage.zoho.arm(AnswerLost(operation=CREATE, skip=4))

    run = stage.apply()

    assert run.status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)
    assert len(stage.zoho.log(operation=CREATE)) == ACCOUNTS
    assert "WorkOffCoolDown" in run.states
    in_doubt = [answer["counts"] for answer in run.answers("SyncBatch")]
    assert sum(counts.get("in_doubt", 0) for counts in in_doubt) == 1
    report = stage.report(run)
    assert (report["in_step"], report["created"], report["in_doubt"]) == (ACCOUNTS, ACCOUNTS, 0)


def test_a_run_that_is_stopped_ends_amber_and_the_next_one_finishes_it(stage: Stage) -> None:
    stage.zoho.switch(latency_ms=(400, 400))
    arn = stage.start(mode="apply")
    wait_for(lambda: stage.zoho.log(operation=CREATE), "the first write")

    stopped = stage.operate("stop")
    made_by_then = len(stage.zoho.log(operation=CREATE))
    run = stage.end_of(arn)

    assert stopped["ok"]
    assert (run.status, run.error, run.states[-1]) == ("FAILED", "NotYetInStep", "NotYetInStep")
    assert run.cause is not None
    assert "stopped by thandi" in run.cause
    # Those in hand were brought to their end, no other was begun.
    made = len(stage.zoho.log(operation=CREATE))
    assert made - made_by_then <= 5
    assert made < ACCOUNTS
    assert stage.report(run)["colour"] == "amber"
    assert "syncing" not in stage.states()

    stage.zoho.switch(latency_ms=(0, 0))
    rest = stage.apply()

    assert rest.status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)
    assert len(stage.zoho.log(operation=CREATE)) == ACCOUNTS


def test_an_execution_stopped_in_the_console_ends_its_batch_and_frees_the_lock(
    stage: Stage,
) -> None:
    # Enough of them, and slowly, for the batch to look at its execution, as it does every 5 s.
    stage.execute(
        "INSERT INTO customers (account_number, first_name, last_name, email, currency)"
        " SELECT 'CT-2026-' || to_char(n, 'FM00000'), 'Thabo', 'Nkosi' || n,"
        " 'thabo' || n || '@mail.example', 'ZAR' FROM generate_series(1, 40) n"
    )
    stage.zoho.switch(latency_ms=(700, 700))
    arn = stage.start(mode="apply")
    wait_for(lambda: stage.zoho.log(operation=CREATE), "the first write")

    stage.stop_execution(arn)
    run = stage.end_of(arn)
    # Nobody tells the function: it finds out, and ends.
    [begun] = wait_for(
        lambda: stage.query("SELECT * FROM billing_sync.runs WHERE ended_early IS NOT NULL"),
        "the end of the batch",
    )

    assert run.status == "ABORTED"
    assert begun["ended_at"] is None
    wait_for(lambda: "syncing" not in stage.states(), "the records in hand")
    assert 0 < len(stage.account_numbers_in_zoho()) < ACCOUNTS + 40

    # Its lock is still there, and its execution is not: the next run takes over.
    stage.zoho.switch(latency_ms=(0, 0))
    rest = stage.apply()

    assert rest.status == "SUCCEEDED"
    assert set(stage.account_numbers_in_zoho().values()) == {1}
    assert stage.states() == {"synced": ACCOUNTS + 40, "skipped": 2}
    [former] = stage.query("SELECT * FROM billing_sync.runs WHERE execution_arn = %(arn)s", arn=arn)
    assert former["ended_at"] is not None


def test_a_second_start_says_which_run_is_under_way(stage: Stage) -> None:
    stage.zoho.switch(latency_ms=(400, 400))
    first = stage.start(mode="apply")
    wait_for(lambda: stage.zoho.log(operation=CREATE), "the first write")

    second = stage.apply()

    assert (second.status, second.states[-1]) == ("SUCCEEDED", "AlreadyRunning")
    assert second.output == {"already_running": first}
    assert "Snapshot" not in second.states
    stage.zoho.switch(latency_ms=(0, 0))
    assert stage.end_of(first).status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)
