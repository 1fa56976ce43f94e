"""What preflight answers, with a world that says what it is told."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing_sync.config import SyncSettings
from billing_sync.domain.errors import Misconfigured, Rejected, Throttled, TokenRefused, Unavailable
from billing_sync.domain.remote import CustomerPage, Organisation, RemoteCustomer, Tax
from billing_sync.domain.steps import (
    BackfillInput,
    Execution,
    Finding,
    PreflightAnswer,
    PreflightEvent,
    Severity,
)
from billing_sync.domain.tax import Prices, Rounding
from billing_sync.domain.timing import Timing
from billing_sync.ports import RunFiles, TablesReport
from billing_sync.services.preflight import MoneySettings, Preflight, PreflightDatabase
from billing_sync.services.zoho_check import PreflightZoho
from tests.fakes.clock import FakeClock
from tests.fakes.preflight import (
    NOW,
    SOUTH_AFRICA,
    FakeExecutions,
    FakeOrganisationFacts,
    FakeOrganisationReads,
    FakeRunFiles,
    FakeRunLock,
    FakeSnapshotCounts,
    FakeSourceCheck,
)
from tests.fakes.quota import FakeQuota
from tests.fakes.tokens import FakeTokens

ORGANISATION = Organisation(
    organisation_id="60098765432",
    name="Demo Telecoms",
    currency_code="ZAR",
    time_zone="Africa/Johannesburg",
)
API_HOST = "https://www.zohoapis.test"
CONFIRMED = (
    "notifications_off",
    "excess_payments_off",
    "prices_inclusive",
    "tax_rounding_per_line",
    "display_names_unique",
)
CUSTOMERS = {"phases": ["customers"]}
ALL_PHASES = {"phases": ["customers", "subscriptions", "invoices", "payments"]}
SETTINGS = SyncSettings()
MONEY = MoneySettings(
    SETTINGS.prices, SETTINGS.rounding, SETTINGS.tax_settings, SETTINGS.payment_ways
)
FIRST = Execution(arn="arn:aws:states:::execution:backfill:first", name="first")
SECOND = Execution(arn="arn:aws:states:::execution:backfill:second", name="second")


@dataclass
class World:
    """Everything in order, until a test changes a part of it."""

    clock: FakeClock = field(default_factory=FakeClock)
    check: FakeSourceCheck = field(default_factory=FakeSourceCheck)
    runs: FakeRunLock = field(default_factory=FakeRunLock)
    executions: FakeExecutions = field(default_factory=FakeExecutions)
    organisations: FakeOrganisationFacts = field(
        default_factory=lambda: FakeOrganisationFacts(*CONFIRMED)
    )
    snapshots: FakeSnapshotCounts = field(default_factory=FakeSnapshotCounts)
    api: FakeOrganisationReads = field(default_factory=lambda: FakeOrganisationReads(ORGANISATION))
    files: FakeRunFiles = field(default_factory=FakeRunFiles)
    timing: Timing = field(default_factory=Timing)
    database_failure: Misconfigured | None = None
    credentials_failure: Misconfigured | None = None
    settings: dict[str, Any] = field(
        default_factory=lambda: {
            "money": MONEY,
            "organisation_id": ORGANISATION.organisation_id,
            "writes": True,
            "is_real_zoho": False,
            "expected_api_url": API_HOST,
        }
    )

    def __post_init__(self) -> None:
        self.tokens = FakeTokens(self.clock, api_domain=API_HOST)
        self.quota = FakeQuota(self.clock)

    def preflight(self) -> Preflight:
        return Preflight(
            self._database,
            self._credentials,
            lambda: PreflightZoho(self.api, self.tokens, self.quota),
            self._files,
            self.executions,
            self.clock,
            self.timing,
            **self.settings,
        )

    def _database(self) -> PreflightDatabase:
        if self.database_failure is not None:
            raise self.database_failure
        return PreflightDatabase(self.check, self.runs, self.organisations, self.snapshots)

    def _credentials(self) -> None:
        if self.credentials_failure is not None:
            raise self.credentials_failure

    def _files(self) -> RunFiles:
        return self.files

    def start(self, asked: object = None, execution: Execution = FIRST) -> PreflightAnswer:
        return self.preflight()(PreflightEvent(input=asked, execution=execution))

    def look(self, asked: object = None) -> PreflightAnswer:
        return self.preflight()(PreflightEvent(input=asked, check_only=True))

    def wrote_nothing(self) -> bool:
        return not (self.runs.runs or self.runs.kept or self.organisations.learnt)


@pytest.fixture
def world() -> World:
    return World()


def finding(code: str, severity: Severity = Severity.BLOCKING, **fields: Any) -> Finding:
    return Finding(
        code=code, severity=severity, sentence=f"About {code}.", what_to_do="Mend it.", **fields
    )


def severities(answer: PreflightAnswer) -> dict[str, Severity]:
    return {one.code: one.severity for one in answer.findings}


def the(code: str, answer: PreflightAnswer) -> Finding:
    [one] = [one for one in answer.findings if one.code == code]
    return one


# ------------------------------------------------------------------------------------------- go


def test_with_everything_in_order_the_run_begins(world: World) -> None:
    answer = world.start({"mode": "apply"})

    assert (answer.next, answer.run_id, answer.mode) == ("go", "first", "apply")
    assert answer.phases == ("customers", "subscriptions", "invoices", "payments")
    assert world.runs.runs["first"].execution_arn == FIRST.arn
    assert world.organisations.learnt == [("Demo Telecoms", "ZAR", "Africa/Johannesburg")]
    assert world.organisations.money == (2, SOUTH_AFRICA)
    assert answer.counts == {"note": 2}


def test_without_an_input_it_plans(world: World) -> None:
    assert world.start(None).mode == "plan"


def test_a_repeated_preflight_of_one_execution_answers_the_same(world: World) -> None:
    first = world.start({"mode": "apply"})
    world.executions.running.add(FIRST.arn)

    assert world.start({"mode": "apply"}) == first
    assert list(world.runs.runs) == ["first"]


def test_findings_of_one_code_are_kept_as_one(world: World) -> None:
    world.check.source_findings = (
        finding("null", Severity.WARNING, count=2, records=("1", "2")),
        finding("null", Severity.WARNING, count=1, records=("3",)),
    )

    world.start()

    [kept] = [one for one in world.runs.kept["first"] if one.code == "null"]
    assert (kept.count, kept.records) == (3, ("1", "2", "3"))


# ---------------------------------------------------------------------------------------- input

SAID_OF = {
    "unknown phase": (
        {"phases": ["customers", "payers"]},
        "phases.1: must be one of 'customers', 'subscriptions', 'invoices' or 'payments'.",
    ),
    "no phase": ({"phases": []}, "phases: must not be empty."),
    "unknown mode": ({"mode": "force"}, "mode: must be one of 'plan' or 'apply'."),
    "bad date": (
        {"only": {"since": "31.12.2025"}},
        "only.since: must be a time with its zone, such as 2025-01-01T00:00:00Z.",
    ),
    "compact date": (
        {"only": {"since": "20250101"}},
        "only.since: must be a time with its zone, such as 2025-01-01T00:00:00Z.",
    ),
    "seconds": (
        {"only": {"since": 1735689600}},
        "only.since: must be a time with its zone, such as 2025-01-01T00:00:00Z.",
    ),
    "date without zone": (
        {"only": {"until": "2025-01-01T00:00:00"}},
        "only.until: must be a time with its zone, such as 2025-01-01T00:00:00Z.",
    ),
    "until before since": (
        {"only": {"since": "2025-02-01T00:00:00Z", "until": "2025-01-01T00:00:00Z"}},
        "only.until: must be later than only.since.",
    ),
    "unknown field": ({"dry_run": True}, "dry_run: there is no such field."),
    "unknown state": ({"only": {"states": ["lost"]}}, "only.states.0: must be one of"),
    "id that is no text": ({"only": {"ids": [7]}}, "only.ids.0: Input should be a valid string."),
    "no object": (["customers"], "The input must be a JSON object with phases, mode and only."),
    "text": ("apply", "The input must be a JSON object with phases, mode and only."),
    "half a character": (
        {"only": {"ids": ["\ud800"]}},
        "only.ids.0: holds a character that no text may hold.",
    ),
    "NUL": ({"only": {"accounts": ["CT\0"]}}, "only.accounts.0: holds a character"),
}


@pytest.mark.parametrize(("asked", "said"), SAID_OF.values(), ids=SAID_OF)
def test_a_bad_input_is_refused_naming_the_field_before_anything_is_asked_or_written(
    world: World, asked: object, said: str
) -> None:
    answer = world.start(asked)

    assert (answer.next, answer.error) == ("refused", "InvalidInput")
    assert answer.why is not None
    assert answer.why.startswith(said)
    assert (world.check.asked, world.api.calls) == ([], [])
    assert world.wrote_nothing()


def test_all_faults_of_an_input_are_said_at_once_and_no_value_is_repeated(world: World) -> None:
    answer = world.start({"phases": ["thandi@mail.example"], "only": {"since": "0821234567"}})

    assert answer.why is not None
    assert "phases.0: " in answer.why
    assert "only.since: " in answer.why
    assert "thandi" not in answer.why
    assert "082" not in answer.why


def test_an_id_that_the_source_can_never_have_is_a_bad_input(world: World) -> None:
    world.check.impossible_field = "only.ids"

    answer = world.start({"only": {"ids": ["CT-2025-00002"]}})

    assert answer.error == "InvalidInput"
    assert answer.why == "only.ids: no row can have such a value."
    assert world.wrote_nothing()


def test_a_person_sees_a_bad_input_beside_all_other_findings(world: World) -> None:
    world.files.failure = Misconfigured("AccessDenied.", code="bucket")

    answer = world.look({"mode": "force"})

    assert answer.next == "checked"
    assert {"invalid_input", "runs_bucket_not_writable"} <= severities(answer).keys()


# ------------------------------------------------------------------------------------- findings


def test_a_finding_that_blocks_refuses_the_run_and_nothing_is_written(world: World) -> None:
    world.check.source_findings = (finding("column_missing"), finding("column_type"))

    answer = world.start()

    assert (answer.next, answer.error) == ("refused", "PreflightRefused")
    assert answer.why == "About column_missing. (and 1 more; see billing-sync preflight)"
    assert answer.counts["blocking"] == 2
    assert world.wrote_nothing()


def test_warnings_refuse_nothing(world: World) -> None:
    world.check.source_findings = (finding("row_level_security", Severity.WARNING),)

    assert world.start({"mode": "apply"}).next == "go"


def test_a_person_sees_everything_at_once_and_nothing_is_written(world: World) -> None:
    world.check.log_findings = [finding("sync_log_refuses")]
    world.check.source_findings = (finding("view_missing"), finding("null_in_key"))
    world.check.status_findings = [finding("status_column_not_writable")]
    world.tokens.failure = Misconfigured("invalid_code", code="invalid_code")
    world.files.failure = Misconfigured("AccessDenied.", code="bucket")
    world.settings["writes"] = False
    world.organisations.confirmed_items.clear()

    answer = world.look({"mode": "apply"})

    assert answer.next == "checked"
    assert severities(answer) == {
        **dict.fromkeys(
            (
                "sync_log_refuses",
                "view_missing",
                "null_in_key",
                "status_column_not_writable",
                "writes_are_off",
                "dead_refresh_token",
                "runs_bucket_not_writable",
            ),
            Severity.BLOCKING,
        ),
        **dict.fromkeys(
            (
                "confirm_notifications",
                "confirm_excess_payments",
                "confirm_prices",
                "confirm_tax_rounding",
                "confirm_display_names",
            ),
            Severity.CONFIRM,
        ),
    }
    assert [one.severity for one in answer.findings] == sorted(
        (one.severity for one in answer.findings),
        key=[Severity.BLOCKING, Severity.CONFIRM].index,
    )
    assert world.wrote_nothing()


def test_an_unreachable_database_is_one_finding_and_the_rest_is_still_checked(
    world: World,
) -> None:
    world.check.unreachable = finding("database_unreachable")
    world.credentials_failure = Misconfigured("It lacks client_id.", code="secret_malformed")
    world.files.failure = Misconfigured("AccessDenied.", code="bucket")

    answer = world.look()

    assert world.check.asked == ["reach"]
    assert severities(answer) == {
        "database_unreachable": Severity.BLOCKING,
        "secret_malformed": Severity.BLOCKING,
        "runs_bucket_not_writable": Severity.BLOCKING,
    }


def test_a_database_secret_that_was_never_filled_in_is_a_finding(world: World) -> None:
    world.database_failure = Misconfigured("It lacks host.", code="secret_malformed")

    answer = world.start()

    assert answer.error == "PreflightRefused"
    assert answer.why is not None
    assert answer.why.startswith("DatabaseSecret: It lacks host.")


def test_zoho_is_not_asked_without_the_tables_of_token_and_permits(world: World) -> None:
    world.check.tables = TablesReport((finding("own_table_not_writable"),), frozenset({"permits"}))

    answer = world.look()

    assert severities(answer).keys() == {"own_table_not_writable", "zoho_not_checked"}
    assert world.api.calls == []


def test_confirmations_are_not_read_from_a_table_that_cannot_be(world: World) -> None:
    world.organisations.confirmed_items.clear()
    world.check.tables = TablesReport((finding("x"),), frozenset({"confirmations"}))

    assert "confirm_prices" not in severities(world.look())


# ------------------------------------------------------------------------------- configuration


def test_writes_that_are_off_block_applying_and_not_planning(world: World) -> None:
    world.settings["writes"] = False

    assert world.start({"mode": "apply"}).why == "ZohoWrites is off: nothing is written to Zoho."
    assert the("writes_are_off", world.look({"mode": "plan"})).severity is Severity.NOTE
    assert world.start({"mode": "plan"}).next == "go"


def test_a_missing_organisation_id_is_a_finding(world: World) -> None:
    world.settings["organisation_id"] = ""

    assert severities(world.look())["organisation_id_missing"] is Severity.BLOCKING


def test_a_scaled_clock_with_a_host_of_zoho_blocks(world: World) -> None:
    world.timing = Timing(scale=60)
    world.settings["is_real_zoho"] = True

    assert severities(world.look())["time_scale_with_real_zoho"] is Severity.BLOCKING


def test_a_scaled_clock_with_a_fake_is_fine(world: World) -> None:
    world.timing = Timing(scale=60, proof_delay_unscaled_seconds=60)

    assert world.start({"mode": "apply"}).next == "go"


def test_a_proof_that_comes_too_early_for_zoho_is_a_warning(world: World) -> None:
    world.timing = Timing(proof_delay_unscaled_seconds=60)
    world.settings["is_real_zoho"] = True

    assert severities(world.look())["proof_too_early"] is Severity.WARNING


# ----------------------------------------------------------------------------------------- Zoho


def test_a_secret_that_lacks_a_field_is_named_by_the_field(world: World) -> None:
    world.credentials_failure = Misconfigured(
        "Zoho's secret lacks refresh_token.", code="secret_malformed"
    )

    answer = world.look()

    assert the("secret_malformed", answer).sentence == (
        "ZohoCredentialsSecret: Zoho's secret lacks refresh_token."
    )
    assert world.api.calls == []


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("invalid_code", "dead_refresh_token"),
        ("invalid_grant", "dead_refresh_token"),
        ("invalid_client", "wrong_client_id"),
        ("invalid_client_secret", "wrong_client_secret"),
        ("unauthorized_client", "client_not_authorised"),
        ("secret_unwritable", "secret_unwritable"),
    ],
)
def test_credentials_that_zoho_refuses_are_told_apart(world: World, word: str, code: str) -> None:
    world.tokens.failure = Misconfigured("refused", code=word)

    assert severities(world.look())[code] is Severity.BLOCKING
    assert world.start().next == "refused"


def test_a_token_that_is_refused_for_a_while_says_until_when(world: World) -> None:
    world.tokens.failure = TokenRefused(
        "No new access token may be asked for yet.",
        wait_seconds=600,
        reason="token_cool_down",
        resume_at=datetime(2026, 3, 1, 12, 10, tzinfo=UTC),
    )

    answer = world.start()

    assert answer.next == "refused"
    assert answer.why is not None
    assert "at 2026-03-01 12:10:00 UTC" in answer.why
    assert world.clock.slept == []


def test_an_account_of_another_data_centre_is_named_with_its_host(world: World) -> None:
    world.tokens = FakeTokens(world.clock, api_domain="https://www.zohoapis.eu")

    answer = world.look()

    assert the("wrong_data_centre", answer).severity is Severity.BLOCKING
    assert "www.zohoapis.eu" in the("wrong_data_centre", answer).sentence


def test_a_missing_scope_is_named_and_hides_no_other(world: World) -> None:
    world.api.organisations_fail = [Misconfigured("Refused.", code="missing_scope")]
    world.api.customers_fail = [Misconfigured("Refused.", code="missing_scope")]

    answer = world.look()

    assert [one.sentence for one in answer.findings if one.code == "missing_scope"] == [
        f"The token may not read the {what}: the scope ZohoSubscriptions.{scope} is missing."
        for what, scope in (("organisations", "settings.READ"), ("customers", "customers.READ"))
    ]


def test_an_organisation_that_the_token_does_not_see_is_named_with_those_it_sees(
    world: World,
) -> None:
    world.settings["organisation_id"] = "60011111111"

    answer = world.look()

    assert the("organisation_not_found", answer).sentence == (
        "The token does not see the organisation 60011111111; it sees 60098765432."
    )
    assert answer.organisation is None


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        ({"is_active": False}, "organisation_inactive", Severity.BLOCKING),
        ({"currency_code": ""}, "organisation_without_currency", Severity.BLOCKING),
        ({"time_zone": "Mars/Olympus"}, "time_zone_unknown", Severity.BLOCKING),
        ({"time_zone": ""}, "time_zone_unknown", Severity.BLOCKING),
        ({"price_precision": 3}, "price_precision", Severity.WARNING),
    ],
)
def test_an_organisation_that_is_not_ready_is_a_finding(
    world: World, change: dict[str, Any], code: str, severity: Severity
) -> None:
    world.api.visible = [ORGANISATION.model_copy(update=change)]

    assert severities(world.look())[code] is severity


def test_an_unreadable_answer_of_zoho_blocks_the_run(world: World) -> None:
    world.api.customers_fail = [Unavailable("Zoho's answer could not be read.")]

    assert severities(world.look())["zoho_unreadable"] is Severity.BLOCKING


def test_a_permit_that_is_nearly_there_is_waited_for_in_short_sleeps(world: World) -> None:
    world.api.customers_fail = [Throttled("Paced.", wait_seconds=3.0, reason="pace")]

    assert world.start().next == "go"
    assert world.clock.slept == [2.0]


def test_the_patience_is_for_all_reads_together(world: World) -> None:
    paced = Throttled("Paced.", wait_seconds=2.0, reason="pace")
    world.api.organisations_fail = [paced] * 6
    world.api.customers_fail = [paced] * 6

    assert world.start().why == "Paced. It may be asked again in 2 s."
    assert sum(world.clock.slept) <= 20


def test_a_module_that_hangs_is_asked_last(world: World) -> None:
    world.api.module_failures = {"plans": Unavailable("Zoho's answer could not be read.")}

    assert severities(world.look(ALL_PHASES))["zoho_unreadable"] is Severity.BLOCKING
    assert world.api.calls[-1] == "plans"


def test_a_block_by_zoho_is_not_waited_for(world: World) -> None:
    world.api.customers_fail = [Throttled("Blocked.", wait_seconds=60, reason="blocked")]

    answer = world.start()

    assert (answer.next, answer.why) == ("refused", "Blocked. It may be asked again in 60 s.")
    assert world.clock.slept == []


def test_the_days_calls_are_told_beside_what_the_customers_may_take(world: World) -> None:
    world.quota = FakeQuota(world.clock, day_cap=1000)
    world.check.rows = {"customers": 450}

    assert the("day_quota", world.look()).sentence == (
        "1000 of the day's 1000 calls are left. The customers here take about 456, if all are new."
    )


def test_of_other_phases_each_is_counted_with_its_writes_and_its_pages(world: World) -> None:
    world.check.rows = {"customers": 450, "services": 10, "invoices": 30, "payments": 25}

    assert the("day_quota", world.look(ALL_PHASES)).sentence.endswith(
        "The customers, services, invoices and payments here take about 580, if all are new."
    )


# ---------------------------------------------------------------------------------- organisation


def customers(count: int, *, has_more: bool) -> CustomerPage:
    rows = tuple(RemoteCustomer(zoho_id=str(460000 + n)) for n in range(count))
    return CustomerPage(rows=rows, has_more=has_more)


@pytest.mark.parametrize(
    ("page", "in_snapshot", "told"),
    [
        (customers(4, has_more=False), 900, 4),
        (customers(200, has_more=True), 900, 900),
        (customers(200, has_more=True), None, None),
    ],
)
def test_the_organisation_is_shown_with_its_customers_where_that_is_cheap(
    world: World, page: CustomerPage, in_snapshot: int | None, told: int | None
) -> None:
    world.api.page = page
    world.snapshots.customers = in_snapshot

    shown = world.look().organisation

    assert shown is not None
    assert shown.model_dump() == {
        "id": "60098765432",
        "name": "Demo Telecoms",
        "currency": "ZAR",
        "time_zone": "Africa/Johannesburg",
        "customers": told,
    }


# --------------------------------------------------------------------------------- confirmations


@pytest.mark.parametrize(
    ("missing", "code"),
    [
        ("notifications_off", "confirm_notifications"),
        ("excess_payments_off", "confirm_excess_payments"),
        ("prices_inclusive", "confirm_prices"),
        ("tax_rounding_per_line", "confirm_tax_rounding"),
        ("display_names_unique", "confirm_display_names"),
    ],
)
def test_what_nobody_confirmed_stops_applying_and_says_the_command(
    world: World, missing: str, code: str
) -> None:
    world.organisations.confirmed_items.remove(missing)

    assert f"billing-sync confirm {missing}" in the(code, world.look()).what_to_do
    assert world.start({"mode": "apply"}).error == "PreflightRefused"
    assert world.wrote_nothing()
    assert world.start({"mode": "plan"}).next == "go"
    assert code in [one.code for one in world.runs.kept["first"]]


def test_either_answer_about_names_will_do(world: World) -> None:
    world.organisations.confirmed_items.remove("display_names_unique")
    world.organisations.confirmed_items.add("display_names_may_repeat")

    assert world.start({"mode": "apply"}).next == "go"


@pytest.mark.parametrize(
    ("configured", "wanted", "other", "code", "said"),
    [
        (
            {"prices": Prices.EXCLUSIVE},
            "prices_exclusive",
            "prices_inclusive",
            "prices_contradict",
            "PricesInZoho is exclusive, and Thandi confirmed prices_inclusive on 2026-03-01.",
        ),
        (
            {"rounding": Rounding.DOCUMENT},
            "tax_rounding_per_document",
            "tax_rounding_per_line",
            "tax_rounding_contradicts",
            "TaxRounding is entity_level, and Thandi confirmed tax_rounding_per_line on {day}.",
        ),
    ],
)
def test_what_was_confirmed_must_be_what_is_configured(
    world: World, configured: dict[str, Any], wanted: str, other: str, code: str, said: str
) -> None:
    world.settings["money"] = replace(MONEY, **configured)

    against = the(code, world.look())
    assert against.severity is Severity.BLOCKING
    assert against.sentence == said.format(day="2026-03-01")
    assert f"billing-sync confirm {wanted}" in against.what_to_do
    assert world.start({"mode": "plan"}).error == "PreflightRefused"

    # The latest word counts, whichever it is.
    world.organisations.confirmed_since[wanted] = ("Lindiwe", NOW + timedelta(days=1))
    assert world.start({"mode": "apply"}).next == "go"
    world.organisations.confirmed_since[other] = ("Thandi", NOW + timedelta(days=2))
    assert code in severities(world.look())


# ------------------------------------------------------------------------------------ the modules


def test_customers_alone_ask_for_no_other_module(world: World) -> None:
    world.start(CUSTOMERS)

    assert world.api.calls == ["organisations", "taxes", "customers page 1"]


def test_a_phase_asks_for_its_modules_and_for_those_of_its_parents(world: World) -> None:
    assert world.start({"phases": ["invoices"]}).next == "go"

    assert world.api.calls[3:] == ["products", "plans", "subscriptions", "invoices"]


def test_a_module_that_may_not_be_read_is_named_with_all_that_must_be(world: World) -> None:
    refused = Misconfigured("Refused.", code="missing_scope")
    world.api.module_failures = {"plans": refused, "payments": refused}

    answer = world.look(ALL_PHASES)

    missing = the("missing_scope", answer)
    assert missing.severity is Severity.BLOCKING
    assert missing.sentence == (
        "The token may not read the plans: the scope ZohoSubscriptions.plans.READ is missing."
    )
    for module in ("products", "plans", "subscriptions", "invoices", "payments"):
        assert f"ZohoSubscriptions.{module}.READ" in missing.what_to_do
    # Each refusal costs an access token, of which there are few.
    assert world.api.calls[-1] == "plans"


def test_an_id_that_zoho_calls_invalid_is_an_answer_as_well(world: World) -> None:
    world.api.module_failures = {"payments": Rejected("Zoho refuses it.", zoho_code=2)}

    assert world.start({**ALL_PHASES, "mode": "apply"}).next == "go"


def test_without_calls_left_no_further_module_is_asked_for(world: World) -> None:
    world.api.module_failures = {"plans": Throttled("Blocked.", wait_seconds=60, reason="blocked")}

    assert severities(world.look(ALL_PHASES))["zoho_not_now"] is Severity.BLOCKING
    assert world.api.calls[-1] == "plans"


# -------------------------------------------------------------------------------------- the taxes


def tax(tax_id: str, name: str, percentage: str) -> Tax:
    return Tax(tax_id=tax_id, name=name, percentage=Decimal(percentage))


def test_a_tax_that_zoho_has_at_another_rate_is_named_with_what_is_there(world: World) -> None:
    world.api.found_taxes = [tax("201", "Standard Rate", "14"), *SOUTH_AFRICA[1:]]

    against = the("tax_not_found", world.look(ALL_PHASES))

    assert against.severity is Severity.BLOCKING
    assert against.sentence == (
        "Zoho has no tax «Standard Rate» at 15 %; it has «Standard Rate» at 14 %,"
        " «Zero Rate» at 0 %, «Exempt» at 0 %."
    )
    assert world.start(ALL_PHASES).error == "PreflightRefused"


def test_a_tax_that_zoho_has_twice_is_named_with_both_ids(world: World) -> None:
    world.api.found_taxes = [*SOUTH_AFRICA, tax("299", "standard rate", "15.00")]

    against = the("tax_found_twice", world.look(ALL_PHASES))

    assert (against.severity, against.sentence) == (
        Severity.BLOCKING,
        "Zoho has several taxes «Standard Rate» at 15 %: 201, 299.",
    )


def test_a_table_without_the_standard_tax_is_told(world: World) -> None:
    world.settings["money"] = replace(MONEY, taxes=MONEY.taxes[1:])

    assert severities(world.look(ALL_PHASES))["tax_not_configured"] is Severity.BLOCKING


def test_for_customers_alone_taxes_are_no_obstacle(world: World) -> None:
    world.api.found_taxes = []
    world.check.taxed = {"invoices": 3}

    assert severities(world.look(CUSTOMERS))["not_registered_for_tax"] is Severity.WARNING
    assert world.start({**CUSTOMERS, "mode": "apply"}).next == "go"
    assert world.organisations.money == (2, ())


def test_an_organisation_without_vat_and_taxed_invoices_do_not_go_together(world: World) -> None:
    world.api.found_taxes = []
    world.check.taxed = {"packages": 20, "services": 0, "invoices": 3}

    against = the("not_registered_for_tax", world.look(ALL_PHASES))

    assert (against.severity, against.count) == (Severity.BLOCKING, 23)
    assert against.sentence == (
        "Zoho's organisation has no tax at all, and here 20 rows of packages say that their price"
        " holds it, 3 rows of invoices carry some."
    )


def test_an_organisation_without_vat_is_fine_where_nothing_is_taxed(world: World) -> None:
    world.api.found_taxes = []

    assert severities(world.look(ALL_PHASES))["charges_no_tax"] is Severity.NOTE
    assert world.start({**ALL_PHASES, "mode": "apply"}).next == "go"


# --------------------------------------------------------------------------- ways of payment, days


def test_ways_of_payment_that_no_row_maps_are_listed_with_their_payments(world: World) -> None:
    world.check.paid_by = {
        ("netcash", "EFT"): 9,
        ("PayPal", "wallet"): 2,
        ("paypal", "Wallet "): 1,
        ("", "voucher"): 4,
        ("zoho_billing", ""): 7,
    }

    against = the("payment_way_missing", world.look(ALL_PHASES))

    assert (against.severity, against.count) == (Severity.WARNING, 7)
    assert against.sentence == (
        "No row of PaymentWays maps provider «» with method «voucher» 4, provider «paypal» with"
        " method «wallet» 3. These payments, where they are to be sent, will be failed."
    )
    assert world.start({**ALL_PHASES, "mode": "apply"}).next == "go"


def test_a_day_of_our_own_making_is_refused_with_zoho_itself_only(world: World) -> None:
    world.organisations.day = date(2026, 4, 1)

    assert world.start().next == "go"

    world.settings["is_real_zoho"] = True
    against = the("calendar_is_set", world.look())
    assert against.severity is Severity.BLOCKING
    assert "2026-04-01" in against.sentence


# ------------------------------------------------------------------------------------------ lock


def test_a_second_start_is_already_running_before_anything_else_is_checked(world: World) -> None:
    world.start()
    world.executions.running.add(FIRST.arn)
    world.check.asked.clear()
    world.api.calls.clear()

    answer = world.start(execution=SECOND)

    assert (answer.next, answer.running) == ("already_running", FIRST.arn)
    assert (world.check.asked, world.api.calls) == (["reach", "own_tables"], [])
    assert list(world.runs.runs) == ["first"]


def test_a_run_whose_execution_is_gone_is_taken_over(world: World) -> None:
    world.start()

    answer = world.start(execution=SECOND)

    assert (answer.next, answer.run_id) == ("go", "second")
    assert world.runs.taken_over == ["first"]


def test_a_run_that_began_during_our_checks_has_the_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin_the_first() -> None:
        world.runs.begin("first", FIRST.arn, BackfillInput())
        world.executions.running.add(FIRST.arn)

    monkeypatch.setattr(world.files, "probe", begin_the_first)

    answer = world.start(execution=SECOND)

    assert (answer.next, answer.running) == ("already_running", FIRST.arn)
    assert world.runs.taken_over == []


def test_not_to_know_whether_the_other_runs_is_not_to_take_over(world: World) -> None:
    world.start()
    world.executions.failure = Misconfigured("May not look.", code="execution_unreadable")

    answer = world.start(execution=SECOND)

    assert answer.error == "PreflightRefused"
    assert answer.why == "Run first holds the lock. May not look."
    assert world.runs.taken_over == []


def test_a_run_that_was_ended_by_another_does_not_begin_again(world: World) -> None:
    world.start()
    world.runs.end("first")

    assert world.start().error == "RunHasEnded"


def test_a_person_sees_the_execution_that_runs(world: World) -> None:
    world.start()
    world.executions.running.add(FIRST.arn)

    answer = world.look()

    assert (answer.next, answer.running) == ("checked", FIRST.arn)
