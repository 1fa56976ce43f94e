"""One claim's way: prove or work, call, compare, settle (protocol §2-§4)."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from billing_sync.domain.comparing import field_prints
from billing_sync.domain.errors import (
    MEANS_TAKEN,
    CallFailed,
    GoneInZoho,
    LookUpFailed,
    Misconfigured,
    NeverSent,
    NotNow,
    OutcomeUnknown,
    Rejected,
    Unauthorised,
    Unavailable,
)
from billing_sync.domain.states import STATES, State
from billing_sync.domain.timing import LADDER, NOT_THERE_YET, Timing
from billing_sync.ports import (
    Claim,
    Clock,
    Intent,
    LogEntry,
    NotClaimed,
    Permit,
    Priority,
    RecordKey,
    Settlement,
    SyncRecords,
    Write,
)
from billing_sync.services.rules import (
    DELETE,
    Anew,
    Do,
    Done,
    EntityRules,
    Found,
    Remote,
    Source,
    Stuck,
    Wait,
    differs_in_zoho,
)

PROOF_AGAIN: Final = 60.0
"""Unscaled seconds until a proof whose look-up failed is tried again."""

AFTER_A_STALL: Final = 5.0
"""Unscaled seconds until a record is sent again whose worker stalled before its first byte."""

WAITING_AGAIN: Final = timedelta(hours=1)
"""How long a waiting record rests: one list walk an hour serves all of them."""

LONGEST_REST: Final = timedelta(days=1)
"""Whatever is waited for, the record is looked at once a day: the source may say otherwise."""

ENDING: Final = "ending"
"""In a deletion's figures: what the record settles as when it is confirmed, by answer or proof."""

BEYOND_ANY_SNAPSHOT: Final = timedelta(days=8)
"""Longer than a snapshot may be old (a week): who was there before was looked at in one."""


