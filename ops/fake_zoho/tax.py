"""Tax: how much of an amount is tax, and how Zoho rounds it.

Prices either contain the tax (inclusive) or not (exclusive); the tax is rounded half up either on
each line or once per tax for the whole document: both are settings of an organisation. A line's
amount itself is rounded first, and the tax taken from what was rounded: a user of Zoho's API
reports 54.54545 at 10 % as a line of 54.55 with a tax of 5.46
(help.zoho.com, community topic "tax-calculation-based-on-actual-price-not-the-rounded-price").
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
    """What tax makes of some amounts; the sub-total never contains tax, however prices do."""

    sub_total: Decimal
    by_tax: dict[str, Decimal]

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
    """Split amounts, rounded already, into sub-total and tax.

    If prices contain the tax, what the customer pays stays the sum of the prices.
    """
    by_tax: dict[str, Decimal] = {}
    for amount, tax in amounts:
        if tax is not None:
            whole = 100 + tax.tax_percentage if inclusive else Decimal(100)
            part = amount * tax.tax_percentage / whole
            kept = round_half_up(part) if rounding == "line" else part
            by_tax[tax.tax_id] = by_tax.get(tax.tax_id, Decimal(0)) + kept
    by_tax = {tax_id: round_half_up(part) for tax_id, part in by_tax.items()}
    summed = sum((amount for amount, _ in amounts), Decimal(0))
    contained = sum(by_tax.values(), Decimal(0)) if inclusive else Decimal(0)
    return Taxed(summed - contained, by_tax)
