"""House rules of the template, on what AWS would get."""

import json
import re
import tomllib

import pytest

from tests.template.lint import faults
from tests.template.translation import HANDLERS, ROOT, Json

FOLDERS = {
    "Preflight": "functions/backfill/preflight",
    "Snapshot": "functions/backfill/snapshot",
    "Plan": "functions/backfill/plan",
    "SyncBatch": "functions/backfill/sync_batch",
    "Verify": "functions/backfill/verify",
    "Report": "functions/backfill/report",
    "Conclude": "functions/backfill/conclude",
    "Operate": "functions/operate",
    "Migrate": "functions/migrate",
    "Webhook": "functions/webhook",
    **{name: f"functions/{trigger.replace('-', '_')}" for trigger, name in HANDLERS.items()},
    "Sweep": "functions/sweep",
    "Dashboard": "functions/dashboard",
}
SECRETS = {
    "DatabaseSecret": {"host", "port", "dbname", "username", "password"},
    "DatabaseOwnerSecret": {"host", "port", "dbname", "username", "password"},
    "ZohoCredentialsSecret": {"client_id", "client_secret", "refresh_token"},
    "ZohoTokenSecret": set(),
    "WebhookSecret": {"signing_secrets", "static_secrets"},
}


def of_type(resources: Json, kind: str) -> dict[str, Json]:
    return {
        name: resource["Properties"]
        for name, resource in resources.items()
        if resource["Type"] == kind
    }


