"""One organisation of Zoho: its records, its limits and its outbox."""

import itertools
from datetime import date
from decimal import Decimal

from ops.fake_zoho import formats
from ops.fake_zoho.clock import CalendarClock, LimitsClock
from ops.fake_zoho.config import OrganisationConfig, Switches
from ops.fake_zoho.customer_book import CustomerBook
from ops.fake_zoho.invoice_book import InvoiceBook
from ops.fake_zoho.limits import OrganisationLimits
from ops.fake_zoho.outbox import Outbox
from ops.fake_zoho.payment_book import PaymentBook
from ops.fake_zoho.plan_book import PlanBook
from ops.fake_zoho.premises import Premises
from ops.fake_zoho.product_book import ProductBook
from ops.fake_zoho.receivables import Receivables
from ops.fake_zoho.subscription_book import SubscriptionBook

FIRST_RECORD = 100_001


class Organisation:
    def __init__(
        self,
        config: OrganisationConfig,
        switches: Switches,
        clock: LimitsClock,
        calendar: CalendarClock,
    ) -> None:
        self.config = config
        self.switches = switches
        self.limits = OrganisationLimits(config.limits.model_copy(), switches, clock)
        self.outbox = Outbox(config.organization_id, clock)
        self._ids = itertools.count(FIRST_RECORD)
        self._premises = Premises(config, switches, clock, calendar, self.outbox, self.next_id)
        self.customers = CustomerBook(self._premises)
        self.products = ProductBook(self._premises)
        self.plans = PlanBook(self._premises, self.products)
        self.receivables = Receivables(self._premises, self.customers)
        self.invoices = InvoiceBook(self._premises, self.customers, self.products, self.receivables)
        self.payments = PaymentBook(self._premises, self.customers, self.receivables)
        self.subscriptions = SubscriptionBook(
            self._premises, self.customers, self.products, self.plans, self.invoices
        )
        self._turned_to: date | None = None

    @property
    def id(self) -> str:
        return self.config.organization_id

    def next_id(self) -> str:
        """Give the next id: 19 digits with the organisation's prefix, one rising series for all."""
        return f"{self.config.id_prefix}{next(self._ids):012d}"

    def today(self) -> date:
        return self._premises.today()

    def rounded(self, amount: Decimal) -> Decimal:
        return formats.rounded(amount, self.config)

    def turn_calendar(self) -> None:
        """Let all that the calendar has brought about happen, once for each day that it shows."""
        today = self.today()
        if today != self._turned_to:
            self._turned_to = today
            self.subscriptions.turn(today)
            self.invoices.remind(today)

    def show_by_hand(self) -> None:
        """Let lists show at once what people have just made, and what follows from it."""
        for book in (self.customers, self.subscriptions, self.invoices, self.payments):
            book.shelf.show_by_hand()

    def has_transactions(self, customer_id: str) -> bool:
        return bool(
            self.subscriptions.of_customer(customer_id)
            or self.receivables.invoices_of(customer_id)
            or self.receivables.payments_of(customer_id)
        )

    def customers_it_could_mail(self) -> set[str]:
        """Name the customers with an address who are late: whom reminders, once on, would mail."""
        late = {one.customer_id for one in self.invoices.all() if one.is_past_due(self.today())}
        return {one for one in late if self.customers.get(one).can_be_mailed}
