"""What each role may do: of this, local AWS checks the functions' roles only."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.template.translation import HANDLERS, Json

type Grant = tuple[str, str]

READ_DATABASE = {("secretsmanager:GetSecretValue", "DatabaseSecret")}
ZOHO = {
    ("secretsmanager:GetSecretValue", "ZohoCredentialsSecret"),
    ("secretsmanager:GetSecretValue", "ZohoTokenSecret"),
    ("secretsmanager:PutSecretValue", "ZohoTokenSecret"),
}
WRITE_RUNS = {("s3:PutObject", "${RunsBucket.Arn}/runs/*")}
EXECUTIONS = (
    "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}"
    ":execution:${AWS::StackName}-backfill:*"
)
SEE_RUNS = {("states:DescribeExecution", EXECUTIONS)}
# All that each function may do besides writing its own log.
GRANTS = {
    "Preflight": READ_DATABASE | ZOHO | WRITE_RUNS | SEE_RUNS,
    "Snapshot": READ_DATABASE | ZOHO,
    "Plan": READ_DATABASE | WRITE_RUNS,
    "SyncBatch": READ_DATABASE | ZOHO | SEE_RUNS,
    "Verify": READ_DATABASE | ZOHO,
    "Report": READ_DATABASE | WRITE_RUNS,
    "Conclude": READ_DATABASE,
    "Operate": READ_DATABASE,
    "Migrate": {("secretsmanager:GetSecretValue", "DatabaseOwnerSecret")},
    "Webhook": {
        ("secretsmanager:GetSecretValue", "WebhookSecret"),
        *(("sqs:SendMessage", f"{name}Queue") for name in HANDLERS.values()),
    },
    **{
        name: READ_DATABASE
        | ZOHO
        | {
            ("sqs:DeleteMessage", f"{name}Queue"),
            ("sqs:GetQueueAttributes", f"{name}Queue"),
            ("sqs:ReceiveMessage", f"{name}Queue"),
        }
        for name in HANDLERS.values()
    },
    "Sweep": READ_DATABASE | ZOHO,
    "Dashboard": READ_DATABASE,
}
# Who assumes the roles that are no function's.
SERVICES = {
    "BackfillStateMachine": "states",
    "SweepSchedule": "scheduler",
    "ApiLogs": "apigateway",
}
# Actions for which AWS knows no resource: a policy can only say "*".
WITHOUT_RESOURCE = {
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def plain(resource: Any) -> str:
    """Say a resource in a word: its logical id, the pattern of a Sub, or the string itself."""
    if isinstance(resource, str):
        return resource
    ((kind, value),) = resource.items()
    if kind == "Fn::GetAtt":
        # A secret's ARN is its Id; of all else it is its Arn.
        assert value[1] == ("Id" if value[0].endswith("Secret") else "Arn"), value
        return str(value[0])
    assert kind in {"Ref", "Fn::Sub"}, kind
    return str(value)


def statements(role: Json) -> Iterator[Json]:
    for policy in role["Properties"].get("Policies", ()):
        yield from policy["PolicyDocument"]["Statement"]


def grants(role: Json) -> set[Grant]:
    found = set()
    for statement in statements(role):
        assert statement["Effect"] == "Allow"
        assert not {"NotAction", "NotResource"} & set(statement)
        for action in as_list(statement["Action"]):
            found |= {(action, plain(resource)) for resource in as_list(statement["Resource"])}
    return found


@pytest.mark.parametrize("name", sorted(GRANTS))
def test_a_function_may_do_exactly_what_it_needs(name: str, resources: Json) -> None:
    own_log = {
        ("logs:CreateLogStream", f"{name}LogGroup"),
        ("logs:PutLogEvents", f"{name}LogGroup"),
    }

    assert grants(resources[f"{name}Role"]) == GRANTS[name] | own_log


def test_every_function_is_in_the_table_and_has_a_role_of_its_own(
    functions: dict[str, Json],
) -> None:
    assert {name: function["Role"] for name, function in functions.items()} == {
        name: {"Fn::GetAtt": [f"{name}Role", "Arn"]} for name in GRANTS
    }


def test_nothing_has_a_role_but_functions_and_what_calls_them_or_writes_their_logs(
    resources: Json,
) -> None:
    roles = {name for name, resource in resources.items() if resource["Type"] == "AWS::IAM::Role"}

    assert roles == {f"{name}Role" for name in [*GRANTS, *SERVICES]}
    kinds = {resource["Type"] for resource in resources.values()}
    assert not {kind for kind in kinds if kind.startswith("AWS::IAM::")} - {"AWS::IAM::Role"}


def test_no_role_has_a_wildcard_but_where_aws_knows_no_resource(resources: Json) -> None:
    for name, resource in resources.items():
        if resource["Type"] == "AWS::IAM::Role":
            for action, on in grants(resource):
                assert "*" not in action, name
                assert on != "*" or action in WITHOUT_RESOURCE, name


def test_a_role_is_assumed_by_its_own_service_only(resources: Json) -> None:
    for name, resource in resources.items():
        if resource["Type"] == "AWS::IAM::Role":
            (trust,) = resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            service = SERVICES.get(name.removesuffix("Role"), "lambda")
            assert trust["Principal"] == {"Service": f"{service}.amazonaws.com"}
            assert trust["Action"] == "sts:AssumeRole"


def test_network_interfaces_are_granted_in_a_vpc_only(resources: Json) -> None:
    for name in GRANTS:
        condition, granted, otherwise = resources[f"{name}Role"]["Properties"]["ManagedPolicyArns"][
            "Fn::If"
        ]
        assert condition == "InVpc"
        assert [plain(arn) for arn in granted] == [
            "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaENIManagementAccess"
        ]
        assert otherwise == {"Ref": "AWS::NoValue"}


def test_the_schedule_may_start_the_sweep_and_nothing_else(resources: Json) -> None:
    role = resources["SweepScheduleRole"]

    assert grants(role) == {("lambda:InvokeFunction", "SweepFunction")}
    (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_api_gateway_s_role_writes_logs_and_stays_when_the_stack_goes(resources: Json) -> None:
    role, account = resources["ApiLogsRole"], resources["ApiLogsAccount"]

    assert [plain(arn) for arn in role["Properties"]["ManagedPolicyArns"]] == [
        "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
    ]
    assert "Policies" not in role["Properties"]
    assert account["Properties"] == {"CloudWatchRoleArn": {"Fn::GetAtt": ["ApiLogsRole", "Arn"]}}
    for resource in (role, account):
        assert resource["Condition"] == "MakesApiLogsRole"
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"


def test_nobody_outside_may_invoke_a_function_but_the_webhooks_api_its_own(
    resources: Json,
) -> None:
    permissions = [
        resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == "AWS::Lambda::Permission"
    ]

    assert "AWS::Lambda::Url" not in {resource["Type"] for resource in resources.values()}
    assert permissions
    for permission in permissions:
        assert permission["FunctionName"] == {"Ref": "WebhookFunction"}
        assert permission["Principal"] == "apigateway.amazonaws.com"
        path, names = permission["SourceArn"]["Fn::Sub"]
        assert names["__ApiId__"] == {"Ref": "WebhookApi"}
        assert "/webhooks/" in path
