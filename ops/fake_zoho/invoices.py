"""The invoices module of the API.

Three routes make a draft collectable: `converttoopen` is documented, the others were seen.
"""

from ops.fake_zoho.invoice import Invoice
from ops.fake_zoho.invoice_list import list_invoices
from ops.fake_zoho.invoice_views import created, detail
from ops.fake_zoho.replies import Reply, success
from ops.fake_zoho.routing import ApiCall, Operation


def _create(call: ApiCall) -> Reply:
    invoice = call.organisation.invoices.create(
        call.body,
        by=call.user_name,
        own_number=call.asks("ignore_auto_number_generation"),
        send=call.asks("send"),
    )
    return success(
        "The invoice has been created.", status=201, invoice=created(invoice, call.organisation)
    )


def _list(call: ApiCall) -> Reply:
    return list_invoices(call.organisation, call.query)


def _get(call: ApiCall) -> Reply:
    return success(invoice=detail(_invoice(call), call.organisation))


def _update(call: ApiCall) -> Reply:
    invoice = call.organisation.invoices.update(
        call.parameters["invoice_id"],
        call.body,
        own_number=call.asks("ignore_auto_number_generation"),
    )
    return success(
        "Invoice information has been updated.", invoice=created(invoice, call.organisation)
    )


def _delete(call: ApiCall) -> Reply:
    call.organisation.invoices.delete(call.parameters["invoice_id"])
    return success("The invoice has been deleted.")


def _convert_to_open(call: ApiCall) -> Reply:
    call.organisation.invoices.open(call.parameters["invoice_id"])
    return success("Status of the invoice has been changed to open.")


def _mark_as_sent(call: ApiCall) -> Reply:
    call.organisation.invoices.open(call.parameters["invoice_id"], also_void=False)
    return success("Invoice status has been changed to Sent.")


def _void(call: ApiCall) -> Reply:
    call.organisation.invoices.void(call.parameters["invoice_id"])
    return success("Invoice status has been changed to Void.")


def _invoice(call: ApiCall) -> Invoice:
    return call.organisation.invoices.get(call.parameters["invoice_id"])


COLLECTION = "/invoices"
ONE = "/invoices/{invoice_id}"
CREATE = "ZohoSubscriptions.invoices.CREATE"
READ = "ZohoSubscriptions.invoices.READ"
UPDATE = "ZohoSubscriptions.invoices.UPDATE"
DELETE = "ZohoSubscriptions.invoices.DELETE"

OPERATIONS = (
    Operation("create_invoice", "POST", COLLECTION, CREATE, _create, takes_body=True),
    Operation("list_invoices", "GET", COLLECTION, READ, _list),
    Operation("get_invoice", "GET", ONE, READ, _get),
    Operation("update_invoice", "PUT", ONE, UPDATE, _update, takes_body=True),
    Operation("delete_invoice", "DELETE", ONE, DELETE, _delete),
    Operation("convert_invoice_to_open", "POST", f"{ONE}/converttoopen", CREATE, _convert_to_open),
    Operation("mark_invoice_as_sent", "POST", f"{ONE}/sent", CREATE, _mark_as_sent),
    Operation("set_invoice_status_sent", "POST", f"{ONE}/status/sent", CREATE, _mark_as_sent),
    Operation("void_invoice", "POST", f"{ONE}/void", CREATE, _void),
)
