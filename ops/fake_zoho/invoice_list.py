"""`GET /invoices`: filters, order and pages over what the lagging index shows.

Rows tell nothing of subscriptions or periods, but the list can be asked for one subscription's.
"""

from collections.abc import Mapping
from datetime import date, timedelta

from ops.fake_zoho.invoice import Invoice
from ops.fake_zoho.invoice_views import row
from ops.fake_zoho.listing import ListOf, day_filters
from ops.fake_zoho.organisation import Organisation
from ops.fake_zoho.replies import Reply

STATUSES = {
    "Status.Sent": {"sent"},
    "Status.Draft": {"draft"},
    "Status.OverDue": {"overdue"},
    "Status.Paid": {"paid"},
    "Status.PartiallyPaid": {"partially_paid"},
    "Status.Void": {"void"},
    "Status.Unpaid": {"sent", "overdue", "partially_paid"},
}


def list_invoices(organisation: Organisation, query: Mapping[str, str]) -> Reply:
    today = organisation.today()

    def name(invoice: Invoice) -> str:
        display_name: str = organisation.customers.get(invoice.customer_id).profile["display_name"]
        return display_name

    def in_month(invoice: Invoice, month: date) -> bool:
        return (invoice.issued_on.year, invoice.issued_on.month) == (month.year, month.month)

    statuses = {
        filter_by: lambda invoice, wanted=wanted: invoice.status(today) in wanted
        for filter_by, wanted in STATUSES.items()
    }
    last_month = today.replace(day=1) - timedelta(days=1)
    listed = ListOf[Invoice](
        envelope="invoices",
        report_name="Invoices",
        row=lambda invoice: row(invoice, organisation),
        key=lambda invoice: invoice.invoice_id,
        orders={
            "created_time": lambda invoice: invoice.created_time,
            "invoice_number": lambda invoice: invoice.number,
            "customer_name": lambda invoice: name(invoice).casefold(),
            "date": lambda invoice: invoice.issued_on,
            "due_date": lambda invoice: invoice.due_date,
            "total": lambda invoice: invoice.total,
            "balance": lambda invoice: invoice.balance,
        },
        filters={
            "Status.All": lambda _: True,
            **statuses,
            "InvoiceDate.ThisMonth": lambda invoice: in_month(invoice, today),
            "InvoiceDate.PreviousMonth": lambda invoice: in_month(invoice, last_month),
        },
        texts={
            "customer_id": lambda invoice: invoice.customer_id,
            "subscription_id": lambda invoice: invoice.subscription_id,
            "invoice_number": lambda invoice: invoice.number,
            "reference_number": lambda invoice: invoice.texts["reference_number"],
            "status": lambda invoice: invoice.status(today),
        },
        searched=lambda invoice: (
            invoice.number,
            invoice.texts["reference_number"],
            name(invoice),
        ),
    )
    within = day_filters(query, "date", apply=organisation.switches.date_filters)
    return listed.answer(
        (one for one in organisation.invoices.index.visible() if within(one.issued_on)), query
    )