NOT_FOUND_HERE: Final = "not_found_here"
DELETED_HERE: Final = "deleted_here"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call of `SyncRecord` ended.

    `state` is None where another worker took the record over. `wait` is set where nothing is wrong
    with the record and the caller should slow down. `change` is what happened in Zoho.
    """

    record: RecordKey
    state: State | None
    change: str | None = None
    wait: NotNow | None = None
    code: str | None = None
    not_claimed: NotClaimed | None = None


class Attempt:
    """One claim's way through the steps; it ends with exactly one `settle`."""

    def __init__(
        self,
        records: SyncRecords,
        clock: Clock,
        timing: Timing,
        rules: EntityRules,
        claim: Claim,
        priority: Priority,
        run_id: str | None,
    ) -> None:
        """Keep what the claim found, and the ports."""
        self._records = records
        self._clock = clock
        self._timing = timing
        self._rules = rules
        self._claim = claim
        self._priority = priority
        self._run_id = run_id
        self._source: Source | None = None
        self._sent = False
        self._facts: dict[str, Any] | None = None
        self._logs: list[LogEntry] = []

    # ------------------------------------------------------------------------------------ work

    def work(self) -> Outcome:
        """Read the source under the claim, and do what it asks for."""
        claim = self._claim
        source = self._source = self._rules.read(claim.record.entity_id)
        try:
            if source is None:
                return self._source_row_is_missing()
            if self._is_as_it_was(source):
                return self._settle_back()
            if source.skip is not None:
                return self._settle(State.SKIPPED, code="skipped", sentence=source.skip)
            if source.refused is not None:
                refused = source.refused
                return self._settle(
                    State.FAILED,
                    code=refused.code,
                    field=refused.field,
                    sentence=refused.sentence,
                )
            if self._is_confirmed(source):
                return self._settle(State.SYNCED, change="unchanged", removed=claim.removed)
            if claim.zoho_id is None:
                return self._make(source)
            if claim.claimed_from is State.MISMATCH:
                return self._compare_again(source, claim.zoho_id)
            if self._rules.looks_first():
                return self._look_and_carry_on(source, claim.zoho_id)
            return self._update(source, claim.zoho_id)
        except CallFailed as failure:
            return self._settle_failure(failure)

    def _source_row_is_missing(self) -> Outcome:
        """Wait a little for a row that was never seen: who told of it may not have committed yet.

        Of one that is in Zoho nothing is deleted there by itself: a person decides.
        """
        claim = self._claim
        if claim.zoho_id is not None:
            return self._settle(
                State.FAILED,
                code="deleted_here",
                sentence="The row was deleted here; it is still in Zoho.",
            )
        sentence = "There is no such row in the source."
        waited = (
            claim.attempt_number
            if claim.code == NOT_FOUND_HERE and claim.claimed_from is State.RETRYING
            else 0
        )
        if claim.attempted_fingerprint is None and waited < len(NOT_THERE_YET):
            return self._settle(
                State.RETRYING,
                code="not_found_here",
                sentence=sentence,
                retry_in=self._timing.scaled(NOT_THERE_YET[waited]),
                attempt_number=waited + 1,
            )
        return self._settle(State.FAILED, code="not_found_here", sentence=sentence)

    def _is_as_it_was(self, source: Source) -> bool:
        """Tell a signal about nothing: what was refused before would only be refused again."""
        found = self._claim.claimed_from
        return (
            STATES[found].claimed_on_signal
            and found is not State.SYNCED
            and source.fingerprint == self._claim.attempted_fingerprint
            # The row is here after all, which alone is something else.
            and self._claim.code not in (NOT_FOUND_HERE, DELETED_HERE)
            # What Zoho makes itself may be there by now.
            and not source.link_only
        )

    def _settle_back(self) -> Outcome:
        claim = self._claim
        return self._settle(
            claim.claimed_from,
            code=claim.code,
            field=claim.field,
            sentence=claim.sentence,
            candidates=claim.candidates,
        )

    def _is_confirmed(self, source: Source) -> bool:
        """Zoho last confirmed exactly this, and nothing has cast doubt on it since.

        An update in flight, a difference that verify found and an update that was not applied all
        clear the confirmed fingerprint.
        """
        return (
            (self._claim.zoho_id is not None or self._claim.removed)
            and source.fingerprint == self._claim.confirmed_fingerprint
            and self._claim.claimed_from is not State.MISMATCH
            and self._claim.code != "gone_in_zoho"
        )

    def _compare_again(self, source: Source, zoho_id: str) -> Outcome:
        """Look at a mismatch again; another write needs a change of the source."""
        remote = self._rules.get(zoho_id)
        step = self._rules.next_step(source, remote)
        if (
            self._claim.attempted_fingerprint is None
            and isinstance(step, Do)
            and step.step == "update"
        ):
            self._see(remote)
            return self._settle_stuck(differs_in_zoho(self._rules.fields_differ(source, remote)))
        return self._carry_on(source, remote)

    def _look_and_carry_on(self, source: Source, zoho_id: str) -> Outcome:
        """Read the one in Zoho, for what may be done with it depends on how it stands there."""
        try:
            remote = self._rules.get(zoho_id)
        except GoneInZoho:
            if source.withdrawn is None:
                raise
            # Somebody has done there what was to be done.
            if not self._records.let_go(self._claim, None):
                return Outcome(self._claim.record, None)
            return self._settle_removed(None)
        return self._carry_on(source, remote)

    def _make(self, source: Source) -> Outcome:
        """Bring a record to Zoho that has no id there: by a link, or by making it."""
        if source.withdrawn is None:
            return self._find_or_create(source)
        if self._claim.removed or self._claim.former_zoho_ids:
            # A worker may have been lost between the deletion's answer and its settling.
            return self._settle_removed(None)
        return self._settle(State.SKIPPED, code="skipped", sentence=source.withdrawn)

    def _find_or_create(self, source: Source) -> Outcome:
        found = self._found_by_a_proof() or self._rules.find(source)
        if found.link is not None:
            return self._link(source, found.link, found.remote)
        if found.candidates and not (self._claim.create_anyway and found.may_create_anyway):
            return self._settle(
                State.AMBIGUOUS,
                code=found.code,
                sentence=f"Found {found.why}: a person must say whether it is the same.",
                candidates=found.candidates,
            )
        if found.skip is not None:
            return self._settle(State.SKIPPED, code="skipped", sentence=found.skip)
        if found.waiting_for is not None:
            return self._settle_waiting_for(found, found.waiting_for)
        if source.link_only:
            return self._settle(
                State.FAILED,
                code="not_found_in_zoho",
                sentence=f"Zoho makes it itself, and does not have it. {found.why}".rstrip(),
            )
        return self._send(self._create(source), change="created")

    def _found_by_a_proof(self) -> Found | None:
        """Look again for what a proof found and this record could not take: it was not alone.

        A snapshot may be older than that create: it would answer «none», and make another one.
        """
        if not self._claim.found_intents:
            return None
        found = self._rules.look_up(self._claim.found_intents[0])
        remotes = [remote for remote in found if remote.is_ours]
        zoho_ids = tuple(remote.zoho_id for remote in remotes)
        if len(zoho_ids) > 1:
            return Found(candidates=zoho_ids, code="duplicate", why=f"{len(zoho_ids)} with its key")
        # None is left: a person has deleted them.
        return Found(link=zoho_ids[0], why="made by us") if zoho_ids else None

    def _link(self, source: Source, zoho_id: str, remote: Remote | None = None) -> Outcome:
        """Take over a record that is in Zoho already; our non-empty fields win, in one PUT."""
        holder = self._records.adopt(self._claim, zoho_id, intent=None, run_id=self._run_id)
        if holder is not None:
            return self._settle_linked_elsewhere(holder, zoho_id)
        return self._carry_on(source, remote or self._rules.get(zoho_id), change="linked")

    # ------------------------------------------------------------------------------------ send

    def _create(self, source: Source) -> Write:
        return Write(
            "create",
            source.key,
            source.figures,
            source.fingerprint,
            source.payload,
            source_version=source.version,
        )

    def _update(self, source: Source, zoho_id: str) -> Outcome:
        """Write our fields over what is there, unread."""
        return self._send(_step(source, Do("update", source.payload), zoho_id), change="updated")

    def _send(
        self,
        write: Write,
        *,
        change: str,
        before: Remote | None = None,
        done: tuple[str, ...] = (),
    ) -> Outcome:
        """Make the call of `write`; its answer's id is stored before anything is compared."""
        intent, answer = self._call(write)
        if write.step == DELETE:
            if not self._records.let_go(self._claim, intent):
                return Outcome(self._claim.record, None)
            return self._settle_removed(write.figures.get(ENDING))
        remote = answer or before
        assert remote is not None  # noqa: S101 - a create is always answered with what it made
        if not self._records.store_answer(self._claim, intent, remote.zoho_id, run_id=self._run_id):
            return Outcome(self._claim.record, None)
        assert self._source is not None  # noqa: S101 - whatever is written was read before
        return self._carry_on(
            self._source, remote, change=change, after=write.step, done=(*done, write.step)
        )

    def _carry_on(
        self,
        source: Source,
        remote: Remote,
        *,
        change: str | None = None,
        after: str | None = None,
        done: tuple[str, ...] = (),
    ) -> Outcome:
        """Bring the one in Zoho, as it was just seen, to what the source says, step by step."""
        self._see(remote)
        match self._rules.next_step(source, remote, after=after):
            case Done():
                return self._settle(
                    State.SYNCED,
                    change=change or "unchanged",
                    confirmed_fingerprint=source.fingerprint,
                )
            case Do() as step if step.step in done:
                # It was answered, and did not do it: another one would not either.
                return self._settle_stuck(
                    differs_in_zoho([step.step], f"Zoho answered «{step.step}» and did not do it.")
                )
            case Do() as step:
                return self._send(
                    _step(source, step, remote.zoho_id),
                    change=change or "updated",
                    before=remote,
                    done=done,
                )
            case Stuck() as stuck:
                return self._settle_stuck(stuck)
            case Wait() as wait:
                return self._settle_waiting(wait)
            case Anew(source=anew):
                return self._start_anew(anew)

    def _start_anew(self, source: Source) -> Outcome:
        """Keep the id of what has ended for good as a former one, and find or make another."""
        if not self._records.let_go(self._claim, None, facts=self._facts):
            return Outcome(self._claim.record, None)
        former = tuple(filter(None, (*self._claim.former_zoho_ids, self._claim.zoho_id)))
        self._claim = replace(
            self._claim,
            zoho_id=None,
            former_zoho_ids=former,
            facts=self._facts or self._claim.facts,
            found_intents=(),
        )
        self._source = source
        return self._find_or_create(source)

    def _see(self, remote: Remote) -> None:
        """Remember what children and reports need to know of the one in Zoho."""
        self._facts = self._rules.facts(remote, self._claim.facts)

    def _call(self, write: Write) -> tuple[Intent, Remote | None]:
        """Open an intent, make the call, and close the intent wherever its end is known.

        A 401 says that nothing happened: the token was renewed meanwhile, and the call is replayed
        once, with an intent and a permit of its own.
        """
        try:
            return self._call_once(write)
        except Unauthorised:
            return self._call_once(write)

    def _call_once(self, write: Write) -> tuple[Intent, Remote | None]:
        self._rules.make_ready()
        intent, permit = self._open_intent(write)
        self._sent = True
        started = self._clock.monotonic()
        try:
            remote = self._rules.send(write, permit)
        except OutcomeUnknown as lost:
            self._log(write, started, "in_doubt", lost)
            raise
        except CallFailed as refused:
            failure = self._what_is_gone(write, refused)
            # Refused, or never left: it did not happen, and cannot happen any more.
            never_sent = isinstance(failure, NeverSent)
            self._records.close_intent(intent, "never_sent" if never_sent else "refused")
            self._log(write, started, "never_sent" if never_sent else "refused", failure)
            raise failure from None
        self._log(write, started, "answered", remote=remote)
        return intent, remote

    def _what_is_gone(self, write: Write, failure: CallFailed) -> CallFailed:
        """Tell «it is gone» from «something that its body names is»: Zoho's code is the same."""
        if not isinstance(failure, GoneInZoho) or write.zoho_id is None or not write.payload:
            return failure
        try:
            self._rules.get(write.zoho_id)
        except CallFailed as seen:
            return failure if isinstance(seen, GoneInZoho) else seen
        return Rejected(
            "Zoho does not know something that the record refers to.",
            http_status=failure.http_status,
            zoho_code=failure.zoho_code,
        )

    def _open_intent(self, write: Write) -> tuple[Intent, Permit]:
        """Wait a little for a permit, holding nothing; longer waits are not this process's."""
        patience = self._timing.longest_sleep_seconds
        while True:
            try:
                return self._records.open_intent(
                    self._claim, write, self._priority, run_id=self._run_id
                )
            except NotNow as refused:
                pause = max(refused.wait_seconds, 0.005)
                if refused.resume_at is not None or pause > patience:
                    raise
                self._clock.sleep(pause)
                patience -= pause

    # ----------------------------------------------------------------------------------- prove

    def prove(self) -> Outcome:
        """Find out what became of the write in flight; never send anything new before that."""
        try:
            intent = self._claim.open_intents[0]
            if intent.method == "update":
                return self._prove_update(intent)
            stray = self._records.stray_answer(self._claim)
            if stray is not None:
                return self._adopt_stray(*stray)
            if self._rules.server_enforces_key():
                return self._prove_by_sending_again(intent)
            return self._prove_create(intent)
        except CallFailed as failure:
            return self._settle_unproved(failure)

    def _adopt_stray(self, intent: Intent, zoho_id: str) -> Outcome:
        """Take the id that a worker was answered after it had lost its claim: that is the proof."""
        try:
            remote = self._rules.get(zoho_id)
        except GoneInZoho as gone:
            # Made, and deleted there since: a person decides, as for every id that we held.
            self._records.adopt(self._claim, zoho_id, intent=intent, run_id=self._run_id)
            self._close_all("found")
            return self._settle_failure(gone)
        return self._found(intent, remote)

    def _prove_create(self, intent: Intent) -> Outcome:
        remotes = [remote for remote in self._rules.look_up(intent) if remote.is_ours]
        if len(remotes) == 1:
            return self._found(intent, remotes[0])
        if remotes:
            self._close_all("found")
            return self._settle(
                State.AMBIGUOUS,
                code="duplicate",
                sentence=f"{len(remotes)} in Zoho bear its key: a person must say which one stays.",
                candidates=tuple(remote.zoho_id for remote in remotes),
            )
        self._close_all("absent")
        return self._settle(State.PENDING)

    def _prove_by_sending_again(self, first: Intent) -> Outcome:
        """Where Zoho itself refuses a second one, the same POST again is the proof.

        The same: with another name since (what the server enforces is among the figures), Zoho
        would take it as another one. Ending unsent or refused, it leaves the first intent open:
        that is the only memory of the first POST.
        """
        source = self._rules.read(self._claim.record.entity_id)
        if source is None or (source.key, source.figures) != (first.key, first.figures):
            return self._prove_create(first)
        self._source = source
        write = self._create(source)
        try:
            intent, remote = self._call(write)
        except Rejected as refusal:
            if not self._rules.is_taken(refusal.zoho_code):
                raise
            return self._prove_create(first)
        assert remote is not None  # noqa: S101 - a create is always answered with what it made
        if not self._records.store_answer(self._claim, intent, remote.zoho_id, run_id=self._run_id):
            return Outcome(self._claim.record, None)
        self._close_all("absent")
        return self._carry_on(
            source, remote, change="created", after=write.step, done=(write.step,)
        )

    def _found(self, intent: Intent, remote: Remote) -> Outcome:
        """Adopt what a proof found. Whatever is still to be done with it is the next claim's."""
        holder = self._records.adopt(
            self._claim, remote.zoho_id, intent=intent, run_id=self._run_id
        )
        self._close_all("found")
        if holder is not None:
            return self._settle_linked_elsewhere(holder, remote.zoho_id)
        self._see(remote)
        source = self._source = self._rules.read(self._claim.record.entity_id)
        if (
            source is not None
            and source.fingerprint == intent.fingerprint
            and not self._rules.figures_differ(intent.figures, remote)
            and isinstance(self._rules.next_step(source, remote, after=intent.step), Done)
        ):
            return self._settle(
                State.SYNCED, change="created", confirmed_fingerprint=source.fingerprint
            )
        return self._settle(State.PENDING, change="created", forget_confirmed=True)

    def _prove_update(self, intent: Intent) -> Outcome:
        """Compare what is there, by its id, with what ought to be there now."""
        assert intent.zoho_id is not None  # noqa: S101 - an update has an id by its constraint
        try:
            remote = self._rules.get(intent.zoho_id)
        except GoneInZoho:
            if intent.step == DELETE:
                return self._found_gone(intent)
            self._close_all("not_applied")
            raise
        self._see(remote)
        source = self._source = self._rules.read(self._claim.record.entity_id)
        if (
            source is not None
            and source.skip is None
            and source.refused is None
            and isinstance(self._rules.next_step(source, remote), Done)
        ):
            self._close_all("applied")
            return self._settle(
                State.SYNCED, change="updated", confirmed_fingerprint=source.fingerprint
            )
        self._close_all("not_applied")
        return self._settle(State.PENDING, forget_confirmed=True)

    def _found_gone(self, deletion: Intent) -> Outcome:
        """Settle a deletion whose answer was lost: it is not there any more."""
        self._source = self._rules.read(self._claim.record.entity_id)
        self._close_all("applied")
        if not self._records.let_go(self._claim, None):
            return Outcome(self._claim.record, None)
        if self._source is None or self._source.fingerprint != deletion.fingerprint:
            # The source has changed since: what follows is for a look at it to say.
            return self._settle(State.PENDING, forget_confirmed=True)
        return self._settle_removed(deletion.figures.get(ENDING))

    def _close_all(self, closed_as: str) -> None:
        for intent in self._claim.open_intents:
            self._records.close_intent(intent, closed_as)

    # ---------------------------------------------------------------------------------- settle

    def _settle_failure(self, failure: CallFailed) -> Outcome:
        """Decide by the failure's class, and by nothing else, what happens next."""
        match failure:
            case NotNow():
                return self._settle_not_now(State.RETRYING, failure)
            case OutcomeUnknown():
                return self._settle(
                    State.IN_DOUBT,
                    code="outcome_unknown",
                    sentence="Zoho's answer was lost; whether it was done is being proved.",
                    retry_in=self._timing.proof_due_seconds,
                )
            case NeverSent(late=True):
                return self._settle(
                    State.RETRYING,
                    code="stalled",
                    sentence="The worker stalled before sending; nothing was sent.",
                    retry_in=self._timing.scaled(AFTER_A_STALL),
                )
            case NeverSent() | Unavailable() | LookUpFailed() | Unauthorised():
                return self._climb(failure)
            case GoneInZoho():
                return self._settle(
                    State.FAILED,
                    code="gone_in_zoho",
                    sentence="It was deleted or merged in Zoho; nothing is made again by itself.",
                    forget_confirmed=True,
                )
            case Rejected():
                return self._settle_rejected(failure)
            case Misconfigured():
                self._settle(State.FAILED, code=failure.code, sentence=failure.sentence)
                raise failure
            case _:
                raise failure

    def _settle_rejected(self, refusal: Rejected) -> Outcome:
        """«Already exists» may mean ours; any other refusal is for a person to read."""
        source = self._source
        if (
            source is not None
            and self._claim.zoho_id is None
            and self._rules.is_taken(refusal.zoho_code)
        ):
            self._rules.taken(refusal.zoho_code)
            return self._settle_taken(source, refusal)
        return self._settle_refused(refusal)

    def _settle_refused(self, refusal: Rejected) -> Outcome:
        return self._settle(
            State.FAILED,
            code=f"zoho_{refusal.zoho_code}",
            field=refusal.field,
            sentence=refusal.sentence,
        )

    def _settle_taken(self, source: Source, refusal: Rejected) -> Outcome:
        """Zoho may hold our key: what a look at it finds decides, never the code.

        Ours is linked; a stranger's, or one that cannot be told, is for a person.
        """
        since = self._clock.now() - BEYOND_ANY_SNAPSHOT
        asked = Intent(0, "create", "create", source.key, source.figures, "", None, since)
        try:
            remotes = self._rules.look_up(asked)
            ours = [remote for remote in remotes if remote.is_ours]
            if len(ours) == 1:
                return self._link(source, ours[0].zoho_id)
        except CallFailed as failure:
            return self._settle_failure(failure)
        if not remotes and refusal.zoho_code not in MEANS_TAKEN:
            return self._settle_refused(refusal)
        return self._settle(
            State.FAILED,
            code="taken",
            field=self._rules.key_field,
            sentence=f"Zoho holds {self._rules.key_field or 'its name'} {source.key} already, in a"
            " record that is not recognisably ours.",
            candidates=tuple(remote.zoho_id for remote in remotes),
        )

    def _settle_unproved(self, failure: CallFailed) -> Outcome:
        """Keep the record in doubt: a look that failed proves nothing."""
        if isinstance(failure, GoneInZoho) and not self._still_in_flight():
            return self._settle_failure(failure)
        if isinstance(failure, NotNow):
            return self._settle_not_now(State.IN_DOUBT, failure)
        outcome = self._settle(
            State.IN_DOUBT,
            code="not_proved_yet",
            sentence="Whether the write was done could not be seen yet.",
            retry_in=(
                self._timing.proof_due_seconds
                if isinstance(failure, OutcomeUnknown)
                else self._timing.scaled(PROOF_AGAIN)
            ),
        )
        if isinstance(failure, Misconfigured):
            raise failure
        return outcome

    def _still_in_flight(self) -> bool:
        return any(intent.method == "create" for intent in self._claim.open_intents)

    def _settle_not_now(self, state: State, failure: NotNow) -> Outcome:
        """Wait without an attempt. What was not sent yet goes on from the state it came from."""
        found = self._claim.claimed_from
        resting = STATES[found].claimed_on_signal and not self._sent
        return self._settle(
            state,
            code=failure.reason,
            sentence=failure.sentence,
            retry_in=failure.wait_seconds,
            wait=failure,
            resume_as=found if resting and state is State.RETRYING else None,
        )

    def _climb(self, failure: CallFailed) -> Outcome:
        """Take the next rung of the ladder; past the last one the record is exhausted.

        What was exhausted and is asked for again starts from the first. A mismatch that could not
        be read is to be looked at, not written, by the next claim too.
        """
        found = self._claim.claimed_from
        # Those of a row that had not come were attempts at reading it, not at sending it.
        is_anew = found is State.EXHAUSTED or self._claim.code == NOT_FOUND_HERE
        attempt = 1 if is_anew else self._claim.attempt_number + 1
        if attempt > len(LADDER):
            return self._settle(
                State.EXHAUSTED,
                code="exhausted",
                sentence=f"Given up after {attempt - 1} attempts. {failure.sentence}",
                attempt_number=attempt,
            )
        return self._settle(
            State.RETRYING,
            code="unavailable",
            sentence=failure.sentence,
            retry_in=self._timing.scaled(LADDER[attempt - 1]) * self._clock.jitter(),
            attempt_number=attempt,
            resume_as=found if found is State.MISMATCH and not self._sent else None,
        )

    def _settle_stuck(self, stuck: Stuck) -> Outcome:
        return self._settle(
            stuck.state,
            code=stuck.code,
            field=stuck.field,
            sentence=stuck.sentence,
            candidates=stuck.candidates,
        )

    def _settle_linked_elsewhere(self, holder: RecordKey, zoho_id: str) -> Outcome:
        return self._settle(
            State.AMBIGUOUS,
            code="linked_elsewhere",
            sentence=f"The one in Zoho is linked to {holder}.",
            candidates=(zoho_id,),
        )

    def _settle_removed(self, ending: dict[str, Any] | None) -> Outcome:
        """Settle what is not in Zoho any more by our doing: rightly gone, or as `ending` says."""
        source = self._source
        if ending is not None:
            return self._settle_stuck(Stuck(**{**ending, "state": State(ending["state"])}))
        return self._settle(
            State.SYNCED,
            change="removed",
            confirmed_fingerprint=source.fingerprint if source else None,
            removed=True,
        )

    def _settle_waiting_for(self, found: Found, waiting_for: str) -> Outcome:
        """Wait for what Zoho is to make, until it is past due."""
        if found.is_past_due:
            return self._settle(
                State.FAILED,
                code="not_raised",
                sentence=f"{waiting_for} has not come. {found.why}".rstrip(),
            )
        return self._settle(
            State.WAITING,
            code="waiting",
            sentence=f"Waits for {waiting_for}. {found.why}".rstrip(),
            retry_in=self._timing.scaled(WAITING_AGAIN),
            due_at=found.due_at,
            attempt_number=0,
        )

    def _settle_waiting(self, wait: Wait) -> Outcome:
        """Wait for a day; the record is looked at daily, for the source may say otherwise."""
        rest = min(max(wait.again_at - self._clock.now(), WAITING_AGAIN), LONGEST_REST)
        return self._settle(
            State.WAITING,
            code="waiting",
            sentence=wait.sentence,
            retry_in=self._timing.scaled(rest),
            due_at=wait.again_at,
            attempt_number=0,
        )

    def _settle(  # noqa: PLR0913 - one keyword for each fact of a settlement
        self,
        state: State,
        *,
        code: str | None = None,
        field: str | None = None,
        sentence: str | None = None,
        candidates: tuple[str, ...] = (),
        retry_in: float | None = None,
        attempt_number: int | None = None,
        confirmed_fingerprint: str | None = None,
        forget_confirmed: bool = False,
        change: str | None = None,
        wait: NotNow | None = None,
        resume_as: State | None = None,
        removed: bool = False,
        due_at: datetime | None = None,
    ) -> Outcome:
        source = self._source
        if attempt_number is None and state in (State.SYNCED, State.SKIPPED):
            attempt_number = 0
        # What was only postponed has not been attempted: its fingerprint must not look refused.
        attempted = source.fingerprint if source and not STATES[state].claimed_when_due else None
        settled = self._records.settle(
            self._claim,
            Settlement(
                state,
                code=code,
                field=field,
                sentence=sentence,
                candidates=candidates,
                retry_in=retry_in,
                attempt_number=attempt_number,
                attempted_fingerprint=attempted,
                confirmed_fingerprint=confirmed_fingerprint,
                confirmed_fields=(
                    field_prints(source.payload) if source and confirmed_fingerprint else None
                ),
                forget_confirmed=forget_confirmed,
                source_version=source.version if source else None,
                change=change,
                run_id=self._run_id,
                resume_as=resume_as,
                facts=self._facts,
                removed=removed,
                due_at=due_at,
            ),
        )
        return Outcome(self._claim.record, settled, change=change, wait=wait, code=code)

    # ------------------------------------------------------------------------------------- log

    def _log(
        self,
        write: Write,
        started: float,
        status: str,
        failure: CallFailed | None = None,
        remote: Remote | None = None,
    ) -> None:
        self._logs.append(
            LogEntry(
                self._claim.record,
                operation=write.step,
                status=status,
                attempt_number=self._claim.attempt_number + 1,
                zoho_id=remote.zoho_id if remote else write.zoho_id,
                error_code=type(failure).__name__ if failure else None,
                error_sentence=failure.sentence if failure else None,
                request_masked=self._rules.masked(write),
                response_masked=self._rules.masked_answer(remote) if remote else None,
                http_status=failure.http_status if failure else None,
                zoho_code=failure.zoho_code if failure else 0,
                duration_ms=round((self._clock.monotonic() - started) * 1000),
                run_id=self._run_id,
            )
        )

    def write_logs(self) -> None:
        """Write the attempt's log rows, after everything that they tell of."""
        for entry in self._logs:
            self._records.write_log(entry)


def _step(source: Source, step: Do, zoho_id: str) -> Write:
    """Give a step as its intent remembers it, with what the record settles as when it is gone."""
    figures = source.figures if step.figures is None else step.figures
    if step.ending is not None:
        figures = {**figures, ENDING: asdict(step.ending)}
    return Write(
        step.step,
        source.key,
        figures,
        source.fingerprint,
        step.payload,
        zoho_id,
        source.version,
    )
