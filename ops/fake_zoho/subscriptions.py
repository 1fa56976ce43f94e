"""The subscriptions module of the API."""

from ops.fake_zoho.listing import ListOf
from ops.fake_zoho.organisation import Organisation
from ops.fake_zoho.replies import Reply, does_not_exist, success
from ops.fake_zoho.routing import ApiCall, Operation
from ops.fake_zoho.subscription import ALIVE, Subscription
from ops.fake_zoho.subscription_views import detail, row, scheduled

STATUSES = (
    "live",
    "future",
    "trial",
    "past_due",
    "unpaid",
    "non_renewing",
    "cancelled_from_dunning",
    "cancelled",
    "expired",
    "trial_expired",
    "creation_failed",
)


def _create(call: ApiCall) -> Reply:
    subscription = call.organisation.subscriptions.create(call.body, by=call.user_name)
    return success(
        "Subscription has been created successfully.",
        status=201,
        subscription=detail(subscription, call.organisation),
    )


def _list(call: ApiCall) -> Reply:
    organisation = call.organisation
    by_status = {
        f"SubscriptionStatus.{status.upper()}": lambda one, status=status: one.status == status
        for status in STATUSES
    }
    listed = ListOf[Subscription](
        envelope="subscriptions",
        report_name="Subscriptions",
        row=lambda one: row(one, organisation),
        key=lambda one: one.subscription_id,
        orders={
            "created_time": lambda one: one.created_time,
            "subscription_number": lambda one: one.number,
        },
        filters={
            "SubscriptionStatus.All": lambda _: True,
            "SubscriptionStatus.ACTIVE": lambda one: one.status in ALIVE - {"future"},
            **by_status,
            "SubscriptionMode.ONLINE": lambda one: one.auto_collect,
            "SubscriptionMode.OFFLINE": lambda one: not one.auto_collect,
        },
        texts={
            "customer_id": lambda one: one.customer_id,
            "reference": lambda one: one.reference_id,  # documented: `reference_contains`
            "subscription_number": lambda one: one.number,
        },
        searched=lambda one: (one.number, one.reference_id, one.terms.name),
    )
    return listed.answer(organisation.subscriptions.index.visible(), call.query)


def _get(call: ApiCall) -> Reply:
    return success(subscription=detail(_subscription(call), call.organisation))


def _update(call: ApiCall) -> Reply:
    updated = call.organisation.subscriptions.update(call.parameters["subscription_id"], call.body)
    return _answer("Subscription has been updated successfully.", updated, call.organisation)


def _delete(call: ApiCall) -> Reply:
    call.organisation.subscriptions.delete(call.parameters["subscription_id"])
    return success("The subscription has been deleted.")


def _cancel(call: ApiCall) -> Reply:
    cancelled = call.organisation.subscriptions.cancel(
        call.parameters["subscription_id"], at_end=call.asks("cancel_at_end")
    )
    at_end = cancelled.status == "non_renewing"
    message = "canceled at the end of this term" if at_end else "canceled"
    return _answer(f"Your subscription will be {message}.", cancelled, call.organisation)


def _reactivate(call: ApiCall) -> Reply:
    reactivated = call.organisation.subscriptions.reactivate(call.parameters["subscription_id"])
    return _answer(
        "Subscription has been reactivated successfully.", reactivated, call.organisation
    )


def _postpone(call: ApiCall) -> Reply:
    postponed = call.organisation.subscriptions.postpone(
        call.parameters["subscription_id"], call.body
    )
    return _answer(
        "Billing date of the subscription has been changed.", postponed, call.organisation
    )


def _set_reference(call: ApiCall) -> Reply:
    updated = call.organisation.subscriptions.set_reference(
        call.parameters["subscription_id"], call.body
    )
    return _answer("Subscription has been updated successfully.", updated, call.organisation)


def _get_scheduled_changes(call: ApiCall) -> Reply:
    subscription = _subscription(call)
    if subscription.scheduled is None:
        raise does_not_exist("Scheduled change")
    return success(subscription=scheduled(subscription, subscription.scheduled, call.organisation))


def _drop_scheduled_changes(call: ApiCall) -> Reply:
    call.organisation.subscriptions.drop_scheduled(call.parameters["subscription_id"])
    return success("The scheduled changes have been dropped.")


def _subscription(call: ApiCall) -> Subscription:
    return call.organisation.subscriptions.get(call.parameters["subscription_id"])


def _answer(message: str, subscription: Subscription, organisation: Organisation) -> Reply:
    return success(message, subscription=detail(subscription, organisation))


COLLECTION = "/subscriptions"
ONE = "/subscriptions/{subscription_id}"
CHANGES = f"{ONE}/scheduledchanges"
CREATE = "ZohoSubscriptions.subscriptions.CREATE"
READ = "ZohoSubscriptions.subscriptions.READ"
UPDATE = "ZohoSubscriptions.subscriptions.UPDATE"
DELETE = "ZohoSubscriptions.subscriptions.DELETE"

OPERATIONS = (
    Operation("create_subscription", "POST", COLLECTION, CREATE, _create, takes_body=True),
    Operation("list_subscriptions", "GET", COLLECTION, READ, _list),
    Operation("get_subscription", "GET", ONE, READ, _get),
    Operation("update_subscription", "PUT", ONE, UPDATE, _update, takes_body=True),
    Operation("delete_subscription", "DELETE", ONE, DELETE, _delete),
    Operation("cancel_subscription", "POST", f"{ONE}/cancel", CREATE, _cancel),
    Operation("reactivate_subscription", "POST", f"{ONE}/reactivate", CREATE, _reactivate),
    Operation(
        "postpone_subscription", "POST", f"{ONE}/postpone", CREATE, _postpone, takes_body=True
    ),
    Operation(
        "set_subscription_reference",
        "POST",
        f"{ONE}/reference",
        CREATE,
        _set_reference,
        takes_body=True,
    ),
    Operation("get_scheduled_changes", "GET", CHANGES, READ, _get_scheduled_changes),
    Operation("drop_scheduled_changes", "DELETE", CHANGES, DELETE, _drop_scheduled_changes),
)
