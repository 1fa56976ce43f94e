"""What the services need of the world, as Protocols of a few methods each; every one has a fake.

Times are aware datetimes of the database's clock unless a docstring says otherwise; waits are real
seconds (already divided by TimeScale).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from billing_sync.domain.customers import Candidate
from billing_sync.domain.remote import CustomerPage, Organisation, RemoteCustomer
from billing_sync.domain.source import Customer
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.steps import BackfillInput, Finding, Mode, Only, Phase


class Priority(StrEnum):
    """Who asks for a permit: a trigger goes before everything else; the backfill is paced.

    Sweep, retries, look-ups and proofs that no trigger waits for ask as `BACKFILL`.
    """

    TRIGGER = "trigger"
    BACKFILL = "backfill"


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to make one call now. `send_by` is on this process's monotonic clock."""

    permit_id: int
    taken_at: datetime
    send_by: float


@dataclass(frozen=True, slots=True)
class QuotaView:
    """The governor as people see it."""

    limit_per_minute: int
    configured_per_minute: int
    taken_in_minute: int
    in_flight: int
    in_flight_limit: int
    taken_today: int
    day_cap: int
    blocked_until: datetime | None
    paused_until: datetime | None


class Quota(Protocol):
    """The governor of Zoho's limits, one for all workers of an organisation (protocol §6)."""

    def take(self, priority: Priority) -> Permit:
        """Take a permit now; never waits.

        :raises NotNow: Throttled or QuotaExhausted, with the wait and its reason.
        """

    def wait_for(self, priority: Priority) -> float:
        """Say how many real seconds a `take` would be refused for, 0 when it would be granted.

        A hint, not a reservation: it lets a batch stop before it claims a record in vain.
        """

    def probe_is_due(self) -> bool:
        """Say whether the day is paused (45) and one read should find out if Zoho counts anew.

        Only a read's `take` is granted that probe, to one worker an hour; a write's never is.
        """

    def answered(self, permit: Permit, *, readable: bool = True) -> None:
        """Let the permit come back 60 s + margin from now: an answer came, or its deadline.

        Never raises: what Zoho answered must reach the caller. `readable` is False for what proves
        nothing about the day's pause (time-out, 401, 429, 5xx).
        """

    def never_sent(self, permit: Permit) -> None:
        """Nothing left: Zoho cannot have counted it, the permit comes back at once."""

    def throttled(
        self, permit: Permit, zoho_code: int | None, *, retry_after_seconds: float | None = None
    ) -> float:
        """Teach all workers that a 429 came for this call; give the real seconds to wait.

        `retry_after_seconds` is Zoho's header, in Zoho's seconds. `answered` is called as well.
        """

    def view(self) -> QuotaView:
        """Show the limits in force and what is taken."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token of Zoho's OAuth server. `generation` counts the tokens of the credential."""

    value: str
    generation: int
    api_domain: str
    expires_at: datetime
    minted_at: datetime

    def __repr__(self) -> str:
        """Show no secret: reprs end up in logs."""
        return f"AccessToken(generation={self.generation})"


class Tokens(Protocol):
    """The one access token for all workers of a credential (protocol §7)."""

    def current(self) -> AccessToken:
        """Give a live token, refreshing it early if nobody else does.

        :raises TokenRefused: while the OAuth server cools down, or another worker is at it.
        :raises Misconfigured: when the credentials are wrong.
        """

    def refused(self, token: AccessToken, module: str) -> AccessToken:
        """Zoho answered 401 for `token` in a module's call: give a newer one, minting if need be.

        :raises TokenRefused: as `current`.
        :raises Misconfigured: when a token younger than 60 s is refused again for this module: a
            missing scope, since Zoho answers both with code 57.
        """


# ------------------------------------------------------ what the shared token is made of (§7)


@dataclass(frozen=True, slots=True)
class TokenState:
    """The row of a credential. `attempts_free_at` is given while no attempt to mint is left.

    `lease_until` is given while a worker is at it, `cooldown_until` while nobody may ask, with the
    word of Zoho's refusal.
    """

    now: datetime
    generation: int = 0
    expires_at: datetime | None = None
    lease_until: datetime | None = None
    attempts_free_at: datetime | None = None
    cooldown_until: datetime | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class MintLease:
    """The right to ask for one token; the attempt is counted already."""

    lease_id: str
    generation: int
    taken_at: datetime


