"""Tax: the organisation's rates, and how Zoho makes net, tax and gross of lines, to the cent.

How Zoho counts is written nowhere in one place; these rules are held to the worked examples of its
own documents (tests/unit/test_tax.py):

    price ──round──► by quantity ──round──► amount of the line
                                                │
       inclusive organisation or invoice        │   exclusive
       tax = amount * rate / (100 + rate)  ◄────┴────►  tax = amount * rate / 100
       rounded for each line, or once for each tax of the document
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from billing_sync.domain.comparing import same_name
from billing_sync.domain.errors import Unsendable
from billing_sync.domain.money import CENTS, figure, to_the_cent, total_of
from billing_sync.domain.remote import Tax

HUNDRED: Final = Decimal(100)


class TaxKind(StrEnum):
    """What a supply is taxed as. South Africa: 15 %, 0 %, and outside of VAT altogether."""

    STANDARD = "standard"
    ZERO = "zero"
    EXEMPT = "exempt"


class Prices(StrEnum):
    """Zoho's setting: whether the prices of plans hold their tax. No API tells it."""

    INCLUSIVE = "inclusive"
    EXCLUSIVE = "exclusive"


class Rounding(StrEnum):
    """Zoho's setting `tax_rounding`: tax is rounded for each line, or once for each tax."""

    LINE = "item_level"
    DOCUMENT = "entity_level"


@dataclass(frozen=True, slots=True)
class TaxSetting:
    """A tax as the operator configured it: it is looked for in Zoho by name and rate."""

    kind: TaxKind
    name: str
    percentage: Decimal

    def __str__(self) -> str:
        """Name it as people do: «Standard Rate» at 15 %."""
        return f"«{self.name}» at {_plain(self.percentage)} %"


@dataclass(frozen=True, slots=True)
class TaxRate:
    """A tax of the organisation. An empty id is no tax at all, and is never sent."""

    tax_id: str
    name: str
    percentage: Decimal


NO_TAX: Final = TaxRate("", "", Decimal(0))


@dataclass(frozen=True, slots=True)
class Taxes:
    """The configured taxes with the ids that Zoho gave them, and those that it does not have."""

    rates: Mapping[TaxKind, TaxRate]
    missing: tuple[TaxSetting, ...] = ()
    several: tuple[TaxSetting, ...] = ()
    is_registered: bool = True
    """Whether the organisation charges VAT. Unregistered, nothing may be taxed."""

    def rate(self, kind: TaxKind, column: str) -> TaxRate:
        """Give the rate of a kind; `column` is the one that calls for it.

        :raises Unsendable: Zoho has no such tax, has several, or charges none.
        """
        if not self.is_registered:
            if kind is TaxKind.STANDARD:
                raise Unsendable(
                    "not_registered_for_tax",
                    column,
                    f"{column} calls for tax, and the organisation in Zoho charges none.",
                )
            return NO_TAX
        found = self.rates.get(kind)
        if found is None:
            many = next((setting for setting in self.several if setting.kind is kind), None)
            if many is not None:
                raise Unsendable("tax_not_in_zoho", column, f"Zoho has several taxes {many}.")
            none = next((setting for setting in self.missing if setting.kind is kind), None)
            wanted = f"of kind {kind}" if none is None else str(none)
            raise Unsendable("tax_not_in_zoho", column, f"Zoho has no tax {wanted}.")
        return found

    def of_price(self, column: str) -> TaxRate:
        """Give the rate that prices of services and packages hold, or that is added to them."""
        return self.rate(TaxKind.STANDARD, column) if self.is_registered else NO_TAX

    def named(self, word: str, column: str) -> TaxRate:
        """Find a tax by its kind (`zero`) or by its name in Zoho (`Zero Rate`).

        :raises Unsendable: it is none of the configured ones.
        """
        wanted = same_name(word)
        for kind in TaxKind:
            rate = self.rates.get(kind)
            if wanted == kind.value or (rate is not None and wanted == same_name(rate.name)):
                return self.rate(kind, column)
        raise Unsendable(
            "tax_unknown", column, f"{column} names a tax that is none of {', '.join(TaxKind)}."
        )

    def at(self, percentage: Decimal, column: str) -> TaxRate:
        """Find a tax by its rate; at 0 % «zero» goes before «exempt», which says less.

        :raises Unsendable: no configured tax has this rate.
        """
        if percentage == 0 and not self.is_registered:
            return NO_TAX
        for kind in TaxKind:
            rate = self.rates.get(kind)
            if rate is not None and rate.percentage == percentage:
                return rate
        known = ", ".join(_plain(rate.percentage) for rate in self.rates.values())
        raise Unsendable(
            "tax_unknown",
            column,
            f"{column} is {_plain(percentage)}; the taxes that are known are at {known or 'none'}.",
        )


def find_taxes(settings: Iterable[TaxSetting], found: Sequence[Tax]) -> Taxes:
    """Find each configured tax among Zoho's, by name and rate; an organisation with none has none.

    Names compare as people read them, rates exactly: a «Standard Rate» that is still at 14 % is
    not the one at 15 %.
    """
    rates: dict[TaxKind, TaxRate] = {}
    missing: list[TaxSetting] = []
    several: list[TaxSetting] = []
    for setting in settings:
        hits = [
            tax
            for tax in found
            if same_name(tax.name) == same_name(setting.name)
            and tax.percentage == setting.percentage
        ]
        if len(hits) == 1:
            rates[setting.kind] = TaxRate(hits[0].tax_id, hits[0].name, hits[0].percentage)
        else:
            (several if hits else missing).append(setting)
    return Taxes(rates, tuple(missing), tuple(several), is_registered=bool(found))


