"""Discrepancies of money between the two sides: found by pure comparison, told as findings.

One word and one list for preflight, plan and verify: what is found here becomes one `Finding` for
each code, with its records and what it is worth (a month's, where it recurs).
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from billing_sync.domain.errors import Unsendable
from billing_sync.domain.findings import RECORDS_IN_A_FINDING
from billing_sync.domain.money import figure, total_of
from billing_sync.domain.ownership import WITHDRAWN, Ownership, Period, Span, word_of
from billing_sync.domain.remote import RemoteInvoice, RemoteSubscription
from billing_sync.domain.source import Invoice, Service
from billing_sync.domain.steps import Finding, Severity
from billing_sync.domain.subscriptions import ENDED, ENDING
from billing_sync.domain.tax import MoneyRules, inclusive_price_of

A_MONTH: Final = range(28, 32)


class Code(StrEnum):
    """What can be out of step with money in it."""

    SERVICE_WITHOUT_SUBSCRIPTION = "service_without_subscription"
    SUBSCRIPTION_WITHOUT_SERVICE = "subscription_without_service"
    TWO_CUSTOMERS_FOR_ONE_ACCOUNT = "two_customers_for_one_account"
    ONE_CUSTOMER_FOR_TWO_ACCOUNTS = "one_customer_for_two_accounts"
    FULL_AND_PRO_RATA = "full_invoice_and_pro_rata"
    PAID_HERE_OPEN_THERE = "paid_here_open_there"
    PAID_WITHOUT_PAYMENTS = "paid_without_payments"
    PRICE_AND_INVOICE_DIFFER = "price_and_invoice_differ"
    NUMBERS_IN_ZOHOS_SERIES = "numbers_in_zohos_series"
    TWO_SUBSCRIPTIONS_FOR_ONE_SERVICE = "two_subscriptions_for_one_service"
    ONE_NUMBER_TWICE = "one_number_twice"
    GONE_IN_ZOHO = "gone_in_zoho"
    LATE_PRICE_CHANGE = "late_price_change"


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One record out of step. `record` is an id of ours, or of Zoho where we have none."""

    code: Code
    record: str
    amount: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Telling:
    """How a code is told: its gravity, what it means, and what to do."""

    severity: Severity
    means: str
    what_to_do: str
    recurs: bool = False


TELLINGS: Final[Mapping[Code, Telling]] = {
    Code.SERVICE_WITHOUT_SUBSCRIPTION: Telling(
        Severity.WARNING,
        "Active services without a subscription, which Zoho does not bill",
        "Run the backfill's phase subscriptions, or mend what the services' records say.",
        recurs=True,
    ),
    Code.SUBSCRIPTION_WITHOUT_SERVICE: Telling(
        Severity.WARNING,
        "Subscriptions that bill on in Zoho, their services cancelled or gone here",
        "Cancel them in Zoho, or set the service right here.",
        recurs=True,
    ),
    Code.TWO_CUSTOMERS_FOR_ONE_ACCOUNT: Telling(
        Severity.RED,
        "Accounts that several customers in Zoho bear",
        "Merge them in Zoho, then link the one that stays.",
    ),
    Code.ONE_CUSTOMER_FOR_TWO_ACCOUNTS: Telling(
        Severity.WARNING,
        "Customers in Zoho that bear the numbers of several accounts",
        "Give each account a customer of its own in Zoho, and link them.",
    ),
    Code.FULL_AND_PRO_RATA: Telling(
        Severity.WARNING,
        "Services billed both by a pro-rata invoice and by a full one for the same days",
        "Void or credit one of the two.",
    ),
    Code.PAID_HERE_OPEN_THERE: Telling(
        Severity.WARNING,
        "Invoices paid here and open in Zoho",
        "See what became of their payments; Zoho may remind the customer of them.",
    ),
    Code.PAID_WITHOUT_PAYMENTS: Telling(
        Severity.WARNING,
        "Invoices paid here without payments that explain it, and so open in Zoho",
        "Enter the payments that are missing here, or correct the amount paid.",
    ),
    Code.PRICE_AND_INVOICE_DIFFER: Telling(
        Severity.WARNING,
        "Services whose last recurring invoice here is not their price, which Zoho bills",
        "Correct the service's price, or the way in which it is invoiced here.",
        recurs=True,
    ),
    Code.NUMBERS_IN_ZOHOS_SERIES: Telling(
        Severity.WARNING,
        "Patterns of our invoice numbers by which Zoho numbers its own, so that they collide",
        "Give Zoho's own series another prefix (Settings, Invoices, number series).",
    ),
    Code.TWO_SUBSCRIPTIONS_FOR_ONE_SERVICE: Telling(
        Severity.RED,
        "Services that several live subscriptions in Zoho bill",
        "Cancel all but one of them in Zoho, and credit what the others billed.",
    ),
    Code.ONE_NUMBER_TWICE: Telling(
        Severity.RED,
        "Invoice numbers that several invoices in Zoho bear",
        "Void or delete those that are not the customer's.",
    ),
    Code.GONE_IN_ZOHO: Telling(
        Severity.RED,
        "Records that were deleted or merged in Zoho",
        "Link them to what took their place, or accept them as gone.",
    ),
    Code.LATE_PRICE_CHANGE: Telling(
        Severity.WARNING,
        "Changed prices that will not reach Zoho before the renewal",
        "Correct the invoices that Zoho raises at that renewal, or run the backfill sooner.",
        recurs=True,
    ),
}


