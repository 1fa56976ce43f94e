"""Everything that organisations hold, as the control endpoints show it."""

from collections.abc import Iterable, Iterator

from ops.fake_zoho import (
    customer_views,
    invoice_views,
    payments,
    plans,
    products,
    subscription_views,
)
from ops.fake_zoho.formats import day, money
from ops.fake_zoho.organisation import Organisation
from ops.fake_zoho.replies import JsonObject
from ops.fake_zoho.shelf import Record


def inventory(organisations: Iterable[Organisation]) -> dict[str, list[JsonObject]]:
    """List all records by kind, index or not, with marks of ours beside Zoho's fields."""
    held: dict[str, list[JsonObject]] = {}
    for organisation in organisations:
        for kind, shown, record in _records(organisation):
            marks = {
                "organization_id": organisation.id,
                "_created_by": record.created_by,
                "_by_api": record.by_api,
                "_writes": record.writes,
            }
            held.setdefault(kind, []).append(shown | marks)
    return held


def _records(organisation: Organisation) -> Iterator[tuple[str, JsonObject, Record]]:
    config = organisation.config
    for customer in organisation.customers.all():
        yield "customers", customer_views.detail(customer, config), customer
    for product in organisation.products.all():
        yield "products", products.shown(product, config), product
    for plan in organisation.plans.all():
        yield "plans", plans.detail(plan, config), plan
    for subscription in organisation.subscriptions.all():
        shown = subscription_views.detail(subscription, organisation)
        scheduled = subscription.scheduled
        shown |= {
            "_cancelled_on": day(subscription.cancelled_on),
            "_scheduled_price": None if scheduled is None else money(scheduled.price, config),
        }
        yield "subscriptions", shown, subscription
    for invoice in organisation.invoices.all():
        shown = invoice_views.created(invoice, organisation)
        shown |= invoice_views.detail(invoice, organisation)
        yield "invoices", shown | {"_subscription_id": invoice.subscription_id}, invoice
    for payment in organisation.payments.all():
        shown = payments.detail(payment, organisation)
        yield "payments", shown | {"_account_id": payment.account_id}, payment
