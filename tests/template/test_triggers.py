"""Rules of the webhooks' door, the triggers' queues, the sweep's schedule and the dashboard."""

import json
import re
from typing import Any

import pytest

from billing_sync.domain.triggers import Trigger
from tests.template.translation import HANDLERS, Json

FORTNIGHT = 14 * 24 * 3600
"""The longest that SQS keeps a message."""

each_trigger = pytest.mark.parametrize("name", HANDLERS.values())


def of_type(resources: Json, kind: str) -> dict[str, Json]:
    return {
        name: resource["Properties"]
        for name, resource in resources.items()
        if resource["Type"] == kind
    }


@pytest.fixture(scope="session")
def stage(resources: Json) -> Json:
    (stage,) = of_type(resources, "AWS::ApiGateway::Stage").values()
    return stage


@pytest.fixture(scope="session")
def paths(resources: Json) -> Json:
    found: Json = resources["WebhookApi"]["Properties"]["Body"]["paths"]
    return found


# ----------------------------------------------------------------------------------- the door


def test_every_trigger_has_a_webhook_and_any_other_is_answered_by_the_function(
    paths: Json,
) -> None:
    assert set(HANDLERS) == set(Trigger)
    assert set(paths) == {"/webhooks/{trigger}", *(f"/webhooks/{trigger}" for trigger in Trigger)}
    for path, methods in paths.items():
        assert "x-amazon-apigateway-any-method" in methods, path
        for method in methods.values():
            integration = method["x-amazon-apigateway-integration"]
            assert integration["type"] == "aws_proxy"
            assert "${WebhookFunction.Arn}" in integration["uri"]["Fn::Sub"]


def test_every_webhook_s_route_is_throttled(stage: Json, paths: Json) -> None:
    settings = {(one["ResourcePath"], one["HttpMethod"]): one for one in stage["MethodSettings"]}

    # Each trigger's own POST, and the stage's word on every other method and path.
    assert set(settings) == {("/*", "*"), *((f"/webhooks/{one}", "POST") for one in Trigger)}
    for path, method in settings:
        assert path == "/*" or method.lower() in paths[path]
    for setting in settings.values():
        assert setting["ThrottlingRateLimit"] == {"Ref": "WebhookCallsPerSecond"}
        assert setting["ThrottlingBurstLimit"] == {"Ref": "WebhookBurst"}


def test_the_webhooks_access_log_has_nothing_of_a_body_or_a_caller(stage: Json) -> None:
    log = stage["AccessLogSetting"]

    assert log["DestinationArn"] == {"Fn::GetAtt": ["WebhookApiLogGroup", "Arn"]}
    assert set(json.loads(log["Format"]).values()) == {
        "$context.requestId",
        "$context.requestTime",
        "$context.httpMethod",
        "$context.resourcePath",
        "$context.status",
        "$context.responseLatency",
        "$context.error.responseType",
    }
    assert not any(one.get("DataTraceEnabled") for one in stage["MethodSettings"])


def test_the_webhooks_have_one_stage_of_their_own(resources: Json, stage: Json) -> None:
    assert stage["StageName"] == "live"
    assert list(of_type(resources, "AWS::ApiGateway::RestApi")) == ["WebhookApi"]
    # Nothing can be logged before the account's role is set.
    made_first = {"Fn::If": ["MakesApiLogsRole", {"Ref": "ApiLogsAccount"}, "has_role"]}
    assert {"Key": "ApiLogs", "Value": made_first} in stage["Tags"]


# --------------------------------------------------------------------------------- the queues


def test_every_trigger_has_a_queue_and_there_is_no_other(resources: Json) -> None:
    queues = of_type(resources, "AWS::SQS::Queue")

    assert set(queues) == {
        f"{name}{kind}" for name in HANDLERS.values() for kind in ("Queue", "DeadLetters")
    }
    for name, queue in queues.items():
        assert queue["SqsManagedSseEnabled"] is True, name
        assert queue["MessageRetentionPeriod"] == FORTNIGHT, name
        assert not queue.get("FifoQueue"), name


@each_trigger
def test_a_trigger_s_message_is_a_dead_letter_after_five_times(name: str, resources: Json) -> None:
    queues = of_type(resources, "AWS::SQS::Queue")

    assert queues[f"{name}Queue"]["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [f"{name}DeadLetters", "Arn"]},
        "maxReceiveCount": 5,
    }
    assert "RedrivePolicy" not in queues[f"{name}DeadLetters"]


@each_trigger
def test_a_trigger_s_message_is_not_seen_twice_while_its_handler_may_work(
    name: str, resources: Json, functions: dict[str, Json]
) -> None:
    queue = resources[f"{name}Queue"]["Properties"]

    assert queue["VisibilityTimeout"] >= 6 * functions[name]["Timeout"]


@each_trigger
def test_a_trigger_s_handler_takes_ten_at_a_time_and_answers_which_failed(
    name: str, resources: Json
) -> None:
    (mapping,) = [
        one
        for one in of_type(resources, "AWS::Lambda::EventSourceMapping").values()
        if one["FunctionName"] == {"Ref": f"{name}Function"}
    ]

    assert mapping["EventSourceArn"] == {"Fn::GetAtt": [f"{name}Queue", "Arn"]}
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] == 10
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}
    # What does not match a filter, Lambda deletes.
    assert "FilterCriteria" not in mapping


def test_the_triggers_queues_are_reached_over_tls_only(resources: Json) -> None:
    policy = resources["QueuesPolicy"]

    assert policy["Condition"] == "ZohoIsReal"
    assert {queue["Ref"] for queue in policy["Properties"]["Queues"]} == set(
        of_type(resources, "AWS::SQS::Queue")
    )
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Action"] == "sqs:*"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# ---------------------------------------------------------------------------------- the sweep


