"""The subscriptions' rules for the engine: services begun, changed at the end of a term, ended.

What is to be done is decided by `domain.subscriptions.decide`; here it becomes calls and steps.
"""

from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from billing_sync.domain.comparing import fingerprint
from billing_sync.domain.customers import TEST_ACCOUNT
from billing_sync.domain.errors import GoneInZoho, Unsendable
from billing_sync.domain.money import figure
from billing_sync.domain.ownership import Ownership, RecurringInvoicesOwner, word_of
from billing_sync.domain.reading import Sendable, Skip
from billing_sync.domain.remote import RemoteInvoice, RemoteSubscription
from billing_sync.domain.source import Package, Service
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.subscriptions import (
    ENDED,
    ENDING,
    Decision,
    Ending,
    LateChange,
    ServiceReading,
    decide,
    late_change,
    match_subscription,
    read_service,
    span_of,
    start_of,
    subscription_differences,
)
from billing_sync.domain.subscriptions import Step as ZohoStep
from billing_sync.domain.tax import MoneyRules, Prices, exclusive_price_of
from billing_sync.ports import (
    BillingApi,
    Intent,
    Organisations,
    Permit,
    RecordKey,
    RecordView,
    Snapshots,
    SyncRecords,
    Write,
)
from billing_sync.ports import Source as SourcePort
from billing_sync.services.customers import found_of
from billing_sync.services.money_rules import OrganisationMoney
from billing_sync.services.newest_first import newest_first, since_there
from billing_sync.services.rules import (
    Anew,
    Do,
    Done,
    EntityRules,
    Found,
    Remote,
    Source,
    Step,
    Stuck,
    Wait,
    differs_in_zoho,
)
from billing_sync.services.take_rows import TakeRows

BILLED: Final = frozenset(("active", "suspended"))
"""Statuses of a service that has a subscription, or keeps the one that it has."""

UPDATES: Final = frozenset((ZohoStep.UPDATE_AT_END, ZohoStep.UPDATE_NOW))

SPANS_BY_ID: Final = "spans_by_id"