# ------------------------------------------------------------------------------ one amount


def tax_within(gross: Decimal, percentage: Decimal, precision: int = CENTS) -> Decimal:
    """Give the tax that a gross amount holds."""
    return to_the_cent(_within(gross, percentage), precision)


def tax_on(net: Decimal, percentage: Decimal, precision: int = CENTS) -> Decimal:
    """Give the tax that is added to a net amount."""
    return to_the_cent(net * percentage / HUNDRED, precision)


def inclusive_price_of(net: Decimal, percentage: Decimal, precision: int = CENTS) -> Decimal:
    """Give the gross price of a net one: what an exclusive organisation invoices for it."""
    return net + tax_on(net, percentage, precision)


def exclusive_price_of(gross: Decimal, percentage: Decimal, precision: int = CENTS) -> Decimal:
    """Give the net price whose invoice comes nearest to a gross one."""
    return to_the_cent(gross * HUNDRED / (HUNDRED + percentage), precision)


def can_be_expressed(gross: Decimal, percentage: Decimal, precision: int = CENTS) -> bool:
    """Say whether some net price makes exactly this gross one in an exclusive organisation.

    Only the nearest can: a net price is on a cent, and one that is further away than 0.005 / (1 +
    rate) already rounds to another gross.
    """
    nearest = exclusive_price_of(gross, percentage, precision)
    return inclusive_price_of(nearest, percentage, precision) == gross


# --------------------------------------------------------------------------------- documents


@dataclass(frozen=True, slots=True)
class TaxedLine:
    """A line of a document as Zoho counts it; price and quantity are as they are sent."""

    price: Decimal
    quantity: Decimal
    tax: TaxRate

    def amount(self, precision: int = CENTS) -> Decimal:
        """Give price by quantity; Zoho rounds the price first, then their product."""
        return to_the_cent(to_the_cent(self.price, precision) * self.quantity, precision)


@dataclass(frozen=True, slots=True)
class Totals:
    """The three figures of a document; `sub_total` is net whatever the prices are."""

    sub_total: Decimal
    tax: Decimal
    total: Decimal


def totals_of(
    lines: Sequence[TaxedLine], *, inclusive: bool, rounding: Rounding, precision: int = CENTS
) -> Totals:
    """Add a document up as Zoho does, in either kind of prices and either rounding."""
    amounts = [(line.tax, line.amount(precision)) for line in lines]
    if rounding is Rounding.DOCUMENT:
        by_tax: dict[TaxRate, Decimal] = {}
        for tax, amount in amounts:
            by_tax[tax] = by_tax.get(tax, Decimal(0)) + amount
        amounts_taxed = list(by_tax.items())
    else:
        amounts_taxed = amounts
    tax_of = tax_within if inclusive else tax_on
    tax_total = total_of(tax_of(amount, tax.percentage, precision) for tax, amount in amounts_taxed)
    amount_total = total_of(amount for _, amount in amounts)
    if inclusive:
        return Totals(amount_total - tax_total, tax_total, amount_total)
    return Totals(amount_total, tax_total, amount_total + tax_total)


# ------------------------------------------------------------------------- the organisation


@dataclass(frozen=True, slots=True)
class MoneyRules:
    """How the organisation in Zoho counts: confirmed by the operator, proved by the canary."""

    currency: str
    time_zone: ZoneInfo
    prices: Prices
    rounding: Rounding
    taxes: Taxes = field(repr=False)
    precision: int = CENTS

    def price_to_send(self, price: Decimal, *, includes_tax: bool, column: str) -> Decimal:
        """Turn a price of ours into the one that makes Zoho invoice exactly what we do.

        Plans and subscriptions know no inclusive flag: the organisation's setting decides what
        Zoho makes of a price (design §2).

        :raises Unsendable: no net price makes this gross one, or the tax is not in Zoho.
        """
        percentage = self.taxes.of_price(column).percentage
        if self.prices is Prices.INCLUSIVE:
            return price if includes_tax else inclusive_price_of(price, percentage, self.precision)
        if not includes_tax:
            return price
        net = exclusive_price_of(price, percentage, self.precision)
        gross = inclusive_price_of(net, percentage, self.precision)
        if gross != price:
            raise Unsendable(
                "price_not_expressible",
                column,
                f"{column} is {figure(price, self.precision)} with tax. Prices in Zoho are without:"
                f" {figure(net, self.precision)} would be invoiced as"
                f" {figure(gross, self.precision)}, and no other comes nearer.",
            )
        return net

    def invoice_of_price(self, sent: Decimal) -> Totals:
        """Say what Zoho invoices for a price of a plan or a subscription, as it was sent."""
        line = TaxedLine(sent, Decimal(1), self.taxes.of_price("price"))
        return totals_of(
            [line],
            inclusive=self.prices is Prices.INCLUSIVE,
            rounding=self.rounding,
            precision=self.precision,
        )


def _within(gross: Decimal, percentage: Decimal) -> Decimal:
    return gross * percentage / (HUNDRED + percentage)


def _plain(percentage: Decimal) -> str:
    return format(percentage.normalize(), "f")