def test_the_sweep_s_schedule_is_the_stack_s_own_and_never_tries_again(resources: Json) -> None:
    (schedule,) = of_type(resources, "AWS::Scheduler::Schedule").values()

    # A second stack's schedule of the same name would be this one.
    assert schedule["Name"] == {"Fn::Sub": "${AWS::StackName}-sweep"}
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert schedule["State"] == {"Ref": "SweepSchedule"}
    target = schedule["Target"]
    assert target["Arn"] == {"Fn::GetAtt": ["SweepFunction", "Arn"]}
    assert target["RoleArn"] == {"Fn::GetAtt": ["SweepScheduleRole", "Arn"]}
    assert target["RetryPolicy"]["MaximumRetryAttempts"] == 0


def test_lambda_does_not_try_the_sweep_again_either(resources: Json) -> None:
    # A schedule hands its event over and is done; from there on it is Lambda that would try.
    (config,) = of_type(resources, "AWS::Lambda::EventInvokeConfig").values()

    assert config["FunctionName"] == {"Ref": "SweepFunction"}
    assert config["MaximumRetryAttempts"] == 0
    assert config["MaximumEventAgeInSeconds"] == 60


# ------------------------------------------------------------------------------ the dashboard


@pytest.fixture(scope="session")
def dashboard(resources: Json) -> Json:
    body = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    read: Json = json.loads(body)
    return read


def named(resources: Json, place: str) -> Any:
    """Follow what stands between `${` and `}`."""
    logical_id, _, attribute = place.partition(".")
    assert attribute in {"", "Arn", "QueueName"}
    return logical_id.startswith("AWS::") or resources[logical_id]


def test_all_that_the_dashboard_names_is_in_the_template(resources: Json) -> None:
    body = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]

    assert all(named(resources, place) for place in re.findall(r"\$\{([^}]+)\}", body))
    assert resources["Dashboard"]["Properties"]["DashboardName"] == {"Ref": "AWS::StackName"}


def test_the_dashboard_s_widgets_lie_beside_each_other(dashboard: Json) -> None:
    covered: set[tuple[int, int]] = set()
    for widget in dashboard["widgets"]:
        x, y = widget["x"], widget["y"]
        cells = {
            (column, row)
            for column in range(x, x + widget["width"])
            for row in range(y, y + widget["height"])
        }
        assert not covered & cells
        assert all(column < 24 for column, _ in cells)
        covered |= cells
    assert len(covered) == 24 * (1 + max(row for _, row in covered)), "no gap"


def test_the_dashboard_draws_the_function_s_widget_again_when_it_is_asked_to(
    dashboard: Json,
) -> None:
    (custom,) = [widget for widget in dashboard["widgets"] if widget["type"] == "custom"]

    assert custom["properties"]["endpoint"] == "${DashboardFunction.Arn}"
    assert custom["properties"]["updateOn"]["refresh"] is True


def test_the_dashboard_shows_queue_ages_dead_letters_executions_errors_and_durations(
    dashboard: Json,
) -> None:
    shown = {
        (row[0], row[1], row[3])
        for widget in dashboard["widgets"]
        for row in widget["properties"].get("metrics", ())
    }

    functions = [f"${{{name}Function}}" for name in ("Webhook", *HANDLERS.values(), "Sweep")]
    for name in HANDLERS.values():
        age = ("AWS/SQS", "ApproximateAgeOfOldestMessage", f"${{{name}Queue.QueueName}}")
        dead = (
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            f"${{{name}DeadLetters.QueueName}}",
        )
        assert {age, dead} <= shown
    assert {("AWS/Lambda", "Errors", one) for one in functions} <= shown
    assert {("AWS/Lambda", "Duration", one) for one in functions} <= shown
    assert ("AWS/States", "ExecutionsFailed", "${BackfillStateMachine}") in shown


def insights(url: str) -> tuple[str, list[str]]:
    """Give the query and the log groups that a link to Logs Insights opens.

    The console's own notation: `~'` begins a text, in which `*0a` is a character.
    """

    def plain(text: str) -> str:
        return re.sub(r"\*([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)

    found = re.fullmatch(
        r"https://\$\{AWS::Region\}\.console\.aws\.amazon\.com/cloudwatch/home"
        r"\?region=\$\{AWS::Region\}#logsV2:logs-insights\$3FqueryDetail\$3D"
        r"~\(end~0~start~-86400~timeType~'RELATIVE~unit~'seconds"
        r"~editorString~'([^~']+)~source~\(((?:~'[^~'()]+)+)\)\)",
        url,
    )
    assert found is not None, url
    return plain(found[1]), [plain(group) for group in found[2].split("~'")[1:]]


def test_the_dashboard_s_links_open_queries_on_log_groups_of_the_stack(
    dashboard: Json, resources: Json
) -> None:
    [text] = [widget for widget in dashboard["widgets"] if widget["type"] == "text"]
    links = re.findall(r"\[([^\]]+)\]\((\S+)\)(?= |\n|$)", text["properties"]["markdown"])
    groups = {
        group["LogGroupName"]["Fn::Sub"]
        for group in of_type(resources, "AWS::Logs::LogGroup").values()
    }

    queries = [insights(url) for _, url in links if "logs-insights" in url]

    assert len(queries) == 4
    for query, searched in queries:
        assert set(searched) <= groups
        first = query.splitlines()[0].split()[0]
        assert first in {"fields", "filter"}
        assert all(line.startswith("| ") for line in query.splitlines()[1:])
