"""The subscriptions of one organisation, and what the calendar brings about for them.

Facts on dates are inferred where Zoho does not document them: a term ends on the day on which the
next one is billed (a switch says the day before); a future subscription shows its start as the day
of its next billing; a back-dated one has billed nothing before its current term.
"""

import heapq
from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from ops.fake_zoho import billing_terms
from ops.fake_zoho.body import read, require
from ops.fake_zoho.catalogue import Catalogue
from ops.fake_zoho.config import SeedSubscription
from ops.fake_zoho.custom_fields import read_values
from ops.fake_zoho.customer_book import CustomerBook
from ops.fake_zoho.formats import rounded
from ops.fake_zoho.invoice_body import LineBody
from ops.fake_zoho.invoice_book import InvoiceBook, Raised
from ops.fake_zoho.plan_book import ENDLESS, PlanBook
from ops.fake_zoho.premises import Premises
from ops.fake_zoho.product_book import ProductBook
from ops.fake_zoho.replies import JsonObject, does_not_exist, invalid_value
from ops.fake_zoho.rules import Rule, against
from ops.fake_zoho.shelf import Shelf
from ops.fake_zoho.subscription import ALIVE, Subscription, Terms
from ops.fake_zoho.subscription_body import Postponement, Reference, SubscriptionBody


