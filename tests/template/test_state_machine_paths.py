"""Every way through the backfill, in memory, with what AWS would do and local AWS cannot show."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from billing_sync.domain.errors import RecordsNotInStep
from billing_sync.domain.steps import ConcludeAnswer, Next, PreflightAnswer, StepAnswer
from tests.template.machine import KilledError, Lambda, Machine, Run
from tests.template.translation import Json

type Answer = Json | Exception
type Backfill = Callable[..., Run]

GREEN = ConcludeAnswer(colour="green", why="in step", counts={}).model_dump(mode="json")
AMBER = ConcludeAnswer(colour="amber", why="2 retry at 14:00: start again", counts={}).model_dump(
    mode="json"
)
AFTER_PREFLIGHT = ["Preflight", "WhatPreflightSays"]
UP_TO_PLAN = [*AFTER_PREFLIGHT, "Snapshot", "SnapshotNext", "Plan", "PlanNext"]
TO_THE_END = ["Report", "Conclude", "WhatColour", "InStep"]
FROM_WORK_OFF = ["NextPhase", "WorkOffDue", "WorkOffNext", "Verify", "VerifyNext", *TO_THE_END]


def preflight_says(**fields: Any) -> Json:
    answer = {"next": "go", "run_id": "a-run", "mode": "apply", "phases": ["customers"]} | fields
    # Not through the model's own phases: the machine must walk as many as there will be.
    return PreflightAnswer.model_construct(**answer).model_dump(mode="json", warnings=False)


def step_says(word: str, **fields: Any) -> Json:
    return StepAnswer(next=Next(word), **fields).model_dump(mode="json")


def answering(answers: list[Answer]) -> Lambda:
    """Answer one after the other, and the last for ever."""
    left: Iterator[Answer] = iter(answers)
    last: list[Answer] = [{}]

    def function(_payload: Json) -> Json:
        last[0] = next(left, last[0])
        if isinstance(last[0], Exception):
            raise last[0]
        return last[0]

    return function


@pytest.fixture
def machine(definition: Json) -> Callable[..., Machine]:
    """Make a machine of functions that are all content, except for those given."""

    def build(**answers: list[Answer]) -> Machine:
        content: dict[str, list[Answer]] = {
            "Preflight": [preflight_says()],
            **{step: [step_says("done")] for step in ("Snapshot", "Plan", "SyncBatch", "Verify")},
            "Report": [step_says("done")],
            "Conclude": [GREEN],
        }
        return Machine(definition, {k: answering(v) for k, v in (content | answers).items()})

    return build


@pytest.fixture
def backfill(machine: Callable[..., Machine]) -> Backfill:
    """Run an execution of those functions."""
    return lambda **answers: machine(**answers).run()


def test_a_plan_goes_from_the_plan_to_the_report_and_ends_green(backfill: Backfill) -> None:
    run = backfill(Preflight=[preflight_says(mode="plan")])

    assert run.path == UP_TO_PLAN + TO_THE_END
    assert run.status == "SUCCEEDED"
    assert "SyncBatch" not in [function for function, _ in run.calls]


def test_only_the_word_apply_leads_to_a_write(backfill: Backfill) -> None:
    run = backfill(Preflight=[preflight_says(mode="dry-run")])

    assert (run.status, run.path[-1]) == ("FAILED", "PlanNext")
    assert "SyncBatch" not in [function for function, _ in run.calls]


def test_an_apply_works_off_each_phase_then_what_is_due_then_compares(backfill: Backfill) -> None:
    run = backfill(Preflight=[preflight_says(phases=["customers", "subscriptions", "invoices"])])

    assert run.status == "SUCCEEDED"
    assert [payload for function, payload in run.calls if function == "SyncBatch"] == [
        {"run_id": "a-run", "phase": "customers"},
        {"run_id": "a-run", "phase": "subscriptions"},
        {"run_id": "a-run", "phase": "invoices"},
        {"run_id": "a-run", "phase": "due"},
    ]
    assert run.path == [
        *UP_TO_PLAN,
        *["SyncBatch", "WhatNext", "NextPhase"] * 2,
        *["SyncBatch", "WhatNext"],
        *FROM_WORK_OFF,
    ]


def test_preflight_gets_the_input_as_it_was_given_and_the_execution(
    machine: Callable[..., Machine],
) -> None:
    given = {"phases": ["customers"], "mode": "apply", "only": {"ids": ["7"]}}

    run = machine().run(given, name="backfill-of-monday")

    assert run.calls[0] == (
        "Preflight",
        {
            "input": given,
            "execution": {"arn": "arn:execution:backfill-of-monday", "name": "backfill-of-monday"},
        },
    )


@pytest.mark.parametrize("given", [None, [], "customers", 7, {"only": {"ids": []}}])
def test_an_input_of_any_shape_reaches_preflight_unchanged(
    machine: Callable[..., Machine], given: Any
) -> None:
    run = machine().run(given)

    assert run.calls[0][1]["input"] == ({} if given is None else given)


@pytest.mark.parametrize(
    ("step", "task", "cool_down", "wait"),
    [
        ("Snapshot", "Snapshot", "SnapshotCoolDown", "SnapshotWaitForQuotaReset"),
        ("Plan", "Plan", "PlanCoolDown", "PlanWaitForQuotaReset"),
        ("SyncBatch", "SyncBatch", "CoolDown", "WaitForQuotaReset"),
        ("Verify", "Verify", "VerifyCoolDown", "VerifyWaitForQuotaReset"),
    ],
)
def test_a_step_is_repeated_at_once_after_seconds_or_after_a_time(
    backfill: Backfill, step: str, task: str, cool_down: str, wait: str
) -> None:
    run = backfill(
        **{
            step: [
                step_says("again"),
                step_says("cool_down", wait_seconds=61, why="429 code 44"),
                step_says("wait_until", resume_at="2026-11-23T06:00:00Z"),
                step_says("done"),
            ]
        }
    )

    assert run.status == "SUCCEEDED"
    assert run.waits == [61, "2026-11-23T06:00:00Z"]
    looped = [name for name in run.path if name in {task, cool_down, wait}]
    assert looped == [task, task, cool_down, task, wait, task]


def test_what_falls_due_is_waited_for(backfill: Backfill) -> None:
    run = backfill(
        SyncBatch=[
            step_says("done"),
            step_says("cool_down", wait_seconds=300),
            step_says("wait_until", resume_at="2026-11-23T06:00:00Z"),
            step_says("again"),
            step_says("done"),
        ]
    )

    assert run.status == "SUCCEEDED"
    assert run.waits == [300, "2026-11-23T06:00:00Z"]
    assert [payload["phase"] for function, payload in run.calls if function == "SyncBatch"] == [
        "customers",
        *["due"] * 4,
    ]


@pytest.mark.parametrize("step", ["Snapshot", "Plan", "SyncBatch", "Verify"])
def test_a_step_that_ends_the_run_leads_to_the_report_and_the_judgement(
    backfill: Backfill, step: str
) -> None:
    run = backfill(**{step: [step_says("end", why="stopped")], "Conclude": [AMBER]})

    assert run.path[-4:] == ["Report", "Conclude", "WhatColour", "NotYetInStep"]
    assert [function for function, _ in run.calls].count(step) == 1


def test_the_end_of_a_phase_by_stop_starts_no_other(backfill: Backfill) -> None:
    run = backfill(
        Preflight=[preflight_says(phases=["customers", "subscriptions"])],
        SyncBatch=[step_says("end", why="canary")],
        Conclude=[AMBER],
    )

    assert [payload for function, payload in run.calls if function == "SyncBatch"] == [
        {"run_id": "a-run", "phase": "customers"}
    ]


def test_amber_fails_with_what_to_do(backfill: Backfill) -> None:
    run = backfill(Conclude=[AMBER])

    assert (run.status, run.error) == ("FAILED", "NotYetInStep")
    assert run.cause == "2 retry at 14:00: start again"


def test_a_second_start_succeeds_with_the_first_one_s_arn_and_touches_nothing(
    backfill: Backfill,
) -> None:
    run = backfill(Preflight=[preflight_says(next="already_running", running="arn:the-first")])

    assert (run.status, run.output) == ("SUCCEEDED", {"already_running": "arn:the-first"})
    assert run.path == [*AFTER_PREFLIGHT, "AlreadyRunning"]


def test_a_refusal_names_its_error_and_its_reason_and_touches_nothing(backfill: Backfill) -> None:
    run = backfill(
        Preflight=[
            preflight_says(
                next="refused",
                mode=None,
                phases=[],
                error="InvalidInput",
                why="only.since: no date",
            )
        ]
    )

    assert (run.status, run.error, run.cause) == ("FAILED", "InvalidInput", "only.since: no date")
    assert run.path == [*AFTER_PREFLIGHT, "Refused"]


def test_a_refusal_without_words_still_says_something(backfill: Backfill) -> None:
    run = backfill(Preflight=[preflight_says(next="refused", mode=None, phases=[])])

    assert run.error == "PreflightRefused"
    assert run.cause


def test_red_fails_at_conclude_by_its_name_at_the_first_try(backfill: Backfill) -> None:
    run = backfill(Conclude=[RecordsNotInStep("1 of 15 is ambiguous")])

    assert (run.status, run.error, run.path[-1]) == ("FAILED", "RecordsNotInStep", "Conclude")
    assert [function for function, _ in run.calls].count("Conclude") == 1


def test_a_redrive_after_mending_judges_again_and_only_that(
    machine: Callable[..., Machine],
) -> None:
    mended = machine(Conclude=[RecordsNotInStep("1 of 15 is ambiguous"), GREEN])
    run = mended.run()
    calls_before = len(run.calls)

    mended.redrive(run)

    assert run.status == "SUCCEEDED"
    assert run.calls[calls_before:] == [("Conclude", {"run_id": "a-run"})]


def test_a_redrive_of_a_broken_step_goes_on_there_with_its_phase(
    machine: Callable[..., Machine],
) -> None:
    broken: list[Answer] = [step_says("done"), *[ValueError("broken")] * 4, step_says("done")]
    mended = machine(
        Preflight=[preflight_says(phases=["customers", "subscriptions"])], SyncBatch=broken
    )
    run = mended.run()
    assert (run.status, run.error, run.path[-1]) == ("FAILED", "ValueError", "SyncBatch")
    calls_before = len(run.calls)

    mended.redrive(run)

    assert run.status == "SUCCEEDED"
    assert run.calls[calls_before] == ("SyncBatch", {"run_id": "a-run", "phase": "subscriptions"})


@pytest.mark.parametrize(
    "step", ["Preflight", "Snapshot", "Plan", "SyncBatch", "Verify", "Report", "Conclude"]
)
def test_a_killed_function_is_tried_again(backfill: Backfill, step: str) -> None:
    content: Json = {"Preflight": preflight_says(), "Conclude": GREEN}

    run = backfill(**{step: [KilledError(), content.get(step, step_says("done"))]})

    assert run.status == "SUCCEEDED"


def test_an_answer_that_no_one_understands_fails_instead_of_looping(backfill: Backfill) -> None:
    run = backfill(SyncBatch=[{"next": "perhaps"}])

    assert (run.status, run.error, run.path[-1]) == (
        "FAILED",
        "States.NoChoiceMatched",
        "WhatNext",
    )