class TokenRecord(Protocol):
    """Who may mint, and what became of it: one row for each credential, shared by all workers."""

    def read(self) -> TokenState:
        """Read the row; an unknown credential has an empty one."""

    def take_lease(self, seen: TokenState, *, above: int) -> MintLease | None:
        """Count an attempt and take the lease, unless somebody else has moved since `seen`.

        None as well while a lease or a cool-down runs or the attempts are used up. The lease's
        generation is greater than `above` and than any that was ever given out.
        """

    def holds(self, lease: MintLease) -> bool:
        """Say whether the lease is still ours: a worker that stalled must not overwrite."""

    def minted(self, lease: MintLease, token: AccessToken) -> None:
        """Show the new token to all, after it was stored, and end the lease."""

    def refused(self, lease: MintLease, word: str) -> None:
        """Start the cool-down and end the lease."""

    def released(self, lease: MintLease) -> None:
        """End the lease without a verdict: the OAuth server could not be asked."""


class TokenStore(Protocol):
    """Where the access token is kept: a secret, never a row."""

    def read(self) -> AccessToken | None:
        """Give the stored token of this credential, None if there is none."""

    def write(self, token: AccessToken) -> None:
        """Replace it."""


@dataclass(frozen=True, slots=True)
class MintedToken:
    """What the OAuth server gave; `expires_in_seconds` in its own seconds."""

    value: str
    expires_in_seconds: float
    api_domain: str

    def __repr__(self) -> str:
        """Show no secret."""
        return "MintedToken()"


@dataclass(frozen=True, slots=True)
class MintRefusal:
    """What the OAuth server refused with: one of the known words, or `other`."""

    word: str


class TokenMint(Protocol):
    """Zoho's OAuth server. Ten tokens in ten minutes, and asking while refused makes it worse."""

    def mint(self) -> MintedToken | MintRefusal:
        """Ask once.

        :raises Unavailable: no readable answer; whether a token was minted is unknown.
        """


class Clock(Protocol):
    """Today and now, for what depends on the calendar; leases use the database's own clock."""

    def now(self) -> datetime:
        """Give the aware time."""

    def monotonic(self) -> float:
        """Give seconds that never jump, for windows inside this process."""

    def sleep(self, seconds: float) -> None:
        """Wait inside this process."""

    def jitter(self) -> float:
        """Give a factor around 1, so that what failed together does not come back together."""


# ---------------------------------------------------------------- sync records (protocol §1-§5)


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
    """The right to work on a record until the lease ends, and what the claim found there."""

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

    def signal(self, record: RecordKey) -> None:
        """Say that the record's source, or a person, asks for a look; creates it if unknown."""

    def claim(self, record: RecordKey, *, serial_key: str | None = None) -> Claim | NotClaimed:
        """Take the record if it is claimable; the source is to be read only after this."""

    def open_intent(
        self, claim: Claim, write: Write, priority: Priority, *, run_id: str | None
    ) -> tuple[Intent, Permit]:
        """Fence, permit and intent in one transaction; the call must leave before `send_by`.

        :raises FenceLost: the claim is not ours any more.
        :raises NotNow: no permit; nothing was written.
        """

    def close_intent(self, intent: Intent, closed_as: str) -> None:
        """Close an intent whose end is known: never_sent, refused, found, absent, ..."""

    def store_answer(
        self, claim: Claim, intent: Intent, zoho_id: str, *, run_id: str | None
    ) -> bool:
        """Store the id that Zoho answered, and close the intent; False: kept as a stray answer."""

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

    def due(self, limit: int) -> list[RecordKey]:
        """Give records that are claimable now, the longest due first."""

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


# ------------------------------------------------------------------------- source and snapshots


