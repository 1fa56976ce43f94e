"""What is measured against: real PostgreSQL, and fake Zoho in a process of its own.

The clocks run sixty times as fast, so that as many permits are taken in a «minute» as in real
life; the limits themselves are out of the way.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from datetime import time as time_of_day
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import httpx
from sqlalchemy import Connection, Engine, event, text

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.migrate import migrate
from billing_sync.adapters.postgres.quota import PostgresQuota
from billing_sync.adapters.zoho.oauth import ZohoCredentials
from billing_sync.adapters.zoho.transport import DeadlineTransport
from billing_sync.bootstrap import Container
from billing_sync.domain.remote import Tax
from billing_sync.domain.timing import Timing
from billing_sync.ports import AccessToken, TokenStore
from ops.bench.books import TODAY, Rows
from ops.demo.load import APPLICATION_SQL
from ops.fake_zoho import Credential, FakeZohoConfig, FakeZohoControl, Limits, OrganisationConfig
from ops.local_stack.postgres import (
    APPLICATION_ROLE,
    FUNCTIONS_ROLE,
    OWNER_ROLE,
    Database,
    PostgresServer,
)
from ops.local_stack.processes import (
    BackgroundProcess,
    environment_program,
    project_root,
    scratch_directory,
    tail,
)

ORGANISATION_CONFIG: Final = OrganisationConfig()
ORGANISATION: Final = ORGANISATION_CONFIG.organization_id
SOURCE_VIEWS: Final = project_root() / "functions" / "migrate" / "source"
TIME_SCALE: Final = 60.0
NO_LIMIT: Final = 1_000_000
LISTED_AFTER_SECONDS: Final = 10.0
"""Zoho's seconds after which its index shows what was written."""


class MemoryTokenStore(TokenStore):
    """The token's secret: Secrets Manager is not what is measured here."""

    def __init__(self) -> None:
        """Begin without a token."""
        self._token: AccessToken | None = None

    def read(self) -> AccessToken | None:
        """Give the token."""
        return self._token

    def write(self, token: AccessToken) -> None:
        """Keep the token."""
        self._token = token


class TimedTransport(httpx.BaseTransport):
    """The product's own transport, with a stop-watch around each call.

    A token's request goes to the accounts host and counts as none of the organisation's calls.
    """

    def __init__(self) -> None:
        """Begin at nothing."""
        self._transport = DeadlineTransport()
        self.calls = 0
        self.seconds = 0.0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Make the call, and note how long Zoho and the way there took."""
        started = time.perf_counter()
        try:
            return self._transport.handle_request(request)
        finally:
            self.calls += not request.url.path.startswith("/oauth/")
            self.seconds += time.perf_counter() - started

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()


class RoundTrips:
    """Counts what goes to the database and back.

    A transaction is two besides its statements (BEGIN, COMMIT or ROLLBACK). A statement that
    stands alone has none.
    """

    def __init__(self, engine: Engine) -> None:
        """Listen to the engine."""
        self.statements = self.transactions = 0

        def statement(*_: object) -> None:
            self.statements += 1

        def transaction(connection: Connection) -> None:
            self.transactions += connection.get_execution_options().get("isolation_level") is None

        event.listen(engine, "before_cursor_execute", statement)
        event.listen(engine, "begin", transaction)

    @property
    def total(self) -> int:
        """Give all round trips so far."""
        return self.statements + 2 * self.transactions


@dataclass(frozen=True, slots=True)
class World:
    """Both sides, and one worker between them with its stop-watch."""

    database: Database
    control: FakeZohoControl
    worker: Container
    zoho: TimedTransport
    round_trips: RoundTrips

    def application(self, statement: str, **values: object) -> None:
        """Run a statement as the application would."""
        run_as(self.database, APPLICATION_ROLE, statement, **values)

    def add(self, rows: Rows) -> None:
        """Add rows as the application would."""
        self.application(rows.statement, **rows.values)

    def let_an_hour_pass(self) -> None:
        """Let Zoho's index show what was made, and our lists be too old to link by."""
        self.control.advance_clock(LISTED_AFTER_SECONDS)
        run_as(
            self.database,
            OWNER_ROLE,
            "UPDATE billing_sync.snapshots SET renewed_at = now() - interval '1 hour',"
            " started_at = started_at - interval '1 hour' / CAST(:scale AS float)",
            scale=TIME_SCALE,
        )

    def take_snapshot(self) -> None:
        """Walk all of Zoho's lists into our tables, anew."""
        for walk in (
            self.worker.take_snapshot,
            self.worker.subscription_rows,
            self.worker.invoice_rows,
        ):
            walk.begin()
            walk.advance(lambda: True)


