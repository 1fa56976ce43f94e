"""The demo's books: every kind that the issue asks for, consistent, and right to the cent."""

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.payments import TAKEN_BY_ZOHO
from ops.demo import newcomer, scenario
from ops.demo.books import Books, Days, Passed, paid_on, pass_until, read_books, rows
from ops.demo.mishaps import ANSWER_LOST_OF, DRAFT_LOST, KILLED_DURING, PAYMENT_LOST

TODAY = date(2026, 12, 20)
TWENTIETHS = st.builds(date, st.integers(2025, 2035), st.integers(1, 12), st.just(20))


@pytest.fixture
def books() -> Books:
    return read_books(TODAY)


@pytest.fixture
def passed(books: Books) -> Passed:
    return pass_until(books, scenario.last_day(TODAY))


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("M-5/01", date(2026, 7, 1)),
        ("M+0/20", date(2026, 12, 20)),
        ("M+2/18", date(2027, 2, 18)),
        ("M-1/end", date(2026, 11, 30)),
        ("M+0/end", date(2026, 12, 31)),
        ("D-9", date(2026, 12, 11)),
        ("D-0", date(2026, 12, 20)),
    ],
)
def test_days_are_counted_from_the_demos_day(written: str, day: date) -> None:
    assert Days(TODAY)(written) == day


@pytest.mark.parametrize("written", ["2026-12-20", "M-5", "", "X-1/01"])
def test_what_is_no_day_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no day"):
        Days(TODAY)(written)


def test_the_books_have_every_kind_that_the_issue_asks_for(books: Books) -> None:
    statuses = {one.status for one in books.invoices}
    kinds = {one.kind for one in books.invoices}
    columns = {
        next((name for name in ("unit_price", "price") if name in line), "none")
        for one in books.invoices
        if one.kind != "recurring"
        for line in one.lines or [{}]
    }

    assert len(books.services) >= 15
    assert len(books.invoices) >= 30
    assert len(books.payments) >= 25
    assert kinds == {"installation", "pro_rata", "equipment", "adjustment", "recurring"}
    assert statuses == {"draft", "sent", "paid", "partial", "overdue", "cancelled", "voided"}
    assert columns == {"unit_price", "price", "none"}
    assert any(one.totals.total == 0 and one.status != "draft" for one in books.invoices)
    assert any(not one.is_inclusive for one in books.invoices)
    assert {one.status for one in books.services} == {
        "active",
        "suspended",
        "cancelled",
        "pending",
    }
    assert {one.status for one in books.payments} == {
        "completed",
        "reversed",
        "pending",
        "failed",
    }


def test_some_have_paid_for_six_months(books: Books) -> None:
    months = Counter(
        one.service for one in books.invoices if one.kind == "recurring" and one.status == "paid"
    )

    assert [name for name, count in months.items() if count >= 6] == ["S01", "S04"]


def test_payments_are_parts_too_much_over_several_and_of_nothing(books: Books) -> None:
    totals = {one.number: one.totals.total for one in books.invoices}
    completed = [one for one in books.payments if one.status == "completed"]

    assert any(one.invoice and one.amount < totals[one.invoice] for one in completed)
    assert any(one.invoice and one.amount > totals[one.invoice] for one in completed)
    assert sorted(len(one.shares) for one in completed if one.shares) == [2, 3]
    assert any(not one.invoice and not one.shares for one in completed)


@given(TWENTIETHS)
def test_whatever_the_day_each_invoices_status_is_what_was_paid_and_when(today: date) -> None:
    books = read_books(today)
    passed = pass_until(books, scenario.last_day(today))
    paid = books.paid() | paid_on(passed.invoices, passed.payments)

    for day, invoices in ((today, books.invoices), (scenario.last_day(today), passed.invoices)):
        for one in invoices:
            due = one.due_on < day
            amount = paid.get(one.number, Decimal(0))
            assert one.totals.sub_total + one.totals.tax == one.totals.total
            match one.status:
                case "paid":
                    assert amount == one.totals.total
                case "partial":
                    assert 0 < amount < one.totals.total
                case "overdue":
                    assert due
                    assert amount < one.totals.total
                case "sent":
                    assert not due
                    assert amount == 0
                case _:
                    assert amount == 0


