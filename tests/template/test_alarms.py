"""Who is told when something goes wrong."""

import pytest

from tests.template.translation import Json


@pytest.fixture(scope="session")
def alarms(resources: Json) -> dict[str, Json]:
    return {
        name: resource["Properties"]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }


def watched(alarm: Json) -> tuple[str, str, str]:
    (dimension,) = alarm["Dimensions"]
    return alarm["Namespace"], alarm["MetricName"], dimension["Value"]["Ref"]


def test_every_function_s_errors_and_every_bad_end_of_a_backfill_are_watched(
    alarms: dict[str, Json], functions: dict[str, Json]
) -> None:
    assert sorted(watched(alarm) for alarm in alarms.values()) == sorted(
        [
            *(("AWS/Lambda", "Errors", f"{name}Function") for name in functions),
            ("AWS/Lambda", "Throttles", "SyncBatchFunction"),
            ("AWS/States", "ExecutionsFailed", "BackfillStateMachine"),
            ("AWS/States", "ExecutionsTimedOut", "BackfillStateMachine"),
            ("AWS/States", "ExecutionsAborted", "BackfillStateMachine"),
        ]
    )


def test_an_alarm_watches_by_the_dimension_that_its_metric_has(alarms: dict[str, Json]) -> None:
    dimension = {"AWS/Lambda": "FunctionName", "AWS/States": "StateMachineArn"}

    for alarm in alarms.values():
        assert alarm["Dimensions"][0]["Name"] == dimension[alarm["Namespace"]]


def test_every_alarm_rises_at_the_first_one_tells_somebody_and_says_what_to_do(
    alarms: dict[str, Json],
) -> None:
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}], name
        assert len(alarm["AlarmDescription"]) > 40, name
        assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 1), name
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold", name


def test_silence_between_runs_is_no_alarm(alarms: dict[str, Json]) -> None:
    assert {alarm["TreatMissingData"] for alarm in alarms.values()} == {"notBreaching"}


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
