"""What a subscription bills: a plan as it is when it is chosen, with what the caller changes."""

from decimal import Decimal

from ops.fake_zoho.formats import rounded
from ops.fake_zoho.plan_book import PlanBook
from ops.fake_zoho.premises import Premises
from ops.fake_zoho.product_book import ProductBook
from ops.fake_zoho.replies import invalid_value
from ops.fake_zoho.rules import Rule, against
from ops.fake_zoho.subscription import Terms
from ops.fake_zoho.subscription_body import PlanPart
from ops.fake_zoho.tax import find_tax


class Catalogue:
    def __init__(self, premises: Premises, products: ProductBook, plans: PlanBook) -> None:
        self._premises = premises
        self._products = products
        self._plans = plans

    def terms(self, part: PlanPart | None, now: Terms | None = None) -> Terms:
        """Make the terms; `now` are those of a subscription that has some already."""
        if part is None:
            raise invalid_value("plan")
        plan = self._plans.get(part.plan_code)
        if plan.status != "active" and (now is None or now.plan_code != plan.plan_code):
            raise against(Rule.PLAN_INACTIVE)
        own = plan.terms
        tax_id = part.tax_id or own.tax_id
        config = self._premises.config
        find_tax(tax_id, config)
        product = self._products.get(plan.product_id)
        return Terms(
            plan_code=plan.plan_code,
            plan_name=own.name,
            product_id=product.product_id,
            product_name=product.name,
            description=part.plan_description or own.description,
            price=own.recurring_price if part.price is None else rounded(part.price, config),
            quantity=part.quantity,
            setup_fee=rounded(_setup_fee(part, own.setup_fee), config),
            interval=own.interval,
            interval_unit=own.interval_unit,
            billing_cycles=part.billing_cycles or own.billing_cycles,
            trial_days=_trial_days(part, own.trial_period),
            tax_id=tax_id,
        )


def _setup_fee(part: PlanPart, own: Decimal) -> Decimal:
    if part.exclude_setup_fee:
        return Decimal(0)
    return own if part.setup_fee is None else part.setup_fee


def _trial_days(part: PlanPart, own: int) -> int:
    if part.exclude_trial:
        return 0
    return own if part.trial_days is None else part.trial_days
