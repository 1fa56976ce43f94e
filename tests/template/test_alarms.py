"""Who is told when something goes wrong."""

import pytest

from tests.template.translation import HANDLERS, Json


@pytest.fixture(scope="session")
def alarms(resources: Json) -> dict[str, Json]:
    return {
        name: resource["Properties"]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }


DIMENSION = {
    "AWS/Lambda": ["FunctionName"],
    "AWS/States": ["StateMachineArn"],
    "AWS/SQS": ["QueueName"],
    "AWS/ApiGateway": ["ApiName", "Stage"],
}
THROTTLED = ["SyncBatch", "Webhook", *HANDLERS.values(), "Sweep", "Dashboard"]
"""Functions that nobody calls again at once where Lambda refuses to start them."""
SILENT = ("AWS/Lambda", "Invocations", "SweepFunction")


def watched(alarm: Json) -> tuple[str, str, str]:
    value = alarm["Dimensions"][0]["Value"]
    if "Fn::GetAtt" in value:
        queue, attribute = value["Fn::GetAtt"]
        assert attribute == "QueueName"
        return alarm["Namespace"], alarm["MetricName"], queue
    return alarm["Namespace"], alarm["MetricName"], value.get("Ref") or value["Fn::Sub"]


def test_every_function_queue_and_webhook_and_every_bad_end_of_a_backfill_are_watched(
    alarms: dict[str, Json], functions: dict[str, Json]
) -> None:
    assert sorted(watched(alarm) for alarm in alarms.values()) == sorted(
        [
            *(("AWS/Lambda", "Errors", f"{name}Function") for name in functions),
            *(("AWS/Lambda", "Throttles", f"{name}Function") for name in THROTTLED),
            SILENT,
            *(
                ("AWS/SQS", "ApproximateNumberOfMessagesVisible", f"{name}DeadLetters")
                for name in HANDLERS.values()
            ),
            *(
                ("AWS/SQS", "ApproximateAgeOfOldestMessage", f"{name}Queue")
                for name in HANDLERS.values()
            ),
            ("AWS/ApiGateway", "5XXError", "${AWS::StackName}-webhooks"),
            ("AWS/States", "ExecutionsFailed", "BackfillStateMachine"),
            ("AWS/States", "ExecutionsTimedOut", "BackfillStateMachine"),
            ("AWS/States", "ExecutionsAborted", "BackfillStateMachine"),
        ]
    )


def test_an_alarm_watches_by_the_dimension_that_its_metric_has(alarms: dict[str, Json]) -> None:
    for alarm in alarms.values():
        names = [dimension["Name"] for dimension in alarm["Dimensions"]]
        assert names == DIMENSION[alarm["Namespace"]]


def test_the_webhooks_alarm_watches_the_api_and_its_stage(
    alarms: dict[str, Json], resources: Json
) -> None:
    (stage,) = [one for one in resources.values() if one["Type"] == "AWS::ApiGateway::Stage"]

    assert alarms["WebhookServerErrorsAlarm"]["Dimensions"] == [
        {"Name": "ApiName", "Value": resources["WebhookApi"]["Properties"]["Name"]},
        {"Name": "Stage", "Value": stage["Properties"]["StageName"]},
    ]


def test_every_alarm_rises_at_the_first_one_tells_somebody_and_says_what_to_do(
    alarms: dict[str, Json],
) -> None:
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}], name
        assert len(alarm["AlarmDescription"]) > 40, name
        # What a queue holds is a level, not a count of events: adding it up means nothing.
        statistic = "Maximum" if alarm["Namespace"] == "AWS/SQS" else "Sum"
        first = 900 if alarm["MetricName"] == "ApproximateAgeOfOldestMessage" else 1
        assert (alarm["Statistic"], alarm["Threshold"]) == (statistic, first), name
        if watched(alarm) != SILENT:
            assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold", name
            assert alarm["EvaluationPeriods"] == 1, name


def test_silence_between_runs_is_no_alarm_but_the_sweep_s_is(
    alarms: dict[str, Json], resources: Json
) -> None:
    for name, alarm in alarms.items():
        is_sweeps = watched(alarm) == SILENT
        assert alarm["TreatMissingData"] == ("breaching" if is_sweeps else "notBreaching"), name

    silent = resources["SweepSilentAlarm"]
    assert silent["Condition"] == "SweepsByItself"
    assert silent["Properties"]["ComparisonOperator"] == "LessThanThreshold"


def test_what_an_alarm_says_is_encrypted_by_a_key_that_cloudwatch_may_use(resources: Json) -> None:
    assert resources["AlarmTopic"]["Properties"]["KmsMasterKeyId"] == {"Ref": "AlarmKey"}
    key = resources["AlarmKey"]["Properties"]
    assert key["EnableKeyRotation"] is True
    used = [s for s in key["KeyPolicy"]["Statement"] if "Service" in s["Principal"]]
    assert [(s["Principal"]["Service"], sorted(s["Action"])) for s in used] == [
        ("cloudwatch.amazonaws.com", ["kms:Decrypt", "kms:GenerateDataKey*"])
    ]
    own_account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert used[0]["Condition"] == own_account


def test_only_alarms_of_this_account_publish_and_over_tls_only(resources: Json) -> None:
    policy = resources["AlarmTopicPolicy"]["Properties"]
    allow, deny = policy["PolicyDocument"]["Statement"]

    assert policy["Topics"] == [{"Ref": "AlarmTopic"}]
    assert (allow["Effect"], allow["Action"]) == ("Allow", "sns:Publish")
    assert allow["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allow["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert deny["Effect"] == "Deny"
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_person_is_mailed_if_an_address_is_given(resources: Json, template: Json) -> None:
    subscription = resources["AlarmSubscription"]

    assert subscription["Condition"] == "HasAlarmEmail"
    assert template["Conditions"]["HasAlarmEmail"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmEmail"}, ""]}]
    }
    assert subscription["Properties"]["Protocol"] == "email"
