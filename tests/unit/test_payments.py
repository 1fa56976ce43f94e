"""Payments: on the invoices that our books say, to the cent, never capped, never twice."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.errors import Unsendable
from billing_sync.domain.matching import MatchKind
from billing_sync.domain.money import total_of
from billing_sync.domain.ownership import Owner, Ownership, Span, owner_of
from billing_sync.domain.parents import CustomerInZoho
from billing_sync.domain.payments import (
    Earlier,
    PaidInvoice,
    PaymentMode,
    PaymentReading,
    PaymentWay,
    PaymentWays,
    Removal,
    Share,
    TakenByZoho,
    already_paid,
    match_payment,
    payment_differences,
    payment_update,
    read_payment,
    shares_of,
)
from billing_sync.domain.reading import Sendable, Skip
from billing_sync.domain.remote import RemoteInvoice, RemotePayment, RemoteTransaction
from billing_sync.domain.source import Invoice, Payment, PaymentAllocation
from billing_sync.domain.tax import MoneyRules, Prices, Rounding, Taxes

RULES = MoneyRules(
    "ZAR", ZoneInfo("Africa/Johannesburg"), Prices.INCLUSIVE, Rounding.LINE, Taxes({})
)
WAYS = PaymentWays(
    (
        PaymentWay("netcash", "eft", PaymentMode.BANK_TRANSFER, "900"),
        PaymentWay("netcash", "*", PaymentMode.OTHERS),
        PaymentWay("*", "cash", PaymentMode.CASH),
    )
)
COMPLETED = datetime(2025, 1, 10, 9, tzinfo=UTC)
INVOICES = {
    "12": PaidInvoice("12", "3", "600"),
    "13": PaidInvoice("13", "3", "601"),
    "14": PaidInvoice("14", "3", skipped="before cut-over"),
    "15": PaidInvoice("15", "4", "602"),
    "16": PaidInvoice("16", "3", skipped="zero amount"),
    "17": PaidInvoice("17", "3"),
}


def payment(**columns: Any) -> Payment:
    row: dict[str, Any] = {
        "id": 40,
        "updated_at": COMPLETED,
        "transaction_id": "TX-40",
        "provider": "netcash",
        "amount": Decimal("459.00"),
        "refunded_amount": Decimal(0),
        "status": "completed",
        "payment_method": "eft",
        "customer_id": 3,
        "invoice_id": 12,
        "completed_at": COMPLETED,
    }
    return Payment.model_validate(row | columns)


def share(invoice_id: str, amount: str) -> Share:
    return Share(invoice_id, Decimal(amount))


def reading(
    row: Payment | None = None,
    shares: Sequence[Share] = (share("12", "459"),),
    *,
    invoices: Mapping[str, PaidInvoice] | None = None,
    ownership: Ownership | None = None,
    is_plan: bool = False,
) -> PaymentReading:
    return read_payment(
        row or payment(),
        shares,
        invoices or INVOICES,
        RULES,
        WAYS,
        ownership or Ownership(),
        CustomerInZoho("300"),
        is_plan=is_plan,
    )


def sendable(row: Payment | None = None, *arguments: Any, **settings: Any) -> Sendable:
    read = reading(row, *arguments, **settings)
    assert isinstance(read, Sendable)
    return read


# ------------------------------------------------------------------------------ what is sent


def test_a_completed_payment_is_sent_with_its_share_and_reference() -> None:
    sent = sendable()

    assert sent.key == "TX-40"
    assert sent.payload == {
        "customer_id": "300",
        "payment_mode": "banktransfer",
        "amount": Decimal("459.00"),
        "date": "2025-01-10",
        "reference_number": "TX-40",
        "invoices": [{"invoice_id": "600", "amount_applied": Decimal(459)}],
        "account_id": "900",
    }
    assert sent.figures == {
        "customer_id": "300",
        "reference_number": "TX-40",
        "amount": "459.00",
        "applied": {"600": "459.00"},
    }
    assert payment_update(sent.payload) == sent.payload


def test_an_overpayment_is_credit_and_so_is_a_payment_without_invoice() -> None:
    over = sendable(payment(amount=Decimal(500)))
    credit = sendable(payment(invoice_id=None), [])

    assert over.figures["applied"] == {"600": "459.00"}
    assert over.figures["amount"] == "500.00"
    assert credit.payload["invoices"] == []


def test_a_payment_of_several_invoices_has_a_row_for_each() -> None:
    shares = [share("13", "100"), share("12", "300"), share("12", "59")]

    assert sendable(None, shares).figures["applied"] == {"600": "359.00", "601": "100.00"}


def test_the_date_is_the_organisations() -> None:
    late = payment(completed_at=datetime(2025, 1, 31, 22, 30, tzinfo=UTC))

    assert sendable(late).payload["date"] == "2025-02-01"


@pytest.mark.parametrize(
    ("provider", "method", "mode", "account"),
    [
        ("netcash", "eft", "banktransfer", "900"),
        ("NetCash", " EFT ", "banktransfer", "900"),
        ("netcash", "debit_order", "others", None),
        ("netcash", None, "others", None),
        ("till", "cash", "cash", None),
    ],
)
def test_mode_and_account_come_from_the_most_exact_row_of_the_table(
    provider: str, method: str | None, mode: str, account: str | None
) -> None:
    sent = sendable(payment(provider=provider, payment_method=method))

    assert sent.payload["payment_mode"] == mode
    assert sent.payload.get("account_id") == account


def test_an_unmapped_method_is_refused_by_its_name_and_listed_for_preflight() -> None:
    with pytest.raises(Unsendable) as refused:
        reading(payment(provider="paypal", payment_method="wallet"))

    assert refused.value.field == "payment_method"
    assert refused.value.sentence == (
        "payment_method «wallet» of provider «paypal» has no payment mode of Zoho."
    )
    seen = [("netcash", "eft"), ("paypal", "wallet"), ("PayPal", "Wallet"), ("zoho_billing", None)]
    assert WAYS.unmapped(seen) == [("paypal", "wallet")]


@pytest.mark.parametrize("status", ["pending", "processing", "failed", "cancelled", "expired"])
def test_an_unfinished_payment_is_skipped(status: str) -> None:
    read = reading(payment(status=status))

    assert isinstance(read, Skip)
    assert read.reason == f"not completed: {status}"


def test_a_returned_payment_is_removed_if_it_was_ever_completed() -> None:
    assert isinstance(reading(payment(status="reversed")), Removal)
    assert isinstance(reading(payment(status="reversed", completed_at=None)), Skip)
    assert isinstance(reading(payment(status="reversed", provider="zoho_billing")), Skip)


def test_a_payment_that_zoho_took_is_linked_and_never_created() -> None:
    read = reading(payment(provider="zoho_billing", payment_method="unheard of"))

    assert isinstance(read, TakenByZoho)
    assert read.key == "TX-40"
    assert read.figures["amount"] == "459.00"


# -------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("columns", "shares", "code", "sentence"),
    [
        (
            {"amount": Decimal("-459.00")},
            [],
            "amount_not_positive",
            "amount is -459.00; a payment must be above 0.00.",
        ),
        (
            {"amount": Decimal(0)},
            [],
            "amount_not_positive",
            "amount is 0.00; a payment must be above 0.00.",
        ),
        ({"amount": None}, [], "amount_missing", "amount is empty."),
        (
            {},
            [share("15", "459")],
            "invoice_of_another",
            "Invoice 15 is customer 4's, the payment is customer 3's.",
        ),
        ({}, [share("99", "459")], "invoice_unknown", "invoice_id is 99, no invoice."),
        (
            {},
            [share("12", "400"), share("13", "100")],
            "shares_exceed_amount",
            "amount is 459.00; its shares come to 500.00.",
        ),
        ({"currency": "USD"}, [], "currency_differs", "currency is USD, the customer's is ZAR."),
        ({"completed_at": None}, [], "date_missing", "completed_at is empty."),
        (
            {"refunded_amount": Decimal(100)},
            [],
            "refund_needed",
            "refunded_amount is 100.00 of 459.00, status completed: a refund in Zoho is needed.",
        ),
        (
            {"status": "refunded"},
            [],
            "refund_needed",
            "refunded_amount is 0.00 of 459.00, status refunded: a refund in Zoho is needed.",
        ),
        (
            {"transaction_id": " "},
            [],
            "reference_unusable",
            "transaction_id has 0 characters; it must have 1 to 100.",
        ),
        (
            {},
            [share("12", "300"), share("14", "159")],
            "invoice_left_out",
            ("159.00 of it is on invoices that are not sent (before cut-over), 300.00 on others."),
        ),
        (
            {},
            [share("16", "459")],
            "invoice_left_out",
            "459.00 of it is on invoices that are not sent (zero amount), 0.00 on others.",
        ),
        (
            {"status": "lost"},
            [],
            "status_unknown",
            (
                "status is «lost»; known are cancelled, completed, expired, failed, pending,"
                " processing, refunded, reversed."
            ),
        ),
    ],
)
def test_bad_input_is_refused_with_its_field_and_both_values(
    columns: dict[str, Any], shares: list[Share], code: str, sentence: str
) -> None:
    with pytest.raises(Unsendable) as refused:
        reading(payment(**columns), shares)

    assert refused.value.code == code
    assert refused.value.sentence == sentence


def test_a_share_never_ends_as_credit_because_its_invoice_is_late() -> None:
    with pytest.raises(ValueError, match="after its customer and its invoices"):
        reading(None, [share("17", "459")])

    assert sendable(None, [share("17", "459")], is_plan=True).figures["applied"] == {}


# -------------------------------------------------------------------------------- cut-over


def test_a_payment_is_skipped_with_its_invoice_whatever_its_date() -> None:
    cut_over = Ownership(payments_from=date(2025, 2, 1))

    left_out = reading(None, [share("14", "459")])
    kept = reading(None, [share("12", "459")], ownership=cut_over)
    credit = reading(None, [], ownership=cut_over)

    assert isinstance(left_out, Skip)
    assert isinstance(kept, Sendable)
    assert isinstance(credit, Skip)


@given(
    first=st.dates(date(2024, 1, 1), date(2025, 12, 1)),
    cut_over=st.none() | st.dates(date(2024, 1, 1), date(2025, 12, 1)),
    starts=st.none() | st.dates(date(2024, 1, 1), date(2025, 12, 1)),
    kind=st.sampled_from(["recurring", "installation"]),
    paid_after=st.integers(-30, 60),
)
def test_every_payment_finds_its_invoice_or_is_skipped_with_it(
    first: date, cut_over: date | None, starts: date | None, kind: str, paid_after: int
) -> None:
    ownership = Ownership(invoices_from=cut_over, payments_from=cut_over)
    bill = Invoice.model_validate(
        {
            "id": 12,
            "updated_at": COMPLETED,
            "customer_id": 3,
            "invoice_type": kind,
            "invoice_date": first,
            "period_start": first,
            "period_end": first,
            "total_amount": Decimal(459),
            "status": "sent",
        }
    )
    owner = owner_of(bill, [] if starts is None else [Span(starts)], ownership)
    is_there = owner.is_ours or owner is Owner.ZOHO
    paid = {"12": PaidInvoice("12", "3", "600" if is_there else None, owner.skipped)}
    moment = datetime(first.year, first.month, first.day, tzinfo=UTC) + timedelta(days=paid_after)

    read = reading(payment(completed_at=moment), invoices=paid, ownership=ownership)

    if is_there:
        assert isinstance(read, Sendable)
        assert read.figures["applied"] == {"600": "459.00"}
    else:
        assert isinstance(read, Skip)


# ------------------------------------------------------------------------------- our books


def allocation(invoice_id: str, amount: str | None) -> PaymentAllocation:
    return PaymentAllocation.model_validate(
        {
            "payment_id": 40,
            "invoice_id": invoice_id,
            "amount": None if amount is None else Decimal(amount),
        }
    )


def test_allocations_go_before_the_one_invoice() -> None:
    shares = shares_of(payment(), [allocation("13", "400"), allocation("14", "59")])

    assert shares == [share("13", "400"), share("14", "59")]


@pytest.mark.parametrize("amount", ["0", "-5", None])
def test_an_allocation_must_be_above_zero(amount: str | None) -> None:
    with pytest.raises(Unsendable) as refused:
        shares_of(payment(), [allocation("13", amount)])

    assert refused.value.field == "allocations.amount"


def test_a_payment_without_invoice_or_allocations_has_no_share() -> None:
    assert shares_of(payment(invoice_id=None), []) == []


def test_what_earlier_payments_left_of_the_invoice_is_the_share() -> None:
    earlier = [Earlier("39", COMPLETED - timedelta(days=1), Decimal(400))]
    later = [Earlier("41", COMPLETED + timedelta(days=1), Decimal(400))]

    assert shares_of(payment(), [], invoice_total=Decimal(459), on_invoice=[*earlier, *later]) == [
        share("12", "59")
    ]


@given(
    total=st.decimals("0.01", 2000, places=2),
    amounts=st.lists(st.decimals("0.01", 900, places=2), min_size=1, max_size=6),
    hours=st.lists(st.integers(0, 3), min_size=6, max_size=6),
)
def test_payments_of_one_invoice_fill_it_once_and_the_rest_is_credit(
    total: Decimal, amounts: list[Decimal], hours: list[int]
) -> None:
    paid = [
        payment(id=str(number), amount=amount, completed_at=COMPLETED + timedelta(hours=hour))
        for number, (amount, hour) in enumerate(zip(amounts, hours, strict=False))
    ]
    known = [
        Earlier(each.id, each.completed_at or COMPLETED, amount)
        for each, amount in zip(paid, amounts, strict=True)
    ]

    shares = [shares_of(each, [], invoice_total=total, on_invoice=known)[0].amount for each in paid]

    assert all(0 <= part <= amount for part, amount in zip(shares, amounts, strict=True))
    assert total_of(shares) == min(total, total_of(amounts))


# ----------------------------------------------------------------------------- against Zoho


def invoice(zoho_id: str = "600", **fields: Any) -> RemoteInvoice:
    return RemoteInvoice.model_validate({"invoice_id": zoho_id, "balance": 459} | fields)


def remote(**fields: Any) -> RemotePayment:
    return RemotePayment.model_validate(
        {
            "payment_id": "700",
            "customer_id": "300",
            "amount": 459,
            "reference_number": "TX-40",
            "invoices": [{"invoice_id": "600", "amount_applied": Decimal("459.0")}],
        }
        | fields
    )


def test_a_smaller_open_balance_is_never_capped() -> None:
    paid_by_hand = invoice(
        balance=100,
        payments=[{"payment_id": "701", "amount": 359, "reference_number": ""}],
    )

    found = already_paid(sendable().figures, [paid_by_hand])

    assert (found.kind, found.zoho_ids) == (MatchKind.PLAUSIBLE, ("701",))
    assert found.why == (
        "459.00 on invoice 600, of which 100.00 is open: already paid there by 701"
    )


def test_credit_that_zoho_applied_by_itself_is_named() -> None:
    found = already_paid(sendable().figures, [invoice(balance=0, credits_applied=459)])

    assert found.why.endswith("already paid there by credit")
    assert found.zoho_ids == ()


def test_an_open_invoice_takes_its_share() -> None:
    assert already_paid(sendable().figures, [invoice()]).kind is MatchKind.NONE
    assert already_paid(sendable().figures, [invoice("601", balance=0)]).kind is MatchKind.NONE


def test_our_payment_is_found_by_its_reference_wherever_it_stands() -> None:
    row = {"payment_id": "700", "reference_number": "TX-40"}
    on_two = [invoice(payments=[row]), invoice("601", payments=[row])]
    moved = RemoteTransaction.model_validate(
        {"transaction_id": "700", "reference_id": "TX-40", "type": "payment", "amount": "459"}
    )

    for found in (
        match_payment("TX-40", {}, "40", invoices=on_two),
        match_payment("TX-40", {}, "40", payments=[remote()]),
        match_payment("TX-40", {}, "40", transactions=[moved]),
    ):
        assert (found.kind, found.zoho_ids) == (MatchKind.SAME, ("700",))


def test_other_references_and_empty_ones_are_nobody() -> None:
    others = [remote(reference_number=each) for each in ("", "TX-4", "TX-400")]

    assert match_payment("TX-40", {}, "40", payments=others).kind is MatchKind.NONE


def test_two_payments_of_one_reference_are_for_a_person() -> None:
    twice = [remote(), remote(payment_id="702")]

    assert match_payment("TX-40", {}, "40", payments=twice).kind is MatchKind.SEVERAL
    assert match_payment("TX-40", {"700": "41"}, "40", payments=[remote()]).kind is MatchKind.TAKEN


@pytest.mark.parametrize(
    ("fields", "differing"),
    [
        ({}, []),
        ({"amount": Decimal("459.01")}, ["amount"]),
        ({"invoices": []}, ["applied"]),
        ({"invoices": ""}, ["applied"]),
        ({"invoices": [{"invoice_id": "600", "amount_applied": 400}]}, ["applied"]),
        ({"invoices": [{"invoice_id": "601", "amount_applied": 459}]}, ["applied"]),
        (
            {
                "invoices": [
                    {"invoice_id": "600", "amount_applied": 459},
                    {"invoice_id": "601", "amount_applied": 0},
                ]
            },
            [],
        ),
        ({"reference_number": ""}, ["reference_number"]),
        ({"customer_id": "301"}, ["customer_id"]),
    ],
)
def test_amount_and_what_was_applied_are_compared(
    fields: dict[str, Any], differing: list[str]
) -> None:
    assert payment_differences(sendable().figures, remote(**fields)) == differing


def test_a_put_without_what_it_needs_is_never_made() -> None:
    with pytest.raises(ValueError, match="invoices"):
        payment_update({"customer_id": "300", "payment_mode": "cash", "amount": Decimal(1)})
