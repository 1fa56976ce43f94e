"""Fill the application's tables with the demo's rows, always the same ones."""

import json
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.types.json import Jsonb
from pydantic import BaseModel

from ops.demo.books import (
    DATA,
    Books,
    Invoice,
    Passed,
    Payment,
    Service,
    at_noon,
    paid_on,
    price_of,
    rows,
)

__all__ = ["APPLICATION_SQL", "DATA", "load", "load_books", "write_passed"]

APPLICATION_SQL: Final = Path(__file__).with_name("application.sql")

_SEED: Final = 2025
_FIRST_CUSTOMER_AT: Final = datetime(2025, 1, 13, 7, 30, tzinfo=UTC)
_STREETS: Final = (
    "Protea",
    "Milkwood",
    "Harbour",
    "Station",
    "Vineyard",
    "Signal",
    "Disa",
    "Kloof",
)
_KINDS: Final = ("Street", "Road", "Avenue", "Close")
_PLACES: Final = (
    ("Bellville", "7530"),
    ("Durbanville", "7550"),
    ("Paarl", "7646"),
    ("Somerset West", "7130"),
    ("Stellenbosch", "7600"),
    ("Worcester", "6850"),
)


class Loaded(BaseModel):
    """How many rows were put where."""

    customers: int
    packages: int


def load(connection: psycopg.Connection) -> Loaded:
    """Insert the customers and packages of `ops/demo/data`, in one transaction.

    Phones, addresses and times of creation are made from a fixed seed, so that two runs can be
    compared. Who is in Zoho already is not the application's to know.
    """
    customers = list(_customers())
    packages = list(_packages())
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(_INSERT_CUSTOMER, customers)
        cursor.executemany(_INSERT_PACKAGE, packages)
    return Loaded(customers=len(customers), packages=len(packages))


def _customers() -> Iterator[dict[str, Any]]:
    # A fixed seed is the point, and nothing secret is made with it.
    chance = random.Random(_SEED)  # noqa: S311
    created_at = _FIRST_CUSTOMER_AT
    # Accounts were opened in the order of their numbers.
    for row in sorted(rows("customers.csv"), key=lambda row: row["account_number"]):
        created_at += timedelta(days=chance.randint(3, 17), minutes=chance.randint(0, 400))
        city, code = chance.choice(_PLACES)
        number, street, kind = (
            chance.randint(1, 180),
            chance.choice(_STREETS),
            chance.choice(_KINDS),
        )
        phone = f"+2721555{chance.randint(0, 9999):04d}"
        tax_number = f"4{chance.randint(0, 999_999_999):09d}"
        yield {
            "account_number": row["account_number"],
            "account_type": row["account_type"],
            "first_name": row["first_name"],
            "last_name": row["last_name"],
            "company_name": row["business_name"] or None,
            "tax_number": tax_number if row["business_name"] else None,
            "email": row["email"] or None,
            "phone": phone,
            "street": f"{number} {street} {kind}",
            "city": city,
            "state": "Western Cape",
            "zip": code,
            "country": "South Africa",
            "currency": "ZAR",
            "created_at": created_at,
        }


def _packages() -> Iterator[dict[str, Any]]:
    for row in rows("packages.csv"):
        yield {
            "sku": row["sku"],
            "name": row["name"],
            "service_type": row["service_type"],
            "speed_down_mbps": int(row["speed_down_mbps"]),
            "speed_up_mbps": int(row["speed_up_mbps"]),
            "price": Decimal(row["price_zar_incl_vat"]),
            "promotion_price": Decimal(row["promotion_price_zar"]),
            "promotion_months": int(row["promotion_months"]),
        }


# ------------------------------------------------------------------------------------ the books


