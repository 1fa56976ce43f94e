"""Money: exact decimals, to the cent, half-up; a binary float never becomes one."""

import json
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

from billing_sync.domain.errors import Unsendable

CENTS: Final = 2
"""The decimals of most currencies; an organisation's own is its `price_precision`."""

TOO_LARGE: Final = Decimal(10) ** 13
"""Beyond any amount of an ISP, and far within what 28 digits of arithmetic hold exactly."""


def to_the_cent(amount: Decimal, precision: int = CENTS) -> Decimal:
    """Round half-up (away from zero), as Zoho does: 5.455 of tax became 5.46 (test_tax)."""
    # Adding zero takes the sign off a negative zero, which would read as a figure of its own.
    return amount.quantize(Decimal(1).scaleb(-precision), rounding=ROUND_HALF_UP) + Decimal(0)


def is_to_the_cent(amount: Decimal, precision: int = CENTS) -> bool:
    """Say whether an amount has no more decimals than the organisation writes."""
    return to_the_cent(amount, precision) == amount


def figure(amount: Decimal, precision: int = CENTS) -> str:
    """Write an amount as figures and sentences hold it: `459.00`.

    Figures are kept as JSON between a write and its proof, so they are text: equal amounts are
    equal texts.
    """
    return format(to_the_cent(amount, precision), "f")


def amount_of(value: object, field: str) -> Decimal:
    """Read an amount from a column or from JSON.

    :raises Unsendable: it is missing or no amount; the sentence names the field, not the value.
    """
    if value is None or value == "":
        raise Unsendable("amount_missing", field, f"{field} is empty.")
    # bool is an int to Python; a float has lost what it was to the cent.
    if isinstance(value, bool | float) or not isinstance(value, str | int | Decimal):
        raise Unsendable("not_an_amount", field, f"{field} is not an amount.")
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise Unsendable("not_an_amount", field, f"{field} is not an amount.") from None
    if not amount.is_finite() or abs(amount) >= TOO_LARGE:
        raise Unsendable("not_an_amount", field, f"{field} is not an amount.")
    return amount


def cents_of(value: object, field: str, precision: int = CENTS) -> Decimal:
    """Read an amount that must be to the cent already, such as a total.

    :raises Unsendable: it is missing, no amount, or has parts of a cent.
    """
    amount = amount_of(value, field)
    if not is_to_the_cent(amount, precision):
        raise Unsendable(
            "parts_of_a_cent",
            field,
            f"{field} is {amount:f}; to the cent it would be {figure(amount, precision)}.",
        )
    return to_the_cent(amount, precision)


def price_of(value: object, field: str, precision: int = CENTS) -> Decimal:
    """Read a price that may be billed every month.

    :raises Unsendable: it is missing, no amount, has parts of a cent, or is not above zero.
    """
    price = cents_of(value, field, precision)
    if price <= 0:
        raise Unsendable(
            "price_not_positive",
            field,
            f"{field} is {figure(price, precision)}; it must be above"
            f" {figure(Decimal(0), precision)}.",
        )
    return price


def is_figure(ours: str, theirs: Decimal | None) -> bool:
    """Say whether an amount that Zoho shows is the figure; one that it does not show is not."""
    return theirs is not None and Decimal(ours) == theirs


def total_of(amounts: Iterable[Decimal]) -> Decimal:
    """Add amounts up; of none at all the total is zero."""
    return sum(amounts, start=Decimal(0))


def read_json(text: str | bytes) -> Any:
    """Read JSON with its numbers as they are written; NaN and Infinity are no numbers."""
    return json.loads(text, parse_float=Decimal, parse_constant=_no_number)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
