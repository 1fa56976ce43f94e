"""Tax: how much of an amount is tax, and how Zoho rounds it.

Prices either contain the tax (inclusive) or not (exclusive); the tax is rounded half up either on
each line or once per tax for the whole document: both are settings of an organisation. A line's
amount itself is rounded first, and the tax taken from what was rounded (seen live: 54.54545 at
10 % is a line of 54.55 with a tax of 5.46).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from ops.fake_zoho.config import OrganisationConfig, Tax
from ops.fake_zoho.replies import invalid_value

type Rounding = Literal["line", "document"]
type Round = Callable[[Decimal], Decimal]


@dataclass(frozen=True)
class Taxed:
    """What tax makes of some amounts; `nets` has one for each of them, in their order."""

    nets: list[Decimal]
    by_tax: dict[str, Decimal]

    @property
    def sub_total(self) -> Decimal:
        return sum(self.nets, Decimal(0))

    @property
    def tax_total(self) -> Decimal:
        return sum(self.by_tax.values(), Decimal(0))


def find_tax(tax_id: str, organisation: OrganisationConfig) -> Tax | None:
    """Find a tax by id; none for an empty id. Refuse one that the organisation does not have."""
    if not tax_id:
        return None
    for tax in organisation.usable_taxes():
        if tax.tax_id == tax_id:
            return tax
    raise invalid_value("tax_id")


def apply_tax(
    amounts: Sequence[tuple[Decimal, Tax | None]],
    *,
    inclusive: bool,
    rounding: Rounding,
    round_half_up: Round,
) -> Taxed:
    """Split amounts, rounded already, into net and tax."""

    def tax_in(amount: Decimal, tax: Tax) -> Decimal:
        percentage = tax.tax_percentage
        whole = 100 + percentage if inclusive else Decimal(100)
        return amount * percentage / whole

    nets: list[Decimal] = []
    exact: dict[str, Decimal] = {}
    by_tax: dict[str, Decimal] = {}
    for amount, tax in amounts:
        on_line = Decimal(0)
        if tax is not None:
            exact_tax = tax_in(amount, tax)
            on_line = round_half_up(exact_tax)
            exact[tax.tax_id] = exact.get(tax.tax_id, Decimal(0)) + exact_tax
            by_tax[tax.tax_id] = by_tax.get(tax.tax_id, Decimal(0)) + on_line
        nets.append(amount - on_line if inclusive else amount)
    if rounding == "document":
        once = {tax_id: round_half_up(tax) for tax_id, tax in exact.items()}
        if inclusive:
            # What the customer pays stays the sum of the prices: a cent of difference lands on
            # the last line with that tax.
            last = {tax.tax_id: place for place, (_, tax) in enumerate(amounts) if tax is not None}
            for tax_id, place in last.items():
                nets[place] += by_tax[tax_id] - once[tax_id]
        by_tax = once
    return Taxed(nets, by_tax)
