"""What a plan reads of a page of rows: at once, and kept until the next page.

The rules that say what would be done with a row read it, its parents and its siblings one by one,
as they must where they send. A plan asks them of thousands of rows and sends nothing: it may see
all of a page as it stood when the page began. What is not kept is read, and then kept, too.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, override

from sqlalchemy import Engine
from sqlalchemy.exc import DataError

from billing_sync.adapters.postgres.organisations import PostgresOrganisations
from billing_sync.adapters.postgres.records import PostgresRecords
from billing_sync.adapters.postgres.snapshots import KEY_COLUMN, PostgresSnapshots
from billing_sync.adapters.postgres.source import COMPLETED, PostgresSource
from billing_sync.adapters.postgres.source_views import VIEW_OF
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
from billing_sync.domain.timing import Timing
from billing_sync.ports import RecordKey, RecordView, SnapshotView


class PagedSource(PostgresSource):
    """The provider's rows, those of a page read together."""

    def __init__(self, engine: Engine, organisation_id: str) -> None:
        """Begin with nothing kept."""
        super().__init__(engine, organisation_id)
        self._kept: dict[tuple[EntityType, str, str, str], list[Any]] = {}
        self._shares: dict[str, list[PaymentAllocation]] = {}

    def close_page(self) -> None:
        """Let go of the last page."""
        self._kept.clear()
        self._shares.clear()

    def keep(
        self,
        entity: EntityType,
        model: type[SourceRow],
        column: str,
        values: Iterable[str | None],
        further: str = "",
    ) -> None:
        """Read all rows that have one of the values in a column, for `_fitting` to give."""
        new = {
            value
            for value in values
            if value and (entity, column, value, further) not in self._kept
        }
        if not new:
            return
        value_type = self._types.of(VIEW_OF[entity].name, column)
        where = f"WHERE s.{column} = ANY(CAST(:values AS {value_type}[])) {further} ORDER BY s.id"
        try:
            rows = self._rows(entity, model, where, {"values": sorted(new)})
        except DataError:
            # One of them cannot be such an id: then each is asked for by itself.
            return
        self._kept |= {(entity, column, value, further): [] for value in new}
        for row in rows:
            self._kept[entity, column, str(getattr(row, column)), further].append(row)

    def keep_shares(self, payment_ids: Iterable[str]) -> None:
        """Read the shares of many payments."""
        new = sorted(set(payment_ids) - self._shares.keys())
        found = self.shares(new)
        self._shares |= {payment_id: found.get(payment_id, []) for payment_id in new}

    def put(self, entity: EntityType, rows: Sequence[SourceRow]) -> None:
        """Keep rows that were read already, by their ids."""
        self._kept |= {(entity, "id", row.id, ""): [row] for row in rows}

    @override
    def _fitting[Row: SourceRow](
        self, entity: EntityType, model: type[Row], column: str, value: str, further: str = ""
    ) -> list[Row]:
        key = (entity, column, value, further)
        if key not in self._kept:
            self._kept[key] = super()._fitting(entity, model, column, value, further)
        return list(self._kept[key])

    @override
    def allocations(self, payment_id: str) -> list[PaymentAllocation]:
        """Give a payment's shares."""
        if payment_id not in self._shares:
            self._shares[payment_id] = super().allocations(payment_id)
        return list(self._shares[payment_id])

    @override
    def same_number(self, number: str, invoice_id: str) -> list[str]:
        """Give the ids of other invoices of ours that bear a number."""
        bearing = self._fitting(EntityType.INVOICE, Invoice, "invoice_number", number)
        return [row.id for row in bearing if row.id != invoice_id]


