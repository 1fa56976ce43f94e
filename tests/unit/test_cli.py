"""The command `billing-sync`, against a stack in memory."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner, Result

from billing_sync.domain.advice import CONFIRMABLE
from billing_sync.domain.states import State
from billing_sync.domain.steps import Confirm, Mode
from ops.cli.app import app
from ops.cli.choose import NoStackChosen
from ops.cli.stack import Execution, StackFault
from tests.fakes.stack import (
    ARN,
    ORGANISATION,
    RED_CUSTOMER,
    STARTED,
    FakeStack,
    run_status,
    status,
)

Run = Callable[..., Result]

BLOCKED: dict[str, Any] = {
    "code": "view_missing",
    "severity": "blocking",
    "sentence": "The view billing_source.customers is missing.",
    "what_to_do": "Invoke the function migrate.",
}
TO_CONFIRM: dict[str, Any] = {
    "code": "notifications_off",
    "severity": "confirm",
    "sentence": "Zoho does not tell whether it mails customers.",
    "what_to_do": "Look, then billing-sync confirm notifications_off.",
}
WARNING: dict[str, Any] = {
    "code": "no_email",
    "severity": "warning",
    "sentence": "Customers have no e-mail address.",
    "what_to_do": "Nothing.",
    "count": 3,
}
NOTE: dict[str, Any] = WARNING | {"severity": "note", "sentence": "One has no e-mail address."}
OTHER_RUNS: dict[str, Any] = RED_CUSTOMER | {"sentence": "It was red before this run."}
IN_STEP_PLAN = status(run_status(mode="plan", left={}))


@pytest.fixture
def stack() -> FakeStack:
    return FakeStack()


@pytest.fixture
def run(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command on the fake stack, as user `thandi`, in a terminal of 200 columns."""
    monkeypatch.setenv("USER", "thandi")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("BILLING_SYNC_STACK", raising=False)
    monkeypatch.delenv("BILLING_SYNC_BY", raising=False)

    def connect(_name: str | None, _local: bool) -> FakeStack:
        return stack

    def invoke(*arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=answer, obj=connect)

    return invoke


# ------------------------------------------------------------------------------------- preflight


def test_preflight_without_findings_is_fine_and_names_the_organisation(run: Run) -> None:
    result = run("preflight")

    assert result.exit_code == 0
    assert "Circle ISP (Test) (842100001)" in result.stdout
    assert "a run may start" in result.stdout


@pytest.mark.parametrize(("found", "code"), [(BLOCKED, 1), (TO_CONFIRM, 1), (WARNING, 0)], ids=str)
def test_preflight_ends_with_one_where_no_run_would_start(
    run: Run, stack: FakeStack, found: dict[str, Any], code: int
) -> None:
    stack.checked["findings"] = [found]

    result = run("preflight")

    assert result.exit_code == code
    assert found["sentence"] in result.stdout
    assert found["what_to_do"] in result.stdout


def test_preflight_shows_the_gravest_finding_first(run: Run, stack: FakeStack) -> None:
    stack.checked["findings"] = [WARNING, TO_CONFIRM, BLOCKED]

    shown = run("preflight").stdout

    places = [shown.index(each["sentence"]) for each in (BLOCKED, TO_CONFIRM, WARNING)]
    assert places == sorted(places)


# --------------------------------------------------------------------------------------- confirm


def test_what_can_be_confirmed_is_what_operate_takes() -> None:
    [choices] = [each for each in get_args(Confirm.model_fields["items"].annotation) if each != ...]

    assert set(CONFIRMABLE) == set(get_args(choices))


def test_confirm_without_items_lists_them_and_asks_the_stack_nothing(
    run: Run, stack: FakeStack
) -> None:
    result = run("confirm")

    assert result.exit_code == 0
    assert all(item in result.stdout for item in CONFIRMABLE)
    assert stack.asked == []


def test_confirm_is_stored_under_the_name_of_who_asked(run: Run, stack: FakeStack) -> None:
    result = run("confirm", "notifications_off", "prices_inclusive", "--by", "Lindiwe")

    assert result.exit_code == 0
    assert stack.asked == [
        {"action": "confirm", "by": "Lindiwe", "items": ["notifications_off", "prices_inclusive"]}
    ]


