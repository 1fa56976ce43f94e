"""Both sides reckoned up once more: the application's tables, and fake Zoho's own state.

Nothing of billing-sync is asked but which records wait for an invoice that Zoho has not raised.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from billing_sync.domain.money import total_of
from ops.fake_zoho import Holdings

type Row = dict[str, Any]

WITHDRAWN: Final = frozenset({"draft", "cancelled", "voided"})
"""Statuses of ours of an invoice that nobody owes."""
NOT_OWED: Final = frozenset({"draft", "void"})
ENDED: Final = frozenset({"cancelled", "expired"})
BILLING_ON: Final = frozenset({"live", "future"})

_DAYS: Final = re.compile(r"from (\d+-\w+-\d+) to (\d+-\w+-\d+)")


@dataclass(frozen=True)
class Application:
    """The application's rows as they are, less those of test accounts."""

    customers: list[Row]
    services: list[Row]
    invoices: list[Row]
    payments: list[Row]
    # By payment, then by invoice.
    shares: dict[int, dict[int, Decimal]]
    waiting: frozenset[tuple[str, str]]

    @property
    def owed(self) -> list[Row]:
        """The invoices that must be in Zoho by now: issued, of an amount, and not waited for."""
        return [
            one
            for one in self.invoices
            if one["status"] not in WITHDRAWN
            and one["total_amount"] != 0
            and ("invoice", str(one["id"])) not in self.waiting
        ]

    @property
    def completed(self) -> list[Row]:
        return [one for one in self.payments if one["status"] == "completed"]


def read_application(connection: psycopg.Connection) -> Application:
    """Read all of it; `connection` may read both the application's tables and ours."""

    def all_of(table: str) -> list[Row]:
        with connection.cursor(row_factory=dict_row) as cursor:
            statement = sql.SQL("SELECT * FROM {} ORDER BY 1").format(sql.Identifier(table))
            return cursor.execute(statement).fetchall()

    customers = [one for one in all_of("customers") if one["account_type"] != "internal_test"]
    ids = {one["id"] for one in customers}
    shares: dict[int, dict[int, Decimal]] = {}
    for row in all_of("payment_allocations"):
        shares.setdefault(row["payment_id"], {})[row["invoice_id"]] = row["amount"]
    waiting = connection.execute(
        "SELECT entity_type, entity_id FROM billing_sync.records WHERE state = 'waiting'"
    ).fetchall()
    return Application(
        customers,
        [one for one in all_of("customer_services") if one["customer_id"] in ids],
        [one for one in all_of("customer_invoices") if one["customer_id"] in ids],
        [one for one in all_of("payment_transactions") if one["customer_id"] in ids],
        shares,
        frozenset((entity, id_) for entity, id_ in waiting),
    )


@dataclass(frozen=True)
class Sides:
    """One figure on both sides."""

    here: Decimal
    there: Decimal

    @property
    def equal(self) -> bool:
        return self.here == self.there

    def __str__(self) -> str:
        return f"{self.here:,.2f} here, {self.there:,.2f} in Zoho"


@dataclass(frozen=True)
class Debtor:
    """What a customer owes, and has to the good."""

    account_number: str
    owed: Sides
    credit: Sides


@dataclass(frozen=True)
class DaysBilled:
    """Days of services: how many are billed, and those that are not billed once on both sides."""

    billed: int
    twice: int
    missing: int
    too_many: int


@dataclass(frozen=True)
class Reckoning:
    """All of it, reckoned anew."""

    monthly: Sides
    invoices: Sides
    tax: Sides
    payments: Sides
    counts: dict[str, tuple[int, int]]
    debtors: list[Debtor]
    days: DaysBilled
    duplicates: dict[str, int]


def reckon(application: Application, zoho: Holdings) -> Reckoning:
    """Add both sides up, each from its own figures."""
    live = [one for one in application.services if one["status"] == "active"]
    subscriptions = [one for one in zoho.subscriptions if one["status"] in BILLING_ON]
    owed_there = [one for one in zoho.invoices if one["status"] not in NOT_OWED]
    owed_here, completed = application.owed, application.completed
    return Reckoning(
        monthly=Sides(
            total_of(one["monthly_price"] for one in live),
            total_of(_price(one) for one in subscriptions),
        ),
        invoices=Sides(
            total_of(one["total_amount"] for one in owed_here),
            _sum(owed_there, "total"),
        ),
        tax=Sides(total_of(one["tax_amount"] for one in owed_here), _sum(owed_there, "tax_total")),
        payments=Sides(total_of(one["amount"] for one in completed), _sum(zoho.payments, "amount")),
        counts={
            "subscriptions": (len(live), len(subscriptions)),
            "invoices": (len(owed_here), len(owed_there)),
            "payments": (len(completed), len(zoho.payments)),
        },
        debtors=_debtors(application, zoho),
        days=_days(application, zoho),
        duplicates=duplicates(zoho),
    )


