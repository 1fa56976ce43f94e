"""The payments module of the API. Its list is not in Zoho's description, but was seen to work."""

from ops.fake_zoho import custom_fields
from ops.fake_zoho.formats import currency, money
from ops.fake_zoho.listing import ListOf, day_filters
from ops.fake_zoho.organisation import Organisation
from ops.fake_zoho.payment import Payment
from ops.fake_zoho.replies import JsonObject, Reply, success
from ops.fake_zoho.routing import ApiCall, Operation


def row(payment: Payment, organisation: Organisation) -> JsonObject:
    """Show a payment as lists do: without its invoices."""
    config = organisation.config
    customer = organisation.customers.get(payment.customer_id)
    return {
        "payment_id": payment.payment_id,
        "payment_number": payment.number,
        "payment_mode": payment.payment_mode,
        "amount": money(payment.amount, config),
        "amount_refunded": 0.0,
        "bank_charges": money(payment.bank_charges, config),
        "date": payment.date.isoformat(),
        "status": "success",
        "reference_number": payment.reference_number,
        "description": payment.description,
        "customer_id": payment.customer_id,
        "customer_name": customer.profile["display_name"],
        "email": customer.profile["email"],
        **currency(payment.currency_code, config),
    }


def detail(payment: Payment, organisation: Organisation) -> JsonObject:
    """Show a payment as create, update and get do."""
    config = organisation.config
    return row(payment, organisation) | {
        "autotransaction": {},
        "invoices": _invoices(payment, organisation),
        "custom_fields": custom_fields.shown(payment.custom_values, config.payment_custom_fields),
    }


def _invoices(payment: Payment, organisation: Organisation) -> list[JsonObject]:
    config = organisation.config
    applied = [
        (organisation.invoices.get(one.invoice_id), one.amount) for one in payment.applications
    ]
    return [
        {
            "invoice_id": invoice.invoice_id,
            "invoice_number": invoice.number,
            "date": invoice.issued_on.isoformat(),
            "invoice_amount": money(invoice.total, config),
            "amount_applied": money(amount, config),
            "balance_amount": money(invoice.balance, config),
        }
        for invoice, amount in applied
    ]


def _create(call: ApiCall) -> Reply:
    payment = call.organisation.payments.create(call.body, by=call.user_name)
    return success(
        "The payment has been created.", status=201, payment=detail(payment, call.organisation)
    )


def _list(call: ApiCall) -> Reply:
    organisation = call.organisation
    listed = ListOf[Payment](
        envelope="payments",
        report_name="Payments",
        row=lambda payment: row(payment, organisation),
        key=lambda payment: payment.payment_id,
        orders={
            "created_time": lambda payment: payment.created_time,
            "date": lambda payment: payment.date,
            "amount": lambda payment: payment.amount,
        },
        filters={"PaymentMode.All": lambda _: True},
        texts={
            "customer_id": lambda payment: payment.customer_id,
            "reference_number": lambda payment: payment.reference_number,
            "payment_mode": lambda payment: payment.payment_mode,
        },
        searched=lambda payment: (payment.reference_number, payment.description),
    )
    within = day_filters(call.query, "date", apply=organisation.switches.date_filters)
    return listed.answer(
        (one for one in organisation.payments.index.visible() if within(one.date)), call.query
    )


def _get(call: ApiCall) -> Reply:
    payment = call.organisation.payments.get(call.parameters["payment_id"])
    return success(payment=detail(payment, call.organisation))


def _update(call: ApiCall) -> Reply:
    payment = call.organisation.payments.update(call.parameters["payment_id"], call.body)
    return success(
        "The payment details have been updated.", payment=detail(payment, call.organisation)
    )


def _delete(call: ApiCall) -> Reply:
    call.organisation.payments.delete(call.parameters["payment_id"])
    return success("The payment has been deleted.")


COLLECTION = "/payments"
ONE = "/payments/{payment_id}"
CREATE = "ZohoSubscriptions.payments.CREATE"
READ = "ZohoSubscriptions.payments.READ"
UPDATE = "ZohoSubscriptions.payments.UPDATE"
DELETE = "ZohoSubscriptions.payments.DELETE"

OPERATIONS = (
    Operation("create_payment", "POST", COLLECTION, CREATE, _create, takes_body=True),
    Operation("list_payments", "GET", COLLECTION, READ, _list),
    Operation("get_payment", "GET", ONE, READ, _get),
    Operation("update_payment", "PUT", ONE, UPDATE, _update, takes_body=True),
    Operation("delete_payment", "DELETE", ONE, DELETE, _delete),
)