def test_confirm_takes_the_users_name_of_the_machine(run: Run, stack: FakeStack) -> None:
    run("confirm", "notifications_off")

    assert stack.asked[0]["by"] == "thandi"


def test_confirm_is_refused_where_nobody_is_known(
    run: Run, stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("USER")
    monkeypatch.setenv("PATH", "")

    result = run("confirm", "notifications_off")

    assert result.exit_code == 2
    assert "--by" in result.stderr
    assert stack.asked == []


@pytest.mark.parametrize(
    "items", [("mail_off",), ("prices_inclusive", "prices_exclusive")], ids=["unknown", "both"]
)
def test_confirm_refuses_unknown_and_contradicting_items(
    run: Run, stack: FakeStack, items: tuple[str, ...]
) -> None:
    result = run("confirm", *items)

    assert result.exit_code == 2
    assert items[0] in result.stderr
    assert stack.asked == []


# ------------------------------------------------------------------------------- plan and backfill


def test_plan_starts_an_execution_in_plan_mode_and_shows_its_summary(
    run: Run, stack: FakeStack
) -> None:
    stack.statuses = [IN_STEP_PLAN]
    stack.put_json(
        "plan.json",
        {
            "calls": 26,
            "minutes": "1.5",
            "could_be_mailed": 12,
            "could_be_reminded": 1,
            "customers_in_zoho": 13,
            "in_zoho": {"customer": 13, "subscription": 15, "invoice": 1},
        },
    )

    result = run("plan", "--phases", "customers", "--accounts", "CT-2025-00009,CT-2025-00014")

    [(name, asked)] = stack.started
    assert result.exit_code == 0
    assert asked.mode is Mode.PLAN
    assert asked.only.accounts == ("CT-2025-00009", "CT-2025-00014")
    assert "create" in result.stdout
    assert "11" in result.stdout
    assert "1 min 30 s" in result.stdout
    assert "Zoho could mail 12 customers" in result.stdout
    assert "1 customer past due, whom Zoho reminds" in result.stdout
    assert "13 customers, 15 subscriptions, 1 invoice" in result.stdout
    assert f"s3://runs/runs/{name}/plan.jsonl" in result.stdout


def test_plan_that_selects_nothing_says_so_with_its_finding(run: Run, stack: FakeStack) -> None:
    stack.statuses = [status(run_status(mode="plan", plan={}, left={}))]
    stack.put_json("plan.json", {"calls": 2, "minutes": "0.0"})
    stack.put_json("report.json", {"findings": [WARNING, NOTE]})

    result = run("plan", "--accounts", "CT-1")

    assert "No record is selected." in result.stdout
    assert WARNING["sentence"] in result.stdout
    assert NOTE["sentence"] not in result.stdout


def test_backfill_without_apply_is_a_plan_and_asks_nothing(run: Run, stack: FakeStack) -> None:
    stack.statuses = [IN_STEP_PLAN]
    stack.put_json("plan.json", {})

    result = run("backfill")

    assert result.exit_code == 0
    assert stack.started[0][1].mode is Mode.PLAN
    assert not any("preflight" in asked for asked in stack.asked)


def test_apply_shows_whom_it_concerns_and_sends_nothing_unless_told_so(
    run: Run, stack: FakeStack
) -> None:
    result = run("backfill", "--apply", answer="n\n")

    assert result.exit_code == 1
    assert ORGANISATION["name"] in result.stdout
    assert "ZAR" in result.stdout
    assert "4 are in Zoho now" in result.stdout
    assert stack.started == []


@pytest.mark.parametrize(("arguments", "answer"), [((), "y\n"), (("--yes",), None)])
def test_apply_starts_once_a_person_said_yes(
    run: Run, stack: FakeStack, arguments: tuple[str, ...], answer: str | None
) -> None:
    result = run("backfill", "--apply", *arguments, answer=answer)

    assert result.exit_code == 0
    assert stack.started[0][1].mode is Mode.APPLY
    assert "All is in step" in result.stdout


def test_apply_with_nobody_there_to_answer_starts_nothing(run: Run, stack: FakeStack) -> None:
    result = run("backfill", "--apply")

    assert result.exit_code == 1
    assert stack.started == []


def test_apply_is_refused_before_the_question_where_preflight_would_refuse(
    run: Run, stack: FakeStack
) -> None:
    stack.checked["findings"] = [BLOCKED]

    result = run("backfill", "--apply", "--yes")

    assert result.exit_code == 1
    assert BLOCKED["sentence"] in result.stdout
    assert stack.started == []


def test_apply_with_json_needs_yes(run: Run, stack: FakeStack) -> None:
    result = run("backfill", "--apply", "--json")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "--yes" in result.stderr
    assert stack.started == []


def test_red_run_ends_with_one_and_the_next_step_for_each_code(run: Run, stack: FakeStack) -> None:
    stack.executions = [
        {
            "status": "FAILED",
            "error": "Runtime.HandlerError",
            "cause": '{"errorType": "RecordsNotInStep", "errorMessage": "1 ambiguous"}',
        }
    ]
    stack.statuses = [status(run_status(colour="red"), red=[RED_CUSTOMER, OTHER_RUNS])]
    stack.put_json("report.json", {"red": [RED_CUSTOMER], "findings": [WARNING, NOTE]})

    result = run("backfill", "--apply", "--yes")

    assert result.exit_code == 1
    assert "red" in result.stdout
    assert "billing-sync link customer CT-2025-00009 ZOHO_ID" in result.stdout
    assert "billing-sync create-anyway customer CT-2025-00009" in result.stdout
    assert WARNING["sentence"] in result.stdout
    assert NOTE["sentence"] not in result.stdout
    assert OTHER_RUNS["sentence"] not in result.stdout


def test_red_run_without_a_report_still_says_what_is_red(run: Run, stack: FakeStack) -> None:
    stack.executions = [{"status": "FAILED", "error": "RecordsNotInStep"}]
    stack.statuses = [status(run_status(colour="red"), red=[RED_CUSTOMER])]

    result = run("backfill", "--apply", "--yes")

    assert result.exit_code == 1
    assert "The report could not be read" in result.stderr
    assert RED_CUSTOMER["sentence"] in result.stdout


@pytest.mark.parametrize("error", ["RecordsNotInStep", "NotYetInStep"])
def test_error_tells_the_colour_where_the_run_was_not_closed(
    run: Run, stack: FakeStack, error: str
) -> None:
    stack.executions = [{"status": "FAILED", "error": error, "cause": "3 retrying: start again."}]
    stack.statuses = [status(run_status(ended_at=None, colour=None))]

    result = run("backfill", "--apply", "--yes", "--json")

    assert result.exit_code == 1
    expected = {"RecordsNotInStep": "red", "NotYetInStep": "amber"}[error]
    assert json.loads(result.stdout)["colour"] == expected


def test_amber_run_ends_with_one_and_says_what_is_owed(run: Run, stack: FakeStack) -> None:
    stack.executions = [
        {"status": "FAILED", "error": "NotYetInStep", "cause": "3 retrying: start again."}
    ]
    stack.statuses = [status(run_status(colour="amber"))]

    result = run("backfill", "--apply", "--yes")

    assert result.exit_code == 1
    assert "3 retrying: start again." in result.stdout


def test_refused_run_ends_with_one_and_the_machines_own_reason(run: Run, stack: FakeStack) -> None:
    stack.executions = [
        {"status": "FAILED", "error": "PreflightRefused", "cause": "2 findings are blocking."}
    ]
    stack.statuses = [status(run_status(run_id="an-older-run"))]

    result = run("plan")

    assert result.exit_code == 1
    assert "PreflightRefused: 2 findings are blocking." in result.stderr
    assert "billing-sync preflight" in result.stderr


def test_broken_execution_is_not_taken_for_a_conclusion(run: Run, stack: FakeStack) -> None:
    stack.executions = [{"status": "ABORTED"}]
    stack.statuses = [status(run_status(ended_at=None, colour=None))]

    result = run("backfill", "--apply", "--yes")

    assert result.exit_code == 1
    assert "ABORTED" in result.stderr
    assert "the next backfill takes up what is left" in result.stderr
    assert "in step" not in result.stdout


def test_second_start_names_the_run_that_is_under_way(run: Run, stack: FakeStack) -> None:
    stack.executions = [{"status": "SUCCEEDED", "output": {"already_running": ARN + "other"}}]

    result = run("plan", "--json")

    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["error"] == "AlreadyRunning"
    assert told["already_running"] == ARN + "other"


def test_no_wait_only_starts(run: Run, stack: FakeStack) -> None:
    result = run("plan", "--no-wait", "--json")

    assert result.exit_code == 0
    [(name, _)] = stack.started
    assert json.loads(result.stdout) == {"ok": True, "run_id": name, "execution_arn": ARN + name}
    assert stack.asked == []


def test_run_is_followed_in_plain_lines_where_there_is_no_terminal(
    run: Run, stack: FakeStack
) -> None:
    waiting = run_status(
        ended_at=None,
        colour=None,
        waiting_until="2026-01-01T00:00:00Z",
        waiting_reason="minute",
        left={"customers": 5},
    )
    stack.executions = [{"status": "RUNNING"}, {"status": "RUNNING"}, {"status": "SUCCEEDED"}]
    stack.statuses = [status(waiting, in_the_run={"synced": 8}), status(waiting), status()]

    result = run("backfill", "--apply", "--yes")

    assert result.exit_code == 0
    assert "the minute's calls are used up | 10 of 15 | synced 8" in result.stdout
    assert "\x1b" not in result.stdout


def test_ctrl_c_leaves_the_run_running_and_says_how_to_stop_it(
    run: Run, stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_arn: str) -> Execution:
        raise KeyboardInterrupt

    monkeypatch.setattr(stack, "execution", interrupt)

    result = run("backfill", "--apply", "--yes")

    assert result.exit_code == 130
    assert "billing-sync stop" in result.stderr
    assert not any(asked.get("action") == "stop" for asked in stack.asked)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--phases", "clients"), "--phases"),
        (("--since", "22/11/2026"), "--since"),
        (("--until", "tomorrow"), "--until"),
        (("--since", "2026-02-01", "--until", "2026-01-01"), "--until"),
        (("--states", "broken"), "--states"),
        (("--only-ids", ""), "--only-ids"),
        (("--accounts", "CT-2025-00001,,"), "--accounts"),
        (("--phases", ""), "--phases"),
    ],
)
def test_bad_input_names_its_option_and_starts_nothing(
    run: Run, stack: FakeStack, arguments: tuple[str, ...], named: str
) -> None:
    for command in (("plan",), ("backfill", "--apply", "--yes")):
        result = run(*command, *arguments)

        assert result.exit_code == 2
        assert named in result.stderr
        assert result.stdout == ""
        assert stack.started == []
        assert stack.asked == []


