"""The composition root: the only module that names adapters. Nothing is built before it is used.

Nor is anything imported before, settings and domain included: all of it together costs a cold start
a quarter of a second, and the webhooks' door needs next to nothing of it.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from billing_sync.adapters.clock import SystemClock

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from billing_sync.adapters.postgres.operations import PostgresOperations
    from billing_sync.adapters.postgres.organisations import PostgresOrganisations
    from billing_sync.adapters.postgres.pages import PostgresPages
    from billing_sync.adapters.postgres.quota import PostgresQuota
    from billing_sync.adapters.postgres.records import PostgresRecords
    from billing_sync.adapters.postgres.runs import PostgresRuns
    from billing_sync.adapters.postgres.snapshots import PostgresSnapshots
    from billing_sync.adapters.postgres.source import PostgresSource, PostgresStatusColumns
    from billing_sync.adapters.postgres.verification import PostgresVerification
    from billing_sync.adapters.secrets import Secrets
    from billing_sync.adapters.zoho.oauth import ZohoCredentials
    from billing_sync.config import CommonSettings, SyncSettings, ZohoSettings
    from billing_sync.domain.display_names import DisplayNames
    from billing_sync.domain.remote import RemoteInvoice, RemoteSubscription
    from billing_sync.domain.states import EntityType
    from billing_sync.domain.steps import MigrateAnswer
    from billing_sync.domain.timing import Timing
    from billing_sync.ports import BillingApi, Clock, Executions, RunFiles, Tokens, TokenStore
    from billing_sync.services.backfill.books import CompareBooks
    from billing_sync.services.backfill.conclude import Conclude
    from billing_sync.services.backfill.loop import Loop
    from billing_sync.services.backfill.plan import MakePlan
    from billing_sync.services.backfill.report import MakeReport
    from billing_sync.services.backfill.snapshot import SnapshotStep, WalkLists
    from billing_sync.services.backfill.sync_batch import SyncBatch
    from billing_sync.services.backfill.verify import Verify
    from billing_sync.services.dashboard import Dashboard
    from billing_sync.services.door import Door
    from billing_sync.services.money_rules import OrganisationMoney
    from billing_sync.services.operate import Operate
    from billing_sync.services.preflight import Preflight
    from billing_sync.services.rules import EntityRules
    from billing_sync.services.sweep import Sweep
    from billing_sync.services.sync_record import SyncRecord
    from billing_sync.services.take_rows import TakeRows
    from billing_sync.services.take_snapshot import TakeSnapshot
    from billing_sync.services.wake_up import WorkOffWakeUp

WORKERS: Final = 4
"""How many records a batch works on side by side; the quota's in-flight limit is the true bound."""