class SubscriptionBook:
    """No method awaits: each is one commit."""

    def __init__(
        self,
        premises: Premises,
        customers: CustomerBook,
        products: ProductBook,
        plans: PlanBook,
        invoices: InvoiceBook,
    ) -> None:
        self._premises = premises
        self._customers = customers
        self._catalogue = Catalogue(premises, products, plans)
        self._invoices = invoices
        self.shelf: Shelf[Subscription] = Shelf(
            "Subscription",
            premises,
            lambda one: one.subscription_id,
            lambda one: one.customer_id,
        )
        self._numbered = 0
        self.index = self.shelf.index

    def all(self) -> list[Subscription]:
        return self.shelf.all()

    def get(self, subscription_id: str) -> Subscription:
        return self.shelf.get(subscription_id)

    def of_customer(self, customer_id: str) -> list[Subscription]:
        return self.shelf.of(customer_id)

    def of_plan(self, plan_code: str) -> list[Subscription]:
        return [one for one in self.all() if one.terms.plan_code == plan_code]

    def create(self, sent: JsonObject, by: str) -> Subscription:
        body = self._read(sent)
        if bool(body.customer_id) == (body.customer is not None):
            raise against(Rule.CUSTOMER_TWICE) if body.customer_id else invalid_value("customer_id")
        if body.auto_collect:
            raise against(Rule.NO_CARD)
        # All that can be refused is refused before a new customer is made: all or nothing.
        terms = self._catalogue.terms(body.plan)
        if body.customer is not None:
            customer_id = self._customers.create(body.customer, by).customer_id
        else:
            customer_id = body.customer_id
        subscription = self._new(body, customer_id, terms, by)
        subscription.writes = 1
        self.shelf.add(subscription)
        self._start(subscription, body)
        return subscription

    def seed(self, made: SeedSubscription, customer_id: str) -> Subscription:
        body = self._read(made.profile)
        subscription = self._new(
            body, customer_id, self._catalogue.terms(body.plan), made.created_by
        )
        subscription.created_time = subscription.updated_time = made.created_time
        subscription.by_api = False
        self.shelf.add(subscription)
        self._start(subscription, body)
        if made.status != "as_started":
            subscription.status = made.status
        if made.status == "cancelled":
            self._end(subscription, "cancelled", self._premises.today())
        return subscription

    def update(self, subscription_id: str, sent: JsonObject) -> Subscription:
        """Change what was sent. A plan without a price has the plan's own price again."""
        subscription = self.get(subscription_id)
        if subscription.status not in ALIVE:
            raise against(Rule.SUBSCRIPTION_STATE)
        body = self._read(sent)
        if body.auto_collect and "auto_collect" in body.model_fields_set:
            raise against(Rule.NO_CARD)
        terms = self._catalogue.terms(body.plan, subscription.terms)
        custom_values = self._custom_values(body)
        if body.end_of_term and subscription.status != "future":
            subscription.scheduled = terms
        else:
            self._change_now(subscription, terms)
        for name in ("reference_id", "payment_terms", "payment_terms_label", "salesperson_name"):
            if name in body.model_fields_set:
                setattr(subscription, name, getattr(body, name))
        subscription.custom_values |= custom_values
        self.shelf.written(subscription)
        return subscription

    def cancel(self, subscription_id: str, *, at_end: bool) -> Subscription:
        subscription = self.get(subscription_id)
        if subscription.status not in ALIVE or (at_end and subscription.status == "non_renewing"):
            raise against(Rule.SUBSCRIPTION_STATE)
        if at_end and subscription.status != "future":
            subscription.status = "non_renewing"
        else:
            self._end(subscription, "cancelled", self._premises.today())
        self.shelf.written(subscription)
        return subscription

    def reactivate(self, subscription_id: str) -> Subscription:
        """Take a cancellation back that has not happened yet; what is cancelled stays so."""
        subscription = self.get(subscription_id)
        if subscription.status != "non_renewing":
            raise against(Rule.SUBSCRIPTION_STATE)
        subscription.status = "live"
        self.shelf.written(subscription)
        return subscription

    def postpone(self, subscription_id: str, sent: JsonObject) -> Subscription:
        body = read(Postponement, sent, self._premises.switches)
        subscription = self.get(subscription_id)
        if body.renewal_at is None:
            raise invalid_value("renewal_at")
        if subscription.status not in ALIVE or subscription.next_billing_on is None:
            raise against(Rule.SUBSCRIPTION_STATE)
        if body.renewal_at <= subscription.next_billing_on:
            raise against(Rule.RENEWAL_NOT_LATER)
        subscription.anchor = subscription.next_billing_on = body.renewal_at
        if subscription.status != "future":
            subscription.term_ends_on = body.renewal_at
        subscription.billed = 0
        self.shelf.written(subscription)
        return subscription

    def set_reference(self, subscription_id: str, sent: JsonObject) -> Subscription:
        body = read(Reference, sent, self._premises.switches)
        subscription = self.get(subscription_id)
        require(body, "reference_id")
        subscription.reference_id = body.reference_id
        self.shelf.written(subscription)
        return subscription

    def drop_scheduled(self, subscription_id: str) -> Subscription:
        subscription = self.get(subscription_id)
        if subscription.scheduled is None:
            raise does_not_exist("Scheduled change")
        subscription.scheduled = None
        self.shelf.written(subscription)
        return subscription

    def delete(self, subscription_id: str) -> None:
        self.shelf.remove(subscription_id)

    def turn(self, today: date) -> None:
        """Let all that is due by this day happen, day by day and in the order of making."""
        due = [
            (one.next_billing_on, one.subscription_id)
            for one in self.all()
            if one.next_billing_on is not None and one.next_billing_on <= today
        ]
        heapq.heapify(due)
        while due:
            day, subscription_id = heapq.heappop(due)
            subscription = self.get(subscription_id)
            self._next_term(subscription, day)
            self.shelf.changed(subscription)
            if subscription.next_billing_on is not None and subscription.next_billing_on <= today:
                heapq.heappush(due, (subscription.next_billing_on, subscription_id))

    def _next_term(self, subscription: Subscription, day: date) -> None:
        """Do what is to be done on a subscription's billing date."""
        if subscription.status == "non_renewing":
            self._end(subscription, "cancelled", day)
            return
        if subscription.status == "future" and subscription.terms.trial_days:
            self._begin_trial(subscription, day)
            return
        is_first = subscription.status in {"future", "trial"}
        if subscription.scheduled is not None:
            subscription.terms, subscription.scheduled = subscription.scheduled, None
        cycles = subscription.terms.billing_cycles
        if cycles != ENDLESS and subscription.cycles_done >= cycles:
            self._end(subscription, "expired", day)
            return
        if is_first:
            subscription.anchor = day
            subscription.activated_on = subscription.activated_on or day
            subscription.billed = 0
        subscription.status = "live"
        self._begin_term(subscription, day)
        self._bill(subscription, day, first=is_first)

    def _start(self, subscription: Subscription, body: SubscriptionBody) -> None:
        """Take a new subscription to where it stands today."""
        today = self._premises.today()
        start = subscription.starts_on
        if start > today:
            return
        if subscription.terms.trial_days:
            self._begin_trial(subscription, start)
        else:
            subscription.activated_on = start
            self._catch_up(subscription, body, today)
        self.shelf.changed(subscription)

    def _catch_up(self, subscription: Subscription, body: SubscriptionBody, today: date) -> None:
        """Find the term that today lies in; the ones before it are taken as billed elsewhere."""
        terms = subscription.terms
        begun = billing_terms.terms_begun(
            subscription.anchor, today, terms.interval, terms.interval_unit
        )
        if terms.billing_cycles != ENDLESS and begun > terms.billing_cycles:
            subscription.billed = subscription.cycles_done = terms.billing_cycles
            subscription.term_started_on = subscription.billing_date(terms.billing_cycles - 1)
            subscription.term_ends_on = subscription.expires_on
            self._end(subscription, "expired", subscription.billing_date(terms.billing_cycles))
            return
        subscription.status = "live"
        subscription.billed = subscription.cycles_done = begun - 1
        day = subscription.billing_date(begun - 1)
        self._begin_term(subscription, day)
        if body.add_to_unbilled_charges:
            subscription.unbilled_charge_id = self._premises.next_id()
        elif subscription.starts_on == today or body.create_backdated_invoice:
            self._bill(subscription, day, first=True)

    def _begin_trial(self, subscription: Subscription, day: date) -> None:
        subscription.status = "trial"
        subscription.activated_on = day
        subscription.term_started_on = day
        subscription.next_billing_on = billing_terms.after(
            day, subscription.terms.trial_days, 1, "days"
        )
        subscription.anchor = subscription.term_ends_on = subscription.next_billing_on

    def _begin_term(self, subscription: Subscription, day: date) -> None:
        subscription.billed += 1
        subscription.cycles_done += 1
        subscription.term_started_on = subscription.last_billed_on = day
        subscription.next_billing_on = subscription.billing_date(subscription.billed)
        subscription.term_ends_on = subscription.next_billing_on

    def _end(self, subscription: Subscription, status: str, day: date) -> None:
        subscription.status = status
        subscription.next_billing_on = None
        subscription.scheduled = None
        if status == "cancelled":
            subscription.cancelled_on = day

    def _bill(self, subscription: Subscription, day: date, *, first: bool) -> None:
        terms = subscription.terms
        end = subscription.next_billing_on or day
        lines = [self._line(terms, terms.price, terms.quantity, billing_terms.period(day, end))]
        if first and terms.setup_fee:
            lines.append(self._line(terms, terms.setup_fee, 1, "Setup fee"))
        self._raise(subscription, day, lines, "new" if first else "renewal")

    def _change_now(self, subscription: Subscription, terms: Terms) -> None:
        """Change the terms in the middle of a term: what is left of it is charged or credited."""
        before, subscription.terms, subscription.scheduled = subscription.terms, terms, None
        today = self._premises.today()
        started, ends = subscription.term_started_on, subscription.next_billing_on
        prorates = self._premises.switches.prorate_changes and subscription.status == "live"
        if not prorates or started is None or ends is None or ends <= today:
            return
        left = Decimal((ends - today).days) / Decimal((ends - started).days)
        share = rounded((terms.total - before.total) * left, self._premises.config)
        if share > 0:
            text = billing_terms.period(today, ends)
            line = self._line(terms, share, 1, text)
            kind = "upgrade" if terms.plan_code != before.plan_code else "price_change"
            self._raise(subscription, today, [line], kind)
        elif share < 0:
            self._customers.grant_credit(subscription.customer_id, -share)

    def _line(self, terms: Terms, price: Decimal, quantity: int, description: str) -> LineBody:
        # Made without validation: it is Zoho's own, and its tax was found when the plan was chosen.
        return LineBody.model_construct(
            product_id=terms.product_id,
            code=terms.plan_code,
            name=terms.plan_name,
            description=description,
            price=price,
            quantity=Decimal(quantity),
            tax_id=terms.tax_id,
        )

    def _raise(
        self, subscription: Subscription, day: date, lines: Iterable[LineBody], kind: str
    ) -> None:
        at = max(self._premises.start_of(day), subscription.created_time)
        invoice = self._invoices.raise_for(
            self._customers.get(subscription.customer_id),
            Raised(
                subscription_id=subscription.subscription_id,
                transaction_type=kind,
                lines=list(lines),
                payment_terms=subscription.payment_terms,
                payment_terms_label=subscription.payment_terms_label,
                at=at,
                day=day,
            ),
        )
        subscription.child_invoice_id = invoice.invoice_id

    def _read(self, sent: JsonObject) -> SubscriptionBody:
        body = read(SubscriptionBody, sent, self._premises.switches)
        for resource, named in (
            ("Addon", body.addons),
            ("Coupon", body.coupon_code),
            ("Card", body.card_id),
            ("Account", body.account_id),
        ):
            if named:
                raise does_not_exist(resource)
        return body

    def _custom_values(self, body: SubscriptionBody) -> JsonObject:
        return read_values(body.custom_fields, self._premises.config.subscription_custom_fields)

    def _new(self, body: SubscriptionBody, customer_id: str, terms: Terms, by: str) -> Subscription:
        customer = self._customers.get(customer_id)
        if body.currency_code not in {"", customer.currency_code}:
            raise against(Rule.CURRENCY_DIFFERS)
        today = self._premises.today()
        start = body.starts_at or today
        now = self._premises.now()
        payment_terms = body.payment_terms
        if payment_terms is None:
            payment_terms = customer.profile["payment_terms"]
        custom_values = self._custom_values(body)
        self._numbered += 1
        return Subscription(
            subscription_id=self._premises.next_id(),
            number=f"SUB-{self._numbered:05d}",
            customer_id=customer_id,
            currency_code=customer.currency_code,
            terms=terms,
            created_on=today,
            starts_on=start,
            anchor=start,
            status="future",
            next_billing_on=start,
            auto_collect=False,
            reference_id=body.reference_id,
            payment_terms=payment_terms,
            payment_terms_label=body.payment_terms_label or customer.profile["payment_terms_label"],
            salesperson_name=body.salesperson_name,
            custom_values=custom_values,
            created_time=now,
            updated_time=now,
            created_by=by,
        )
