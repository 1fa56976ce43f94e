"""Tax as Zoho counts it: held to the worked examples of its own documents, and to properties."""

import csv
from decimal import Decimal
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.errors import Unsendable
from billing_sync.domain.money import to_the_cent
from billing_sync.domain.remote import Tax
from billing_sync.domain.tax import (
    MoneyRules,
    Prices,
    Rounding,
    TaxedLine,
    Taxes,
    TaxKind,
    TaxRate,
    TaxSetting,
    Totals,
    can_be_expressed,
    exclusive_price_of,
    find_taxes,
    inclusive_price_of,
    tax_on,
    tax_within,
    totals_of,
)

PRICE_LIST = Path(__file__).parents[2] / "ops" / "demo" / "data" / "packages.csv"

VAT = Decimal(15)
STANDARD = TaxRate("1", "Standard Rate", VAT)
ZERO = TaxRate("2", "Zero Rate", Decimal(0))
EXEMPT = TaxRate("3", "Exempt", Decimal(0))
SETTINGS = (
    TaxSetting(TaxKind.STANDARD, "Standard Rate", VAT),
    TaxSetting(TaxKind.ZERO, "Zero Rate", Decimal(0)),
    TaxSetting(TaxKind.EXEMPT, "Exempt", Decimal(0)),
)
TAXES = Taxes({TaxKind.STANDARD: STANDARD, TaxKind.ZERO: ZERO, TaxKind.EXEMPT: EXEMPT})


def rules(prices: Prices, rounding: Rounding = Rounding.LINE, taxes: Taxes = TAXES) -> MoneyRules:
    return MoneyRules("ZAR", ZoneInfo("Africa/Johannesburg"), prices, rounding, taxes)


def line(price: str, quantity: str = "1", percentage: str = "15") -> TaxedLine:
    return TaxedLine(
        Decimal(price), Decimal(quantity), TaxRate(percentage, "Tax", Decimal(percentage))
    )


def totals(sub_total: str, tax: str, total: str) -> Totals:
    return Totals(Decimal(sub_total), Decimal(tax), Decimal(total))


# ------------------------------------------------------------- worked examples from Zoho


def test_zoho_rounds_the_price_before_it_taxes_it() -> None:
    # help.zoho.com, community, «Tax calculation based on actual price not the rounded price»:
    # an item of 54.54545 AUD at 10 % is invoiced as 54.55 + 5.46 = 60.01. It pins two things: the
    # price is rounded first, and half a cent goes up (10 % of 54.55 is 5.455).
    made = totals_of([line("54.54545", "1", "10")], inclusive=False, rounding=Rounding.LINE)

    assert made == totals("54.55", "5.46", "60.01")


FLYERS = [line("123.45", percentage="10"), line("123.46", percentage="10")]


def test_zoho_rounds_tax_once_for_the_document() -> None:
    # zoho.com/books/kb/taxes/tax-override: flyers of 123.45 and 123.46 at 10 %. «The tax in Zoho
    # Books will be calculated for the whole amount»: 24.69.
    made = totals_of(FLYERS, inclusive=False, rounding=Rounding.DOCUMENT)

    assert made == totals("246.91", "24.69", "271.60")


def test_tax_of_each_line_comes_to_a_cent_more() -> None:
    # The same page: 12.35 + 12.35 = 24.70, total 271.61.
    made = totals_of(FLYERS, inclusive=False, rounding=Rounding.LINE)

    assert made == totals("246.91", "24.70", "271.61")


CAPACITOR = [line("20", percentage="4"), line("10", percentage="4"), line("5", percentage="4")]


def test_zoho_takes_inclusive_tax_out_of_the_whole_document() -> None:
    # help.zoho.com/portal/en/kb/fsm/billing/articles/tax-discount-preferences, «Tax Inclusive»:
    # 20, 10 and 5 at 4 % hold 0.769 + 0.384 + 0.192 = 1.35 of tax; for each line it were 1.34.
    made = totals_of(CAPACITOR, inclusive=True, rounding=Rounding.DOCUMENT)
    for_each = totals_of(CAPACITOR, inclusive=True, rounding=Rounding.LINE)

    assert made == totals("33.65", "1.35", "35.00")
    assert for_each.tax == Decimal("1.34")


@pytest.mark.parametrize("rounding", Rounding)
def test_zoho_adds_exclusive_tax_to_each_line(rounding: Rounding) -> None:
    # The same page, «Tax Exclusive»: 0.80 + 0.40 + 0.20 = 1.40 on a sub-total of 35.
    # (Its printed grand total, 36.5, is a misprint of 36.40.)
    made = totals_of(CAPACITOR, inclusive=False, rounding=rounding)

    assert made == totals("35.00", "1.40", "36.40")