def run_as(database: Database, role: str, statement: str, **values: object) -> None:
    """Run one statement in a transaction of its own."""
    engine = make_engine(database.url(role))
    try:
        with engine.begin() as connection:
            connection.execute(text(statement), values)
    finally:
        engine.dispose()


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """Run a server whose data live in memory, where there is room."""
    scratch = scratch_directory()
    try:
        with PostgresServer(scratch / "postgres", log=scratch / "postgres.log") as server:
            yield server
    finally:
        shutil.rmtree(scratch)


def filled_database(server: PostgresServer, name: str, *rows: Rows) -> Database:
    """Make a database with the application's tables, our own, and rows of the application's."""
    database = server.create_database(name)
    database.run_script(APPLICATION_SQL, APPLICATION_ROLE)
    for each in rows:
        run_as(database, APPLICATION_ROLE, each.statement, **each.values)
    migrate(database.owner_url, functions_role=FUNCTIONS_ROLE, views_directory=SOURCE_VIEWS)
    run_as(database, APPLICATION_ROLE, "ANALYZE")
    return database


@contextmanager
def world(database: Database, directory: Path) -> Iterator[World]:
    """Start fake Zoho beside the database, and a worker with real adapters between the two."""
    with _fake_zoho(directory) as url, FakeZohoControl(url) as control:
        worker = container(database, url)
        zoho = TimedTransport()
        worker.http = httpx.Client(transport=zoho)
        _set_calendars(database, control)
        try:
            yield World(database, control, worker, zoho, RoundTrips(worker.engine))
        finally:
            worker.engine.dispose()
            worker.http.close()


def container(database: Database, url: str) -> Container:
    """Make a worker as a function's bootstrap does; only its secrets come from elsewhere."""
    worker = Container(
        {
            "ORGANISATION_ID": ORGANISATION,
            "TIME_SCALE": str(TIME_SCALE),
            "ZOHO_SECRET_ARN": "in memory",
            "ZOHO_TOKEN_SECRET_ARN": "in memory",
            "ZOHO_API_URL": url,
            "ZOHO_ACCOUNTS_URL": url,
            "ZOHO_WRITES": "on",
        }
    )
    credential = Credential()
    worker.engine = make_engine(database.url(FUNCTIONS_ROLE), connections=5)
    worker.credentials = ZohoCredentials(
        credential.client_id, credential.client_secret, credential.refresh_token
    )
    worker.token_store = MemoryTokenStore()
    worker.quota = unlimited_quota(worker.engine)
    worker.organisations.learn(
        "Bench Telecoms",
        ORGANISATION_CONFIG.currency_code,
        ORGANISATION_CONFIG.time_zone,
        price_precision=ORGANISATION_CONFIG.price_precision,
        taxes=[Tax.model_validate(tax.model_dump()) for tax in ORGANISATION_CONFIG.taxes],
    )
    return worker


def unlimited_quota(engine: Engine) -> PostgresQuota:
    """Make the real governor, with limits that nothing here reaches."""
    quota = PostgresQuota(engine, ORGANISATION, Timing(scale=TIME_SCALE), time.monotonic)
    quota.configure(NO_LIMIT, NO_LIMIT, NO_LIMIT)
    return quota


def _set_calendars(database: Database, control: FakeZohoControl) -> None:
    run_as(
        database, OWNER_ROLE, "UPDATE billing_sync.organisations SET today = :today", today=TODAY
    )
    zone = ZoneInfo(ORGANISATION_CONFIG.time_zone)
    control.set_calendar(datetime.combine(TODAY, time_of_day(9), zone))


@contextmanager
def _fake_zoho(directory: Path) -> Iterator[str]:
    limits = Limits(calls_per_minute=NO_LIMIT, calls_per_day=NO_LIMIT, calls_in_flight=NO_LIMIT)
    config = FakeZohoConfig(
        time_scale=TIME_SCALE, organisations=[OrganisationConfig(limits=limits)]
    )
    document = directory / "fake-zoho.json"
    document.write_text(config.model_dump_json(indent=2), encoding="utf-8")
    log = directory / "fake-zoho.log"
    process = BackgroundProcess(
        "fake Zoho",
        [environment_program(".venv", "python"), "-m", "ops.fake_zoho", "--config", document],
        environment={"PATH": os.defpath, "PYTHONUNBUFFERED": "1"},
        log=log,
        cwd=project_root(),
        pipe_output=True,
    )
    try:
        started = process.output.readline()
        if not started:
            raise RuntimeError(f"fake Zoho did not start:\n{tail(log)}")
        yield json.loads(started)["url"]
    finally:
        process.end()
