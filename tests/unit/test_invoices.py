"""Invoices: lines as they are written, totals to the cent, links to what Zoho raised."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.errors import Unsendable
from billing_sync.domain.invoices import (
    InvoiceReading,
    RaisedByZoho,
    Withdrawal,
    Withdrawn,
    both_figures,
    choose_raised,
    invoice_differences,
    match_number,
    match_raised,
    may_be_altered,
    read_invoice,
    withdraw,
)
from billing_sync.domain.matching import MatchKind
from billing_sync.domain.money import figure, read_json
from billing_sync.domain.ownership import Owner
from billing_sync.domain.parents import CustomerInZoho
from billing_sync.domain.reading import Sendable, Skip
from billing_sync.domain.remote import RemoteInvoice
from billing_sync.domain.source import Invoice
from billing_sync.domain.tax import (
    MoneyRules,
    Prices,
    Rounding,
    TaxedLine,
    Taxes,
    TaxKind,
    TaxRate,
    totals_of,
)

STANDARD = TaxRate("77", "Standard Rate", Decimal(15))
ZERO = TaxRate("78", "Zero Rate", Decimal(0))
EXEMPT = TaxRate("79", "Exempt", Decimal(0))
TAXES = Taxes({TaxKind.STANDARD: STANDARD, TaxKind.ZERO: ZERO, TaxKind.EXEMPT: EXEMPT})


def rules(rounding: Rounding = Rounding.LINE, taxes: Taxes = TAXES) -> MoneyRules:
    return MoneyRules("ZAR", ZoneInfo("Africa/Johannesburg"), Prices.INCLUSIVE, rounding, taxes)


MADE = "2025-01-10T02:30:08+0200"
ROUTER = {"name": "Router", "unit_price": Decimal("1150.00"), "quantity": 1}


def invoice(**columns: Any) -> Invoice:
    row: dict[str, Any] = {
        "id": 12,
        "updated_at": datetime(2025, 1, 1, tzinfo=UTC),
        "customer_id": 3,
        "invoice_number": "INV-2025-00012",
        "invoice_type": "equipment",
        "invoice_date": date(2025, 1, 10),
        "due_date": date(2025, 1, 17),
        "subtotal": Decimal("1000.00"),
        "tax_amount": Decimal("150.00"),
        "total_amount": Decimal("1150.00"),
        "tax_inclusive": True,
        "status": "sent",
        "line_items": [ROUTER],
    }
    return Invoice.model_validate(row | columns)


def with_totals(total: str, tax: str, **columns: Any) -> Invoice:
    return invoice(
        total_amount=Decimal(total),
        tax_amount=Decimal(tax),
        subtotal=Decimal(total) - Decimal(tax),
        **columns,
    )


def reading(
    row: Invoice | None = None,
    owner: Owner = Owner.ONE_OFF,
    *,
    money: MoneyRules | None = None,
    currency: str | None = None,
    same_number: Sequence[str] = (),
) -> InvoiceReading:
    return read_invoice(
        row or invoice(),
        owner,
        money or rules(),
        CustomerInZoho("300", currency),
        same_number=same_number,
    )


def sendable(row: Invoice | None = None, **settings: Any) -> Sendable:
    read = reading(row, **settings)
    assert isinstance(read, Sendable)
    return read


def remote(**fields: Any) -> RemoteInvoice:
    return RemoteInvoice.model_validate(
        {
            "invoice_id": "600",
            "invoice_number": "INV-2025-00012",
            "date": "2025-01-10",
            "customer_id": "300",
            "currency_code": "ZAR",
            "status": "draft",
            "sub_total": 1000,
            "tax_total": Decimal("150.0"),
            "total": 1150,
            "balance": 1150,
        }
        | fields
    )


# ------------------------------------------------------------------------------ what is sent


def test_a_one_off_invoice_is_sent_under_its_own_number_with_its_lines() -> None:
    sent = sendable()

    assert sent.key == "INV-2025-00012"
    assert sent.payload == {
        "customer_id": "300",
        "invoice_number": "INV-2025-00012",
        "date": "2025-01-10",
        "due_date": "2025-01-17",
        "is_inclusive_tax": True,
        "invoice_items": [
            {"name": "Router", "price": Decimal("1150.00"), "quantity": 1, "tax_id": "77"}
        ],
    }
    assert sent.figures == {
        "customer_id": "300",
        "invoice_number": "INV-2025-00012",
        "date": "2025-01-10",
        "currency_code": "ZAR",
        "is_inclusive_tax": True,
        "sub_total": "1000.00",
        "tax_total": "150.00",
        "total": "1150.00",
    }


@pytest.mark.parametrize("column", ["unit_price", "price"])
def test_a_price_is_read_from_either_column(column: str) -> None:
    sent = sendable(invoice(line_items=[{"name": "Router", column: Decimal(1150)}]))

    assert sent.payload["invoice_items"][0]["price"] == Decimal("1150.00")


@pytest.mark.parametrize("lines", [None, [], [{"name": "Router", "quantity": 2}]])
def test_lines_without_any_price_become_one_line_of_the_total(lines: Any) -> None:
    # Whatever the prices of this invoice are, its total holds the tax.
    sent = sendable(invoice(line_items=lines, tax_inclusive=False))

    [item] = sent.payload["invoice_items"]
    assert (item["price"], item["quantity"], item["tax_id"]) == (Decimal("1150.00"), 1, "77")
    assert item["name"] == ("Router" if lines else "Equipment")
    assert sent.payload["is_inclusive_tax"] is True


def test_prices_without_tax_are_sent_as_such() -> None:
    line = {"description": "Installation", "unit_price": "1000", "quantity": "1"}
    sent = sendable(invoice(tax_inclusive=False, line_items=[line]))

    assert sent.payload["is_inclusive_tax"] is False
    assert sent.payload["invoice_items"][0]["price"] == Decimal("1000.00")


def test_each_line_is_taxed_as_the_source_says() -> None:
    lines = [
        ROUTER,
        {"name": "Deposit", "price": 200, "tax": "Exempt"},
        {"name": "Stamps", "price": 100, "tax_rate": 0},
    ]

    sent = sendable(with_totals("1450", "150", line_items=lines))

    assert [item["tax_id"] for item in sent.payload["invoice_items"]] == ["77", "79", "78"]


def test_an_untaxed_invoice_is_taxed_at_zero() -> None:
    sent = sendable(with_totals("1150", "0"))

    assert sent.payload["invoice_items"][0]["tax_id"] == "78"


def test_an_organisation_without_tax_sends_no_tax_and_refuses_a_taxed_invoice() -> None:
    unregistered = rules(taxes=Taxes({}, is_registered=False))

    sent = sendable(with_totals("1150", "0"), money=unregistered)

    assert "tax_id" not in sent.payload["invoice_items"][0]
    with pytest.raises(Unsendable) as refused:
        reading(money=unregistered)
    assert (refused.value.code, refused.value.field) == ("not_registered_for_tax", "tax_amount")


def test_a_part_of_one_is_sent_as_one_of_its_amount() -> None:
    line = {"name": "Labour", "unit_price": Decimal("460.00"), "quantity": Decimal("2.5")}

    [item] = sendable(invoice(line_items=[line])).payload["invoice_items"]

    assert (item["price"], item["quantity"]) == (Decimal("1150.00"), 1)
    assert item["description"] == "2.5 x 460.00"


def test_a_long_name_goes_on_in_the_description() -> None:
    line = {"name": "x" * 130, "description": "blue", "unit_price": 1150}

    [item] = sendable(invoice(line_items=[line])).payload["invoice_items"]

    assert item["name"] == "x" * 100
    assert item["description"] == "x" * 130 + "\nblue"


def test_being_paid_is_no_change_of_an_invoice_but_its_lines_are() -> None:
    first = sendable()
    other_line = {"name": "Modem", "unit_price": 1150}

    assert sendable(invoice(status="paid")).fingerprint == first.fingerprint
    assert sendable(invoice(line_items=[other_line])).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("owner", "reason"),
    [
        (Owner.ZERO, "zero amount"),
        (Owner.DRAFT, "draft"),
        (Owner.BEFORE_CUT_OVER, "before cut-over"),
    ],
)
def test_what_is_not_to_be_sent_is_skipped_with_its_reason(owner: Owner, reason: str) -> None:
    read = reading(owner=owner)

    assert isinstance(read, Skip)
    assert read.reason == reason


@pytest.mark.parametrize("status", ["cancelled", "voided", " Voided "])
def test_an_invoice_that_is_void_here_is_withdrawn(status: str) -> None:
    assert isinstance(reading(invoice(status=status)), Withdrawn)


# -------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("columns", "code", "field", "sentence"),
    [
        (
            {"line_items": [{"name": "Router", "unit_price": 1000}]},
            "totals_differ",
            "total_amount",
            "total_amount is 1150.00; its lines come to 1000.00 in Zoho.",
        ),
        (
            {"tax_amount": Decimal("149.99"), "subtotal": Decimal("1000.01")},
            "totals_differ",
            "tax_amount",
            "tax_amount is 149.99; its lines come to 150.00 in Zoho.",
        ),
        (
            {"subtotal": Decimal("999.00")},
            "totals_differ",
            "total_amount",
            "total_amount is 1150.00; subtotal and tax_amount come to 1149.00.",
        ),
        (
            {"line_items": {"name": "Router"}},
            "line_items_not_a_list",
            "line_items",
            "line_items is an object, not a list.",
        ),
        (
            {"line_items": "Router"},
            "line_items_not_a_list",
            "line_items",
            "line_items is text, not a list.",
        ),
        (
            {"line_items": [ROUTER, "Modem"]},
            "line_not_an_object",
            "line_items",
            "Line 2 of line_items is text, not an object.",
        ),
        (
            {"line_items": [ROUTER, {"name": "Modem"}]},
            "line_price_missing",
            "line_items",
            "Line 2 of line_items has neither unit_price nor price; others have.",
        ),
        (
            {"line_items": [{"price": Decimal("-50.00")}]},
            "credit_note_needed",
            "line_items",
            "Line 1 of line_items is -50.00 by 1, below 0.00: a credit note is needed.",
        ),
        (
            {"line_items": [{"price": 1150, "quantity": 0}]},
            "quantity_zero",
            "line_items",
            "Line 1 of line_items has a quantity of 0; it must be above 0.",
        ),
        (
            {"line_items": [{"price": Decimal("11.4996"), "quantity": 100}]},
            "price_too_precise",
            "line_items",
            (
                "line_items[1].price is 11.4996: 100 of it come to 1149.96, in Zoho, which rounds"
                " it to 11.50 first, to 1150.00."
            ),
        ),
        (
            {"line_items": [{"price": 1150, "tax_rate": Decimal("14.0")}]},
            "tax_unknown",
            "line_items[1].tax_rate",
            "line_items[1].tax_rate is 14; the taxes that are known are at 15, 0, 0.",
        ),
        (
            {"line_items": [{"price": "a lot"}]},
            "not_an_amount",
            "line_items[1].price",
            "line_items[1].price is not an amount.",
        ),
        ({"invoice_number": " "}, "number_missing", "invoice_number", "invoice_number is empty."),
        ({"invoice_date": None}, "date_missing", "invoice_date", "invoice_date is empty."),
        (
            {"currency": "USD"},
            "currency_differs",
            "currency",
            "currency is USD, the customer's is ZAR.",
        ),
        (
            {"status": "lost"},
            "status_unknown",
            "status",
            "status is «lost»; known are cancelled, draft, overdue, paid, partial, sent, voided.",
        ),
        (
            {"total_amount": Decimal("1150.005")},
            "parts_of_a_cent",
            "total_amount",
            "total_amount is 1150.005; to the cent it would be 1150.01.",
        ),
    ],
)
def test_bad_input_is_refused_with_its_field_and_both_values(
    columns: dict[str, Any], code: str, field: str, sentence: str
) -> None:
    with pytest.raises(Unsendable) as refused:
        reading(invoice(**columns))

    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.sentence == sentence


def test_a_duplicate_number_is_refused_with_all_who_bear_it() -> None:
    with pytest.raises(Unsendable, match="INV-2025-00012 is borne by the invoices 12, 15"):
        reading(same_number=["15"])


def test_a_customer_of_another_currency_is_billed_in_it() -> None:
    assert sendable(currency="USD").figures["currency_code"] == "USD"
    with pytest.raises(Unsendable):
        reading(invoice(currency="ZAR"), currency="USD")


def test_lines_written_as_floats_would_be_refused_and_read_exactly_are_not() -> None:
    text = '[{"name": "Router", "unit_price": 399.13, "quantity": 1}]'

    with pytest.raises(Unsendable):
        reading(with_totals("399.13", "52.06", line_items=[{"unit_price": 399.13}]))
    sent = sendable(with_totals("399.13", "52.06", line_items=read_json(text)))
    assert sent.figures["total"] == "399.13"


ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ODD_JSON = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner)
)


@given(
    ODD_JSON
    | st.lists(
        st.dictionaries(
            st.sampled_from(["name", "price", "unit_price", "quantity", "tax", "tax_rate"]), ODD
        ),
        max_size=3,
    )
)
def test_whatever_stands_in_line_items_is_sent_to_the_cent_or_refused(lines: Any) -> None:
    try:
        sent = sendable(invoice(line_items=lines))
    except Unsendable:
        return

    assert added_up(sent, Rounding.LINE)[2] == "1150.00"


# ------------------------------------------------------------------------------- properties

RATES = {rate.tax_id: rate for rate in TAXES.rates.values()}


def added_up(sent: Sendable, rounding: Rounding) -> tuple[str, str, str]:
    """Add a payload up as Zoho would: from what is sent, and nothing else."""
    made = totals_of(
        [
            TaxedLine(Decimal(item["price"]), Decimal(item["quantity"]), RATES[item["tax_id"]])
            for item in sent.payload["invoice_items"]
        ],
        inclusive=sent.payload["is_inclusive_tax"],
        rounding=rounding,
    )
    return figure(made.sub_total), figure(made.tax), figure(made.total)


LINES = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.just("Thing"),
            "unit_price": st.decimals("0.01", 10**4, places=2),
            "quantity": st.integers(1, 30) | st.decimals("0.1", 9, places=1),
        },
        optional={"tax": st.sampled_from(["standard", "zero", "exempt"])},
    ),
    min_size=1,
    max_size=6,
)


@given(LINES, st.booleans(), st.sampled_from(Rounding))
def test_what_is_sent_adds_up_to_what_is_written_here(
    lines: list[dict[str, Any]], inclusive: bool, rounding: Rounding
) -> None:
    kinds = {"standard": STANDARD, "zero": ZERO, "exempt": EXEMPT}
    has_tax = any(line.get("tax", "standard") == "standard" for line in lines)
    written = totals_of(
        [
            TaxedLine(
                figure_of(line),
                Decimal(1),
                kinds[line.get("tax", "standard" if has_tax else "zero")],
            )
            for line in lines
        ],
        inclusive=inclusive,
        rounding=rounding,
    )
    row = invoice(
        line_items=lines,
        tax_inclusive=inclusive,
        subtotal=written.sub_total,
        tax_amount=written.tax,
        total_amount=written.total,
    )
    if has_tax and written.tax == 0:
        return

    sent = sendable(row, money=rules(rounding))

    assert added_up(sent, rounding) == (
        sent.figures["sub_total"],
        sent.figures["tax_total"],
        sent.figures["total"],
    )
    assert sent.figures["total"] == figure(written.total)


def figure_of(line: dict[str, Any]) -> Decimal:
    return Decimal(figure(Decimal(line["unit_price"]) * Decimal(line["quantity"])))


@given(st.decimals("0.01", 10**5, places=2), st.booleans(), st.sampled_from(Rounding))
def test_one_line_of_the_total_has_the_tax_that_the_invoice_says(
    price: Decimal, inclusive: bool, rounding: Rounding
) -> None:
    written = totals_of(
        [TaxedLine(price, Decimal(1), STANDARD)], inclusive=inclusive, rounding=rounding
    )
    row = with_totals(str(written.total), str(written.tax), line_items=[], tax_inclusive=inclusive)

    sent = sendable(row, money=rules(rounding))

    assert sent.figures["tax_total"] == figure(written.tax)


# ------------------------------------------------------------------------------ comparisons


@pytest.mark.parametrize(
    ("fields", "differing"),
    [
        ({}, []),
        ({"sub_total": 1150}, []),
        ({"sub_total": 1149}, ["sub_total"]),
        ({"tax_total": Decimal("149.99")}, ["tax_total"]),
        ({"total": Decimal("1150.01")}, ["total"]),
        ({"total": 1050, "credits_applied": 100}, []),
        ({"total": None, "tax_total": None}, ["tax_total", "total"]),
        ({"invoice_number": "INV-000001"}, ["invoice_number"]),
        ({"date": "2025-01-11"}, ["date"]),
        ({"customer_id": "301"}, ["customer_id"]),
        ({"currency_code": "USD"}, ["currency_code"]),
    ],
)
def test_sub_total_tax_and_total_are_compared_to_the_cent(
    fields: dict[str, Any], differing: list[str]
) -> None:
    assert invoice_differences(sendable().figures, remote(**fields)) == differing


@pytest.mark.parametrize(
    "spelling",
    [
        {"invoice_number": "INV-1", "date": "2025-01-10", "last_modified_time": MADE},
        {"number": "INV-1", "invoice_date": "2025-01-10", "updated_time": MADE},
        # Real list rows carry both, and may leave one of them empty.
        {"number": "", "invoice_number": "INV-1", "date": "", "invoice_date": "2025-01-10"},
    ],
)
def test_both_spellings_of_zohos_answers_are_read(spelling: dict[str, Any]) -> None:
    found = RemoteInvoice.model_validate({"invoice_id": 600, **spelling})

    assert (found.zoho_id, found.number, found.date) == ("600", "INV-1", date(2025, 1, 10))
    assert (found.updated_time is None) is ("number" in spelling and "date" in spelling)
    assert found.total is None


def test_a_gross_sub_total_is_no_reading_of_prices_without_tax() -> None:
    figures = {**sendable().figures, "is_inclusive_tax": False}

    assert invoice_differences(figures, remote(sub_total=1150)) == ["sub_total"]


def test_what_a_list_row_leaves_out_is_not_held_against_it() -> None:
    row = RemoteInvoice.model_validate(
        {"invoice_id": "600", "number": "INV-2025-00012", "invoice_date": "2025-01-10"}
    )

    assert invoice_differences(sendable().figures, row, shown_only=True) == []


def test_a_difference_is_told_with_both_figures() -> None:
    found = remote(total=Decimal("1150.01"), tax_total=None)
    figures = sendable().figures

    said = both_figures(figures, found, invoice_differences(figures, found))

    assert said == "tax_total: 150.00 here, not shown in Zoho; total: 1150.00 here, 1150.01 in Zoho"


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({}, True),
        ({"status": "sent"}, True),
        ({"status": "overdue"}, True),
        ({"status": "void"}, False),
        ({"status": "paid", "balance": 0}, False),
        ({"status": "partially_paid", "balance": 150}, False),
        ({"status": "sent", "payments": [{"payment_id": "1"}]}, False),
        ({"status": "sent", "credits_applied": 10}, False),
        ({"status": "sent", "balance": 1000}, False),
    ],
)
def test_paid_and_void_ones_in_zoho_are_never_altered(fields: dict[str, Any], may: bool) -> None:
    assert may_be_altered(remote(**fields)) is may


@pytest.mark.parametrize(
    ("found", "step"),
    [
        (None, Withdrawal.NOTHING),
        (remote(), Withdrawal.DELETE),
        (remote(status="sent"), Withdrawal.VOID),
        (remote(status="overdue"), Withdrawal.VOID),
        (remote(status="void"), Withdrawal.NOTHING),
        (remote(status="paid", balance=0), Withdrawal.PERSON),
        (remote(status="partially_paid", balance=10), Withdrawal.PERSON),
        (remote(status="overdue", balance=10), Withdrawal.PERSON),
    ],
)
def test_a_void_invoice_is_deleted_voided_or_left_to_a_person(
    found: RemoteInvoice | None, step: Withdrawal
) -> None:
    decided, why = withdraw(found)

    assert decided is step
    assert why


# ---------------------------------------------------------------------------------- matches


def test_a_taken_number_is_ours_by_any_figures_ever_sent_under_it() -> None:
    now = sendable().figures
    before = sendable(with_totals("1150", "0")).figures
    other = {**now, "total": "99.00"}

    assert match_number("INV-2025-00012", remote(), [other, now], {}, "12").kind is MatchKind.SAME
    assert match_number("INV-2025-00012", remote(), [before], {}, "12").kind is MatchKind.SAME
    taken = match_number("INV-2025-00012", remote(), [other], {}, "12")
    assert (taken.kind, taken.zoho_ids) == (MatchKind.TAKEN, ("600",))


def test_a_number_that_another_record_holds_or_nobody_bears() -> None:
    now = sendable().figures

    held = match_number("INV-2025-00012", remote(), [now], {"600": "13"}, "12")
    absent = match_number("INV-2025-00012", remote(invoice_number="INV-1"), [now], {}, "12")

    assert held.kind is MatchKind.TAKEN
    assert absent.kind is MatchKind.NONE


def recurring(**columns: Any) -> RaisedByZoho:
    row = with_totals(
        "459",
        "59.87",
        invoice_type="recurring",
        period_start=date(2025, 2, 1),
        period_end=date(2025, 2, 28),
        **columns,
    )
    read = reading(row, Owner.ZOHO)
    assert isinstance(read, RaisedByZoho)
    return read


def raised(zoho_id: str, **fields: Any) -> RemoteInvoice:
    return RemoteInvoice.model_validate(
        {
            "invoice_id": zoho_id,
            "number": f"INV-00000{zoho_id}",
            "invoice_date": "2025-02-01",
            "customer_id": "300",
            "status": "sent",
            "total": 459,
        }
        | fields
    )


def test_a_recurring_invoice_waits_for_zoho_until_three_days_into_its_period() -> None:
    wanted = recurring()

    assert wanted.due_on == date(2025, 2, 4)
    assert (wanted.earliest, wanted.latest) == (date(2025, 1, 29), date(2025, 2, 11))
    assert not wanted.is_withdrawn
    assert recurring(status="voided").is_withdrawn


def test_zohos_invoice_is_found_on_list_pages_by_customer_date_and_total() -> None:
    rows = [
        raised("1", customer_id="301"),
        raised("2", invoice_date="2025-03-01"),
        raised("3", total=Decimal("459.01")),
        raised("4", status="void"),
        raised("5", status="draft"),
        raised("6", number="INV-2025-00099"),
        raised("7"),
    ]

    found = match_raised(recurring(), rows, {}, our_numbers={"INV-2025-00099"})

    assert (found.kind, found.zoho_ids) == (MatchKind.SAME, ("7",))


def test_what_zoho_has_not_raised_yet_says_what_else_is_there() -> None:
    rows = [raised("1", total=529), raised("2", total=Decimal("460.00"))]

    found = match_raised(recurring(), rows, {})

    assert found.kind is MatchKind.NONE
    assert found.why == "total 459.00 here, 460.00, 529.00 in Zoho"
    assert match_raised(recurring(), [], {}).why == ""


def test_one_that_another_invoice_of_ours_holds_is_not_linked_twice() -> None:
    assert match_raised(recurring(), [raised("1")], {"1": "13"}).kind is MatchKind.NONE
    assert match_raised(recurring(), [raised("1")], {"1": "12"}).kind is MatchKind.SAME


def test_zohos_total_after_credits_is_recognised() -> None:
    row = raised("1", total=400, credits_applied=59)

    assert match_raised(recurring(), [row], {}).kind is MatchKind.SAME


def test_two_that_fit_are_told_apart_by_their_subscription() -> None:
    found = match_raised(recurring(), [raised("1"), raised("2")], {})
    details = [
        raised("1", subscriptions=[{"subscription_id": "500"}]),
        raised("2", subscription_id="501"),
    ]

    assert (found.kind, found.zoho_ids) == (MatchKind.SEVERAL, ("1", "2"))
    assert choose_raised(details, {"501"}).zoho_ids == ("2",)
    assert choose_raised(details, {"500", "501"}).kind is MatchKind.SEVERAL
    assert choose_raised(details, {"502"}).kind is MatchKind.NONE


def test_zohos_invoice_without_a_period_here_cannot_be_linked() -> None:
    with pytest.raises(Unsendable) as refused:
        reading(invoice(period_start=None), Owner.ZOHO)

    assert refused.value.field == "period_start"