@given(st.decimals(min_value=0, max_value=10**6, places=2), st.integers(0, 30))
def test_inclusive_tax_is_price_by_rate_over_hundred_and_rate(gross: Decimal, rate: int) -> None:
    # zoho.com/kw/books/kb/taxes/tax-pref-inclusive: «Tax Amount = Price inclusive of tax * Tax
    # rate / (100 + Tax rate)».
    assert tax_within(gross, Decimal(rate)) == to_the_cent(gross * rate / (100 + rate))


# ------------------------------------------------------------------------ the price list


def prices() -> list[Decimal]:
    with PRICE_LIST.open(newline="") as rows:
        return [
            Decimal(row[column])
            for row in csv.DictReader(rows)
            for column in ("price_zar_incl_vat", "promotion_price_zar")
        ]


def test_five_of_the_twenty_prices_cannot_be_expressed_without_tax() -> None:
    inexpressible = [price for price in prices() if not can_be_expressed(price, VAT)]

    assert len(prices()) == 20
    assert sorted(inexpressible) == [Decimal(each) for each in (379, 609, 609, 909, 999)]


@pytest.mark.parametrize(
    ("price", "invoiced"),
    [("379", "379.01"), ("609", "609.01"), ("909", "908.99"), ("999", "999.01")],
)
def test_such_a_price_fails_with_both_figures(price: str, invoiced: str) -> None:
    with pytest.raises(Unsendable) as refused:
        rules(Prices.EXCLUSIVE).price_to_send(
            Decimal(price), includes_tax=True, column="monthly_price"
        )

    assert refused.value.code == "price_not_expressible"
    assert refused.value.field == "monthly_price"
    assert f"{price}.00" in refused.value.sentence
    assert invoiced in refused.value.sentence


@pytest.mark.parametrize("kind", Prices)
@pytest.mark.parametrize("rounding", Rounding)
def test_459_with_vat_is_invoiced_as_459_of_which_59_87_is_vat(
    kind: Prices, rounding: Rounding
) -> None:
    organisation = rules(kind, rounding)

    sent = organisation.price_to_send(Decimal(459), includes_tax=True, column="monthly_price")

    assert organisation.invoice_of_price(sent) == totals("399.13", "59.87", "459.00")


def test_what_is_sent_is_gross_or_net_as_the_organisation_counts() -> None:
    gross, net = rules(Prices.INCLUSIVE), rules(Prices.EXCLUSIVE)

    assert gross.price_to_send(Decimal(459), includes_tax=True, column="price") == Decimal(459)
    assert net.price_to_send(Decimal(459), includes_tax=True, column="price") == Decimal("399.13")
    assert gross.price_to_send(Decimal(450), includes_tax=False, column="price") == Decimal("517.5")
    assert net.price_to_send(Decimal(450), includes_tax=False, column="price") == Decimal(450)


# ---------------------------------------------------------------------------- properties

CENT_PRICES = st.decimals(min_value="0.01", max_value=10**6, places=2)
RATES = st.sampled_from([Decimal(rate) for rate in ("0", "4", "5", "7.5", "10", "15", "19", "20")])


@given(CENT_PRICES, RATES)
def test_what_no_neighbouring_net_price_makes_cannot_be_expressed(
    gross: Decimal, rate: Decimal
) -> None:
    nearest = exclusive_price_of(gross, rate)
    neighbours = [nearest + Decimal(step) / 100 for step in range(-3, 4)]

    is_made = any(inclusive_price_of(net, rate) == gross for net in neighbours)

    assert can_be_expressed(gross, rate) == is_made


@given(CENT_PRICES, RATES)
def test_every_net_price_is_invoiced_alike_in_both_kinds_of_organisation(
    net: Decimal, rate: Decimal
) -> None:
    gross = inclusive_price_of(net, rate)

    assert tax_within(gross, rate) == tax_on(net, rate)
    assert exclusive_price_of(gross, rate) == net


@given(CENT_PRICES, st.booleans(), st.sampled_from(Rounding))
def test_a_price_is_refused_or_invoiced_as_it_is_here(
    price: Decimal, includes_tax: bool, rounding: Rounding
) -> None:
    gross = price if includes_tax else inclusive_price_of(price, VAT)

    for kind in Prices:
        organisation = rules(kind, rounding)
        try:
            sent = organisation.price_to_send(price, includes_tax=includes_tax, column="price")
        except Unsendable:
            assert kind is Prices.EXCLUSIVE
            assert includes_tax
            assert not can_be_expressed(price, VAT)
        else:
            assert organisation.invoice_of_price(sent).total == gross
            assert organisation.invoice_of_price(sent).tax == tax_within(gross, VAT)


