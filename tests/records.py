"""What tests of the sync records look into, and how they let a record's time pass."""

from typing import Any

from psycopg.rows import namedtuple_row

from billing_sync.ports import RecordKey
from ops.fake_zoho import RunningFake
from ops.local_stack.postgres import SUPERUSER, Database

ORGANISATION = "60098765432"

_ONE = (
    " WHERE organisation_id = %(organisation)s AND entity_type = %(entity)s AND entity_id = %(id)s "
)


def sql(database: Database, statement: str, **values: Any) -> list[Any]:
    """Run a statement as the superuser, in a transaction of its own."""
    with (
        database.connect(SUPERUSER) as connection,
        connection.cursor(row_factory=namedtuple_row) as cursor,
    ):
        cursor.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def _of(database: Database, record: RecordKey, *statement: str, **values: Any) -> list[Any]:
    key = {
        "organisation": ORGANISATION,
        "entity": record.entity.value,
        "id": record.entity_id,
    }
    return sql(database, "".join(statement), **key, **values)


def row(database: Database, record: RecordKey) -> Any:
    """Give a record's row; fails where there is none."""
    [found] = _of(database, record, "SELECT * FROM billing_sync.records", _ONE)
    return found


def put(database: Database, record: RecordKey, **columns: Any) -> None:
    """Write a record's row as some earlier day may have left it."""
    _of(
        database,
        record,
        "INSERT INTO billing_sync.records (organisation_id, entity_type, entity_id, ",
        ", ".join(columns),
        ") VALUES (%(organisation)s, %(entity)s, %(id)s, ",
        ", ".join(f"%({name})s" for name in columns),
        ")",
        **columns,
    )


def change(database: Database, record: RecordKey, **columns: Any) -> None:
    """Write columns of a record that is there."""
    changes = ", ".join(f"{name} = %({name})s" for name in columns)
    _of(database, record, "UPDATE billing_sync.records SET ", changes, _ONE, **columns)


def make_due(database: Database, record: RecordKey) -> None:
    """Let the time until the record's next attempt, or its proof, pass."""
    past = "next_attempt_at = clock_timestamp() - interval '1 ms'"
    _of(database, record, "UPDATE billing_sync.records SET ", past, _ONE)


def expire_lease(database: Database, record: RecordKey) -> None:
    """Let the lease of the record's claim run out."""
    past = "lease_until = clock_timestamp() - interval '1 ms'"
    _of(database, record, "UPDATE billing_sync.records SET ", past, _ONE)


def intents(database: Database, record: RecordKey) -> list[Any]:
    """Give the record's intents, the first one first."""
    return _of(database, record, "SELECT * FROM billing_sync.intents", _ONE, "ORDER BY intent_id")


def closed_as(database: Database, record: RecordKey) -> list[str | None]:
    """Say how each of the record's intents ended; None is one that is still open."""
    return [intent.closed_as for intent in intents(database, record)]


def stray_answers(database: Database, record: RecordKey) -> list[Any]:
    """Give the answers that came after their claims were lost."""
    select = "SELECT * FROM billing_sync.stray_answers"
    return _of(database, record, select, _ONE, "ORDER BY stray_id")


def calls(zoho: RunningFake) -> list[str]:
    """Name the calls of the API that reached Zoho, in their order."""
    return [str(entry.operation) for entry in zoho.control.log() if entry.is_api_call]
