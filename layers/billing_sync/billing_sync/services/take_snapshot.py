"""Bring what Zoho holds into our tables: page by page, resumable, complete or not used."""

from collections.abc import Callable, Sequence
from typing import Final

from billing_sync.domain.comparing import same_email, same_phone
from billing_sync.domain.customers import candidate_names
from billing_sync.domain.display_names import DisplayNames
from billing_sync.domain.errors import GoneInZoho, Unavailable
from billing_sync.domain.remote import RemoteCustomer
from billing_sync.domain.states import EntityType
from billing_sync.ports import (
    BillingApi,
    SnapshotCustomer,
    Snapshots,
    SnapshotView,
    Source,
)

DETAILS_AT_ONCE: Final = 50


class TakeSnapshot:
    """Zoho's customers: every page, then the detail of each whom nothing in the list identifies.

    List rows carry no custom fields, so a customer kept by hand shows its account number only in
    its detail: one GET more for each that no record of ours knows and whose name shows none.
    """

    def __init__(
        self,
        source: Source,
        snapshots: Snapshots,
        api: BillingApi,
        names: DisplayNames,
        *,
        max_age_seconds: float,
    ) -> None:
        """`max_age_seconds` is real time (already divided by TimeScale)."""
        self._source = source
        self._snapshots = snapshots
        self._api = api
        self._names = names
        self._max_age_seconds = max_age_seconds

    def young_snapshot(self) -> int:
        """Give a complete snapshot that may still answer «none», taking one if there is none.

        :raises CallFailed: the walk could not be finished; it goes on where it stopped.
        """
        young = self.if_young()
        if young is None:
            self.advance(lambda: True)
            young = self.if_young()
        if young is None:
            raise Unavailable("The walk over Zoho's customers took longer than it may be old.")
        return young.snapshot_id

    def if_young(self) -> SnapshotView | None:
        """Give the newest complete snapshot, if it is young enough."""
        latest = self._snapshots.latest(EntityType.CUSTOMER, complete=True)
        return latest if latest and latest.age_seconds <= self._max_age_seconds else None

    def begin(self) -> SnapshotView:
        """Begin a new walk; one that was begun is forgotten."""
        walk = self._snapshots.latest(EntityType.CUSTOMER, complete=False)
        return self._begin(walk)

    def _begin(self, seen: SnapshotView | None) -> SnapshotView:
        return self._snapshots.begin(
            EntityType.CUSTOMER, instead_of=None if seen is None else seen.snapshot_id
        )

    def counts(self) -> dict[str, int]:
        """Say how far the newest walk came."""
        walk = self._snapshots.latest(
            EntityType.CUSTOMER, complete=False
        ) or self._snapshots.latest(EntityType.CUSTOMER, complete=True)
        if walk is None:
            return {}
        return {"customers_in_zoho": self._snapshots.count(walk.snapshot_id), "calls": walk.calls}

    def advance(self, may_go_on: Callable[[], bool], *, trust_details: bool = False) -> bool:
        """Walk on while `may_go_on`; True when the snapshot is complete.

        A walk that was begun is resumed, unless it has grown too old. `trust_details` takes over
        from the last snapshot what a customer's own page said, instead of reading it again.
        """
        entity = EntityType.CUSTOMER
        walk = self._snapshots.latest(entity, complete=False)
        if walk is None or walk.age_seconds > self._max_age_seconds:
            walk = self._begin(walk)
        page, pages_complete = walk.next_page, walk.pages_complete
        while not pages_complete:
            if not may_go_on():
                return False
            listed = self._api.list_customers(page)
            self._snapshots.store_page(
                entity,
                walk.snapshot_id,
                page,
                self._rows(listed.rows),
                is_last=not listed.has_more,
            )
            page, pages_complete = page + 1, not listed.has_more
        if trust_details:
            self._snapshots.carry_details(walk.snapshot_id)
        while unread := self._snapshots.unread_details(walk.snapshot_id, DETAILS_AT_ONCE):
            for zoho_id in unread:
                if not may_go_on():
                    return False
                self._read_detail(walk.snapshot_id, zoho_id)
        self._snapshots.complete(entity, walk.snapshot_id)
        return True

    def add(self, snapshot_id: int, customer: RemoteCustomer) -> None:
        """Add a customer that the list did not show yet."""
        [row] = self._rows([customer], detail_read=True)
        self._snapshots.store_detail(snapshot_id, row)

    def _read_detail(self, snapshot_id: int, zoho_id: str) -> None:
        try:
            detail = self._api.get_customer(zoho_id)
        except GoneInZoho:
            self._snapshots.forget(snapshot_id, zoho_id)
            return
        self.add(snapshot_id, detail)

    def _rows(
        self, listed: Sequence[RemoteCustomer], *, detail_read: bool = False
    ) -> list[SnapshotCustomer]:
        """Normalise for comparison. A number in a name counts only if it is one of ours."""
        shown = {row.zoho_id: self._names.account_number_in(row.display_name) for row in listed}
        ours = self._source.known_account_numbers([number for number in shown.values() if number])
        return [
            SnapshotCustomer(
                zoho_id=row.zoho_id,
                display_name=row.display_name,
                account_number=row.account_number or (shown[row.zoho_id] if in_name else None),
                account_in_name=in_name,
                names=tuple(
                    sorted(
                        candidate_names(
                            row.display_name, row.first_name, row.last_name, row.company_name
                        )
                    )
                ),
                email=same_email(row.email),
                phone=same_phone(row.phone),
                currency_code=row.currency_code or None,
                status=row.status or None,
                outstanding=row.outstanding,
                unused_credits=row.unused_credits,
                detail_read=detail_read,
            )
            for row in listed
            for in_name in [shown[row.zoho_id] in ours]
        ]