def test_date_without_zone_is_taken_in_utc_and_said_so(run: Run, stack: FakeStack) -> None:
    result = run("plan", "--since", "2025-01-31", "--until", "2025-02-28T08:00+02:00", "--no-wait")

    only = stack.started[0][1].only
    assert only.since == datetime(2025, 1, 31, tzinfo=UTC)
    assert only.until == datetime(2025, 2, 28, 6, tzinfo=UTC)
    assert "--since 2025-01-31 has no time zone: taken as 2025-01-31 00:00:00 UTC" in result.stderr
    assert "--until" not in result.stderr


# ---------------------------------------------------------------------------------- status, stop


def test_status_shows_run_records_quota_and_token(run: Run) -> None:
    result = run("status")

    assert result.exit_code == 0
    assert "15 of 15" in result.stdout
    assert "12 of 90 this minute, 2 of 5 in flight, 31 of 1000 today" in result.stdout
    assert "number 1" in result.stdout
    assert "synced" in result.stdout


def test_status_ends_with_one_where_something_is_red(run: Run, stack: FakeStack) -> None:
    stack.statuses = [status(red=[RED_CUSTOMER])]

    result = run("status")

    assert result.exit_code == 1
    assert RED_CUSTOMER["sentence"] in result.stdout


def test_status_of_a_stack_that_never_ran_says_what_to_begin_with(
    run: Run, stack: FakeStack
) -> None:
    stack.statuses = [status(records={}) | {"run": None, "organisation": None}]

    result = run("status")

    assert result.exit_code == 0
    assert "billing-sync plan" in result.stdout


