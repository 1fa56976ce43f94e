"""Runs, their plans, their canary and their findings, in PostgreSQL."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Engine, Row, text
from sqlalchemy.exc import IntegrityError

from billing_sync.adapters.postgres.engine import one_statement
from billing_sync.adapters.postgres.records import CLAIMABLE, NOT_LEFT_OUT, columns_of
from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import (
    ENTITY_OF_PHASE,
    BackfillInput,
    Finding,
    Mode,
    Only,
    Phase,
    Severity,
)
from billing_sync.domain.timing import Timing
from billing_sync.ports import CanaryState, Planned, PlanRow, RecordKey, Run, RunCalls

SELECT_RUN: Final = """
    SELECT run_id, execution_arn, mode, phases, only_filter, step, cursor, loops, stop_requested,
           stop_requested_by, ended_early, waiting_until, waiting_reason, waited_seconds, cooldowns,
           started_at, ended_at, colour,
           extract(epoch FROM work_off_until - clock_timestamp()) AS work_off_seconds_left
    FROM billing_sync.runs WHERE organisation_id = :organisation_id
"""

# Ours in the plan of this run: only they are worked off, whatever else is due.
OF_THE_RUN: Final = """EXISTS (
    SELECT 1 FROM billing_sync.backfill_plan b
    WHERE b.organisation_id = r.organisation_id AND b.run_id = :run_id
      AND b.entity_type = r.entity_type AND b.entity_id = r.entity_id)
"""

# A task that timed out leaves its Lambda running beside the next one: what reads before it writes
# is for one of them at a time, and not for one that stands still.
ONE_WRITES: Final = text("""
    SELECT set_config('idle_in_transaction_session_timeout', '5s', true)
    FROM (SELECT 1 FROM billing_sync.runs
          WHERE organisation_id = :organisation_id AND run_id = :run_id FOR UPDATE) AS run
