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
from pathlib import Path
from typing import Final

import httpx
from sqlalchemy import Connection, Engine, event, text

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.migrate import migrate
from billing_sync.adapters.postgres.quota import PostgresQuota
from billing_sync.adapters.zoho.oauth import ZohoCredentials
from billing_sync.adapters.zoho.transport import DeadlineTransport
from billing_sync.bootstrap import Container
from billing_sync.domain.timing import Timing
from billing_sync.ports import AccessToken, TokenStore
from ops.demo.load import APPLICATION_SQL
from ops.fake_zoho import Credential, FakeZohoConfig, FakeZohoControl, Limits, OrganisationConfig
from ops.local_stack.postgres import APPLICATION_ROLE, FUNCTIONS_ROLE, Database, PostgresServer
from ops.local_stack.processes import (
    BackgroundProcess,
    environment_program,
    project_root,
    scratch_directory,
    tail,
)

ORGANISATION: Final = OrganisationConfig().organization_id
SOURCE_VIEWS: Final = project_root() / "functions" / "migrate" / "source"
TIME_SCALE: Final = 60.0
NO_LIMIT: Final = 1_000_000

# A hundred people behind one thousand names: namesakes happen, as they do.
_FILL: Final = """
INSERT INTO customers (account_number, account_type, first_name, last_name, email, phone, street,
                       city, state, zip, country, currency, created_at, updated_at)
SELECT 'CT-2025-' || lpad(n::text, 5, '0'), 'personal', 'First' || n % 100, 'Last' || n % 1000,
       'customer' || n || '@example.com', '+2721' || lpad(n::text, 7, '0'), n || ' Protea Street',
       'Paarl', 'Western Cape', '7646', 'South Africa', 'ZAR',
       timestamptz '2025-01-01 00:00:00+00' + n * interval '1 minute',
       timestamptz '2025-01-01 00:00:00+00' + n * interval '1 minute'
FROM generate_series(1, :customers) AS n
"""


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
    """The product's own transport, with a stop-watch around each call."""

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
            self.calls += 1
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


def filled_database(server: PostgresServer, name: str, customers: int) -> Database:
    """Make a database with the application's tables, our own, and so many customers."""
    database = server.create_database(name)
    database.run_script(APPLICATION_SQL, APPLICATION_ROLE)
    run_as(database, APPLICATION_ROLE, _FILL, customers=customers)
    migrate(database.owner_url, functions_role=FUNCTIONS_ROLE, views_directory=SOURCE_VIEWS)
    run_as(database, APPLICATION_ROLE, "ANALYZE customers")
    return database


@contextmanager
def world(database: Database, directory: Path) -> Iterator[World]:
    """Start fake Zoho beside the database, and a worker with real adapters between the two."""
    with _fake_zoho(directory) as url, FakeZohoControl(url) as control:
        worker = container(database, url)
        zoho = TimedTransport()
        worker.http = httpx.Client(transport=zoho)
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
    worker.organisations.learn("Bench Telecoms", "ZAR", "Africa/Johannesburg")
    return worker


def unlimited_quota(engine: Engine) -> PostgresQuota:
    """Make the real governor, with limits that nothing here reaches."""
    quota = PostgresQuota(engine, ORGANISATION, Timing(scale=TIME_SCALE), time.monotonic)
    quota.configure(NO_LIMIT, NO_LIMIT, NO_LIMIT)
    return quota


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