class Container:
    """Everything of one environment, each part made on first use and kept.

    Tests give their own parts by assigning to an attribute before it is used.
    """

    def __init__(
        self, environment: dict[str, str] | None = None, *, real_time: bool = False
    ) -> None:
        """Read nothing yet; `environment` stands in for the process's own.

        In `real_time` reads go before the backfill's, too, and not only the writes of which every
        call of `sync_record` says so: a trigger's record would else be paced as the backfill is.
        """
        self._environment = environment
        self._real_time = real_time

    def close(self) -> None:
        """Close the connections that were opened."""
        if "engine" in self.__dict__:
            self.engine.dispose()
        if "http" in self.__dict__:
            self.http.close()

    # -------------------------------------------------------------------------------- settings

    @cached_property
    def common(self) -> "CommonSettings":
        """What every function knows."""
        from billing_sync.config import CommonSettings

        return CommonSettings.from_environment(self._environment)

    @cached_property
    def zoho(self) -> "ZohoSettings":
        """Zoho's settings."""
        from billing_sync.config import ZohoSettings

        return ZohoSettings.from_environment(self._environment)

    @cached_property
    def sync(self) -> "SyncSettings":
        """How records are sent."""
        from billing_sync.config import SyncSettings

        return SyncSettings.from_environment(self._environment)

    @cached_property
    def timing(self) -> "Timing":
        """The protocol's durations; a function without Zoho's settings only scales."""
        from billing_sync.domain.timing import Timing

        if "ZOHO_SECRET_ARN" in self._variables:
            return self.zoho.timing
        return Timing(scale=self.common.time_scale)

    @property
    def _variables(self) -> dict[str, str]:
        import os

        return dict(os.environ) if self._environment is None else self._environment

    # ------------------------------------------------------------------------------------ parts

    @cached_property
    def clock(self) -> "Clock":
        """The process's clock."""
        return SystemClock()

    @cached_property
    def secrets(self) -> "Secrets":
        """Secrets Manager."""
        from billing_sync.adapters.secrets import Secrets

        return Secrets()

    @cached_property
    def engine(self) -> "Engine":
        """The functions' engine: a connection for each worker, and one for the batch itself."""
        from billing_sync.adapters.postgres.engine import make_engine, make_url
        from billing_sync.config import DatabaseSettings

        settings = DatabaseSettings.from_environment(self._environment)
        secret = self.secrets.read(settings.database_secret_arn)
        return make_engine(make_url(secret), connections=WORKERS + 1)

    @cached_property
    def credentials(self) -> "ZohoCredentials":
        """Zoho's client and refresh token."""
        return self.secrets.zoho_credentials(self.zoho.zoho_secret_arn)

    @cached_property
    def http(self) -> Any:
        """The HTTP client that keeps to the send window and the deadline."""
        from billing_sync.adapters.zoho.transport import open_http

        return open_http(self.clock.monotonic)

    @cached_property
    def token_store(self) -> "TokenStore":
        """The secret of the access token."""
        from billing_sync.adapters.secrets import SecretTokenStore

        return SecretTokenStore(
            self.secrets,
            self.zoho.zoho_token_secret_arn,
            self.credentials.key(self.zoho.accounts_url),
        )

    @cached_property
    def tokens(self) -> "Tokens":
        """The token that all workers share."""
        from billing_sync.adapters.postgres.token import PostgresTokenRecord
        from billing_sync.adapters.zoho.oauth import ZohoOAuth
        from billing_sync.services.tokens import SharedToken

        accounts_url = self.zoho.accounts_url
        record = PostgresTokenRecord(self.engine, self.credentials.key(accounts_url), self.timing)
        mint = ZohoOAuth(
            self.http, accounts_url, self.credentials, self.timing, self.clock.monotonic
        )
        return SharedToken(record, self.token_store, mint, self.timing, self.clock)

    @cached_property
    def quota(self) -> "PostgresQuota":
        """The governor, told the configured limits."""
        from billing_sync.adapters.postgres.quota import PostgresQuota

        quota = PostgresQuota(
            self.engine, self.common.organisation_id, self.timing, self.clock.monotonic
        )
        if "ZOHO_SECRET_ARN" in self._variables:
            quota.configure(
                self.zoho.calls_per_minute, self.zoho.calls_per_day, self.zoho.calls_in_flight
            )
        return quota

    @cached_property
    def api(self) -> "BillingApi":
        """Zoho Billing; a function without its settings (the plan's) has the rules, and no API."""
        if "ZOHO_SECRET_ARN" not in self._variables:
            from billing_sync.adapters.zoho.absent import NoZoho

            return cast("BillingApi", NoZoho())
        from billing_sync.adapters.zoho.client import ZohoBilling
        from billing_sync.adapters.zoho.client import ZohoSettings as ClientSettings
        from billing_sync.config import ACCOUNT_NUMBER_LABEL
        from billing_sync.ports import Priority

        settings = ClientSettings(
            organisation_id=self.common.organisation_id,
            writes=self.zoho.zoho_writes == "on",
            api_url=self.zoho.api_url,
            account_number_label=ACCOUNT_NUMBER_LABEL,
            priority=Priority.TRIGGER if self._real_time else Priority.BACKFILL,
        )
        return ZohoBilling(self.http, self.tokens, self.quota, settings, self.timing, self.clock)

    @cached_property
    def names(self) -> "DisplayNames":
        """The display names' template."""
        from billing_sync.domain.display_names import DisplayNames

        return DisplayNames(self.sync.display_name_template)

    @cached_property
    def records(self) -> "PostgresRecords":
        """The sync records."""
        from billing_sync.adapters.postgres.records import PostgresRecords

        return PostgresRecords(
            self.engine,
            self.common.organisation_id,
            self.timing,
            note_refused_trigger=self._note_refused_trigger,
        )

    def _note_refused_trigger(self) -> None:
        self.quota.note_refused_trigger()

    @cached_property
    def source(self) -> "PostgresSource":
        """The provider's rows."""
        from billing_sync.adapters.postgres.source import PostgresSource

        return PostgresSource(self.engine, self.common.organisation_id)

    @cached_property
    def status_columns(self) -> "PostgresStatusColumns":
        """The application's own columns about the sync."""
        from billing_sync.adapters.postgres.source import PostgresStatusColumns

        return PostgresStatusColumns(
            self.engine, self.common.organisation_id, enabled=self.sync.status_columns == "on"
        )

    @cached_property
    def snapshots(self) -> "PostgresSnapshots":
        """What Zoho holds, in our tables."""
        from billing_sync.adapters.postgres.snapshots import PostgresSnapshots

        return PostgresSnapshots(self.engine, self.common.organisation_id)

    @cached_property
    def organisations(self) -> "PostgresOrganisations":
        """What is known of Zoho's organisation."""
        from billing_sync.adapters.postgres.organisations import PostgresOrganisations

        return PostgresOrganisations(self.engine, self.common.organisation_id)

    @cached_property
    def runs(self) -> "PostgresRuns":
        """The runs, their plans and findings."""
        from billing_sync.adapters.postgres.runs import PostgresRuns

        return PostgresRuns(self.engine, self.common.organisation_id, self.timing)

    @cached_property
    def operations(self) -> "PostgresOperations":
        """An operator's hands."""
        from billing_sync.adapters.postgres.operations import PostgresOperations

        return PostgresOperations(self.engine, self.common.organisation_id)

    @cached_property
    def loop(self) -> "Loop":
        """What every looping step does the same way."""
        from billing_sync.services.backfill.loop import Loop

        return Loop(self.runs, self.clock, self.timing)

    @cached_property
    def run_files(self) -> "RunFiles":
        """The bucket of plans and reports."""
        from billing_sync.adapters.s3 import S3RunFiles
        from billing_sync.config import StorageSettings

        return S3RunFiles(StorageSettings.from_environment(self._environment).runs_bucket)

    @cached_property
    def sweep(self) -> "Sweep":
        """One round over what nobody else brings back."""
        from billing_sync.services.sweep import Sweep

        return Sweep(
            self.records,
            self.source,
            self.organisations,
            self.status_columns,
            self.sync_record,
            self.quota,
            self.api,
            longest_sleep_seconds=self.timing.longest_sleep_seconds,
        )

    @cached_property
    def wake_up(self) -> "WorkOffWakeUp":
        """What a trigger's handler does with a message."""
        from billing_sync.services.wake_up import WorkOffWakeUp

        return WorkOffWakeUp(self.records, self.source, self.organisations, self.sync_record)

    @cached_property
    def executions(self) -> "Executions":
        """The executions of the state machine."""
        from billing_sync.adapters.step_functions import StepFunctionsExecutions

        return StepFunctionsExecutions()

    # --------------------------------------------------------------------------------- services

    @cached_property
    def take_snapshot(self) -> "TakeSnapshot":
        """The walk over Zoho's customers."""
        from billing_sync.services.take_snapshot import TakeSnapshot

        return TakeSnapshot(
            self.source,
            self.snapshots,
            self.api,
            self.names,
            max_age_seconds=self._snapshot_max_age_seconds,
        )

    @cached_property
    def subscription_rows(self) -> "TakeRows[RemoteSubscription]":
        """The walk over Zoho's subscriptions."""
        from billing_sync.domain.states import EntityType
        from billing_sync.services.take_rows import TakeRows

        return TakeRows(
            EntityType.SUBSCRIPTION,
            lambda page, newest_first: self.api.list_subscriptions(page, newest_first=newest_first),
            self.snapshots,
            max_age_seconds=self._snapshot_max_age_seconds,
            since=self._since_there,
        )

    @cached_property
    def invoice_rows(self) -> "TakeRows[RemoteInvoice]":
        """The walk over Zoho's invoices."""
        from billing_sync.domain.states import EntityType
        from billing_sync.services.take_rows import TakeRows

        return TakeRows(
            EntityType.INVOICE,
            lambda page, newest_first: self.api.list_invoices(page, newest_first=newest_first),
            self.snapshots,
            max_age_seconds=self._snapshot_max_age_seconds,
            since=self._since_there,
        )

    def _since_there(self, moment: datetime) -> datetime:
        from billing_sync.services.newest_first import since_there

        return since_there(moment, self.organisations)

    @property
    def _snapshot_max_age_seconds(self) -> float:
        return self.timing.scaled(self.sync.snapshot_max_age_hours * 3600)

    @cached_property
    def money(self) -> "OrganisationMoney":
        """How the organisation in Zoho counts."""
        from billing_sync.services.money_rules import OrganisationMoney

        settings = self.sync
        return OrganisationMoney(
            self.organisations, settings.prices, settings.rounding, settings.tax_settings
        )

    @cached_property
    def rules(self) -> "Mapping[EntityType, EntityRules]":
        """What each entity brings to the engine."""
        return self.rules_over(self.source, self.records, self.snapshots, self.organisations)

    @cached_property
    def pages(self) -> "PostgresPages":
        """What a plan reads of many rows at once."""
        from billing_sync.adapters.postgres.pages import PostgresPages

        return PostgresPages(self.engine, self.common.organisation_id, self.timing)

    def rules_over(
        self,
        source: "PostgresSource",
        records: "PostgresRecords",
        snapshots: "PostgresSnapshots",
        organisations: "PostgresOrganisations",
    ) -> "Mapping[EntityType, EntityRules]":
        """Make the rules upon other ports than the ones that send."""
        from billing_sync.config import ACCOUNT_NUMBER_LABEL
        from billing_sync.domain.states import EntityType
        from billing_sync.services.catalogue import PlanRules, ProductRules
        from billing_sync.services.customers import CustomerRules
        from billing_sync.services.invoices import InvoiceRules
        from billing_sync.services.payments import PaymentRules
        from billing_sync.services.subscriptions import SubscriptionRules

        api, settings = self.api, self.sync
        return {
            EntityType.CUSTOMER: CustomerRules(
                source,
                snapshots,
                self.take_snapshot,
                api,
                organisations,
                self.names,
                account_label=ACCOUNT_NUMBER_LABEL,
            ),
            EntityType.PRODUCT: ProductRules(source, api, records, settings.product_names),
            EntityType.PLAN: PlanRules(source, api, records, self.money, settings.product_names),
            EntityType.SUBSCRIPTION: SubscriptionRules(
                source,
                snapshots,
                api,
                records,
                organisations,
                self.money,
                settings.ownership,
                self.subscription_rows,
            ),
            EntityType.INVOICE: InvoiceRules(
                source=source,
                api=api,
                records=records,
                snapshots=snapshots,
                organisations=organisations,
                money=self.money,
                ownership=settings.ownership,
                linking=settings.linking,
                rows=self.invoice_rows,
                hour_seconds=self.timing.scaled(3600),
            ),
            EntityType.PAYMENT: PaymentRules(
                source, api, records, self.money, settings.payment_ways, settings.ownership
            ),
        }

    @cached_property
    def sync_record(self) -> "SyncRecord":
        """The use case that everything else calls."""
        from billing_sync.services.sync_record import SyncRecord

        return SyncRecord(self.records, self.rules, self.status_columns, self.clock, self.timing)

    @cached_property
    def snapshot(self) -> "SnapshotStep":
        """The step `Snapshot`."""
        from billing_sync.services.backfill.snapshot import SnapshotStep

        return SnapshotStep(self.runs, self.loop, self.walk_lists)

    @cached_property
    def walk_lists(self) -> "WalkLists":
        """The walks over Zoho's lists, for `Snapshot` and `Verify`."""
        from billing_sync.services.backfill.snapshot import WalkLists

        return WalkLists(
            self.runs, self.loop, self.take_snapshot, self.subscription_rows, self.invoice_rows
        )

    @cached_property
    def compare_books(self) -> "CompareBooks":
        """Both sides' books, for `Plan`, `Verify` and `Report`."""
        from billing_sync.services.backfill.books import CompareBooks

        return CompareBooks(
            self.source,
            self.records,
            self.snapshots,
            self.verification,
            self.organisations,
            self.money,
            self.sync.ownership,
        )

    @cached_property
    def plan(self) -> "MakePlan":
        """The step `Plan`."""
        from billing_sync.config import ACCOUNT_NUMBER_LABEL
        from billing_sync.services.backfill.plan import MakePlan

        pages = self.pages
        return MakePlan(
            self.runs,
            self.loop,
            pages.source,
            pages.records,
            pages.snapshots,
            pages.organisations,
            self.quota,
            self.run_files,
            self.names,
            self.clock,
            self.rules_over(pages.source, pages.records, pages.snapshots, pages.organisations),
            pages,
            self.compare_books,
            account_label=ACCOUNT_NUMBER_LABEL,
        )

    @cached_property
    def sync_batch(self) -> "SyncBatch":
        """The steps `SyncBatch` and `WorkOffDue`."""
        from billing_sync.services.backfill.sync_batch import SyncBatch

        return SyncBatch(
            self.runs,
            self.loop,
            self.records,
            self.sync_record,
            self.quota,
            self.api,
            self.organisations,
            self.executions,
            self.clock,
            self.invoice_rows,
            workers=WORKERS,
            longest_sleep_seconds=self.timing.longest_sleep_seconds,
            pause_seconds=self.timing.pause_seconds,
            work_off_seconds=self.timing.scaled(self.sync.work_off_hours * 3600),
        )

    @cached_property
    def verify(self) -> "Verify":
        """The step `Verify`."""
        from billing_sync.config import ACCOUNT_NUMBER_LABEL
        from billing_sync.services.backfill.verify import Verify

        return Verify(
            self.runs,
            self.loop,
            self.walk_lists,
            self.take_snapshot,
            self.subscription_rows,
            self.invoice_rows,
            self.snapshots,
            self.source,
            self.records,
            self.verification,
            self.api,
            self.organisations,
            self.names,
            self.rules,
            self.money,
            self.compare_books,
            account_label=ACCOUNT_NUMBER_LABEL,
        )

    @cached_property
    def verification(self) -> "PostgresVerification":
        """Both sides side by side, in our tables."""
        from billing_sync.adapters.postgres.verification import PostgresVerification

        return PostgresVerification(self.engine, self.common.organisation_id)

    @cached_property
    def report(self) -> "MakeReport":
        """The step `Report`."""
        from billing_sync.services.backfill.amounts import AddUp
        from billing_sync.services.backfill.report import MakeReport

        add_up = AddUp(self.source, self.records, self.snapshots, self.verification, self.money)
        return MakeReport(
            self.runs, self.verification, self.run_files, self.clock, add_up, self.compare_books
        )

    @cached_property
    def conclude(self) -> "Conclude":
        """The step `Conclude`."""
        from billing_sync.services.backfill.conclude import Conclude

        return Conclude(self.runs, self.verification, self.operations)

    @cached_property
    def preflight(self) -> "Preflight":
        """The step `Preflight`."""
        from billing_sync.adapters.postgres.schema_check import PostgresSourceCheck
        from billing_sync.domain.data_centres import DATA_CENTRES
        from billing_sync.services.preflight import (
            MoneySettings,
            Preflight,
            PreflightDatabase,
            PreflightZoho,
        )

        zoho, sync = self.zoho, self.sync
        return Preflight(
            lambda: PreflightDatabase(
                PostgresSourceCheck(
                    self.engine,
                    self.common.organisation_id,
                    status_columns=sync.status_columns == "on",
                    ownership=sync.ownership,
                ),
                self.runs,
                self.organisations,
                self.snapshots,
            ),
            lambda: self.credentials,
            lambda: PreflightZoho(self.api, self.tokens, self.quota),
            lambda: self.run_files,
            self.executions,
            self.clock,
            self.timing,
            money=MoneySettings(sync.prices, sync.rounding, sync.tax_settings, sync.payment_ways),
            organisation_id=self.common.organisation_id,
            writes=zoho.zoho_writes == "on",
            is_real_zoho=zoho.is_real_zoho,
            expected_api_url=(None if zoho.api_url else DATA_CENTRES[zoho.zoho_data_centre][0]),
        )

    @cached_property
    def operate(self) -> "Operate":
        """What operators ask for."""
        from billing_sync.services.operate import Operate

        return Operate(
            self.runs,
            self.operations,
            self.source,
            self.organisations,
            self.organisations,
            self.quota,
            self.verification,
        )

    @cached_property
    def dashboard(self) -> "Dashboard":
        """How things stand, for the widget."""
        from billing_sync.adapters.html import JinjaPage
        from billing_sync.adapters.postgres.dashboard import PostgresDashboard
        from billing_sync.config import DashboardSettings
        from billing_sync.services.dashboard import Dashboard

        settings = DashboardSettings.from_environment(self._environment)
        return Dashboard(
            PostgresDashboard(self.engine, self.common.organisation_id),
            self.runs,
            self.quota,
            self.verification,
            JinjaPage(settings.operate_function_arn),
        )

    @cached_property
    def door(self) -> "Door":
        """The webhooks' way in."""
        from billing_sync.adapters.sender_keys import SecretKeyRing
        from billing_sync.adapters.sqs import SqsQueues
        from billing_sync.environment import WebhookSettings
        from billing_sync.services.door import Door

        settings = WebhookSettings.from_environment(self._environment)
        return Door(
            SqsQueues(settings.queue_urls),
            SecretKeyRing(settings.webhook_secret_arn, self.clock.monotonic),
            self.clock,
            tolerance_seconds=settings.webhook_tolerance_seconds,
            largest_body_bytes=settings.webhook_largest_body_bytes,
        )

    @cached_property
    def migrate(self) -> "Callable[[Path], MigrateAnswer]":
        """Migrations, views and rights, as the owner."""
        from billing_sync.adapters.postgres.engine import make_engine, make_url
        from billing_sync.adapters.postgres.migrate import migrate
        from billing_sync.config import OwnerSettings

        settings = OwnerSettings.from_environment(self._environment)
        engine = make_engine(make_url(self.secrets.read(settings.database_owner_secret_arn)))
        return lambda views_directory: migrate(
            engine, functions_role=settings.functions_role, views_directory=views_directory
        )