DUPLICATES: Final = frozenset(
    (
        Code.TWO_CUSTOMERS_FOR_ONE_ACCOUNT,
        Code.TWO_SUBSCRIPTIONS_FOR_ONE_SERVICE,
        Code.ONE_NUMBER_TWICE,
    )
)
"""What stands in Zoho twice."""


def findings_of(discrepancies: Iterable[Discrepancy], *, currency: str) -> list[Finding]:
    """Tell discrepancies as findings, one for each code, what is worth most first."""
    by_code: dict[Code, dict[str, Decimal]] = defaultdict(dict)
    for each in discrepancies:
        amounts = by_code[each.code]
        amounts[each.record] = amounts.get(each.record, Decimal(0)) + each.amount
    findings = []
    for code, telling in TELLINGS.items():
        amounts = by_code.get(code, {})
        if not amounts:
            continue
        worth = total_of(abs(amount) for amount in amounts.values())
        money = ""
        if worth:
            money = f" ({currency} {figure(worth)}{' a month' if telling.recurs else ''})"
        ordered = sorted(amounts, key=lambda record: (-abs(amounts[record]), record))
        findings.append(
            Finding(
                code=code.value,
                severity=telling.severity,
                sentence=f"{telling.means}: {len(amounts)}{money}.",
                what_to_do=telling.what_to_do,
                count=len(amounts),
                records=tuple(ordered[:RECORDS_IN_A_FINDING]),
            )
        )
    return findings


# --------------------------------------------------------------------- services, subscriptions


def services_without_subscription(
    services: Iterable[Service], subscribed: Collection[str], rules: MoneyRules
) -> list[Discrepancy]:
    """Find active services that nothing bills in Zoho; `subscribed` are ids of services."""
    return [
        Discrepancy(Code.SERVICE_WITHOUT_SUBSCRIPTION, service.id, gross_price(service, rules))
        for service in services
        if word_of(service.status) == "active" and service.id not in subscribed
    ]


def subscriptions_without_service(
    found: Iterable[RemoteSubscription],
    services: Mapping[str, Service],
    held: Mapping[str, str],
    *,
    today: date,
    time_zone: ZoneInfo,
) -> list[Discrepancy]:
    """Find subscriptions that go on billing for a service that is cancelled or gone.

    `held` says which service's record holds a Zoho id. What neither a record nor a reference ties
    to a service is not ours, and finance's own business. One cancelled for a day to come is not
    out of step.
    """
    out = []
    for row in found:
        if row.status in ENDED or row.status == ENDING:
            continue
        service_id = held.get(row.zoho_id)
        if service_id is None and row.reference_id in services:
            service_id = row.reference_id
        if service_id is None:
            continue
        service = services.get(service_id)
        if service is not None and not _has_ended(service, today, time_zone):
            continue
        amount = row.price if row.price is not None else (row.amount or Decimal(0))
        out.append(Discrepancy(Code.SUBSCRIPTION_WITHOUT_SERVICE, row.zoho_id, amount))
    return out


def _has_ended(service: Service, today: date, time_zone: ZoneInfo) -> bool:
    if word_of(service.status) != "cancelled":
        return False
    return (
        service.cancelled_at is None or service.cancelled_at.astimezone(time_zone).date() <= today
    )


def prices_that_differ_from_invoices(
    services: Iterable[Service],
    invoices: Mapping[str, Sequence[Invoice]],
    ownership: Ownership,
    rules: MoneyRules,
) -> list[Discrepancy]:
    """Find services whose last full recurring invoice here is not their price, tax included.

    `invoices` are by service. A shorter or longer period than a month is priced otherwise.
    """
    out = []
    for service in services:
        if word_of(service.status) != "active" or service.monthly_price is None:
            continue
        last: tuple[date, Decimal] | None = None
        for invoice in invoices.get(service.id, ()):
            period = Period.of(invoice, service.billing_day)
            if (
                period is None
                or invoice.total_amount is None
                or word_of(invoice.status) in {"draft", *WITHDRAWN}
                or word_of(invoice.invoice_type) not in ownership.recurring_types
                or (period.last - period.first).days + 1 not in A_MONTH
            ):
                continue
            if last is None or period.first > last[0]:
                last = (period.first, invoice.total_amount)
        if last is not None and last[1] != gross_price(service, rules):
            amount = last[1] - gross_price(service, rules)
            out.append(Discrepancy(Code.PRICE_AND_INVOICE_DIFFER, service.id, amount))
    return out


