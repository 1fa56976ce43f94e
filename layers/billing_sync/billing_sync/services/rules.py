"""What an entity brings to the engine of `sync_record`: how it is read, found, sent, compared.

    no Zoho id      read ──► find ──► create ─┐            a draft is opened, a wrong one deleted,
    a Zoho id       read ──► (get) ───────────┴► next_step ──► Do ──► answer ──► next_step ──► ...
                                                     │
                                                     └► Done | Stuck | Wait | Anew

The engine is `services.attempt`; it knows no entity.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from billing_sync.domain.errors import Unsendable
from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Intent, Permit, RecordKey, Write

DELETE: Final = "delete"
"""The one step after which the record is not in Zoho any more, and its id is forgotten."""


@dataclass(frozen=True, slots=True)
class Source:
    """A row of ours after the claim: what would be sent now, or why nothing is.

    `row` is the entity's own model and `reading` what its domain made of it; only its rules look
    into them. At most one of `skip` (a reason) and `refused` is set.

    `withdrawn` says why nothing is made where there is nothing in Zoho: cancelled or reversed here.
    What is there already is brought to an end by `next_step`. `link_only`: Zoho makes it itself, so
    it is found and linked, never created.
    """

    row: Any
    version: datetime
    fingerprint: str
    skip: str | None = None
    refused: Unsendable | None = None
    key: str = ""
    payload: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    reading: Any = None
    withdrawn: str | None = None
    link_only: bool = False


@dataclass(frozen=True, slots=True)
class Remote:
    """A record of Zoho as the engine needs it; `body` is the entity's own model.

    A look-up by a key that Zoho keeps unique may find a stranger who bears it: not `is_ours`.
    """

    zoho_id: str
    body: Any
    is_ours: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """Who in Zoho is this record: nobody, one for sure, or candidates for a person to judge.

    `remote` is the one to link as it was just seen; without it, it is read by id. `skip` says why
    nothing is done although nobody was found. `waiting_for` says what is not ours to make, and
    `due_at` until when; once that `is_past_due` (by the organisation's calendar) the record is
    failed with `why`.
    """

    link: str | None = None
    candidates: tuple[str, ...] = ()
    code: str = "ambiguous"
    why: str = ""
    may_create_anyway: bool = False
    remote: Remote | None = None
    skip: str | None = None
    waiting_for: str | None = None
    due_at: datetime | None = None
    is_past_due: bool = False


# ------------------------------------------------------------------------------- next steps


@dataclass(frozen=True, slots=True)
class Done:
    """What is in Zoho is what it should be."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """Nothing that we may do brings it in step: the state in which a person finds it, and why."""

    state: State
    code: str
    sentence: str
    field: str | None = None
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Do:
    """One write to the record that is there. `figures` are what a proof would need to know.

    With the step `DELETE` the id is forgotten, and `ending` is what the record settles as; None is
    `synced`, rightly gone.
    """

    step: str
    payload: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] | None = None
    ending: Stuck | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may be done before `again_at`; that is no fault and climbs no ladder."""

    waiting_for: str
    again_at: datetime
    sentence: str


@dataclass(frozen=True, slots=True)
class Anew:
    """The one that is there has ended for good: its id is kept as a former one, and `source` made.

    For a service that returns after its subscription ended.
    """

    source: Source


type Step = Done | Stuck | Do | Wait | Anew


class EntityRules(Protocol):
    """One entity's rules; the order of events, the fences and the proofs are the engine's.

    What has a body here is what most entities do.
    """

    entity: EntityType
    key_field: str | None = None
    """The column of the key, where Zoho keeps the key unique: a refusal may name it."""

    def parents(self, entity_id: str) -> tuple[RecordKey, ...]:  # noqa: ARG002 - of the protocol
        """Name the records that must be in Zoho before this one, nearest last."""
        return ()

    def serial_key(self, entity_id: str) -> str | None:  # noqa: ARG002 - of the protocol
        """Name what may be worked on only one at a time together with this record."""
        return None

    def read(self, entity_id: str) -> Source | None:
        """Read the row now, as it would be sent; None when it is not there."""

    def find(self, source: Source) -> Found:
        """Look in Zoho, completely, for the record, before it is created.

        :raises LookUpFailed: the look proves nothing.
        """

    def make_ready(self) -> None:
        """Have a live token at hand, so that no intent's window is spent on minting one."""

    def send(self, write: Write, permit: Permit) -> Remote | None:
        """Make the one call of `write`; None where Zoho answers that it is done and no more."""

    def get(self, zoho_id: str) -> Remote:
        """Read the record by its id, which no index delays.

        :raises GoneInZoho: it is not there any more.
        """

    def look_up(self, intent: Intent) -> list[Remote]:
        """Find, completely, what a write in flight may have made: by its key, not by today's row.

        :raises LookUpFailed: the look proves nothing.
        """

    def server_enforces_key(self) -> bool:
        """Say whether a second POST with the same key is refused by Zoho itself."""
        return False

    def is_taken(self, zoho_code: int | None) -> bool:  # noqa: ARG002 - of the protocol
        """Say whether a refusal means that Zoho already holds this key."""
        return False

    def taken(self, zoho_code: int | None) -> None:  # noqa: ARG002 - of the protocol
        """Learn from such a refusal, if there is something to learn."""
        return

    def figures_differ(self, figures: dict[str, Any], remote: Remote) -> list[str]:
        """Name what must be equal after a write and is not."""

    def fields_differ(self, source: Source, remote: Remote) -> list[str]:
        """Name which of our owned, non-empty fields differ from a record found in Zoho."""

    def looks_first(self) -> bool:
        """Say whether the one in Zoho is read before it is changed: what may be done depends on it.

        Else our fields are written over it, which is one call less.
        """
        return False

    def repairs_by_update(self) -> bool:
        """Say whether one PUT may mend figures that differ after a create."""
        return False

    def next_step(self, source: Source, remote: Remote, *, after: str | None = None) -> Step:
        """Say what brings the one in Zoho to what the source says.

        `after` is the step that was just answered with `remote` (or without a word, then `remote`
        is from before it); None where it was only read. One step is never asked for twice.
        """
        if after is None:
            differing = self.fields_differ(source, remote)
            return Do("update", source.payload) if differing else Done()
        differing = self.figures_differ(source.figures, remote)
        if not differing:
            return Done()
        if after == "create" and self.repairs_by_update():
            return Do("repair", source.payload)
        return differs_in_zoho(differing)

    def facts(self, remote: Remote, former: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - of the protocol
        """Give what children and reports need to know of the one in Zoho; small, nothing personal.

        `former` are those of the last time.
        """
        return {}

    def foresee(self, source: Source) -> Found:  # noqa: ARG002 - of the protocol
        """Look as `find` does, but only in our own tables: for a plan, which makes no call."""
        return Found()

    def shown(self, zoho_id: str) -> Remote | None:  # noqa: ARG002 - of the protocol
        """Give the one in Zoho as the newest snapshot shows it, None where it does not."""
        return None

    def masked(self, write: Write) -> dict[str, Any]:
        """Show what was sent without anything personal, for the sync log."""

    def masked_answer(self, remote: Remote) -> dict[str, Any]:
        """Show what was answered without anything personal, for the sync log."""


def differs_in_zoho(differing: list[str], sentence: str | None = None) -> Stuck:
    """Give the end of a record that is in Zoho with other figures."""
    return Stuck(
        State.MISMATCH,
        "differs_in_zoho",
        sentence or f"It is in Zoho, but differs in {', '.join(differing)}.",
        differing[0],
    )