class SubscriptionRules(EntityRules):
    """Services, recognised by `reference_id`, which is the service's id."""

    entity = EntityType.SUBSCRIPTION

    def __init__(
        self,
        source: SourcePort,
        snapshots: Snapshots,
        api: BillingApi,
        records: SyncRecords,
        organisations: Organisations,
        money: OrganisationMoney,
        ownership: Ownership,
        rows: TakeRows[RemoteSubscription],
    ) -> None:
        """Keep the ports; `rows` takes Zoho's subscriptions into the snapshots."""
        self._source = source
        self._snapshots = snapshots
        self._api = api
        self._records = records
        self._organisations = organisations
        self._money = money
        self._ownership = ownership
        self._rows = rows
        self._proved: set[tuple[object, ...]] = set()

    # ---------------------------------------------------------------------------------- source

    def parents(self, entity_id: str) -> tuple[RecordKey, ...]:
        """Name its customer and its plan, but for what is not sent: that needs no plan."""
        service = self._source.service(entity_id)
        if service is None or not self._is_billed(service):
            return ()
        customer = RecordKey(EntityType.CUSTOMER, service.customer_id)
        package = self._package(service)
        if package is None or not (package.sku or "").strip() or self._customer(service)[1]:
            return (customer,)
        return (customer, RecordKey(EntityType.PLAN, package.id))

    def read(self, entity_id: str) -> Source | None:
        """Read the service as it would be sent now, begun on the day that today makes it."""
        service = self._source.service(entity_id)
        return None if service is None else self._read(service)

    def _read(self, service: Service, not_before: date | None = None) -> Source:
        customer_zoho_id, is_left_out = self._customer(service)
        if is_left_out:
            return _skipped(service, "its customer is not sent")
        view = self._records.view(RecordKey(self.entity, service.id))
        package = self._package(service)
        try:
            reading = read_service(
                service,
                package,
                self._money.rules(),
                self._ownership,
                starts_at=self._starts_at(service, not_before or _former_end(view)),
                customer_zoho_id=customer_zoho_id,
            )
            if isinstance(reading, Sendable) and package is not None:
                self._refuse_another_code(package, reading)
        except Unsendable as refused:
            return _refused(service, refused)
        return self._source_of(service, reading, has_one=view is not None and bool(view.zoho_id))

    def _source_of(self, service: Service, reading: ServiceReading, *, has_one: bool) -> Source:
        match reading:
            case Skip():
                return Source(service, service.updated_at, reading.fingerprint, skip=reading.reason)
            case Ending():
                return Source(
                    service,
                    service.updated_at,
                    reading.fingerprint,
                    key=service.id,
                    reading=reading,
                    withdrawn=self._decide(service, reading, None).why,
                )
            case Sendable():
                nothing = self._decide(service, reading, None)
                is_made = has_one or nothing.step is ZohoStep.CREATE
                return Source(
                    service,
                    service.updated_at,
                    reading.fingerprint,
                    key=reading.key,
                    payload=reading.payload,
                    figures=reading.figures,
                    reading=reading,
                    withdrawn=None if is_made else nothing.why,
                )

    def _is_billed(self, service: Service) -> bool:
        return (
            self._ownership.recurring_invoices is RecurringInvoicesOwner.ZOHO
            and word_of(service.status) in BILLED
        )

    def _starts_at(self, service: Service, not_before: date | None) -> date:
        today = self._organisations.today()
        if not self._is_billed(service):
            # Of what is not begun no day is sent, and none need be computable.
            return today
        return start_of(
            service,
            self._source.invoices_of_service(service.id),
            self._ownership,
            today=today,
            not_before=not_before,
        )

    def _package(self, service: Service) -> Package | None:
        return None if service.package_id is None else self._source.package(service.package_id)

    def _customer(self, service: Service) -> tuple[str | None, bool]:
        """Give the customer's id in Zoho, and whether it is one that is never there.

        A plan asks before the customer's own record says so.
        """
        view = self._records.view(RecordKey(EntityType.CUSTOMER, service.customer_id))
        if view is not None and view.zoho_id is not None:
            return view.zoho_id, view.state is State.SKIPPED
        if view is not None and view.state is State.SKIPPED:
            return None, True
        customer = self._source.customer(service.customer_id)
        return None, customer is not None and customer.account_type == TEST_ACCOUNT

    def _refuse_another_code(self, package: Package, reading: Sendable) -> None:
        plan = self._records.view(RecordKey(EntityType.PLAN, package.id))
        code = reading.figures["plan_code"]
        if plan is not None and plan.zoho_id not in {None, code}:
            raise Unsendable(
                "plan_code_changed",
                "package_id",
                f"The sku of package_id is {code}; its plan in Zoho is {plan.zoho_id}.",
            )

    # ------------------------------------------------------------------------------------ find

    def find(self, source: Source) -> Found:
        """Look in a complete and young snapshot; where there is none, take one now."""
        return self._among(source, self._rows.young_snapshot())

    def foresee(self, source: Source) -> Found:
        """Look in the newest complete snapshot, of whatever age."""
        snapshot = self._snapshots.latest(self.entity, complete=True)
        return Found() if snapshot is None else self._among(source, snapshot.snapshot_id)

    def _among(self, source: Source, snapshot_id: int) -> Found:
        customer_zoho_id = source.payload.get("customer_id", "")
        rows = self._snapshots.subscriptions(
            snapshot_id,
            references=[source.key],
            customer_zoho_ids=[customer_zoho_id] if customer_zoho_id else [],
        )
        view = self._records.view(RecordKey(self.entity, source.key))
        match = match_subscription(
            source.key,
            source.figures["plan_code"],
            customer_zoho_id,
            rows,
            self._records.holders(self.entity, [row.zoho_id for row in rows]),
            former_ids=() if view is None else view.former_zoho_ids,
        )
        return found_of(match.kind, match.zoho_ids, match.why)

    def shown(self, zoho_id: str) -> Remote | None:
        """Give it as the newest snapshot shows it, with the price that its amount tells."""
        snapshot = self._snapshots.latest(self.entity, complete=True)
        if snapshot is None:
            return None
        rows = self._snapshots.subscriptions(snapshot.snapshot_id, zoho_ids=[zoho_id])
        return _remote(priced(rows[0], self._money.rules())) if rows else None

    def look_up(self, intent: Intent) -> list[Remote]:
        """Walk Zoho's subscriptions, newest first, back to before the intent.

        By equality of the reference, which rows of the list show; one without any is read whole,
        for a row may be flatter than it is documented. What the service had before is not what
        was made now.
        """
        view = self._records.view(RecordKey(self.entity, intent.key))
        former = () if view is None else view.former_zoho_ids
        hits: dict[str, Remote] = {}
        for row in newest_first(
            lambda page: self._api.list_subscriptions(page, newest_first=True),
            since_there(intent.sent_at, self._organisations),
            lambda row: row.created_time,
        ):
            if row.reference_id not in {"", intent.key} or row.zoho_id in former:
                continue
            try:
                whole = self._api.get_subscription(row.zoho_id)
            except GoneInZoho:
                continue
            if whole.reference_id == intent.key:
                hits[whole.zoho_id] = _remote(whole)
        return list(hits.values())

    # ------------------------------------------------------------------------------------ calls

    def make_ready(self) -> None:
        """Have a live token at hand."""
        self._api.make_ready()

    def get(self, zoho_id: str) -> Remote:
        """Read the subscription by id, with the change that waits for the end of its term."""
        return _remote(self._api.get_subscription(zoho_id))

    def send(self, write: Write, permit: Permit) -> Remote:
        """Make the call of the step."""
        if write.zoho_id is None:
            return _remote(self._api.create_subscription(write.payload, permit=permit))
        zoho_id = write.zoho_id
        match ZohoStep(write.step):
            case ZohoStep.UPDATE_AT_END | ZohoStep.UPDATE_NOW:
                changed = self._api.update_subscription(zoho_id, write.payload, permit=permit)
            case ZohoStep.CANCEL_AT_END | ZohoStep.CANCEL_NOW as step:
                at_end = step is ZohoStep.CANCEL_AT_END
                changed = self._api.cancel_subscription(zoho_id, at_end=at_end, permit=permit)
            case ZohoStep.REACTIVATE:
                changed = self._api.reactivate_subscription(zoho_id, permit=permit)
            case _:
                raise ValueError(f"{write.step} is no call on a subscription")
        return _remote(changed)

    # ------------------------------------------------------------------------------------ steps

    def looks_first(self) -> bool:
        """Say yes: what may be done with a subscription is its status's to say."""
        return True

    def next_step(self, source: Source, remote: Remote, *, after: str | None = None) -> Step:
        """Carry out what the domain decides, one call at a time."""
        found: RemoteSubscription = remote.body
        if after == ZohoStep.CREATE and (stuck := self._new_one_differs(source, remote)):
            return stuck
        if _waits_as_it_should(source.reading, found, is_answer=after in UPDATES):
            return Done()
        decision = self._decide(source.row, source.reading, found)
        if decision.step == after:
            differing = subscription_differences(decision.figures, found)
            return differs_in_zoho(
                differing or ["status"],
                None if differing else f"Zoho answered «{after}», and it is {found.status}.",
            )
        match decision.step:
            case ZohoStep.NOTHING:
                return Done()
            case ZohoStep.CREATE:
                return Anew(self._read(source.row, decision.after))
            case ZohoStep.WAIT:
                day = decision.due or self._organisations.today()
                return Wait(
                    f"the term from {day}",
                    datetime.combine(day, time.min, self._organisations.time_zone()),
                    f"It is {decision.why}; it is looked at again on {day}.",
                )
            case _:
                body = decision.body
                if decision.step in UPDATES and found.reference_id != source.key:
                    # Linked by a person: from now on its reference says whose it is.
                    body = {**body, "reference_id": source.key}
                return Do(decision.step.value, body, decision.figures)

    def _decide(
        self, service: Service, reading: ServiceReading, found: RemoteSubscription | None
    ) -> Decision:
        return decide(
            reading,
            found,
            is_active=word_of(service.status) == "active",
            today=self._organisations.today(),
        )

    def _new_one_differs(self, source: Source, remote: Remote) -> Stuck | None:
        differing = self.figures_differ(source.figures, remote)
        if differing:
            return differs_in_zoho(differing)
        return self._prices_differ(Decimal(source.figures["price"]), remote.body)

    def _prices_differ(self, price: Decimal, made: RemoteSubscription) -> Stuck | None:
        """Prove, by the first invoice that Zoho raises, how it reads the prices that we send.

        No API tells whether prices hold their tax, and how it is rounded: a person confirmed it.
        Once in the life of a process is enough, and costs one read.
        """
        rules = self._money.rules()
        setting = (rules.prices, rules.rounding, rules.precision)
        if not made.child_invoice_id or setting in self._proved:
            return None
        try:
            invoice = self._api.get_invoice(made.child_invoice_id)
        except GoneInZoho:
            return None  # Deleted meanwhile: it proves nothing, and the next one is asked.
        sentence = _price_setting_differs(price, invoice, rules)
        if sentence is None:
            self._proved.add(setting)
            return None
        return Stuck(State.MISMATCH, "prices_setting_differs", sentence, "monthly_price")

    # -------------------------------------------------------------------------------- compare

    def figures_differ(self, figures: dict[str, Any], remote: Remote) -> list[str]:
        """Compare plan, price, start and reference."""
        return subscription_differences(figures, remote.body)

    def fields_differ(self, source: Source, remote: Remote) -> list[str]:
        """Compare what lasts: plan, price and reference; for a cancelled service, the status.

        Plan and price that wait for the end of the term count, where they were read.
        """
        found: RemoteSubscription = remote.body
        if isinstance(source.reading, Sendable):
            if found.status in ENDED or found.status == ENDING:
                return ["status"]
            return subscription_differences(_lasting(source.reading), found)
        is_over = found.status in ENDED or found.status == ENDING
        return [] if is_over else ["status"]

    def facts(self, remote: Remote, former: Mapping[str, Any]) -> dict[str, Any]:
        """Give plan, price, first day, next renewal, and every day that was ever billed.

        `spans` are of all subscriptions that the service had, `spans_by_id` the same by Zoho id.
        """
        found: RemoteSubscription = remote.body
        spans: dict[str, list[str | None]] = dict(former.get(SPANS_BY_ID, {}))
        known = spans.pop(found.zoho_id, None)
        span = span_of(found)
        starts_on = None if found.starts_on is None else found.starts_on.isoformat()
        if span is not None:
            if known is not None and found.starts_at is None and found.activated_at is None:
                # Only the running term is shown, which moves on with each renewal.
                starts_on = known[0]
            spans[found.zoho_id] = [starts_on, _iso(span.ends_before)]
        renews_on = found.next_billing_at or found.current_term_ends_at
        return {
            "plan_code": found.plan_code or former.get("plan_code", ""),
            "price": former.get("price") if found.price is None else figure(found.price),
            "scheduled_price": (
                figure(found.scheduled_price)
                if found.end_of_term and found.scheduled_price is not None
                else None
            ),
            "starts_on": starts_on,
            "renews_on": _iso(renews_on) if found.status not in ENDED else None,
            "spans": sorted(spans.values(), key=lambda days: days[0] or ""),
            SPANS_BY_ID: spans,
        }

    # ------------------------------------------------------------------------------------- log

    def masked(self, write: Write) -> dict[str, Any]:
        """Show plan, price and days: nothing of the customer."""
        plan = write.payload.get("plan", {})
        shown = {
            "step": write.step,
            "reference_id": write.key,
            "plan_code": plan.get("plan_code"),
            "price": _text(plan.get("price")),
            "starts_at": write.payload.get("starts_at"),
            "end_of_term": write.payload.get("end_of_term"),
        }
        return {name: value for name, value in shown.items() if value is not None}

    def masked_answer(self, remote: Remote) -> dict[str, Any]:
        """Show id, status, plan, price and days."""
        found: RemoteSubscription = remote.body
        return {
            "subscription_id": found.zoho_id,
            "status": found.status,
            "plan_code": found.plan_code,
            "price": _text(found.price),
            "starts_on": _iso(found.starts_on),
            "next_billing_at": _iso(found.next_billing_at),
            "end_of_term": found.end_of_term,
        }


