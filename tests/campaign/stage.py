"""Both worlds of a round: the application's database, and fake Zoho with an eye on its writes."""

import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, override

import psycopg
from psycopg.rows import dict_row

from billing_sync.bootstrap import Container
from billing_sync.config import ACCOUNT_NUMBER_LABEL
from ops.fake_zoho import (
    AnyFault,
    FakeZohoConfig,
    Limits,
    OrganisationConfig,
    RunningFake,
    SeedCustomer,
    Switches,
    running_fake_zoho,
)
from ops.fake_zoho.faults import FaultDesk
from ops.local_stack.postgres import APPLICATION_ROLE, FUNCTIONS_ROLE, SUPERUSER, Database
from tests.campaign.weather import Weather
from tests.campaign.worker import FileTokenStore, container
from tests.world import LONG_AGO

ORGANISATION: Final = OrganisationConfig().organization_id
FIRST_ID: Final = 1000
NEVER_INSERTED: Final = 3
"""So many more ids are asked for than rows will ever be there: a webhook before its commit."""

_INSERT: Final = """
INSERT INTO customers (id, account_number, account_type, first_name, last_name, email, phone,
                       street, city, zip, country, currency)
VALUES (%(id)s, %(account_number)s, %(account_type)s, %(first_name)s, %(last_name)s, %(email)s,
        %(phone)s, 'Protea Street 1', 'Paarl', '7646', 'South Africa', 'ZAR')
"""


@dataclass(frozen=True, slots=True)
class SeenWrite:
    """A write as it reached Zoho: for whom, and when by the wall clock."""

    operation: str
    account_number: str
    arrived: datetime