def test_status_follow_watches_the_run_that_is_under_way(run: Run, stack: FakeStack) -> None:
    name = run_status()["run_id"]
    stack.others_running = [Execution(ARN + name, name, "RUNNING", STARTED)]

    result = run("status", "--follow")

    assert result.exit_code == 0
    assert stack.started == []
    assert "All is in step" in result.stdout


@pytest.mark.parametrize("running", [True, False])
def test_status_tells_a_run_under_way_from_one_that_broke_off(
    run: Run, stack: FakeStack, *, running: bool
) -> None:
    stack.statuses = [status(run_status(ended_at=None, colour=None))]
    name = run_status()["run_id"]
    stack.others_running = [Execution(ARN + name, name, "RUNNING", STARTED)] if running else []

    result = run("status")

    assert ("No execution runs any more" in result.stderr) is not running


def test_stop_is_asked_for_by_name(run: Run, stack: FakeStack) -> None:
    result = run("stop")

    assert result.exit_code == 0
    assert stack.asked == [{"action": "stop", "by": "thandi"}]


# --------------------------------------------------------------------------------------- records


def test_show_tells_why_and_what_to_do(run: Run, stack: FakeStack) -> None:
    result = run("show", "customer", "CT-2025-00009")

    assert result.exit_code == 1
    assert stack.asked == [{"action": "show", "entity": "customer", "id": "CT-2025-00009"}]
    for told in (
        RED_CUSTOMER["sentence"],
        "billing-sync link customer 7 ZOHO_ID",
        "4600000000000103",
        "create_customer",
        "3062",
        "thandi",
    ):
        assert str(told) in result.stdout


