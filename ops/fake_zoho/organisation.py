"""One organisation of Zoho: its records, its limits and its outbox."""

import itertools

from ops.fake_zoho.clock import CalendarClock, LimitsClock
from ops.fake_zoho.config import OrganisationConfig, Switches
from ops.fake_zoho.customer_book import CustomerBook
from ops.fake_zoho.limits import OrganisationLimits
from ops.fake_zoho.outbox import Outbox
from ops.fake_zoho.plan_book import PlanBook
from ops.fake_zoho.premises import Premises
from ops.fake_zoho.product_book import ProductBook

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
        self.limits = OrganisationLimits(config.limits.model_copy(), switches, clock)
        self.outbox = Outbox(config.organization_id, clock)
        self._ids = itertools.count(FIRST_RECORD)
        premises = Premises(config, switches, clock, calendar, self.outbox, self.next_id)
        self.customers = CustomerBook(premises)
        self.products = ProductBook(premises)
        self.plans = PlanBook(premises, self.products)

    @property
    def id(self) -> str:
        return self.config.organization_id

    def next_id(self) -> str:
        """Give the next id: 19 digits with the organisation's prefix, one rising series for all."""
        return f"{self.config.id_prefix}{next(self._ids):012d}"
