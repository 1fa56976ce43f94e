"""Bring schemas, tables, views and rights up to date; run by the function `migrate` as the owner.

Everything happens in one transaction: a view that PostgreSQL refuses leaves all as it was.
"""

import re
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Connection, Engine, text

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.domain.steps import MigrateAnswer

MIGRATIONS: Final = Path(__file__).with_name("migrations")

READ_WRITE: Final = "SELECT, INSERT, UPDATE, DELETE"
TABLE_RIGHTS: Final = {
    "records": "SELECT, INSERT, UPDATE",
    "intents": "SELECT, INSERT, UPDATE",
    "stray_answers": "SELECT, INSERT, UPDATE",
    "runs": "SELECT, INSERT, UPDATE",
    "backfill_plan": READ_WRITE,
    "findings": READ_WRITE,
    "confirmations": "SELECT, INSERT, UPDATE",
    "audit": "SELECT, INSERT",
    "snapshots": READ_WRITE,
    "snapshot_customers": READ_WRITE,
    "snapshot_subscriptions": READ_WRITE,
    "snapshot_invoices": READ_WRITE,
    "organisations": "SELECT, INSERT, UPDATE",
    "zoho_sync_logs": "SELECT, INSERT",
    "quota": "SELECT, INSERT, UPDATE",
    "quota_hours": READ_WRITE,
    "permits": READ_WRITE,
    "token": "SELECT, INSERT, UPDATE",
    "alembic_version": "SELECT",
}
"""Exactly what the functions do: nothing deletes a record, an intent, a log row or an audit row."""

STATUS_COLUMNS: Final = frozenset(
    {
        "zoho_billing_customer_id",
        "zoho_subscription_id",
        "zoho_billing_invoice_id",
        "zoho_invoice_number",
        "zoho_payment_id",
        "zoho_sync_status",
        "zoho_last_synced_at",
        "zoho_last_sync_error",
    }
)
"""What the functions may write through a view. One that leaves them out goes without."""

OPTIONAL: Final = re.compile(r"-- optional: (\S+)\s*\n")
"""The first line of a view that is made only where the table (or view) that it names is there."""

# Preflight compares this count with what the functions' role sees: with row-level security on a
# base table a view may show no rows and no error.
OWNER_COUNT: Final = """
CREATE OR REPLACE FUNCTION billing_source.count_as_owner(view_name text) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    counted bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM billing_source.%I', view_name) INTO counted;
    RETURN counted;
END
$$
"""


def migrate(
    engine: Engine | URL | str, *, functions_role: str, views_directory: Path
) -> MigrateAnswer:
    """Migrate as the owner; safe to repeat.

    :param engine: the owner's engine, or the URL of one that is made for this and disposed of.
    :param functions_role: the role of all other functions; it must exist.
    :param views_directory: holds one `<name>.sql` for each view, in the order of their names. One
        that begins with `-- optional: <table>` is left out where that table is not there.
    :raises sqlalchemy.exc.DBAPIError: a statement was refused; nothing was changed.
    """
    if not isinstance(engine, Engine):
        owner = make_engine(engine)
        try:
            return migrate(owner, functions_role=functions_role, views_directory=views_directory)
        finally:
            owner.dispose()
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS billing_sync"))
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS billing_source"))
        revision = _upgrade(connection)
        views = _make_views(connection, views_directory)
        _grant(connection, functions_role, views)
    return MigrateAnswer(revision=revision, views=views)


def _upgrade(connection: Connection) -> str:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    context = MigrationContext.configure(connection, opts={"version_table_schema": "billing_sync"})
    revision = context.get_current_revision()
    assert revision is not None  # noqa: S101 - head was just reached
    return revision


def _make_views(connection: Connection, directory: Path) -> tuple[str, ...]:
    """Drop and make each view: a view cannot be replaced by one with other columns."""
    names = []
    for file in sorted(directory.glob("*.sql")):
        connection.execute(text(f"DROP VIEW IF EXISTS billing_source.{file.stem}"))
        statement = file.read_text(encoding="utf-8")
        optional = OPTIONAL.match(statement)
        if optional is not None and not _is_there(connection, optional[1]):
            continue
        connection.exec_driver_sql(statement)
        names.append(file.stem)
    connection.execute(text(OWNER_COUNT))
    return tuple(names)


def _is_there(connection: Connection, relation: str) -> bool:
    found = connection.execute(text("SELECT to_regclass(:relation)"), {"relation": relation})
    return found.scalar_one() is not None


def _grant(connection: Connection, role: str, views: tuple[str, ...]) -> None:
    quoted = connection.dialect.identifier_preparer.quote(role)
    for schema in ("billing_sync", "billing_source"):
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {quoted}"))
    connection.execute(
        text(f"REVOKE ALL ON ALL TABLES IN SCHEMA billing_sync, billing_source FROM {quoted}")
    )
    for table, rights in TABLE_RIGHTS.items():
        connection.execute(text(f"GRANT {rights} ON billing_sync.{table} TO {quoted}"))
    connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA billing_sync TO {quoted}"))
    for schema in ("billing_sync", "billing_source"):
        connection.execute(text(f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC"))
        connection.execute(text(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {quoted}"))
    for view in views:
        connection.execute(text(f"GRANT SELECT ON billing_source.{view} TO {quoted}"))
        columns = connection.execute(
            text("""SELECT attname FROM pg_attribute
                    WHERE attrelid = to_regclass('billing_source.' || :view) AND attnum > 0"""),
            {"view": view},
        ).scalars()
        if writable := ", ".join(sorted(STATUS_COLUMNS.intersection(columns))):
            connection.execute(
                text(f"GRANT UPDATE ({writable}) ON billing_source.{view} TO {quoted}")
            )
