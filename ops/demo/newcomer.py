"""A customer who comes last: what the application writes for her, and what Zoho shows of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from billing_sync.domain.tax import TaxedLine
from billing_sync.domain.triggers import Trigger
from ops.demo.books import DUE_AFTER_DAYS, STANDARD, at_noon, months_on, taxed
from ops.demo.reckoning import BILLING_ON, NOT_OWED, Row, account_number, amount_of
from ops.fake_zoho import Holdings

ACCOUNT_NUMBER: Final = "CT-2025-00025"
INVOICE: Final = "CTI-00201"
PAYMENT: Final = "TX-0201"
SKU: Final = "SKY-ESS-25"

LINES: Final = {"Fibre installation": Decimal("1499.00"), "Router": Decimal("899.00")}
"""What she is billed once, VAT inside."""

TABLES: Final = {
    Trigger.CUSTOMER_REGISTERED: "customers",
    Trigger.SERVICE_ACTIVATED: "customer_services",
    Trigger.INVOICE_GENERATED: "customer_invoices",
    Trigger.PAYMENT_COMPLETED: "payment_transactions",
}

TOLD: Final = {
    Trigger.CUSTOMER_REGISTERED: "a new customer registers",
    Trigger.SERVICE_ACTIVATED: "her service is activated, from the 1st on",
    Trigger.INVOICE_GENERATED: "her installation is invoiced",
    Trigger.PAYMENT_COMPLETED: "she pays it",
}


def write(connection: psycopg.Connection, trigger: Trigger, today: date) -> Row:
    """Write what happens, as the application would, and commit it; gives the new row."""
    totals = taxed(
        [TaxedLine(price, Decimal(1), STANDARD) for price in LINES.values()], is_inclusive=True
    )
    lines = [
        {"name": name, "unit_price": f"{price}", "quantity": 1} for name, price in LINES.items()
    ]
    asked = {
        "account_number": ACCOUNT_NUMBER,
        "sku": SKU,
        "today": today,
        "first": months_on(today.replace(day=1), 1),
        "noon": at_noon(today),
        "due_after": DUE_AFTER_DAYS,
        "invoice": INVOICE,
        "sub_total": totals.sub_total,
        "tax": totals.tax,
        "total": totals.total,
        "lines": Jsonb(lines),
        "payment": PAYMENT,
    }
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_INSERTS[trigger], asked).fetchone()
        if trigger is Trigger.PAYMENT_COMPLETED:
            cursor.execute(_SETTLE, asked)
    if row is None:
        raise LookupError(f"nothing was written for {trigger}")
    return row


def sync_status(connection: psycopg.Connection, trigger: Trigger, row_id: int) -> str | None:
    """Read the status column of a row: what the application itself knows of the sync."""
    statement = sql.SQL("SELECT zoho_sync_status FROM {} WHERE id = %s").format(
        sql.Identifier(TABLES[trigger])
    )
    found = connection.execute(statement, [row_id]).fetchone()
    return None if found is None else found[0]


@dataclass(frozen=True)
class Shown:
    """A record of Zoho's that bears a row's key: what it shows, and whether that is right."""

    told: str
    is_right: bool


def shown(trigger: Trigger, row: Row, zoho: Holdings) -> list[Shown]:
    """Find the records in Zoho that bear a row's key, and compare their figures with its own."""
    return list(_SHOWN[trigger](row, zoho))


def _customers(row: Row, zoho: Holdings) -> Iterable[Shown]:
    name = f"{row['first_name']} {row['last_name']} ({row['account_number']})"
    for one in zoho.customers:
        if account_number(one) == row["account_number"]:
            is_right = one["display_name"] == name and one["email"] == row["email"]
            yield Shown(f"customer «{one['display_name']}»", is_right)


