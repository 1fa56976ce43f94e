"""The sync records in PostgreSQL: claim, fence, intent, answer, settle (protocol §2-§5).

Each method is one short transaction; none is held open during a call to Zoho. «Now» is always the
database's `clock_timestamp()`.
"""

import json
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from billing_sync.adapters.postgres.engine import one_statement
from billing_sync.adapters.postgres.quota import take_permit
from billing_sync.domain.errors import FenceLost, LogNotWritten, NotNow, Paused
from billing_sync.domain.states import STATES, EntityType, State, states_where
from billing_sync.domain.timing import Timing
from billing_sync.ports import (
    Claim,
    Intent,
    LogEntry,
    NotClaimed,
    Permit,
    Priority,
    RecordKey,
    RecordView,
    Settlement,
    Write,
)


def sql_list(states: Sequence[State]) -> str:
    """Write states as a list of SQL literals; they are our own constants, never input."""
    return ", ".join(f"'{state.value}'" for state in states)


READY: Final = """(
    p.state = 'skipped' OR p.state = 'synced' AND p.removed_at IS NOT NULL
    OR p.zoho_id IS NOT NULL
       AND p.code IS DISTINCT FROM 'gone_in_zoho'
       AND (p.entity_type <> 'invoice' OR p.state = 'synced'))
"""
"""A parent `p` for which nobody waits. A bad phone in its *update* blocks no child; an invoice must
also be opened and equal, before money is put on it. One that is rightly not in Zoho is waited for
by nobody either: what that means for the child is its own rules' to say."""

PARENT_READY: Final = f"""EXISTS (
    SELECT 1 FROM billing_sync.records p
    WHERE p.organisation_id = r.organisation_id AND p.entity_type = r.blocked_on_type
      AND p.entity_id = r.blocked_on_id AND {READY})
"""

OPEN_INTENT: Final = """EXISTS (
    SELECT 1 FROM billing_sync.intents i
    WHERE i.organisation_id = r.organisation_id AND i.entity_type = r.entity_type
      AND i.entity_id = r.entity_id AND i.closed_at IS NULL)
"""

CLAIMABLE: Final = f"""(
    r.state = 'pending'
    OR r.state IN ({sql_list(states_where("claimed_when_due"))})
       AND r.next_attempt_at <= clock_timestamp()
    OR r.state = 'blocked' AND {PARENT_READY}
    OR r.state = 'syncing' AND r.lease_until < clock_timestamp() AND NOT {OPEN_INTENT}
    OR r.state IN ({sql_list(states_where("claimed_on_signal"))})
       AND r.signals > r.signals_claimed
)"""
"""The one rule of who may be claimed (protocol §2); selections use it too, so that what they find
can be claimed and what can be claimed is found."""

END_IF_STALLED: Final = "set_config('idle_in_transaction_session_timeout', :stall, true)"
"""Lets the server end a transaction whose worker stands still, with its row locks, in the same
round trip: else everybody who comes by that record would wait for as long as it stands. (Of a
Lambda that vanished without a word, the server hears from TCP alone, after hours.)"""

# A row is inserted only when the record is unknown; that first claim comes from `pending`.
# An expired lease without an intent was never sent: it, too, counts as coming from `pending`.
CLAIM: Final = text(f"""
    INSERT INTO billing_sync.records AS r
        (organisation_id, entity_type, entity_id, state, claimed_from, claim_id, lease_until,
         serial_key)
    VALUES (:organisation_id, :entity_type, :entity_id, 'syncing', 'pending', :claim_id,
            clock_timestamp() + make_interval(secs => :lease), :serial_key)
    ON CONFLICT (organisation_id, entity_type, entity_id) DO UPDATE SET
        state = 'syncing',
        claimed_from = coalesce(
            r.resume_as, CASE r.state WHEN 'syncing' THEN 'pending' ELSE r.state END),
        resume_as = NULL,
        claim_id = excluded.claim_id,
        lease_until = excluded.lease_until,
        serial_key = coalesce(excluded.serial_key, r.serial_key),
        -- A proof looks for an old write: the change that arrived before it stays unclaimed.
        signals_claimed = CASE r.state WHEN 'in_doubt' THEN r.signals_claimed ELSE r.signals END,
        changed_at = clock_timestamp()
    WHERE {CLAIMABLE}
    RETURNING claimed_from, zoho_id, attempt_number, attempted_fingerprint, confirmed_fingerprint,
              code, field, sentence, candidates, create_anyway_by IS NOT NULL AS create_anyway,
              facts, removed_at IS NOT NULL AS removed, former_zoho_ids, {END_IF_STALLED}
""")

