"""Handlers: thin, and in agreement with their example events."""

import ast
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from pydantic import BaseModel

from billing_sync import bootstrap
from billing_sync.domain.errors import RecordsNotInStep
from billing_sync.domain.steps import (
    BackfillInput,
    MigrateAnswer,
    Next,
    OperateAnswer,
    OperateEvent,
    PreflightAnswer,
    PreflightEvent,
    StepAnswer,
    StepEvent,
)
from billing_sync.domain.triggers import Trigger, WakeUp
from billing_sync.domain.web import WebAnswer
from tests.template.translation import HANDLERS, ROOT, Json

FUNCTIONS = {path.parent.name: path for path in sorted((ROOT / "functions").rglob("app.py"))}
EVENTS = sorted((ROOT / "events").rglob("*.json"))
MODELS: dict[str, type[BaseModel]] = {
    "preflight": PreflightEvent,
    "operate": OperateEvent,
    **dict.fromkeys(("snapshot", "plan", "sync_batch", "verify", "report", "conclude"), StepEvent),
}
ANSWERS: dict[str, object] = {
    "dashboard": "<p>All in step</p>",
    "preflight": PreflightAnswer(next="go", run_id="a-run"),
    "operate": OperateAnswer(ok=True),
    "migrate": MigrateAnswer(revision="0001", views=("customers",)),
    "conclude": StepAnswer(next=Next.DONE),
    "webhook": WebAnswer.of(202, {"accepted": True}),
    "sweep": {"due": 0},
    # Nothing comes back.
    **{trigger.replace("-", "_"): {"batchItemFailures": []} for trigger in HANDLERS},
}
# The steps that loop and must answer before Lambda ends them.
TIMED = {"snapshot", "plan", "sync_batch", "verify"}
# What takes messages from a queue: one service for all four.
WOKEN = {trigger.replace("-", "_") for trigger in HANDLERS}


class Context:
    """What Lambda hands to a handler, as far as handlers and the logger look at it."""

    function_name = "a-function"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:function"
    aws_request_id = "a-request"

    def get_remaining_time_in_millis(self) -> int:
        return 299_500


def function_of(event: Path) -> str:
    relative = event.relative_to(ROOT / "events")
    return relative.parts[0].removesuffix(".json")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"handler_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def event_id(event: Path) -> str:
    return str(event.relative_to(ROOT / "events").with_suffix(""))


def answering(answer: object) -> Callable[..., Any]:
    return lambda *_given: answer


def as_json(answer: object) -> Any:
    return answer.model_dump(mode="json") if isinstance(answer, BaseModel) else answer


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[..., Any]]:
    """Put a service in the place of each that `bootstrap` would make."""
    services: dict[str, Callable[..., Any]] = {
        name: answering(ANSWERS.get(name, StepAnswer(next=Next.DONE))) for name in FUNCTIONS
    }
    for name in set(FUNCTIONS) - WOKEN:
        monkeypatch.setattr(bootstrap, name, lambda name=name: services[name])
    services["wake_up"] = answering(None)
    monkeypatch.setattr(bootstrap, "wake_up", lambda: services["wake_up"])
    return services


def test_every_function_has_an_example_event() -> None:
    assert {function_of(event) for event in EVENTS} == set(FUNCTIONS)
    assert all((ROOT / "events" / f"{name}.json").is_file() for name in FUNCTIONS)


@pytest.mark.parametrize(
    "event", [event for event in EVENTS if function_of(event) in MODELS], ids=event_id
)
def test_an_example_event_is_what_its_function_expects(event: Path) -> None:
    given = json.loads(event.read_text())

    model = MODELS[function_of(event)].model_validate(given)

    # Nothing in it is passed over: all of it comes back.
    back = model.model_dump(mode="json", exclude_unset=True)
    assert back == given


@pytest.mark.parametrize(
    "event", [event for event in EVENTS if function_of(event) == "preflight"], ids=event_id
)
def test_an_example_of_an_execution_s_input_is_a_good_one(event: Path) -> None:
    BackfillInput.model_validate(json.loads(event.read_text())["input"])


