"""The application's books as CSV files tell them, with all days counted from one demo day.

`data/README.md` says how days are written. Totals are computed as the domain computes them: tax
for each line, rounded half up, and nothing is added up by hand.
"""

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from billing_sync.domain.money import total_of
from billing_sync.domain.tax import Rounding, TaxedLine, TaxRate, Totals, totals_of

DATA: Final = Path(__file__).with_name("data")

STANDARD: Final = TaxRate("", "Standard Rate", Decimal(15))
ZERO: Final = TaxRate("", "Zero Rate", Decimal(0))

DUE_AFTER_DAYS: Final = 14
_NOON_IN_SOUTH_AFRICA: Final = 10
"""The hour in UTC; far enough from midnight to be the same day everywhere near."""


@dataclass(frozen=True)
class Days:
    """Read days as the files write them: `M-5/01`, `M-1/end`, `D-9`."""

    today: date

    def __call__(self, written: str) -> date:
        """Give the day; a ValueError names what is none."""
        if written.startswith("D"):
            return self.today + timedelta(days=int(written[1:]))
        month, slash, day = written.removeprefix("M").partition("/")
        if not written.startswith("M") or not slash:
            raise ValueError(f"{written!r} is no day")
        first = months_on(self.today.replace(day=1), int(month))
        if day == "end":
            return months_on(first, 1) - timedelta(days=1)
        return first.replace(day=int(day))

    def or_none(self, written: str) -> date | None:
        """Read a day that may be left out."""
        return self(written) if written else None


def months_on(day: date, months: int) -> date:
    """Give the same day of another month; only days that every month has are asked for."""
    years, month = divmod(day.month - 1 + months, 12)
    return day.replace(year=day.year + years, month=month + 1)