# Nobody looks yet: the POST of the dead (or stalled) worker may still happen until the proof's
# due time. The claim's id stays, so that its answer, if it comes, is still stored.
EXPIRE_LEASES: Final = f"""
    UPDATE billing_sync.records r SET
        state = 'in_doubt',
        next_attempt_at = (
            SELECT max(i.sent_at) + make_interval(secs => :proof_due) FROM billing_sync.intents i
            WHERE i.organisation_id = r.organisation_id AND i.entity_type = r.entity_type
              AND i.entity_id = r.entity_id AND i.closed_at IS NULL),
        code = 'worker_lost', field = NULL,
        sentence = 'The worker that sent it did not report back; its write is being proved.',
        status_due = clock_timestamp(), changed_at = clock_timestamp()
    WHERE r.organisation_id = :organisation_id AND r.state = 'syncing'
      AND r.lease_until < clock_timestamp() AND {OPEN_INTENT}
"""

EXPIRE_ONE: Final = text(
    EXPIRE_LEASES + " AND r.entity_type = :entity_type AND r.entity_id = :entity_id"
)

WHY_NOT: Final = text("""
    SELECT state, CASE
        WHEN state = 'syncing' THEN extract(epoch FROM lease_until - clock_timestamp())
        WHEN state IN ('retrying', 'waiting', 'in_doubt')
            THEN extract(epoch FROM next_attempt_at - clock_timestamp())
        END AS wait_seconds
    FROM billing_sync.records
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id
""")

# Besides those in flight, the creates that a proof found: what they made is in Zoho, whether or not
# the record could take its id.
INTENTS: Final = text("""
    SELECT intent_id, step, method, key, figures, fingerprint, zoho_id, sent_at,
           closed_at IS NULL AS is_open
    FROM billing_sync.intents
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id
      AND (closed_at IS NULL OR closed_as = 'found' AND method = 'create')
    ORDER BY intent_id
""")

# An acceptance holds while the record is red for the same source row.
ACCEPTANCE: Final = """
        accepted_at = CASE WHEN CAST(:source_version AS timestamptz) IS NULL
                OR source_version IS NOT DISTINCT FROM CAST(:source_version AS timestamptz)
            THEN accepted_at END
"""

# An update in flight makes what Zoho last confirmed unknown until its answer is here. The version
# is stored now: should this worker be lost, the status columns would be written over a change of
# the row that nobody has read, and make it look read.
FENCE: Final = text(f"""
    UPDATE billing_sync.records SET
        lease_until = clock_timestamp() + make_interval(secs => :lease),
        attempted_fingerprint = :fingerprint,
        confirmed_fingerprint = NULL,
        source_version = coalesce(CAST(:source_version AS timestamptz), source_version),
        {ACCEPTANCE}
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id AND claim_id = :claim_id AND state = 'syncing'
      AND lease_until > clock_timestamp()
    -- Asked in the same round trip: a pause holds back every write that is not on its way.
    RETURNING EXISTS (SELECT 1 FROM billing_sync.organisations o
                      WHERE o.organisation_id = :organisation_id AND o.paused_at IS NOT NULL)
""")

INSERT_INTENT: Final = text("""
    INSERT INTO billing_sync.intents
        (organisation_id, entity_type, entity_id, step, method, claim_id, key, figures,
         fingerprint, zoho_id, run_id)
    VALUES (:organisation_id, :entity_type, :entity_id, :step, :method, :claim_id, :key,
            CAST(:figures AS jsonb), :fingerprint, :zoho_id, :run_id)
    RETURNING intent_id, step, method, key, figures, fingerprint, zoho_id, sent_at
""")

CLOSE_INTENT: Final = text("""
    UPDATE billing_sync.intents SET closed_at = clock_timestamp(), closed_as = :closed_as
    WHERE intent_id = :intent_id AND closed_at IS NULL
""")

STORE_ID: Final = text(f"""
    UPDATE billing_sync.records SET
        zoho_id = :zoho_id,
        removed_at = NULL,
        how = coalesce(how, :how),
        created_by_run = CASE WHEN :how = 'created' THEN coalesce(created_by_run, :run_id)
                              ELSE created_by_run END,
        former_zoho_ids = CASE WHEN zoho_id <> :zoho_id
                               THEN array_append(former_zoho_ids, zoho_id)
                               ELSE former_zoho_ids END,
        changed_at = clock_timestamp()
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id AND claim_id = :claim_id
    RETURNING {END_IF_STALLED}
""")

LET_GO: Final = text(f"""
    UPDATE billing_sync.records SET
        former_zoho_ids = CASE WHEN zoho_id IS NULL THEN former_zoho_ids
                               ELSE array_append(former_zoho_ids, zoho_id) END,
        zoho_id = NULL,
        confirmed_fingerprint = NULL,
        confirmed_fields = NULL,
        facts = coalesce(CAST(:facts AS jsonb), facts),
        changed_at = clock_timestamp()
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id AND claim_id = :claim_id
    RETURNING {END_IF_STALLED}
""")

