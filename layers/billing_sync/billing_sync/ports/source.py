"""The provider's rows, and what Zoho holds, in our own tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from billing_sync.domain.customers import Candidate
from billing_sync.domain.remote import RemoteInvoice, RemoteSubscription
from billing_sync.domain.source import (
    Customer,
    Invoice,
    Package,
    Payment,
    PaymentAllocation,
    Service,
    SourceRow,
)
from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import Only
from billing_sync.ports.records import RecordKey


class Source(Protocol):
    """The provider's rows, through the views `billing_source`."""

    def customer(self, customer_id: str) -> Customer | None:
        """Read one customer now, None when there is none."""

    def customers_after(self, cursor: str | None, limit: int, only: Only) -> list[Customer]:
        """Read the next customers by primary key, restricted as a run is."""

    def package(self, package_id: str) -> Package | None:
        """Read one package now."""

    def packages(self) -> list[Package]:
        """Read the whole price list, by id."""

    def service(self, service_id: str) -> Service | None:
        """Read one service now."""

    def invoice(self, invoice_id: str) -> Invoice | None:
        """Read one invoice now."""

    def payment(self, payment_id: str) -> Payment | None:
        """Read one payment now."""

    def rows_after(
        self, entity: EntityType, cursor: str | None, limit: int, only: Only
    ) -> Sequence[SourceRow]:
        """Read the next rows of an entity's view by primary key, restricted as a run is.

        `only.accounts` are those of the row's customer; `only.ids` are the entity's own.
        """

    def invoices_of_service(self, service_id: str) -> list[Invoice]:
        """Read all invoices of one service, by id."""

    def same_number(self, number: str, invoice_id: str) -> list[str]:
        """Give the ids of other invoices of ours that bear a number."""

    def our_numbers(self, numbers: Sequence[str]) -> set[str]:
        """Say which of the given invoice numbers are ours."""

    def completed_payments_on(self, invoice_id: str) -> list[Payment]:
        """Read the completed payments that name one invoice, by id."""

    def allocations(self, payment_id: str) -> list[PaymentAllocation]:
        """Read a payment's shares, none where the optional view does not exist."""

    def shares(self, payment_ids: Sequence[str]) -> dict[str, list[PaymentAllocation]]:
        """Read the shares of many payments, by payment; one that has none is left out."""

    def customer_id_of(self, id_or_account: str) -> str | None:
        """Find a customer by id or by account number."""

    def known_account_numbers(self, numbers: Sequence[str]) -> set[str]:
        """Say which of the given account numbers are customers of ours."""

    def account_numbers(self, ids: Sequence[str]) -> dict[str, str]:
        """Give the account numbers of customers by id."""

    def count(self, entity: EntityType) -> int:
        """Count the rows of an entity's view."""

    def changed(
        self, entity: EntityType, limit: int, *, since: datetime | None = None
    ) -> list[RecordKey]:
        """Give records whose row is new, or is not the version that was last read.

        With `since`, of rows that were created or changed since; then those, too, that are still
        left to the backfill, and no package that nothing needed so far. Whoever was told of already
        is left out.
        """

    def come_back(self, entity: EntityType) -> list[RecordKey]:
        """Give records of real time that were said to be deleted here, and whose row is here."""

    def vanished(self, entity: EntityType, *, unsaid: bool = False) -> list[RecordKey]:
        """Give records that are in Zoho and whose row is gone here, not yet said to be so.

        `unsaid` leaves out those of which somebody was told, or who are on their way.
        """


class Pages(Protocol):
    """Reads ahead for whoever asks the rules of many rows, and sends nothing."""

    def forget(self) -> None:
        """Let go of the last page: what is asked for next is read now."""

    def turn(self, entity: EntityType, rows: Sequence[SourceRow]) -> None:
        """Read, all at once, what the rules will ask of these rows; keep it until the next."""


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
    renewed_seconds: float = 0.0
    """Real seconds since it was walked, in whole or for what is new."""


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

    def details_without(
        self, snapshot_id: int, account_number: str, zoho_ids: Sequence[str]
    ) -> set[str]:
        """Give those of the ids whose own page was read and did not show the account number."""

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

    # -------------------------------------------------------------- subscriptions and invoices

    def store_rows(
        self,
        entity: EntityType,
        snapshot_id: int,
        page: int,
        rows: Sequence[RemoteSubscription | RemoteInvoice],
        *,
        is_last: bool,
    ) -> None:
        """Store a page of subscriptions or invoices and move on."""

    def renew_rows(
        self,
        entity: EntityType,
        snapshot_id: int,
        rows: Sequence[RemoteSubscription | RemoteInvoice],
        *,
        renewed: bool = False,
    ) -> None:
        """Put newer rows over a complete snapshot's; `renewed` marks it as walked again just now.

        A row read by id replaces the list's own: it shows more.
        """

    def subscriptions(
        self,
        snapshot_id: int,
        *,
        zoho_ids: Sequence[str] = (),
        references: Sequence[str] = (),
        customer_zoho_ids: Sequence[str] = (),
    ) -> list[RemoteSubscription]:
        """Give the subscriptions that fit any of what is given."""

    def invoices(
        self,
        snapshot_id: int,
        *,
        zoho_ids: Sequence[str] = (),
        numbers: Sequence[str] = (),
        customer_zoho_ids: Sequence[str] = (),
    ) -> list[RemoteInvoice]:
        """Give the invoices that fit any of what is given."""

    def count_rows(self, entity: EntityType, snapshot_id: int) -> int:
        """Count a snapshot's subscriptions or invoices."""