""")

# What this invocation could not claim, because another of the same customer was in hand.
LEASE_OVER: Final = "(r.state = 'syncing' AND r.lease_until < clock_timestamp())"


class PostgresRuns:
    """The runs of one organisation (`Runs`)."""

    def __init__(self, engine: Engine, organisation_id: str, timing: Timing) -> None:
        """Keep what every statement needs."""
        self._engine = engine
        self._organisation_id = organisation_id
        self._timing = timing

    def spent(self) -> RunCalls:
        """Give what all runs have cost together, by the governor's and the token's counters."""
        with one_statement(self._engine) as connection:
            row = connection.execute(
                text("""SELECT coalesce(sum(calls_taken), 0) AS calls,
                               coalesce(sum(answers_429), 0) AS throttled,
                               (SELECT coalesce(sum(tokens_minted), 0)
                                FROM billing_sync.token) AS tokens_minted
                        FROM billing_sync.quota WHERE organisation_id = :organisation_id"""),
                self._org(),
            ).one()
        return RunCalls(int(row.calls), int(row.throttled), int(row.tokens_minted))

    def begin(
        self,
        run_id: str,
        execution_arn: str,
        asked: BackfillInput,
        *,
        before: RunCalls | None = None,
    ) -> Run:
        """Begin the run; where another one holds the lock, give that one.

        `before` is what had been spent when the run's preflight began: its calls are the run's.
        """
        before = before or self.spent()
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    text("""
                        INSERT INTO billing_sync.runs
                            (organisation_id, run_id, execution_arn, mode, phases, only_filter,
                             calls_before, throttled_before, tokens_before)
                        VALUES (:organisation_id, :run_id, :arn, :mode, :phases,
                                CAST(:only AS jsonb), :calls, :throttled, :tokens_minted)
                        ON CONFLICT (organisation_id, run_id) DO NOTHING"""),
                    {
                        **self._run(run_id),
                        "arn": execution_arn,
                        "mode": asked.mode.value,
                        "phases": [phase.value for phase in asked.phases],
                        "only": asked.only.model_dump_json(exclude_defaults=True),
                        "calls": before.calls,
                        "throttled": before.throttled,
                        "tokens_minted": before.tokens_minted,
                    },
                )
        except IntegrityError:
            with one_statement(self._engine) as connection:
                row = connection.execute(
                    text(SELECT_RUN + " AND ended_at IS NULL"), self._org()
                ).one_or_none()
            if row is None:  # it ended between the two statements
                return self.begin(run_id, execution_arn, asked, before=before)
            return _run(row)
        return self.get(run_id)

    def take_over(self, former_run_id: str) -> None:
        """End a run whose execution does not run any more."""
        self._execute(
            """UPDATE billing_sync.runs SET ended_at = clock_timestamp(),
                   ended_early = coalesce(ended_early, 'its execution ended without a report')
               WHERE organisation_id = :organisation_id AND run_id = :run_id
                 AND ended_at IS NULL""",
            former_run_id,
        )

    def get(self, run_id: str) -> Run:
        """Read the run."""
        with one_statement(self._engine) as connection:
            row = connection.execute(
                text(SELECT_RUN + " AND run_id = :run_id"), self._run(run_id)
            ).one_or_none()
        if row is None:
            raise KeyError(run_id)
        return _run(row)

    def latest(self) -> Run | None:
        """Read the newest run."""
        with one_statement(self._engine) as connection:
            row = connection.execute(
                text(SELECT_RUN + " ORDER BY started_at DESC LIMIT 1"), self._org()
            ).one_or_none()
        return None if row is None else _run(row)

    def enter(self, run_id: str, step: str) -> Run:
        """Begin a loop: count it, count the wait that led to it, reset the cursor of a new step."""
        self._execute(
            """UPDATE billing_sync.runs SET
                   loops = loops + 1,
                   cursor = CASE WHEN step = :step THEN cursor END,
                   step = :step,
                   waited_seconds = waited_seconds + coalesce(
                       extract(epoch FROM clock_timestamp() - waiting_since), 0),
                   waiting_since = NULL, waiting_until = NULL, waiting_reason = NULL
               WHERE organisation_id = :organisation_id AND run_id = :run_id""",
            run_id,
            step=step,
        )
        return self.get(run_id)

    def save_cursor(self, run_id: str, cursor: str | None) -> None:
        """Remember how far a step came."""
        self._execute(
            """UPDATE billing_sync.runs SET cursor = :cursor
               WHERE organisation_id = :organisation_id AND run_id = :run_id""",
            run_id,
            cursor=cursor,
        )

    def wait(self, run_id: str, *, seconds: float, reason: str) -> None:
        """Remember the wait, for the display and for the report's sum."""
        self._execute(
            """UPDATE billing_sync.runs SET
                   waiting_since = clock_timestamp(),
                   waiting_until = clock_timestamp() + make_interval(secs => :seconds),
                   waiting_reason = :reason, cooldowns = cooldowns + 1
               WHERE organisation_id = :organisation_id AND run_id = :run_id""",
            run_id,
            seconds=seconds,
            reason=reason,
        )

    def end_early(self, run_id: str, why: str) -> None:
        """Remember why; the first reason stays."""
        self._execute(
            """UPDATE billing_sync.runs SET ended_early = coalesce(ended_early, :why)
               WHERE organisation_id = :organisation_id AND run_id = :run_id""",
            run_id,
            why=why,
        )

    def end(self, run_id: str, colour: str) -> None:
        """End the run; a repeated conclusion replaces the colour and keeps the first end."""
        self._execute(
            """UPDATE billing_sync.runs SET
                   ended_at = coalesce(ended_at, clock_timestamp()), colour = :colour
               WHERE organisation_id = :organisation_id AND run_id = :run_id""",
            run_id,
            colour=colour,
        )

    def request_stop(self, by: str) -> Run | None:
        """Ask the running run to stop."""
        with one_statement(self._engine) as connection:
            run_id = connection.execute(
                text("""UPDATE billing_sync.runs
                        SET stop_requested = true,
                            stop_requested_by = coalesce(stop_requested_by, :by)
                        WHERE organisation_id = :organisation_id AND ended_at IS NULL
                        RETURNING run_id"""),
                {**self._org(), "by": by},
            ).scalar_one_or_none()
        return None if run_id is None else self.get(run_id)

    def must_stop(self, run_id: str) -> bool:
        """Read it fresh: it is asked before every record."""
        with one_statement(self._engine) as connection:
            return bool(
                connection.execute(
                    text("""SELECT stop_requested OR ended_early IS NOT NULL
                                OR ended_at IS NOT NULL
                            FROM billing_sync.runs
                            WHERE organisation_id = :organisation_id AND run_id = :run_id"""),
                    self._run(run_id),
                ).scalar_one()
            )

    # ---------------------------------------------------------------------------------- canary

    def hold_canary(self, run_id: str, phase: str, record: RecordKey) -> CanaryState:
        """Take the canary if it is free, ours already, or its holder's lease is over.

        `OPEN` says that it is ours now. A holder that died frees it for the next candidate, or a
        refused first record would hold the phase for ever; one in doubt holds it until its proof.
        """
        with self._engine.begin() as connection:
            canary = connection.execute(
                text("""SELECT canary -> :phase FROM billing_sync.runs
                        WHERE organisation_id = :organisation_id AND run_id = :run_id
                        FOR UPDATE"""),
                {**self._run(run_id), "phase": phase},
            ).scalar_one()
            if canary is not None and canary["state"] == CanaryState.PASSED:
                return CanaryState.PASSED
            if canary is not None and canary["held_by"] != record.entity_id:
                holds = connection.execute(
                    text("""SELECT state = 'in_doubt'
                                OR state = 'syncing' AND lease_until > clock_timestamp()
                                OR EXISTS (SELECT 1 FROM billing_sync.intents i
                                    WHERE i.organisation_id = r.organisation_id
                                      AND i.entity_type = r.entity_type
                                      AND i.entity_id = r.entity_id AND i.closed_at IS NULL)
                                OR CAST(:held_at AS timestamptz)
                                    + make_interval(secs => :lease) > clock_timestamp()
                                   AND state IN ('pending', 'blocked')
                            FROM billing_sync.records r
                            WHERE organisation_id = :organisation_id
                              AND entity_type = :entity_type AND entity_id = :held_by"""),
                    {
                        **self._org(),
                        "entity_type": record.entity.value,
                        "held_by": canary["held_by"],
                        "held_at": canary["held_at"],
                        "lease": self._timing.lease_seconds,
                    },
                ).scalar_one_or_none()
                if holds:
                    return CanaryState.HELD
            self._set_canary(connection, run_id, phase, CanaryState.HELD, record.entity_id)
            return CanaryState.OPEN

    def free_canary(self, run_id: str, phase: str, record: RecordKey, *, passed: bool) -> None:
        """Declare it passed, or free it if it is this record's."""
        with self._engine.begin() as connection:
            if passed:
                self._set_canary(connection, run_id, phase, CanaryState.PASSED, record.entity_id)
                return
            connection.execute(
                text("""UPDATE billing_sync.runs SET canary = canary - :phase
                        WHERE organisation_id = :organisation_id AND run_id = :run_id
                          AND canary -> :phase ->> 'held_by' = :entity_id
                          AND canary -> :phase ->> 'state' = 'held'"""),
                {**self._run(run_id), "phase": phase, "entity_id": record.entity_id},
            )

    def canary_holder(self, run_id: str, phase: str) -> RecordKey | None:
        """Give the record that holds the phase back, if one does."""
        with one_statement(self._engine) as connection:
            held_by = connection.execute(
                text("""SELECT canary -> :phase ->> 'held_by' FROM billing_sync.runs
                        WHERE organisation_id = :organisation_id AND run_id = :run_id
                          AND canary -> :phase ->> 'state' = 'held'"""),
                {**self._run(run_id), "phase": phase},
            ).scalar_one_or_none()
        return None if held_by is None else RecordKey(_entity(phase), held_by)

    def _set_canary(
        self, connection: Any, run_id: str, phase: str, state: CanaryState, entity_id: str
    ) -> None:
        connection.execute(
            text("""UPDATE billing_sync.runs SET canary = canary || jsonb_build_object(
                        CAST(:phase AS text), jsonb_build_object('state', CAST(:state AS text),
                            'held_by', CAST(:entity_id AS text), 'held_at', clock_timestamp()))
                    WHERE organisation_id = :organisation_id AND run_id = :run_id"""),
            {**self._run(run_id), "phase": phase, "state": state.value, "entity_id": entity_id},
        )

    # -------------------------------------------------------------------------------- refusals

    def count_refusal(self, run_id: str, code: str) -> int:
        """Count refusals of one code without a success between."""
        with one_statement(self._engine) as connection:
            return int(
                connection.execute(
                    text("""UPDATE billing_sync.runs SET refusals = refusals || jsonb_build_object(
                                CAST(:code AS text),
                                coalesce(CAST(refusals ->> :code AS integer), 0) + 1)
                            WHERE organisation_id = :organisation_id AND run_id = :run_id
                            RETURNING CAST(refusals ->> :code AS integer)"""),
                    {**self._run(run_id), "code": code},
                ).scalar_one()
            )

    def clear_refusals(self, run_id: str) -> None:
        """Forget them; writes only if there is something to forget."""
        self._execute(
            """UPDATE billing_sync.runs SET refusals = '{}'
               WHERE organisation_id = :organisation_id AND run_id = :run_id
                 AND refusals <> '{}'""",
            run_id,
        )

    def set_work_off(self, run_id: str, seconds: float) -> None:
        """Start the time of working off, once."""
        self._execute(
            """UPDATE billing_sync.runs SET work_off_until =
                   coalesce(work_off_until, clock_timestamp() + make_interval(secs => :seconds))
               WHERE organisation_id = :organisation_id AND run_id = :run_id""",
            run_id,
            seconds=seconds,
        )

    # ------------------------------------------------------------------------------------ plan

    def clear_plan(self, run_id: str) -> None:
        """Forget a plan that was begun."""
        self._execute(
            """DELETE FROM billing_sync.backfill_plan
               WHERE organisation_id = :organisation_id AND run_id = :run_id""",
            run_id,
        )

    def add_to_plan(self, run_id: str, rows: Sequence[PlanRow]) -> None:
        """Append rows in their order."""
        if not rows:
            return
        with self._engine.begin() as connection:
            connection.execute(ONE_WRITES, self._run(run_id))
            last = connection.execute(
                text("""SELECT coalesce(max(position), 0) FROM billing_sync.backfill_plan
                        WHERE organisation_id = :organisation_id AND run_id = :run_id"""),
                self._run(run_id),
            ).scalar_one()
            connection.execute(
                text("""INSERT INTO billing_sync.backfill_plan
                            (organisation_id, run_id, position, phase, entity_type, entity_id,
                             account_number, action, reason, amount, differing, to_do,
                             as_parent)
                        VALUES (:organisation_id, :run_id, :position, :phase, :entity_type,
                                :entity_id, :account_number, :action, :reason, :amount, :differing,
                                :to_do, :as_parent)
                        ON CONFLICT (organisation_id, run_id, entity_type, entity_id)
                        DO NOTHING"""),
                [
                    {
                        **self._run(run_id),
                        "position": position,
                        "phase": row.phase,
                        "entity_type": row.record.entity.value,
                        "entity_id": row.record.entity_id,
                        "account_number": row.account_number,
                        "action": row.action,
                        "reason": row.reason,
                        "amount": row.amount,
                        "differing": list(row.differing),
                        "to_do": row.to_do,
                        "as_parent": row.as_parent,
                    }
                    for position, row in enumerate(rows, start=last + 1)
                ],
            )

    def plan_rows(self, run_id: str) -> Iterator[PlanRow]:
        """Give the whole plan in its order, through a cursor of the server's."""
        with self._engine.connect().execution_options(
            stream_results=True, yield_per=1000
        ) as connection:
            rows = connection.execute(
                text("""SELECT phase, entity_type, entity_id, account_number, action, reason,
                               amount, differing, to_do, as_parent
                        FROM billing_sync.backfill_plan
                        WHERE organisation_id = :organisation_id AND run_id = :run_id
                        ORDER BY position"""),
                self._run(run_id),
            )
            for row in rows:
                yield PlanRow(
                    phase=row.phase,
                    record=RecordKey(EntityType(row.entity_type), row.entity_id),
                    account_number=row.account_number,
                    action=row.action,
                    reason=row.reason,
                    differing=tuple(row.differing),
                    amount=row.amount,
                    to_do=row.to_do,
                    as_parent=row.as_parent,
                )

    def in_plan(self, run_id: str, records: Sequence[RecordKey]) -> set[RecordKey]:
        """Look the records up in the plan, in one statement."""
        if not records:
            return set()
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text("""SELECT entity_type, entity_id FROM billing_sync.backfill_plan
                        JOIN unnest(CAST(:types AS text[]), CAST(:ids AS text[]))
                             AS asked (entity_type, entity_id) USING (entity_type, entity_id)
                        WHERE organisation_id = :organisation_id AND run_id = :run_id"""),
                {**self._run(run_id), **columns_of(records)},
            ).all()
        return {RecordKey(EntityType(row.entity_type), row.entity_id) for row in rows}

    def planned(self, run_id: str) -> list[Planned]:
        """Count rows and money by phase, entity and action, parents apart."""
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text("""SELECT phase, entity_type, action, as_parent, count(*) AS rows,
                               coalesce(sum(amount), 0) AS amount
                        FROM billing_sync.backfill_plan
                        WHERE organisation_id = :organisation_id AND run_id = :run_id
                        GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"""),
                self._run(run_id),
            ).all()
        return [
            Planned(
                phase=row.phase,
                entity=EntityType(row.entity_type),
                action=row.action,
                as_parent=row.as_parent,
                rows=row.rows,
                amount=row.amount,
            )
            for row in rows
        ]

    def plan_counts(self, run_id: str) -> dict[str, dict[str, int]]:
        """Count the plan's rows by phase and action, without parents."""
        counts: dict[str, dict[str, int]] = {}
        for each in self.planned(run_id):
            if not each.as_parent:
                actions = counts.setdefault(each.phase, {})
                actions[each.action] = actions.get(each.action, 0) + each.rows
        return counts

    def plan_counts_with_field(self, run_id: str, field: str) -> int:
        """Count the plan's rows that write a field, those of parents included."""
        with one_statement(self._engine) as connection:
            counted = connection.execute(
                text("""SELECT count(*) FROM billing_sync.backfill_plan
                        WHERE organisation_id = :organisation_id AND run_id = :run_id
                          AND (to_do OR as_parent) AND :field = ANY(differing)"""),
                {**self._run(run_id), "field": field},
            )
            return int(counted.scalar_one())

    def plan_to_do(
        self, run_id: str, phase: str, limit: int, *, but: Collection[RecordKey] = ()
    ) -> list[RecordKey]:
        """Give the phase's next records that were not worked on yet."""
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""SELECT entity_type, entity_id FROM billing_sync.backfill_plan r
                         WHERE organisation_id = :organisation_id AND run_id = :run_id
                           AND phase = :phase AND to_do AND worked_at IS NULL AND {NOT_LEFT_OUT}
                         ORDER BY position LIMIT :limit"""),
                {**self._run(run_id), "phase": phase, "limit": limit, **columns_of(but)},
            ).all()
        return [RecordKey(EntityType(row.entity_type), row.entity_id) for row in rows]

    def plan_left(self, run_id: str, phase: str) -> int:
        """Count the phase's records that were not worked on yet."""
        with one_statement(self._engine) as connection:
            counted = connection.execute(
                text("""SELECT count(*) FROM billing_sync.backfill_plan
                        WHERE organisation_id = :organisation_id AND run_id = :run_id
                          AND phase = :phase AND to_do AND worked_at IS NULL"""),
                {**self._run(run_id), "phase": phase},
            )
            return int(counted.scalar_one())

    def worked(self, run_id: str, record: RecordKey) -> None:
        """Take the record off the plan."""
        self._execute(
            """UPDATE billing_sync.backfill_plan SET worked_at = clock_timestamp()
               WHERE organisation_id = :organisation_id AND run_id = :run_id
                 AND entity_type = :entity_type AND entity_id = :entity_id""",
            run_id,
            entity_type=record.entity.value,
            entity_id=record.entity_id,
        )

    # ------------------------------------------------------------------------------------- due

    def due(self, run_id: str, limit: int, *, but: Collection[RecordKey] = ()) -> list[RecordKey]:
        """Give the run's records that are claimable now, or whose lease is over."""
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""SELECT entity_type, entity_id FROM billing_sync.records r
                         WHERE r.organisation_id = :organisation_id AND {OF_THE_RUN}
                           AND ({CLAIMABLE} OR {LEASE_OVER}) AND {NOT_LEFT_OUT}
                         ORDER BY r.next_attempt_at NULLS FIRST, r.entity_id LIMIT :limit"""),
                {**self._run(run_id), "limit": limit, **columns_of(but)},
            ).all()
        return [RecordKey(EntityType(row.entity_type), row.entity_id) for row in rows]

    def waiting(self, run_id: str, entity: EntityType) -> list[RecordKey]:
        """Give the run's waiting records of an entity, by id."""
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""SELECT entity_id FROM billing_sync.records r
                         WHERE r.organisation_id = :organisation_id AND {OF_THE_RUN}
                           AND r.entity_type = :entity_type AND r.state = 'waiting'
                         ORDER BY entity_id"""),
                {**self._run(run_id), "entity_type": entity.value},
            ).all()
        return [RecordKey(entity, row.entity_id) for row in rows]

    def next_due_seconds(self, run_id: str) -> float | None:
        """Say in how many real seconds the run's next record falls due, or its lease ends."""
        with one_statement(self._engine) as connection:
            seconds = connection.execute(
                text(f"""SELECT min(extract(epoch FROM CASE r.state
                                WHEN 'syncing' THEN r.lease_until
                                WHEN 'pending' THEN clock_timestamp()
                                ELSE r.next_attempt_at END - clock_timestamp()))
                         FROM billing_sync.records r
                         WHERE r.organisation_id = :organisation_id AND {OF_THE_RUN}
                           AND r.state IN ('pending', 'syncing', 'retrying', 'in_doubt')"""),
                self._run(run_id),
            ).scalar_one()
        return None if seconds is None else max(float(seconds), 0.0)

    # -------------------------------------------------------------------------------- findings

    def put_findings(self, run_id: str, source: str, findings: Sequence[Finding]) -> None:
        """Replace the findings of one source."""
        with self._engine.begin() as connection:
            connection.execute(ONE_WRITES, self._run(run_id))
            connection.execute(
                text("""DELETE FROM billing_sync.findings
                        WHERE organisation_id = :organisation_id AND run_id = :run_id
                          AND source = :source"""),
                {**self._run(run_id), "source": source},
            )
            if findings:
                connection.execute(
                    text("""INSERT INTO billing_sync.findings
                                (organisation_id, run_id, source, code, severity, sentence,
                                 what_to_do, records, count)
                            VALUES (:organisation_id, :run_id, :source, :code, :severity,
                                    :sentence, :what_to_do, CAST(:records AS jsonb), :count)"""),
                    [
                        {
                            **self._run(run_id),
                            "source": source,
                            "code": finding.code,
                            "severity": finding.severity.value,
                            "sentence": finding.sentence,
                            "what_to_do": finding.what_to_do,
                            "records": json.dumps(list(finding.records)),
                            "count": finding.count,
                        }
                        for finding in findings
                    ],
                )

    def forget_findings(self, run_id: str, source: str, codes: Sequence[str]) -> None:
        """Delete the source's findings of these codes."""
        self._execute(
            """DELETE FROM billing_sync.findings
               WHERE organisation_id = :organisation_id AND run_id = :run_id
                 AND source = :source AND code = ANY(:codes)""",
            run_id,
            source=source,
            codes=list(codes),
        )

    def findings(self, run_id: str) -> list[Finding]:
        """Give all findings of the run, the gravest first."""
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text("""SELECT code, severity, sentence, what_to_do, records, count AS how_many
                        FROM billing_sync.findings
                        WHERE organisation_id = :organisation_id AND run_id = :run_id
                        ORDER BY array_position(ARRAY['blocking', 'red', 'confirm', 'warning',
                                                      'note'], severity), code"""),
                self._run(run_id),
            ).all()
        return [
            Finding(
                code=row.code,
                severity=Severity(row.severity),
                sentence=row.sentence,
                what_to_do=row.what_to_do,
                records=tuple(row.records),
                count=row.how_many,
            )
            for row in rows
        ]

    def record_counts(self, run_id: str) -> dict[str, int]:
        """Count the records of the run's plan by state; accepted ones apart."""
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""SELECT CASE WHEN r.accepted_at IS NOT NULL THEN 'accepted'
                                     ELSE r.state END AS state, count(*) AS records
                         FROM billing_sync.records r
                         WHERE r.organisation_id = :organisation_id AND {OF_THE_RUN}
                         GROUP BY 1"""),
                self._run(run_id),
            ).all()
        return {row.state: row.records for row in rows}

    def _org(self) -> dict[str, Any]:
        return {"organisation_id": self._organisation_id}

    def _run(self, run_id: str) -> dict[str, Any]:
        return {"organisation_id": self._organisation_id, "run_id": run_id}

    def _execute(self, statement: str, run_id: str, **values: Any) -> None:
        with one_statement(self._engine) as connection:
            connection.execute(text(statement), {**self._run(run_id), **values})


def _entity(phase: str) -> EntityType:
    return ENTITY_OF_PHASE[Phase(phase)]


def _run(row: Row[Any]) -> Run:
    left = row.work_off_seconds_left
    return Run(
        run_id=row.run_id,
        execution_arn=row.execution_arn,
        mode=Mode(row.mode),
        phases=tuple(Phase(phase) for phase in row.phases),
        only=Only.model_validate(row.only_filter, strict=False),
        step=row.step,
        cursor=row.cursor,
        loops=row.loops,
        stop_requested=row.stop_requested,
        stop_requested_by=row.stop_requested_by,
        ended_early=row.ended_early,
        waiting_until=row.waiting_until,
        waiting_reason=row.waiting_reason,
        waited_seconds=row.waited_seconds,
        cooldowns=row.cooldowns,
        started_at=row.started_at,
        ended_at=row.ended_at,
        work_off_seconds_left=None if left is None else float(left),
        colour=row.colour,
    )
