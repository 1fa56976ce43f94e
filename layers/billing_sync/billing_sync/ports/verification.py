"""Both sides side by side, for verify, report and status."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from billing_sync.domain.states import EntityType, State
from billing_sync.ports.records import RecordKey
from billing_sync.ports.runs import RunCalls


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