def test_show_of_an_accepted_record_is_not_red(run: Run, stack: FakeStack) -> None:
    stack.answers["show"]["record"]["accepted"] = "agreed with finance"

    assert run("show", "customer", "7").exit_code == 0


@pytest.mark.parametrize("state", list(State))
def test_show_has_something_to_say_on_every_state(run: Run, stack: FakeStack, state: State) -> None:
    stack.answers["show"]["record"] |= {"state": state.value, "code": None, "sentence": None}

    result = run("show", "customer", "7")

    assert "What to do" in result.stdout
    assert state.value in result.stdout


def test_retry_passes_on_what_selects_the_records(run: Run, stack: FakeStack) -> None:
    stack.answers["retry"] = {"ok": True, "signalled": 3}

    result = run("retry", "customer", "--states", "failed,exhausted", "--code", "zoho_1037")

    assert result.exit_code == 0
    assert "3 records will be tried again" in result.stdout
    assert stack.asked == [
        {
            "action": "retry",
            "by": "thandi",
            "entity": "customer",
            "states": ["failed", "exhausted"],
            "code": "zoho_1037",
        }
    ]


@pytest.mark.parametrize(
    "arguments", [(), ("--ids", ""), ("--states", "red"), ("--code", " ")], ids=str
)
def test_retry_of_nothing_in_particular_is_refused(
    run: Run, stack: FakeStack, arguments: tuple[str, ...]
) -> None:
    result = run("retry", "customer", *arguments)

    assert result.exit_code == 2
    assert "--" in result.stderr
    assert stack.asked == []


def test_link_says_which_record_of_zoho_ours_is(run: Run, stack: FakeStack) -> None:
    result = run("link", "customer", "CT-2025-00009", "4600000000000103")

    assert result.exit_code == 0
    assert stack.asked == [
        {
            "action": "link",
            "by": "thandi",
            "entity": "customer",
            "id": "CT-2025-00009",
            "zoho_id": "4600000000000103",
        }
    ]


def test_link_takes_a_plan_by_its_code_and_other_entities_by_id(run: Run, stack: FakeStack) -> None:
    assert run("link", "plan", "FIBRE-50", "OLD-FIBRE-50", "--by", "Lindiwe").exit_code == 0

    assert stack.asked == [
        {
            "action": "link",
            "by": "Lindiwe",
            "entity": "plan",
            "id": "FIBRE-50",
            "zoho_id": "OLD-FIBRE-50",
        }
    ]
    assert run("link", "invoice", "INV-1", "OLD-FIBRE-50", "--by", "Lindiwe").exit_code == 2


