"""The row of a credential's token: who may mint, and what became of it (protocol §7)."""

from typing import Final
from uuid import uuid4

from sqlalchemy import Engine, TextClause, text

from billing_sync.adapters.postgres.engine import one_statement
from billing_sync.domain.timing import Timing
from billing_sync.ports import AccessToken, MintLease, TokenRecord, TokenState

ATTEMPTS: Final = 5
ATTEMPTS_WINDOW_SECONDS: Final = 600
COOLDOWN_SECONDS: Final = 600
LEASE_BEYOND_DEADLINE_SECONDS: Final = 10

_READ: Final = text("""
    SELECT now.moment, t.generation, t.expires_at, t.refusal,
        CASE WHEN t.lease_until > now.moment THEN t.lease_until END AS lease_until,
        CASE WHEN t.cooldown_until > now.moment THEN t.cooldown_until END AS cooldown_until,
        (
            -- With as many attempts in the window as are allowed, the first of the last few of
            -- them must leave it.
            SELECT a.attempt + make_interval(secs => :attempts_window)
            FROM unnest(t.mint_attempts) AS a (attempt)
            WHERE a.attempt > now.moment - make_interval(secs => :attempts_window)
            ORDER BY a.attempt DESC OFFSET :attempts - 1 LIMIT 1
        ) AS attempts_free_at
    FROM (SELECT clock_timestamp() AS moment) now
    LEFT JOIN billing_sync.token t ON t.credential = :credential
""")

# One statement takes the lease and counts the attempt: the row is locked and judged as it is then.
_TAKE_LEASE: Final = text("""
    INSERT INTO billing_sync.token AS t
        (credential, lease_id, lease_until, reserved_generation, mint_attempts)
    VALUES (
        :credential, CAST(:lease_id AS uuid),
        clock_timestamp() + make_interval(secs => :lease_seconds), :above + 1,
        ARRAY[clock_timestamp()]
    )
    ON CONFLICT (credential) DO UPDATE SET
        lease_id = excluded.lease_id,
        lease_until = clock_timestamp() + make_interval(secs => :lease_seconds),
        reserved_generation = greatest(t.reserved_generation, t.generation, :above) + 1,
        mint_attempts = ARRAY(
            SELECT a FROM unnest(t.mint_attempts) AS a
            WHERE a > clock_timestamp() - make_interval(secs => :attempts_window)
        ) || clock_timestamp()
    WHERE t.generation = :seen_generation
        AND (t.lease_until IS NULL OR t.lease_until <= clock_timestamp())
        AND (t.cooldown_until IS NULL OR t.cooldown_until <= clock_timestamp())
        AND (
            SELECT count(*) FROM unnest(t.mint_attempts) AS a
            WHERE a > clock_timestamp() - make_interval(secs => :attempts_window)
        ) < :attempts
    RETURNING reserved_generation, clock_timestamp() AS taken_at
""")

_HOLDS: Final = text(
    "SELECT 1 FROM billing_sync.token WHERE credential = :credential"
    " AND lease_id = CAST(:lease_id AS uuid) AND lease_until > clock_timestamp()"
)

_MINTED: Final = text("""
    UPDATE billing_sync.token
    SET generation = :generation, minted_at = :minted_at, expires_at = :expires_at,
        tokens_minted = tokens_minted + 1,
        lease_id = NULL, lease_until = NULL, cooldown_until = NULL, refusal = NULL
    WHERE credential = :credential AND lease_id = CAST(:lease_id AS uuid)
        AND generation < :generation
""")

# A refusal concerns the credential, not the lease: it is written even by a worker that lost it.
_REFUSED: Final = text("""
    UPDATE billing_sync.token
    SET cooldown_until = clock_timestamp() + make_interval(secs => :cooldown_seconds),
        refusal = :word,
        lease_until = CASE WHEN lease_id = CAST(:lease_id AS uuid) THEN NULL ELSE lease_until END
    WHERE credential = :credential
""")

_RELEASED: Final = text(
    "UPDATE billing_sync.token SET lease_id = NULL, lease_until = NULL"
    " WHERE credential = :credential AND lease_id = CAST(:lease_id AS uuid)"
)


class PostgresTokenRecord(TokenRecord):
    """The row of one credential; `credential` is a hash (`ZohoCredentials.key`)."""

    def __init__(self, engine: Engine, credential: str, timing: Timing) -> None:
        self._engine = engine
        self._credential = credential
        self._timing = timing
        self._rules = {
            "attempts": ATTEMPTS,
            "attempts_window": timing.scaled(ATTEMPTS_WINDOW_SECONDS),
        }

    def read(self) -> TokenState:
        """Read the row with the database's time."""
        with one_statement(self._engine) as connection:
            row = connection.execute(_READ, {"credential": self._credential, **self._rules}).one()
        return TokenState(
            now=row.moment,
            generation=row.generation or 0,
            expires_at=row.expires_at,
            lease_until=row.lease_until,
            attempts_free_at=row.attempts_free_at,
            cooldown_until=row.cooldown_until,
            refusal=row.refusal,
        )

    def take_lease(self, seen: TokenState, *, above: int) -> MintLease | None:
        """Take the lease and count the attempt, if the row still is as it was seen."""
        lease_id = str(uuid4())
        # Real seconds: it covers the call to Zoho's OAuth server, which no scale makes faster.
        lease_seconds = (
            self._timing.send_window_seconds
            + self._timing.http_deadline_seconds
            + LEASE_BEYOND_DEADLINE_SECONDS
        )
        with one_statement(self._engine) as connection:
            row = connection.execute(
                _TAKE_LEASE,
                {
                    "credential": self._credential,
                    "lease_id": lease_id,
                    "lease_seconds": lease_seconds,
                    "above": above,
                    "seen_generation": seen.generation,
                    **self._rules,
                },
            ).one_or_none()
        if row is None:
            return None
        return MintLease(
            lease_id=lease_id, generation=row.reserved_generation, taken_at=row.taken_at
        )

    def holds(self, lease: MintLease) -> bool:
        """Say whether nobody else may have taken over."""
        with one_statement(self._engine) as connection:
            return connection.execute(_HOLDS, self._key(lease)).first() is not None

    def minted(self, lease: MintLease, token: AccessToken) -> None:
        """Write generation and expiry, never the token."""
        self._write(
            _MINTED,
            lease,
            generation=token.generation,
            minted_at=token.minted_at,
            expires_at=token.expires_at,
        )

    def refused(self, lease: MintLease, word: str) -> None:
        """Start the cool-down."""
        self._write(
            _REFUSED, lease, word=word, cooldown_seconds=self._timing.scaled(COOLDOWN_SECONDS)
        )

    def released(self, lease: MintLease) -> None:
        """End the lease; the attempt stays counted."""
        self._write(_RELEASED, lease)

    def _key(self, lease: MintLease) -> dict[str, object]:
        return {"credential": self._credential, "lease_id": lease.lease_id}

    def _write(self, statement: TextClause, lease: MintLease, **values: object) -> None:
        with one_statement(self._engine) as connection:
            connection.execute(statement, {**self._key(lease), **values})
