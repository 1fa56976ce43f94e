"""What an entity brings to the engine of `sync_record`: how it is read, found, sent, compared."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from billing_sync.domain.errors import Unsendable
from billing_sync.domain.states import EntityType
from billing_sync.ports import Intent, Permit, RecordKey, Write


@dataclass(frozen=True, slots=True)
class Source:
    """A row of ours after the claim: what would be sent now, or why nothing is.

    `row` is the entity's own model, which only its rules look into. At most one of `skip` (a
    reason) and `refused` is set; with neither there is a payload.
    """

    row: Any
    version: datetime
    fingerprint: str
    skip: str | None = None
    refused: Unsendable | None = None
    key: str = ""
    payload: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remote:
    """A record of Zoho as the engine needs it; `body` is the entity's own model."""

    zoho_id: str
    body: Any


@dataclass(frozen=True, slots=True)
class Found:
    """Who in Zoho is this record: nobody, one for sure, or candidates for a person to judge."""

    link: str | None = None
    candidates: tuple[str, ...] = ()
    code: str = "ambiguous"
    why: str = ""
    may_create_anyway: bool = False


class EntityRules(Protocol):
    """One entity's rules; the order of events, the fences and the proofs are the engine's."""

    entity: EntityType

    def parents(self, entity_id: str) -> tuple[RecordKey, ...]:
        """Name the records that must be in Zoho before this one, nearest last."""

    def serial_key(self, entity_id: str) -> str | None:
        """Name what may be worked on only one at a time together with this record."""

    def read(self, entity_id: str) -> Source | None:
        """Read the row now, as it would be sent; None when it is not there."""

    def find(self, source: Source) -> Found:
        """Look in Zoho, completely, for the record, before it is created.

        :raises LookUpFailed: the look proves nothing.
        """

    def make_ready(self) -> None:
        """Have a live token at hand, so that no intent's window is spent on minting one."""

    def send(self, write: Write, permit: Permit) -> Remote:
        """Make the one call of `write`."""

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

    def is_taken(self, zoho_code: int | None) -> bool:
        """Say whether a refusal means that Zoho already holds this key."""

    def taken(self, zoho_code: int | None) -> None:
        """Learn from such a refusal, if there is something to learn."""

    def figures_differ(self, figures: dict[str, Any], remote: Remote) -> list[str]:
        """Name what must be equal after a write and is not."""

    def fields_differ(self, source: Source, remote: Remote) -> list[str]:
        """Name which of our owned, non-empty fields differ from a record found in Zoho."""

    def repairs_by_update(self) -> bool:
        """Say whether one PUT may mend figures that differ after a create."""

    def masked(self, write: Write) -> dict[str, Any]:
        """Show what was sent without anything personal, for the sync log."""

    def masked_answer(self, remote: Remote) -> dict[str, Any]:
        """Show what was answered without anything personal, for the sync log."""
