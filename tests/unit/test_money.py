"""Money is exact: what is read is what was written, and half a cent goes up."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.errors import Unsendable
from billing_sync.domain.money import (
    amount_of,
    cents_of,
    figure,
    is_to_the_cent,
    read_json,
    to_the_cent,
    total_of,
)

AMOUNTS = st.decimals(min_value=-(10**10), max_value=10**10, places=4)


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [
        ("5.455", "5.46"),
        ("5.454999", "5.45"),
        ("-5.455", "-5.46"),
        ("0.005", "0.01"),
        ("-0.001", "0.00"),
        ("459", "459.00"),
    ],
)
def test_half_a_cent_goes_away_from_zero(amount: str, rounded: str) -> None:
    assert figure(Decimal(amount)) == rounded


def test_precision_is_the_organisations() -> None:
    assert figure(Decimal("1.2345"), 3) == "1.235"
    assert figure(Decimal("1.5"), 0) == "2"


@given(AMOUNTS)
def test_rounding_moves_an_amount_by_half_a_cent_at_most_and_only_once(amount: Decimal) -> None:
    rounded = to_the_cent(amount)

    assert abs(rounded - amount) <= Decimal("0.005")
    assert to_the_cent(rounded) == rounded
    assert is_to_the_cent(rounded)


@given(AMOUNTS)
def test_equal_amounts_have_equal_figures_however_they_were_written(amount: Decimal) -> None:
    assert figure(amount) == figure(Decimal(str(amount.normalize())))


@given(st.lists(AMOUNTS))
def test_a_total_does_not_depend_on_the_order(amounts: list[Decimal]) -> None:
    assert total_of(amounts) == total_of(reversed(amounts))


@pytest.mark.parametrize("value", [Decimal("459.00"), "459.00", 459, "459"])
def test_amounts_are_read_from_columns_and_from_json(value: object) -> None:
    assert amount_of(value, "price") == Decimal(459)


@pytest.mark.parametrize(
    "value",
    [459.0, True, Decimal("NaN"), Decimal("Infinity"), "NaN", "R 459", [], {}, Decimal("1E+13")],
)
def test_what_is_no_amount_is_refused_by_its_field_alone(value: object) -> None:
    with pytest.raises(Unsendable) as refused:
        amount_of(value, "price")

    assert refused.value.code == "not_an_amount"
    assert refused.value.field == "price"
    assert refused.value.sentence == "price is not an amount."


@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_amount_is_not_zero(value: object) -> None:
    with pytest.raises(Unsendable) as refused:
        amount_of(value, "price")

    assert refused.value.code == "amount_missing"


def test_a_total_with_parts_of_a_cent_is_refused_with_both_figures() -> None:
    with pytest.raises(Unsendable) as refused:
        cents_of(Decimal("100.005"), "total_amount")

    assert refused.value.sentence == "total_amount is 100.005; to the cent it would be 100.01."


def test_json_is_read_exactly_as_it_is_written() -> None:
    [line] = read_json('[{"unit_price": 399.13, "quantity": 1}]')

    assert line["unit_price"] == Decimal("399.13")
    assert isinstance(line["unit_price"], Decimal)


def test_json_with_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        read_json('{"unit_price": NaN}')
