"""Both sides' books held against each other: debtors and discrepancies, in one walk by customers.

    customers ──► their services, invoices, payments   (our rows)
                  their records                        (what is whose)
                  their rows in the newest snapshots   (Zoho's)
              ──► Debtor                               for the control total
              ──► Discrepancy ...                      for the findings

No call is made: before a run it is as true as the run's snapshot, after it as verify's.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, cast

from billing_sync.domain.customers import TEST_ACCOUNT
from billing_sync.domain.debtors import ControlTotal, Debtor, control_total, owed_on
from billing_sync.domain.discrepancies import (
    Code,
    Discrepancy,
    full_and_pro_rata,
    numbers_in_zohos_series,
    paid_here_open_there,
    paid_without_payments,
    prices_that_differ_from_invoices,
    services_without_subscription,
    subscriptions_without_service,
)
from billing_sync.domain.errors import Unsendable
from billing_sync.domain.money import price_of, total_of
from billing_sync.domain.ownership import (
    Owner,
    Ownership,
    RecurringInvoicesOwner,
    owner_of,
    word_of,
)
from billing_sync.domain.payments import Earlier, Share, shares_of
from billing_sync.domain.remote import RemoteInvoice, RemoteSubscription
from billing_sync.domain.source import Customer, Invoice, Payment, PaymentAllocation, Service
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.steps import Only
from billing_sync.domain.subscriptions import ENDED
from billing_sync.domain.tax import MoneyRules
from billing_sync.ports import (
    Organisations,
    Owed,
    RecordView,
    Snapshots,
    Source,
    SyncRecords,
    Verification,
)
from billing_sync.services.invoices import spans_of
from billing_sync.services.money_rules import OrganisationMoney
from billing_sync.services.subscriptions import priced

CUSTOMERS_AT_ONCE: Final = 200
ROWS_AT_ONCE: Final = 500


@dataclass
class BothSides:
    """What a walk found. `waiting` is owed here on invoices that Zoho has yet to raise.

    `could_be_reminded` counts customers with an e-mail address and an invoice past due, whom Zoho
    may write to by its own settings once it holds that invoice.
    """

    debtors: list[Debtor] = field(default_factory=list)
    discrepancies: list[Discrepancy] = field(default_factory=list)
    waiting: Decimal = Decimal(0)
    could_be_reminded: int = 0

    @property
    def control_total(self) -> ControlTotal:
        """The debtors' control total."""
        return control_total(self.debtors)


@dataclass(frozen=True, slots=True)
class _Snapshots:
    """The newest complete walks, where there are any."""

    customers: int | None
    subscriptions: int | None
    invoices: int | None


@dataclass
class _Part:
    """Some customers, with all that is theirs on both sides."""

    customers: Sequence[Customer]
    services: dict[str, Service]
    invoices: dict[str, Invoice]
    payments: list[Payment]
    allocations: Mapping[str, Sequence[PaymentAllocation]]
    customer_views: Mapping[str, RecordView]
    service_views: Mapping[str, RecordView]
    invoice_views: Mapping[str, RecordView]
    payment_views: Mapping[str, RecordView]
    owed: Mapping[str, Owed]
    subscriptions: Mapping[str, RemoteSubscription]
    raised: Mapping[str, RemoteInvoice]

    def is_sent(self, customer_id: str) -> bool:
        """Say whether a customer is one for Zoho at all."""
        view = self.customer_views.get(customer_id)
        return view is None or view.state is not State.SKIPPED


