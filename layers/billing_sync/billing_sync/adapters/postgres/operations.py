"""What an operator changes by hand, each change with its row in the audit, in one transaction."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from billing_sync.adapters.postgres.engine import one_statement
from billing_sync.adapters.postgres.records import sql_list
from billing_sync.domain.states import (
    Colour,
    EntityType,
    State,
    states_coloured,
    states_where,
)
from billing_sync.ports import RecordKey

AT_REST: Final = sql_list(states_where("claimed_on_signal"))

ASKED_FOR_NOW: Final = """
        -- A person asks for this very record: after go-live the sweep brings it, however old it is.
        live_since = CASE WHEN live_since IS NULL AND EXISTS (
                SELECT 1 FROM billing_sync.organisations o
                WHERE o.organisation_id = :organisation_id AND o.live_from IS NOT NULL)
            THEN clock_timestamp() ELSE live_since END
"""

RETRY: Final = text(f"""
    UPDATE billing_sync.records SET
        signals = signals + 1,
        -- Else the record would be found unchanged and settled back.
        attempted_fingerprint = CASE WHEN state IN ({AT_REST}) AND state <> 'synced'
            THEN NULL ELSE attempted_fingerprint END,
        -- The ladder begins anew. What is in doubt stays so: an intent is never cleared by hand.
        -- Looks for a row that has not come stay counted: they end, however often somebody asks.
        attempt_number = CASE WHEN state = 'retrying' AND code = 'not_found_here'
            THEN attempt_number ELSE 0 END,
        next_attempt_at = CASE WHEN state = 'retrying' THEN clock_timestamp()
            ELSE next_attempt_at END,
        {ASKED_FOR_NOW}
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      -- What a person has accepted is left alone, unless it is named.
      AND CASE WHEN :any_id THEN accepted_at IS NULL ELSE entity_id = ANY(:ids) END
      AND (:any_state OR state = ANY(:states))
      AND (CAST(:code AS text) IS NULL OR code = :code)
    RETURNING entity_id
""")

HOLDER: Final = text("""
    SELECT entity_id FROM billing_sync.records
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND zoho_id = :zoho_id AND entity_id <> :entity_id
""")

LINK: Final = text(f"""
    UPDATE billing_sync.records SET
        zoho_id = :zoho_id, how = 'linked', confirmed_fingerprint = NULL,
        attempted_fingerprint = NULL, signals = signals + 1, create_anyway_by = NULL,
        former_zoho_ids = CASE WHEN zoho_id <> :zoho_id
            THEN array_append(former_zoho_ids, zoho_id) ELSE former_zoho_ids END,
        code = CASE WHEN code = 'gone_in_zoho' THEN 'linked_again' ELSE code END,
        changed_at = clock_timestamp(),
        {ASKED_FOR_NOW}
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id
      AND state IN ('ambiguous', 'failed', 'mismatch', 'exhausted', 'skipped', 'pending',
                    'retrying', 'waiting')
      AND NOT EXISTS (SELECT 1 FROM billing_sync.intents i
                      WHERE i.organisation_id = :organisation_id AND i.entity_type = :entity_type
                        AND i.entity_id = :entity_id AND i.closed_at IS NULL)
""")

CREATE_ANYWAY: Final = text(f"""
    UPDATE billing_sync.records SET
        create_anyway_by = :by, attempted_fingerprint = NULL, signals = signals + 1,
        changed_at = clock_timestamp(),
        {ASKED_FOR_NOW}
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id AND state = 'ambiguous' AND code = 'plausible'
""")

RED: Final = sql_list(states_coloured(Colour.RED))

# What is in doubt is being proved, and says itself what it was.
ACCEPT: Final = text(f"""
    UPDATE billing_sync.records SET
        accepted_at = clock_timestamp(), accepted_by = :by, accepted_reason = :reason
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id AND state IN ({RED}) AND state <> 'in_doubt'
""")

GO_LIVE: Final = text("""
    UPDATE billing_sync.organisations SET
        live_from = coalesce(CAST(:since AS timestamptz), live_from, clock_timestamp())
    WHERE organisation_id = :organisation_id
      AND (CAST(:since AS timestamptz) IS NULL
           OR CAST(:since AS timestamptz) <= clock_timestamp())
      AND (NOT :only_first OR live_from IS NULL)
    RETURNING live_from
""")

PAUSE: Final = text("""
    UPDATE billing_sync.organisations SET
        paused_at = clock_timestamp(), paused_by = :by, paused_reason = :reason
    WHERE organisation_id = :organisation_id AND paused_at IS NULL
""")

RESUME: Final = text("""
    UPDATE billing_sync.organisations SET
        paused_at = NULL, paused_by = NULL, paused_reason = NULL
    WHERE organisation_id = :organisation_id AND paused_at IS NOT NULL
""")

WAKE_PAUSED: Final = text("""
    UPDATE billing_sync.records SET next_attempt_at = clock_timestamp()
    WHERE organisation_id = :organisation_id AND code = 'writes_paused'
      AND state IN ('retrying', 'in_doubt')
""")

NUMBERS: Final = {
    EntityType.PLAN: ("packages", "sku"),
    EntityType.INVOICE: ("invoices", "invoice_number"),
    EntityType.PAYMENT: ("payments", "transaction_id"),
}
"""The view of an entity, and the column by which people call its rows."""

AUDIT: Final = text("""
    INSERT INTO billing_sync.audit (organisation_id, by, action, entity_type, entity_id, details)
    VALUES (:organisation_id, :by, :action, :entity_type, :entity_id, CAST(:details AS jsonb))
