"""What people made in Zoho's own screens, before anything of ours ran or while it runs.

Lists show it at once, and it counts as nobody's write.
"""

from pydantic import Field

from ops.fake_zoho.config import (
    Document,
    SeedCustomer,
    SeedInvoice,
    SeedPayment,
    SeedPlan,
    SeedSubscription,
)
from ops.fake_zoho.organisation import Organisation


class ByHand(Document):
    """Plans, customers with all that is theirs, and records for customers that are there."""

    plans: list[SeedPlan] = Field(default_factory=list)
    customers: list[SeedCustomer] = Field(default_factory=list)
    subscriptions: dict[str, list[SeedSubscription]] = Field(
        default_factory=dict, description="by customer id, as are invoices and payments"
    )
    invoices: dict[str, list[SeedInvoice]] = Field(default_factory=dict)
    payments: dict[str, list[SeedPayment]] = Field(default_factory=dict)


class MadeIds(Document):
    """The ids of what was made, in the order of asking, what customers came with included."""

    plan_codes: list[str] = Field(default_factory=list)
    customer_ids: list[str] = Field(default_factory=list)
    subscription_ids: list[str] = Field(default_factory=list)
    invoice_ids: list[str] = Field(default_factory=list)
    payment_ids: list[str] = Field(default_factory=list)


def keep(organisation: Organisation, by_hand: ByHand) -> MadeIds:
    """Make it all: plans first, payments last, so that each finds what it names."""
    made = MadeIds()
    for plan in by_hand.plans:
        made.plan_codes.append(organisation.plans.seed(plan).plan_code)
    for seed, customer in zip(
        by_hand.customers, organisation.customers.seed(by_hand.customers), strict=True
    ):
        made.customer_ids.append(customer.customer_id)
        _keep_of(organisation, customer.customer_id, seed, made)
    for customer_id, subscriptions in by_hand.subscriptions.items():
        _keep_subscriptions(organisation, customer_id, subscriptions, made)
    for customer_id, invoices in by_hand.invoices.items():
        _keep_invoices(organisation, customer_id, invoices, made)
    for customer_id, payments in by_hand.payments.items():
        _keep_payments(organisation, customer_id, payments, made)
    organisation.show_by_hand()
    return made


def _keep_of(
    organisation: Organisation, customer_id: str, seed: SeedCustomer, made: MadeIds
) -> None:
    _keep_subscriptions(organisation, customer_id, seed.subscriptions, made)
    _keep_invoices(organisation, customer_id, seed.invoices, made)
    _keep_payments(organisation, customer_id, seed.payments, made)


def _keep_subscriptions(
    organisation: Organisation,
    customer_id: str,
    seeds: list[SeedSubscription],
    made: MadeIds,
) -> None:
    for seed in seeds:
        subscription = organisation.subscriptions.seed(seed, customer_id)
        made.subscription_ids.append(subscription.subscription_id)


def _keep_invoices(
    organisation: Organisation, customer_id: str, seeds: list[SeedInvoice], made: MadeIds
) -> None:
    for seed in seeds:
        made.invoice_ids.append(organisation.invoices.seed(seed, customer_id).invoice_id)


def _keep_payments(
    organisation: Organisation, customer_id: str, seeds: list[SeedPayment], made: MadeIds
) -> None:
    for seed in seeds:
        made.payment_ids.append(organisation.payments.seed(seed, customer_id).payment_id)
