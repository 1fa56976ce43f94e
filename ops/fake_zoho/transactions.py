"""`GET /transactions`: invoices, payments and credits of customers in one list.

Rows carry no reference of the caller's: `reference_id` is the id of the invoice or payment.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from ops.fake_zoho.formats import rounded
from ops.fake_zoho.listing import ListOf
from ops.fake_zoho.organisation import Organisation
from ops.fake_zoho.replies import JsonObject, Reply
from ops.fake_zoho.routing import ApiCall, Operation

KINDS = ("invoice", "payment", "credit", "refund")


@dataclass(frozen=True)
class Transaction:
    transaction_id: str
    reference_id: str
    customer_id: str
    date: date
    kind: str
    status: str
    amount: Decimal


def _all(organisation: Organisation) -> Iterator[Transaction]:
    """Read them from the lists' own, lagging index."""
    today = organisation.today()
    for invoice in organisation.invoices.index.visible():
        if invoice.state == "draft":
            continue
        yield Transaction(
            invoice.invoice_id,
            invoice.invoice_id,
            invoice.customer_id,
            invoice.issued_on,
            "invoice",
            invoice.status(today),
            invoice.total,
        )
        for use in invoice.credits:
            yield Transaction(
                use.use_id,
                invoice.invoice_id,
                invoice.customer_id,
                use.date,
                "credit",
                "closed",
                use.amount,
            )
    for payment in organisation.payments.index.visible():
        yield Transaction(
            payment.payment_id,
            payment.payment_id,
            payment.customer_id,
            payment.date,
            "payment",
            "success",
            payment.amount,
        )


def _of(kind: str) -> Callable[[Transaction], bool]:
    return lambda one: one.kind == kind


def _list(call: ApiCall) -> Reply:
    config = call.organisation.config

    def row(one: Transaction) -> JsonObject:
        return {
            "transaction_id": one.transaction_id,
            "reference_id": one.reference_id,
            "date": one.date.isoformat(),
            "type": one.kind,
            "status": one.status,
            "amount": f"{rounded(one.amount, config)}",
        }

    kinds = {f"TransactionType.{kind.upper()}": _of(kind) for kind in KINDS}
    listed = ListOf[Transaction](
        envelope="transactions",
        report_name="Transactions",
        row=row,
        key=lambda one: one.transaction_id,
        orders={"date": lambda one: one.date, "amount": lambda one: one.amount},
        filters={"TransactionType.All": lambda _: True, **kinds},
        texts={"customer_id": lambda one: one.customer_id},
    )
    return listed.answer(_all(call.organisation), call.query)


OPERATIONS = (
    Operation(
        "list_transactions", "GET", "/transactions", "ZohoSubscriptions.customers.READ", _list
    ),
)