INSERT_STRAY: Final = text("""
    INSERT INTO billing_sync.stray_answers
        (organisation_id, entity_type, entity_id, intent_id, zoho_id, settled_as)
    VALUES (:organisation_id, :entity_type, :entity_id, :intent_id, :zoho_id,
            CASE WHEN :method = 'update' THEN 'late_update' END)
""")

# A PUT that was answered after its claim was lost may have put older values over newer ones.
DOUBT_LATE_UPDATE: Final = text("""
    UPDATE billing_sync.records SET confirmed_fingerprint = NULL, signals = signals + 1
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id AND zoho_id = :zoho_id
""")

HOLDER_OF_ZOHO_ID: Final = text("""
    SELECT entity_id FROM billing_sync.records
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type AND zoho_id = :zoho_id
""")

SETTLE: Final = text(f"""
    UPDATE billing_sync.records SET
        state = CASE
            WHEN :state IN ({sql_list(states_where("signal_makes_pending"))})
                 AND signals > signals_claimed THEN 'pending'
            ELSE :state END,
        claim_id = NULL, lease_until = NULL, claimed_from = NULL,
        resume_as = CASE WHEN :state = 'retrying' THEN CAST(:resume_as AS text) END,
        blocked_on_type = NULL, blocked_on_id = NULL,
        due_at = CAST(:due_at AS timestamptz),
        removed_at = CASE WHEN :removed THEN coalesce(removed_at, clock_timestamp())
                          WHEN :state IN ('pending', 'retrying') THEN removed_at END,
        facts = coalesce(CAST(:facts AS jsonb), facts),
        next_attempt_at = clock_timestamp() + make_interval(secs => :retry_in),
        code = :code, field = :field, sentence = :sentence,
        candidates = CAST(:candidates AS jsonb),
        attempt_number = coalesce(:attempt_number, attempt_number),
        attempted_fingerprint = coalesce(:attempted_fingerprint, attempted_fingerprint),
        confirmed_fingerprint = CASE WHEN :forget_confirmed THEN NULL
            ELSE coalesce(:confirmed_fingerprint, confirmed_fingerprint) END,
        confirmed_fields = coalesce(CAST(:confirmed_fields AS jsonb), confirmed_fields),
        source_version = coalesce(CAST(:source_version AS timestamptz), source_version),
        {ACCEPTANCE},
        last_run = coalesce(:run_id, last_run),
        last_change = CASE WHEN CAST(:run_id AS text) IS NOT NULL AND last_run = :run_id
            THEN coalesce(:change, last_change) ELSE CAST(:change AS text) END,
        status_due = clock_timestamp(),
        changed_at = clock_timestamp()
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id AND claim_id = :claim_id
    RETURNING state, {END_IF_STALLED}
""")

WAKE_CHILDREN: Final = text("""
    UPDATE billing_sync.records SET next_attempt_at = clock_timestamp()
    WHERE organisation_id = :organisation_id AND blocked_on_type = :entity_type
      AND blocked_on_id = :entity_id AND state = 'blocked'
""")

LIVE_SINCE: Final = f"""
    CASE WHEN r.live_since IS NULL
              OR r.state IN ({sql_list(states_where("claimed_on_signal"))})
                 AND r.signals <= r.signals_claimed
         THEN clock_timestamp() ELSE r.live_since END
"""
"""Since when something that came in real time waits, by which its turn comes. One that is told of
again does not go to the end of the queue for it, and one that was at rest does not go first."""

SIGNAL: Final = text(f"""
    INSERT INTO billing_sync.records AS r
        (organisation_id, entity_type, entity_id, signals, live_since)
    VALUES (:organisation_id, :entity_type, :entity_id, 1,
            CASE WHEN :live THEN clock_timestamp() END)
    ON CONFLICT (organisation_id, entity_type, entity_id)
    DO UPDATE SET
        signals = r.signals + 1,
        live_since = CASE WHEN :live THEN {LIVE_SINCE} ELSE r.live_since END,
        -- It may wait for days: what changed here is not to wait with it.
        next_attempt_at = CASE r.state WHEN 'waiting' THEN clock_timestamp()
                                       ELSE r.next_attempt_at END
""")

NOT_LEFT_OUT: Final = """(r.entity_type, r.entity_id) NOT IN (
    SELECT type, id FROM unnest(CAST(:types AS text[]), CAST(:ids AS text[])) AS left_out (type, id)
)
"""
"""Looked up by hash, however few are expected: a round of the sweep leaves out thousands, which an
anti-join would go through for every record."""

NOT_AT_REST: Final = sql_list(
    [state for state, rule in STATES.items() if not rule.claimed_on_signal]
)

TOLD_COLUMNS: Final = f"""
    r.entity_type, r.entity_id, r.live_since, r.state, r.blocked_on_type, r.blocked_on_id,
    {CLAIMABLE} AS is_claimable
"""

