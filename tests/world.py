"""Real PostgreSQL and fake Zoho over HTTP, wired by the product's own composition root."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.zoho.oauth import ZohoCredentials
from billing_sync.bootstrap import Container
from billing_sync.domain.remote import Tax
from billing_sync.domain.states import EntityType
from billing_sync.ports import AccessToken, Priority, RecordKey, TokenStore
from billing_sync.services.attempt import Outcome
from ops.fake_zoho import Credential, FakeZohoConfig, RunningFake, running_fake_zoho
from ops.local_stack.postgres import FUNCTIONS_ROLE, Database
from tests.records import row

ORGANISATION = "60098765432"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""Before any row: everything is real time's."""


class MemoryTokenStore(TokenStore):
    """The token's secret, in memory; share one between containers to share the token."""

    def __init__(self) -> None:
        self.token: AccessToken | None = None

    def read(self) -> AccessToken | None:
        return self.token

    def write(self, token: AccessToken) -> None:
        self.token = token


class World:
    """One organisation's both sides. `container()` gives a further worker, a process of its own."""

    def __init__(
        self,
        database: Database,
        zoho: RunningFake,
        config: FakeZohoConfig | None = None,
        **environment: str,
    ) -> None:
        self.database = database
        self.zoho = zoho
        self.config = config or FakeZohoConfig(time_scale=100)
        self.store = MemoryTokenStore()
        self.environment = {
            "ORGANISATION_ID": ORGANISATION,
            "TIME_SCALE": "100",
            "ZOHO_SECRET_ARN": "in memory",
            "ZOHO_TOKEN_SECRET_ARN": "in memory",
            "ZOHO_API_URL": zoho.api_url,
            "ZOHO_ACCOUNTS_URL": zoho.accounts_url,
            "ZOHO_WRITES": "on",
            "HTTP_DEADLINE_SECONDS": "2",
            "SEND_WINDOW_SECONDS": "1",
            "PROOF_DELAY_SECONDS": "60",
            "CALLS_PER_DAY": "100000",
            **environment,
        }
        self._containers: list[Container] = []
        self.worker = self.container()
        self.learn()

    def container(self, **environment: str) -> Container:
        return self._connect(Container({**self.environment, **environment}))

    def handler(self) -> Container:
        """Give a further worker as a trigger's handler is one: its reads go first, too."""
        return self._connect(Container(self.environment, real_time=True))

    def _connect(self, container: Container) -> Container:
        credential = Credential()
        container.engine = make_engine(self.database.url(FUNCTIONS_ROLE), connections=5)
        container.credentials = ZohoCredentials(
            credential.client_id, credential.client_secret, credential.refresh_token
        )
        container.token_store = self.store
        self._containers.append(container)
        return container

    def close(self) -> None:
        for container in self._containers:
            container.close()

    def learn(self) -> None:
        """Store what preflight would, without its calls."""
        found = self.config.organisations[0]
        self.worker.organisations.learn(
            found.name,
            found.currency_code,
            found.time_zone,
            price_precision=found.price_precision,
            taxes=[Tax.model_validate(tax.model_dump()) for tax in found.usable_taxes()],
        )

    def go_live(self, since: datetime = LONG_AGO) -> None:
        """Let triggers and sweep carry what was created or changed since; all, if not told."""
        assert self.worker.operations.go_live(since, by="test") == since

    def set_today(self, day: date) -> None:
        """Move our calendar and fake Zoho's to the morning of a day; Zoho renews what is due."""
        self.sql("UPDATE billing_sync.organisations SET today = :day", day=day)
        zone = ZoneInfo(self.config.organisations[0].time_zone)
        self.zoho.control.set_calendar(datetime.combine(day, time(9), zone))

    # --------------------------------------------------------------------------------- entities

    def bring(
        self, entity: EntityType, entity_id: object, worker: Container | None = None
    ) -> Outcome:
        """Bring one record of any entity in step, as a trigger would."""
        key = RecordKey(entity, str(entity_id))
        return (worker or self.worker).sync_record(key, priority=Priority.TRIGGER)

    def row(self, entity: EntityType, entity_id: object) -> Any:
        """Give a record's row; fails where there is none."""
        return row(self.database, RecordKey(entity, str(entity_id)))

    def insert(self, table: str, **columns: Any) -> str:
        """Insert a row as the application does; gives its id."""
        names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
        statement = f"INSERT INTO {table} ({names}) VALUES ({values}) RETURNING CAST(id AS text)"  # noqa: S608 - names of the test's own
        return str(self.sql(statement, **columns)[0][0])

    def change(self, table: str, row_id: object, **columns: Any) -> None:
        """Change a row as the application does, its trigger included."""
        changes = ", ".join(f"{name} = :{name}" for name in columns)
        self.sql(
            f"UPDATE {table} SET {changes} WHERE CAST(id AS text) = :row_id",  # noqa: S608 - as above
            row_id=str(row_id),
            **columns,
        )

    # ------------------------------------------------------------------------------ shorthands

    def customer_id(self, account_number: str) -> str:
        return str(
            self.sql("SELECT id FROM customers WHERE account_number = :a", a=account_number)[0].id
        )

    def customer(self, account_number: str) -> RecordKey:
        return RecordKey(EntityType.CUSTOMER, self.customer_id(account_number))

    def sync(self, account_number: str, container: Container | None = None) -> Outcome:
        worker = container or self.worker
        return worker.sync_record(self.customer(account_number), priority=Priority.TRIGGER)

    def record(self, account_number: str, organisation: str = ORGANISATION) -> Any:
        rows = self.sql(
            "SELECT * FROM billing_sync.records WHERE organisation_id = :o AND entity_id = :id",
            o=organisation,
            id=self.customer_id(account_number),
        )
        return rows[0] if rows else None

    def in_zoho(self, account_number: str) -> list[dict[str, Any]]:
        """Give the customers of fake Zoho that bear the account number in name or custom field."""
        return [
            customer
            for customer in self.zoho.control.customers()
            if account_number in customer["display_name"]
            or any(f["value"] == account_number for f in customer["custom_fields"])
        ]

    def sql(self, statement: str, **values: Any) -> list[Any]:
        """Run a statement as the superuser, who may look into both schemas."""
        engine = make_engine(self.database.superuser_url)
        try:
            with engine.begin() as connection:
                result = connection.execute(text(statement), values)
                return list(result.all()) if result.returns_rows else []
        finally:
            engine.dispose()


@contextmanager
def world(
    database: Database, config: FakeZohoConfig | None = None, **environment: str
) -> Iterator[World]:
    config = config or FakeZohoConfig(time_scale=100)
    with running_fake_zoho(config) as zoho:
        made = World(database, zoho, config, **environment)
        try:
            yield made
        finally:
            made.close()
