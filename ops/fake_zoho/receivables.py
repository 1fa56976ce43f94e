"""What customers owe and what they have to their credit: where invoices and payments meet.

Payments say what was applied; an invoice's `payment_made` and a customer's balances follow. Credit
is what payments have left over, what people noted, and what came back from void invoices, less
what was used on other invoices.
"""

from collections.abc import Iterable
from decimal import Decimal

from ops.fake_zoho.customer_book import CustomerBook
from ops.fake_zoho.invoice import CreditUse, Invoice
from ops.fake_zoho.payment import Application, Payment
from ops.fake_zoho.premises import Premises
from ops.fake_zoho.shelf import Shelf


class Receivables:
    def __init__(self, premises: Premises, customers: CustomerBook) -> None:
        self.invoices: Shelf[Invoice] = Shelf(
            "Invoice", premises, lambda one: one.invoice_id, lambda one: one.customer_id
        )
        self.payments: Shelf[Payment] = Shelf(
            "Payment", premises, lambda one: one.payment_id, lambda one: one.customer_id
        )
        self._premises = premises
        self._customers = customers
        self._credit_uses = 0

    def invoices_of(self, customer_id: str) -> list[Invoice]:
        return self.invoices.of(customer_id)

    def payments_of(self, customer_id: str) -> list[Payment]:
        return self.payments.of(customer_id)

    def payments_on(self, invoice: Invoice) -> list[tuple[Payment, Application]]:
        """Tell which payments were applied, at once: unlike lists, an invoice is never late."""
        return [
            (payment, application)
            for payment in self.payments_of(invoice.customer_id)
            for application in payment.applications
            if application.invoice_id == invoice.invoice_id
        ]

    def apply(self, payment: Payment, shares: Iterable[tuple[Invoice, Decimal]]) -> None:
        """Apply a payment to these invoices and no others; the rest of it becomes credit."""
        touched = {one.invoice_id for one in payment.applications}
        payment.applications = [
            Application(self._premises.next_id(), invoice.invoice_id, amount)
            for invoice, amount in shares
        ]
        touched |= {one.invoice_id for one in payment.applications}
        self._follow(payment.customer_id, touched)

    def use_credits(self, invoice: Invoice) -> None:
        """Pay an open invoice from its customer's credit, as far as that goes."""
        credit = self._customers.get(invoice.customer_id).unused_credits
        amount = min(credit, invoice.balance)
        if invoice.state == "open" and amount > 0:
            self._credit_uses += 1
            invoice.credits.append(
                CreditUse(
                    use_id=self._premises.next_id(),
                    number=f"CN-{self._credit_uses:05d}",
                    amount=amount,
                    date=self._premises.today(),
                )
            )
            self._follow(invoice.customer_id, {invoice.invoice_id})

    def detach(self, invoice: Invoice) -> None:
        """Take payments and credits off an invoice: they become the customer's credit."""
        for payment, _ in self.payments_on(invoice):
            payment.applications = [
                one for one in payment.applications if one.invoice_id != invoice.invoice_id
            ]
            self.payments.changed(payment)
        invoice.credits = []
        self._follow(invoice.customer_id, {invoice.invoice_id})

    def follow(self, customer_id: str) -> None:
        """Let the customer's balances follow what just happened to an invoice or a payment."""
        self._follow(customer_id, set())

    def _follow(self, customer_id: str, touched: set[str]) -> None:
        invoices = self.invoices_of(customer_id)
        payments = self.payments_of(customer_id)
        for invoice in invoices:
            if invoice.invoice_id in touched:
                invoice.payment_made = sum(
                    (one.applied_to(invoice.invoice_id) for one in payments), Decimal(0)
                )
                self.invoices.changed(invoice)
        used = sum((one.credits_applied for one in invoices), Decimal(0))
        self._customers.set_balances(
            customer_id,
            outstanding=sum((one.balance for one in invoices if one.is_owed), Decimal(0)),
            unused_credits=sum((one.unapplied for one in payments), Decimal(0)) - used,
        )