def account_number(customer: Mapping[str, Any]) -> str | None:
    """Give the account number that a customer of Zoho shows in its custom field."""
    for one in customer["custom_fields"]:
        if one["label"] == "Account Number":
            return str(one["value"])
    return None


def duplicates(zoho: Holdings) -> dict[str, int]:
    """Count, for each entity, how many in Zoho are there beside the first of their kind."""
    return {
        "customers": _repeated(account_number(one) for one in zoho.customers),
        "products": _repeated(one["name"] for one in zoho.products),
        "plans": _repeated(one["plan_code"] for one in zoho.plans),
        "subscriptions": _repeated(
            one["reference_id"] for one in zoho.subscriptions if one["status"] not in ENDED
        ),
        "invoices": _repeated(one["number"] for one in zoho.invoices)
        + _repeated(
            (one["_subscription_id"], one["invoice_date"])
            for one in zoho.invoices
            if one["_subscription_id"]
        ),
        "payments": _repeated(one["reference_number"] for one in zoho.payments),
    }


def _repeated(keys: Iterable[object]) -> int:
    counted = Counter(key for key in keys if key)
    return sum(count - 1 for count in counted.values())


def _sum(rows: Iterable[Row], name: str) -> Decimal:
    return total_of(amount_of(one[name]) for one in rows)


def amount_of(value: object) -> Decimal:
    """Read an amount of Zoho's JSON: a short decimal, which a float's text gives back."""
    return Decimal(str(value))


def _price(subscription: Row) -> Decimal:
    """Give what a subscription will bill next: a change that waits for the term's end included."""
    scheduled = subscription["_scheduled_price"]
    return amount_of(subscription["plan"]["price"] if scheduled is None else scheduled)


# ---------------------------------------------------------------------------------- debtors


def _debtors(application: Application, zoho: Holdings) -> list[Debtor]:
    paid: dict[int, Decimal] = {}
    for payment in application.completed:
        shares = application.shares.get(payment["id"]) or {payment["invoice_id"]: payment["amount"]}
        for invoice_id, amount in shares.items():
            paid[invoice_id] = paid.get(invoice_id, Decimal(0)) + amount
    there = {account_number(one): one for one in zoho.customers}
    debtors = []
    for customer in application.customers:
        invoices = [one for one in application.owed if one["customer_id"] == customer["id"]]
        settled = {
            one["id"]: min(one["total_amount"], paid.get(one["id"], Decimal(0))) for one in invoices
        }
        total = total_of(one["total_amount"] for one in invoices)
        received = total_of(
            one["amount"] for one in application.completed if one["customer_id"] == customer["id"]
        )
        found = there.get(customer["account_number"], {"outstanding": -1, "unused_credits": -1})
        debtors.append(
            Debtor(
                customer["account_number"],
                Sides(total - total_of(settled.values()), amount_of(found["outstanding"])),
                Sides(received - total_of(settled.values()), amount_of(found["unused_credits"])),
            )
        )
    return debtors


# ------------------------------------------------------------------------------------- days


def _days(application: Application, zoho: Holdings) -> DaysBilled:
    """Hold the days that our books bill against those that Zoho's invoices bill."""
    here: Counter[tuple[str, date]] = Counter()
    ours: dict[str, Row] = {}
    for invoice in application.owed:
        ours[invoice["invoice_number"]] = invoice
        here.update(_days_of(invoice))
    references = {one["subscription_id"]: one["reference_id"] for one in zoho.subscriptions}
    there: Counter[tuple[str, date]] = Counter()
    for invoice in zoho.invoices:
        if invoice["status"] in NOT_OWED:
            continue
        if invoice["_subscription_id"]:
            service = references[invoice["_subscription_id"]]
            there.update((service, day) for day in _days_on_the_line(invoice))
        elif invoice["number"] in ours:
            there.update(_days_of(ours[invoice["number"]]))
    return DaysBilled(
        billed=len(there),
        twice=sum(1 for count in there.values() if count > 1),
        missing=len(here.keys() - there.keys()),
        too_many=len(there.keys() - here.keys()),
    )


def _days_of(invoice: Row) -> Iterable[tuple[str, date]]:
    first, last = invoice["period_start"], invoice["period_end"]
    if invoice["service_id"] is None or first is None:
        return []
    return [(str(invoice["service_id"]), day) for day in _between(first, last + timedelta(days=1))]


def _days_on_the_line(invoice: Row) -> list[date]:
    """Read the days that Zoho wrote on the line of an invoice that it raised."""
    found = _DAYS.search(invoice["invoice_items"][0]["description"])
    if found is None:
        return []
    first, end = (datetime.strptime(text, "%d-%B-%Y").date() for text in found.groups())  # noqa: DTZ007 - a day
    return _between(first, end)


def _between(first: date, end: date) -> list[date]:
    return [first + timedelta(days=count) for count in range((end - first).days)]