@given(TWENTIETHS)
def test_whatever_the_day_no_day_of_a_service_is_billed_twice(today: date) -> None:
    books = read_books(today)
    passed = pass_until(books, scenario.last_day(today))
    billed: Counter[tuple[str, date]] = Counter()

    for one in (*books.invoices, *passed.invoices):
        if one.first is not None and one.last is not None:
            days = (one.last - one.first).days + 1
            billed.update((one.service, one.first + timedelta(days=count)) for count in range(days))

    assert set(billed.values()) == {1}


def test_two_renewals_are_billed_at_the_services_price_and_one_ahead(
    books: Books, passed: Passed
) -> None:
    prices = {one.name: one.price for one in books.services if one.status == "active"}
    until = scenario.last_day(TODAY)
    begun = Counter(one.service for one in passed.invoices if (one.first or until) <= until)

    assert set(begun) == set(prices)
    assert set(begun.values()) == {scenario.RENEWALS}
    assert [one.service for one in passed.invoices if (one.first or until) > until] == ["S09"]
    assert all(one.totals.total == prices[one.service] for one in passed.invoices)
    assert {one.totals.tax for one in passed.invoices if one.totals.total == 459} == {
        Decimal("59.87")
    }


def test_of_a_renewals_payments_some_are_taken_by_zoho_and_some_together(passed: Passed) -> None:
    taken = [one for one in passed.payments if one.provider == TAKEN_BY_ZOHO]

    assert len(taken) == scenario.RENEWALS
    assert [len(one.shares) for one in passed.payments if one.shares] == [2, 2]


def test_what_is_not_to_be_sent_is_what_the_verdict_counts(books: Books, passed: Passed) -> None:
    tests = set(scenario.TEST_ACCOUNTS)
    invoices = [*books.invoices, *passed.invoices]
    payments = [*books.payments, *passed.payments]

    assert {
        "customers": len(tests),
        "subscriptions": sum(
            one.status != "active" or one.account_number in tests for one in books.services
        ),
        "invoices": sum(
            one.status in {"draft", "cancelled", "voided"}
            or one.totals.total == 0
            or one.account_number in tests
            for one in invoices
        ),
        "payments": sum(
            one.status != "completed" or one.account_number in tests for one in payments
        ),
    } == scenario.SKIPPED


def test_numbers_go_on_where_the_books_end(books: Books, passed: Passed) -> None:
    numbers = [one.number for one in (*books.invoices, *passed.invoices)]
    transactions = [one.transaction_id for one in (*books.payments, *passed.payments)]

    assert numbers == [f"CTI-{place:05d}" for place in range(1, len(numbers) + 1)]
    assert transactions == [f"TX-{place:04d}" for place in range(1, len(transactions) + 1)]


def test_who_comes_by_trigger_is_nobody_that_the_books_know(books: Books, passed: Passed) -> None:
    accounts = {row["account_number"] for row in rows("customers.csv")}
    numbers = {one.number for one in (*books.invoices, *passed.invoices)}
    transactions = {one.transaction_id for one in (*books.payments, *passed.payments)}

    assert newcomer.ACCOUNT_NUMBER not in accounts
    assert newcomer.INVOICE not in numbers
    assert newcomer.PAYMENT not in transactions
    assert newcomer.SKU in {row["sku"] for row in rows("packages.csv")}


def test_the_mishaps_meet_records_that_are_sent(books: Books) -> None:
    [draft] = [one for one in books.invoices if one.number == DRAFT_LOST]
    [payment] = [one for one in books.payments if one.transaction_id == PAYMENT_LOST]
    unlucky = {ANSWER_LOST_OF, KILLED_DURING, scenario.LOOKS_ALIKE}

    assert draft.kind != "recurring"
    assert draft.status in {"sent", "paid"}
    assert len(payment.shares) == 3
    assert unlucky.isdisjoint({draft.account_number, payment.account_number})
