"""Rules that the state machine's definition keeps; local AWS accepts what breaks most of them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonata.jsonata import Jsonata

from billing_sync.domain.steps import Next
from tests.template.machine import expression, matches
from tests.template.translation import DEFINITION, Json

# What Step Functions writes into an execution's history for each state, and where it stops.
EVENTS = {"Task": 5, "Choice": 2, "Wait": 2, "Succeed": 2, "Fail": 1}
EVENTS_OF_A_RETRY = 3
EVENTS_OF_START_AND_END = 2
MOST_EVENTS = 25_000
# After so many loops a run ends amber, with "start again" (protocol §8).
MOST_LOOPS = 2_000

VARIABLE = re.compile(r"\$([A-Za-z_]\w*)(?!\s*\(|\w)")


def following(state: Json) -> list[str]:
    """Name the states that may come next."""
    rules = [rule["Next"] for rule in state.get("Choices", [])]
    return rules + [state[key] for key in ("Next", "Default") if key in state]


def strings(value: Any) -> Iterator[str]:
    """Find every string in a part of the definition."""
    if isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)
    elif isinstance(value, str):
        yield value


def tasks(states: dict[str, Json]) -> dict[str, Json]:
    return {name: state for name, state in states.items() if state["Type"] == "Task"}


def function_of(task: Json) -> str:
    name: str = task["Arguments"]["FunctionName"]
    return name.removeprefix("${").removesuffix("FunctionArn}")


def loops(states: dict[str, Json]) -> Iterator[list[str]]:
    """Give every way from a state back to itself that passes no state twice."""

    def walk(path: list[str]) -> Iterator[list[str]]:
        for name in following(states[path[-1]]):
            if name == path[0]:
                yield path
            elif name not in path and name > path[0]:
                yield from walk([*path, name])

    for name in states:
        yield from walk([name])


def test_every_state_that_is_named_exists_and_every_state_can_be_reached(
    definition: Json, states: dict[str, Json]
) -> None:
    reached, ahead = set(), [definition["StartAt"]]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            assert name in states
            reached.add(name)
            ahead += following(states[name])

    assert reached == set(states)


def test_every_state_but_the_four_ends_leads_on(states: dict[str, Json]) -> None:
    ends = {name: state["Type"] for name, state in states.items() if not following(state)}

    assert ends == {
        "InStep": "Succeed",
        "AlreadyRunning": "Succeed",
        "Refused": "Fail",
        "NotYetInStep": "Fail",
    }


def test_every_state_says_what_it_is_for(states: dict[str, Json]) -> None:
    assert all(len(state["Comment"]) > 20 for state in states.values())


def test_every_expression_is_jsonata(definition: Json) -> None:
    assert definition["QueryLanguage"] == "JSONata"
    found = [text for text in strings(definition) if "{%" in text]

    assert found
    for text in found:
        Jsonata(expression(text))


def test_every_variable_is_assigned_on_every_way_to_its_use(
    definition: Json, states: dict[str, Json]
) -> None:
    everything = {
        name
        for state in states.values()
        for rule in state.get("Choices", [])
        for name in rule.get("Assign", {})
    }
    known: dict[str, set[str]] = {name: set(everything) for name in states}
    known[definition["StartAt"]] = set()
    changed = True
    while changed:
        changed = False
        for name, state in states.items():
            ways = [(rule["Next"], rule.get("Assign", {})) for rule in state.get("Choices", [])]
            ways += [(state[key], {}) for key in ("Next", "Default") if key in state]
            for target, assigned in ways:
                meet = known[target] & (known[name] | set(assigned))
                changed |= meet != known[target]
                known[target] = meet

    for name, state in states.items():
        used = {
            variable
            for text in strings(state)
            if text.startswith("{%")
            for variable in VARIABLE.findall(text)
        }
        assert used - {"states"} <= known[name], name
    assert known["SyncBatch"] == {"run_id", "mode", "phases", "position"}


def test_every_substitution_is_defined_and_every_definition_used(resources: Json) -> None:
    used = set(re.findall(r"\$\{(\w+)\}", DEFINITION.read_text()))

    given = resources["BackfillStateMachine"]["Properties"]["DefinitionSubstitutions"]
    assert given == {name: {"Fn::GetAtt": [name.removesuffix("Arn"), "Arn"]} for name in used}


def test_the_machine_may_invoke_the_functions_of_its_definition_and_no_other(
    states: dict[str, Json], resources: Json
) -> None:
    invoked = {function_of(task) for task in tasks(states).values()}

    (policy,) = resources["BackfillStateMachineRole"]["Properties"]["Policies"]
    allowed = [
        statement["Resource"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "lambda:InvokeFunction"
    ]
    assert len(allowed) == 1
    assert {arn["Fn::GetAtt"][0] for arn in allowed[0]} == {f"{name}Function" for name in invoked}
    assert {arn["Fn::GetAtt"][1] for arn in allowed[0]} == {"Arn"}


def test_every_task_gets_ids_and_words_and_never_more(states: dict[str, Json]) -> None:
    run_id = {"run_id": "{% $run_id %}"}

    assert {name: task["Arguments"]["Payload"] for name, task in tasks(states).items()} == {
        "Preflight": {
            "input": "{% $states.input %}",
            "execution": {
                "arn": "{% $states.context.Execution.Id %}",
                "name": "{% $states.context.Execution.Name %}",
            },
        },
        "Snapshot": run_id,
        "Plan": run_id,
        "SyncBatch": run_id | {"phase": "{% $phases[$position] %}"},
        "WorkOffDue": run_id | {"phase": "due"},
        "Verify": run_id,
        "Report": run_id,
        "Conclude": run_id,
    }


def test_no_task_is_given_up_before_its_function_is(
    states: dict[str, Json], functions: dict[str, Json]
) -> None:
    for name, task in tasks(states).items():
        assert task["TimeoutSeconds"] > functions[function_of(task)]["Timeout"], name


@pytest.mark.parametrize(
    "error",
    [
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.ClientExecutionTimeoutException",
        "Lambda.TooManyRequestsException",
        "Lambda.Unknown",
        "Runtime.ExitError",
        "Sandbox.Timedout",
    ],
)
def test_every_task_is_tried_again_after_what_is_not_its_function_s_doing(
    states: dict[str, Json], error: str
) -> None:
    for name, task in tasks(states).items():
        retrier = next(r for r in task["Retry"] if matches(r["ErrorEquals"], error))
        assert retrier["MaxAttempts"] >= 3, name
        assert retrier["JitterStrategy"] == "FULL", name
        assert retrier["BackoffRate"] > 1, name
        assert retrier["MaxDelaySeconds"] <= 60, name


def test_every_task_but_conclude_is_tried_again_after_any_error_of_its_function(
    states: dict[str, Json],
) -> None:
    # Local AWS reports a killed worker by the name it gives to every error.
    covered = {
        name: matches(task["Retry"][-1]["ErrorEquals"], "Runtime.HandlerError")
        for name, task in tasks(states).items()
    }

    assert covered == {name: name != "Conclude" for name in covered}


def test_records_that_are_not_in_step_are_never_tried_again(states: dict[str, Json]) -> None:
    for retrier in states["Conclude"]["Retry"]:
        assert not matches(retrier["ErrorEquals"], "RecordsNotInStep")


def test_a_failed_task_fails_the_execution_there_so_that_a_redrive_goes_on_there(
    states: dict[str, Json],
) -> None:
    assert [name for name, state in states.items() if "Catch" in state] == []


def test_every_step_s_choice_knows_every_word_and_guesses_at_none(states: dict[str, Json]) -> None:
    words = {str(word) for word in Next}

    for name in ("SnapshotNext", "PlanNext", "WhatNext", "WorkOffNext", "VerifyNext"):
        conditions = " ".join(rule["Condition"] for rule in states[name]["Choices"])
        assert set(re.findall(r"next = '(\w+)'", conditions)) == words, name
        assert "Default" not in states[name], name


def test_every_wait_is_as_long_as_its_step_asked_for(states: dict[str, Json]) -> None:
    waits = [state for state in states.values() if state["Type"] == "Wait"]

    assert len(waits) == 10
    for wait in waits:
        assert wait.get("Seconds", "{% $states.input.wait_seconds %}") == (
            "{% $states.input.wait_seconds %}"
        )
        assert wait.get("Timestamp", "{% $states.input.resume_at %}") == (
            "{% $states.input.resume_at %}"
        )


def test_the_largest_run_stays_below_the_limit_of_events(states: dict[str, Json]) -> None:
    dearest = max(sum(EVENTS[states[name]["Type"]] for name in loop) for loop in loops(states))
    once = sum(EVENTS[state["Type"]] for state in states.values()) + EVENTS_OF_START_AND_END

    # Even if the task of every loop had to be tried twice.
    assert dearest == 9
    assert MOST_LOOPS * (dearest + EVENTS_OF_A_RETRY) + once < MOST_EVENTS


def test_the_definition_is_far_below_the_limit_of_its_size(definition: Json) -> None:
    assert len(json.dumps(definition)) < 1_048_576 / 10
