"""Make the engine, with what Lambda and a pooler ask for."""

import time
from typing import Any, Final

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError

from billing_sync.domain.errors import Misconfigured

IDLE_SECONDS: Final = 5.0


def make_url(secret: dict[str, Any]) -> URL:
    """Build the URL from a secret as RDS writes it; `host` may be a socket directory.

    `sslmode` (libpq's words) may be added to the secret; without it the network is `require`d to
    be encrypted.

    :raises Misconfigured: naming what is missing; the template leaves empty texts there.
    """
    lacking = [name for name in ("host", "dbname", "username") if not secret.get(name)]
    if secret.get("port") and not str(secret["port"]).isdecimal():
        lacking.append("port (a number)")
    if lacking:
        raise Misconfigured(
            f"The database's secret lacks {', '.join(lacking)}.", code="secret_malformed"
        )
    on_socket = str(secret["host"]).startswith("/")
    return URL.create(
        "postgresql+psycopg",
        username=secret["username"],
        password=secret.get("password") or None,
        host=None if on_socket else secret["host"],
        port=int(secret["port"]) if secret.get("port") else None,
        database=secret["dbname"],
        # Over a network never without encryption, unless the secret says so.
        query={"host": secret["host"]}
        if on_socket
        else {"sslmode": str(secret.get("sslmode") or "require")},
    )


def make_engine(url: URL | str, *, connections: int = 1) -> Engine:
    """Make an engine whose pool holds `connections`, one for each thread that works on records.

    Values never appear in exceptions (`hide_parameters`); prepared statements are off, because
    they break transaction poolers and pin connections of RDS Proxy.
    """
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"prepare_threshold": None, "connect_timeout": 5},
    )
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _ping_if_idle)
    return engine


def one_statement(engine: Engine) -> Connection:
    """Open a connection for statements that stand alone: two round trips less than a transaction.

    Each statement commits by itself; a function of the database is one statement.
    """
    return engine.execution_options(isolation_level="AUTOCOMMIT").connect()


def _note_use(_connection: psycopg.Connection, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _ping_if_idle(connection: psycopg.Connection, record: Any, _proxy: object) -> None:
    """Try a connection that has lain idle, as in a Lambda that was frozen; not each time."""
    used_at = record.info.get("used_at")
    if used_at is None or time.monotonic() - used_at < IDLE_SECONDS:
        return
    try:
        connection.execute("")
        connection.rollback()
    except psycopg.Error as error:
        # The pool then opens another one.
        raise DisconnectionError from error