# By the indexes of what is live and not at rest: among a hundred thousand records mostly none. A
# parent for which one of them waits is as urgent, whatever is told of the parent itself, and its
# turn is that of the first who waits: a payment whose customer was told of last would else come
# last, too. What was found is put together by grouping, never by a join: after a flood the server
# may still plan for the few records of before, and would go through all of them for each.
DUE_LIVE: Final = text(f"""
    WITH RECURSIVE told AS MATERIALIZED (
        SELECT {TOLD_COLUMNS} FROM billing_sync.records r
        WHERE r.organisation_id = :organisation_id AND r.live_since IS NOT NULL
          AND r.state IN ({NOT_AT_REST})
        UNION ALL
        SELECT {TOLD_COLUMNS} FROM billing_sync.records r
        WHERE r.organisation_id = :organisation_id AND r.live_since IS NOT NULL
          AND r.signals > r.signals_claimed AND r.state NOT IN ({NOT_AT_REST})
    ), parents (entity_type, entity_id, since) AS (
        SELECT blocked_on_type, blocked_on_id, min(live_since) FROM told
        WHERE state = 'blocked' GROUP BY 1, 2
        UNION
        SELECT r.blocked_on_type, r.blocked_on_id, parents.since FROM parents
        JOIN billing_sync.records r USING (entity_type, entity_id)
        WHERE r.organisation_id = :organisation_id AND r.state = 'blocked'
    ), turns AS (
        SELECT entity_type, entity_id, min(since) AS since, bool_or(is_claimable) AS is_claimable
        FROM (SELECT entity_type, entity_id, live_since AS since, is_claimable FROM told
              UNION ALL
              SELECT entity_type, entity_id, since, NULL FROM parents) AS named
        GROUP BY 1, 2
    ), claimable AS (
        -- Of a parent that is not live itself nothing was read yet.
        SELECT entity_type, entity_id, since FROM turns
        WHERE coalesce(is_claimable, (
            SELECT {CLAIMABLE} FROM billing_sync.records r
            WHERE r.organisation_id = :organisation_id AND r.entity_type = turns.entity_type
              AND r.entity_id = turns.entity_id))
    )
    SELECT r.entity_type, r.entity_id FROM claimable r
    WHERE {NOT_LEFT_OUT}
    ORDER BY r.since, r.entity_id LIMIT :limit
""")

DUE: Final = text(f"""
    SELECT r.entity_type, r.entity_id FROM billing_sync.records r
    WHERE r.organisation_id = :organisation_id AND {CLAIMABLE} AND {NOT_LEFT_OUT}
    ORDER BY r.live_since NULLS LAST, r.next_attempt_at NULLS FIRST, r.entity_id LIMIT :limit
""")

ENSURE: Final = text("""
    INSERT INTO billing_sync.records (organisation_id, entity_type, entity_id)
    VALUES (:organisation_id, :entity_type, :entity_id)
    ON CONFLICT (organisation_id, entity_type, entity_id) DO NOTHING
""")

LOCK_PARENT: Final = text(f"""
    SELECT ({READY}) AS ready FROM billing_sync.records p
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id FOR SHARE
""")

# Whatever would be sent without its parent; never what another worker has brought further.
BLOCK_CHILD: Final = text(f"""
    UPDATE billing_sync.records r SET
        state = 'blocked', claim_id = NULL, lease_until = NULL,
        blocked_on_type = :parent_type, blocked_on_id = :parent_id,
        next_attempt_at = CASE WHEN :ready THEN clock_timestamp() END,
        code = 'blocked', field = NULL,
        sentence = 'Waits for ' || :parent_type || ' ' || :parent_id || ' to be in Zoho.',
        status_due = clock_timestamp(), changed_at = clock_timestamp(),
        last_run = coalesce(:run_id, last_run)
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id
      AND (state IN ('pending', 'blocked', 'retrying')
           OR state = 'syncing' AND lease_until < clock_timestamp() AND NOT {OPEN_INTENT}
           OR state IN ('skipped', 'failed', 'ambiguous', 'exhausted')
              AND signals > signals_claimed)
""")

VIEW_COLUMNS: Final = """
    entity_type, entity_id, state, zoho_id, code, field, sentence, candidates, attempt_number,
    next_attempt_at, confirmed_fingerprint, attempted_fingerprint, confirmed_fields,
    source_version,
    signals > signals_claimed AS signals_waiting, how, facts, removed_at IS NOT NULL AS removed,
    former_zoho_ids, due_at
"""

VIEW: Final = text(f"""
    SELECT {VIEW_COLUMNS} FROM billing_sync.records
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = :entity_id
""")

VIEWS: Final = text(f"""
    SELECT {VIEW_COLUMNS} FROM billing_sync.records
    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
      AND entity_id = ANY(:ids)
""")