class Source(Protocol):
    """The provider's rows, through the views `billing_source`."""

    def customer(self, customer_id: str) -> Customer | None:
        """Read one customer now, None when there is none."""

    def customers_after(self, cursor: str | None, limit: int, only: Only) -> list[Customer]:
        """Read the next customers by primary key, restricted as a run is."""

    def customer_id_of(self, id_or_account: str) -> str | None:
        """Find a customer by id or by account number."""

    def known_account_numbers(self, numbers: Sequence[str]) -> set[str]:
        """Say which of the given account numbers are customers of ours."""

    def account_numbers(self, ids: Sequence[str]) -> dict[str, str]:
        """Give the account numbers of customers by id."""

    def count(self, entity: EntityType) -> int:
        """Count the rows of an entity's view."""

    def changed(self, entity: EntityType, limit: int) -> list[RecordKey]:
        """Give records whose row is new, or is not the version that was last read."""

    def vanished(self, entity: EntityType) -> list[RecordKey]:
        """Give records that are in Zoho and whose row is gone here, not yet said to be so."""


@dataclass(frozen=True, slots=True)
class SnapshotView:
    """One walk over Zoho's lists: how far it came, and how old it is."""

    snapshot_id: int
    next_page: int
    pages_complete: bool
    complete: bool
    age_seconds: float
    calls: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class SnapshotCustomer:
    """A customer row of a snapshot. Texts for comparison are normalised."""

    zoho_id: str
    display_name: str
    account_number: str | None
    account_in_name: bool
    names: tuple[str, ...]
    email: str
    phone: str
    currency_code: str | None
    status: str | None
    outstanding: Decimal
    unused_credits: Decimal
    detail_read: bool = False


class Snapshots(Protocol):
    """What Zoho holds, page by page, in our own tables."""

    def latest(self, entity: EntityType, *, complete: bool) -> SnapshotView | None:
        """Give the newest complete snapshot, or the one that is being taken."""

    def begin(self, entity: EntityType, *, instead_of: int | None) -> SnapshotView:
        """Begin a new one, or give the one that somebody else has begun since.

        `instead_of` is the unfinished one that the caller saw, if there was one.
        """

    def store_page(
        self,
        entity: EntityType,
        snapshot_id: int,
        page: int,
        rows: Sequence[SnapshotCustomer],
        *,
        is_last: bool,
    ) -> None:
        """Store a page and move on."""

    def unread_details(self, snapshot_id: int, limit: int) -> list[str]:
        """Give customers that show no account number and that no record of ours knows."""

    def store_detail(self, snapshot_id: int, row: SnapshotCustomer) -> None:
        """Store what a customer's own page says."""

    def carry_details(self, snapshot_id: int) -> None:
        """Take over what the last complete snapshot read of customers' own pages."""

    def forget(self, snapshot_id: int, zoho_id: str) -> None:
        """Take out a customer that was deleted while we walked."""

    def complete(self, entity: EntityType, snapshot_id: int) -> None:
        """Declare it complete: from now on it may answer «none»."""

    def candidates(
        self,
        snapshot_id: int,
        *,
        accounts: Sequence[str],
        emails: Sequence[str],
        phones: Sequence[str],
        names: Sequence[str],
    ) -> list[Candidate]:
        """Give everybody in Zoho who could be one of the described."""

    def count(self, snapshot_id: int) -> int:
        """Count its customers."""


# ------------------------------------------------------------------------------------------ Zoho


class Organisations(Protocol):
    """What is known of Zoho's organisation, learnt by preflight and by refusals."""

    def currency(self) -> str:
        """Give its currency code."""

    def learn(self, name: str, currency_code: str, time_zone: str) -> None:
        """Store what Zoho says of the organisation."""

    def names_are_enforced(self) -> bool:
        """Say whether the server was once seen to refuse a duplicate display name."""

    def names_were_enforced(self) -> None:
        """Remember that it was."""


