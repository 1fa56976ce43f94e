"""Bring Zoho's subscriptions, or its invoices, into our tables; and what is new of them, again."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from billing_sync.domain.errors import Unavailable
from billing_sync.domain.remote import RemoteInvoice, RemoteSubscription
from billing_sync.domain.states import EntityType
from billing_sync.ports import Snapshots, SnapshotView
from billing_sync.ports.zoho import Page
from billing_sync.services.newest_first import CLOCKS_MAY_DIFFER, newest_first

NEWEST_FIRST: Final = True


def a_little_before(moment: datetime) -> datetime:
    """Allow for clocks that differ."""
    return moment - CLOCKS_MAY_DIFFER


class TakeRows[Row: RemoteSubscription | RemoteInvoice]:
    """One of Zoho's lists, walked in whole: resumable, complete or not used.

    Between two whole walks a look at what was made since costs a page or two. It shows what is
    new, not what has changed of what is old.
    """

    def __init__(
        self,
        entity: EntityType,
        list_page: Callable[[int, bool], Page[Row]],
        snapshots: Snapshots,
        *,
        max_age_seconds: float,
        since: Callable[[datetime], datetime] = a_little_before,
    ) -> None:
        """Keep the list: `list_page(page, newest_first)`.

        `max_age_seconds` is real time (already divided by TimeScale). `since` gives the time back
        to which the list is walked for what was made after a moment (`since_there`).
        """
        self._entity = entity
        self._list_page = list_page
        self._snapshots = snapshots
        self._max_age_seconds = max_age_seconds
        self._since = since
        # Of the workers side by side in one process, one walks and the others use what it brought.
        self._one_walks = threading.Lock()

    def if_young(self) -> SnapshotView | None:
        """Give the newest complete snapshot, if it is young enough to answer «none»."""
        latest = self._snapshots.latest(self._entity, complete=True)
        return latest if latest and latest.age_seconds <= self._max_age_seconds else None

    def young_snapshot(self) -> int:
        """Give a complete snapshot that may still answer «none», taking one if there is none.

        :raises CallFailed: the walk could not be finished; it goes on where it stopped.
        """
        young = self.if_young()
        if young is None:
            with self._one_walks:
                young = self.if_young() or self._take()
        return young.snapshot_id

    def not_older_than(self, seconds: float) -> int:
        """Give a complete snapshot that was walked, or looked at for what is new, so lately.

        :param seconds: real seconds.
        :raises CallFailed: Zoho could not be asked.
        """
        with self._one_walks:
            young = self.if_young()
            if young is None:
                young = self._take()
            elif young.renewed_seconds > seconds:
                self._renew(young)
        return young.snapshot_id

    def begin(self) -> SnapshotView:
        """Begin a new walk; one that was begun is forgotten."""
        return self._begin(self._snapshots.latest(self._entity, complete=False))

    def advance(self, may_go_on: Callable[[], bool]) -> bool:
        """Walk on while `may_go_on`; True when the snapshot is complete.

        A walk that was begun is resumed, unless it has grown too old.
        """
        walk = self._snapshots.latest(self._entity, complete=False)
        if walk is None or walk.age_seconds > self._max_age_seconds:
            walk = self._begin(walk)
        page, pages_complete = walk.next_page, walk.pages_complete
        while not pages_complete:
            if not may_go_on():
                return False
            listed = self._list_page(page, not NEWEST_FIRST)
            self._snapshots.store_rows(
                self._entity, walk.snapshot_id, page, listed.rows, is_last=not listed.has_more
            )
            page, pages_complete = page + 1, not listed.has_more
        self._snapshots.complete(self._entity, walk.snapshot_id)
        return True

    def counts(self) -> dict[str, int]:
        """Say how far the newest walk came."""
        walk = self._snapshots.latest(self._entity, complete=False) or self._snapshots.latest(
            self._entity, complete=True
        )
        if walk is None:
            return {}
        counted = self._snapshots.count_rows(self._entity, walk.snapshot_id)
        return {f"{self._entity.value}s_in_zoho": counted, "calls": walk.calls}

    def add(self, row: Row) -> None:
        """Put a row that was read by id into the newest complete snapshot, if there is one."""
        latest = self._snapshots.latest(self._entity, complete=True)
        if latest is not None:
            self._snapshots.renew_rows(self._entity, latest.snapshot_id, [row])

    def _take(self) -> SnapshotView:
        self.advance(lambda: True)
        young = self.if_young()
        if young is None:
            raise Unavailable(
                f"The walk over Zoho's {self._entity.value}s took longer than it may be old."
            )
        return young

    def _renew(self, young: SnapshotView) -> None:
        """Walk what was made since the last walk *began*: what came during it may be missing."""
        now = young.started_at + timedelta(seconds=young.age_seconds)
        walked = now - timedelta(seconds=young.renewed_seconds)
        rows = list(
            newest_first(
                lambda page: self._list_page(page, NEWEST_FIRST),
                self._since(walked),
                lambda row: row.created_time,
            )
        )
        # All or nothing: a walk that was broken off has not shown everything that is new.
        unique = {row.zoho_id: row for row in rows}
        self._snapshots.renew_rows(
            self._entity, young.snapshot_id, list(unique.values()), renewed=True
        )

    def _begin(self, seen: SnapshotView | None) -> SnapshotView:
        return self._snapshots.begin(
            self._entity, instead_of=None if seen is None else seen.snapshot_id
        )
