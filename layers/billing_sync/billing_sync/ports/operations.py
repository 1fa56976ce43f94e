"""What an operator changes and confirms."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from billing_sync.domain.states import EntityType, State
from billing_sync.ports.records import RecordKey


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

    def accept(self, record: RecordKey, reason: str, *, by: str) -> bool:
        """Take a red record out of the red count; False where it is not red, or is in doubt."""

    def go_live(
        self, since: datetime | None, *, by: str, only_first: bool = False
    ) -> datetime | None:
        """Set from when on records are carried as they come; gives what holds now.

        Without a time it is now, unless it was set before. `only_first` leaves what was set. None,
        and nothing is changed: it was, the time lies ahead, or preflight never ran.
        """

    def pause(self, reason: str, *, by: str) -> bool:
        """Hold back every write; False where they are held back already, or preflight never ran."""

    def resume(self, *, by: str) -> int | None:
        """Let writes go on; gives how many records were waiting for it, None: nothing was paused.

        They are due at once.
        """

    def resolve(self, entity: EntityType, given: str) -> tuple[str, ...]:
        """Give the ids of the rows whose id this is; else those whose number it is.

        Numbers are the invoice number, the payment's transaction id and the package's sku: what
        people read off a screen. None at all: no row has either. Of an entity without numbers it
        is what was given.
        """

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
