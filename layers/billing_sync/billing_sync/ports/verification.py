"""Both sides side by side, for verify, report and status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from billing_sync.domain.states import EntityType, State
from billing_sync.ports.records import RecordKey
from billing_sync.ports.runs import RunCalls


class Owed(NamedTuple):
    """A customer's account as a row of Zoho's list shows it."""

    outstanding: Decimal
    unused_credits: Decimal


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What a run's records came to; each record that the run selected is counted in `states` once.

    A blocked record counts as the parent does for which it waits in the end, where that one is at
    rest: `waiting`, `failed`, ... `entities` are the same counts by entity. `parents` are the
    states of what was not selected and came along: products and plans, above all.
    """

    states: dict[str, int]
    created: int
    linked: int
    updated: int
    entities: Mapping[EntityType, Mapping[str, int]]
    parents: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RedGroup:
    """Records of one cause: what a person reads first."""

    entity: EntityType
    state: State
    code: str
    count: int
    sentence: str
    ids: tuple[str, ...]
    reason: str | None = None
    """Why a person accepted the first of them."""


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

    def synced(self, entity: EntityType, after: str | None, limit: int) -> list[str]:
        """Give the next records, by id, that are synced and in Zoho."""

    def same_reference(self, snapshot_id: int) -> dict[str, tuple[str, ...]]:
        """Give our services that several live subscriptions of Zoho refer to, with their ids."""

    def same_number(self, snapshot_id: int) -> dict[str, tuple[str, ...]]:
        """Give invoice numbers that several invoices of Zoho bear, with their ids."""

    def of_two_accounts(self, snapshot_id: int) -> dict[str, tuple[str, str]]:
        """Give customers of Zoho that bear one account number in a field and another in the name.

        By Zoho id: the field's number and the name.
        """

    def numbers_of_both(self, snapshot_id: int) -> tuple[list[str], list[str]]:
        """Give a sample of each pattern of invoice numbers: ours, and those that Zoho gave.

        Zoho's are of invoices that were not pushed by us. The last run of digits is `0` in all.
        """

    def owed(self, snapshot_id: int, zoho_ids: Sequence[str]) -> dict[str, Owed]:
        """Give what the given customers owe in Zoho, and their unused credit."""

    def gone_in_zoho(self) -> list[RecordKey]:
        """Give the records that were found gone in Zoho, and that nobody has accepted."""

    def refresh_facts(self, record: RecordKey, facts: Mapping[str, Any]) -> None:
        """Store newer facts of a record in Zoho; only of one at rest in `synced`."""

    def doubt(self, record: RecordKey) -> None:
        """Forget what Zoho confirmed: the next claim sends again. Never touches a held record."""

    def gone(self, record: RecordKey) -> None:
        """Mark a synced record as gone in Zoho. Never touches a held record."""

    def figures(self, run_id: str) -> RunFigures:
        """Count the run's records."""

    def in_step(self, run_id: str, entity: EntityType, after: str | None, limit: int) -> list[str]:
        """Give the next of the run's own records, by id, that are synced and in Zoho."""

    def calls_since(self, run_id: str) -> RunCalls:
        """Count calls, 429s and tokens since the run began."""

    def token_facts(self) -> dict[str, Any] | None:
        """Give generation, expiry, recent mints and cool-down of the token; never the token."""

    def red_groups(self, run_id: str | None, *, accepted: bool = False) -> list[RedGroup]:
        """Group what is red by cause, of a run or of all records; or what of it was accepted."""

    def state_counts(self) -> dict[str, dict[str, int]]:
        """Count all records by entity and state; red ones that were accepted as `accepted`."""

    def story(self, record: RecordKey) -> dict[str, Any] | None:
        """Tell everything about one record, ready for JSON; None where it is unknown."""