# ------------------------------------------------------------------------------ for the plan


def late_change_of(source: Source, remote: Remote, *, sent_on: date) -> LateChange | None:
    """Say whether a change that is sent on a day misses the next renewal, and by how much money.

    `remote` is the one that `SubscriptionRules.shown` gives, priced.
    """
    if not isinstance(source.reading, Sendable):
        return None
    return late_change(source.reading, remote.body, sent_on=sent_on)


def priced(row: RemoteSubscription, rules: MoneyRules) -> RemoteSubscription:
    """Give a row of a list its price: it shows the amount of a term, tax included, alone.

    Left as it is where the amount is not shown either, or the tax is not known.
    """
    if row.price is not None or row.amount is None:
        return row
    if rules.prices is Prices.INCLUSIVE:
        return row.model_copy(update={"price": row.amount})
    try:
        percentage = rules.taxes.of_price("amount").percentage
    except Unsendable:
        return row
    price = exclusive_price_of(row.amount, percentage, rules.precision)
    return row.model_copy(update={"price": price})


# ---------------------------------------------------------------------------------- readings


def _remote(subscription: RemoteSubscription) -> Remote:
    return Remote(subscription.zoho_id, subscription)


def _skipped(service: Service, reason: str) -> Source:
    return Source(service, service.updated_at, fingerprint({"skipped": reason}), skip=reason)