class CompareBooks:
    """Hold both sides' books against each other, in our own tables."""

    def __init__(
        self,
        source: Source,
        records: SyncRecords,
        snapshots: Snapshots,
        verification: Verification,
        organisations: Organisations,
        money: OrganisationMoney,
        ownership: Ownership,
    ) -> None:
        """Keep the ports and what decides whose an invoice is."""
        self._source = source
        self._records = records
        self._snapshots = snapshots
        self._verification = verification
        self._organisations = organisations
        self._money = money
        self._ownership = ownership

    def __call__(self, only: Only, *, days: int = 0) -> BothSides:
        """Walk the customers; of a run's restriction only the accounts matter here.

        :param days: how many days from now the last of what changed here will be sent.
        :raises Misconfigured: preflight never ran for the organisation.
        """
        found = BothSides()
        taken = _Snapshots(*(self._newest(entity) for entity in _WALKED))
        rules, today = self._money.rules(), self._organisations.today()
        accounts, cursor = Only(accounts=only.accounts), None
        while customers := self._source.customers_after(cursor, CUSTOMERS_AT_ONCE, accounts):
            cursor = customers[-1].id
            part = self._part(customers, taken)
            self._debtors(part, rules, today, found)
            found.discrepancies += self._of_services(part, taken, rules, today, days)
            found.discrepancies += self._of_money(part, rules)
        found.discrepancies += self._of_all(taken, today)
        return found

    def _newest(self, entity: EntityType) -> int | None:
        view = self._snapshots.latest(entity, complete=True)
        return None if view is None else view.snapshot_id

    # ------------------------------------------------------------------------------- reading

    def _part(self, customers: Sequence[Customer], taken: _Snapshots) -> _Part:
        sent = [each for each in customers if each.account_type != TEST_ACCOUNT]
        accounts = tuple(each.account_number for each in sent if each.account_number)
        services = cast("list[Service]", list(self._rows(EntityType.SUBSCRIPTION, accounts)))
        invoices = cast("list[Invoice]", list(self._rows(EntityType.INVOICE, accounts)))
        payments = cast("list[Payment]", list(self._rows(EntityType.PAYMENT, accounts)))
        views = {
            entity: self._records.views(entity, [row.id for row in rows])
            for entity, rows in (
                (EntityType.CUSTOMER, sent),
                (EntityType.SUBSCRIPTION, services),
                (EntityType.INVOICE, invoices),
                (EntityType.PAYMENT, payments),
            )
        }
        in_zoho = _zoho_ids(views[EntityType.CUSTOMER])
        subscriptions: list[RemoteSubscription] = []
        if taken.subscriptions is not None:
            subscriptions = self._snapshots.subscriptions(
                taken.subscriptions,
                zoho_ids=_zoho_ids(views[EntityType.SUBSCRIPTION]),
                references=[row.id for row in services],
                customer_zoho_ids=in_zoho,
            )
        raised: list[RemoteInvoice] = []
        if taken.invoices is not None:
            raised = self._snapshots.invoices(
                taken.invoices, zoho_ids=_zoho_ids(views[EntityType.INVOICE])
            )
        return _Part(
            customers=sent,
            services={row.id: row for row in services},
            invoices={row.id: row for row in invoices},
            payments=payments,
            allocations=self._source.shares([row.id for row in payments]),
            customer_views=views[EntityType.CUSTOMER],
            service_views=views[EntityType.SUBSCRIPTION],
            invoice_views=views[EntityType.INVOICE],
            payment_views=views[EntityType.PAYMENT],
            owed=(
                {} if taken.customers is None else self._verification.owed(taken.customers, in_zoho)
            ),
            subscriptions={row.zoho_id: row for row in subscriptions},
            raised={row.zoho_id: row for row in raised},
        )

    def _rows(self, entity: EntityType, accounts: tuple[str, ...]) -> Iterator[object]:
        cursor = None
        while accounts:
            rows = self._source.rows_after(entity, cursor, ROWS_AT_ONCE, Only(accounts=accounts))
            if not rows:
                return
            yield from rows
            cursor = rows[-1].id

    # ------------------------------------------------------------------------------- debtors

    def _debtors(self, part: _Part, rules: MoneyRules, today: date, found: BothSides) -> None:
        owed: dict[str, Decimal] = defaultdict(Decimal)
        past_due: set[str] = set()
        for invoice in part.invoices.values():
            amount = max(self._owed_on(invoice, part), Decimal(0))
            view = part.invoice_views.get(invoice.id)
            if view is not None and view.state is State.WAITING:
                found.waiting += amount
                continue
            owed[invoice.customer_id] += amount
            if amount and invoice.due_date is not None and invoice.due_date < today:
                past_due.add(invoice.customer_id)
        credit: dict[str, Decimal] = defaultdict(Decimal)
        for payment, shares in self._shares(part, rules):
            view = part.payment_views.get(payment.id)
            if view is None or view.state is not State.SKIPPED:
                over = (payment.amount or Decimal(0)) - total_of(share.amount for share in shares)
                credit[payment.customer_id] += over
        for customer in part.customers:
            if not part.is_sent(customer.id):
                continue
            view = part.customer_views.get(customer.id)
            there = part.owed.get("" if view is None else view.zoho_id or "", _NOTHING)
            found.debtors.append(
                Debtor(
                    customer.account_number or customer.id,
                    owed[customer.id],
                    credit[customer.id],
                    there.outstanding,
                    there.unused_credits,
                )
            )
            if customer.id in past_due and (customer.email or "").strip():
                found.could_be_reminded += 1

    def _owed_on(self, invoice: Invoice, part: _Part) -> Decimal:
        """Give what Zoho should show as open: nothing of what is not sent there."""
        view = part.invoice_views.get(invoice.id)
        if view is not None and view.state is State.SKIPPED:
            return Decimal(0)
        if view is not None:
            return owed_on(invoice, Owner.ONE_OFF)
        service_view = part.service_views.get(invoice.service_id or "")
        try:
            owner = owner_of(
                invoice,
                () if service_view is None else spans_of(service_view.facts),
                self._ownership,
            )
        except Unsendable:
            # It should be there, and will be refused: a difference that a person sees.
            owner = Owner.ONE_OFF
        return owed_on(invoice, owner)

    def _shares(self, part: _Part, rules: MoneyRules) -> Iterator[tuple[Payment, Sequence[Share]]]:
        """Give each completed payment with its shares by our books; of one refused there are none.

        The payments that name an invoice are of its customer, and so in the same part.
        """
        completed = [row for row in part.payments if word_of(row.status) == "completed"]
        on_invoice: dict[str, list[Earlier]] = defaultdict(list)
        for payment in completed:
            if payment.completed_at is None:
                continue
            allocations = part.allocations.get(payment.id, ())
            named = (
                [(each.invoice_id, each.amount) for each in allocations]
                if allocations
                else [(payment.invoice_id or "", payment.amount)]
            )
            for invoice_id, amount in named:
                if amount is not None and amount.is_finite() and amount > 0:
                    on_invoice[invoice_id].append(Earlier(payment.id, payment.completed_at, amount))
        for payment in completed:
            invoice = part.invoices.get(payment.invoice_id or "")
            try:
                shares = shares_of(
                    payment,
                    part.allocations.get(payment.id, ()),
                    invoice_total=None if invoice is None else invoice.total_amount,
                    on_invoice=on_invoice.get(payment.invoice_id or "", ()),
                    precision=rules.precision,
                )
            except Unsendable:
                continue
            if payment.amount is not None and payment.amount.is_finite():
                yield payment, shares

    # ---------------------------------------------------------------- services, subscriptions

    def _of_services(
        self, part: _Part, taken: _Snapshots, rules: MoneyRules, today: date, days: int
    ) -> list[Discrepancy]:
        by_service: dict[str, list[Invoice]] = defaultdict(list)
        for invoice in part.invoices.values():
            if invoice.service_id is not None and part.is_sent(invoice.customer_id):
                by_service[invoice.service_id].append(invoice)
        spans = {id_: spans_of(view.facts) for id_, view in part.service_views.items()}
        out = full_and_pro_rata(by_service, spans, self._ownership)
        if self._ownership.recurring_invoices is not RecurringInvoicesOwner.ZOHO:
            return out
        services = [row for row in part.services.values() if part.is_sent(row.customer_id)]
        out += prices_that_differ_from_invoices(services, by_service, self._ownership, rules)
        if taken.subscriptions is None:
            return out
        held = {
            view.zoho_id: id_
            for id_, view in part.service_views.items()
            if view.zoho_id is not None
        }
        live = [row for row in part.subscriptions.values() if row.status not in ENDED]
        subscribed = {held.get(row.zoho_id, row.reference_id) for row in live}
        return [
            *out,
            *services_without_subscription(services, subscribed, rules),
            *subscriptions_without_service(
                live,
                part.services,
                held,
                today=today,
                time_zone=rules.time_zone,
            ),
            *self._late(services, part, rules, today + timedelta(days=days)),
        ]

    def _late(
        self, services: Sequence[Service], part: _Part, rules: MoneyRules, sent_on: date
    ) -> Iterator[Discrepancy]:
        """Find prices that Zoho's next invoice will not show: it renews before they are sent."""
        for service in services:
            view = part.service_views.get(service.id)
            row = part.subscriptions.get((view and view.zoho_id) or "")
            if row is None or row.status in ENDED or word_of(service.status) != "active":
                continue
            renews_on = row.next_billing_at or row.current_term_ends_at
            if renews_on is None or renews_on > sent_on or row.end_of_term:
                continue
            try:
                ours = rules.price_to_send(
                    price_of(service.monthly_price, "monthly_price", rules.precision),
                    includes_tax=service.price_includes_tax,
                    column="monthly_price",
                )
            except Unsendable:
                continue
            theirs = priced(row, rules).price
            if theirs is not None and theirs != ours:
                yield Discrepancy(Code.LATE_PRICE_CHANGE, service.id, theirs - ours)

    # ---------------------------------------------------------------------- invoices, payments

    def _of_money(self, part: _Part, rules: MoneyRules) -> list[Discrepancy]:
        sent = [
            invoice
            for invoice in part.invoices.values()
            if part.is_sent(invoice.customer_id)
            and (
                (view := part.invoice_views.get(invoice.id)) is None or view.state != State.SKIPPED
            )
        ]
        pairs = [
            (invoice, raised)
            for invoice in sent
            if (view := part.invoice_views.get(invoice.id)) is not None
            and (raised := part.raised.get(view.zoho_id or "")) is not None
        ]
        paid: dict[str, Decimal] = defaultdict(Decimal)
        for _, shares in self._shares(part, rules):
            for share in shares:
                paid[share.invoice_id] += share.amount
        return [*paid_here_open_there(pairs), *paid_without_payments(sent, paid)]

    # ------------------------------------------------------------------------------ as a whole

    def _of_all(self, taken: _Snapshots, today: date) -> Iterator[Discrepancy]:
        """Find what no walk by customers shows: what stands twice, is gone, or collides."""
        for record in self._verification.gone_in_zoho():
            yield Discrepancy(Code.GONE_IN_ZOHO, str(record))
        if taken.customers is not None:
            for account in self._verification.duplicates(taken.customers):
                yield Discrepancy(Code.TWO_CUSTOMERS_FOR_ONE_ACCOUNT, account)
            for zoho_id in self._verification.of_two_accounts(taken.customers):
                yield Discrepancy(Code.ONE_CUSTOMER_FOR_TWO_ACCOUNTS, zoho_id)
        if taken.subscriptions is not None:
            for service_id in self._verification.same_reference(taken.subscriptions):
                yield Discrepancy(Code.TWO_SUBSCRIPTIONS_FOR_ONE_SERVICE, service_id)
            yield from self._of_vanished(taken.subscriptions, today)
        if taken.invoices is not None:
            for number in self._verification.same_number(taken.invoices):
                yield Discrepancy(Code.ONE_NUMBER_TWICE, number)
            yield from numbers_in_zohos_series(*self._verification.numbers_of_both(taken.invoices))

    def _of_vanished(self, snapshot_id: int, today: date) -> list[Discrepancy]:
        """Find what bills on for a service whose row is gone here."""
        views = self._records.views(
            EntityType.SUBSCRIPTION,
            [key.entity_id for key in self._source.vanished(EntityType.SUBSCRIPTION)],
        )
        held = {view.zoho_id: id_ for id_, view in views.items() if view.zoho_id is not None}
        rows = self._snapshots.subscriptions(snapshot_id, zoho_ids=list(held)) if held else []
        return subscriptions_without_service(
            rows, {}, held, today=today, time_zone=self._organisations.time_zone()
        )


_WALKED: Final = (EntityType.CUSTOMER, EntityType.SUBSCRIPTION, EntityType.INVOICE)
_NOTHING: Final = Owed(Decimal(0), Decimal(0))


def _zoho_ids(views: Mapping[str, RecordView]) -> list[str]:
    return [view.zoho_id for view in views.values() if view.zoho_id is not None]
