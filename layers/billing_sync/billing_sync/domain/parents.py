"""What an invoice or a payment must know of its customer."""

from dataclasses import dataclass

from billing_sync.domain.errors import Unsendable
from billing_sync.domain.tax import MoneyRules


@dataclass(frozen=True, slots=True)
class CustomerInZoho:
    """The customer of a record: its id in Zoho (None in a plan, before it is there), its currency.

    An empty currency is the organisation's.
    """

    zoho_id: str | None
    currency: str | None = None

    def currency_of(self, currency: str | None, rules: MoneyRules) -> str:
        """Give a record's currency, which an empty column leaves to the customer.

        :raises Unsendable: it is not the customer's: Zoho keeps one for each.
        """
        theirs = (self.currency or "").strip() or rules.currency
        ours = (currency or "").strip() or theirs
        if ours != theirs:
            raise Unsendable(
                "currency_differs",
                "currency",
                f"currency is {ours[:3]}, the customer's is {theirs[:3]}.",
            )
        return ours
