"""How the organisation in Zoho counts money: what preflight learnt, and what is configured."""

from collections.abc import Sequence

from billing_sync.domain.tax import MoneyRules, Prices, Rounding, TaxSetting, find_taxes
from billing_sync.ports import Organisations


class OrganisationMoney:
    """The organisation's `MoneyRules`, read when they are first asked for."""

    def __init__(
        self,
        organisations: Organisations,
        prices: Prices,
        rounding: Rounding,
        settings: Sequence[TaxSetting],
    ) -> None:
        """Keep what is configured: no API of Zoho tells it (design §2)."""
        self._organisations = organisations
        self._prices = prices
        self._rounding = rounding
        self._settings = tuple(settings)
        self._rules: MoneyRules | None = None

    def rules(self) -> MoneyRules:
        """Give the rules; the organisation's facts are read once.

        Unless a configured tax is not there: a person adds it in Zoho and runs preflight again,
        and processes that live on from before are to see it.

        :raises Misconfigured: preflight never ran for the organisation.
        """
        if self._rules is None:
            rules = MoneyRules(
                currency=self._organisations.currency(),
                time_zone=self._organisations.time_zone(),
                prices=self._prices,
                rounding=self._rounding,
                taxes=find_taxes(self._settings, self._organisations.taxes()),
                precision=self._organisations.price_precision(),
            )
            if rules.taxes.missing or rules.taxes.several:
                return rules
            self._rules = rules
        return self._rules
