"""The provider's rows, through the views `billing_source`, and the status columns in them."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Engine, text
from sqlalchemy.exc import DataError, OperationalError

from billing_sync.adapters.postgres.engine import one_statement
from billing_sync.adapters.postgres.records import sql_list
from billing_sync.domain.source import Customer
from billing_sync.domain.states import STATES, EntityType, State, states_where
from billing_sync.domain.steps import Only
from billing_sync.ports import RecordKey

VIEW_OF: Final = {EntityType.CUSTOMER: "billing_source.customers"}
ZOHO_ID_COLUMN: Final = {EntityType.CUSTOMER: "zoho_billing_customer_id"}

ID_TYPE: Final = text("""
    SELECT format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = CAST(:view AS regclass) AND attname = 'id'
""")


class PostgresSource:
    """Reads rows by key and by keyset; never by offset, never the first so many."""

    def __init__(self, engine: Engine, organisation_id: str) -> None:
        """Keep the engine; the types of the ids are asked for once, at first use."""
        self._engine = engine
        self._organisation_id = organisation_id
        self._id_type = cache(self._read_id_type)

    def customer(self, customer_id: str) -> Customer | None:
        """Read one customer, None when there is none (or the id cannot be one)."""
        # The parameter is cast, not the column: a cast column finds no index.
        statement = text(f"""
            SELECT * FROM billing_source.customers
            WHERE id = CAST(:id AS {self._id_type(EntityType.CUSTOMER)})
        """)
        try:
            with one_statement(self._engine) as connection:
                row = connection.execute(statement, {"id": customer_id}).one_or_none()
        except DataError:
            return None
        return None if row is None else Customer.model_validate(row._asdict())

    def customers_after(self, cursor: str | None, limit: int, only: Only) -> list[Customer]:
        """Read the next customers by primary key, restricted as a run is."""
        id_type = self._id_type(EntityType.CUSTOMER)
        statement = text(f"""
            SELECT c.* FROM billing_source.customers c
            LEFT JOIN billing_sync.records r
              ON r.organisation_id = :organisation_id AND r.entity_type = 'customer'
             AND r.entity_id = CAST(c.id AS text)
            WHERE (CAST(:cursor AS text) IS NULL OR c.id > CAST(:cursor AS {id_type}))
              AND (:any_id OR c.id = ANY(CAST(:ids AS {id_type}[])))
              AND (:any_account OR c.account_number = ANY(:accounts))
              AND (CAST(:since AS timestamptz) IS NULL OR c.created_at >= :since)
              AND (CAST(:until AS timestamptz) IS NULL OR c.created_at < :until)
              AND (:any_state OR r.state = ANY(:states))
            ORDER BY c.id LIMIT :limit
        """)
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                statement,
                {
                    "organisation_id": self._organisation_id,
                    "cursor": cursor,
                    "limit": limit,
                    "any_id": not only.ids,
                    "ids": list(only.ids),
                    "any_account": not only.accounts,
                    "accounts": list(only.accounts),
                    "since": only.since,
                    "until": only.until,
                    "any_state": not only.states,
                    "states": [state.value for state in only.states],
                },
            )
            return [Customer.model_validate(row._asdict()) for row in rows]

    def customer_id_of(self, id_or_account: str) -> str | None:
        """Find a customer by account number or by id, as a person may name either."""
        with one_statement(self._engine) as connection:
            found = connection.execute(
                text("""SELECT CAST(id AS text) FROM billing_source.customers
                        WHERE account_number = :given OR CAST(id AS text) = :given
                        ORDER BY (account_number = :given) DESC LIMIT 1"""),
                {"given": id_or_account},
            ).scalar_one_or_none()
        return None if found is None else str(found)

    def known_account_numbers(self, numbers: Sequence[str]) -> set[str]:
        """Say which of the given account numbers are customers of ours."""
        with one_statement(self._engine) as connection:
            return set(
                connection.execute(
                    text("""SELECT account_number FROM billing_source.customers
                            WHERE account_number = ANY(:numbers)"""),
                    {"numbers": list(numbers)},
                ).scalars()
            )

    def account_numbers(self, ids: Sequence[str]) -> dict[str, str]:
        """Give the account numbers of customers by id."""
        id_type = self._id_type(EntityType.CUSTOMER)
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""SELECT CAST(id AS text) AS id, account_number
                         FROM billing_source.customers
                         WHERE id = ANY(CAST(:ids AS {id_type}[]))"""),
                {"ids": list(ids)},
            )
            return {row.id: row.account_number for row in rows}

    def count(self, entity: EntityType) -> int:
        """Count the rows of an entity's view."""
        with one_statement(self._engine) as connection:
            counted = connection.execute(text(f"SELECT count(*) FROM {VIEW_OF[entity]}"))
            return int(counted.scalar_one())

    def changed(self, entity: EntityType, limit: int) -> list[RecordKey]:
        """Give records whose row is new, or is not the version that was last read.

        Our own write of the status columns is no change: the version that it made is stored.
        """
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""
                    SELECT CAST(s.id AS text) AS id FROM {VIEW_OF[entity]} s
                    LEFT JOIN billing_sync.records r
                      ON r.organisation_id = :organisation_id AND r.entity_type = :entity_type
                     AND r.entity_id = CAST(s.id AS text)
                    WHERE r.entity_id IS NULL
                       OR r.source_version IS DISTINCT FROM s.updated_at
                          AND r.signals <= r.signals_claimed
                          AND r.state IN ({sql_list(states_where("claimed_on_signal"))})
                    ORDER BY s.id LIMIT :limit"""),
                {
                    "organisation_id": self._organisation_id,
                    "entity_type": entity.value,
                    "limit": limit,
                },
            )
            return [RecordKey(entity, row.id) for row in rows]

    def vanished(self, entity: EntityType) -> list[RecordKey]:
        """Give records that are in Zoho and whose row is gone here, not yet said to be so."""
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""SELECT r.entity_id FROM billing_sync.records r
                         WHERE r.organisation_id = :organisation_id
                           AND r.entity_type = :entity_type AND r.zoho_id IS NOT NULL
                           AND r.removed_at IS NULL
                           AND r.code IS DISTINCT FROM 'deleted_here'
                           AND NOT EXISTS (SELECT 1 FROM {VIEW_OF[entity]} s
                                           WHERE CAST(s.id AS text) = r.entity_id)
                         ORDER BY r.entity_id"""),
                {"organisation_id": self._organisation_id, "entity_type": entity.value},
            ).all()
        return [RecordKey(entity, row.entity_id) for row in rows]

    def _read_id_type(self, entity: EntityType) -> str:
        with one_statement(self._engine) as connection:
            found = connection.execute(ID_TYPE, {"view": VIEW_OF[entity]}).scalar_one()
        return str(found)


