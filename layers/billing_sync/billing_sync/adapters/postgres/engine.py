"""Make the engine, with what Lambda and a pooler ask for."""

from typing import Any

from sqlalchemy import URL, Engine, create_engine

from billing_sync.domain.errors import Misconfigured


def make_url(secret: dict[str, Any]) -> URL:
    """Build the URL from a secret as RDS writes it; `host` may be a socket directory.

    :raises Misconfigured: naming what is missing; the template leaves empty texts there.
    """
    lacking = [name for name in ("host", "dbname", "username") if not secret.get(name)]
    if secret.get("port") and not str(secret["port"]).isdecimal():
        lacking.append("port (a number)")
    if lacking:
        raise Misconfigured(
            f"The database's secret lacks {', '.join(lacking)}.", code="secret_malformed"
        )
    return URL.create(
        "postgresql+psycopg",
        username=secret["username"],
        password=secret.get("password") or None,
        host=None if str(secret["host"]).startswith("/") else secret["host"],
        port=int(secret["port"]) if secret.get("port") else None,
        database=secret["dbname"],
        query={"host": secret["host"]} if str(secret["host"]).startswith("/") else {},
    )


def make_engine(url: URL | str, *, connections: int = 1) -> Engine:
    """Make an engine whose pool holds `connections`, one for each thread that works on records.

    Values never appear in exceptions (`hide_parameters`); prepared statements are off, because
    they break transaction poolers and pin connections of RDS Proxy.
    """
    return create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"prepare_threshold": None, "connect_timeout": 5},
    )