class BillingApi(Protocol):
    """Zoho Billing, with permits and token inside; every read may raise `CallFailed`."""

    def make_ready(self) -> None:
        """Have a live token at hand, so that no permit's window is spent on minting one."""

    def organisations(self) -> list[Organisation]:
        """List the organisations that the token may see."""

    def list_customers(
        self,
        page: int,
        *,
        sort_created_descending: bool = False,
        filters: Mapping[str, str] | None = None,
    ) -> CustomerPage:
        """Read one page of 200 customers; rows carry no custom fields."""

    def get_customer(self, zoho_id: str) -> RemoteCustomer:
        """Read one customer by id.

        :raises GoneInZoho: it is not there any more.
        """

    def create_customer(self, payload: dict[str, Any], *, permit: Permit) -> RemoteCustomer:
        """Make a customer. Not idempotent: the caller holds an intent."""

    def update_customer(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemoteCustomer:
        """Change the given fields of a customer."""


# ------------------------------------------------------------------------------------------ runs


class CanaryState(StrEnum):
    """Whether a phase may already work on many records at once."""

    OPEN = "open"
    HELD = "held"
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the backfill as its steps find it."""

    run_id: str
    execution_arn: str
    mode: Mode
    phases: tuple[Phase, ...]
    only: Only
    step: str
    cursor: str | None
    loops: int
    stop_requested: bool
    stop_requested_by: str | None
    ended_early: str | None
    waiting_until: datetime | None
    waiting_reason: str | None
    waited_seconds: float
    cooldowns: int
    started_at: datetime
    ended_at: datetime | None
    work_off_seconds_left: float | None
    colour: str | None


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What a run will do with one record, and why."""

    phase: str
    record: RecordKey
    account_number: str | None
    action: str
    reason: str | None = None
    differing: tuple[str, ...] = ()
    amount: Decimal | None = None
    to_do: bool = True


class Runs(Protocol):
    """The runs of one organisation, their plans and findings. One run at a time."""

    def begin(self, run_id: str, execution_arn: str, asked: BackfillInput) -> Run:
        """Begin the run, or give the one that holds the lock (its id tells which)."""

    def take_over(self, former_run_id: str) -> None:
        """End a run whose execution does not run any more."""

    def get(self, run_id: str) -> Run:
        """Read the run.

        :raises KeyError: there is none of that id.
        """

    def latest(self) -> Run | None:
        """Read the newest run."""

    def enter(self, run_id: str, step: str) -> Run:
        """Begin a loop of a step: count it, and end the wait that led to it."""

    def save_cursor(self, run_id: str, cursor: str | None) -> None:
        """Remember how far a step came."""

    def wait(self, run_id: str, *, seconds: float, reason: str) -> None:
        """Remember that the state machine waits, for how long (real seconds) and why."""

    def end_early(self, run_id: str, why: str) -> None:
        """Remember why the run goes to its report before its end; the first reason stays."""

    def end(self, run_id: str, colour: str) -> None:
        """End the run and free the lock."""

    def request_stop(self, by: str) -> Run | None:
        """Ask the running run to stop; None when none runs."""

    def must_stop(self, run_id: str) -> bool:
        """Say whether a stop was asked for, or the run ends early."""

    def hold_canary(self, run_id: str, phase: str, record: RecordKey) -> CanaryState:
        """Try to be the phase's first record: `OPEN` says that it is ours to try."""

    def free_canary(self, run_id: str, phase: str, record: RecordKey, *, passed: bool) -> None:
        """Give the canary back, or declare it passed."""

    def canary_holder(self, run_id: str, phase: str) -> RecordKey | None:
        """Give the record that holds the phase, if one does."""

    def count_refusal(self, run_id: str, code: str) -> int:
        """Count refusals of one code without a success between; gives the count."""

    def clear_refusals(self, run_id: str) -> None:
        """Forget refusals: a record was synced, so they are about records, not about all."""

    def set_work_off(self, run_id: str, seconds: float) -> None:
        """Start the time of working off, once."""

    def clear_plan(self, run_id: str) -> None:
        """Forget a plan that was begun."""

    def add_to_plan(self, run_id: str, rows: Sequence[PlanRow]) -> None:
        """Append rows to the plan; a record that is in it already is left as it is."""

    def plan_rows(self, run_id: str) -> Iterator[PlanRow]:
        """Give the whole plan in its order, in constant memory."""

    def plan_counts(self, run_id: str) -> dict[str, dict[str, int]]:
        """Count the plan's rows by phase and action."""

    def plan_counts_with_field(self, run_id: str, field: str) -> int:
        """Count the plan's rows that write a field."""

    def plan_to_do(self, run_id: str, phase: str, limit: int) -> list[RecordKey]:
        """Give the phase's next records that were not worked on yet."""

    def plan_left(self, run_id: str, phase: str) -> int:
        """Count the phase's records that were not worked on yet."""

    def worked(self, run_id: str, record: RecordKey) -> None:
        """Take the record off the plan; what is left of it is the sync records' to do."""

    def due(self, run_id: str, limit: int) -> list[RecordKey]:
        """Give the run's records that are claimable now."""

    def next_due_seconds(self, run_id: str) -> float | None:
        """Say in how many real seconds the next record of the run falls due, None if none will."""

    def put_findings(self, run_id: str, source: str, findings: Sequence[Finding]) -> None:
        """Replace the findings of one source (`preflight`, `plan`, `verify`)."""

    def findings(self, run_id: str) -> list[Finding]:
        """Give all findings of the run."""

    def record_counts(self, run_id: str) -> dict[str, int]:
        """Count the records of the run's plan by state; accepted ones as `accepted`."""


@dataclass(frozen=True, slots=True)
class Debtors:
    """The control total of what is owed: both sides, and where they differ."""

    local: Decimal
    zoho: Decimal
    customers_that_differ: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What a run's records came to. Every row of the plan is counted in `states` once."""

    states: dict[str, int]
    created: int
    linked: int
    updated: int


@dataclass(frozen=True, slots=True)
class RunCalls:
    """What a run cost, by the governor's own counters."""

    calls: int
    throttled: int
    tokens_minted: int


@dataclass(frozen=True, slots=True)
class RedGroup:
    """Records of one cause: what a person reads first."""

    entity: EntityType
    state: State
    code: str
    count: int
    sentence: str
    ids: tuple[str, ...]


class Verification(Protocol):
    """Both sides side by side, in our tables; for verify, report and status."""

    def not_in_snapshot(self, snapshot_id: int, limit: int) -> list[tuple[RecordKey, str]]:
        """Give synced records, with their Zoho id, that the snapshot does not hold."""

    def in_snapshot_by_name(
        self, snapshot_id: int, zoho_ids: Sequence[str]
    ) -> dict[str, tuple[str, str | None]]:
        """Give display name and currency of the given customers as the snapshot has them."""

    def duplicates(self, snapshot_id: int) -> dict[str, tuple[str, ...]]:
        """Give account numbers of ours that several customers of Zoho bear, with their ids."""

    def unknown_accounts(self, snapshot_id: int) -> tuple[str, ...]:
        """Give Zoho ids of customers whose account number nobody here has."""

    def stray_duplicates(self) -> tuple[str, ...]:
        """Give Zoho ids that a lost worker was answered and that belong to no record."""

    def debtors(self, snapshot_id: int) -> Debtors:
        """Compare what customers owe here and there."""

    def doubt(self, record: RecordKey) -> None:
        """Forget what Zoho confirmed: the next claim sends again. Never touches a held record."""

    def gone(self, record: RecordKey) -> None:
        """Mark a synced record as gone in Zoho. Never touches a held record."""

    def figures(self, run_id: str) -> RunFigures:
        """Count the run's records."""

    def calls_since(self, run_id: str) -> RunCalls:
        """Count calls, 429s and tokens since the run began."""

    def token_facts(self) -> dict[str, Any] | None:
        """Give generation, expiry, recent mints and cool-down of the token; never the token."""

    def red_groups(self, run_id: str | None) -> list[RedGroup]:
        """Group what is red by cause: of a run, or of all records."""

    def state_counts(self) -> dict[str, dict[str, int]]:
        """Count all records by entity and state."""

    def story(self, record: RecordKey) -> dict[str, Any] | None:
        """Tell everything about one record, ready for JSON; None where it is unknown."""


class Operations(Protocol):
    """What an operator changes by hand; every change leaves a row in the audit."""

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

    def link(self, record: RecordKey, zoho_id: str, *, by: str) -> RecordKey | None:
        """Link the record; gives the other record that holds the id, None when it is linked.

        :raises LookupError: the record is unknown, is being worked on, or its write is in doubt.
        """

    def create_anyway(self, record: RecordKey, *, by: str) -> bool:
        """Allow the create although somebody plausible is there; False where it is not allowed."""

    def note(self, by: str, action: str, details: dict[str, Any]) -> None:
        """Write down what was done about no single record."""


class Confirmations(Protocol):
    """What a person has looked at in Zoho, because its API does not tell."""

    def confirm(self, items: tuple[str, ...], by: str) -> None:
        """Store it with name and date."""

    def confirmed(self) -> dict[str, tuple[str, datetime]]:
        """Give what was confirmed: by whom, and when."""

    def facts(self) -> dict[str, Any] | None:
        """Give the organisation's id, name and currency, None before the first preflight."""


class Executions(Protocol):
    """The executions of the backfill's state machine."""

    def is_running(self, execution_arn: str) -> bool:
        """Say whether the execution still runs; one that nobody knows does not."""


class RunFiles(Protocol):
    """Where plans and reports are kept for people."""

    def write(self, key: str, chunks: Iterator[bytes], content_type: str) -> None:
        """Write a file in constant memory."""

    def probe(self) -> None:
        """Write a small file, so that a missing right is found before a run needs it."""


# ------------------------------------------------------------------------------------- preflight


@dataclass(frozen=True, slots=True)
class TablesReport:
    """Our own tables as the functions' role finds them, and those that it cannot work with."""

    findings: tuple[Finding, ...]
    unusable: frozenset[str]


@dataclass(frozen=True, slots=True)
class SourceReport:
    """The views as the functions' role finds them, and how many rows each that can be read has."""

    findings: tuple[Finding, ...]
    rows: Mapping[str, int]


class SourceCheck(Protocol):
    """What PostgreSQL shows to the functions' role, judged; every probe is rolled back."""

    def reach(self) -> list[Finding]:
        """Connect; a finding that blocks says that nothing else can be asked."""

    def own_tables(self) -> TablesReport:
        """Compare revision and rights with what the code needs."""

    def sync_log(self) -> list[Finding]:
        """Write a row of every kind into the sync log."""

    def source(self, phases: Sequence[Phase]) -> SourceReport:
        """Judge the views: columns, types, keys, counts, and the words of states and types.

        What is wrong in the *rows* of a view that none of the phases carries is a warning.
        """

    def status_columns(self, phases: Sequence[Phase]) -> list[Finding]:
        """Write each status once into a row of each view; warnings where no phase carries it."""

    def impossible(self, only: Only) -> str | None:
        """Name the restriction that this source can never meet: an id that is none, say."""


class RunLock(Protocol):
    """One run at a time: the part of `Runs` by which a run begins."""

    def begin(self, run_id: str, execution_arn: str, asked: BackfillInput) -> Run:
        """Begin the run, or give the one that holds the lock (its id tells which)."""

    def take_over(self, former_run_id: str) -> None:
        """End a run whose execution does not run any more."""

    def latest(self) -> Run | None:
        """Read the newest run."""

    def put_findings(self, run_id: str, source: str, findings: Sequence[Finding]) -> None:
        """Replace the findings of one source; each code may occur once."""


class OrganisationFacts(Protocol):
    """What preflight learns of Zoho's organisation, and what a person had to look up there."""

    def learn(self, name: str, currency_code: str, time_zone: str) -> None:
        """Store what Zoho says of the organisation."""

    def confirmed(self) -> Mapping[str, tuple[str, datetime]]:
        """Give what was confirmed: by whom, and when."""


class OrganisationReads(Protocol):
    """The reads of `BillingApi` by which preflight tries token, scopes and organisation."""

    def organisations(self) -> list[Organisation]:
        """List the organisations that the token may see."""

    def list_customers(self, page: int) -> CustomerPage:
        """Read one page of customers."""


class SnapshotCounts(Protocol):
    """The part of `Snapshots` that says how many customers Zoho held."""

    def latest(self, entity: EntityType, *, complete: bool) -> SnapshotView | None:
        """Give the newest complete snapshot."""

    def count(self, snapshot_id: int) -> int:
        """Count its customers."""