def _subscriptions(row: Row, zoho: Holdings) -> Iterable[Shown]:
    for one in zoho.subscriptions:
        if one["reference_id"] == str(row["id"]):
            price = amount_of(one["plan"]["price"])
            is_right = price == row["monthly_price"] and one["status"] in BILLING_ON
            plan = one["plan"]["plan_code"]
            yield Shown(f"subscription to {plan}, {price:,.2f} a month", is_right)


def _invoices(row: Row, zoho: Holdings) -> Iterable[Shown]:
    for one in zoho.invoices:
        if one["number"] == row["invoice_number"] and one["status"] not in NOT_OWED:
            total, tax = amount_of(one["total"]), amount_of(one["tax_total"])
            is_right = (total, tax) == (row["total_amount"], row["tax_amount"])
            yield Shown(f"invoice {one['number']}, {total:,.2f} with VAT {tax:,.2f}", is_right)


def _payments(row: Row, zoho: Holdings) -> Iterable[Shown]:
    for one in zoho.payments:
        if one["reference_number"] == row["transaction_id"]:
            amount = amount_of(one["amount"])
            on_invoices = {
                invoice["invoice_number"]: amount_of(invoice["amount_applied"])
                for invoice in one["invoices"]
            }
            is_right = amount == row["amount"] and on_invoices == {INVOICE: amount}
            on = ", ".join(on_invoices) or "no invoice"
            yield Shown(f"payment of {amount:,.2f} on {on}", is_right)


_SHOWN: Final[Mapping[Trigger, Callable[[Row, Holdings], Iterable[Shown]]]] = {
    Trigger.CUSTOMER_REGISTERED: _customers,
    Trigger.SERVICE_ACTIVATED: _subscriptions,
    Trigger.INVOICE_GENERATED: _invoices,
    Trigger.PAYMENT_COMPLETED: _payments,
}

# Zoho bills a new service from its activation, which is a day to come: nothing recurs yet.
_INSERTS: Final[dict[Trigger, Any]] = {
    Trigger.CUSTOMER_REGISTERED: """
INSERT INTO customers (
  account_number, account_type, first_name, last_name, email, phone, street, city, state, zip,
  country, currency
) VALUES (
  %(account_number)s, 'personal', 'Naledi', 'Mokoena', 'naledi.mokoena@mail.example',
  '+27215550025', '8 Milkwood Close', 'Paarl', 'Western Cape', '7646', 'South Africa', 'ZAR'
)
RETURNING *
""",
    Trigger.SERVICE_ACTIVATED: """
INSERT INTO customer_services (
  customer_id, package_id, monthly_price, status, activation_date, billing_day
)
SELECT c.id, p.id, p.price, 'active', %(first)s, 1
FROM customers c, service_packages p
WHERE c.account_number = %(account_number)s AND p.sku = %(sku)s
RETURNING *
""",
    Trigger.INVOICE_GENERATED: """
INSERT INTO customer_invoices (
  customer_id, service_id, invoice_number, invoice_type, invoice_date, due_date, subtotal,
  tax_amount, total_amount, status, line_items
)
SELECT c.id, s.id, %(invoice)s, 'installation', %(today)s, %(today)s + %(due_after)s,
  %(sub_total)s, %(tax)s, %(total)s, 'sent', %(lines)s
FROM customers c JOIN customer_services s ON s.customer_id = c.id
WHERE c.account_number = %(account_number)s
RETURNING *
""",
    Trigger.PAYMENT_COMPLETED: """
INSERT INTO payment_transactions (
  customer_id, invoice_id, transaction_id, provider, payment_method, amount, status, completed_at
)
SELECT i.customer_id, i.id, %(payment)s, 'payfast', 'card', i.total_amount, 'completed', %(noon)s
FROM customer_invoices i
WHERE i.invoice_number = %(invoice)s
RETURNING *
""",
}

_SETTLE: Final = """
UPDATE customer_invoices SET status = 'paid', amount_paid = total_amount
WHERE invoice_number = %(invoice)s
"""