CURRENT: Final = text("""
    SELECT state, zoho_id, sentence, source_version, status_due FROM billing_sync.records
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


class PostgresStatusColumns:
    """Transaction B: what the application sees of the sync, written after the fact."""

    def __init__(self, engine: Engine, organisation_id: str, *, enabled: bool) -> None:
        """Write only if `enabled`, the parameter StatusColumns."""
        self._engine = engine
        self._organisation_id = organisation_id
        self._enabled = enabled
        self._id_types = PostgresSource(engine, organisation_id)

    def write(self, record: RecordKey) -> None:
        """Write the record's *current* state, read here: a remembered one may be out of date.

        A row that the application holds locked costs two seconds and nothing else: `status_due`
        stays, and the sweep comes back for it. Nor does a worker that stands still in here hold
        the application up for longer.
        """
        key = {
            "organisation_id": self._organisation_id,
            "entity_type": record.entity.value,
            "entity_id": record.entity_id,
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(TIMEOUTS)
                now = connection.execute(CURRENT, key).one_or_none()
                if now is None or now.status_due is None:
                    return
                if not STATES[State(now.state)].status_written:
                    return
                version, signal = None, 0
                if self._enabled:
                    version, signal = self._write_columns(connection, record, now)
                connection.execute(
                    STATUS_DONE,
                    {**key, "source_version": version, "signal": signal, "seen": now.status_due},
                )
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise

    def _write_columns(self, connection: Any, record: RecordKey, now: Any) -> tuple[Any, int]:
        """Give the version that our write made, and a signal if the row was changed meanwhile."""
        view, id_column = VIEW_OF[record.entity], ZOHO_ID_COLUMN[record.entity]
        id_type = self._id_types._id_type(record.entity)  # noqa: SLF001 - one module, one cache
        status = STATES[State(now.state)].sync_status
        wanted = {
            "id": record.entity_id,
            "zoho_id": now.zoho_id,
            "status": status,
            "error": None if status == "synced" else now.sentence,
            "version": now.source_version,
        }
        try:
            with connection.begin_nested():
                row = connection.execute(
                    text(f"""SELECT updated_at,
                                {id_column} IS NOT DISTINCT FROM CAST(:zoho_id AS text)
                                AND zoho_sync_status IS NOT DISTINCT FROM CAST(:status AS text)
                                AND zoho_last_sync_error IS NOT DISTINCT FROM CAST(:error AS text)
                                AS is_so
                             FROM {view} WHERE id = CAST(:id AS {id_type})"""),
                    wanted,
                ).one_or_none()
        except DataError:  # an id that no row can have
            return None, 0
        if row is None or row.is_so:
            return None, 0
        written = connection.execute(
            text(f"""UPDATE {view} SET
                        {id_column} = :zoho_id, zoho_sync_status = :status,
                        zoho_last_sync_error = :error,
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


LOCK_NOT_AVAILABLE: Final = "55P03"
"""PostgreSQL's SQLSTATE for a lock that did not come within `lock_timeout`."""