LINES = st.lists(
    st.builds(
        TaxedLine,
        price=st.decimals(min_value="0", max_value=10**5, places=3),
        quantity=st.integers(1, 40).map(Decimal),
        tax=st.sampled_from([STANDARD, ZERO, EXEMPT]),
    ),
    min_size=1,
    max_size=12,
)


@given(LINES, st.booleans(), st.sampled_from(Rounding))
def test_net_and_tax_always_make_the_total_to_the_cent(
    lines: list[TaxedLine], inclusive: bool, rounding: Rounding
) -> None:
    made = totals_of(lines, inclusive=inclusive, rounding=rounding)

    assert made.sub_total + made.tax == made.total
    assert all(to_the_cent(each) == each for each in (made.sub_total, made.tax, made.total))


@given(LINES, st.booleans(), st.sampled_from(Rounding), st.randoms(use_true_random=False))
def test_totals_do_not_depend_on_the_order_of_the_lines(
    lines: list[TaxedLine],
    inclusive: bool,
    rounding: Rounding,
    random: Random,
) -> None:
    shuffled = list(lines)
    random.shuffle(shuffled)

    assert totals_of(shuffled, inclusive=inclusive, rounding=rounding) == totals_of(
        lines, inclusive=inclusive, rounding=rounding
    )


@given(LINES, st.booleans())
def test_the_two_roundings_differ_by_half_a_cent_a_line_at_most(
    lines: list[TaxedLine], inclusive: bool
) -> None:
    for_each = totals_of(lines, inclusive=inclusive, rounding=Rounding.LINE)
    at_once = totals_of(lines, inclusive=inclusive, rounding=Rounding.DOCUMENT)

    assert abs(for_each.tax - at_once.tax) <= Decimal("0.005") * (len(lines) + 1)


@given(LINES, st.sampled_from(Rounding))
def test_the_total_of_inclusive_lines_is_their_sum(
    lines: list[TaxedLine], rounding: Rounding
) -> None:
    made = totals_of(lines, inclusive=True, rounding=rounding)

    assert made.total == sum(each.amount() for each in lines)


# --------------------------------------------------------------------- taxes among Zoho's


def remote(tax_id: str, name: str, percentage: str) -> Tax:
    return Tax.model_validate(
        {"tax_id": tax_id, "tax_name": name, "tax_percentage": Decimal(percentage)}
    )


def test_taxes_are_found_by_name_and_rate() -> None:
    found = find_taxes(
        SETTINGS,
        [
            remote("9", "Standard Rate", "14"),
            remote("1", "standard  rate", "15.00"),
            remote("2", "Zero Rate", "0"),
            remote("3", "Exempt", "0"),
        ],
    )

    assert found.rate(TaxKind.STANDARD, "price").tax_id == "1"
    assert found.rate(TaxKind.ZERO, "price").tax_id == "2"
    assert found.missing == ()


def test_a_tax_that_zoho_does_not_have_is_named() -> None:
    found = find_taxes(SETTINGS, [remote("9", "Standard Rate", "14")])

    with pytest.raises(Unsendable, match=r"Zoho has no tax «Standard Rate» at 15 %\."):
        found.rate(TaxKind.STANDARD, "price")


def test_a_tax_that_zoho_has_twice_is_not_guessed() -> None:
    twice = [remote("1", "Standard Rate", "15"), remote("2", "Standard Rate", "15")]
    found = find_taxes(SETTINGS, twice)

    with pytest.raises(Unsendable, match="several taxes «Standard Rate» at 15 %"):
        found.rate(TaxKind.STANDARD, "price")


def test_an_organisation_without_taxes_charges_none() -> None:
    found = find_taxes(SETTINGS, [])

    assert not found.is_registered
    assert found.of_price("price").percentage == 0
    assert found.rate(TaxKind.ZERO, "tax_amount").tax_id == ""
    with pytest.raises(Unsendable) as refused:
        found.rate(TaxKind.STANDARD, "tax_amount")
    assert refused.value.code == "not_registered_for_tax"


@pytest.mark.parametrize("word", ["zero", "ZERO", "Zero Rate"])
def test_a_line_names_its_tax_by_kind_or_by_name(word: str) -> None:
    assert TAXES.named(word, "line_items") == ZERO


def test_a_rate_that_is_none_of_the_known_ones_is_refused_with_both() -> None:
    assert TAXES.at(Decimal("15.0"), "line_items") == STANDARD
    assert TAXES.at(Decimal(0), "line_items") == ZERO
    with pytest.raises(Unsendable, match=r"is 14; the taxes that are known are at 15, 0, 0\."):
        TAXES.at(Decimal(14), "line_items")
