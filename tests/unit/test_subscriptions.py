"""Services as subscriptions: begun, changed at the end of a term, ended, returned."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.errors import Unsendable
from billing_sync.domain.matching import MatchKind
from billing_sync.domain.ownership import Ownership, RecurringInvoicesOwner, Span
from billing_sync.domain.reading import Sendable, Skip
from billing_sync.domain.remote import RemoteSubscription
from billing_sync.domain.source import Invoice, Package, Service
from billing_sync.domain.subscriptions import (
    ENDED,
    Ending,
    LateChange,
    ServiceReading,
    Step,
    decide,
    late_change,
    match_subscription,
    read_service,
    span_of,
    start_of,
    subscription_differences,
)
from billing_sync.domain.tax import MoneyRules, Prices, Rounding, Taxes, TaxKind, TaxRate

STANDARD = TaxRate("77", "Standard Rate", Decimal(15))
JOHANNESBURG = ZoneInfo("Africa/Johannesburg")
STARTS = date(2025, 2, 1)
TODAY = date(2025, 1, 20)
PACKAGE = Package.model_validate(
    {"id": "9", "updated_at": datetime(2025, 1, 1, tzinfo=UTC), "sku": "SKY-START-10"}
)


def rules(prices: Prices = Prices.INCLUSIVE) -> MoneyRules:
    taxes = Taxes({TaxKind.STANDARD: STANDARD})
    return MoneyRules("ZAR", JOHANNESBURG, prices, Rounding.LINE, taxes)


def service(**columns: Any) -> Service:
    row: dict[str, Any] = {
        "id": 7,
        "updated_at": datetime(2025, 1, 1, tzinfo=UTC),
        "customer_id": 3,
        "package_id": 9,
        "monthly_price": Decimal("459.00"),
        "price_includes_tax": True,
        "status": "active",
        "activation_date": date(2024, 6, 1),
        "billing_day": 1,
    }
    return Service.model_validate(row | columns)


def reading(
    row: Service | None = None,
    *,
    prices: Prices = Prices.INCLUSIVE,
    ownership: Ownership | None = None,
    package: Package | None = PACKAGE,
    starts_at: date = STARTS,
) -> ServiceReading:
    return read_service(
        row or service(),
        package,
        rules(prices),
        ownership or Ownership(),
        starts_at=starts_at,
        customer_zoho_id="300",
    )


def sendable(row: Service | None = None, **settings: Any) -> Sendable:
    read = reading(row, **settings)
    assert isinstance(read, Sendable)
    return read


def subscription(**fields: Any) -> RemoteSubscription:
    return RemoteSubscription.model_validate(
        {
            "subscription_id": "500",
            "customer_id": "300",
            "reference_id": "7",
            "status": "live",
            "plan": {"plan_code": "SKY-START-10", "price": Decimal(459)},
            "activated_at": "2024-07-01",
            "current_term_starts_at": "2025-01-01",
            "current_term_ends_at": "2025-02-01",
            "next_billing_at": "2025-02-01",
        }
        | fields
    )


def priced(price: str, **fields: Any) -> RemoteSubscription:
    plan = {"plan_code": "SKY-START-10", "price": Decimal(price)}
    return subscription(plan=plan, **fields)


# ------------------------------------------------------------------------------ what is sent


def test_an_active_service_becomes_an_offline_subscription_at_its_own_price() -> None:
    sent = sendable(service(monthly_price=Decimal("259.00")))

    assert sent.key == "7"
    assert sent.payload == {
        "customer_id": "300",
        "plan": {
            "plan_code": "SKY-START-10",
            "price": Decimal("259.00"),
            "exclude_setup_fee": True,
        },
        "reference_id": "7",
        "auto_collect": False,
        "starts_at": "2025-02-01",
    }
    assert sent.figures == {
        "plan_code": "SKY-START-10",
        "price": "259.00",
        "starts_at": "2025-02-01",
        "reference_id": "7",
    }


@pytest.mark.parametrize(
    ("prices", "includes_tax", "price", "sent"),
    [
        (Prices.INCLUSIVE, True, "459.00", "459.00"),
        (Prices.EXCLUSIVE, True, "459.00", "399.13"),
        (Prices.INCLUSIVE, False, "450.00", "517.50"),
        (Prices.EXCLUSIVE, False, "450.00", "450.00"),
    ],
)
def test_the_price_is_gross_or_net_as_the_organisation_counts(
    prices: Prices, includes_tax: bool, price: str, sent: str
) -> None:
    row = service(monthly_price=Decimal(price), price_includes_tax=includes_tax)

    assert sendable(row, prices=prices).figures["price"] == sent


def test_a_price_that_cannot_be_expressed_fails_with_both_figures() -> None:
    with pytest.raises(Unsendable, match=r"monthly_price is 379\.00 .* 379\.01") as refused:
        reading(service(monthly_price=Decimal(379)), prices=Prices.EXCLUSIVE)

    assert refused.value.code == "price_not_expressible"


@pytest.mark.parametrize(
    ("columns", "code", "field"),
    [
        ({"monthly_price": None}, "amount_missing", "monthly_price"),
        ({"monthly_price": Decimal(0)}, "price_not_positive", "monthly_price"),
        ({"monthly_price": Decimal(-1)}, "price_not_positive", "monthly_price"),
        ({"monthly_price": Decimal("459.001")}, "parts_of_a_cent", "monthly_price"),
        ({"status": "dormant"}, "status_unknown", "status"),
        ({"status": None}, "status_unknown", "status"),
    ],
)
def test_an_unusable_service_is_refused_by_its_column(
    columns: dict[str, Any], code: str, field: str
) -> None:
    with pytest.raises(Unsendable) as refused:
        reading(service(**columns))

    assert (refused.value.code, refused.value.field) == (code, field)


def test_a_price_of_zero_is_refused_with_both_values() -> None:
    with pytest.raises(Unsendable) as refused:
        reading(service(monthly_price=Decimal(0)))

    assert refused.value.sentence == "monthly_price is 0.00; it must be above 0.00."


@pytest.mark.parametrize(
    ("package_id", "sentence"),
    [(None, "package_id is empty."), ("9", "package_id is 9, no usable package.")],
)
def test_a_service_without_package_is_refused(package_id: str | None, sentence: str) -> None:
    with pytest.raises(Unsendable) as refused:
        reading(service(package_id=package_id), package=None)

    assert refused.value.sentence == sentence


def test_a_pending_service_is_skipped() -> None:
    read = reading(service(status="pending"))

    assert isinstance(read, Skip)
    assert read.reason == "not active yet"


def test_services_are_no_subscriptions_where_the_application_bills() -> None:
    read = reading(ownership=Ownership(RecurringInvoicesOwner.APPLICATION))

    assert isinstance(read, Skip)


def test_the_day_of_sending_is_no_change_but_price_and_status_are() -> None:
    first = sendable()

    assert sendable(starts_at=date(2025, 3, 1)).fingerprint == first.fingerprint
    assert sendable(service(monthly_price=Decimal(460))).fingerprint != first.fingerprint
    assert sendable(service(status="suspended")).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"activation_date": None}, "activation_date"),
        ({"billing_day": None}, "billing_day"),
        ({"billing_day": 29}, "billing_day"),
        ({"billing_day": 0}, "billing_day"),
    ],
)
def test_a_start_that_cannot_be_computed_is_refused(columns: dict[str, Any], field: str) -> None:
    with pytest.raises(Unsendable) as refused:
        start_of(service(**columns), [], Ownership(), today=TODAY)

    assert refused.value.field == field


@pytest.mark.parametrize("status", ["draft", "cancelled", "voided"])
def test_an_invoice_that_bills_nothing_gives_a_service_no_past(status: str) -> None:
    pro_rata = Invoice.model_validate(
        {
            "id": 1,
            "updated_at": datetime(2025, 1, 1, tzinfo=UTC),
            "customer_id": 3,
            "invoice_type": "pro_rata",
            "period_start": TODAY,
            "period_end": date(2025, 1, 31),
            "status": status,
        }
    )

    assert start_of(service(activation_date=TODAY), [pro_rata], Ownership(), today=TODAY) == TODAY


# ------------------------------------------------------------------------------- decisions


def test_an_active_service_without_subscription_gets_one() -> None:
    decision = decide(reading(), None, is_active=True, today=TODAY)

    assert decision.step is Step.CREATE
    assert decision.body == sendable().payload


def test_an_equal_subscription_is_left_alone() -> None:
    assert decide(reading(), subscription(), is_active=True, today=TODAY).step is Step.NOTHING


def test_a_suspended_service_keeps_its_subscription_and_gets_none() -> None:
    suspended = reading(service(status="suspended"))

    assert decide(suspended, subscription(), is_active=False, today=TODAY).step is Step.NOTHING
    assert decide(suspended, None, is_active=False, today=TODAY).step is Step.NOTHING


@pytest.mark.parametrize(
    "found",
    [
        priced("259"),
        subscription(plan={"plan_code": "SKY-ESS-25", "price": Decimal(459)}),
        # A change that waits already is replaced, also by the price that holds now.
        priced("259", end_of_term=True),
        subscription(end_of_term=True),
    ],
)
def test_a_changed_price_or_package_waits_for_the_end_of_the_term(
    found: RemoteSubscription,
) -> None:
    decision = decide(reading(), found, is_active=True, today=TODAY)

    assert decision.step is Step.UPDATE_AT_END
    assert decision.body == {
        "plan": {
            "plan_code": "SKY-START-10",
            "price": Decimal("459.00"),
            "exclude_setup_fee": True,
        },
        "end_of_term": True,
    }
    assert "starts_at" not in decision.figures


def test_before_the_first_term_there_is_no_term_to_wait_for() -> None:
    decision = decide(reading(), priced("259", status="future"), is_active=True, today=TODAY)

    assert decision.step is Step.UPDATE_NOW
    assert decision.body["end_of_term"] is False


def test_a_waiting_change_is_compared_with_what_is_scheduled_where_that_was_read() -> None:
    figures = decide(reading(), priced("259"), is_active=True, today=TODAY).figures
    waiting = priced("259", end_of_term=True)
    wrong = priced("259", end_of_term=True, scheduled_price=Decimal(460))
    right = priced("259", end_of_term=True, scheduled_price=Decimal("459.00"))

    assert subscription_differences(figures, waiting) == []
    assert subscription_differences(figures, right) == []
    assert subscription_differences(figures, wrong) == ["price"]
    assert subscription_differences(figures, priced("259")) == ["price"]


@pytest.mark.parametrize("status", sorted(ENDED))
def test_a_returning_service_gets_a_new_subscription_and_none_is_reactivated(status: str) -> None:
    ended = subscription(status=status, cancelled_at="2025-01-15", expires_at="2025-02-01")

    decision = decide(reading(), ended, is_active=True, today=TODAY)

    assert decision.step is Step.CREATE
    assert decision.after == date(2025, 2, 1)
    row = service()
    assert start_of(row, [], Ownership(), today=TODAY, not_before=decision.after) == STARTS


def test_a_cancellation_that_was_taken_back_is_reactivated_while_the_term_runs() -> None:
    ending = subscription(status="non_renewing")

    assert decide(reading(), ending, is_active=True, today=TODAY).step is Step.REACTIVATE


def cancelled(on: datetime | None) -> ServiceReading:
    return reading(service(status="cancelled", cancelled_at=on))


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=JOHANNESBURG)


@pytest.mark.parametrize(
    ("on", "step", "due"),
    [
        (date(2025, 1, 1), Step.CANCEL_AT_END, None),
        (date(2025, 1, 31), Step.CANCEL_AT_END, None),
        (date(2025, 2, 1), Step.WAIT, date(2025, 2, 1)),
        (date(2025, 6, 1), Step.WAIT, date(2025, 2, 1)),
        (date(2024, 12, 31), Step.CANCEL_NOW, None),
    ],
)
def test_a_cancelled_service_ends_with_the_term_that_holds_the_date(
    on: date, step: Step, due: date | None
) -> None:
    decision = decide(cancelled(noon(on)), subscription(), is_active=False, today=TODAY)

    assert (decision.step, decision.due) == (step, due)


def test_a_cancellation_without_date_ends_with_the_running_term() -> None:
    decision = decide(cancelled(None), subscription(), is_active=False, today=TODAY)

    assert decision.step is Step.CANCEL_AT_END


def test_a_cancellation_before_the_first_term_ends_it_at_once() -> None:
    future = subscription(status="future", activated_at="2025-02-01", current_term_starts_at="")

    now = decide(cancelled(noon(TODAY)), future, is_active=False, today=TODAY)
    later = decide(cancelled(noon(date(2025, 2, 3))), future, is_active=False, today=TODAY)

    assert now.step is Step.CANCEL_NOW
    assert (later.step, later.due) == (Step.WAIT, date(2025, 2, 1))


@pytest.mark.parametrize("status", [*sorted(ENDED), "non_renewing"])
def test_what_is_cancelled_in_zoho_already_is_left_alone(status: str) -> None:
    found = subscription(status=status)

    decision = decide(cancelled(noon(TODAY)), found, is_active=False, today=TODAY)

    assert decision.step is Step.NOTHING


def test_the_date_of_a_cancellation_is_the_organisations() -> None:
    # 23:30 in UTC is the next day in Johannesburg: a day of the next term.
    read = cancelled(datetime(2025, 1, 31, 23, 30, tzinfo=UTC))

    assert isinstance(read, Ending)
    assert read.on == date(2025, 2, 1)


def test_a_service_that_was_skipped_undoes_nothing_in_zoho() -> None:
    pending = reading(service(status="pending"))

    assert decide(pending, subscription(), is_active=False, today=TODAY).step is Step.NOTHING


STATUSES = st.sampled_from(["live", "trial", "dunning", "unpaid", "paused", *sorted(ENDED)])


@given(
    status=STATUSES | st.sampled_from(["future", "non_renewing"]),
    here=st.sampled_from(["active", "suspended", "cancelled", "pending"]),
    price=st.sampled_from(["459", "259"]),
    offset=st.integers(-90, 90),
)
def test_no_decision_reactivates_or_bills_beside_a_running_subscription(
    status: str, here: str, price: str, offset: int
) -> None:
    row = service(status=here, cancelled_at=noon(TODAY + timedelta(days=offset)))

    decision = decide(
        reading(row), priced(price, status=status), is_active=here == "active", today=TODAY
    )

    if decision.step is Step.CREATE:
        assert status in ENDED
        assert here == "active"
    if decision.step is Step.REACTIVATE:
        assert status == "non_renewing"
    if here == "pending":
        assert decision.step is Step.NOTHING


# ----------------------------------------------------------------- comparisons and matches


@pytest.mark.parametrize(
    ("fields", "differing"),
    [
        ({"activated_at": "2025-02-01"}, []),
        ({"activated_at": "", "current_term_starts_at": "2025-02-01"}, []),
        ({"activated_at": "2025-02-02"}, ["starts_at"]),
        ({"activated_at": "2025-02-01", "reference_id": "8"}, ["reference_id"]),
        ({"activated_at": "2025-02-01", "plan": {}}, ["plan_code", "price"]),
    ],
)
def test_figures_of_a_new_subscription_are_compared(
    fields: dict[str, Any], differing: list[str]
) -> None:
    assert subscription_differences(sendable().figures, subscription(**fields)) == differing


def test_a_price_change_that_misses_the_renewal_is_counted_in_rand() -> None:
    late = late_change(sendable(), priced("529"), sent_on=date(2025, 2, 1))

    assert late == LateChange(date(2025, 2, 1), Decimal(529), Decimal("459.00"))
    assert late.amount == Decimal(70)


@pytest.mark.parametrize(
    ("found", "sent_on"),
    [
        (priced("529"), date(2025, 1, 31)),
        (priced("459"), date(2025, 2, 1)),
        (priced("529", end_of_term=True), date(2025, 2, 1)),
        (priced("529", next_billing_at="", current_term_ends_at=""), date(2025, 2, 1)),
    ],
)
def test_a_change_in_time_or_no_change_is_not_counted(
    found: RemoteSubscription, sent_on: date
) -> None:
    assert late_change(sendable(), found, sent_on=sent_on) is None


@pytest.mark.parametrize(
    ("fields", "span"),
    [
        ({}, Span(date(2024, 7, 1))),
        ({"status": "non_renewing"}, Span(date(2024, 7, 1), date(2025, 2, 1))),
        (
            {"status": "cancelled", "cancelled_at": "2025-01-10"},
            Span(date(2024, 7, 1), date(2025, 1, 10)),
        ),
        ({"status": "cancelled", "cancelled_at": "2024-06-10"}, None),
        ({"status": "creation_failed"}, None),
        ({"activated_at": "", "current_term_starts_at": ""}, None),
    ],
)
def test_the_days_that_a_subscription_bills(fields: dict[str, Any], span: Span | None) -> None:
    assert span_of(subscription(**fields)) == span


def match(*rows: RemoteSubscription, **settings: Any) -> tuple[MatchKind, tuple[str, ...]]:
    holders = settings.pop("holders", {})
    found = match_subscription("7", "SKY-START-10", "300", rows, holders, **settings)
    return found.kind, found.zoho_ids


def test_a_subscription_is_ours_by_equality_of_its_reference() -> None:
    others = [
        subscription(subscription_id="1", reference_id="77"),
        subscription(subscription_id="2", reference_id="17"),
    ]

    assert match(*others) == (MatchKind.NONE, ())
    assert match(*others, subscription()) == (MatchKind.SAME, ("500",))


def test_two_live_subscriptions_of_one_service_are_for_a_person() -> None:
    twice = [subscription(), subscription(subscription_id="501")]

    assert match(*twice) == (MatchKind.SEVERAL, ("500", "501"))


def test_ended_and_former_subscriptions_are_a_service_s_past() -> None:
    assert match(subscription(status="cancelled")) == (MatchKind.NONE, ())
    assert match(subscription(), former_ids={"500"}) == (MatchKind.NONE, ())


def test_one_that_another_service_holds_is_taken() -> None:
    assert match(subscription(), holders={"500": "8"})[0] is MatchKind.TAKEN


def test_one_typed_in_by_hand_is_plausible_and_never_doubled() -> None:
    by_hand = subscription(reference_id="")

    assert match(by_hand) == (MatchKind.PLAUSIBLE, ("500",))
    assert match(subscription(reference_id="", customer_id="301")) == (MatchKind.NONE, ())
    assert match(by_hand, holders={"500": "8"}) == (MatchKind.NONE, ())