def load_books(connection: psycopg.Connection, books: Books) -> None:
    """Insert services, invoices and payments as of the demo day, in one transaction."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(_INSERT_SERVICE, [_service_row(one) for one in books.services])
        _write(cursor, books.invoices, books.payments, books.paid(), books.services)


def write_passed(connection: psycopg.Connection, books: Books, passed: Passed) -> None:
    """Write what the application did while its calendar passed two renewals.

    Its billing job's invoices with their payments, and each change of the books.
    """
    packages = {row["sku"]: row for row in rows("packages.csv")}
    skus = {one.name: one.sku for one in books.services}
    with connection.transaction(), connection.cursor() as cursor:
        paid = paid_on(passed.invoices, passed.payments)
        _write(cursor, passed.invoices, passed.payments, paid, books.services)
        for change in books.changes:
            price = None
            if change.what == "price":
                price = price_of(skus[change.which], change.to, packages)
            place = _places(books.services).get(change.which)
            asked = {"which": change.which, "place": place, "to": price, "on": at_noon(change.on)}
            for statement in _CHANGES[change.what]:
                cursor.execute(statement, asked)


def _write(
    cursor: psycopg.Cursor,
    invoices: Iterable[Invoice],
    payments: Iterable[Payment],
    paid: dict[str, Decimal],
    services: list[Service],
) -> None:
    places = _places(services)
    cursor.executemany(
        _INSERT_INVOICE,
        [
            {
                "number": one.number,
                "account_number": one.account_number,
                "place": places.get(one.service),
                "type": one.kind,
                "date": one.issued_on,
                "due_date": one.due_on,
                "period_start": one.first,
                "period_end": one.last,
                "subtotal": one.totals.sub_total,
                "tax_amount": one.totals.tax,
                "total_amount": one.totals.total,
                "amount_paid": paid.get(one.number, Decimal(0)),
                "tax_inclusive": one.is_inclusive,
                "status": one.status,
                "line_items": Jsonb(one.lines, dumps=_exact),
                "created_at": at_noon(one.issued_on),
            }
            for one in invoices
        ],
    )
    payments = list(payments)
    cursor.executemany(
        _INSERT_PAYMENT,
        [
            {
                "transaction_id": one.transaction_id,
                "account_number": one.account_number,
                "provider": one.provider,
                "method": one.method,
                "amount": one.amount,
                "status": one.status,
                "completed_at": at_noon(one.completed_on) if one.completed_on else None,
                "invoice": one.invoice,
            }
            for one in payments
        ],
    )
    cursor.executemany(
        _INSERT_SHARE,
        [
            {"transaction_id": one.transaction_id, "invoice": number, "amount": amount}
            for one in payments
            for number, amount in one.shares.items()
        ],
    )


def _places(services: Iterable[Service]) -> dict[str, int]:
    """Give the ids of services by name: they are counted in the order of the file."""
    return {one.name: place for place, one in enumerate(services, start=1)}


def _service_row(service: Service) -> dict[str, Any]:
    cancelled = service.cancelled_on
    return {
        "account_number": service.account_number,
        "sku": service.sku,
        "price": service.price,
        "status": service.status,
        "activated": service.activated_on,
        "billing_day": service.billing_day,
        "cancelled_at": at_noon(cancelled) if cancelled else None,
    }


def _exact(lines: object) -> str:
    """Write JSON with its decimals as numbers, as an application does: 1.5 is 1.5."""
    return json.dumps(lines, default=float)


_INSERT_CUSTOMER: Final = """
INSERT INTO customers (
  account_number, account_type, first_name, last_name, company_name, tax_number, email, phone,
  street, city, state, zip, country, currency, created_at, updated_at
) VALUES (
  %(account_number)s, %(account_type)s, %(first_name)s, %(last_name)s, %(company_name)s,
  %(tax_number)s, %(email)s, %(phone)s, %(street)s, %(city)s, %(state)s, %(zip)s, %(country)s,
  %(currency)s, %(created_at)s, %(created_at)s
)
"""

_INSERT_PACKAGE: Final = """
INSERT INTO service_packages (
  sku, name, service_type, speed_down_mbps, speed_up_mbps, price, promotion_price, promotion_months
) VALUES (
  %(sku)s, %(name)s, %(service_type)s, %(speed_down_mbps)s, %(speed_up_mbps)s, %(price)s,
  %(promotion_price)s, %(promotion_months)s
)
"""

_INSERT_SERVICE: Final = """
INSERT INTO customer_services (
  customer_id, package_id, monthly_price, status, activation_date, billing_day, cancelled_at
) VALUES (
  (SELECT id FROM customers WHERE account_number = %(account_number)s),
  (SELECT id FROM service_packages WHERE sku = %(sku)s),
  %(price)s, %(status)s, %(activated)s, %(billing_day)s, %(cancelled_at)s
)
"""

_INSERT_INVOICE: Final = """
INSERT INTO customer_invoices (
  customer_id, service_id, invoice_number, invoice_type, invoice_date, due_date, period_start,
  period_end, subtotal, tax_amount, total_amount, amount_paid, tax_inclusive, status, line_items,
  created_at, updated_at
) VALUES (
  (SELECT id FROM customers WHERE account_number = %(account_number)s),
  %(place)s, %(number)s, %(type)s, %(date)s, %(due_date)s, %(period_start)s,
  %(period_end)s, %(subtotal)s, %(tax_amount)s, %(total_amount)s, %(amount_paid)s,
  %(tax_inclusive)s, %(status)s, %(line_items)s, %(created_at)s, %(created_at)s
)
"""

_INSERT_PAYMENT: Final = """
INSERT INTO payment_transactions (
  customer_id, invoice_id, transaction_id, provider, payment_method, amount, status, completed_at
) VALUES (
  (SELECT id FROM customers WHERE account_number = %(account_number)s),
  (SELECT id FROM customer_invoices WHERE invoice_number = %(invoice)s),
  %(transaction_id)s, %(provider)s, %(method)s, %(amount)s, %(status)s, %(completed_at)s
)
"""

_INSERT_SHARE: Final = """
INSERT INTO payment_allocations (payment_id, invoice_id, amount) VALUES (
  (SELECT id FROM payment_transactions WHERE transaction_id = %(transaction_id)s),
  (SELECT id FROM customer_invoices WHERE invoice_number = %(invoice)s),
  %(amount)s
)
"""

_CHANGES: Final = {
    "price": ("UPDATE customer_services SET monthly_price = %(to)s WHERE id = %(place)s",),
    "cancel": (
        """UPDATE customer_services SET status = 'cancelled', cancelled_at = %(on)s
           WHERE id = %(place)s""",
    ),
    # A debit order that the bank took back: the invoice is owed again.
    "reverse": (
        """UPDATE customer_invoices i SET status = 'overdue', amount_paid = amount_paid - p.amount
           FROM payment_transactions p
           WHERE p.transaction_id = %(which)s AND i.id = p.invoice_id""",
        "UPDATE payment_transactions SET status = 'reversed' WHERE transaction_id = %(which)s",
    ),
    "void": ("UPDATE customer_invoices SET status = 'voided' WHERE invoice_number = %(which)s",),
}
