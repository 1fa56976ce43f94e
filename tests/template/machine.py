"""Run the state machine's definition in memory, by AWS's rules.

Local AWS runs it for real, but renames every error of a function and knows no redrive; this shows
those two. It knows what the definition uses (Task with Retry, Choice, Wait, Succeed, Fail; JSONata
with variables) and refuses all else.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonata.jsonata import Jsonata

from tests.template.translation import Json

type Lambda = Callable[[Json], Json]


class KilledError(Exception):
    """A function that died without an answer, as AWS reports one."""

    aws_name = "Runtime.ExitError"


@dataclass
class Run:
    """What became of an execution, and how it got there."""

    name: str
    input: Any
    path: list[str] = field(default_factory=list)
    calls: list[tuple[str, Json]] = field(default_factory=list)
    waits: list[int | str] = field(default_factory=list)
    variables: Json = field(default_factory=dict)
    events: int = 1
    status: str = "RUNNING"
    output: Any = None
    error: str | None = None
    cause: str | None = None
    failed_input: Any = None


class Machine:
    """An interpreter of one definition over functions given by their substitution's name."""

    def __init__(self, definition: Json, functions: Mapping[str, Lambda]) -> None:
        self._definition = definition
        self._states: dict[str, Json] = definition["States"]
        self._functions = functions
        self._compiled: dict[str, Jsonata] = {}

    def run(self, given: Any = None, name: str = "a-run") -> Run:
        """Start an execution and follow it to its end."""
        run = Run(name=name, input={} if given is None else given)
        return self._follow(run, self._definition["StartAt"], run.input)

    def redrive(self, run: Run) -> Run:
        """Go on at the state that failed, with its input and the variables as they were."""
        assert run.status == "FAILED"
        run.status, run.error, run.cause = "RUNNING", None, None
        return self._follow(run, run.path.pop(), run.failed_input)

    def _follow(self, run: Run, at: str, given: Any) -> Run:
        while run.status == "RUNNING":
            state = self._states[at]
            run.path.append(at)
            step = {
                "Task": self._task,
                "Choice": self._choice,
                "Wait": self._wait,
                "Succeed": self._succeed,
                "Fail": self._fail,
            }[state["Type"]]
            at, given = step(run, state, given)
        return run

    def _task(self, run: Run, state: Json, given: Any) -> tuple[str, Any]:
        arguments = self._evaluate(state["Arguments"], run, given)
        function = arguments["FunctionName"].removeprefix("${").removesuffix("FunctionArn}")
        tried = [0] * len(state["Retry"])
        run.events += 2
        while True:
            run.events += 3
            run.calls.append((function, arguments["Payload"]))
            try:
                result = {"Payload": _as_json(self._functions[function](arguments["Payload"]))}
            except Exception as error:  # noqa: BLE001 - what Lambda does with any exception
                name = getattr(error, "aws_name", type(error).__name__)
                retrier = _retrier(state["Retry"], name)
                if retrier is None or tried[retrier] == state["Retry"][retrier]["MaxAttempts"]:
                    run.status, run.error, run.cause = "FAILED", name, str(error)
                    run.failed_input = given
                    return "", None
                tried[retrier] += 1
            else:
                output = self._evaluate(state["Output"], run, given, result)
                return state["Next"], output

    def _choice(self, run: Run, state: Json, given: Any) -> tuple[str, Any]:
        run.events += 2
        for rule in state["Choices"]:
            if self._evaluate(rule["Condition"], run, given) is True:
                output = self._evaluate(rule["Output"], run, given) if "Output" in rule else given
                run.variables |= self._evaluate(rule.get("Assign", {}), run, given)
                return rule["Next"], output
        if "Default" in state:
            return state["Default"], given
        run.status, run.error, run.failed_input = "FAILED", "States.NoChoiceMatched", given
        return "", None

    def _wait(self, run: Run, state: Json, given: Any) -> tuple[str, Any]:
        run.events += 2
        (unit,) = {"Seconds", "Timestamp"} & set(state)
        run.waits.append(self._evaluate(state[unit], run, given))
        return state["Next"], given

    def _succeed(self, run: Run, _state: Json, given: Any) -> tuple[str, Any]:
        run.events += 3
        run.status, run.output = "SUCCEEDED", given
        return "", None

    def _fail(self, run: Run, state: Json, given: Any) -> tuple[str, Any]:
        run.events += 2
        run.status = "FAILED"
        run.error = self._evaluate(state["Error"], run, given)
        run.cause = self._evaluate(state["Cause"], run, given)
        run.failed_input = given
        return "", None

    def _evaluate(self, template: Any, run: Run, given: Any, result: Any = None) -> Any:
        if isinstance(template, dict):
            return {k: self._evaluate(v, run, given, result) for k, v in template.items()}
        if not (isinstance(template, str) and template.startswith("{%")):
            return template
        if template not in self._compiled:
            self._compiled[template] = Jsonata(expression(template))
        execution = {"Id": f"arn:execution:{run.name}", "Name": run.name, "Input": run.input}
        bindings = run.variables | {
            "states": {"input": given, "result": result, "context": {"Execution": execution}}
        }
        value = self._compiled[template].evaluate(None, bindings)
        # AWS ends the execution where an expression yields nothing.
        assert value is not None, f"{template} yields nothing for {given}"
        return _as_json(value)


def expression(template: str) -> str:
    """Take the JSONata out of `{% ... %}`."""
    assert template.startswith("{%"), template
    assert template.endswith("%}"), template
    return template[2:-2].strip()


def matches(error_equals: list[str], name: str) -> bool:
    """Say whether a retrier's list covers an error, as AWS reads it."""
    return (
        name in error_equals
        or "States.ALL" in error_equals
        or ("States.TaskFailed" in error_equals and name != "States.Timeout")
    )


def _retrier(retriers: list[Json], name: str) -> int | None:
    covering = (i for i, retrier in enumerate(retriers) if matches(retrier["ErrorEquals"], name))
    return next(covering, None)


def _as_json(value: Any) -> Any:
    # The JSONata library answers lists and numbers of its own kinds.
    return json.loads(json.dumps(value))