ZOHO_ENTITY_TYPES: Final = {
    EntityType.CUSTOMER: "Contacts",
    EntityType.PRODUCT: "Products",
    EntityType.PLAN: "Plans",
    EntityType.SUBSCRIPTION: "Subscriptions",
    EntityType.INVOICE: "Invoices",
    EntityType.PAYMENT: "Payments",
}

INSERT_LOG: Final = text("""
    INSERT INTO billing_sync.zoho_sync_logs
        (organisation_id, run_id, entity_type, entity_id, zoho_entity_type, zoho_entity_id,
         operation, status, attempt_number, error_code, error_sentence, request_masked,
         response_masked, http_status, zoho_code, duration_ms)
    VALUES (:organisation_id, :run_id, :entity_type, :entity_id, :zoho_entity_type, :zoho_id,
            :operation, :status, :attempt_number, :error_code, :error_sentence,
            CAST(:request_masked AS jsonb), CAST(:response_masked AS jsonb), :http_status,
            :zoho_code, :duration_ms)
""")


STALLED_IN_TRANSACTION: Final = "25P03"
"""SQLSTATE of idle_in_transaction_session_timeout: the server rolled our transaction back."""


class PostgresRecords:
    """The sync records of one organisation (`SyncRecords`)."""

    def __init__(
        self,
        engine: Engine,
        organisation_id: str,
        timing: Timing,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        note_refused_trigger: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep what every statement needs; nothing is opened yet.

        `note_refused_trigger` is the quota's: a trigger's refusal is rolled back with the fence.
        """
        self._engine = engine
        self._organisation_id = organisation_id
        self._timing = timing
        self._monotonic = monotonic
        self._note_refused_trigger = note_refused_trigger
        self._stall = f"{int(timing.send_window_seconds * 1000)}ms"

    def signal(self, record: RecordKey, *, live: bool = False) -> None:
        """Count a signal; a record that is not there yet becomes `pending`."""
        with one_statement(self._engine) as connection:
            connection.execute(SIGNAL, {**self._key(record), "live": live})

    def claim(self, record: RecordKey, *, serial_key: str | None = None) -> Claim | NotClaimed:
        """Claim in one statement, so that «held» and «never seen» cannot be confused."""
        key = self._key(record)
        claim_id = str(uuid.uuid4())
        try:
            with self._engine.begin() as connection:
                row = connection.execute(
                    CLAIM,
                    {
                        **key,
                        "claim_id": claim_id,
                        "lease": self._timing.lease_seconds,
                        "serial_key": serial_key,
                        "stall": self._stall,
                    },
                ).one_or_none()
                if row is not None:
                    # A statement of its own: it must see what the former holder committed while
                    # we waited for its row lock.
                    intents = connection.execute(INTENTS, key).all()
                    return _claim(record, claim_id, row, intents)
                connection.execute(EXPIRE_ONE, {**key, "proof_due": self._timing.proof_due_seconds})
                why = connection.execute(WHY_NOT, key).one()
        except IntegrityError:
            # Another record of the same serial key is in somebody's hand.
            return NotClaimed(State.PENDING, self._timing.longest_sleep_seconds)
        wait = None if why.wait_seconds is None else max(float(why.wait_seconds), 0.0)
        return NotClaimed(State(why.state), wait)

    def open_intent(
        self, claim: Claim, write: Write, priority: Priority, *, run_id: str | None
    ) -> tuple[Intent, Permit]:
        """Fence, take the permit and write the intent, or none of it."""
        # The window starts before the transaction does: a stall inside it must count.
        send_by = self._monotonic() + self._timing.send_window_seconds
        try:
            with self._engine.begin() as connection:
                return self._open_intent(connection, claim, write, priority, run_id, send_by)
        except NotNow as refused:
            if priority is Priority.TRIGGER and not isinstance(refused, Paused):
                self._note_refused_trigger()
            raise
        except DBAPIError as error:
            # Whether the server's reason is still read, or only that the session is gone, is luck.
            sqlstate = getattr(error.orig, "sqlstate", None)
            if error.connection_invalidated or sqlstate == STALLED_IN_TRANSACTION:
                raise FenceLost(f"stalled while opening an intent of {claim.record}") from error
            raise

    def _open_intent(
        self,
        connection: Connection,
        claim: Claim,
        write: Write,
        priority: Priority,
        run_id: str | None,
        send_by: float,
    ) -> tuple[Intent, Permit]:
        key = self._key(claim.record)
        is_paused = connection.execute(
            FENCE,
            {
                **key,
                "claim_id": claim.claim_id,
                "lease": self._timing.lease_seconds,
                "fingerprint": write.fingerprint,
                "source_version": write.source_version,
            },
        ).scalar_one_or_none()
        if is_paused is None:
            raise FenceLost(f"the claim on {claim.record} is lost")
        if is_paused:
            raise Paused(self._timing.pause_seconds)
        permit = take_permit(
            connection, self._organisation_id, priority, self._timing, send_by=send_by
        )
        row = connection.execute(
            INSERT_INTENT,
            {
                **key,
                "step": write.step,
                "method": write.method,
                "claim_id": claim.claim_id,
                "key": write.key,
                "figures": json.dumps(write.figures),
                "fingerprint": write.fingerprint,
                "zoho_id": write.zoho_id,
                "run_id": run_id,
            },
        ).one()
        return _intent(row), permit

    def close_intent(self, intent: Intent, closed_as: str) -> None:
        """Close the intent, if it is still open."""
        with one_statement(self._engine) as connection:
            connection.execute(
                CLOSE_INTENT, {"intent_id": intent.intent_id, "closed_as": closed_as}
            )

    def store_answer(
        self, claim: Claim, intent: Intent, zoho_id: str, *, run_id: str | None
    ) -> bool:
        """Store the id and close the intent in one transaction, before anything is compared."""
        how = "created" if intent.method == "create" else None
        with self._engine.begin() as connection:
            if not self._store_id(connection, claim, zoho_id, how, run_id):
                self._keep_stray(connection, claim, intent, zoho_id)
                return False
            connection.execute(
                CLOSE_INTENT, {"intent_id": intent.intent_id, "closed_as": "answered"}
            )
        return True

    def _keep_stray(
        self, connection: Connection, claim: Claim, intent: Intent, zoho_id: str
    ) -> None:
        """Keep an answer that came after its claim was lost."""
        key = self._key(claim.record)
        connection.execute(
            INSERT_STRAY,
            {**key, "intent_id": intent.intent_id, "zoho_id": zoho_id, "method": intent.method},
        )
        if intent.method == "update":
            connection.execute(DOUBT_LATE_UPDATE, {**key, "zoho_id": zoho_id})

    def let_go(
        self, claim: Claim, intent: Intent | None, *, facts: dict[str, Any] | None = None
    ) -> bool:
        """Forget the id, and close the intent of its deletion, in one transaction."""
        key = self._key(claim.record)
        with self._engine.begin() as connection:
            kept = connection.execute(
                LET_GO,
                {
                    **key,
                    "claim_id": claim.claim_id,
                    "facts": _json(facts),
                    "stall": self._stall,
                },
            )
            if kept.rowcount == 0:
                if intent is not None and intent.zoho_id is not None:
                    self._keep_stray(connection, claim, intent, intent.zoho_id)
                return False
            if intent is not None:
                connection.execute(
                    CLOSE_INTENT, {"intent_id": intent.intent_id, "closed_as": "answered"}
                )
        return True

    def sent_figures(self, record: RecordKey) -> list[dict[str, Any]]:
        """Give the figures of every create that was ever sent for the record."""
        with one_statement(self._engine) as connection:
            return list(
                connection.execute(
                    text("""SELECT figures FROM billing_sync.intents
                            WHERE organisation_id = :organisation_id
                              AND entity_type = :entity_type AND entity_id = :entity_id
                              AND method = 'create'
                            ORDER BY intent_id"""),
                    self._key(record),
                ).scalars()
            )

    def holders(self, entity: EntityType, zoho_ids: Sequence[str]) -> dict[str, str]:
        """Say which record of ours holds each of the Zoho ids that any holds."""
        if not zoho_ids:
            return {}
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text("""SELECT zoho_id, entity_id FROM billing_sync.records
                        WHERE organisation_id = :organisation_id AND entity_type = :entity_type
                          AND zoho_id = ANY(:zoho_ids)"""),
                {
                    "organisation_id": self._organisation_id,
                    "entity_type": entity.value,
                    "zoho_ids": list(zoho_ids),
                },
            )
            return {row.zoho_id: row.entity_id for row in rows}

    def adopt(
        self, claim: Claim, zoho_id: str, *, intent: Intent | None, run_id: str | None
    ) -> RecordKey | None:
        """Store an id that was found; a proof's find closes its intent in the same transaction."""
        how = "linked" if intent is None else "created"
        try:
            with self._engine.begin() as connection:
                if not self._store_id(connection, claim, zoho_id, how, run_id):
                    raise FenceLost(f"the claim on {claim.record} is lost")
                if intent is not None:
                    connection.execute(
                        CLOSE_INTENT, {"intent_id": intent.intent_id, "closed_as": "found"}
                    )
                    connection.execute(
                        text("""UPDATE billing_sync.stray_answers SET settled_as = 'adopted'
                                WHERE intent_id = :intent_id AND settled_as IS NULL"""),
                        {"intent_id": intent.intent_id},
                    )
        except IntegrityError:
            with one_statement(self._engine) as connection:
                holder = connection.execute(
                    HOLDER_OF_ZOHO_ID, {**self._key(claim.record), "zoho_id": zoho_id}
                ).scalar_one()
            return RecordKey(claim.record.entity, holder)
        return None

    def _store_id(
        self,
        connection: Connection,
        claim: Claim,
        zoho_id: str,
        how: str | None,
        run_id: str | None,
    ) -> bool:
        stored = connection.execute(
            STORE_ID,
            {
                **self._key(claim.record),
                "claim_id": claim.claim_id,
                "zoho_id": zoho_id,
                "how": how,
                "run_id": run_id,
                "stall": self._stall,
            },
        )
        return stored.rowcount > 0

    def stray_answer(self, claim: Claim) -> tuple[Intent, str] | None:
        """Give the first stray answer to one of the claim's open intents."""
        with one_statement(self._engine) as connection:
            row = connection.execute(
                text("""SELECT intent_id, zoho_id FROM billing_sync.stray_answers
                        WHERE organisation_id = :organisation_id AND entity_type = :entity_type
                          AND entity_id = :entity_id AND settled_as IS NULL
                          AND intent_id = ANY(:intent_ids)
                        ORDER BY stray_id LIMIT 1"""),
                {
                    **self._key(claim.record),
                    "intent_ids": [intent.intent_id for intent in claim.open_intents],
                },
            ).one_or_none()
        if row is None:
            return None
        intent = next(i for i in claim.open_intents if i.intent_id == row.intent_id)
        return intent, row.zoho_id

    def settle(self, claim: Claim, settlement: Settlement) -> State | None:
        """End the claim in one transaction, then wake the children that wait for this record."""
        key = self._key(claim.record)
        with self._engine.begin() as connection:
            state = connection.execute(
                SETTLE,
                {
                    **key,
                    "claim_id": claim.claim_id,
                    "state": settlement.state.value,
                    "retry_in": settlement.retry_in,
                    "code": settlement.code,
                    "field": settlement.field,
                    "sentence": settlement.sentence,
                    "candidates": json.dumps(list(settlement.candidates)),
                    "attempt_number": settlement.attempt_number,
                    "attempted_fingerprint": settlement.attempted_fingerprint,
                    "confirmed_fingerprint": settlement.confirmed_fingerprint,
                    "confirmed_fields": _json(settlement.confirmed_fields),
                    "forget_confirmed": settlement.forget_confirmed,
                    "source_version": settlement.source_version,
                    "change": settlement.change,
                    "run_id": settlement.run_id,
                    "resume_as": settlement.resume_as and settlement.resume_as.value,
                    "due_at": settlement.due_at,
                    "removed": settlement.removed,
                    "facts": _json(settlement.facts),
                    "stall": self._stall,
                },
            ).scalar_one_or_none()
            if state is None:
                return None
            connection.execute(WAKE_CHILDREN, key)
        return State(state)

    def block(self, child: RecordKey, parent: RecordKey, *, run_id: str | None) -> bool:
        """Write «blocked» so that the parent's wake-up cannot be missed.

        Parent before child, always: two workers that lock in both orders would wait for each
        other. FOR SHARE makes the parent's settling come wholly before or wholly after.
        """
        with self._engine.begin() as connection:
            for record in (parent, child):
                connection.execute(ENSURE, self._key(record))
            ready = connection.execute(LOCK_PARENT, self._key(parent)).scalar_one()
            blocked = connection.execute(
                BLOCK_CHILD,
                {
                    **self._key(child),
                    "parent_type": parent.entity.value,
                    "parent_id": parent.entity_id,
                    "ready": ready,
                    "run_id": run_id,
                },
            )
        return blocked.rowcount > 0

    def is_ready(self, record: RecordKey) -> bool:
        """Say whether the record's children may be sent."""
        with one_statement(self._engine) as connection:
            ready = connection.execute(
                text(f"""SELECT {READY} FROM billing_sync.records p
                         WHERE organisation_id = :organisation_id
                           AND entity_type = :entity_type AND entity_id = :entity_id"""),
                self._key(record),
            ).scalar_one_or_none()
        return bool(ready)

    def view(self, record: RecordKey) -> RecordView | None:
        """Show one record."""
        with one_statement(self._engine) as connection:
            row = connection.execute(VIEW, self._key(record)).one_or_none()
        return None if row is None else _view(row)

    def views(self, entity: EntityType, ids: Sequence[str]) -> dict[str, RecordView]:
        """Show many records of one entity in one round trip."""
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                VIEWS,
                {
                    "organisation_id": self._organisation_id,
                    "entity_type": entity.value,
                    "ids": list(ids),
                },
            ).all()
        return {row.entity_id: _view(row) for row in rows}

    def expire_leases(self) -> int:
        """Make every record whose worker died with a write in flight `in_doubt`."""
        with one_statement(self._engine) as connection:
            return connection.execute(
                text(EXPIRE_LEASES),
                {
                    "organisation_id": self._organisation_id,
                    "proof_due": self._timing.proof_due_seconds,
                },
            ).rowcount

    def due(
        self, limit: int, *, live_only: bool = False, but: Collection[RecordKey] = ()
    ) -> list[RecordKey]:
        """Give records that are claimable now, what came in real time first, leaving some out."""
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                DUE_LIVE if live_only else DUE,
                {
                    "organisation_id": self._organisation_id,
                    "limit": limit,
                    **columns_of(but),
                },
            ).all()
        return [RecordKey(EntityType(row.entity_type), row.entity_id) for row in rows]

    def status_due(self, limit: int) -> list[RecordKey]:
        """Give records whose status columns are still to be written, the oldest first."""
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""SELECT entity_type, entity_id FROM billing_sync.records
                         WHERE organisation_id = :organisation_id AND status_due IS NOT NULL
                           AND state IN ({sql_list(states_where("status_written"))})
                         ORDER BY status_due LIMIT :limit"""),
                {"organisation_id": self._organisation_id, "limit": limit},
            ).all()
        return [RecordKey(EntityType(row.entity_type), row.entity_id) for row in rows]

    def write_log(self, entry: LogEntry) -> None:
        """Write the row in a transaction of its own: its failure undoes no confirmation."""
        try:
            with one_statement(self._engine) as connection:
                connection.execute(INSERT_LOG, log_values(self._organisation_id, entry))
        except DBAPIError as error:
            raise LogNotWritten(f"the sync log refuses the row of {entry.record}") from error

    def _key(self, record: RecordKey) -> dict[str, Any]:
        return {
            "organisation_id": self._organisation_id,
            "entity_type": record.entity.value,
            "entity_id": record.entity_id,
        }


def columns_of(records: Collection[RecordKey]) -> dict[str, list[str]]:
    """Give keys as the two parallel lists that a statement unnests."""
    return {
        "types": [record.entity.value for record in records],
        "ids": [record.entity_id for record in records],
    }


def log_values(organisation_id: str, entry: LogEntry) -> dict[str, Any]:
    """Give the values of `INSERT_LOG`; preflight tries the very row that a run will write."""
    return {
        "organisation_id": organisation_id,
        "entity_type": entry.record.entity.value,
        "entity_id": entry.record.entity_id,
        "run_id": entry.run_id,
        "zoho_entity_type": ZOHO_ENTITY_TYPES[entry.record.entity],
        "zoho_id": entry.zoho_id,
        "operation": entry.operation,
        "status": entry.status,
        "attempt_number": entry.attempt_number,
        "error_code": entry.error_code,
        "error_sentence": entry.error_sentence,
        "request_masked": _json(entry.request_masked),
        "response_masked": _json(entry.response_masked),
        "http_status": entry.http_status,
        "zoho_code": entry.zoho_code,
        "duration_ms": entry.duration_ms,
    }


def _json(content: dict[str, Any] | None) -> str | None:
    return None if content is None else json.dumps(content)


def _intent(row: Row[Any]) -> Intent:
    return Intent(
        intent_id=row.intent_id,
        step=row.step,
        method=row.method,
        key=row.key,
        figures=row.figures,
        fingerprint=row.fingerprint,
        zoho_id=row.zoho_id,
        sent_at=row.sent_at,
    )


def _claim(record: RecordKey, claim_id: str, row: Row[Any], intents: Sequence[Row[Any]]) -> Claim:
    return Claim(
        record=record,
        claim_id=claim_id,
        claimed_from=State(row.claimed_from),
        zoho_id=row.zoho_id,
        attempt_number=row.attempt_number,
        attempted_fingerprint=row.attempted_fingerprint,
        confirmed_fingerprint=row.confirmed_fingerprint,
        code=row.code,
        field=row.field,
        sentence=row.sentence,
        candidates=tuple(row.candidates),
        create_anyway=row.create_anyway,
        open_intents=tuple(_intent(intent) for intent in intents if intent.is_open),
        found_intents=tuple(_intent(intent) for intent in intents if not intent.is_open),
        facts=row.facts or {},
        removed=row.removed,
        former_zoho_ids=tuple(row.former_zoho_ids),
    )


def _view(row: Row[Any]) -> RecordView:
    return RecordView(
        record=RecordKey(EntityType(row.entity_type), row.entity_id),
        state=State(row.state),
        zoho_id=row.zoho_id,
        code=row.code,
        field=row.field,
        sentence=row.sentence,
        candidates=tuple(row.candidates),
        attempt_number=row.attempt_number,
        next_attempt_at=row.next_attempt_at,
        confirmed_fingerprint=row.confirmed_fingerprint,
        attempted_fingerprint=row.attempted_fingerprint,
        confirmed_fields=row.confirmed_fields or {},
        source_version=row.source_version,
        signals_waiting=row.signals_waiting,
        how=row.how,
        facts=row.facts or {},
        removed=row.removed,
        former_zoho_ids=tuple(row.former_zoho_ids),
        due_at=row.due_at,
    )