def at_noon(day: date) -> datetime:
    """Give the moment at which something happened on a day."""
    return datetime(day.year, day.month, day.day, _NOON_IN_SOUTH_AFRICA, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service; `pays_by` is how its customer will pay in the months to come."""

    name: str
    account_number: str
    sku: str
    price: Decimal
    status: str
    activated_on: date | None
    billing_day: int
    cancelled_on: date | None
    pays_by: str


@dataclass(frozen=True, kw_only=True)
class Invoice:
    """An invoice. `service` is the name of one, or empty."""

    number: str
    account_number: str
    service: str
    kind: str
    issued_on: date
    first: date | None
    last: date | None
    status: str
    is_inclusive: bool
    totals: Totals
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def due_on(self) -> date:
        return self.issued_on + timedelta(days=DUE_AFTER_DAYS)


@dataclass(frozen=True, kw_only=True)
class Payment:
    """A payment. `invoice` is a number, or empty; `shares` are by number, where it has several."""

    transaction_id: str
    account_number: str
    provider: str
    method: str
    amount: Decimal
    status: str
    completed_on: date | None
    invoice: str = ""
    shares: dict[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """Something that happens to a row after the demo day."""

    what: str
    which: str
    to: str
    on: date


@dataclass(frozen=True)
class Books:
    """Services, invoices and payments as of the demo day, and what changes afterwards."""

    today: date
    services: list[Service]
    invoices: list[Invoice]
    payments: list[Payment]
    changes: list[Change]

    def paid(self) -> dict[str, Decimal]:
        """Give what is paid on each invoice by completed payments, never more than its total."""
        return paid_on(self.invoices, self.payments)


def paid_on(invoices: Iterable[Invoice], payments: Iterable[Payment]) -> dict[str, Decimal]:
    """Add up the shares of completed payments, by invoice number; what is over is credit."""
    totals = {one.number: one.totals.total for one in invoices}
    paid: dict[str, Decimal] = {}
    for payment in payments:
        if payment.status != "completed":
            continue
        shares = payment.shares or {payment.invoice: payment.amount}
        for number, amount in shares.items():
            if number:
                together = paid.get(number, Decimal(0)) + amount
                paid[number] = min(together, totals[number])
    return paid


def read_books(today: date) -> Books:
    """Read all files as of a day."""
    days = Days(today)
    packages = {row["sku"]: row for row in rows("packages.csv")}
    services = [_service(row, packages, days) for row in rows("services.csv")]
    prices = {one.name: one.price for one in services}
    invoices = [_invoice(row, prices, days) for row in rows("invoices.csv")]
    shares: dict[str, dict[str, Decimal]] = {}
    for row in rows("payment_allocations.csv"):
        shares.setdefault(row["transaction_id"], {})[row["invoice"]] = Decimal(row["amount"])
    totals = {one.number: one.totals.total for one in invoices}
    payments = [_payment(row, totals, shares, days) for row in rows("payments.csv")]
    changes = [
        Change(row["what"], row["which"], row["to"], days(row["on"])) for row in rows("changes.csv")
    ]
    return Books(today, services, invoices, payments, changes)


def rows(name: str) -> list[dict[str, str]]:
    """Read one file of `ops/demo/data`."""
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def price_of(sku: str, kind: str, packages: dict[str, dict[str, str]]) -> Decimal:
    """Give a package's `list` or `promotion` price."""
    columns = {"list": "price_zar_incl_vat", "promotion": "promotion_price_zar"}
    return Decimal(packages[sku][columns[kind]])


def _service(row: dict[str, str], packages: dict[str, dict[str, str]], days: Days) -> Service:
    return Service(
        name=row["service"],
        account_number=row["account_number"],
        sku=row["sku"],
        price=price_of(row["sku"], row["price"], packages),
        status=row["status"],
        activated_on=days.or_none(row["activated"]),
        billing_day=int(row["billing_day"]),
        cancelled_on=days.or_none(row["cancelled"]),
        pays_by=row["pays_by"],
    )


def _invoice(row: dict[str, str], prices: dict[str, Decimal], days: Days) -> Invoice:
    lines = json.loads(row["line_items"] or "[]", parse_float=Decimal)
    is_inclusive = row["tax_inclusive"] == "yes"
    if row["total"]:
        total = prices[row["service"]] if row["total"] == "price" else Decimal(row["total"])
        totals = taxed([TaxedLine(total, Decimal(1), STANDARD)], is_inclusive=True)
    else:
        totals = taxed([_line(line) for line in lines], is_inclusive=is_inclusive)
    first = days.or_none(row["period_start"])
    last = days.or_none(row["period_end"])
    if first is not None and last is None:
        last = last_day_of(first)
    return Invoice(
        number=row["number"],
        account_number=row["account_number"],
        service=row["service"],
        kind=row["type"],
        issued_on=days(row["date"]),
        first=first,
        last=last,
        status=row["status"],
        is_inclusive=is_inclusive,
        totals=totals,
        lines=lines,
    )


def _line(line: dict[str, Any]) -> TaxedLine:
    price = Decimal(line["unit_price"] if "unit_price" in line else line["price"])
    tax = ZERO if line.get("tax") == "zero" else STANDARD
    return TaxedLine(price, Decimal(line["quantity"]), tax)


def _payment(
    row: dict[str, str],
    totals: dict[str, Decimal],
    shares: dict[str, dict[str, Decimal]],
    days: Days,
) -> Payment:
    return Payment(
        transaction_id=row["transaction_id"],
        account_number=row["account_number"],
        provider=row["provider"],
        method=row["method"],
        amount=Decimal(row["amount"]) if row["amount"] else totals[row["invoice"]],
        status=row["status"],
        completed_on=days.or_none(row["completed"]),
        invoice=row["invoice"],
        shares=shares.get(row["transaction_id"], {}),
    )


def taxed(lines: list[TaxedLine], *, is_inclusive: bool) -> Totals:
    """Add an invoice up, its tax rounded for each line."""
    return totals_of(lines, inclusive=is_inclusive, rounding=Rounding.LINE)


def last_day_of(first: date) -> date:
    """Give the last day of the month that begins on a day."""
    return months_on(first, 1) - timedelta(days=1)


# ------------------------------------------------------------------------- the months to come


@dataclass(frozen=True)
class Passed:
    """What the application wrote while its calendar passed some renewals."""

    invoices: list[Invoice]
    payments: list[Payment]


BILLED_AHEAD_DAYS: Final = 2
"""The application writes an invoice so long before its period begins."""
PAID_AFTER_DAYS: Final = 2
ZOHO_PAGE: Final = "zoho_page"
"""Paid on Zoho's own page: the payment is in Zoho before it is here."""

_WAYS: Final = {
    "debit_order": ("netcash", "debit_order"),
    "card": ("payfast", "card"),
    "eft": ("bank", "eft"),
    "eft_together": ("bank", "eft"),
    ZOHO_PAGE: ("zoho_billing", "card"),
}


def pass_until(books: Books, until: date) -> Passed:
    """Bill every active service for the periods that begin until a day, as a billing job would.

    Each invoice is its service's price, VAT inside. It is paid two days after its period began,
    alone or together with the customer's others of that day; some pay nothing.
    """
    begun = sorted(
        (first, service.name, service)
        for service in books.services
        if service.status == "active"
        for first in _periods(service, books, until + timedelta(days=BILLED_AHEAD_DAYS))
    )
    number = _counter(one.number for one in books.invoices)
    invoices = [_renewal(number(), service, first, until) for first, _, service in begun]
    by_name = {one.name: one for one in books.services}
    transaction = _counter(one.transaction_id for one in books.payments)
    payments: list[Payment] = []
    groups: dict[tuple[date, str, str], list[Invoice]] = {}
    for invoice in invoices:
        service = by_name[invoice.service]
        together = service.pays_by == "eft_together"
        who = service.account_number if together else service.name
        groups.setdefault((invoice.issued_on, who, service.pays_by), []).append(invoice)
    for (first, _, pays_by), group in sorted(groups.items(), key=lambda each: each[0]):
        paid_on_day = first + timedelta(days=PAID_AFTER_DAYS)
        if pays_by in _WAYS and paid_on_day <= until:
            payments.append(_payment_of(transaction(), group, pays_by, paid_on_day))
    paid = paid_on(invoices, payments)
    return Passed([_settled(one, paid.get(one.number)) for one in invoices], payments)


def _periods(service: Service, books: Books, until: date) -> list[date]:
    """Give the first days of the periods that no invoice bills yet."""
    billed = {
        one.first for one in books.invoices if one.service == service.name and one.first is not None
    }
    first = books.today.replace(day=service.billing_day)
    found = []
    while first <= until:
        if first >= books.today and first not in billed:
            found.append(first)
        first = months_on(first, 1)
    return found


def _renewal(number: str, service: Service, first: date, today: date) -> Invoice:
    invoice = Invoice(
        number=number,
        account_number=service.account_number,
        service=service.name,
        kind="recurring",
        issued_on=first,
        first=first,
        last=last_day_of(first),
        status="sent",
        is_inclusive=True,
        totals=taxed([TaxedLine(service.price, Decimal(1), STANDARD)], is_inclusive=True),
    )
    return _with(invoice, "overdue") if invoice.due_on < today else invoice


def _settled(invoice: Invoice, paid: Decimal | None) -> Invoice:
    return _with(invoice, "paid") if paid == invoice.totals.total else invoice


def _with(invoice: Invoice, status: str) -> Invoice:
    return Invoice(**{**invoice.__dict__, "status": status})


def _payment_of(transaction_id: str, group: list[Invoice], pays_by: str, on: date) -> Payment:
    provider, method = _WAYS[pays_by]
    shares = {one.number: one.totals.total for one in group}
    return Payment(
        transaction_id=transaction_id,
        account_number=group[0].account_number,
        provider=provider,
        method=method,
        amount=total_of(shares.values()),
        status="completed",
        completed_on=on,
        invoice=group[0].number if len(group) == 1 else "",
        shares=shares if len(group) > 1 else {},
    )


def _counter(used: Iterable[str]) -> Callable[[], str]:
    """Go on counting where a series of numbers ends."""
    last = max(used)
    prefix, _, digits = last.rpartition("-")
    count = int(digits)

    def following() -> str:
        nonlocal count
        count += 1
        return f"{prefix}-{count:0{len(digits)}d}"

    return following