class WatchfulDesk(FaultDesk):
    """Meets every admitted call, and so sees which account's write arrived, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[SeenWrite] = []
        self.met: dict[str, int] = {}

    @override
    def take(
        self,
        operation: str | None,
        display_name: str | None = None,
        *,
        body: str = "",
        path: str = "",
    ) -> AnyFault | None:
        if operation in ("create_customer", "update_customer"):
            account = json.loads(body)["custom_fields"][0]["value"]
            self.seen.append(SeenWrite(operation, account, datetime.now(UTC)))
        fault = super().take(operation, display_name, body=body, path=path)
        if fault is not None:
            self.met[fault.kind] = self.met.get(fault.kind, 0) + 1
        return fault


@dataclass(frozen=True, slots=True)
class Stranger:
    """A customer that people made in Zoho: what it shares with one of ours."""

    shares: str
    account_number: str


@dataclass
class Stage:
    """What a round is played on."""

    weather: Weather
    database: Database
    zoho: RunningFake
    desk: WatchfulDesk
    directory: Path
    parent: Container
    strangers: dict[str, Stranger] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Give what the workers find in their environment."""
        return environment(self.weather, self.zoho)

    @property
    def most_customers(self) -> int:
        """Give how many may be registered in a round."""
        return self.weather.customers + 4

    @property
    def ids(self) -> tuple[str, ...]:
        """Give the ids that may ever be there, and some that never will."""
        most = self.most_customers + NEVER_INSERTED
        return tuple(str(FIRST_ID + number) for number in range(most))

    # -------------------------------------------------------------------------- application

    @contextmanager
    def application(self) -> Iterator[psycopg.Cursor[dict[str, Any]]]:
        """Open a connection as the application, which waits for nobody's lock for long."""
        with (
            self.database.connect(APPLICATION_ROLE) as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            cursor.execute("SET lock_timeout = '1s'")
            yield cursor

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Read as the superuser, who may look into all schemas."""
        with (
            self.database.connect(SUPERUSER) as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            return cursor.execute(statement.encode()).fetchall()

    def insert(self, number: int, chance: random.Random) -> None:
        """Register a customer; names repeat, some have no e-mail, some may not be sent."""
        nobody = chance.random() < 0.05
        values = {
            "id": FIRST_ID + number,
            "account_number": account_number(number),
            "account_type": "internal_test" if chance.random() < 0.1 else "personal",
            "first_name": "" if nobody else f"First{number % 5}",
            "last_name": "" if nobody else f"Last{number % 3}",
            "email": None if chance.random() < 0.2 else f"customer{number}@example.com",
            "phone": f"+2721555{number:04d}",
        }
        with self.application() as cursor:
            cursor.execute(_INSERT, values)

    # ------------------------------------------------------------------------------- Zoho

    def arrive(self, stranger: Stranger, row: dict[str, Any]) -> str:
        """Let a person make a customer in Zoho that shares something with one of ours."""
        name = f"{row['first_name']} {row['last_name']}"
        profile: dict[str, Any] = {"display_name": f"Stranger {len(self.strangers)}"}
        match stranger.shares:
            case "e-mail":
                profile["email"] = row["email"] or "nobody@example.com"
            case "phone":
                profile["phone"] = row["phone"]
            case "name":
                profile |= {"first_name": row["first_name"], "last_name": row["last_name"]}
            case "display_name":
                profile["display_name"] = f"{name} ({row['account_number']})"
            case _:
                profile["custom_fields"] = [
                    {"label": ACCOUNT_NUMBER_LABEL, "value": row["account_number"]}
                ]
        made = SeedCustomer(profile=profile, created_time=datetime.now(UTC))
        [zoho_id] = self.zoho.control.seed([made])
        self.strangers[zoho_id] = stranger
        return zoho_id


def account_number(number: int) -> str:
    """Give the account number of the customer with this number."""
    return f"CT-2025-{number:05d}"


def environment(weather: Weather, zoho: RunningFake) -> dict[str, str]:
    """Give a worker's environment."""
    return {
        "ORGANISATION_ID": ORGANISATION,
        "ZOHO_SECRET_ARN": "in memory",
        "ZOHO_TOKEN_SECRET_ARN": "in a file",
        "ZOHO_API_URL": zoho.api_url,
        "ZOHO_ACCOUNTS_URL": zoho.accounts_url,
        "ZOHO_WRITES": "on",
        "CALLS_PER_DAY": "100000",
        **weather.environment,
    }


@contextmanager
def stage(
    weather: Weather, database: Database, directory: Path, chance: random.Random
) -> Iterator[Stage]:
    """Set both worlds up: customers here, some strangers there, and a token for all."""
    limits = Limits(
        calls_per_minute=weather.calls_per_minute,
        calls_per_day=100_000,
        calls_in_flight=weather.calls_in_flight,
    )
    config = FakeZohoConfig(
        time_scale=weather.time_scale,
        organisations=[OrganisationConfig(limits=limits)],
        switches=Switches(
            allow_duplicate_display_names=weather.names_may_repeat,
            index_lag_seconds=weather.index_lag_seconds,
            latency_ms=weather.latency_ms,
        ),
    )
    with running_fake_zoho(config) as zoho:
        desk = zoho.fake.faults = WatchfulDesk()
        parent = container(
            environment(weather, zoho),
            weather.timing,
            database.url(FUNCTIONS_ROLE),
            FileTokenStore(directory / "token.json"),
            connections=6,
        )
        try:
            made = Stage(weather, database, zoho, desk, directory, parent)
            with made.application() as cursor:
                cursor.execute("DELETE FROM customers")
            for number in range(weather.customers):
                made.insert(number, chance)
            rows = made.rows("SELECT * FROM customers ORDER BY id")
            for row in chance.sample(rows, k=weather.customers // 4):
                shares = chance.choice(("e-mail", "phone", "name", "account", "account"))
                made.arrive(Stranger(shares, row["account_number"]), row)
            parent.organisations.learn("Demo Telecoms", "ZAR", "Africa/Johannesburg")
            parent.operations.go_live(LONG_AGO, by="campaign")
            parent.tokens.current()
            yield made
        finally:
            parent.close()


def number_in(zoho_customer: dict[str, Any]) -> str | None:
    """Read which of our account numbers a customer of Zoho bears, in its field or its name."""
    for custom in zoho_customer["custom_fields"]:
        if custom["label"] == ACCOUNT_NUMBER_LABEL and custom["value"]:
            return str(custom["value"])
    found = re.search(r"\((CT-\d{4}-\d{5})\)$", zoho_customer["display_name"])
    return found[1] if found else None


def wait_until(moment: float) -> None:
    """Sleep until a monotonic time."""
    time.sleep(max(moment - time.monotonic(), 0))
