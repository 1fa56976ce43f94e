"""Both sides side by side, in our tables: for verify, report, status and a record's story."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Engine, text

from billing_sync.adapters.postgres.engine import one_statement
from billing_sync.adapters.postgres.records import sql_list
from billing_sync.adapters.postgres.runs import OF_THE_RUN
from billing_sync.domain.states import Colour, EntityType, State, states_coloured
from billing_sync.ports import Debtors, RecordKey, RedGroup, RunCalls, RunFigures

RED: Final = sql_list(states_coloured(Colour.RED))

IDS_SHOWN: Final = 10


class PostgresVerification:
    """One organisation's both sides (`Verification`)."""

    def __init__(self, engine: Engine, organisation_id: str) -> None:
        """Keep what every statement needs."""
        self._engine = engine
        self._organisation_id = organisation_id

    # ---------------------------------------------------------------------------------- verify

    def not_in_snapshot(self, snapshot_id: int, limit: int) -> list[tuple[RecordKey, str]]:
        """Give synced customers that the snapshot does not hold."""
        rows = self._rows(
            """SELECT r.entity_id, r.zoho_id FROM billing_sync.records r
               WHERE r.organisation_id = :organisation_id AND r.entity_type = 'customer'
                 AND r.state = 'synced' AND r.zoho_id IS NOT NULL AND r.removed_at IS NULL
                 AND NOT EXISTS (
                     SELECT 1 FROM billing_sync.snapshot_customers s
                     WHERE s.organisation_id = r.organisation_id
                       AND s.snapshot_id = :snapshot_id AND s.zoho_id = r.zoho_id)
               ORDER BY r.entity_id LIMIT :limit""",
            snapshot_id=snapshot_id,
            limit=limit,
        )
        return [(RecordKey(EntityType.CUSTOMER, row.entity_id), row.zoho_id) for row in rows]

    def in_snapshot_by_name(
        self, snapshot_id: int, zoho_ids: Sequence[str]
    ) -> dict[str, tuple[str, str | None]]:
        """Give display name and currency of the given customers as the snapshot has them."""
        rows = self._rows(
            """SELECT zoho_id, display_name, currency_code FROM billing_sync.snapshot_customers
               WHERE organisation_id = :organisation_id AND snapshot_id = :snapshot_id
                 AND zoho_id = ANY(:zoho_ids)""",
            snapshot_id=snapshot_id,
            zoho_ids=list(zoho_ids),
        )
        return {row.zoho_id: (row.display_name, row.currency_code) for row in rows}

    def duplicates(self, snapshot_id: int) -> dict[str, tuple[str, ...]]:
        """Give account numbers of ours that several customers of Zoho bear."""
        rows = self._rows(
            """SELECT s.account_number, array_agg(s.zoho_id ORDER BY s.zoho_id) AS zoho_ids
               FROM billing_sync.snapshot_customers s
               JOIN billing_source.customers c ON c.account_number = s.account_number
               WHERE s.organisation_id = :organisation_id AND s.snapshot_id = :snapshot_id
               GROUP BY s.account_number HAVING count(*) > 1 ORDER BY 1""",
            snapshot_id=snapshot_id,
        )
        return {row.account_number: tuple(row.zoho_ids) for row in rows}

    def unknown_accounts(self, snapshot_id: int) -> tuple[str, ...]:
        """Give Zoho ids of customers whose account number nobody here has."""
        rows = self._rows(
            """SELECT s.zoho_id FROM billing_sync.snapshot_customers s
               WHERE s.organisation_id = :organisation_id AND s.snapshot_id = :snapshot_id
                 AND s.account_number IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM billing_source.customers c
                                 WHERE c.account_number = s.account_number)
               ORDER BY s.zoho_id""",
            snapshot_id=snapshot_id,
        )
        return tuple(row.zoho_id for row in rows)

    def stray_duplicates(self) -> tuple[str, ...]:
        """Give ids that a lost worker was answered with and that belong to no record.

        One whose intent is still open is not judged yet: its proof adopts it.
        """
        rows = self._rows(
            """SELECT a.zoho_id FROM billing_sync.stray_answers a
               JOIN billing_sync.intents i USING (intent_id)
               WHERE a.organisation_id = :organisation_id AND a.settled_as IS NULL
                 AND i.closed_at IS NOT NULL AND i.method = 'create'
                 AND NOT EXISTS (
                     SELECT 1 FROM billing_sync.records r
                     WHERE r.organisation_id = a.organisation_id
                       AND r.entity_type = a.entity_type
                       AND (r.zoho_id = a.zoho_id OR a.zoho_id = ANY(r.former_zoho_ids)))
               ORDER BY a.stray_id"""
        )
        return tuple(row.zoho_id for row in rows)

    def debtors(self, snapshot_id: int) -> Debtors:
        """Compare what our customers owe by our books and by Zoho's, credit taken off."""
        rows = self._rows(
            """WITH ours AS (
                   SELECT CAST(customer_id AS text) AS id, sum(amount_due) AS owed
                   FROM billing_source.invoices
                   WHERE CAST(status AS text) NOT IN ('draft', 'cancelled', 'voided')
                   GROUP BY customer_id),
               theirs AS (
                   SELECT r.entity_id AS id, s.outstanding - s.unused_credits AS owed
                   FROM billing_sync.records r
                   JOIN billing_sync.snapshot_customers s
                     ON s.organisation_id = r.organisation_id AND s.zoho_id = r.zoho_id
                   WHERE r.organisation_id = :organisation_id AND r.entity_type = 'customer'
                     AND s.snapshot_id = :snapshot_id)
               SELECT id, coalesce(ours.owed, 0) AS here, coalesce(theirs.owed, 0) AS there
               FROM ours FULL JOIN theirs USING (id)
               WHERE coalesce(ours.owed, 0) <> 0 OR coalesce(theirs.owed, 0) <> 0
               ORDER BY id""",
            snapshot_id=snapshot_id,
        )
        cent = Decimal("0.01")
        return Debtors(
            local=sum((row.here for row in rows), Decimal(0)).quantize(cent),
            zoho=sum((row.there for row in rows), Decimal(0)).quantize(cent),
            customers_that_differ=tuple(row.id for row in rows if row.here != row.there),
        )

    def doubt(self, record: RecordKey) -> None:
        """Forget what Zoho confirmed; only of a record at rest in `synced`."""
        self._mark(
            record,
            """state = 'pending', confirmed_fingerprint = NULL, code = 'differs_in_zoho',
               sentence = 'It was changed in Zoho; it will be sent again.'""",
        )

    def gone(self, record: RecordKey) -> None:
        """Mark a record at rest in `synced` as gone in Zoho."""
        self._mark(
            record,
            """state = 'failed', confirmed_fingerprint = NULL, code = 'gone_in_zoho',
               sentence = 'It was deleted or merged in Zoho; nothing is made again by itself.'""",
        )

    def _mark(self, record: RecordKey, assignments: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                text(f"""UPDATE billing_sync.records SET {assignments},
                             status_due = clock_timestamp(), changed_at = clock_timestamp()
                         WHERE organisation_id = :organisation_id AND entity_type = :entity_type
                           AND entity_id = :entity_id AND state = 'synced'"""),
                self._key(record),
            )

    # ---------------------------------------------------------------------------------- report

    def figures(self, run_id: str) -> RunFigures:
        """Count the records of the run's plan, each once."""
        rows = self._rows(
            f"""SELECT CASE WHEN r.accepted_at IS NOT NULL AND r.state IN ({RED})
                            THEN 'accepted' ELSE r.state END AS state,
                       count(*) AS records,
                       count(*) FILTER (WHERE r.state = 'synced' AND r.how = 'created') AS created,
                       count(*) FILTER (WHERE r.state = 'synced' AND r.how = 'linked') AS linked,
                       count(*) FILTER (WHERE r.state = 'synced' AND r.last_run = :run_id
                                          AND r.last_change = 'updated') AS updated
                FROM billing_sync.records r
                WHERE r.organisation_id = :organisation_id AND {OF_THE_RUN}
                GROUP BY 1""",
            run_id=run_id,
        )
        return RunFigures(
            states={row.state: row.records for row in rows},
            created=sum(row.created for row in rows),
            linked=sum(row.linked for row in rows),
            updated=sum(row.updated for row in rows),
        )

    def calls_since(self, run_id: str) -> RunCalls:
        """Count calls, 429s and tokens since the run began, by the governor's own counters."""
        [row] = self._rows(
            """SELECT coalesce((SELECT max(calls_taken) FROM billing_sync.quota q
                                WHERE q.organisation_id = r.organisation_id), 0)
                          - r.calls_before AS calls,
                      coalesce((SELECT max(answers_429) FROM billing_sync.quota q
                                WHERE q.organisation_id = r.organisation_id), 0)
                          - r.throttled_before AS throttled,
                      coalesce((SELECT sum(tokens_minted) FROM billing_sync.token), 0)
                          - r.tokens_before AS tokens_minted
               FROM billing_sync.runs r
               WHERE r.organisation_id = :organisation_id AND r.run_id = :run_id""",
            run_id=run_id,
        )
        return RunCalls(int(row.calls), int(row.throttled), int(row.tokens_minted))

    def token_facts(self) -> dict[str, Any] | None:
        """Give what people may know of the token that was minted last."""
        rows = self._dicts(
            """SELECT generation, expires_at, cooldown_until,
                      cardinality(mint_attempts) AS recent_attempts, tokens_minted
               FROM billing_sync.token
               ORDER BY expires_at DESC NULLS LAST LIMIT 1""",
            {},
        )
        return rows[0] if rows else None

    def red_groups(self, run_id: str | None) -> list[RedGroup]:
        """Group what is red by cause, the largest group first."""
        rows = self._rows(
            f"""SELECT r.entity_type, r.state, coalesce(r.code, r.state) AS code,
                       count(*) AS records, min(r.sentence) AS sentence,
                       (array_agg(coalesce(c.account_number, r.entity_id)
                                  ORDER BY r.entity_id))[1:{IDS_SHOWN}] AS ids
                FROM billing_sync.records r
                LEFT JOIN billing_source.customers c
                  ON r.entity_type = 'customer' AND CAST(c.id AS text) = r.entity_id
                WHERE r.organisation_id = :organisation_id AND r.state IN ({RED})
                  AND r.accepted_at IS NULL
                  AND (CAST(:run_id AS text) IS NULL OR {OF_THE_RUN})
                GROUP BY 1, 2, 3 ORDER BY 4 DESC, 3""",
            run_id=run_id,
        )
        return [
            RedGroup(
                entity=EntityType(row.entity_type),
                state=State(row.state),
                code=row.code,
                count=row.records,
                sentence=row.sentence or "",
                ids=tuple(row.ids),
            )
            for row in rows
        ]

    def state_counts(self) -> dict[str, dict[str, int]]:
        """Count all records by entity and state."""
        counts: dict[str, dict[str, int]] = {}
        for row in self._rows(
            """SELECT entity_type, state, count(*) AS records FROM billing_sync.records
               WHERE organisation_id = :organisation_id GROUP BY 1, 2 ORDER BY 1, 2"""
        ):
            counts.setdefault(row.entity_type, {})[row.state] = row.records
        return counts

    def story(self, record: RecordKey) -> dict[str, Any] | None:
        """Tell a record's story: where it stands, what was tried, who did what."""
        key = self._key(record)
        rows = self._rows(
            """SELECT r.*, c.account_number FROM billing_sync.records r
               LEFT JOIN billing_source.customers c
                 ON r.entity_type = 'customer' AND CAST(c.id AS text) = r.entity_id
               WHERE r.organisation_id = :organisation_id AND r.entity_type = :entity_type
                 AND r.entity_id = :entity_id""",
            **key,
        )
        if not rows:
            return None
        row = rows[0]
        same = """WHERE organisation_id = :organisation_id AND entity_type = :entity_type
                    AND entity_id = :entity_id"""
        return {
            "record": {
                "entity": record.entity.value,
                "id": record.entity_id,
                "account_number": row.account_number,
                "state": row.state,
                "code": row.code,
                "field": row.field,
                "sentence": row.sentence,
                "zoho_id": row.zoho_id,
                "how": row.how,
                "attempt_number": row.attempt_number,
                "next_attempt_at": _plain(row.next_attempt_at),
                "candidates": list(row.candidates),
                "accepted": row.accepted_reason if row.accepted_at else None,
                "changed_at": _plain(row.changed_at),
            },
            "attempts": self._dicts(
                f"""SELECT created_at AS at, operation, status, http_status, zoho_code,
                           error_sentence, duration_ms, run_id
                    FROM billing_sync.zoho_sync_logs {same} ORDER BY log_id DESC LIMIT 50""",
                key,
            ),
            "intents": self._dicts(
                f"""SELECT step, method, sent_at, closed_as FROM billing_sync.intents {same}
                    ORDER BY intent_id DESC LIMIT 50""",
                key,
            ),
            "audit": self._dicts(
                f"""SELECT at, by, action, details FROM billing_sync.audit {same}
                    ORDER BY audit_id DESC LIMIT 50""",
                key,
            ),
        }

    # ----------------------------------------------------------------------------------- rows

    def _key(self, record: RecordKey) -> dict[str, Any]:
        return {
            "organisation_id": self._organisation_id,
            "entity_type": record.entity.value,
            "entity_id": record.entity_id,
        }

    def _rows(self, statement: str, **values: Any) -> Sequence[Any]:
        with one_statement(self._engine) as connection:
            return connection.execute(
                text(statement), {"organisation_id": self._organisation_id, **values}
            ).all()

    def _dicts(self, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {name: _plain(value) for name, value in row._asdict().items()}
            for row in self._rows(statement, **values)
        ]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