def test_the_example_events_are_what_the_state_machine_sends(states: dict[str, Json]) -> None:
    for name, event in (
        ("Preflight", "preflight"),
        ("Snapshot", "snapshot"),
        ("Plan", "plan"),
        ("SyncBatch", "sync_batch"),
        ("WorkOffDue", "sync_batch/due"),
        ("Verify", "verify"),
        ("Report", "report"),
        ("Conclude", "conclude"),
    ):
        given = json.loads((ROOT / "events" / f"{event}.json").read_text())
        assert set(given) == set(states[name]["Arguments"]["Payload"]), name


@pytest.mark.parametrize("event", EVENTS, ids=event_id)
def test_a_handler_answers_its_example_event_with_json(
    event: Path, served: dict[str, Callable[..., Any]]
) -> None:
    name = function_of(event)
    handler = load(FUNCTIONS[name]).handler

    answer = handler(json.loads(event.read_text()), Context())

    assert answer == as_json(served[name]())
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize("name", sorted(TIMED))
def test_a_step_that_loops_is_told_how_many_seconds_are_left(
    name: str, served: dict[str, Callable[..., Any]]
) -> None:
    seen = SimpleNamespace()

    def service(step: StepEvent, time_left: Callable[[], float]) -> StepAnswer:
        seen.step, seen.seconds = step, time_left()
        return StepAnswer(next=Next.AGAIN)

    served[name] = service
    given = json.loads((ROOT / "events" / f"{name}.json").read_text())

    load(FUNCTIONS[name]).handler(given, Context())

    assert seen.step == StepEvent.model_validate(given)
    assert seen.seconds == 299.5


@pytest.mark.parametrize("trigger", HANDLERS)
def test_a_handler_of_a_trigger_hands_over_each_message_as_a_wake_up(
    trigger: str, served: dict[str, Callable[..., Any]]
) -> None:
    seen: list[WakeUp] = []
    served["wake_up"] = seen.append
    name = trigger.replace("-", "_")

    load(FUNCTIONS[name]).handler(json.loads((ROOT / f"events/{name}.json").read_text()), Context())

    assert seen == [
        WakeUp(trigger=Trigger(trigger), id="4"),
        WakeUp(trigger=Trigger(trigger), id="5"),
    ]


@pytest.mark.parametrize("trigger", HANDLERS)
def test_a_trigger_s_message_that_failed_comes_back_alone(
    trigger: str, served: dict[str, Callable[..., Any]]
) -> None:
    def service(wake_up: WakeUp) -> None:
        if wake_up.id == "4":
            raise RuntimeError("broken")

    served["wake_up"] = service
    name = trigger.replace("-", "_")
    event = json.loads((ROOT / f"events/{name}.json").read_text())

    answer = load(FUNCTIONS[name]).handler(event, Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}


@pytest.mark.parametrize("trigger", HANDLERS)
def test_an_invocation_of_a_trigger_fails_where_every_message_did(
    trigger: str, served: dict[str, Callable[..., Any]]
) -> None:
    def service(_wake_up: WakeUp) -> None:
        raise RuntimeError("broken")

    served["wake_up"] = service
    name = trigger.replace("-", "_")
    event = json.loads((ROOT / f"events/{name}.json").read_text())
    module = load(FUNCTIONS[name])

    # So that the alarm on the function's errors rises.
    with pytest.raises(BatchProcessingError):
        module.handler(event, Context())


@pytest.mark.usefixtures("served")
def test_what_is_no_wake_up_at_all_comes_back_as_a_trigger_s_message_that_failed() -> None:
    event = json.loads((ROOT / "events/payment_completed.json").read_text())
    event["Records"][1]["body"] = '{"trigger":"payment-completed","id":"4","amount":"1.00"}'

    answer = load(FUNCTIONS["payment_completed"]).handler(event, Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["messageId"]}]}


