"""The debtors' control total: what customers owe and have as credit, on both sides."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from billing_sync.domain.money import figure, total_of
from billing_sync.domain.ownership import WITHDRAWN, Owner, word_of
from billing_sync.domain.source import Invoice


@dataclass(frozen=True, slots=True)
class Debtor:
    """A customer's account: outstanding and unused credit, here and in Zoho."""

    customer_id: str
    owed_here: Decimal = Decimal(0)
    credit_here: Decimal = Decimal(0)
    owed_there: Decimal = Decimal(0)
    credit_there: Decimal = Decimal(0)

    @property
    def differs(self) -> bool:
        """Whether either figure differs; equal nets may hide an invoice that is not settled."""
        return self.owed_here != self.owed_there or self.credit_here != self.credit_there

    @property
    def net_here(self) -> Decimal:
        """What the customer would pay to settle, by our books."""
        return self.owed_here - self.credit_here

    @property
    def net_there(self) -> Decimal:
        """The same, by Zoho's."""
        return self.owed_there - self.credit_there


@dataclass(frozen=True, slots=True)
class ControlTotal:
    """The head of the report. Customers that differ are named, the largest difference first."""

    owed_here: Decimal
    owed_there: Decimal
    credit_here: Decimal
    credit_there: Decimal
    customers_that_differ: tuple[str, ...]

    @property
    def difference(self) -> Decimal:
        """Outstanding here less outstanding in Zoho."""
        return self.owed_here - self.owed_there

    def figures(self, precision: int = 2) -> dict[str, str | int]:
        """Give it as the report shows it."""
        return {
            "local": figure(self.owed_here, precision),
            "zoho": figure(self.owed_there, precision),
            "difference": figure(self.difference, precision),
            "local_credit": figure(self.credit_here, precision),
            "zoho_credit": figure(self.credit_there, precision),
            "customers_that_differ": len(self.customers_that_differ),
        }


def control_total(debtors: Iterable[Debtor]) -> ControlTotal:
    """Add the customers up. Differences that cancel out in the total are still named."""
    rows = list(debtors)
    differing = sorted(
        (row for row in rows if row.differs),
        key=lambda row: (
            -abs(row.owed_here - row.owed_there) - abs(row.credit_here - row.credit_there),
            row.customer_id,
        ),
    )
    return ControlTotal(
        total_of(row.owed_here for row in rows),
        total_of(row.owed_there for row in rows),
        total_of(row.credit_here for row in rows),
        total_of(row.credit_there for row in rows),
        tuple(row.customer_id for row in differing),
    )


def owed_on(invoice: Invoice, owner: Owner) -> Decimal:
    """Give what an invoice adds to the outstanding that Zoho should show.

    Nothing where it is void or cancelled, a draft, or left out of Zoho.
    """
    if owner.skipped is not None or word_of(invoice.status) in WITHDRAWN:
        return Decimal(0)
    if invoice.amount_due is not None:
        return invoice.amount_due
    return (invoice.total_amount or Decimal(0)) - (invoice.amount_paid or Decimal(0))