_container: Container | None = None
_making = threading.Lock()


def container(*, real_time: bool = False) -> Container:
    """Give the process's container; a Lambda keeps it while it is warm.

    A process serves one function, so that what it was made for first, it is for.
    """
    global _container  # noqa: PLW0603 - the one place where a warm Lambda keeps what it made
    with _making:
        if _container is None:
            _container = Container(real_time=real_time)
        return _container


def preflight() -> "Preflight":
    """Give the step `Preflight`, made anew each time.

    Somebody has just mended a secret and asks again: what a warm process remembers would deny it.
    """
    global _container  # noqa: PLW0603 - as above
    with _making:
        if _container is not None:
            _container.close()
        _container = Container()
        return _container.preflight


def snapshot() -> "SnapshotStep":
    """Give the step `Snapshot`."""
    return container().snapshot


def plan() -> "MakePlan":
    """Give the step `Plan`."""
    return container().plan


def sync_batch() -> "SyncBatch":
    """Give the steps `SyncBatch` and `WorkOffDue`."""
    return container().sync_batch


def verify() -> "Verify":
    """Give the step `Verify`."""
    return container().verify


def report() -> "MakeReport":
    """Give the step `Report`."""
    return container().report


def conclude() -> "Conclude":
    """Give the step `Conclude`."""
    return container().conclude


def wake_up() -> "WorkOffWakeUp":
    """Give what a trigger's handler does with a message."""
    return container(real_time=True).wake_up


def sweep() -> "Sweep":
    """Give one round of the sweep."""
    return container(real_time=True).sweep


def operate() -> "Operate":
    """Give what operators ask for."""
    return container().operate


def dashboard() -> "Dashboard":
    """Give the widget's content."""
    return container().dashboard


def migrate() -> "Callable[[Path], MigrateAnswer]":
    """Give migrations, views and rights."""
    return container().migrate


def webhook() -> "Door":
    """Give the webhooks' way in."""
    return container().door