def test_the_sweep_is_told_how_many_seconds_are_left(
    served: dict[str, Callable[..., Any]],
) -> None:
    seen: list[float] = []

    def service(time_left: Callable[[], float]) -> dict[str, int]:
        seen.append(time_left())
        return {"due": 1}

    served["sweep"] = service

    answer = load(FUNCTIONS["sweep"]).handler(
        json.loads((ROOT / "events/sweep.json").read_text()), Context()
    )

    assert (seen, answer) == ([299.5], {"due": 1})


def test_migrate_hands_over_the_views_beside_it(served: dict[str, Callable[..., Any]]) -> None:
    seen: list[Path] = []

    def service(source: Path) -> object:
        seen.append(source)
        return ANSWERS["migrate"]

    served["migrate"] = service

    load(FUNCTIONS["migrate"]).handler({}, Context())

    assert seen == [ROOT / "functions" / "migrate" / "source"]


def test_a_button_is_understood_with_all_that_cloudwatch_tells_besides(
    served: dict[str, Callable[..., Any]],
) -> None:
    seen: list[OperateEvent] = []

    def service(asked: OperateEvent) -> OperateAnswer:
        seen.append(asked)
        return OperateAnswer(ok=True)

    served["operate"] = service
    pressed = {"action": "retry", "by": "dashboard", "entity": "invoice", "code": "totals_differ"}
    told = json.loads((ROOT / "events" / "dashboard.json").read_text())

    answer = load(FUNCTIONS["operate"]).handler({**pressed, **told}, Context())

    assert answer["ok"]
    assert seen == [OperateEvent.model_validate(pressed)]


def test_red_leaves_conclude_by_its_name(served: dict[str, Callable[..., Any]]) -> None:
    def service(_step: StepEvent) -> StepAnswer:
        raise RecordsNotInStep("1 of 15 is ambiguous")

    served["conclude"] = service

    with pytest.raises(RecordsNotInStep):
        load(FUNCTIONS["conclude"]).handler({"run_id": "a-run"}, Context())


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (
            {"action": "link", "by": "me", "entity": "customer", "id": "7", "zoho_id": "x"},
            "zoho_id",
        ),
        (
            {"action": "link", "by": "me", "entity": "client", "id": "7", "zoho_id": "9" * 9},
            "entity",
        ),
        ({"action": "stop"}, "by"),
        ({"action": "stop", "by": "me", "at": "once"}, "at"),
        ({"action": "dance", "by": "me"}, None),
        ({}, None),
    ],
)
def test_operate_refuses_a_bad_request_by_its_field_and_does_nothing(
    request_: Json, field: str | None, served: dict[str, Callable[..., Any]]
) -> None:
    def service(_request: OperateEvent) -> OperateAnswer:
        raise AssertionError("a bad request got through")

    served["operate"] = service

    answer = load(FUNCTIONS["operate"]).handler(request_, Context())

    assert (answer["ok"], answer["error"]) == (False, "InvalidRequest")
    assert answer["why"]
    assert (answer["field"] or "").split(".")[-1] == (field or "")


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_handler_is_thin_says_its_trigger_and_builds_nothing_at_import(name: str) -> None:
    source = FUNCTIONS[name].read_text()
    module = ast.parse(source)

    assert 10 <= len(source.splitlines()) <= 40
    docstring = ast.get_docstring(module) or ""
    assert docstring.splitlines()[0].endswith(".")
    assert "Trigger: " in docstring
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(module)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert {module.split(".")[0] for module in imported} <= {
        "aws_lambda_powertools",
        "billing_sync",
        "pathlib",
        "pydantic",
        "typing",
    }
    assert {part for part in imported if part.startswith("billing_sync")} <= {
        "billing_sync",
        "billing_sync.domain.steps",
        "billing_sync.messages",
        "billing_sync.domain.web",
        "billing_sync.domain.widget",
        "billing_sync.observability",
    }
    built = [node for node in module.body if isinstance(node, ast.Expr | ast.With | ast.For)]
    assert len(built) == 1, "only the docstring"
