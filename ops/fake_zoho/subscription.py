"""A subscription: what is billed, and where in its life it stands."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from ops.fake_zoho.billing_terms import after
from ops.fake_zoho.plan_book import ENDLESS
from ops.fake_zoho.shelf import Record

BILLED = frozenset({"future", "trial", "live"})
ALIVE = BILLED | {"non_renewing"}


@dataclass(frozen=True)
class Terms:
    """What is billed each term: the plan as it was when it was chosen, at this price."""

    plan_code: str
    plan_name: str
    product_id: str
    product_name: str
    description: str
    price: Decimal
    quantity: int
    setup_fee: Decimal
    interval: int
    interval_unit: str
    billing_cycles: int
    trial_days: int
    tax_id: str

    @property
    def name(self) -> str:
        return f"{self.product_name}-{self.plan_name}"

    @property
    def total(self) -> Decimal:
        return self.price * self.quantity


@dataclass(kw_only=True)
class Subscription(Record):
    """One subscription. Its billing dates are counted in terms from `anchor`.

    `billed` is how many terms have begun since then, `cycles_done` how many since its start.
    """

    subscription_id: str
    number: str
    customer_id: str
    currency_code: str
    terms: Terms
    created_on: date
    starts_on: date
    anchor: date
    status: str
    next_billing_on: date | None
    activated_on: date | None = None
    term_started_on: date | None = None
    term_ends_on: date | None = None
    last_billed_on: date | None = None
    cancelled_on: date | None = None
    billed: int = 0
    cycles_done: int = 0
    scheduled: Terms | None = None
    auto_collect: bool = False
    reference_id: str = ""
    payment_terms: int = 0
    payment_terms_label: str = ""
    salesperson_name: str = ""
    child_invoice_id: str = ""
    unbilled_charge_id: str = ""

    @property
    def expires_on(self) -> date | None:
        if self.terms.billing_cycles == ENDLESS:
            return None
        left = self.terms.billing_cycles - self.cycles_done
        return self.billing_date(self.billed + left)

    def billing_date(self, terms: int) -> date:
        return after(self.anchor, terms, self.terms.interval, self.terms.interval_unit)
