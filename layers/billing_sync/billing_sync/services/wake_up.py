"""Work off one wake-up of a trigger: what it says is where to look, and the database what is so."""

from datetime import datetime
from typing import Final

from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.source import SourceRow
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.triggers import ENTITY_OF_TRIGGER, WakeUp
from billing_sync.ports import Organisations, Priority, RecordKey, Source, SyncRecords
from billing_sync.services.attempt import Outcome
from billing_sync.services.sync_record import SyncRecord

AT_MOST: Final = 3
"""How often one message brings its record in step; whatever comes after that is the sweep's."""


class WorkOffWakeUp:
    """Record what a trigger told, and bring its record in step if it is real time's to bring.

    Whatever has to wait waits in the sync records, from where the sweep takes it up: a message is
    done with when this returns, and may come again at any time, in any order.
    """

    def __init__(
        self,
        records: SyncRecords,
        source: Source,
        organisations: Organisations,
        sync_record: SyncRecord,
    ) -> None:
        """Keep the ports."""
        self._records = records
        self._source = source
        self._organisations = organisations
        self._sync_record = sync_record

    def __call__(self, wake_up: WakeUp) -> Outcome | None:
        """Work it off; None where it was only recorded: not live, paused, or history.

        :raises LogNotWritten: the sync log refused a row; the record is settled all the same.
        """
        record = RecordKey(ENTITY_OF_TRIGGER[wake_up.trigger], wake_up.id)
        standing = self._organisations.standing()
        is_live = standing.live_from is not None and not self._is_history(
            record, standing.live_from
        )
        self._records.signal(record, live=is_live)
        if not is_live or standing.is_paused:
            return None
        try:
            outcome = self._bring(record)
        except Misconfigured as failure:
            # The record says so itself, and is tried again when a person has mended it.
            return Outcome(record, State.FAILED, code=failure.code)
        if outcome.state is State.SYNCED:
            signal_later_payments(record, self._records, self._source)
        return outcome

    def _bring(self, record: RecordKey) -> Outcome:
        """Bring it in step; again, where it was told of once more meanwhile.

        The sweep would, too, within a minute: a repeated webhook must not cost that.
        """
        for _ in range(AT_MOST):
            outcome = self._sync_record(record, priority=Priority.TRIGGER)
            if outcome.state is not State.PENDING or outcome.not_claimed is not None:
                break
        return outcome

    def _is_history(self, record: RecordKey, live_from: datetime) -> bool:
        """Say whether its row is from before, and has not changed since by any but our own doing.

        A row that is not here (yet) is no history: what told of it happened now.
        """
        row = _row(self._source, record)
        if row is None:
            return False
        created_at: datetime | None = getattr(row, "created_at", None)
        if created_at is not None and created_at >= live_from:
            return False
        if row.updated_at < live_from:
            return True
        view = self._records.view(record)
        return view is not None and view.source_version == row.updated_at


def signal_later_payments(record: RecordKey, records: SyncRecords, source: Source) -> int:
    """Have a look taken at the payments in Zoho that came after this one on its invoice.

    Their shares are by our books: what an earlier one leaves of the invoice, they cover. Only after
    the earlier one is in step, or Zoho would refuse them what it still holds. Gives how many.
    """
    if record.entity is not EntityType.PAYMENT:
        return 0
    payment = source.payment(record.entity_id)
    if payment is None or payment.invoice_id is None or payment.completed_at is None:
        return 0
    later = [
        other.id
        for other in source.completed_payments_on(payment.invoice_id)
        if other.completed_at is not None
        and (other.completed_at, other.id) > (payment.completed_at, payment.id)
    ]
    in_zoho = [
        view.record
        for view in records.views(EntityType.PAYMENT, later).values()
        if view.zoho_id is not None
    ]
    for each in in_zoho:
        records.signal(each, live=True)
    return len(in_zoho)


def _row(source: Source, record: RecordKey) -> SourceRow | None:
    match record.entity:
        case EntityType.CUSTOMER:
            return source.customer(record.entity_id)
        case EntityType.SUBSCRIPTION:
            return source.service(record.entity_id)
        case EntityType.INVOICE:
            return source.invoice(record.entity_id)
        case EntityType.PAYMENT:
            return source.payment(record.entity_id)
        case _:
            return None
