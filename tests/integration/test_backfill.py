"""The backfill's steps, one after the other, as the state machine calls them."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from billing_sync.domain.errors import RecordsNotInStep
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.steps import (
    BackfillInput,
    Finding,
    Next,
    OperateAnswer,
    OperateEvent,
    Severity,
    StepEvent,
)
from billing_sync.ports import PlanRow, RecordKey
from ops.fake_zoho import FieldAltered, SeedCustomer
from ops.local_stack.postgres import Database
from tests.backfill import MemoryFiles, StillRunning, apply, begin, drive, files, plan_of
from tests.world import World, world


@pytest.fixture
def stage(database: Database) -> Iterator[World]:
    with world(database) as made:
        made.worker.run_files = MemoryFiles()
        made.worker.executions = StillRunning()
        yield made


def test_a_backfill_brings_all_customers_in_step(stage: World) -> None:
    report = apply(stage, "first")

    assert report["colour"] == "green"
    assert (report["total"], report["in_step"], report["skipped"]) == (15, 13, 2)
    assert stage.worker.conclude(StepEvent(run_id="first")).colour == "green"
    assert len(stage.zoho.control.customers()) == 13


def test_a_plan_writes_nothing_and_ends_green(stage: World) -> None:
    begin(stage.worker, "plan")
    drive(stage, "plan", "snapshot")
    answer = drive(stage, "plan", "plan")

    assert answer.counts == {"create": 13, "skip": 2}
    assert stage.sql("SELECT count(*) FROM billing_sync.records")[0].count == 0
    assert {entry.method for entry in stage.zoho.control.log()} <= {"GET", "POST"}
    assert stage.zoho.control.customers() == []
    lines = files(stage)["runs/plan/plan.jsonl"].decode().splitlines()
    assert len(lines) == 15
    assert stage.worker.conclude(StepEvent(run_id="plan")).colour == "green"


def test_a_second_run_over_a_table_in_step_sends_and_writes_nothing(stage: World) -> None:
    apply(stage, "first")
    stage.worker.conclude(StepEvent(run_id="first"))
    before = everything(stage)

    for round_number in range(5):
        report = apply(stage, f"again-{round_number}")
        stage.worker.conclude(StepEvent(run_id=f"again-{round_number}"))
        assert report["in_step"] == 13
        assert report["updated"] == 0
        assert stage.worker.sweep(lambda: 300.0) == {
            "leases": 0,
            "changed": 0,
            "vanished": 0,
            "due": 0,
            "statuses": 0,
        }

    assert everything(stage) == before
    writes = [entry for entry in stage.zoho.control.log() if entry.operation == "create_customer"]
    assert len(writes) == 13


def test_a_changed_customer_is_updated_and_only_that_one(stage: World) -> None:
    apply(stage, "first")
    stage.worker.conclude(StepEvent(run_id="first"))
    stage.sql("UPDATE customers SET phone = '+27215550000' WHERE account_number = 'CT-2025-00014'")

    report = apply(stage, "second")

    assert [
        (row["action"], row["fields"]) for row in plan_of(stage, "second") if row["fields"]
    ] == [("update", ["phone"])]
    assert (report["updated"], report["in_step"]) == (1, 13)
    assert stage.in_zoho("CT-2025-00014")[0]["phone"] == "+27215550000"
    updates = [e for e in stage.zoho.control.log() if e.operation == "update_customer"]
    assert len(updates) == 1


def test_an_ambiguous_customer_makes_the_run_red_and_a_link_makes_it_green(stage: World) -> None:
    [by_hand] = stage.zoho.control.seed(
        [
            SeedCustomer(
                profile={"display_name": "A. Grobler", "email": EMAIL_OF_SEVEN},
                created_time=datetime(2024, 5, 1, tzinfo=UTC),
            )
        ]
    )
    report = apply(stage, "first")
    with pytest.raises(RecordsNotInStep, match="1 ambiguous"):
        stage.worker.conclude(StepEvent(run_id="first"))
    assert (report["colour"], report["ambiguous"], report["in_step"]) == ("red", 1, 12)
    assert "CT-2025-00009" in files(stage)["runs/first/report.md"].decode()

    answer = operate(
        stage,
        action="link",
        by="ops",
        entity="customer",
        id="CT-2025-00009",
        zoho_id=by_hand,
    )
    assert answer.ok, answer.why
    report = apply(stage, "second")

    assert (report["colour"], report["linked"], report["in_step"]) == ("green", 1, 13)
    assert [c["customer_id"] for c in stage.in_zoho("CT-2025-00009")] == [by_hand]
    assert stage.worker.conclude(StepEvent(run_id="first")).colour == "green", "a redrive"


def test_of_two_links_to_one_id_at_the_same_moment_one_holds_and_the_other_is_told(
    stage: World,
) -> None:
    rows = [stage.customer("CT-2025-00002"), stage.customer("CT-2025-00004")]
    for record in rows:
        stage.worker.records.signal(record)

    with (
        stage.worker.engine.begin() as first,
        ThreadPoolExecutor(1) as pool,
    ):
        # The first has written and not committed: the second sees no holder, and waits for it.
        first.execute(
            text("UPDATE billing_sync.records SET zoho_id = '900001' WHERE entity_id = :id"),
            {"id": rows[0].entity_id},
        )
        second = pool.submit(stage.worker.operations.link, rows[1], "900001", by="ops")
        with pytest.raises(TimeoutError):
            second.result(timeout=0.5)
        first.commit()
        holder = second.result(timeout=5)

    assert holder == rows[0]
    assert stage.record("CT-2025-00004").zoho_id is None


def test_a_stop_ends_the_batch_and_the_next_run_finishes_without_a_duplicate(
    stage: World,
) -> None:
    begin(stage.worker, "first", mode="apply")
    drive(stage, "first", "snapshot")
    drive(stage, "first", "plan")
    answer = operate(stage, action="stop", by="ops")
    assert answer.ok

    ended = drive(stage, "first", "sync_batch", "customers")

    assert (ended.next, ended.why) == (Next.END, "stopped by ops")
    assert stage.zoho.control.customers() == []
    assert stage.worker.conclude(StepEvent(run_id="first")).colour == "amber"
    assert apply(stage, "second")["in_step"] == 13
    assert len(stage.zoho.control.customers()) == 13


def test_an_execution_stopped_in_the_console_ends_the_batch(stage: World) -> None:
    begin(stage.worker, "first", mode="apply")
    drive(stage, "first", "snapshot")
    drive(stage, "first", "plan")
    executions = stage.worker.executions
    assert isinstance(executions, StillRunning)
    executions.stopped = True

    ended = drive(stage, "first", "sync_batch", "customers")

    assert (ended.next, ended.why) == (Next.END, "its execution was stopped")


def test_a_first_record_that_comes_out_different_stops_the_run(stage: World) -> None:
    stage.zoho.control.arm(
        FieldAltered(operation="create_customer", field="display_name", value="Somebody", count=1)
    )
    stage.zoho.control.arm(
        FieldAltered(operation="update_customer", field="display_name", value="Somebody", count=1)
    )

    report = apply(stage, "first")

    assert len(stage.zoho.control.customers()) == 1
    assert (report["colour"], report["mismatch"]) == ("red", 1)
    assert "came out different" in str(report["ended_early"])


def test_a_refused_first_record_does_not_hold_the_others(stage: World) -> None:
    stage.sql("UPDATE customers SET email = 'not an e-mail' WHERE id = 2")

    report = apply(stage, "first")

    assert (report["failed"], report["in_step"]) == (1, 12)
    [group] = report["red"]
    assert group["code"] == "zoho_2"


def test_more_than_five_refusals_of_one_code_stop_the_run(stage: World) -> None:
    stage.sql("UPDATE customers SET email = 'not an e-mail'")

    report = apply(stage, "first")

    assert "Zoho refused 6 records in a row with zoho_2" in str(report["ended_early"])
    assert stage.zoho.control.customers() == []
    assert report["colour"] == "red"


def test_verify_finds_what_was_deleted_renamed_or_doubled_in_zoho(stage: World) -> None:
    apply(stage, "first")
    stage.worker.conclude(StepEvent(run_id="first"))
    gone = stage.in_zoho("CT-2025-00002")[0]["customer_id"]
    renamed = stage.in_zoho("CT-2025-00004")[0]["customer_id"]
    for method, path, body in (
        ("DELETE", f"/customers/{gone}", None),
        ("PUT", f"/customers/{renamed}", {"display_name": "Renamed by hand"}),
        ("POST", "/customers", {"display_name": "Twice (CT-2025-00005)"}),
    ):
        by_hand(stage, method, path, body)
    wait_for_the_index(stage)

    report = apply(stage, "second")

    assert report["colour"] == "red"
    [group] = report["red"]
    assert (group["code"], group["ids"]) == ("gone_in_zoho", ["CT-2025-00002"])
    assert report["duplicates_in_zoho"] == 1
    assert stage.record("CT-2025-00004").state == "pending"
    assert apply_after(stage, "third")["in_step"] == 12
    assert stage.in_zoho("CT-2025-00004")[0]["display_name"].endswith("(CT-2025-00004)")


def test_a_row_deleted_here_is_said_so_and_nothing_is_deleted_there(stage: World) -> None:
    apply(stage, "first")
    stage.worker.conclude(StepEvent(run_id="first"))
    record = stage.customer("CT-2025-00024")
    stage.sql("DELETE FROM customers WHERE account_number = 'CT-2025-00024'")

    report = apply(stage, "second")

    view = stage.worker.records.view(record)
    assert view is not None
    assert (view.state, view.code) == (State.FAILED, "deleted_here")
    assert (report["total"], report["colour"]) == (14, "red")
    assert len(stage.zoho.control.customers()) == 13


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ({"ids": ["2", "4"]}, 2),
        ({"accounts": ["CT-2025-00014"]}, 1),
        ({"since": "1999-01-01T00:00:00Z", "until": "2000-01-01T00:00:00Z"}, 0),
        ({"states": ["failed"]}, 0),
        ({"ids": ["2"], "accounts": ["CT-2025-00014"]}, 0),
    ],
)
def test_only_restricts_a_run_and_all_that_is_given_must_hold(
    stage: World, only: dict[str, object], expected: int
) -> None:
    report = apply(stage, "first", only=only)

    assert report["total"] == expected
    assert len(stage.zoho.control.customers()) == expected


def test_the_calls_and_the_token_of_its_preflight_are_the_runs(stage: World) -> None:
    before = stage.worker.runs.spent()
    stage.worker.api.organisations()
    asked = BackfillInput()

    stage.worker.runs.begin("first", "arn:first", asked, before=before)

    spent = stage.worker.verification.calls_since("first")
    assert (spent.calls, spent.tokens_minted) == (1, 1)


def test_a_second_run_does_not_begin_while_one_runs(stage: World) -> None:
    begin(stage.worker, "first")

    assert begin(stage.worker, "second").run_id == "first"
    stage.worker.runs.take_over("first")
    assert begin(stage.worker, "second").run_id == "second"


def test_two_thousand_loops_end_amber_with_start_again(stage: World) -> None:
    begin(stage.worker, "first", mode="apply")
    stage.sql("UPDATE billing_sync.runs SET loops = 2000")

    ended = drive(stage, "first", "snapshot")

    assert (ended.next, ended.why) == (Next.END, "2000 loops are used up: start again")
    assert stage.worker.conclude(StepEvent(run_id="first")).colour == "amber"


EMAIL_OF_SEVEN = "anton@newgate-medical.example"


def everything(stage: World) -> list[Any]:
    """Give all records and all application rows, to the last column."""
    return [
        stage.sql("SELECT * FROM billing_sync.records ORDER BY entity_id"),
        stage.sql("SELECT * FROM customers ORDER BY id"),
        stage.sql("SELECT * FROM billing_sync.intents ORDER BY intent_id"),
    ]


def operate(stage: World, **event: object) -> OperateAnswer:
    return stage.worker.operate(OperateEvent.model_validate(event))


def apply_after(stage: World, run_id: str) -> dict[str, Any]:
    """End the run before, which is red, and run another one."""
    with pytest.raises(RecordsNotInStep):
        stage.worker.conclude(StepEvent(run_id="second"))
    return apply(stage, run_id)


def by_hand(stage: World, method: str, path: str, body: dict[str, str] | None) -> None:
    """Do something in Zoho's own screens, in the way that the API offers."""
    token = stage.worker.tokens.current().value
    response = stage.worker.http.request(
        method,
        f"{stage.zoho.api_url}/billing/v1{path}",
        json=body,
        headers={"Authorization": f"Zoho-oauthtoken {token}"},
        extensions={"send_by": time.monotonic() + 5, "deadline_seconds": 5},
    )
    assert response.is_success, response.text


