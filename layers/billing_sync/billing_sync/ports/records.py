"""Sync records: claims, intents, settlements, and the log of what was tried (protocol §1-§5)."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from billing_sync.domain.states import EntityType, State
from billing_sync.ports.governor import Permit, Priority


@dataclass(frozen=True, slots=True)
class RecordKey:
    """A record of ours, within the one organisation that its store was made for."""

    entity: EntityType
    entity_id: str

    def __str__(self) -> str:
        """Name it as people do: `customer 17`."""
        return f"{self.entity} {self.entity_id}"


@dataclass(frozen=True, slots=True)
class Intent:
    """A write in flight, written before its first byte leaves and closed when its end is known.

    `key` and `figures` are what a proof looks for: today's row may say something else by then.
    """

    intent_id: int
    step: str
    method: str
    key: str
    figures: dict[str, Any]
    fingerprint: str
    zoho_id: str | None
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a record until the lease ends, and what the claim found there.

    `found_intents` are creates of the past that a proof found in Zoho. `facts` are what children
    and reports need to know of the one in Zoho (`EntityRules.facts`), as last seen. `removed` says
    that it was rightly taken out of Zoho; its id is among the former ones then.
    """

    record: RecordKey
    claim_id: str
    claimed_from: State
    zoho_id: str | None
    attempt_number: int
    attempted_fingerprint: str | None
    confirmed_fingerprint: str | None
    code: str | None
    field: str | None
    sentence: str | None
    candidates: tuple[str, ...]
    create_anyway: bool
    open_intents: tuple[Intent, ...]
    found_intents: tuple[Intent, ...] = ()
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    removed: bool = False
    former_zoho_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotClaimed:
    """Nobody may work on the record now. `wait_seconds` is None where only a change can help."""

    state: State
    wait_seconds: float | None


@dataclass(frozen=True, slots=True)
class Write:
    """One write to Zoho, as its intent remembers it. `zoho_id` is None for a create.

    `source_version` is that of the row that it was built from: stored with the intent, it lets a
    change be seen that came after a worker was lost.
    """

    step: str
    key: str
    figures: dict[str, Any]
    fingerprint: str
    payload: dict[str, Any]
    zoho_id: str | None = None
    source_version: datetime | None = None

    @property
    def method(self) -> str:
        """`create` or `update`."""
        return "create" if self.zoho_id is None else "update"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a claim ends with. Fields left at None stay as they are, but for those of a failure.

    `code`, `field`, `sentence` and `candidates` always replace what stood there: they explain
    *this* state. `retry_in` is in real seconds from the database's now.
    """

    state: State
    code: str | None = None
    field: str | None = None
    sentence: str | None = None
    candidates: tuple[str, ...] = ()
    retry_in: float | None = None
    attempt_number: int | None = None
    attempted_fingerprint: str | None = None
    confirmed_fingerprint: str | None = None
    confirmed_fields: dict[str, str] | None = None
    forget_confirmed: bool = False
    source_version: datetime | None = None
    change: str | None = None
    run_id: str | None = None
    facts: dict[str, Any] | None = None
    removed: bool = False
    """For `synced` without an id: it is rightly not in Zoho any more."""
    due_at: datetime | None = None
    """For `waiting`: when it is failed, if what it waits for has not come."""
    resume_as: State | None = None
    """For `retrying`: the state that the next claim is to find, because nothing was sent yet."""


@dataclass(frozen=True, slots=True)
class RecordView:
    """A record as the plan, the report and a person read it."""

    record: RecordKey
    state: State
    zoho_id: str | None
    code: str | None
    field: str | None
    sentence: str | None
    candidates: tuple[str, ...]
    attempt_number: int
    next_attempt_at: datetime | None
    confirmed_fingerprint: str | None
    attempted_fingerprint: str | None
    confirmed_fields: Mapping[str, str]
    source_version: datetime | None
    signals_waiting: bool
    how: str | None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    removed: bool = False
    former_zoho_ids: tuple[str, ...] = ()
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One attempt, masked: what was asked of Zoho and what it said."""

    record: RecordKey
    operation: str
    status: str
    attempt_number: int
    zoho_id: str | None = None
    error_code: str | None = None
    error_sentence: str | None = None
    request_masked: dict[str, Any] | None = None
    response_masked: dict[str, Any] | None = None
    http_status: int | None = None
    zoho_code: int | None = None
    duration_ms: int | None = None
    run_id: str | None = None