@pytest.mark.parametrize("zoho_id", ["CT-2025-00009", "12", "٤٦٠٠٠٠٠٠٠"])
def test_link_refuses_what_is_no_id_of_zoho(run: Run, stack: FakeStack, zoho_id: str) -> None:
    result = run("link", "customer", "7", zoho_id)

    assert result.exit_code == 2
    assert "ZOHO_ID" in result.stderr
    assert stack.asked == []


def test_refusal_of_operate_is_said_with_its_field(run: Run, stack: FakeStack) -> None:
    stack.answers["link"] = {
        "ok": False,
        "error": "LinkedElsewhere",
        "field": "zoho_id",
        "why": "It is customer 12's.",
    }

    result = run("link", "customer", "7", "4600000000000103")

    assert result.exit_code == 1
    assert "LinkedElsewhere (zoho_id): It is customer 12's." in result.stderr


def test_unknown_entity_is_refused(run: Run, stack: FakeStack) -> None:
    result = run("show", "client", "7")

    assert result.exit_code == 2
    assert "ENTITY" in result.stderr
    assert stack.asked == []


def test_create_anyway_shows_the_candidates_and_asks(run: Run, stack: FakeStack) -> None:
    declined = run("create-anyway", "customer", "7", answer="n\n")

    assert declined.exit_code == 1
    assert "4600000000000103" in declined.stdout
    assert [asked["action"] for asked in stack.asked] == ["show"]

    accepted = run("create-anyway", "customer", "7", answer="y\n")

    assert accepted.exit_code == 0
    assert stack.asked[-1]["action"] == "create_anyway"


def test_create_anyway_with_yes_does_not_ask(run: Run, stack: FakeStack) -> None:
    result = run("create-anyway", "customer", "7", "--yes")

    assert result.exit_code == 0
    assert [asked["action"] for asked in stack.asked] == ["create_anyway"]


def test_accept_pause_and_resume_ask_for_what_was_typed(run: Run, stack: FakeStack) -> None:
    assert run("accept", "invoice", "INV-7", "--reason", " it left ").exit_code == 0
    assert run("pause", "--reason", "month's end").exit_code == 0
    assert run("resume").exit_code == 0

    assert stack.asked == [
        {
            "action": "accept",
            "by": "thandi",
            "entity": "invoice",
            "id": "INV-7",
            "reason": "it left",
        },
        {"action": "pause", "by": "thandi", "reason": "month's end"},
        {"action": "resume", "by": "thandi"},
    ]


def test_a_reason_that_says_nothing_is_refused(run: Run, stack: FakeStack) -> None:
    for arguments in (
        ("pause", "--reason", " "),
        ("accept", "invoice", "7", "--reason", "x" * 501),
    ):
        result = run(*arguments)

        assert result.exit_code == 2
        assert "--reason" in result.stderr
    assert stack.asked == []


def test_go_live_asks_before_triggers_and_sweep_carry_anything(run: Run, stack: FakeStack) -> None:
    assert run("go-live", answer="n\n").exit_code == 1
    assert stack.asked == []

    assert run("go-live", "--from", "2026-03-01T00:00:00+02:00", answer="y\n").exit_code == 0
    assert stack.asked == [
        {"action": "go_live", "by": "thandi", "from": "2026-03-01T00:00:00+02:00"}
    ]


def test_status_shows_since_when_triggers_are_live_who_paused_and_what_was_accepted(
    run: Run, stack: FakeStack
) -> None:
    accepted = {
        "entity": "invoice",
        "state": "failed",
        "code": "totals_differ",
        "count": 1,
        "ids": ["INV-7"],
        "reason": "the customer left",
    }
    paused = {"at": "2026-03-02T08:00:00Z", "by": "Lindiwe", "reason": "month's end"}
    stack.statuses = [
        status() | {"live_from": "2026-03-01T08:00:00Z", "paused": paused, "accepted": [accepted]}
    ]

    result = run("status")

    assert result.exit_code == 0
    assert "for what was created or changed since 2026-03-01" in result.stdout
    assert "by Lindiwe: month's end" in result.stdout
    assert "accepted: 1 invoice, totals_differ: INV-7 (the customer left)" in result.stdout


# ---------------------------------------------------------------------------------------- report


