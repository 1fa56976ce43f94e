"""Preflight on real parts: PostgreSQL as the functions' role, and fake Zoho over HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.organisations import PostgresOrganisations
from billing_sync.adapters.postgres.runs import PostgresRuns
from billing_sync.adapters.postgres.schema_check import PostgresSourceCheck
from billing_sync.adapters.postgres.snapshots import PostgresSnapshots
from billing_sync.adapters.zoho.oauth import ZohoCredentials
from billing_sync.config import SyncSettings
from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.steps import Execution, PreflightAnswer, PreflightEvent, Severity
from billing_sync.domain.timing import Timing
from billing_sync.ports import Priority
from billing_sync.services.preflight import MoneySettings, Preflight, PreflightDatabase
from billing_sync.services.zoho_check import PreflightZoho
from ops.fake_zoho import Credential, FakeZohoConfig, RunningFake, running_fake_zoho
from ops.local_stack.postgres import APPLICATION_ROLE, OWNER_ROLE, Database
from tests.fakes.preflight import FakeExecutions, FakeRunFiles
from tests.worker import ORGANISATION, SystemClock, Worker
from tests.world import MemoryTokenStore

TIMING = Timing(scale=100)
FIRST = Execution(arn="arn:aws:states:::execution:backfill:first", name="first")
SECOND = Execution(arn="arn:aws:states:::execution:backfill:second", name="second")
CONFIRMED = (
    "notifications_off",
    "excess_payments_off",
    "prices_inclusive",
    "tax_rounding_per_line",
    "display_names_unique",
)
CUSTOMERS = {"phases": ["customers"]}
ALL_PHASES = ("customers", "subscriptions", "invoices", "payments")
SETTINGS = SyncSettings()
WRITTEN = ("runs", "findings", "organisations", "records", "zoho_sync_logs", "intents")

CUSTOMERS_ONLY = Credential(
    client_id="1000.CUSTOMERS",
    refresh_token="1000.customers.refresh",
    scopes=["ZohoSubscriptions.customers.READ"],
)
NOTHING = Credential(client_id="1000.NOTHING", refresh_token="1000.nothing.refresh", scopes=[])


@pytest.fixture(scope="module")
def zoho() -> Iterator[RunningFake]:
    config = FakeZohoConfig(time_scale=100, credentials=[Credential(), CUSTOMERS_ONLY, NOTHING])
    with running_fake_zoho(config) as running:
        yield running


@dataclass
class Stage:
    """A database, fake Zoho, and the settings that a test may change."""

    database: Database
    engine: Engine
    zoho: RunningFake
    executions: FakeExecutions = field(default_factory=FakeExecutions)
    files: FakeRunFiles = field(default_factory=FakeRunFiles)
    credential: Credential = field(default_factory=Credential)
    settings: dict[str, Any] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)

    @property
    def organisations(self) -> PostgresOrganisations:
        return PostgresOrganisations(self.engine, ORGANISATION)

    def __call__(self, *, execution: Execution | None = None, **event: Any) -> PreflightAnswer:
        """Ask for customers alone, where nothing else is said: that is fewer calls."""
        event = {"input": CUSTOMERS, "execution": execution, **event}
        preflight = Preflight(
            lambda: PreflightDatabase(
                PostgresSourceCheck(self.engine, ORGANISATION, status_columns=True),
                PostgresRuns(self.engine, ORGANISATION, TIMING),
                self.organisations,
                PostgresSnapshots(self.engine, ORGANISATION),
            ),
            lambda: self.credential,
            self._zoho,
            lambda: self.files,
            self.executions,
            SystemClock(),
            TIMING,
            **{
                "money": MoneySettings(
                    SETTINGS.prices,
                    SETTINGS.rounding,
                    SETTINGS.tax_settings,
                    SETTINGS.payment_ways,
                ),
                "organisation_id": ORGANISATION,
                "writes": True,
                "is_real_zoho": False,
                "expected_api_url": self.zoho.api_url,
                **self.settings,
            },
        )
        return preflight(PreflightEvent(**event))

    def _zoho(self) -> PreflightZoho:
        worker = Worker(
            self.database,
            self.zoho,
            MemoryTokenStore(),
            TIMING,
            credentials=ZohoCredentials(
                self.credential.client_id,
                self.credential.client_secret,
                self.credential.refresh_token,
            ),
            priority=Priority.TRIGGER,
        )
        self.workers.append(worker)
        worker.quota.configure(limit=90, day_cap=1000, in_flight_limit=5)
        return PreflightZoho(worker.billing, worker.tokens, worker.quota)

    def run(self, role: str, *statements: str) -> None:
        with self.database.connect(role) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def written(self) -> dict[str, int]:
        with self.engine.connect() as connection:
            return {
                table: connection.execute(
                    text(f"SELECT count(*) FROM billing_sync.{table}")  # noqa: S608 - named above
                ).scalar_one()
                for table in WRITTEN
            }


@pytest.fixture
def stage(database: Database, zoho: RunningFake) -> Iterator[Stage]:
    zoho.control.reset()
    engine = make_engine(database.functions_url)
    stage = Stage(database, engine, zoho)
    stage.organisations.confirm(CONFIRMED, by="Thandi")
    yield stage
    for worker in stage.workers:
        worker.close()
    engine.dispose()


def blocking(answer: PreflightAnswer) -> list[str]:
    return [one.code for one in answer.findings if one.severity is Severity.BLOCKING]


# ------------------------------------------------------------------------------------------- go


def test_a_run_begins_with_what_was_learnt_and_found(stage: Stage) -> None:
    answer = stage(input={**CUSTOMERS, "mode": "apply"}, execution=FIRST)

    runs = PostgresRuns(stage.engine, ORGANISATION, TIMING)
    assert (answer.next, answer.run_id, answer.mode) == ("go", "first", "apply")
    assert runs.get("first").execution_arn == FIRST.arn
    assert {one.code for one in runs.findings("first")} == {
        "day_quota",
        "seen_only_by_writing",
        "view_empty",  # the demo has no invoices yet
        "words",
    }
    assert stage.organisations.currency() == "ZAR"


def test_a_retried_preflight_finds_its_own_run(stage: Stage) -> None:
    assert stage(execution=FIRST) == stage(execution=FIRST)
    assert stage.written()["runs"] == 1


def test_a_person_sees_the_organisation_and_nothing_is_written(stage: Stage) -> None:
    answer = stage(check_only=True, input={**CUSTOMERS, "mode": "apply"})

    assert answer.next == "checked"
    assert blocking(answer) == []
    assert answer.organisation is not None
    assert answer.organisation.model_dump() == {
        "id": ORGANISATION,
        "name": "Demo Telecoms",
        "currency": "ZAR",
        "time_zone": "Africa/Johannesburg",
        "customers": 0,
    }
    assert set(stage.written().values()) == {0}
    assert {entry.method for entry in stage.zoho.control.log() if entry.is_api_call} == {"GET"}


def test_what_is_confirmed_is_read_from_the_database(stage: Stage) -> None:
    stage.run(OWNER_ROLE, "DELETE FROM billing_sync.confirmations WHERE item = 'prices_inclusive'")

    assert stage(input={**CUSTOMERS, "mode": "apply"}, execution=FIRST).error == "PreflightRefused"

    stage.organisations.confirm(("prices_exclusive",), by="Sipho")
    assert "prices_contradict" in blocking(stage(check_only=True))

    stage.organisations.confirm(("prices_inclusive",), by="Thandi")
    assert stage(input={**CUSTOMERS, "mode": "apply"}, execution=FIRST).next == "go"


def test_all_phases_read_each_module_once_and_learn_the_taxes(stage: Stage) -> None:
    answer = stage(input={"mode": "apply", "phases": ALL_PHASES}, execution=FIRST)

    assert (answer.next, answer.phases) == ("go", ALL_PHASES)
    calls = [entry.path for entry in stage.zoho.control.log() if entry.is_api_call]
    assert len(calls) == 8
    assert stage.organisations.price_precision() == 2
    assert [(tax.name, tax.percentage) for tax in stage.organisations.taxes()] == [
        ("Standard Rate", Decimal(15)),
        ("Zero Rate", Decimal(0)),
        ("Exempt", Decimal(0)),
    ]


# ----------------------------------------------------------------------------------------- lock


def test_a_second_start_is_already_running(stage: Stage) -> None:
    stage(execution=FIRST)
    stage.executions.running.add(FIRST.arn)
    calls = len(stage.zoho.control.log())

    answer = stage(execution=SECOND)

    assert (answer.next, answer.running) == ("already_running", FIRST.arn)
    assert len(stage.zoho.control.log()) == calls
    assert stage.written()["runs"] == 1


def test_a_run_whose_execution_is_gone_is_taken_over(stage: Stage) -> None:
    stage(execution=FIRST)

    answer = stage(execution=SECOND)

    runs = PostgresRuns(stage.engine, ORGANISATION, TIMING)
    assert (answer.next, answer.run_id) == ("go", "second")
    assert runs.get("first").ended_at is not None
    assert runs.must_stop("first")
    assert not runs.must_stop("second")


# ---------------------------------------------------------------------------------------- input


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"phases": ["payers"]}, "phases.0"),
        ({"only": {"since": "yesterday"}}, "only.since"),
        ({"only": {"ids": ["CT-2025-00002"]}}, "only.ids"),
        ("apply", "The input"),
    ],
)
def test_a_bad_input_names_its_field_and_writes_nothing(
    stage: Stage, asked: object, field: str
) -> None:
    answer = stage(input=asked, execution=FIRST)

    assert (answer.next, answer.error) == ("refused", "InvalidInput")
    assert answer.why is not None
    assert answer.why.startswith(field)
    assert set(stage.written().values()) == {0}
    assert stage.zoho.control.log() == []


# ----------------------------------------------------------------------------------------- Zoho


def test_a_dead_refresh_token_is_told(stage: Stage) -> None:
    stage.credential = Credential(refresh_token="1000.revoked.refresh")

    assert blocking(stage(check_only=True)) == ["dead_refresh_token"]


def test_a_wrong_client_is_told(stage: Stage) -> None:
    stage.credential = Credential(client_id="1000.ELSEWHERE")

    assert blocking(stage(check_only=True)) == ["wrong_client_id"]


def test_a_missing_scope_is_told_for_each_module(stage: Stage) -> None:
    stage.credential = CUSTOMERS_ONLY
    only_customers = stage(check_only=True, input={"phases": ALL_PHASES})
    stage.credential = NOTHING
    nothing = stage(check_only=True)

    assert [one.sentence for one in only_customers.findings if one.code == "missing_scope"] == [
        f"The token may not read the {what}: the scope ZohoSubscriptions.{module}.READ is missing."
        for what, module in (
            ("organisations", "settings"),
            ("products", "products"),
        )
    ]
    assert blocking(nothing) == ["missing_scope", "missing_scope"]


def test_an_account_of_another_data_centre_is_told(stage: Stage) -> None:
    stage.settings["expected_api_url"] = "https://www.zohoapis.eu"

    assert blocking(stage(check_only=True)) == ["wrong_data_centre"]


def test_an_organisation_of_somebody_else_is_told(stage: Stage) -> None:
    stage.settings["organisation_id"] = "60011111111"

    assert "organisation_not_found" in blocking(stage(check_only=True))


# ---------------------------------------------------------------------------------- all at once


def test_everything_that_is_wrong_is_said_at_once_and_the_run_does_not_start(
    stage: Stage,
) -> None:
    stage.run(
        OWNER_ROLE,
        "DROP VIEW billing_source.payments",
        "ALTER TABLE billing_sync.zoho_sync_logs ADD CHECK (entity_type <> 'payment')",
        "DELETE FROM billing_sync.confirmations",
    )
    stage.run(
        APPLICATION_ROLE,
        "ALTER TABLE customers ENABLE ROW LEVEL SECURITY",
        f"REVOKE UPDATE (zoho_sync_status) ON customers FROM {OWNER_ROLE}",
    )
    stage.credential = Credential(refresh_token="1000.revoked.refresh")
    stage.files.failure = Misconfigured("AccessDenied.", code="bucket")
    stage.settings["writes"] = False

    seen = stage(check_only=True, input={**CUSTOMERS, "mode": "apply"})
    refused = stage(input={**CUSTOMERS, "mode": "apply"}, execution=FIRST)

    assert set(blocking(seen)) == {
        "sync_log_refuses",
        "view_missing",
        "view_empty",
        "status_column_not_writable",
        "writes_are_off",
        "dead_refresh_token",
        "runs_bucket_not_writable",
    }
    assert [one.code for one in seen.findings if one.severity is Severity.CONFIRM] == [
        "confirm_notifications",
        "confirm_excess_payments",
        "confirm_prices",
        "confirm_tax_rounding",
        "confirm_display_names",
    ]
    assert (refused.next, refused.error) == ("refused", "PreflightRefused")
    assert refused.why is not None
    assert refused.why.endswith("(and 11 more; see billing-sync preflight)")
    assert set(stage.written().values()) == {0}
