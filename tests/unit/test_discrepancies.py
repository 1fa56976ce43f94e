"""Discrepancies of money: each found on its own, told once for each code with what it is worth."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from billing_sync.domain.discrepancies import (
    TELLINGS,
    Code,
    Discrepancy,
    customers_and_accounts,
    findings_of,
    full_and_pro_rata,
    numbers_in_zohos_series,
    paid_here_open_there,
    paid_without_payments,
    prices_that_differ_from_invoices,
    services_without_subscription,
    subscriptions_without_service,
)
from billing_sync.domain.ownership import Ownership, Span
from billing_sync.domain.remote import RemoteInvoice, RemoteSubscription
from billing_sync.domain.source import Invoice, Service
from billing_sync.domain.steps import Severity
from billing_sync.domain.tax import MoneyRules, Prices, Rounding, Taxes, TaxKind, TaxRate

JOHANNESBURG = ZoneInfo("Africa/Johannesburg")
RULES = MoneyRules(
    "ZAR",
    JOHANNESBURG,
    Prices.INCLUSIVE,
    Rounding.LINE,
    Taxes({TaxKind.STANDARD: TaxRate("77", "Standard Rate", Decimal(15))}),
)
ZOHO = Ownership()
NOW = datetime(2025, 1, 1, tzinfo=UTC)
TODAY = date(2025, 2, 10)


def service(service_id: str, **columns: Any) -> Service:
    row = {
        "id": service_id,
        "updated_at": NOW,
        "customer_id": 3,
        "monthly_price": Decimal("459.00"),
        "status": "active",
        "billing_day": 1,
    }
    return Service.model_validate(row | columns)


def invoice(**columns: Any) -> Invoice:
    row = {
        "id": 12,
        "updated_at": NOW,
        "customer_id": 3,
        "invoice_type": "recurring",
        "period_start": date(2025, 1, 1),
        "period_end": date(2025, 1, 31),
        "total_amount": Decimal("459.00"),
        "amount_paid": Decimal("459.00"),
        "status": "paid",
    }
    return Invoice.model_validate(row | columns)


def subscription(zoho_id: str, **fields: Any) -> RemoteSubscription:
    row = {"subscription_id": zoho_id, "status": "live", "plan": {"price": 459}}
    return RemoteSubscription.model_validate(row | fields)


def test_active_services_that_nothing_bills_are_found_with_their_price() -> None:
    rows = [
        service("1"),
        service("2"),
        service("3", status="suspended"),
        service("4", monthly_price=Decimal(100), price_includes_tax=False),
    ]

    found = services_without_subscription(rows, {"1"}, RULES)

    assert found == [
        Discrepancy(Code.SERVICE_WITHOUT_SUBSCRIPTION, "2", Decimal("459.00")),
        Discrepancy(Code.SERVICE_WITHOUT_SUBSCRIPTION, "4", Decimal("115.00")),
    ]


@pytest.mark.parametrize(
    ("found", "is_out"),
    [
        (subscription("1", reference_id="active"), False),
        (subscription("1", reference_id="cancelled"), True),
        (subscription("1", reference_id="cancelled", status="cancelled"), False),
        (subscription("1", reference_id="cancelled", status="non_renewing"), False),
        (subscription("1", reference_id="to end"), False),
        (subscription("1", reference_id="finance's own"), False),
        (subscription("1", reference_id=""), False),
        (subscription("held", reference_id=""), True),
    ],
)
def test_subscriptions_that_bill_on_are_found_and_finance_s_own_are_not(
    found: RemoteSubscription, is_out: bool
) -> None:
    services = {
        "active": service("active"),
        "cancelled": service(
            "cancelled", status="cancelled", cancelled_at=datetime(2025, 2, 1, tzinfo=UTC)
        ),
        "to end": service(
            "to end", status="cancelled", cancelled_at=datetime(2025, 2, 20, tzinfo=UTC)
        ),
    }
    held = {"held": "vanished"}

    out = subscriptions_without_service(
        [found], services, held, today=TODAY, time_zone=JOHANNESBURG
    )

    assert bool(out) is is_out
    assert all(each.amount == Decimal(459) for each in out)


@pytest.mark.parametrize(
    ("rows", "amount"),
    [
        ([invoice()], None),
        ([invoice(total_amount=Decimal(529))], "70.00"),
        ([invoice(total_amount=Decimal(529), status="voided")], None),
        ([invoice(total_amount=Decimal(529), period_end=date(2025, 1, 20))], None),
        ([invoice(total_amount=Decimal(529), invoice_type="equipment")], None),
        (
            [
                invoice(total_amount=Decimal(529)),
                invoice(period_start=date(2025, 2, 1), period_end=date(2025, 2, 28)),
            ],
            None,
        ),
        ([], None),
    ],
)
def test_a_last_full_invoice_that_is_not_the_price_is_found(
    rows: list[Invoice], amount: str | None
) -> None:
    found = prices_that_differ_from_invoices([service("1")], {"1": rows}, ZOHO, RULES)

    expected = (
        [] if amount is None else [Discrepancy(Code.PRICE_AND_INVOICE_DIFFER, "1", Decimal(amount))]
    )
    assert found == expected


PRO_RATA = invoice(
    invoice_type="pro_rata",
    period_start=date(2025, 1, 15),
    period_end=date(2025, 1, 31),
    total_amount=Decimal("251.71"),
)


@pytest.mark.parametrize(
    ("rows", "spans", "is_found"),
    [
        ([PRO_RATA, invoice()], [], True),
        ([PRO_RATA], [Span(date(2025, 1, 15))], True),
        ([PRO_RATA], [Span(date(2025, 2, 1))], False),
        ([PRO_RATA], [Span(date(2024, 6, 1), date(2025, 1, 15))], False),
        ([PRO_RATA, invoice(status="cancelled")], [], False),
        ([invoice(invoice_type="equipment", period_end=None), invoice()], [], False),
    ],
)
def test_days_billed_in_full_and_pro_rata_are_found(
    rows: list[Invoice], spans: list[Span], is_found: bool
) -> None:
    found = full_and_pro_rata({"1": rows}, {"1": spans}, ZOHO)

    assert found == (
        [Discrepancy(Code.FULL_AND_PRO_RATA, "1", Decimal("251.71"))] if is_found else []
    )


def test_accounts_and_customers_that_are_not_one_to_one_are_found() -> None:
    found = customers_and_accounts({"900": {"CT-1"}, "901": {"CT-1", "CT-2"}, "902": {"CT-3"}})

    assert found == [
        Discrepancy(Code.TWO_CUSTOMERS_FOR_ONE_ACCOUNT, "CT-1"),
        Discrepancy(Code.ONE_CUSTOMER_FOR_TWO_ACCOUNTS, "901"),
    ]


def remote(**fields: Any) -> RemoteInvoice:
    return RemoteInvoice.model_validate({"invoice_id": "600", "status": "overdue"} | fields)


@pytest.mark.parametrize(
    ("columns", "fields", "open_there"),
    [
        ({}, {"balance": 459}, Decimal(459)),
        ({}, {"balance": 0, "status": "paid"}, None),
        ({}, {"balance": 459, "status": "void"}, None),
        ({}, {}, None),
        ({"status": "partial"}, {"balance": 459}, None),
    ],
)
def test_what_is_paid_here_and_open_there_is_found(
    columns: dict[str, Any], fields: dict[str, Any], open_there: Decimal | None
) -> None:
    found = paid_here_open_there([(invoice(**columns), remote(**fields))])

    assert [each.amount for each in found] == ([] if open_there is None else [open_there])


def test_what_is_paid_without_payments_is_found_with_what_is_unexplained() -> None:
    rows = [invoice(id=1), invoice(id=2), invoice(id=3), invoice(id=4, status="voided")]

    found = paid_without_payments(rows, {"1": Decimal("459.00"), "2": Decimal("400.00")})

    assert found == [
        Discrepancy(Code.PAID_WITHOUT_PAYMENTS, "2", Decimal("59.00")),
        Discrepancy(Code.PAID_WITHOUT_PAYMENTS, "3", Decimal("459.00")),
    ]


@pytest.mark.parametrize(
    ("ours", "zohos", "patterns"),
    [
        (["INV-2025-00012"], ["INV-000031"], []),
        (["INV-00012"], ["INV-000031"], ["INV-#"]),
        (["INV-2025-00012"], ["INV-2025-1"], ["INV-2025-#"]),
        (["A"], ["A"], []),
        (["12"], ["7"], ["#"]),
    ],
)
def test_a_pattern_that_both_sides_count_in_is_found(
    ours: list[str], zohos: list[str], patterns: list[str]
) -> None:
    assert [each.record for each in numbers_in_zohos_series(ours, zohos)] == patterns


def test_each_code_is_told_once_with_count_worth_and_what_to_do() -> None:
    findings = findings_of(
        [
            Discrepancy(Code.PAID_HERE_OPEN_THERE, "12", Decimal("59.00")),
            Discrepancy(Code.SERVICE_WITHOUT_SUBSCRIPTION, "1", Decimal("459.00")),
            Discrepancy(Code.SERVICE_WITHOUT_SUBSCRIPTION, "2", Decimal("809.00")),
            Discrepancy(Code.GONE_IN_ZOHO, "7"),
        ],
        currency="ZAR",
    )

    assert [finding.code for finding in findings] == [
        "service_without_subscription",
        "paid_here_open_there",
        "gone_in_zoho",
    ]
    assert findings[0].sentence == (
        "Active services without a subscription, which Zoho does not bill: 2 (ZAR 1268.00 a month)."
    )
    assert findings[0].records == ("2", "1")
    assert findings[1].sentence == "Invoices paid here and open in Zoho: 1 (ZAR 59.00)."
    assert findings[2].severity is Severity.RED
    assert all(finding.what_to_do for finding in findings)


def test_differences_of_both_signs_do_not_cancel_out() -> None:
    [finding] = findings_of(
        [
            Discrepancy(Code.LATE_PRICE_CHANGE, "1", Decimal(70)),
            Discrepancy(Code.LATE_PRICE_CHANGE, "2", Decimal(-70)),
        ],
        currency="ZAR",
    )

    assert "ZAR 140.00 a month" in finding.sentence


def test_every_code_can_be_told() -> None:
    assert set(TELLINGS) == set(Code)