class PagedRecords(PostgresRecords):
    """The sync records, to be looked at: those of a page are read together."""

    def __init__(self, engine: Engine, organisation_id: str, timing: Timing) -> None:
        """Begin with nothing kept."""
        super().__init__(engine, organisation_id, timing)
        self._kept: dict[RecordKey, RecordView | None] = {}

    def close_page(self) -> None:
        """Let go of the last page."""
        self._kept.clear()

    def keep(self, entity: EntityType, ids: Iterable[str | None]) -> None:
        """Look at many records."""
        new = [id_ for id_ in set(ids) if id_ and RecordKey(entity, id_) not in self._kept]
        found = super().views(entity, new) if new else {}
        self._kept |= {RecordKey(entity, id_): found.get(id_) for id_ in new}

    @override
    def view(self, record: RecordKey) -> RecordView | None:
        """Show one record."""
        self.keep(record.entity, [record.entity_id])
        return self._kept[record]

    @override
    def views(self, entity: EntityType, ids: Sequence[str]) -> dict[str, RecordView]:
        """Show many records of one entity."""
        self.keep(entity, ids)
        seen = {id_: self._kept[RecordKey(entity, id_)] for id_ in ids if id_}
        return {id_: view for id_, view in seen.items() if view is not None}


class PagedSnapshots(PostgresSnapshots):
    """Zoho's lists in our tables: rows that are asked for by one id or key are read together."""

    def __init__(self, engine: Engine, organisation_id: str) -> None:
        """Begin with nothing kept."""
        super().__init__(engine, organisation_id)
        self._newest: dict[EntityType, SnapshotView | None] = {}
        self._kept: dict[tuple[EntityType, int, str, str], list[dict[str, Any]]] = {}

    def close_page(self) -> None:
        """Let go of the last page."""
        self._newest.clear()
        self._kept.clear()

    def keep(self, entity: EntityType, *, zoho_ids: Iterable[str], keys: Iterable[str]) -> None:
        """Read the rows of the newest snapshot that have one of these ids, or of our keys."""
        newest = self.latest(entity, complete=True)
        if newest is None:
            return
        ids, our_keys = set(zoho_ids) - {""}, set(keys) - {""}
        rows = super()._fitting(entity, newest.snapshot_id, sorted(ids), sorted(our_keys), ())
        for column, values in (("zoho_id", ids), (KEY_COLUMN[entity], our_keys)):
            for value in values:
                self._kept[entity, newest.snapshot_id, column, value] = [
                    row for row in rows if row.get(column) == value
                ]

    @override
    def latest(self, entity: EntityType, *, complete: bool) -> SnapshotView | None:
        """Give the newest complete snapshot, or the one that is being taken."""
        if not complete:
            return super().latest(entity, complete=False)
        if entity not in self._newest:
            self._newest[entity] = super().latest(entity, complete=True)
        return self._newest[entity]

    @override
    def _fitting(
        self,
        entity: EntityType,
        snapshot_id: int,
        zoho_ids: Sequence[str],
        keys: Sequence[str],
        customer_zoho_ids: Sequence[str],
    ) -> list[dict[str, Any]]:
        match (*zoho_ids,), (*keys,), (*customer_zoho_ids,):
            case (zoho_id,), (), ():
                kept = self._kept.get((entity, snapshot_id, "zoho_id", zoho_id))
            case (), (key,), ():
                kept = self._kept.get((entity, snapshot_id, KEY_COLUMN[entity], key))
            case _:
                kept = None
        if kept is not None:
            return list(kept)
        return super()._fitting(entity, snapshot_id, zoho_ids, keys, customer_zoho_ids)


class PagedOrganisations(PostgresOrganisations):
    """What is known of the organisation; its day is asked for once a page."""

    def __init__(self, engine: Engine, organisation_id: str) -> None:
        """Begin with nothing kept."""
        super().__init__(engine, organisation_id)
        self._today: date | None = None

    def close_page(self) -> None:
        """Let go of the last page."""
        self._today = None

    @override
    def today(self) -> date:
        """Give the day that it is there."""
        if self._today is None:
            self._today = super().today()
        return self._today


