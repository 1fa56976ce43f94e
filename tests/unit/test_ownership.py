"""Each day of each service that our books bill is billed in Zoho exactly once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.errors import Unsendable
from billing_sync.domain.ownership import (
    Owner,
    Ownership,
    Period,
    RecurringInvoicesOwner,
    Span,
    first_day_in_zoho,
    is_payment_before_cut_over,
    next_billing_day,
    owner_of,
)
from billing_sync.domain.source import Invoice, Service
from billing_sync.domain.subscriptions import start_of

ZOHO = Ownership()
APPLICATION = Ownership(RecurringInvoicesOwner.APPLICATION)
FEBRUARY = date(2025, 2, 1)
FROM_FEBRUARY = [Span(FEBRUARY)]


def invoice(**columns: Any) -> Invoice:
    row: dict[str, Any] = {
        "id": "1",
        "updated_at": datetime(2025, 1, 1, tzinfo=UTC),
        "customer_id": "1",
        "service_id": "1",
        "invoice_number": "INV-1",
        "invoice_type": "recurring",
        "invoice_date": date(2025, 1, 1),
        "period_start": date(2025, 1, 1),
        "period_end": date(2025, 1, 31),
        "total_amount": Decimal("459.00"),
        "status": "sent",
    }
    return Invoice.model_validate(row | columns)


def billing(first: date, last: date, **columns: Any) -> Invoice:
    return invoice(period_start=first, period_end=last, invoice_date=first, **columns)


# -------------------------------------------------------------------------------- one invoice


@pytest.mark.parametrize(
    ("columns", "owner"),
    [
        ({}, Owner.HISTORY),
        ({"period_start": FEBRUARY, "period_end": date(2025, 2, 28)}, Owner.ZOHO),
        ({"period_start": date(2025, 3, 1), "period_end": date(2025, 3, 31)}, Owner.ZOHO),
        ({"period_start": FEBRUARY, "invoice_type": "pro_rata"}, Owner.ONE_OFF),
        ({"invoice_type": "installation", "period_start": None}, Owner.ONE_OFF),
        ({"period_start": FEBRUARY, "status": "draft"}, Owner.DRAFT),
        ({"period_start": FEBRUARY, "total_amount": Decimal("0.00")}, Owner.ZERO),
    ],
)
def test_an_invoice_has_one_owner(columns: dict[str, Any], owner: Owner) -> None:
    assert owner_of(invoice(**columns), FROM_FEBRUARY, ZOHO) is owner


def test_the_application_may_own_them_all() -> None:
    assert owner_of(invoice(period_start=FEBRUARY), FROM_FEBRUARY, APPLICATION) is Owner.HISTORY


def test_a_recurring_invoice_of_no_subscription_is_ours() -> None:
    assert owner_of(invoice(period_start=FEBRUARY), [], ZOHO) is Owner.HISTORY


def test_days_after_a_subscription_ended_are_ours_until_the_next_one() -> None:
    spans = [Span(date(2025, 1, 1), FEBRUARY), Span(date(2025, 4, 1))]

    owners = [
        owner_of(billing(date(2025, month, 1), date(2025, month, 28)), spans, ZOHO)
        for month in (1, 2, 3, 4)
    ]

    assert owners == [Owner.ZOHO, Owner.HISTORY, Owner.HISTORY, Owner.ZOHO]


def test_what_is_before_the_cut_over_is_left_out_unless_zoho_raises_it() -> None:
    cut_over = Ownership(invoices_from=date(2025, 3, 1), payments_from=date(2025, 3, 1))
    zohos = billing(FEBRUARY, date(2025, 2, 28))
    installation = invoice(invoice_type="installation", period_start=None)

    assert owner_of(invoice(), FROM_FEBRUARY, cut_over) is Owner.BEFORE_CUT_OVER
    assert owner_of(installation, FROM_FEBRUARY, cut_over) is Owner.BEFORE_CUT_OVER
    assert owner_of(zohos, FROM_FEBRUARY, cut_over) is Owner.ZOHO
    assert is_payment_before_cut_over(date(2025, 2, 28), cut_over)
    assert not is_payment_before_cut_over(date(2025, 3, 1), cut_over)


def test_a_negative_amount_needs_a_credit_note() -> None:
    with pytest.raises(Unsendable) as refused:
        owner_of(invoice(total_amount=Decimal("-50.00")), [], ZOHO)

    assert refused.value.code == "credit_note_needed"
    assert refused.value.sentence == "total_amount is -50.00, below 0.00: a credit note is needed."


def test_a_period_across_the_start_is_refused_with_its_days() -> None:
    late = billing(date(2025, 1, 20), date(2025, 2, 19))

    with pytest.raises(Unsendable, match="2025-01-20 to 2025-02-19 lies across 2025-02-01"):
        owner_of(late, FROM_FEBRUARY, ZOHO)


def test_a_cancelled_one_across_the_start_bills_nothing() -> None:
    late = billing(date(2025, 1, 20), date(2025, 2, 19), status="cancelled")

    assert owner_of(late, FROM_FEBRUARY, ZOHO) is Owner.HISTORY


def test_a_recurring_invoice_without_period_cannot_be_placed() -> None:
    with pytest.raises(Unsendable) as refused:
        owner_of(invoice(period_start=None), FROM_FEBRUARY, ZOHO)

    assert refused.value.field == "period_start"


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (date(2025, 1, 31), date(2025, 1, 31)),
        (date(2025, 2, 1), date(2025, 1, 31)),
        (date(2025, 2, 15), date(2025, 2, 14)),
        (None, date(2025, 1, 15)),
    ],
)
def test_the_end_of_a_period_is_read_in_both_fashions(end: date | None, last: date) -> None:
    read = Period.of(billing(date(2025, 1, 15), end or date(2025, 1, 15)), 1)

    assert read == Period(date(2025, 1, 15), last)


def test_a_period_lies_across_each_of_its_days_but_the_first() -> None:
    january = Period(date(2025, 1, 1), date(2025, 1, 31))

    assert not january.lies_across(date(2025, 1, 1))
    assert january.lies_across(date(2025, 1, 2))
    assert january.lies_across(date(2025, 1, 31))
    assert not january.lies_across(date(2025, 2, 1))


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(1, 28))
def test_the_next_billing_day_is_the_first_one(day: date, billing_day: int) -> None:
    found = next_billing_day(day, billing_day)

    assert found.day == billing_day
    assert day <= found < day + timedelta(days=31)


# ------------------------------------------------------------------------- whole services


@dataclass(frozen=True)
class Past:
    """A service with the invoices that our books have, and will have, for it."""

    service: Service
    invoices: Sequence[Invoice]
    today: date


def months_on(day: date, months: int) -> date:
    index = day.year * 12 + day.month - 1 + months
    return day.replace(year=index // 12, month=index % 12 + 1)


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    """Draw services with a pro-rata or without, billed by the month or longer, in advance or late.

    The billing day may have changed once: its periods then no longer end before a billing day.
    """
    activated = draw(st.dates(date(2024, 1, 1), date(2024, 12, 31)))
    billing_day = draw(st.integers(1, 28))
    former_day = draw(st.just(billing_day) | st.integers(1, 28))
    today = activated + timedelta(days=draw(st.integers(-20, 400)))
    length = draw(st.sampled_from([1, 1, 3]))
    half_open = draw(st.booleans())
    first = next_billing_day(activated, former_day)
    has_pro_rata = draw(st.booleans()) and first > activated
    invoices: list[Invoice] = []
    if has_pro_rata:
        last = first if half_open and former_day == billing_day else first - timedelta(days=1)
        invoices.append(billing(activated, last, id="0", invoice_type="pro_rata"))
    elif activated >= today:
        # Without a past Zoho begins on the activation: so do our books.
        first, former_day = activated, min(activated.day, 28)
        first = activated.replace(day=former_day)
        # A first period from the 29th to the 28th is no whole month, and its end a last day.
        half_open = half_open and activated == first
    ends = draw(st.integers(0, 14))
    for number in range(ends):
        begins = months_on(first, number * length)
        following = months_on(first, (number + 1) * length)
        last = following if half_open else following - timedelta(days=1)
        invoices.append(billing(max(begins, activated), last, id=str(number + 1)))
    service = Service.model_validate(
        {
            "id": "1",
            "updated_at": datetime(2025, 1, 1, tzinfo=UTC),
            "customer_id": "1",
            "status": "active",
            "activation_date": activated,
            "billing_day": billing_day,
        }
    )
    return Past(service, invoices, today)


def days_of(period: Period) -> set[date]:
    return {
        period.first + timedelta(days=each) for each in range((period.last - period.first).days + 1)
    }


def billed_in_zoho(past: Past, ownership: Ownership, start: date | None) -> dict[date, int]:
    """Count how often each day that our books bill is billed in Zoho."""
    spans = [] if start is None else [Span(start)]
    counts: dict[date, int] = {}
    for each in past.invoices:
        period = Period.of(each, past.service.billing_day)
        assert period is not None
        owner = owner_of(each, spans, ownership, billing_day=past.service.billing_day)
        for day in days_of(period):
            counts.setdefault(day, 0)
            counts[day] += owner.is_ours
    for day in counts:
        counts[day] += any(span.holds(day) for span in spans)
    return counts


@given(pasts())
def test_each_day_is_billed_exactly_once_when_zoho_owns_recurring_invoices(past: Past) -> None:
    start = start_of(past.service, past.invoices, ZOHO, today=past.today)

    assert set(billed_in_zoho(past, ZOHO, start).values()) <= {1}


@given(pasts())
def test_each_day_is_billed_exactly_once_when_the_application_owns_them(past: Past) -> None:
    assert set(billed_in_zoho(past, APPLICATION, None).values()) <= {1}


@given(pasts(), st.dates(date(2024, 1, 1), date(2025, 12, 31)))
def test_a_cut_over_leaves_days_out_and_never_bills_one_twice(past: Past, cut_over: date) -> None:
    ownership = Ownership(invoices_from=cut_over)
    start = start_of(past.service, past.invoices, ownership, today=past.today)

    counts = billed_in_zoho(past, ownership, start)

    left_out = {
        day
        for each in past.invoices
        if owner_of(each, [Span(start)], ownership, billing_day=past.service.billing_day)
        is Owner.BEFORE_CUT_OVER
        for day in days_of(Period.of(each, past.service.billing_day) or Period(start, start))
    }
    assert {day for day, count in counts.items() if count == 0} == left_out
    assert set(counts.values()) <= {0, 1}


@given(pasts())
def test_zoho_never_begins_in_the_past_or_off_a_billing_day_of_a_service_with_a_past(
    past: Past,
) -> None:
    start = start_of(past.service, past.invoices, ZOHO, today=past.today)

    assert start >= past.today
    if past.invoices or past.service.activation_date != start:
        assert start.day == past.service.billing_day


@given(pasts(), st.integers(0, 60))
def test_a_later_day_of_sending_never_begins_earlier(past: Past, delay: int) -> None:
    later = past.today + timedelta(days=delay)

    assert start_of(past.service, past.invoices, ZOHO, today=later) >= start_of(
        past.service, past.invoices, ZOHO, today=past.today
    )


@pytest.mark.parametrize(
    ("today", "start"),
    [
        (date(2025, 1, 10), date(2025, 1, 15)),
        (date(2025, 1, 15), date(2025, 1, 15)),
        (date(2025, 1, 16), date(2025, 2, 1)),
    ],
)
def test_a_service_without_invoices_begins_on_its_activation_unless_that_is_past(
    today: date, start: date
) -> None:
    assert (
        first_day_in_zoho(
            activated_on=date(2025, 1, 15), billing_day=1, today=today, billed=(), recurring=()
        )
        == start
    )


def test_a_local_pro_rata_moves_the_start_behind_it() -> None:
    assert first_day_in_zoho(
        activated_on=date(2025, 1, 15),
        billing_day=1,
        today=date(2025, 1, 15),
        billed=[Period(date(2025, 1, 15), date(2025, 1, 31))],
        recurring=(),
    ) == date(2025, 2, 1)


def test_a_period_already_invoiced_in_advance_is_left_to_zoho() -> None:
    assert (
        first_day_in_zoho(
            activated_on=date(2024, 1, 1),
            billing_day=1,
            today=date(2025, 1, 27),
            billed=(),
            recurring=[Period(FEBRUARY, date(2025, 2, 28))],
        )
        == FEBRUARY
    )


def test_a_returning_service_begins_after_its_former_subscription() -> None:
    assert first_day_in_zoho(
        activated_on=date(2024, 1, 1),
        billing_day=1,
        today=date(2025, 1, 10),
        billed=(),
        recurring=(),
        not_before=date(2025, 3, 5),
    ) == date(2025, 4, 1)