def full_and_pro_rata(
    invoices: Mapping[str, Sequence[Invoice]],
    spans: Mapping[str, Sequence[Span]],
    ownership: Ownership,
) -> list[Discrepancy]:
    """Find services whose pro-rata invoice bills days that a full one, or Zoho, bills too.

    A pro-rata is a one-off invoice with a period of more than a day: other one-offs bill no days.
    """
    out = []
    for service_id, rows in invoices.items():
        full: list[Period] = []
        parts: list[tuple[Period, Decimal]] = []
        for invoice in rows:
            period = Period.of(invoice)
            if period is None or word_of(invoice.status) in {"draft", *WITHDRAWN}:
                continue
            if word_of(invoice.invoice_type) in ownership.recurring_types:
                full.append(period)
            elif period.last > period.first:
                parts.append((period, invoice.total_amount or Decimal(0)))
        out += [
            Discrepancy(Code.FULL_AND_PRO_RATA, service_id, amount)
            for part, amount in parts
            if any(_overlap(part, each) for each in full)
            or any(_bills(span, part) for span in spans.get(service_id, ()))
        ]
    return out


def _overlap(one: Period, other: Period) -> bool:
    return one.first <= other.last and other.first <= one.last


def _bills(span: Span, period: Period) -> bool:
    return span.starts_on <= period.last and (
        span.ends_before is None or period.first < span.ends_before
    )


def gross_price(service: Service, rules: MoneyRules) -> Decimal:
    """Give the monthly price with tax; a service that cannot be priced is worth nothing."""
    price = service.monthly_price
    if price is None or not price.is_finite():
        return Decimal(0)
    if service.price_includes_tax:
        return price
    try:
        percentage = rules.taxes.of_price("monthly_price").percentage
    except Unsendable:
        return price
    return inclusive_price_of(price, percentage, rules.precision)


# --------------------------------------------------------------------------------- customers


def customers_and_accounts(shown: Mapping[str, Collection[str]]) -> list[Discrepancy]:
    """Find accounts with several customers in Zoho, and customers with several accounts.

    `shown` are, for each customer of Zoho, the account numbers of ours that it bears, in its custom
    field or its name.
    """
    bearers: dict[str, set[str]] = defaultdict(set)
    for zoho_id, accounts in shown.items():
        for account in accounts:
            bearers[account].add(zoho_id)
    return [
        *(
            Discrepancy(Code.TWO_CUSTOMERS_FOR_ONE_ACCOUNT, account)
            for account, ids in sorted(bearers.items())
            if len(ids) > 1
        ),
        *(
            Discrepancy(Code.ONE_CUSTOMER_FOR_TWO_ACCOUNTS, zoho_id)
            for zoho_id, accounts in sorted(shown.items())
            if len(set(accounts)) > 1
        ),
    ]


# ---------------------------------------------------------------------- invoices and payments


def paid_here_open_there(
    pairs: Iterable[tuple[Invoice, RemoteInvoice]],
) -> list[Discrepancy]:
    """Find invoices that are paid by our books and have something open in Zoho."""
    return [
        Discrepancy(Code.PAID_HERE_OPEN_THERE, invoice.id, found.balance)
        for invoice, found in pairs
        if word_of(invoice.status) == "paid"
        and found.status not in {"draft", "void"}
        and found.balance is not None
        and found.balance > 0
    ]


def paid_without_payments(
    invoices: Iterable[Invoice], shares: Mapping[str, Decimal]
) -> list[Discrepancy]:
    """Find invoices whose amount paid is more than the shares of completed payments make up."""
    out = []
    for invoice in invoices:
        if word_of(invoice.status) in {"draft", *WITHDRAWN} or invoice.amount_paid is None:
            continue
        unexplained = invoice.amount_paid - shares.get(invoice.id, Decimal(0))
        if unexplained > 0:
            out.append(Discrepancy(Code.PAID_WITHOUT_PAYMENTS, invoice.id, unexplained))
    return out


def numbers_in_zohos_series(ours: Iterable[str], zohos: Iterable[str]) -> list[Discrepancy]:
    """Find patterns of invoice numbers that both sides count in; the record is the pattern.

    `zohos` are the numbers of invoices that no record of ours holds. A pattern is all but the last
    run of digits, which is what a series counts up: `INV-2025-00012` is of `INV-2025-#`.
    """
    shared = _patterns(ours) & _patterns(zohos)
    return [Discrepancy(Code.NUMBERS_IN_ZOHOS_SERIES, pattern) for pattern in sorted(shared)]


def _patterns(numbers: Iterable[str]) -> set[str]:
    found = (re.fullmatch(r"(.*?)\d+(\D*)", number.strip()) for number in numbers)
    return {f"{each[1]}#{each[2]}" for each in found if each is not None}