def wait_for_the_index(stage: World) -> None:
    stage.zoho.control.advance_clock(10)


def test_invocations_that_overlap_write_one_plan_and_one_set_of_findings(stage: World) -> None:
    """A task that timed out leaves its Lambda running beside the one that replaces it."""
    begin(stage.worker, "overlap")
    start = threading.Barrier(8)
    finding = Finding(
        code="ambiguous_customers", severity=Severity.WARNING, sentence="Some.", what_to_do="Look."
    )

    def plan(number: int) -> None:
        runs = stage.container().runs
        ours = PlanRow("customers", RecordKey(EntityType.CUSTOMER, str(number)), None, "create")
        shared = PlanRow("customers", RecordKey(EntityType.CUSTOMER, "shared"), None, "create")
        start.wait()
        runs.add_to_plan("overlap", [ours, shared])
        runs.put_findings("overlap", "plan", [finding])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(plan, range(8)))

    assert stage.worker.runs.plan_counts("overlap") == {"customers": {"create": 9}}
    assert [found.code for found in stage.worker.runs.findings("overlap")] == [finding.code]


def test_nobody_waits_for_what_waits_nor_for_what_is_blocked_by_it(stage: World) -> None:
    begin(stage.worker, "first", mode="apply")
    runs = stage.worker.runs
    waiting = RecordKey(EntityType.INVOICE, "1")
    blocked = RecordKey(EntityType.PAYMENT, "1")
    runs.add_to_plan(
        "first",
        [
            PlanRow("invoices", waiting, None, "wait"),
            PlanRow("payments", blocked, None, "create"),
        ],
    )
    stage.worker.records.signal(waiting)
    stage.sql(
        "UPDATE billing_sync.records SET state = 'waiting',"
        " next_attempt_at = clock_timestamp() + interval '1 hour'"
    )
    assert stage.worker.records.block(blocked, waiting, run_id="first")

    assert (runs.due("first", 10), runs.next_due_seconds("first")) == ([], None)
    # Both count as waiting: that is not ours to mend, and stops no run from being clean.
    figures = stage.worker.verification.figures("first")
    assert figures.states == {"waiting": 2}
    assert stage.worker.conclude(StepEvent(run_id="first")).colour == "green"

    stage.worker.records.signal(waiting)
    assert runs.due("first", 10) == [waiting], "its time has come: it is worked off"
    assert runs.due("first", 10, but=[waiting]) == []
