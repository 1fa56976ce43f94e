"""The functions' environment: which has what, and the parameters that it comes from."""

import pytest

from billing_sync.config import SyncSettings
from billing_sync.domain.ownership import RecurringInvoicesOwner
from billing_sync.domain.tax import Prices, Rounding
from tests.template.translation import HANDLERS, Json

ALL = {"LOG_LEVEL", "POWERTOOLS_SERVICE_NAME", "ORGANISATION_ID", "TIME_SCALE"}
DATABASE = {"DATABASE_SECRET_ARN"}
ZOHO = {
    "ZOHO_SECRET_ARN",
    "ZOHO_TOKEN_SECRET_ARN",
    "ZOHO_DATA_CENTRE",
    "ZOHO_API_URL",
    "ZOHO_ACCOUNTS_URL",
    "ZOHO_WRITES",
    "HTTP_DEADLINE_SECONDS",
    "SEND_WINDOW_SECONDS",
    "PROOF_DELAY_SECONDS",
    "CALLS_PER_MINUTE",
    "CALLS_PER_DAY",
    "CALLS_IN_FLIGHT",
}
SYNC = {
    "DISPLAY_NAME_TEMPLATE",
    "STATUS_COLUMNS",
    "SNAPSHOT_MAX_AGE_HOURS",
    "WORK_OFF_HOURS",
    "RECURRING_INVOICES_OWNER",
    "RECURRING_INVOICE_TYPES",
    "INVOICES_FROM",
    "PAYMENTS_FROM",
    "PRICES_IN_ZOHO",
    "TAX_ROUNDING",
    "TAXES",
    "PAYMENT_WAYS",
    "PRODUCT_NAME_PREFIX",
    "LINK_DAYS_BEFORE",
    "LINK_DAYS_AFTER",
    "INVOICE_DUE_AFTER_DAYS",
}
STORAGE = {"RUNS_BUCKET"}
DOOR = {
    "WEBHOOK_SECRET_ARN",
    "WEBHOOK_TOLERANCE_SECONDS",
    "WEBHOOK_LARGEST_BODY_BYTES",
    *(f"QUEUE_URL_{trigger.replace('-', '_').upper()}" for trigger in HANDLERS),
}

ENVIRONMENT = {
    "Preflight": ALL | DATABASE | ZOHO | SYNC | STORAGE,
    "Snapshot": ALL | DATABASE | ZOHO | SYNC,
    "Plan": ALL | DATABASE | SYNC | STORAGE,
    "SyncBatch": ALL | DATABASE | ZOHO | SYNC,
    "Verify": ALL | DATABASE | ZOHO | SYNC,
    "Report": ALL | DATABASE | SYNC | STORAGE,
    "Conclude": ALL | DATABASE,
    "Operate": ALL | DATABASE | SYNC,
    "Migrate": ALL | {"DATABASE_OWNER_SECRET_ARN", "FUNCTIONS_ROLE"},
    "Webhook": ALL | DOOR,
    **dict.fromkeys([*HANDLERS.values(), "Sweep"], ALL | DATABASE | ZOHO | SYNC),
    "Dashboard": ALL | DATABASE | {"OPERATE_FUNCTION_ARN"},
}
VALUES = {
    "LOG_LEVEL": "INFO",
    "POWERTOOLS_SERVICE_NAME": "billing-sync",
    "DATABASE_SECRET_ARN": {"Fn::GetAtt": ["DatabaseSecret", "Id"]},
    "DATABASE_OWNER_SECRET_ARN": {"Fn::GetAtt": ["DatabaseOwnerSecret", "Id"]},
    "ZOHO_SECRET_ARN": {"Fn::GetAtt": ["ZohoCredentialsSecret", "Id"]},
    "ZOHO_TOKEN_SECRET_ARN": {"Fn::GetAtt": ["ZohoTokenSecret", "Id"]},
    "RUNS_BUCKET": {"Ref": "RunsBucket"},
    "OPERATE_FUNCTION_ARN": {"Fn::GetAtt": ["OperateFunction", "Arn"]},
    "WEBHOOK_SECRET_ARN": {"Fn::GetAtt": ["WebhookSecret", "Id"]},
    # A sender's clock is trusted no further, and no event is as large: nobody's to choose.
    "WEBHOOK_TOLERANCE_SECONDS": "300",
    "WEBHOOK_LARGEST_BODY_BYTES": "131072",
    **{
        f"QUEUE_URL_{trigger.replace('-', '_').upper()}": {"Ref": f"{name}Queue"}
        for trigger, name in HANDLERS.items()
    },
}
DEFAULTS = {
    "ZohoDataCentre": "com",
    "ZohoApiUrl": "",
    "ZohoAccountsUrl": "",
    "ZohoWrites": "off",
    "TimeScale": 1,
    "Architecture": "arm64",
    "CallsPerMinute": 90,
    "CallsPerDay": 1000,
    "CallsInFlight": 5,
    "HttpDeadlineSeconds": 20,
    "SendWindowSeconds": 5,
    "ProofDelaySeconds": 300,
    "DisplayNameTemplate": "{name} ({account_number})",
    "StatusColumns": "on",
    "SnapshotMaxAgeHours": 24,
    "WorkOffHours": 2,
    "ProductNamePrefix": "",
    "RecurringInvoicesOwner": "zoho",
    "RecurringInvoiceTypes": "recurring",
    "InvoicesFrom": "",
    "PaymentsFrom": "",
    "PricesInZoho": "inclusive",
    "TaxRounding": "item_level",
    "Taxes": '[{"kind":"standard","name":"Standard Rate","percentage":15},'
    '{"kind":"zero","name":"Zero Rate","percentage":0},'
    '{"kind":"exempt","name":"Exempt","percentage":0}]',
    "PaymentWays": '[{"method":"eft","mode":"banktransfer"},'
    '{"method":"bank_transfer","mode":"banktransfer"},'
    '{"method":"debit_order","mode":"banktransfer"},'
    '{"method":"card","mode":"creditcard"},'
    '{"method":"credit_card","mode":"creditcard"},'
    '{"method":"cash","mode":"cash"}]',
    "LinkDaysBefore": 3,
    "LinkDaysAfter": 10,
    "InvoiceDueAfterDays": 3,
    "WebhookCallsPerSecond": 20,
    "WebhookBurst": 100,
    "ApiLogs": "make_role",
    "SweepSchedule": "ENABLED",
    "FunctionsRole": "billing_sync_functions",
    "LogRetentionDays": 30,
    "AlarmEmail": "",
    "VpcSubnetIds": "",
    "VpcSecurityGroupIds": "",
}


