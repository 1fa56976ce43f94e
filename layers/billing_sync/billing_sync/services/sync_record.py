"""Bring one record in step with Zoho: the use case that everything else calls (protocol §2-§5).

    claim ──► open intent? ──yes──► prove: was the old write done?            ─┐
      │            no                                                          │
      ▼                                                                        ▼
    read ──► skip / refuse / unchanged / find ──► fence+permit+intent ──► call ──► store id
                                                                               │
    settle ◄── compare figures ◄───────────────────────────────────────────────┘
      │
    status columns, sync log

A crash between any two of these steps leaves a record that the next claim understands.
"""

from collections.abc import Mapping

from billing_sync.domain.errors import FenceLost
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.timing import Timing
from billing_sync.ports import (
    Clock,
    NotClaimed,
    Priority,
    RecordKey,
    StatusColumns,
    SyncRecords,
)
from billing_sync.services.attempt import Attempt, Outcome
from billing_sync.services.rules import EntityRules


class SyncRecord:
    """Claim a record, prove or send it, settle it. Safe to call at any time, by any number."""

    def __init__(
        self,
        records: SyncRecords,
        rules: Mapping[EntityType, EntityRules],
        status_columns: StatusColumns,
        clock: Clock,
        timing: Timing,
    ) -> None:
        """Keep the ports."""
        self._records = records
        self._rules = rules
        self._status_columns = status_columns
        self._clock = clock
        self._timing = timing

    def __call__(
        self, record: RecordKey, *, priority: Priority, run_id: str | None = None
    ) -> Outcome:
        """Bring `record` in step, its parents first.

        :raises Misconfigured: no record can succeed; this one is settled.
        :raises LogNotWritten: the sync log refused a row; this record is settled all the same.
        """
        rules = self._rules[record.entity]
        blocked_on = self._sync_parents(record, rules, priority, run_id)
        # What needs no parent any more (a proof, an update of what is in Zoho) is not blocked.
        if blocked_on is not None and self._records.block(record, blocked_on, run_id=run_id):
            self._status_columns.write(record)
            return Outcome(record, State.BLOCKED)
        claim = self._records.claim(record, serial_key=rules.serial_key(record.entity_id))
        if isinstance(claim, NotClaimed):
            return Outcome(record, claim.state, not_claimed=claim)
        attempt = Attempt(self._records, self._clock, self._timing, rules, claim, priority, run_id)
        try:
            return attempt.prove() if claim.open_intents else attempt.work()
        except FenceLost:
            return Outcome(record, None)
        finally:
            # Transaction B: it writes the record's current state, whoever settled it.
            self._status_columns.write(record)
            attempt.write_logs()

    def _sync_parents(
        self, record: RecordKey, rules: EntityRules, priority: Priority, run_id: str | None
    ) -> RecordKey | None:
        """Bring the parents in step, holding nothing; give the one that is not ready."""
        for parent in rules.parents(record.entity_id):
            if not self._records.is_ready(parent):
                self(parent, priority=priority, run_id=run_id)
                if not self._records.is_ready(parent):
                    return parent
        return None
