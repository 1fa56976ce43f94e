"""Bring back whatever nobody else will: what is due, what changed, what owes its status columns."""

from collections import Counter
from datetime import datetime
from typing import Final

from billing_sync.domain.errors import CallFailed, Misconfigured
from billing_sync.domain.states import EntityType, State
from billing_sync.ports import (
    BillingApi,
    Organisations,
    Priority,
    Quota,
    RecordKey,
    Source,
    StatusColumns,
    SyncRecords,
)
from billing_sync.services.attempt import Outcome
from billing_sync.services.backfill.loop import SPARE_SECONDS, TimeLeft
from billing_sync.services.sync_record import SyncRecord
from billing_sync.services.wake_up import signal_later_payments

AT_ONCE: Final = 50
"""How many records are looked up at a time to be worked off."""

FOUND_AT_ONCE: Final = 500
"""How many changed rows of an entity one round tells of; the next round finds the others."""

COUNTED: Final = ("leases", "changed", "vanished", "due", "statuses")


class Sweep:
    """One round over the records and the source. Over a table in step it claims and writes nothing.

    Until the sync is live it only ends leases and writes status columns: history belongs to the
    backfill. From then on it carries whatever no webhook told of, as a trigger would: it asks for
    permits as one, for a customer waits for it, and the backfill stands back. Two at once are
    harmless: both may tell of the same change, and one of them claims it.
    """

    def __init__(
        self,
        records: SyncRecords,
        source: Source,
        organisations: Organisations,
        status_columns: StatusColumns,
        sync_record: SyncRecord,
        quota: Quota,
        api: BillingApi,
        *,
        longest_sleep_seconds: float,
    ) -> None:
        """Keep the ports; a wait for a permit of more than `longest_sleep_seconds` ends a round."""
        self._records = records
        self._source = source
        self._organisations = organisations
        self._status_columns = status_columns
        self._sync_record = sync_record
        self._quota = quota
        self._api = api
        self._longest_sleep_seconds = longest_sleep_seconds

    def __call__(self, time_left: TimeLeft) -> dict[str, int]:
        """Do one round while there is time; gives how many of each were found."""
        counts = Counter(dict.fromkeys(COUNTED, 0))
        counts["leases"] = self._records.expire_leases()
        standing = self._organisations.standing()
        if standing.live_from is not None:
            self._tell(standing.live_from, counts, time_left)
        self._write_statuses(counts, time_left)
        if standing.live_from is not None and not standing.is_paused:
            self._work_off(counts, time_left)
        return dict(counts)

    def _tell(self, live_from: datetime, counts: Counter[str], time_left: TimeLeft) -> None:
        """Say what nobody said: rows that changed, came back or are gone. Parents come first.

        Whether a change matters is the fingerprint's to say.
        """
        for entity in EntityType:
            if time_left() < SPARE_SECONDS:
                return
            changed = self._source.changed(entity, FOUND_AT_ONCE, since=live_from)
            changed += self._source.come_back(entity)
            vanished = self._source.vanished(entity, unsaid=True)[:FOUND_AT_ONCE]
            for record in (*changed, *vanished):
                self._records.signal(record, live=True)
            counts["changed"] += len(changed)
            counts["vanished"] += len(vanished)

    def _write_statuses(self, counts: Counter[str], time_left: TimeLeft) -> None:
        for record in self._records.status_due(AT_ONCE):
            if time_left() < SPARE_SECONDS:
                return
            self._status_columns.write(record)
            counts["statuses"] += 1

    def _work_off(self, counts: Counter[str], time_left: TimeLeft) -> None:
        """Work off what is due, each once: one that is held by another's work waits a minute."""
        tried: set[RecordKey] = set()
        while due := self._records.due(AT_ONCE, live_only=True, but=tried):
            for record in due:
                if time_left() < SPARE_SECONDS or not self._may_call():
                    return
                tried.add(record)
                counts["due"] += 1
                outcome = self._bring(record)
                if outcome is None or outcome.wait is not None:
                    # The next one would be told the same.
                    return

    def _bring(self, record: RecordKey) -> Outcome | None:
        """Bring one record in step; None where no record can succeed."""
        try:
            outcome = self._sync_record(record, priority=Priority.TRIGGER)
        except Misconfigured:
            return None
        if outcome.state is State.SYNCED and outcome.change not in (None, "unchanged"):
            signal_later_payments(record, self._records, self._source)
        return outcome

    def _may_call(self) -> bool:
        """Say whether Zoho may be called now; once an hour ask whether it counts a new day.

        A write is never that question: its permit stands in a transaction with its intent.
        """
        try:
            if self._quota.probe_is_due():
                self._api.organisations()
        except CallFailed:
            return False
        return self._quota.wait_for(Priority.TRIGGER) <= self._longest_sleep_seconds
