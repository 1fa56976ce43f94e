"""Both sides side by side, in our tables: for verify, report, status and a record's story."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, text

from billing_sync.adapters.postgres.engine import one_statement
from billing_sync.adapters.postgres.records import sql_list
from billing_sync.adapters.postgres.runs import OF_THE_RUN
from billing_sync.domain.states import Colour, EntityType, State, states_coloured
from billing_sync.domain.subscriptions import ENDED
from billing_sync.ports import Owed, RecordKey, RedGroup, RunCalls, RunFigures

RED: Final = sql_list(states_coloured(Colour.RED))

IDS_SHOWN: Final = 10

LONGEST_LINE: Final = 6
"""Records that wait one for another: a payment, its invoice, the subscription, plan, product."""

NEXT_SYNCED: Final = """
    r.entity_type = :entity_type AND r.state = 'synced' AND r.zoho_id IS NOT NULL
    AND r.removed_at IS NULL AND (CAST(:after AS text) IS NULL OR r.entity_id > :after)
"""
"""In the order of the key's text, which is its index's."""

A_PATTERN: Final = r"regexp_replace(btrim({column}), '[0-9]+([^0-9]*)$', '0\1')"
"""A number with its last run of digits made one: a sample of its series."""


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

    def synced(self, entity: EntityType, after: str | None, limit: int) -> list[str]:
        """Walk the records that are synced and in Zoho."""
        rows = self._rows(
            f"""SELECT r.entity_id FROM billing_sync.records r
                WHERE r.organisation_id = :organisation_id AND {NEXT_SYNCED}
                ORDER BY r.entity_id LIMIT :limit""",
            entity_type=entity.value,
            after=after,
            limit=limit,
        )
        return [row.entity_id for row in rows]

    def same_reference(self, snapshot_id: int) -> dict[str, tuple[str, ...]]:
        """Find services with several subscriptions that have not ended."""
        rows = self._rows(
            """SELECT s.reference_id, array_agg(s.zoho_id ORDER BY s.zoho_id) AS zoho_ids
               FROM billing_sync.snapshot_subscriptions s
               JOIN billing_source.services v ON CAST(v.id AS text) = s.reference_id
               WHERE s.organisation_id = :organisation_id AND s.snapshot_id = :snapshot_id
                 AND s.content ->> 'status' <> ALL (:ended)
               GROUP BY s.reference_id HAVING count(*) > 1 ORDER BY 1""",
            snapshot_id=snapshot_id,
            ended=sorted(ENDED),
        )
        return {row.reference_id: tuple(row.zoho_ids) for row in rows}

    def same_number(self, snapshot_id: int) -> dict[str, tuple[str, ...]]:
        """Find numbers that several invoices bear; Zoho should not let that happen."""
        rows = self._rows(
            """SELECT s.number, array_agg(s.zoho_id ORDER BY s.zoho_id) AS zoho_ids
               FROM billing_sync.snapshot_invoices s
               WHERE s.organisation_id = :organisation_id AND s.snapshot_id = :snapshot_id
                 AND s.number IS NOT NULL
               GROUP BY s.number HAVING count(*) > 1 ORDER BY 1""",
            snapshot_id=snapshot_id,
        )
        return {row.number: tuple(row.zoho_ids) for row in rows}

    def of_two_accounts(self, snapshot_id: int) -> dict[str, tuple[str, str]]:
        """Find names that hold a number of ours which is not the field's."""
        rows = self._rows(
            """SELECT zoho_id, account_number, display_name FROM billing_sync.snapshot_customers
               WHERE organisation_id = :organisation_id AND snapshot_id = :snapshot_id
                 AND account_in_name AND strpos(display_name, account_number) = 0
               ORDER BY zoho_id""",
            snapshot_id=snapshot_id,
        )
        return {row.zoho_id: (row.account_number, row.display_name) for row in rows}

    def numbers_of_both(self, snapshot_id: int) -> tuple[list[str], list[str]]:
        """Give one number for each series, however many invoices there are."""
        ours = self._rows(
            f"""SELECT DISTINCT {A_PATTERN.format(column="invoice_number")} AS sample
                FROM billing_source.invoices WHERE invoice_number IS NOT NULL ORDER BY 1"""
        )
        theirs = self._rows(
            f"""SELECT DISTINCT {A_PATTERN.format(column="s.number")} AS sample
                FROM billing_sync.snapshot_invoices s
                WHERE s.organisation_id = :organisation_id AND s.snapshot_id = :snapshot_id
                  AND s.number IS NOT NULL
                  AND NOT EXISTS (
                      SELECT 1 FROM billing_sync.records r
                      JOIN billing_source.invoices v ON CAST(v.id AS text) = r.entity_id
                      WHERE r.organisation_id = s.organisation_id AND r.entity_type = 'invoice'
                        AND (r.zoho_id = s.zoho_id OR s.zoho_id = ANY(r.former_zoho_ids))
                        AND btrim(v.invoice_number) = s.number)
                ORDER BY 1""",
            snapshot_id=snapshot_id,
        )
        return [row.sample for row in ours], [row.sample for row in theirs]

    def owed(self, snapshot_id: int, zoho_ids: Sequence[str]) -> dict[str, Owed]:
        """Read the figures that stand in the list's own rows."""
        rows = self._rows(
            """SELECT zoho_id, outstanding, unused_credits FROM billing_sync.snapshot_customers
               WHERE organisation_id = :organisation_id AND snapshot_id = :snapshot_id
                 AND zoho_id = ANY(:zoho_ids)""",
            snapshot_id=snapshot_id,
            zoho_ids=list(zoho_ids),
        )
        return {row.zoho_id: Owed(row.outstanding, row.unused_credits) for row in rows}

    def gone_in_zoho(self) -> list[RecordKey]:
        """Give what verify, or an update, found gone."""
        rows = self._rows(
            """SELECT entity_type, entity_id FROM billing_sync.records
               WHERE organisation_id = :organisation_id AND state = 'failed'
                 AND code = 'gone_in_zoho' AND accepted_at IS NULL
               ORDER BY entity_type, entity_id"""
        )
        return [RecordKey(EntityType(row.entity_type), row.entity_id) for row in rows]

    def refresh_facts(self, record: RecordKey, facts: Mapping[str, Any]) -> None:
        """Store what a closer look showed."""
        with one_statement(self._engine) as connection:
            connection.execute(
                text("""UPDATE billing_sync.records SET facts = CAST(:facts AS jsonb)
                        WHERE organisation_id = :organisation_id AND entity_type = :entity_type
                          AND entity_id = :entity_id AND state = 'synced'"""),
                {**self._key(record), "facts": json.dumps(dict(facts))},
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
            f"""WITH RECURSIVE of_the_run AS (
                    SELECT r.*, b.as_parent
                    FROM billing_sync.backfill_plan b
                    JOIN billing_sync.records r USING (organisation_id, entity_type, entity_id)
                    WHERE b.organisation_id = :organisation_id AND b.run_id = :run_id),
                roots AS (
                    SELECT entity_type, entity_id, state, accepted_at, blocked_on_type,
                           blocked_on_id, 0 AS depth
                    FROM of_the_run WHERE state = 'blocked'
                    UNION ALL
                    SELECT c.entity_type, c.entity_id, p.state, p.accepted_at, p.blocked_on_type,
                           p.blocked_on_id, c.depth + 1
                    FROM roots c
                    JOIN billing_sync.records p
                      ON p.organisation_id = :organisation_id
                     AND p.entity_type = c.blocked_on_type AND p.entity_id = c.blocked_on_id
                    WHERE c.state = 'blocked' AND c.depth < {LONGEST_LINE}),
                deepest AS (
                    SELECT DISTINCT ON (entity_type, entity_id) * FROM roots
                    ORDER BY entity_type, entity_id, depth DESC)
                SELECT r.entity_type, r.as_parent,
                       CASE WHEN coalesce(d.accepted_at, r.accepted_at) IS NOT NULL
                                 AND coalesce(d.state, r.state) IN ({RED}) THEN 'accepted'
                            WHEN d.state = 'waiting' OR d.state IN ({RED}) THEN d.state
                            ELSE r.state END AS state,
                       count(*) AS records,
                       count(*) FILTER (WHERE r.state = 'synced' AND r.how = 'created') AS created,
                       count(*) FILTER (WHERE r.state = 'synced' AND r.how = 'linked') AS linked,
                       count(*) FILTER (WHERE r.state = 'synced' AND r.last_run = :run_id
                                          AND r.last_change = 'updated') AS updated
                FROM of_the_run r LEFT JOIN deepest d USING (entity_type, entity_id)
                GROUP BY 1, 2, 3""",
            run_id=run_id,
        )
        states: Counter[str] = Counter()
        parents: Counter[str] = Counter()
        entities: dict[EntityType, Counter[str]] = {}
        for row in rows:
            if row.as_parent:
                parents[row.state] += row.records
            else:
                states[row.state] += row.records
                counts = entities.setdefault(EntityType(row.entity_type), Counter())
                counts[row.state] += row.records
        own = [row for row in rows if not row.as_parent]
        return RunFigures(
            states=dict(states),
            created=sum(row.created for row in own),
            linked=sum(row.linked for row in own),
            updated=sum(row.updated for row in own),
            entities=entities,
            parents=dict(parents),
        )

    def in_step(self, run_id: str, entity: EntityType, after: str | None, limit: int) -> list[str]:
        """Walk what the run selected and has in step."""
        rows = self._rows(
            f"""SELECT r.entity_id FROM billing_sync.records r
                JOIN billing_sync.backfill_plan b USING (organisation_id, entity_type, entity_id)
                WHERE r.organisation_id = :organisation_id AND b.run_id = :run_id
                  AND NOT b.as_parent AND {NEXT_SYNCED}
                ORDER BY r.entity_id LIMIT :limit""",
            run_id=run_id,
            entity_type=entity.value,
            after=after,
            limit=limit,
        )
        return [row.entity_id for row in rows]

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

    def red_groups(self, run_id: str | None, *, accepted: bool = False) -> list[RedGroup]:
        """Group what is red by cause, the largest group first; or what of it was accepted."""
        rows = self._rows(
            f"""SELECT r.entity_type, r.state, coalesce(r.code, r.state) AS code,
                       count(*) AS records, min(r.sentence) AS sentence,
                       (array_agg(coalesce(c.account_number, r.entity_id)
                                  ORDER BY r.entity_id))[1:{IDS_SHOWN}] AS ids,
                       (array_agg(r.accepted_reason ORDER BY r.entity_id))[1] AS reason
                FROM billing_sync.records r
                LEFT JOIN billing_source.customers c
                  ON r.entity_type = 'customer' AND CAST(c.id AS text) = r.entity_id
                WHERE r.organisation_id = :organisation_id AND r.state IN ({RED})
                  AND (r.accepted_at IS NOT NULL) = :accepted
                  AND (CAST(:run_id AS text) IS NULL OR {OF_THE_RUN})
                GROUP BY 1, 2, 3 ORDER BY 4 DESC, 3""",
            run_id=run_id,
            accepted=accepted,
        )
        return [
            RedGroup(
                entity=EntityType(row.entity_type),
                state=State(row.state),
                code=row.code,
                count=row.records,
                sentence=row.sentence or "",
                ids=tuple(row.ids),
                reason=row.reason if accepted else None,
            )
            for row in rows
        ]

    def state_counts(self) -> dict[str, dict[str, int]]:
        """Count all records by entity and state; red ones that were accepted as `accepted`."""
        counts: dict[str, dict[str, int]] = {}
        for row in self._rows(
            f"""SELECT entity_type,
                       CASE WHEN accepted_at IS NOT NULL AND state IN ({RED}) THEN 'accepted'
                            ELSE state END AS state,
                       count(*) AS records
                FROM billing_sync.records
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
