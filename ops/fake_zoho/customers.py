"""The customers module of the API.

Note the scopes: actions that are POSTs need CREATE, not UPDATE.
"""

from ops.fake_zoho.customer_list import list_customers
from ops.fake_zoho.customer_views import detail
from ops.fake_zoho.replies import Reply, success
from ops.fake_zoho.routing import ApiCall, Operation
from ops.fake_zoho.rules import Rule, against
from ops.fake_zoho.subscription import ALIVE


def _create(call: ApiCall) -> Reply:
    organisation = call.organisation
    customer = organisation.customers.create(call.body, by=call.user_name)
    return success(
        "The customer has been created",
        status=201,
        customer=detail(customer, organisation.config),
    )


def _list(call: ApiCall) -> Reply:
    return list_customers(call.organisation.customers, call.query, call.organisation.config)


def _get(call: ApiCall) -> Reply:
    customer = call.organisation.customers.get(call.parameters["customer_id"])
    return success(customer=detail(customer, call.organisation.config))


def _update(call: ApiCall) -> Reply:
    organisation = call.organisation
    customer = organisation.customers.update(call.parameters["customer_id"], call.body)
    return success(
        "The customer details have been updated.", customer=detail(customer, organisation.config)
    )


def _delete(call: ApiCall) -> Reply:
    customer_id = call.organisation.customers.get(call.parameters["customer_id"]).customer_id
    if call.organisation.has_transactions(customer_id):
        raise against(Rule.CUSTOMER_HAS_TRANSACTIONS)
    call.organisation.customers.delete(customer_id)
    return success("The customer has been deleted.")


def _mark_as_active(call: ApiCall) -> Reply:
    call.organisation.customers.set_status(call.parameters["customer_id"], "active")
    return success("The customer has been marked as active.")


def _mark_as_inactive(call: ApiCall) -> Reply:
    customer_id = call.parameters["customer_id"]
    if any(one.status in ALIVE for one in call.organisation.subscriptions.of_customer(customer_id)):
        raise against(Rule.CUSTOMER_HAS_SUBSCRIPTIONS)
    call.organisation.customers.set_status(customer_id, "inactive")
    return success("The customer has been marked as inactive.")


COLLECTION = "/customers"
ONE = "/customers/{customer_id}"
MODULE = "ZohoSubscriptions.customers"

OPERATIONS = (
    Operation("create_customer", "POST", COLLECTION, f"{MODULE}.CREATE", _create, takes_body=True),
    Operation("list_customers", "GET", COLLECTION, f"{MODULE}.READ", _list),
    Operation("get_customer", "GET", ONE, f"{MODULE}.READ", _get),
    Operation("update_customer", "PUT", ONE, f"{MODULE}.UPDATE", _update, takes_body=True),
    Operation("delete_customer", "DELETE", ONE, f"{MODULE}.DELETE", _delete),
    Operation(
        "mark_customer_as_active",
        "POST",
        f"{ONE}/markasactive",
        f"{MODULE}.CREATE",
        _mark_as_active,
    ),
    Operation(
        "mark_customer_as_inactive",
        "POST",
        f"{ONE}/markasinactive",
        f"{MODULE}.CREATE",
        _mark_as_inactive,
    ),
)
