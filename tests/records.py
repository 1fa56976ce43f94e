"""What tests of the sync records look into, and how they let a record's time pass."""

from typing import Any

from psycopg.rows import namedtuple_row

from billing_sync.ports import RecordKey
from ops.fake_zoho import RunningFake
from ops.local_stack.postgres import SUPERUSER, Database

ORGANISATION = "60098765432"

_ONE = "organisation_id = %(organisation)s AND entity_type = %(entity)s AND entity_id = %(id)s"


def sql(database: Database, statement: str, **values: Any) -> list[Any]:
    """Run a statement as the superuser, in a transaction of its own."""
    with (
        database.connect(SUPERUSER) as connection,
        connection.cursor(row_factory=namedtuple_row) as cursor,
    ):
        cursor.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def _of(record: RecordKey, organisation: str = ORGANISATION) -> dict[str, str]:
    return {
        "organisation": organisation,
        "entity": record.entity.value,
        "id": record.entity_id,
    }


def row(database: Database, record: RecordKey) -> Any:
    """Give a record's row; fails where there is none."""
    [found] = sql(database, f"SELECT * FROM billing_sync.records WHERE {_ONE}", **_of(record))
    return found


def put(database: Database, record: RecordKey, **columns: Any) -> None:
    """Write a record's row as some earlier day may have left it."""
    columns = {"state": "pending", **columns}
    sql(
        database,
        f"""INSERT INTO billing_sync.records
                (organisation_id, entity_type, entity_id, {", ".join(columns)})
            VALUES (%(organisation)s, %(entity)s, %(id)s,
                    {", ".join(f"%({name})s" for name in columns)})""",
        **_of(record),
        **columns,
    )


def change(database: Database, record: RecordKey, **columns: Any) -> None:
    """Write columns of a record that is there."""
    changes = ", ".join(f"{name} = %({name})s" for name in columns)
    sql(
        database,
        f"UPDATE billing_sync.records SET {changes} WHERE {_ONE}",
        **_of(record),
        **columns,
    )


def make_due(database: Database, record: RecordKey) -> None:
    """Let the time until the record's next attempt, or its proof, pass."""
    sql(
        database,
        f"""UPDATE billing_sync.records
            SET next_attempt_at = clock_timestamp() - interval '1 ms' WHERE {_ONE}""",
        **_of(record),
    )


def expire_lease(database: Database, record: RecordKey) -> None:
    """Let the lease of the record's claim run out."""
    sql(
        database,
        f"""UPDATE billing_sync.records
            SET lease_until = clock_timestamp() - interval '1 ms' WHERE {_ONE}""",
        **_of(record),
    )


def intents(database: Database, record: RecordKey) -> list[Any]:
    """Give the record's intents, the first one first."""
    return sql(
        database,
        f"SELECT * FROM billing_sync.intents WHERE {_ONE} ORDER BY intent_id",
        **_of(record),
    )


def closed_as(database: Database, record: RecordKey) -> list[str | None]:
    """Say how each of the record's intents ended; None is one that is still open."""
    return [intent.closed_as for intent in intents(database, record)]


def stray_answers(database: Database, record: RecordKey) -> list[Any]:
    """Give the answers that came after their claims were lost."""
    return sql(
        database,
        f"SELECT * FROM billing_sync.stray_answers WHERE {_ONE} ORDER BY stray_id",
        **_of(record),
    )


def calls(zoho: RunningFake) -> list[str | None]:
    """Name the calls of the API that reached Zoho, in their order."""
    return [entry.operation for entry in zoho.control.log() if entry.is_api_call]
