"""The application's own columns about the sync, written through the views after the fact."""

from typing import Any, Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DataError, OperationalError

from billing_sync.adapters.postgres.source_views import (
    VIEW_OF,
    ColumnTypes,
    relation,
    zoho_id_columns,
)
from billing_sync.domain.states import STATES, EntityType, State
from billing_sync.ports import RecordKey

CURRENT: Final = text("""
    SELECT state, zoho_id, sentence, source_version, status_due, facts ->> 'number' AS number
    FROM billing_sync.records
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id
""")

TIMEOUTS: Final = text("""
    SELECT set_config('lock_timeout', '2s', true),
           set_config('idle_in_transaction_session_timeout', '2s', true)
""")

STATUS_DONE: Final = text("""
    UPDATE billing_sync.records SET
        source_version = coalesce(:source_version, source_version),
        signals = signals + :signal,
        status_due = CASE WHEN status_due = :seen THEN NULL ELSE status_due END
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id
""")

LOCK_NOT_AVAILABLE: Final = "55P03"
"""PostgreSQL's SQLSTATE for a lock that did not come within `lock_timeout`."""


class PostgresStatusColumns:
    """Transaction B: what the application sees of the sync, written after the fact."""

    def __init__(self, engine: Engine, organisation_id: str, *, enabled: bool) -> None:
        """Write only if `enabled`, the parameter StatusColumns."""
        self._engine = engine
        self._organisation_id = organisation_id
        self._enabled = enabled
        self._types = ColumnTypes(engine)

    def write(self, record: RecordKey) -> None:
        """Write the record's *current* state, read here: a remembered one may be out of date.

        A row that the application holds locked costs two seconds and nothing else: `status_due`
        stays, and the sweep comes back for it. Nor does a worker that stands still in here hold
        the application up for longer. Products and plans have no such columns: nothing is owed.
        """
        key = {
            "organisation_id": self._organisation_id,
            "entity_type": record.entity.value,
            "entity_id": record.entity_id,
        }
        wanted = self._enabled and _has_status_columns(record.entity)
        # Asked before the transaction: the pool of a worker may hold one connection only.
        id_type = self._types.of(VIEW_OF[record.entity].name, "id") if wanted else None
        try:
            with self._engine.begin() as connection:
                connection.execute(TIMEOUTS)
                now = connection.execute(CURRENT, key).one_or_none()
                if now is None or now.status_due is None:
                    return
                if not STATES[State(now.state)].status_written:
                    return
                version, signal = None, 0
                if id_type is not None:
                    version, signal = _write_columns(connection, record, id_type, now)
                connection.execute(
                    STATUS_DONE,
                    {**key, "source_version": version, "signal": signal, "seen": now.status_due},
                )
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise


def _has_status_columns(entity: EntityType) -> bool:
    return entity in VIEW_OF and bool(VIEW_OF[entity].status_columns())


def _write_columns(
    connection: Connection, record: RecordKey, id_type: str, now: Any
) -> tuple[Any, int]:
    """Give the version that our write made, and a signal if the row was changed meanwhile."""
    view = VIEW_OF[record.entity]
    status = STATES[State(now.state)].sync_status
    wanted = {
        "id": record.entity_id,
        "zoho_id": now.zoho_id,
        # What is not in Zoho has no number there, whatever it had.
        "number": now.number if now.zoho_id is not None else None,
        "status": status,
        "error": None if status == "synced" else now.sentence,
        "version": now.source_version,
    }
    columns = {
        **dict(zip(zoho_id_columns(view), ("zoho_id", "number"), strict=False)),
        "zoho_sync_status": "status",
        "zoho_last_sync_error": "error",
    }
    is_so = " AND ".join(
        f"{column} IS NOT DISTINCT FROM CAST(:{value} AS text)" for column, value in columns.items()
    )
    try:
        with connection.begin_nested():
            row = connection.execute(
                text(f"""SELECT updated_at, {is_so} AS is_so
                         FROM {relation(view)} WHERE id = CAST(:id AS {id_type})"""),
                wanted,
            ).one_or_none()
    except DataError:  # an id that no row can have
        return None, 0
    if row is None or row.is_so:
        return None, 0
    assignments = ", ".join(f"{column} = :{value}" for column, value in columns.items())
    written = connection.execute(
        text(f"""UPDATE {relation(view)} SET
                    {assignments},
                    zoho_last_synced_at = CASE WHEN :status = 'synced'
                        THEN clock_timestamp() ELSE zoho_last_synced_at END
                 WHERE id = CAST(:id AS {id_type}) AND updated_at = :version
                 RETURNING updated_at"""),
        {**wanted, "version": now.source_version or row.updated_at},
    ).scalar_one_or_none()
    if written is None:
        # It was changed since we read it. The signal brings the record back.
        return None, 1
    # A row that was never read stays so, whatever we wrote into it.
    return (None if now.source_version is None else written), 0