class SyncRecords(Protocol):
    """The sync records of one organisation, and the only place where their states change."""

    def signal(self, record: RecordKey, *, live: bool = False) -> None:
        """Say that the record's source, or a person, asks for a look; creates it if unknown.

        `live`: it came in real time, so that the sweep works it off; else it is the backfill's.
        """

    def claim(self, record: RecordKey, *, serial_key: str | None = None) -> Claim | NotClaimed:
        """Take the record if it is claimable; the source is to be read only after this."""

    def open_intent(
        self, claim: Claim, write: Write, priority: Priority, *, run_id: str | None
    ) -> tuple[Intent, Permit]:
        """Fence, permit and intent in one transaction; the call must leave before `send_by`.

        :raises FenceLost: the claim is not ours any more.
        :raises NotNow: no permit, or an operator has paused all writes; nothing was written.
        """

    def close_intent(self, intent: Intent, closed_as: str) -> None:
        """Close an intent whose end is known: never_sent, refused, found, absent, ..."""

    def store_answer(
        self, claim: Claim, intent: Intent, zoho_id: str, *, run_id: str | None
    ) -> bool:
        """Store the id that Zoho answered, and close the intent; False: kept as a stray answer."""

    def let_go(
        self, claim: Claim, intent: Intent | None, *, facts: dict[str, Any] | None = None
    ) -> bool:
        """Forget the Zoho id, which is kept among the former ones, and close the intent.

        For what was deleted in Zoho by us, and for a subscription that ended there; `facts` are
        what was last seen of it. False: the claim is lost; a late deletion is kept as a stray
        answer.
        """

    def sent_figures(self, record: RecordKey) -> list[dict[str, Any]]:
        """Give the figures of every create that was ever sent for the record."""

    def holders(self, entity: EntityType, zoho_ids: Sequence[str]) -> dict[str, str]:
        """Say which record of ours (its id) holds each of the Zoho ids that any holds."""

    def adopt(
        self, claim: Claim, zoho_id: str, *, intent: Intent | None, run_id: str | None
    ) -> RecordKey | None:
        """Store an id found in Zoho. Gives the other record that already holds it, else None.

        :raises FenceLost: the claim is not ours any more.
        """

    def stray_answer(self, claim: Claim) -> tuple[Intent, str] | None:
        """Give an answer that arrived after its claim was lost and whose intent is still open."""

    def settle(self, claim: Claim, settlement: Settlement) -> State | None:
        """End the claim; gives the state it really ended in, None when the claim was lost."""

    def block(self, child: RecordKey, parent: RecordKey, *, run_id: str | None) -> bool:
        """Let the child wait for its parent; False when the child is in somebody's hand."""

    def is_ready(self, record: RecordKey) -> bool:
        """Say whether children of the record may be sent: it has a live Zoho id."""

    def view(self, record: RecordKey) -> RecordView | None:
        """Show the record, None where it is unknown."""

    def views(self, entity: EntityType, ids: Sequence[str]) -> dict[str, RecordView]:
        """Show many records of one entity by id."""

    def expire_leases(self) -> int:
        """Make every record whose worker died with a write in flight `in_doubt`."""

    def due(
        self, limit: int, *, live_only: bool = False, but: Collection[RecordKey] = ()
    ) -> list[RecordKey]:
        """Give records that are claimable now, leaving some out: what came in real time first.

        `live_only` gives that alone, with the parents that it waits for.
        """

    def status_due(self, limit: int) -> list[RecordKey]:
        """Give records whose status columns are still to be written."""

    def write_log(self, entry: LogEntry) -> None:
        """Write one attempt to `zoho_sync_logs`.

        :raises LogNotWritten: when the row is refused.
        """


class StatusColumns(Protocol):
    """The application's own columns about the sync, written after the fact (transaction B)."""

    def write(self, record: RecordKey) -> None:
        """Write the record's current state, if it changes anything; a locked row stays due."""
