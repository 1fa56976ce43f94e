"""Hold what is configured about money against Zoho's taxes, a person's word, and our payments."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from billing_sync.domain.findings import blocking
from billing_sync.domain.ownership import word_of
from billing_sync.domain.payments import PaymentWays
from billing_sync.domain.remote import Tax
from billing_sync.domain.steps import Finding, Phase, Severity
from billing_sync.domain.tax import Prices, Rounding, TaxKind, TaxSetting, find_taxes
from billing_sync.ports import SourceReport

SHOWN_TAXES: Final = 20
SHOWN_PAIRS: Final = 30
LONGEST_WORD: Final = 40

ITEM_OF_PRICES: Final = {
    Prices.INCLUSIVE: "prices_inclusive",
    Prices.EXCLUSIVE: "prices_exclusive",
}
ITEM_OF_ROUNDING: Final = {
    Rounding.LINE: "tax_rounding_per_line",
    Rounding.DOCUMENT: "tax_rounding_per_document",
}
"""What a person confirms where Zoho is set as we are configured."""


@dataclass(frozen=True, slots=True)
class MoneySettings:
    """How Zoho counts, as it is configured here."""

    prices: Prices
    rounding: Rounding
    taxes: tuple[TaxSetting, ...]
    ways: PaymentWays


def check_money(
    settings: MoneySettings,
    taxes: Sequence[Tax] | None,
    report: SourceReport | None,
    phases: Sequence[Phase],
) -> Iterator[Finding]:
    """Give the findings; `taxes` and `report` are None where Zoho or the views were not read."""
    if taxes is not None:
        # Customers alone carry no money.
        severity = Severity.WARNING if set(phases) == {Phase.CUSTOMERS} else Severity.BLOCKING
        if taxes:
            yield from _check_configured(settings.taxes, taxes, severity)
        else:
            yield from _check_unregistered(report.taxed if report else {}, severity)
    if report is not None:
        yield from _check_ways(settings.ways, report.paid_by)


def _check_configured(
    settings: Sequence[TaxSetting], found: Sequence[Tax], severity: Severity
) -> Iterator[Finding]:
    known = find_taxes(settings, found)
    # A rate as it is written in Zoho: 15.0 and 15 are one.
    there = ", ".join(
        str(TaxSetting(TaxKind.STANDARD, tax.name, tax.percentage)) for tax in found[:SHOWN_TAXES]
    )
    what_to_do = (
        "Make it in Zoho (Settings, Taxes) with this name and rate, or set Taxes to what is there."
    )
    lacking = [f"no tax {setting}" for setting in known.missing]
    if all(setting.kind is not TaxKind.STANDARD for setting in settings):
        yield Finding(
            code="tax_not_configured",
            severity=severity,
            sentence=f"Taxes names no standard tax, which the prices hold; Zoho has {there}.",
            what_to_do="Set Taxes to the names and rates that are in Zoho.",
        )
    if lacking:
        yield Finding(
            code="tax_not_found",
            severity=severity,
            sentence=f"Zoho has {' and '.join(lacking)}; it has {there}.",
            what_to_do=what_to_do,
            count=len(lacking),
        )
    if known.several:
        yield Finding(
            code="tax_found_twice",
            severity=severity,
            sentence="; ".join(
                f"Zoho has several taxes {setting}: {', '.join(_ids_of(setting, found))}"
                for setting in known.several
            )
            + ".",
            what_to_do="Rename or delete all but one of each in Zoho (Settings, Taxes).",
            count=len(known.several),
        )


def _ids_of(setting: TaxSetting, found: Sequence[Tax]) -> list[str]:
    wanted = word_of(setting.name)
    return [
        tax.tax_id
        for tax in found
        if word_of(tax.name) == wanted and tax.percentage == setting.percentage
    ]


def _check_unregistered(taxed: Mapping[str, int], severity: Severity) -> Iterator[Finding]:
    told = [
        f"{count} rows of {view} {verb}"
        for view, verb in (
            ("packages", "say that their price holds it"),
            ("services", "say that their price holds it"),
            ("invoices", "carry some"),
        )
        if (count := taxed.get(view, 0))
    ]
    if told:
        yield Finding(
            code="not_registered_for_tax",
            severity=severity,
            sentence=f"Zoho's organisation has no tax at all, and here {', '.join(told)}.",
            what_to_do="Register it for VAT in Zoho (Settings, Taxes); or, if you charge none, let"
            " the views say so: price_includes_tax false, tax_amount 0.",
            count=sum(taxed.values()),
        )
    else:
        yield Finding(
            code="charges_no_tax",
            severity=Severity.NOTE,
            sentence="Zoho's organisation has no tax: everything is sent without.",
            what_to_do="Nothing, if you are not registered for VAT.",
        )


def _check_ways(ways: PaymentWays, paid_by: Mapping[tuple[str, str], int]) -> Iterator[Finding]:
    """List the pairs that no row of the table maps, with their payments."""
    unmapped = set(ways.unmapped(paid_by))
    counts: Counter[tuple[str, str]] = Counter()
    for (provider, method), payments in paid_by.items():
        pair = word_of(provider), word_of(method)
        if pair in unmapped:
            counts[pair] += payments
    if not counts:
        return
    pairs = [
        f"provider «{_cut(provider)}» with method «{_cut(method)}» {payments}"
        for (provider, method), payments in counts.most_common(SHOWN_PAIRS)
    ]
    yield Finding(
        code="payment_way_missing",
        severity=Severity.WARNING,
        sentence=f"No row of PaymentWays maps {', '.join(pairs)}"
        + (", and more" if len(counts) > SHOWN_PAIRS else "")
        + ". These payments, where they are to be sent, will be failed.",
        what_to_do="Add the pairs to PaymentWays with their modes, and deploy.",
        count=counts.total(),
    )


def _cut(word: str) -> str:
    printable = "".join(c if c.isprintable() else "?" for c in word)
    return printable if len(printable) <= LONGEST_WORD else f"{printable[:LONGEST_WORD]}…"


def contradiction(
    code: str,
    parameter: str,
    items: Mapping[str, str],
    configured: str,
    confirmed: Mapping[str, tuple[str, datetime]],
) -> Finding | None:
    """Say that a person confirmed otherwise than is configured; the latest word counts.

    `items` gives the value of the parameter that each item stands for.
    """
    said = {item: confirmed[item] for item in items if item in confirmed}
    if not said:
        return None
    wanted = next(item for item, value in items.items() if value == configured)
    # Said at one moment, both would be true; the one that agrees counts then.
    latest = max(said, key=lambda item: (said[item][1], item == wanted))
    if latest == wanted:
        return None
    by, when = said[latest]
    return blocking(
        code,
        f"{parameter} is {configured}, and {by} confirmed {latest} on {when:%Y-%m-%d}.",
        f"Look in Zoho. Deploy with {parameter}={items[latest]}, or `billing-sync confirm"
        f" {wanted}`.",
    )