def put_report(stack: FakeStack, colour: str) -> None:
    names = ("report.json", "report.md", "plan.jsonl", "plan.json")
    stack.answers["report"] = {
        "ok": True,
        "run_id": "run-1",
        "bucket_keys": {name: f"runs/run-1/{name}" for name in names},
    }
    stack.put_json("report.json", {"colour": colour, "in_step": 13, "total": 15})
    stack.files |= {
        "report.md": b"# Report\n\n13 of 13\n",
        "plan.jsonl": b"{}\n",
        "plan.json": b"{}",
    }


@pytest.mark.parametrize(("colour", "code"), [("green", 0), ("amber", 1), ("red", 1)])
def test_report_is_shown_and_its_colour_is_the_exit_code(
    run: Run, stack: FakeStack, colour: str, code: int
) -> None:
    put_report(stack, colour)

    result = run("report")

    assert result.exit_code == code
    assert "# Report" in result.stdout


def test_report_is_saved_whole(run: Run, stack: FakeStack, tmp_path: Path) -> None:
    put_report(stack, "green")

    run("report", "run-1", "--save", str(tmp_path / "there"))

    assert stack.asked[0]["run_id"] == "run-1"
    saved = {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()}
    assert saved == stack.files


def test_report_that_is_not_there_is_a_sentence(run: Run, stack: FakeStack) -> None:
    put_report(stack, "green")
    del stack.files["report.json"]

    result = run("report", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == "NoSuchKey"


# -------------------------------------------------------------------------------- json, any stack


@pytest.mark.parametrize(
    "arguments",
    [
        ("preflight",),
        ("confirm",),
        ("confirm", "notifications_off"),
        ("plan",),
        ("backfill", "--apply", "--yes"),
        ("stop",),
        ("status",),
        ("show", "customer", "7"),
        ("retry", "customer", "--ids", "7"),
        ("link", "customer", "7", "4600000000000103"),
        ("create-anyway", "customer", "7", "--yes"),
        ("accept", "customer", "7", "--reason", "left"),
        ("go-live", "--yes"),
        ("pause", "--reason", "month's end"),
        ("resume",),
        ("report",),
    ],
    ids=" ".join,
)
def test_json_is_all_that_stands_on_standard_output(
    run: Run, stack: FakeStack, arguments: tuple[str, ...]
) -> None:
    put_report(stack, "green")
    if arguments == ("plan",):
        stack.statuses = [IN_STEP_PLAN]

    result = run(*arguments, "--json")

    assert isinstance(json.loads(result.stdout), dict)


def test_stack_that_cannot_be_asked_is_a_sentence_and_no_traceback(
    run: Run, stack: FakeStack
) -> None:
    stack.statuses = [StackFault("AccessDenied", "Invoke: you may not.")]

    result = run("status", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "ok": False,
        "error": "AccessDenied",
        "field": None,
        "why": "Invoke: you may not.",
    }
    assert "Traceback" not in result.stderr


def test_answer_of_another_version_is_said_to_be_one(run: Run, stack: FakeStack) -> None:
    stack.statuses = [status() | {"run": {"run_id": "x"}}]

    result = run("status")

    assert result.exit_code == 1
    assert "run.mode" in result.stderr


def test_every_command_says_which_stack_it_works_on(run: Run) -> None:
    assert "stack billing-sync (nowhere)" in run("status").stderr


def test_stack_is_named_by_option_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[tuple[str | None, bool]] = []

    def connect(name: str | None, local: bool) -> FakeStack:
        named.append((name, local))
        return FakeStack()

    monkeypatch.setenv("BILLING_SYNC_STACK", "staging")
    runner = CliRunner()
    runner.invoke(app, ["status"], obj=connect)
    runner.invoke(app, ["status", "--stack", "prod"], obj=connect)
    both = runner.invoke(app, ["status", "--stack", "prod", "--local"], obj=connect)

    assert named == [("staging", False), ("prod", False)]
    assert both.exit_code == 2


def test_without_any_stack_the_option_is_named() -> None:
    def connect(_name: str | None, _local: bool) -> FakeStack:
        raise NoStackChosen("no stack was named")

    result = CliRunner().invoke(app, ["status"], obj=connect)

    assert result.exit_code == 2
    assert "--stack" in result.stderr