""")


class PostgresOperations:
    """An operator's hands (`Operations`)."""

    def __init__(self, engine: Engine, organisation_id: str) -> None:
        """Keep what every statement needs."""
        self._engine = engine
        self._organisation_id = organisation_id

    def retry(
        self,
        entity: EntityType,
        *,
        ids: Sequence[str],
        states: Sequence[State],
        code: str | None,
        by: str,
    ) -> int:
        """Ask for another look at records; gives how many."""
        with self._engine.begin() as connection:
            retried = list(
                connection.execute(
                    RETRY,
                    {
                        "organisation_id": self._organisation_id,
                        "entity_type": entity.value,
                        "any_id": not ids,
                        "ids": list(ids),
                        "any_state": not states,
                        "states": [state.value for state in states],
                        "code": code,
                    },
                ).scalars()
            )
            for entity_id in retried:
                self._audit(connection, by, "retry", RecordKey(entity, entity_id), {})
        return len(retried)

    def link(self, record: RecordKey, zoho_id: str, *, by: str) -> RecordKey | None:
        """Link the record; gives the other record that holds the id, None when it is linked.

        :raises LookupError: the record is unknown, is being worked on, or its write is in doubt.
        """
        key = {**self._key(record), "zoho_id": zoho_id}
        try:
            with self._engine.begin() as connection:
                holder = connection.execute(HOLDER, key).scalar_one_or_none()
                if holder is not None:
                    return RecordKey(record.entity, holder)
                if connection.execute(LINK, key).rowcount == 0:
                    raise LookupError(str(record))
                self._audit(connection, by, "link", record, {"zoho_id": zoho_id})
        except IntegrityError:
            # Another record was given this id since we looked: it is the holder now.
            with one_statement(self._engine) as connection:
                return RecordKey(record.entity, connection.execute(HOLDER, key).scalar_one())
        return None

    def create_anyway(self, record: RecordKey, *, by: str) -> bool:
        """Allow the create although somebody plausible is there; False where it is not allowed."""
        with self._engine.begin() as connection:
            allowed = connection.execute(CREATE_ANYWAY, {**self._key(record), "by": by})
            if allowed.rowcount:
                self._audit(connection, by, "create_anyway", record, {})
            return allowed.rowcount > 0

    def accept(self, record: RecordKey, reason: str, *, by: str) -> bool:
        """Accept a red record; False where it is not red, or is in doubt."""
        with self._engine.begin() as connection:
            accepted = connection.execute(ACCEPT, {**self._key(record), "by": by, "reason": reason})
            if accepted.rowcount:
                self._audit(connection, by, "accept", record, {"reason": reason})
            return accepted.rowcount > 0

    def go_live(
        self, since: datetime | None, *, by: str, only_first: bool = False
    ) -> datetime | None:
        """Set `live_from`; gives it as it stands now, None where nothing was set."""
        with self._engine.begin() as connection:
            live_from: datetime | None = connection.execute(
                GO_LIVE,
                {
                    "organisation_id": self._organisation_id,
                    "since": since,
                    "only_first": only_first,
                },
            ).scalar_one_or_none()
            if live_from is not None:
                self._audit(connection, by, "go_live", None, {"from": live_from.isoformat()})
        return live_from

    def pause(self, reason: str, *, by: str) -> bool:
        """Hold back every write; False where they are already."""
        with self._engine.begin() as connection:
            paused = connection.execute(
                PAUSE, {"organisation_id": self._organisation_id, "by": by, "reason": reason}
            )
            if paused.rowcount:
                self._audit(connection, by, "pause", None, {"reason": reason})
            return paused.rowcount > 0

    def resume(self, *, by: str) -> int | None:
        """Let writes go on, and make due what waited for it, in one transaction."""
        organisation = {"organisation_id": self._organisation_id}
        with self._engine.begin() as connection:
            if connection.execute(RESUME, organisation).rowcount == 0:
                return None
            woken = connection.execute(WAKE_PAUSED, organisation).rowcount
            self._audit(connection, by, "resume", None, {"woken": woken})
        return woken

    def resolve(self, entity: EntityType, given: str) -> tuple[str, ...]:
        """Give the ids of the rows whose id this is; else those whose number it is."""
        if entity not in NUMBERS:
            return (given,)
        view, number = NUMBERS[entity]
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""
                    SELECT CAST(id AS text) AS id, CAST(id AS text) = :given AS by_id
                    FROM billing_source.{view}
                    WHERE CAST(id AS text) = :given OR {number} = :given
                    ORDER BY 2 DESC, 1 LIMIT 2"""),
                {"given": given},
            ).all()
        return tuple(row.id for row in rows if row.by_id or not rows[0].by_id)

    def note(self, by: str, action: str, details: dict[str, Any]) -> None:
        """Write down what was done about no single record."""
        with self._engine.begin() as connection:
            self._audit(connection, by, action, None, details)

    def _audit(
        self,
        connection: Connection,
        by: str,
        action: str,
        record: RecordKey | None,
        details: dict[str, Any],
    ) -> None:
        connection.execute(
            AUDIT,
            {
                "organisation_id": self._organisation_id,
                "by": by,
                "action": action,
                "entity_type": record.entity.value if record else None,
                "entity_id": record.entity_id if record else None,
                "details": json.dumps(details),
            },
        )

    def _key(self, record: RecordKey) -> dict[str, Any]:
        return {
            "organisation_id": self._organisation_id,
            "entity_type": record.entity.value,
            "entity_id": record.entity_id,
        }
