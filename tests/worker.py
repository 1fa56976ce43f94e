"""Workers as the tests need them: each with the objects that a process of its own would have.

They share what processes share: the database, the token's secret, and fake Zoho.
"""

import time
from datetime import UTC, datetime

from sqlalchemy import Engine, text

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.quota import PostgresQuota
from billing_sync.adapters.postgres.token import PostgresTokenRecord
from billing_sync.adapters.zoho.client import ZohoBilling, ZohoSettings
from billing_sync.adapters.zoho.oauth import ZohoCredentials, ZohoOAuth
from billing_sync.adapters.zoho.transport import open_http
from billing_sync.domain.timing import Timing
from billing_sync.ports import Clock, Priority, TokenStore
from billing_sync.services.tokens import SharedToken
from ops.fake_zoho import Credential, OrganisationConfig, RunningFake
from ops.local_stack.postgres import Database

ORGANISATION = OrganisationConfig().organization_id
CREDENTIALS = ZohoCredentials(
    client_id=Credential().client_id,
    client_secret=Credential().client_secret,
    refresh_token=Credential().refresh_token,
)


class SystemClock(Clock):
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def jitter(self) -> float:
        return 1.0


class Worker:
    """One process: its engine, its connections to Zoho, and what it remembers of the token."""

    def __init__(
        self,
        database: Database,
        zoho: RunningFake,
        store: TokenStore,
        timing: Timing,
        *,
        credentials: ZohoCredentials = CREDENTIALS,
        priority: Priority = Priority.BACKFILL,
        writes: bool = True,
        connections: int = 1,
    ) -> None:
        self.timing = timing
        self.clock = SystemClock()
        self._engine = make_engine(database.functions_url, connections=connections)
        self._http = open_http()
        self.quota = PostgresQuota(self._engine, ORGANISATION, timing, time.monotonic)
        self.tokens = SharedToken(
            PostgresTokenRecord(self._engine, credentials.key(zoho.accounts_url), timing),
            store,
            ZohoOAuth(self._http, zoho.accounts_url, credentials, timing, time.monotonic),
            timing,
            self.clock,
        )
        self.billing = ZohoBilling(
            self._http,
            self.tokens,
            self.quota,
            ZohoSettings(
                organisation_id=ORGANISATION, writes=writes, api_url=None, priority=priority
            ),
            timing,
            self.clock,
        )

    def close(self) -> None:
        self._http.close()
        self._engine.dispose()


def let_pass(engine: Engine, seconds: float) -> None:
    """Let time pass for quota and token at once: everything written moves into the past."""
    moved: dict[str, tuple[str, ...]] = {
        "quota": (
            "limit_reduced_at",
            "in_flight_reduced_at",
            "in_flight_blocked_until",
            "block_started_at",
            "blocked_until",
            "day_cap_learnt_at",
            "paused_at",
            "probe_at",
            "priority_until",
            "backfill_next_at",
        ),
        "permits": ("taken_at", "deadline", "answered_at", "free_at"),
        "token": ("minted_at", "expires_at", "lease_until", "cooldown_until"),
    }
    past = {"seconds": seconds}
    with engine.begin() as connection:
        for table, columns in moved.items():
            changes = ", ".join(f"{c} = {c} - make_interval(secs => :seconds)" for c in columns)
            connection.execute(text(f"UPDATE billing_sync.{table} SET {changes}"), past)  # noqa: S608
        connection.execute(
            text(
                "UPDATE billing_sync.token SET mint_attempts = ARRAY("
                "SELECT a - make_interval(secs => :seconds) FROM unnest(mint_attempts) AS a)"
            ),
            past,
        )
        connection.execute(
            text("UPDATE billing_sync.quota_hours SET hour = hour - :hours"),
            {"hours": int(seconds // 3600)},
        )
