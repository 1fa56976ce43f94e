"""The rows of an application, as many as are asked for, made up and alike.

Every price is R 460.00 with R 60.00 of VAT in it. Ids count from 1, so that the service 7 is the
customer 7's; invoices and payments go round the customers.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

TODAY: Final = date(2036, 3, 10)
"""Where both calendars stand: a day that will come to nobody's measurement by itself."""

PRICE: Final = Decimal("460.00")

# A hundred people behind one thousand names: namesakes happen, as they do.
_CUSTOMERS: Final = """
INSERT INTO customers (account_number, account_type, first_name, last_name, email, phone, street,
                       city, state, zip, country, currency, created_at, updated_at)
SELECT 'CT-2025-' || lpad(n::text, 5, '0'), 'personal', 'First' || n % 100, 'Last' || n % 1000,
       'customer' || n || '@example.com', '+2721' || lpad(n::text, 7, '0'), n || ' Protea Street',
       'Paarl', 'Western Cape', '7646', 'South Africa', 'ZAR',
       timestamptz '2025-01-01 00:00:00+00' + n * interval '1 minute',
       timestamptz '2025-01-01 00:00:00+00' + n * interval '1 minute'
FROM generate_series(1, :count) AS n
"""

_PACKAGE: Final = """
INSERT INTO service_packages (sku, name, service_type, speed_down_mbps, speed_up_mbps, price)
VALUES ('BENCH-10', 'Bench 10', 'Bench', 10, 10, :price)
"""

_SERVICES: Final = """
INSERT INTO customer_services (id, customer_id, package_id, monthly_price, status, activation_date,
                               billing_day)
SELECT n, n, 1, :price, 'active', :activated, extract(day FROM CAST(:activated AS date))
FROM generate_series(1, :count) AS n
"""

_ONE_OFF_INVOICES: Final = """
INSERT INTO customer_invoices (id, customer_id, invoice_number, invoice_type, invoice_date,
                               due_date, subtotal, tax_amount, total_amount, amount_paid, status)
SELECT :after + n, 1 + (n - 1) % :customers, 'CTI-' || lpad((:after + n)::text, 6, '0'),
       'installation', :day, CAST(:day AS date) + 7, 400, 60, :price,
       CASE WHEN :status = 'paid' THEN CAST(:price AS numeric) ELSE 0 END, :status
FROM generate_series(1, :count) AS n
"""

_RECURRING_INVOICES: Final = """
INSERT INTO customer_invoices (id, customer_id, service_id, invoice_number, invoice_type,
                               invoice_date, due_date, period_start, period_end,
                               subtotal, tax_amount, total_amount, amount_paid, status)
SELECT :after + n, customer, customer, 'CTI-' || lpad((:after + n)::text, 6, '0'), 'recurring',
       first, first + 7, first, CAST(first + interval '1 month' AS date) - 1, 400, 60, :price,
       CASE WHEN :status = 'paid' THEN CAST(:price AS numeric) ELSE 0 END, :status
FROM (SELECT n, 1 + (n - 1) % :customers AS customer,
             CAST(CAST(:day AS date) - ((n - 1) / :customers) * interval '1 month' AS date) AS first
      FROM generate_series(1, :count) AS n) AS months
"""

_PAYMENTS: Final = """
INSERT INTO payment_transactions (id, transaction_id, provider, amount, status, payment_method,
                                  customer_id, invoice_id, completed_at)
SELECT i.id, 'TX-' || i.id, 'netcash', i.total_amount, 'completed', 'debit_order', i.customer_id,
       i.id, i.due_date + interval '9 hours'
FROM customer_invoices i WHERE i.id > :after ORDER BY i.id LIMIT :count
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """A statement that the application runs, and its values."""

    statement: str
    values: dict[str, object]


def customers(count: int) -> Rows:
    """Add customers."""
    return Rows(_CUSTOMERS, {"count": count})


def package() -> Rows:
    """Add the one package that there is."""
    return Rows(_PACKAGE, {"price": PRICE})


def services(count: int, *, activated: date = TODAY) -> Rows:
    """Add a service for each of the first so many customers."""
    return Rows(_SERVICES, {"count": count, "activated": activated, "price": PRICE})


def one_off_invoices(
    count: int, *, customers: int, after: int = 0, day: date = TODAY, status: str = "sent"
) -> Rows:
    """Add invoices of installations, ids from `after` + 1 on."""
    return _invoices(_ONE_OFF_INVOICES, count, customers, after, day, status)


def recurring_invoices(
    count: int, *, customers: int, after: int = 0, day: date = TODAY, status: str = "sent"
) -> Rows:
    """Add the months of services, ids from `after` + 1 on: the one from `day` on, and earlier ones.

    A service has one a month; so many months back as the count needs.
    """
    return _invoices(_RECURRING_INVOICES, count, customers, after, day, status)


def _invoices(
    statement: str, count: int, customers: int, after: int, day: date, status: str
) -> Rows:
    values = {"count": count, "customers": customers, "after": after, "day": day, "status": status}
    return Rows(statement, {**values, "price": PRICE})


def payments(count: int, *, after: int = 0) -> Rows:
    """Add a payment of each invoice whose id follows `after`, under the invoice's own id."""
    return Rows(_PAYMENTS, {"count": count, "after": after})