def test_lint_finds_what_is_wrong_after_translation() -> None:
    wrong = {"Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"Colour": "red"}}}}

    assert [fault.split()[0] for fault in faults(wrong)] == ["E3002"]


def test_every_folder_with_a_handler_is_a_function_and_every_function_has_one(
    template: Json,
) -> None:
    code = {
        name.removesuffix("Function"): resource["Properties"]["CodeUri"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    handlers = {str(path.parent.relative_to(ROOT)) for path in (ROOT / "functions").rglob("app.py")}

    assert code == FOLDERS
    assert handlers == set(FOLDERS.values())


def test_every_function_runs_on_python_3_13_with_both_layers(functions: dict[str, Json]) -> None:
    for name, function in functions.items():
        assert function["Runtime"] == "python3.13", name
        assert function["Handler"] == "app.handler", name
        assert function["Architectures"] == [{"Ref": "Architecture"}], name
        layers = [re.sub(r"[0-9a-f]{10}$", "", layer["Ref"]) for layer in function["Layers"]]
        assert layers == ["DependenciesLayer", "BillingSyncLayer"], name


def test_layers_are_built_by_their_makefiles_for_the_functions_architecture(
    template: Json,
) -> None:
    layers = {
        name: layer
        for name, layer in template["Resources"].items()
        if layer["Type"] == "AWS::Serverless::LayerVersion"
    }

    assert {name: layer["Properties"]["ContentUri"] for name, layer in layers.items()} == {
        "DependenciesLayer": "layers/dependencies",
        "BillingSyncLayer": "layers/billing_sync",
    }
    for layer in layers.values():
        assert layer["Metadata"] == {"BuildMethod": "makefile"}
        assert layer["Properties"]["CompatibleRuntimes"] == ["python3.13"]
        assert layer["Properties"]["CompatibleArchitectures"] == [{"Ref": "Architecture"}]


def test_every_function_has_a_log_group_of_its_own_that_forgets(
    functions: dict[str, Json], resources: Json
) -> None:
    groups = of_type(resources, "AWS::Logs::LogGroup")

    for name, function in functions.items():
        assert function["LoggingConfig"] == {
            "LogFormat": "JSON",
            "LogGroup": {"Ref": f"{name}LogGroup"},
        }
    assert set(groups) == {
        f"{name}LogGroup" for name in [*functions, "BackfillStateMachine", "WebhookApi"]
    }
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())
    names = [group["LogGroupName"]["Fn::Sub"] for group in groups.values()]
    assert len(set(names)) == len(names)


def test_a_long_step_has_time_for_a_batch_and_an_answer_to_a_person_comes_soon(
    functions: dict[str, Json],
) -> None:
    assert {name: function["Timeout"] for name, function in functions.items()} == {
        "Preflight": 120,
        "Snapshot": 300,
        "Plan": 300,
        "SyncBatch": 300,
        "Verify": 300,
        "Report": 120,
        "Conclude": 30,
        "Operate": 30,
        "Migrate": 300,
        # API Gateway waits for 29 s.
        "Webhook": 25,
        **dict.fromkeys(HANDLERS.values(), 300),
        "Sweep": 120,
        "Dashboard": 30,
    }


def test_functions_join_a_vpc_if_one_is_given(functions: dict[str, Json]) -> None:
    for function in functions.values():
        condition, given, otherwise = function["VpcConfig"]["Fn::If"]
        assert condition == "InVpc"
        assert set(given) == {"SubnetIds", "SecurityGroupIds"}
        assert otherwise == {"Ref": "AWS::NoValue"}


def test_the_machine_logs_errors_and_never_what_went_in_or_came_out(resources: Json) -> None:
    machine = resources["BackfillStateMachine"]["Properties"]

    assert machine["StateMachineType"] == "STANDARD"
    assert machine["TracingConfiguration"] == {"Enabled": True}
    logging = machine["LoggingConfiguration"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ERROR", False)
    (destination,) = logging["Destinations"]
    assert destination["CloudWatchLogsLogGroup"]["LogGroupArn"] == {
        "Fn::GetAtt": ["BackfillStateMachineLogGroup", "Arn"]
    }


def test_the_machine_has_the_name_that_the_functions_permissions_say(resources: Json) -> None:
    machine = resources["BackfillStateMachine"]["Properties"]

    assert machine["StateMachineName"] == {"Fn::Sub": "${AWS::StackName}-backfill"}
    assert machine["RoleArn"] == {"Fn::GetAtt": ["BackfillStateMachineRole", "Arn"]}


def test_secrets_are_encrypted_and_hold_places_to_be_filled_in(resources: Json) -> None:
    secrets = of_type(resources, "AWS::SecretsManager::Secret")

    assert set(secrets) == set(SECRETS)
    for name, secret in secrets.items():
        assert secret["KmsKeyId"] == "alias/aws/secretsmanager"
        places = json.loads(secret["SecretString"])
        assert set(places) == SECRETS[name]
        assert all(place in ("", 5432, []) for place in places.values())


def test_the_bucket_is_encrypted_private_forgetful_and_outlives_the_stack(resources: Json) -> None:
    bucket = resources["RunsBucket"]

    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    properties = bucket["Properties"]
    (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    expiring = [r for r in properties["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in r]
    assert [(r["Prefix"], r["ExpirationInDays"]) for r in expiring] == [("runs/", 90)]


def test_the_bucket_of_the_real_zoho_s_runs_is_reached_over_tls_only(
    template: Json, resources: Json
) -> None:
    policy = resources["RunsBucketPolicy"]

    assert policy["Condition"] == "ZohoIsReal"
    assert template["Conditions"]["ZohoIsReal"] == {"Fn::Equals": [{"Ref": "ZohoApiUrl"}, ""]}
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [
        {"Fn::GetAtt": ["RunsBucket", "Arn"]},
        {"Fn::Sub": "${RunsBucket.Arn}/*"},
    ]


def test_nothing_in_the_template_is_a_secret_or_an_address_of_ours() -> None:
    text = (ROOT / "template.yaml").read_text()

    assert not re.search(r"[0-9]{12}", text), "an account's number"
    assert not re.search(r"1000\.[0-9a-f]{8}", text), "a token of Zoho's"
    assert "arn:aws:" not in text, "a partition by name"


def test_the_outputs_are_what_the_command_line_needs(template: Json) -> None:
    assert {name: output["Value"] for name, output in template["Outputs"].items()} == {
        "BackfillStateMachineArn": {"Ref": "BackfillStateMachine"},
        "RunsBucketName": {"Ref": "RunsBucket"},
        "OperateFunctionName": {"Ref": "OperateFunction"},
        "PreflightFunctionName": {"Ref": "PreflightFunction"},
        "MigrateFunctionName": {"Ref": "MigrateFunction"},
        # A Ref of a secret is its ARN on AWS, but its name on local AWS.
        **{f"{name}Arn": {"Fn::GetAtt": [name, "Id"]} for name in SECRETS},
        "WebhookUrl": {
            "Fn::Sub": "https://${WebhookApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"
            "/live/webhooks"
        },
        **{f"{name}QueueUrl": {"Ref": f"{name}Queue"} for name in HANDLERS.values()},
        **{f"{name}DeadLettersUrl": {"Ref": f"{name}DeadLetters"} for name in HANDLERS.values()},
        "DashboardFunctionName": {"Ref": "DashboardFunction"},
        "DashboardUrl": {
            "Fn::Sub": "https://${AWS::Region}.console.aws.amazon.com/cloudwatch/home"
            "?region=${AWS::Region}#dashboards:name=${Dashboard}"
        },
    }


@pytest.mark.parametrize("environment", ["local", "staging", "prod"])
def test_every_environment_deploys_a_stack_of_its_own_and_turns_no_writes_on(
    environment: str,
) -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())

    deploy = config[environment]["deploy"]["parameters"]
    stacks = [
        config[name]["deploy"]["parameters"]["stack_name"] for name in ("local", "staging", "prod")
    ]
    assert stacks.count(deploy["stack_name"]) == 1
    assert deploy["capabilities"] == "CAPABILITY_IAM"
    assert "parameter_overrides" not in deploy
    assert deploy["confirm_changeset"] is (environment == "prod")