def _refused(service: Service, refused: Unsendable) -> Source:
    # The sentence holds both values: another price that cannot be sent is another refusal.
    content = {"refused": refused.code, "field": refused.field, "sentence": refused.sentence}
    return Source(service, service.updated_at, fingerprint(content), refused=refused)


def _former_end(view: RecordView | None) -> date | None:
    """Give the first day that none of the service's former subscriptions billed, where known."""
    if view is None or view.zoho_id is not None:
        return None
    spans = view.facts.get(SPANS_BY_ID, {})
    ends = [spans[each][1] for each in view.former_zoho_ids if each in spans]
    return max((date.fromisoformat(end) for end in ends if end), default=None)


def _lasting(reading: Sendable) -> dict[str, Any]:
    figures = {name: value for name, value in reading.figures.items() if name != "starts_at"}
    return {**figures, "at_end_of_term": True}


def _waits_as_it_should(
    reading: ServiceReading, found: RemoteSubscription, *, is_answer: bool
) -> bool:
    """Say whether the change that Zoho keeps for the end of the term is the one that is wanted.

    An answer says only that one is kept; read by id, what it is must be seen.
    """
    if not isinstance(reading, Sendable) or not found.end_of_term:
        return False
    if found.status in ENDED or found.status == ENDING:
        return False
    is_seen = is_answer or found.scheduled_price is not None
    return is_seen and not subscription_differences(_lasting(reading), found)


def _price_setting_differs(price: Decimal, invoice: RemoteInvoice, rules: MoneyRules) -> str | None:
    ours = rules.invoice_of_price(price)
    totals = invoice.total_before_credits()
    tax = ours.tax if invoice.tax_total is None else invoice.tax_total
    if not totals or (ours.total in totals and ours.tax == tax):
        return None
    sent = figure(price, rules.precision)
    return (
        f"For a price of {sent} Zoho's invoice is {_figures(totals[0], tax, rules)}; with prices"
        f" {rules.prices} of tax it would be {_figures(ours.total, ours.tax, rules)}."
    )


def _figures(total: Decimal, tax: Decimal, rules: MoneyRules) -> str:
    return f"{figure(total, rules.precision)}, of which tax {figure(tax, rules.precision)}"


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _text(amount: object) -> str | None:
    return None if amount is None else str(amount)