ENVIRONMENT_HOLDS = 4096
"""Bytes of all variables of a function, names and values together (Lambda's quota)."""
LONGEST_ARN = 170
LONGEST_QUEUE_URL = 140
LONGEST_VALUE = 64
"""Of a parameter that says nothing of its length: a URL, a template, a word."""


def parameter_of(variable: str) -> str:
    return "".join(word.capitalize() for word in variable.split("_"))


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_a_function_has_its_groups_of_variables_and_no_other(
    name: str, functions: dict[str, Json]
) -> None:
    assert set(functions[name]["Environment"]["Variables"]) == ENVIRONMENT[name]


def test_a_variable_is_the_parameter_of_its_name_everywhere(functions: dict[str, Json]) -> None:
    for name, function in functions.items():
        for variable, value in function["Environment"]["Variables"].items():
            expected = VALUES.get(variable, {"Ref": parameter_of(variable)})
            assert value == expected, f"{name}: {variable}"


def test_every_parameter_has_the_default_that_is_documented(template: Json) -> None:
    parameters = template["Parameters"]

    assert {k: p["Default"] for k, p in parameters.items() if "Default" in p} == DEFAULTS
    assert set(parameters) - set(DEFAULTS) == {"OrganisationId"}
    assert all(parameter["Description"] for parameter in parameters.values())


def test_every_parameter_is_asked_for_in_a_group(template: Json) -> None:
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]

    assert sorted(grouped) == sorted(template["Parameters"])


def test_writes_to_zoho_are_off_until_somebody_turns_them_on(template: Json) -> None:
    parameter = template["Parameters"]["ZohoWrites"]

    assert parameter["Default"] == "off"
    assert parameter["AllowedValues"] == ["off", "on"]


def test_time_is_scaled_for_a_stand_in_of_zoho_only(template: Json) -> None:
    rule = template["Rules"]["TimeScaleNeedsAStandInForZoho"]

    assert rule["RuleCondition"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "TimeScale"}, "1"]}]}
    assert [assertion["Assert"] for assertion in rule["Assertions"]] == [
        {"Fn::Not": [{"Fn::Equals": [{"Ref": url}, ""]}]}
        for url in ("ZohoApiUrl", "ZohoAccountsUrl")
    ]


def test_what_is_configured_by_default_is_what_the_code_takes_for_granted(template: Json) -> None:
    parameters = template["Parameters"]
    given = {
        variable: str(parameters[parameter_of(variable)]["Default"])
        for variable in SYNC
        if str(parameters[parameter_of(variable)]["Default"])
    }

    assert SyncSettings.from_environment(given) == SyncSettings.from_environment({})


def test_what_settings_offer_is_what_the_template_allows(template: Json) -> None:
    parameters = template["Parameters"]

    for name, words in (
        ("RecurringInvoicesOwner", RecurringInvoicesOwner),
        ("PricesInZoho", Prices),
        ("TaxRounding", Rounding),
    ):
        assert parameters[name]["AllowedValues"] == [word.value for word in words]


def test_the_longest_tables_fit_into_a_functions_environment(
    template: Json, functions: dict[str, Json]
) -> None:
    parameters = template["Parameters"]

    def longest(value: object) -> int:
        match value:
            case {"Ref": "RunsBucket"}:
                return 63
            case {"Ref": str(queue)} if queue.endswith("Queue"):
                return LONGEST_QUEUE_URL
            case {"Ref": str(parameter)}:
                declared = parameters[parameter]
                return int(
                    declared.get("MaxLength", LONGEST_VALUE if declared["Type"] == "String" else 9)
                )
            case str():
                return len(value)
        return LONGEST_ARN

    for name, function in functions.items():
        variables = function["Environment"]["Variables"]
        size = sum(len(variable) + longest(value) for variable, value in variables.items())
        assert size <= ENVIRONMENT_HOLDS, name
