"""Who bills which day: us, by an invoice that we push, or Zoho, by a subscription. Never both.

    local invoices   |--- Jan ---|--- Feb ---|--- Mar ---|--- Apr ---|
    subscription                             S──────────────────────────►  raises Mar, Apr, ...
    owner                ours        ours      Zoho's      Zoho's
                       (history, or skipped      (linked to the
                       before the cut-over)      one Zoho raised)

A day of a service that our books bill is billed in Zoho exactly once: by the subscription from S
on, and before it by the invoice that we push. S itself is chosen so that no local period lies
across it (`first_day_in_zoho`); one that appears later is refused, never billed twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Final, Self

from billing_sync.domain.errors import Unsendable
from billing_sync.domain.money import amount_of, figure
from billing_sync.domain.source import Invoice

DAY: Final = timedelta(days=1)
BILLING_DAYS: Final = range(1, 29)
"""Days of the month that every month has."""


WITHDRAWN: Final = frozenset(("cancelled", "voided"))
"""Statuses of an invoice that bills nothing any more."""


class RecurringInvoicesOwner(StrEnum):
    """Who raises recurring invoices. `APPLICATION`: services are not sent as subscriptions."""

    ZOHO = "zoho"
    APPLICATION = "application"


class Owner(StrEnum):
    """Whose an invoice is, and what therefore becomes of it."""

    ONE_OFF = "one_off"
    """Ours: pushed under its own number."""
    HISTORY = "history"
    """A recurring one of before the subscription: ours, pushed under its own number."""
    ZOHO = "zoho"
    """Raised by Zoho's subscription: linked, never pushed."""
    BEFORE_CUT_OVER = "before_cut_over"
    ZERO = "zero"
    DRAFT = "draft"

    @property
    def is_ours(self) -> bool:
        """Whether we push it."""
        return self in {Owner.ONE_OFF, Owner.HISTORY}

    @property
    def skipped(self) -> str | None:
        """Why nothing becomes of it in Zoho, None where something does."""
        return _SKIPPED.get(self)


_SKIPPED: Final = {
    Owner.BEFORE_CUT_OVER: "before cut-over",
    Owner.ZERO: "zero amount",
    Owner.DRAFT: "draft",
}


@dataclass(frozen=True, slots=True)
class Ownership:
    """The configuration that decides owners. A cut-over of None carries all of history over."""

    recurring_invoices: RecurringInvoicesOwner = RecurringInvoicesOwner.ZOHO
    recurring_types: frozenset[str] = field(default=frozenset({"recurring"}))
    invoices_from: date | None = None
    payments_from: date | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Days that a subscription bills in Zoho; `ends_before` is the first day that it does not."""

    starts_on: date
    ends_before: date | None = None

    def holds(self, day: date) -> bool:
        """Say whether Zoho bills this day."""
        return self.starts_on <= day and (self.ends_before is None or day < self.ends_before)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """Days that a local invoice bills, first and last."""

    first: date
    last: date

    @classmethod
    def of(cls, invoice: Invoice, billing_day: int | None = None) -> Self | None:
        """Read an invoice's period, None where it names no first day.

        Some applications write the last day of a period, others the first day after it. An end
        that is a billing day, or a whole number of months on, is the first day of the next one.
        """
        first, end = invoice.period_start, invoice.period_end
        if first is None:
            return None
        if end is None or end <= first:
            return cls(first, first)
        begins_the_next = end.day in {billing_day, first.day}
        return cls(first, end - DAY if begins_the_next else end)

    def lies_across(self, day: date) -> bool:
        """Say whether it began before the day and holds it."""
        return self.first < day <= self.last


def owner_of(
    invoice: Invoice,
    spans: Sequence[Span],
    ownership: Ownership,
    *,
    billing_day: int | None = None,
) -> Owner:
    """Decide whose an invoice is.

    `spans` are the days that its service's subscriptions bill in Zoho, planned ones included: an
    invoice of no service, or of one without subscription, is ours.

    :raises Unsendable: a negative amount; no amount; a recurring one without period, or whose
        period lies across the day from which Zoho bills.
    """
    if word_of(invoice.status) == "draft":
        return Owner.DRAFT
    total = amount_of(invoice.total_amount, "total_amount")
    if total < 0:
        raise Unsendable(
            "credit_note_needed",
            "total_amount",
            f"total_amount is {figure(total)}, below 0.00: a credit note is needed.",
        )
    if total == 0:
        return Owner.ZERO
    is_recurring = word_of(invoice.invoice_type) in ownership.recurring_types
    billed_by_zoho = (
        spans
        if is_recurring and ownership.recurring_invoices is RecurringInvoicesOwner.ZOHO
        else ()
    )
    period = Period.of(invoice, billing_day)
    if period is not None and any(span.holds(period.first) for span in billed_by_zoho):
        return Owner.ZOHO
    if _is_before(invoice.invoice_date, ownership.invoices_from):
        return Owner.BEFORE_CUT_OVER
    if billed_by_zoho and period is None:
        raise Unsendable(
            "period_start_missing",
            "period_start",
            "period_start is empty: whether Zoho bills these days cannot be told.",
        )
    across = next(
        (span for span in billed_by_zoho if period and period.lies_across(span.starts_on)), None
    )
    is_withdrawn = word_of(invoice.status) in WITHDRAWN
    if across is not None and period is not None and not is_withdrawn:
        raise Unsendable(
            "period_lies_across_start",
            "period_start",
            f"The period {period.first} to {period.last} lies across {across.starts_on}, from"
            " which Zoho bills: some days would be billed twice.",
        )
    return Owner.HISTORY if is_recurring else Owner.ONE_OFF


def next_billing_day(on_or_after: date, billing_day: int) -> date:
    """Give the first billing day that is not before a date."""
    this_month = on_or_after.replace(day=billing_day)
    if this_month >= on_or_after:
        return this_month
    # The first of the next month: from any day, 32 - day days on.
    return (on_or_after.replace(day=1) + timedelta(days=32)).replace(day=billing_day)


def first_day_in_zoho(
    *,
    activated_on: date,
    billing_day: int,
    today: date,
    billed: Iterable[Period],
    recurring: Iterable[Period],
    not_before: date | None = None,
) -> date:
    """Choose the day from which Zoho bills a service, on the day of sending (design §9).

    `recurring` are the periods of its recurring invoices here: those from the chosen day on will be
    Zoho's, so none may lie across it. `billed` are those of its other invoices (pro-rata), which
    stay ours: it begins after them all. `not_before` is the end of a former subscription.

    A service without a past starts on its activation; any other on its next billing day, and what
    lies before stays with the invoices that our own books have for it.
    """
    ours, theirs = sorted(billed), sorted(recurring)
    has_past = bool(ours or theirs) or not_before is not None or activated_on < today
    if not has_past:
        return activated_on
    earliest = max(
        today,
        activated_on,
        *(period.last + DAY for period in ours),
        *(() if not_before is None else (not_before,)),
    )
    day = next_billing_day(earliest, billing_day)
    while any(period.lies_across(day) for period in theirs):
        day = next_billing_day(day + DAY, billing_day)
    return day


def is_payment_before_cut_over(paid_on: date, ownership: Ownership) -> bool:
    """Say whether a payment without invoice is left out; one with invoices follows them."""
    return _is_before(paid_on, ownership.payments_from)


def _is_before(day: date | None, cut_over: date | None) -> bool:
    return day is not None and cut_over is not None and day < cut_over


def word_of(text: str | None) -> str:
    """Bring a word of a status or type column into the form in which it is compared."""
    return (text or "").strip().casefold()
