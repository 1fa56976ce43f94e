"""What is in step, in money: by our books, and by the figures that Zoho showed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from billing_sync.domain.discrepancies import gross_price
from billing_sync.domain.errors import Unsendable
from billing_sync.domain.money import price_of
from billing_sync.domain.remote import RemoteInvoice, RemoteSubscription
from billing_sync.domain.source import Invoice, Payment, Service, SourceRow
from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import Only
from billing_sync.domain.tax import MoneyRules
from billing_sync.ports import RecordView, Snapshots, Source, SyncRecords, Verification
from billing_sync.services.money_rules import OrganisationMoney

AT_ONCE: Final = 500

WITH_MONEY: Final = (EntityType.SUBSCRIPTION, EntityType.INVOICE, EntityType.PAYMENT)


class Pair(NamedTuple):
    """One record's two figures. `theirs` is None where Zoho showed none."""

    ours: Decimal
    theirs: Decimal | None


@dataclass
class Amounts:
    """Both sides of one entity's records in step.

    `difference` adds up what each record differs by, so that no two differences cancel out.
    """

    local: Decimal = Decimal(0)
    zoho: Decimal = Decimal(0)
    difference: Decimal = Decimal(0)
    not_shown: int = 0

    def add(self, pair: Pair) -> None:
        """Add a record; one whose figure was not shown is counted, and not added."""
        if pair.theirs is None:
            self.not_shown += 1
            return
        self.local += pair.ours
        self.zoho += pair.theirs
        self.difference += abs(pair.ours - pair.theirs)


@dataclass
class InMoney:
    """The amounts of each entity, and of the invoices' tax."""

    entities: dict[EntityType, Amounts] = field(
        default_factory=lambda: {entity: Amounts() for entity in WITH_MONEY}
    )
    tax: Amounts = field(default_factory=Amounts)

    @property
    def difference(self) -> Decimal:
        """What all records in step differ by, added up."""
        return sum((each.difference for each in self.entities.values()), Decimal(0))


class AddUp:
    """Add up a run's records in step, in constant memory.

    Invoices and subscriptions by the newest snapshot's rows, a month of a subscription with its
    tax; payments, and what no row shows, by what Zoho answered when the record was last seen.
    """

    def __init__(
        self,
        source: Source,
        records: SyncRecords,
        snapshots: Snapshots,
        verification: Verification,
        money: OrganisationMoney,
    ) -> None:
        """Keep the ports."""
        self._source = source
        self._records = records
        self._snapshots = snapshots
        self._verification = verification
        self._money = money

    def __call__(self, run_id: str) -> InMoney:
        """Walk the run's records in step.

        :raises Misconfigured: preflight never ran for the organisation.
        """
        found = InMoney()
        for entity in WITH_MONEY:
            after = None
            while ids := self._verification.in_step(run_id, entity, after, AT_ONCE):
                after = ids[-1]
                self._add(entity, ids, found)
        return found

    def _add(self, entity: EntityType, ids: Sequence[str], found: InMoney) -> None:
        views = self._records.views(entity, ids)
        rows = self._source.rows_after(entity, None, len(ids), Only(ids=tuple(ids)))
        shown = self._shown(entity, [view.zoho_id for view in views.values() if view.zoho_id])
        for row, view in _with_views(rows, views):
            remote = shown.get(view.zoho_id or "")
            match row:
                case Service():
                    pair = _of_service(row, view, remote, self._money.rules())
                case Invoice():
                    pair = _of_invoice(row, view, remote)
                    found.tax.add(Pair(row.tax_amount or Decimal(0), _fact(view, "tax")))
                case Payment():
                    pair = Pair(row.amount or Decimal(0), _fact(view, "amount"))
                case _:
                    continue
            found.entities[entity].add(pair)

    def _shown(
        self, entity: EntityType, zoho_ids: Sequence[str]
    ) -> Mapping[str, RemoteSubscription | RemoteInvoice]:
        snapshot = (
            None if entity is EntityType.PAYMENT else self._snapshots.latest(entity, complete=True)
        )
        if snapshot is None:
            return {}
        rows: Sequence[RemoteSubscription | RemoteInvoice] = (
            self._snapshots.subscriptions(snapshot.snapshot_id, zoho_ids=zoho_ids)
            if entity is EntityType.SUBSCRIPTION
            else self._snapshots.invoices(snapshot.snapshot_id, zoho_ids=zoho_ids)
        )
        return {row.zoho_id: row for row in rows}


def _with_views(
    rows: Sequence[SourceRow], views: Mapping[str, RecordView]
) -> Iterator[tuple[SourceRow, RecordView]]:
    for row in rows:
        view = views.get(row.id)
        if view is not None:
            yield row, view


def _of_service(
    service: Service,
    view: RecordView,
    remote: RemoteSubscription | RemoteInvoice | None,
    rules: MoneyRules,
) -> Pair:
    """Give a month of a service, tax included.

    A changed price that Zoho keeps for the end of the term counts as it is kept.
    """
    ours = gross_price(service, rules)
    amount = remote.amount if isinstance(remote, RemoteSubscription) else None
    if amount == ours:
        return Pair(ours, amount)
    sent = _sent(service, rules)
    kept = {_fact(view, "price"), _fact(view, "scheduled_price")}
    if sent is not None and (amount is None or view.facts.get("scheduled_price")) and sent in kept:
        return Pair(ours, ours)
    return Pair(ours, amount if amount is not None else _fact(view, "price"))


def _sent(service: Service, rules: MoneyRules) -> Decimal | None:
    """Give the price as it is sent: with or without tax, as the organisation's are."""
    try:
        return rules.price_to_send(
            price_of(service.monthly_price, "monthly_price", rules.precision),
            includes_tax=service.price_includes_tax,
            column="monthly_price",
        )
    except Unsendable:
        return None


def _of_invoice(
    invoice: Invoice, view: RecordView, remote: RemoteSubscription | RemoteInvoice | None
) -> Pair:
    """Give the total, whether or not the credits that Zoho applied by itself are off its figure."""
    ours = invoice.total_amount or Decimal(0)
    if not isinstance(remote, RemoteInvoice):
        return Pair(ours, _fact(view, "total"))
    readings = remote.total_before_credits()
    return Pair(ours, ours if ours in readings else next(iter(readings), _fact(view, "total")))


def _fact(view: RecordView, name: str) -> Decimal | None:
    value = view.facts.get(name)
    return None if value in (None, "") else Decimal(str(value))