class PostgresPages:
    """The four together: what the rules will ask of a page's rows, read ahead."""

    def __init__(self, engine: Engine, organisation_id: str, timing: Timing) -> None:
        """Make them; nothing is read yet."""
        self.source = PagedSource(engine, organisation_id)
        self.records = PagedRecords(engine, organisation_id, timing)
        self.snapshots = PagedSnapshots(engine, organisation_id)
        self.organisations = PagedOrganisations(engine, organisation_id)

    def forget(self) -> None:
        """Let go of the last page."""
        for part in (self.source, self.records, self.snapshots, self.organisations):
            part.close_page()

    def turn(self, entity: EntityType, rows: Sequence[SourceRow]) -> None:
        """Let go of the last page, and read what belongs to the rows of the next."""
        self.forget()
        self.source.put(entity, rows)
        self.records.keep(entity, [row.id for row in rows])
        match entity:
            case EntityType.SUBSCRIPTION:
                self._services([row for row in rows if isinstance(row, Service)])
            case EntityType.INVOICE:
                self._invoices([row for row in rows if isinstance(row, Invoice)])
            case EntityType.PAYMENT:
                self._payments([row for row in rows if isinstance(row, Payment)])
            case _:
                # Customers are looked up many at once; the catalogue is small.
                return

    def _services(self, services: Sequence[Service]) -> None:
        ids = [service.id for service in services]
        packages = [service.package_id for service in services]
        self._customers(service.customer_id for service in services)
        self.source.keep(EntityType.PLAN, Package, "id", packages)
        self.source.keep(EntityType.INVOICE, Invoice, "service_id", ids)
        self.records.keep(EntityType.PLAN, packages)
        self._in_zoho(EntityType.SUBSCRIPTION, ids, keys=ids)

    def _invoices(self, invoices: Sequence[Invoice]) -> None:
        services = [invoice.service_id for invoice in invoices]
        numbers = [(invoice.invoice_number or "").strip() for invoice in invoices]
        self._customers(invoice.customer_id for invoice in invoices)
        self.source.keep(EntityType.SUBSCRIPTION, Service, "id", services)
        self.source.keep(EntityType.INVOICE, Invoice, "invoice_number", numbers)
        self.records.keep(EntityType.SUBSCRIPTION, services)
        views = self.records.views(EntityType.SUBSCRIPTION, [one for one in services if one])
        # Only where there is no subscription, the day on which one would begin is worked out.
        self.source.keep(
            EntityType.INVOICE, Invoice, "service_id", (one for one in services if one not in views)
        )
        self._in_zoho(EntityType.INVOICE, [invoice.id for invoice in invoices], keys=numbers)

    def _payments(self, payments: Sequence[Payment]) -> None:
        self._customers(payment.customer_id for payment in payments)
        self.source.keep_shares(payment.id for payment in payments)
        paid = [payment.invoice_id for payment in payments]
        paid += [
            share.invoice_id
            for payment in payments
            for share in self.source.allocations(payment.id)
        ]
        self.source.keep(EntityType.INVOICE, Invoice, "id", paid)
        self.records.keep(EntityType.INVOICE, paid)
        self.source.keep(EntityType.PAYMENT, Payment, "invoice_id", paid, COMPLETED)
        self.source.keep_shares(
            other.id
            for invoice_id in filter(None, paid)
            for other in self.source.completed_payments_on(invoice_id)
        )

    def _customers(self, ids: Iterable[str | None]) -> None:
        customers = list(ids)
        self.source.keep(EntityType.CUSTOMER, Customer, "id", customers)
        self.records.keep(EntityType.CUSTOMER, customers)

    def _in_zoho(self, entity: EntityType, ids: Sequence[str], keys: Iterable[str]) -> None:
        views = self.records.views(entity, ids)
        linked = [view.zoho_id for view in views.values() if view.zoho_id]
        self.snapshots.keep(entity, zoho_ids=linked, keys=keys)
