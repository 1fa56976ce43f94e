"""The payments of one organisation, and what each was applied to.

Nothing of a payment is unique: the same one can be sent twice, and is then there twice.
"""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field

from ops.fake_zoho.body import (
    Amount,
    Body,
    CustomFieldEntry,
    Day,
    Line50,
    Line100,
    Number,
    Text,
    read,
    require,
)
from ops.fake_zoho.config import SeedPayment
from ops.fake_zoho.custom_fields import read_values
from ops.fake_zoho.customer_book import CustomerBook
from ops.fake_zoho.formats import rounded
from ops.fake_zoho.invoice import Invoice
from ops.fake_zoho.payment import Payment
from ops.fake_zoho.premises import Premises
from ops.fake_zoho.receivables import Receivables
from ops.fake_zoho.replies import JsonObject, does_not_exist, invalid_value
from ops.fake_zoho.rules import Rule, against

MODES = frozenset(
    {
        "check",
        "cash",
        "creditcard",
        "banktransfer",
        "bankremittance",
        "autotransaction",
        "others",
    }
)

type Shares = list[tuple[Invoice, Decimal]]


class SharePart(BaseModel):
    invoice_id: Annotated[Line50, Field(min_length=1)]
    amount_applied: Annotated[Number, Field(gt=0)]


class PaymentBody(Body):
    customer_id: Line50 = ""
    currency_code: Line50 = ""
    payment_mode: Line100 = ""
    amount: Annotated[Amount, Field(gt=0)] = Decimal(1)
    date: Day | None = None
    reference_number: Line100 = ""
    description: Text = ""
    invoices: list[SharePart] = Field(default_factory=list)
    exchange_rate: Annotated[Number, Field(gt=0)] = Decimal(1)
    bank_charges: Amount = Decimal(0)
    account_id: Line50 = ""
    tax_account_id: Line50 = ""
    custom_fields: list[CustomFieldEntry] = Field(default_factory=list)


KEPT = ("reference_number", "description", "exchange_rate", "account_id", "tax_account_id")


class PaymentBook:
    """No method awaits: each is one commit."""

    def __init__(
        self, premises: Premises, customers: CustomerBook, receivables: Receivables
    ) -> None:
        self._premises = premises
        self._customers = customers
        self._receivables = receivables
        self.shelf = receivables.payments
        self._numbered = 0
        self.index = self.shelf.index

    def all(self) -> list[Payment]:
        return self.shelf.all()

    def get(self, payment_id: str) -> Payment:
        return self.shelf.get(payment_id)

    def create(self, sent: JsonObject, by: str) -> Payment:
        body = self._read(sent)
        payment = self._new(body, by)
        shares = self._shares(body, payment)
        payment.writes = 1
        self._keep(payment, shares)
        return payment

    def seed(self, made: SeedPayment, customer_id: str) -> Payment:
        """Keep a payment as if people had noted it; its invoices are named by their numbers."""
        numbers = {one.number: one.invoice_id for one in self._receivables.invoices.all()}
        invoices = [
            share | {"invoice_id": numbers.get(share["invoice_number"], "")}
            for share in made.profile.get("invoices", [])
        ]
        body = self._read(made.profile | {"customer_id": customer_id, "invoices": invoices})
        payment = self._new(body, made.created_by)
        payment.created_time = payment.updated_time = made.created_time
        payment.by_api = False
        self._keep(payment, self._shares(body, payment))
        return payment

    def update(self, payment_id: str, sent: JsonObject) -> Payment:
        """Change a payment; it is applied to the invoices that are sent, and to no others."""
        payment = self.get(payment_id)
        body = self._read(sent)
        require(body, "invoices")
        if body.customer_id != payment.customer_id:
            raise invalid_value("customer_id")
        custom_values = self._custom_values(body)
        shares = self._shares(body, payment)
        applied = sum((amount for _, amount in shares), Decimal(0))
        self._check_credit_stays(payment, unapplied=body.amount - applied)
        payment.payment_mode, payment.amount = body.payment_mode, body.amount
        payment.date = body.date or payment.date
        for name in (*KEPT, "bank_charges"):
            if name in body.model_fields_set:
                setattr(payment, name, getattr(body, name))
        payment.custom_values |= custom_values
        self._receivables.apply(payment, shares)
        self.shelf.written(payment)
        return payment

    def delete(self, payment_id: str) -> None:
        """Forget a payment; what it paid is owed again."""
        payment = self.get(payment_id)
        self._check_credit_stays(payment, unapplied=Decimal(0))
        self._receivables.apply(payment, [])
        self.shelf.remove(payment_id)
        self._receivables.follow(payment.customer_id)

    def _keep(self, payment: Payment, shares: Shares) -> None:
        self._numbered += 1
        payment.number = str(self._numbered)
        self.shelf.add(payment)
        self._receivables.apply(payment, shares)
        self.shelf.changed(payment)

    def _read(self, sent: JsonObject) -> PaymentBody:
        body = read(PaymentBody, sent, self._premises.switches)
        require(body, "customer_id", "payment_mode", "amount")
        if body.payment_mode not in MODES and not self._premises.switches.custom_payment_modes:
            raise invalid_value("payment_mode")
        config = self._premises.config
        shares = [
            share.model_copy(update={"amount_applied": rounded(share.amount_applied, config)})
            for share in body.invoices
        ]
        if len({share.invoice_id for share in shares}) != len(shares):
            raise invalid_value("invoices")
        changes: JsonObject = {
            "amount": rounded(body.amount, config),
            "bank_charges": rounded(body.bank_charges, config),
            "invoices": shares,
        }
        if body.model_fields_set.isdisjoint({"invoices"}):
            changes.pop("invoices")
        return body.model_copy(update=changes)

    def _new(self, body: PaymentBody, by: str) -> Payment:
        customer = self._customers.get(body.customer_id)
        if body.currency_code not in {"", customer.currency_code}:
            raise against(Rule.CURRENCY_DIFFERS)
        now = self._premises.now()
        return Payment(
            payment_id=self._premises.next_id(),
            number="",
            customer_id=customer.customer_id,
            currency_code=customer.currency_code,
            payment_mode=body.payment_mode,
            amount=body.amount,
            date=body.date or self._premises.today(),
            bank_charges=body.bank_charges,
            **{name: getattr(body, name) for name in KEPT},
            custom_values=self._custom_values(body),
            created_time=now,
            updated_time=now,
            created_by=by,
        )

    def _shares(self, body: PaymentBody, payment: Payment) -> Shares:
        """Check what is to be applied where; what this payment paid before is free again."""
        shares = [(self._invoice(one.invoice_id), one.amount_applied) for one in body.invoices]
        for invoice, amount in shares:
            if invoice.customer_id != payment.customer_id:
                raise against(Rule.NOT_THIS_CUSTOMERS)
            if invoice.currency_code != payment.currency_code:
                raise against(Rule.CURRENCY_DIFFERS)
            if invoice.state != "open":
                raise against(Rule.PAYMENT_ON_DRAFT)
            if amount > invoice.balance + payment.applied_to(invoice.invoice_id):
                raise against(Rule.MORE_THAN_BALANCE)
        if sum(amount for _, amount in shares) > body.amount:
            raise against(Rule.MORE_THAN_PAID)
        return shares

    def _invoice(self, invoice_id: str) -> Invoice:
        if not self._receivables.invoices.holds(invoice_id):
            raise does_not_exist("Invoice")
        return self._receivables.invoices.get(invoice_id)

    def _check_credit_stays(self, payment: Payment, *, unapplied: Decimal) -> None:
        credit = self._customers.get(payment.customer_id).unused_credits
        if credit - payment.unapplied + unapplied < 0:
            raise against(Rule.CREDIT_IS_USED)

    def _custom_values(self, body: PaymentBody) -> JsonObject:
        return read_values(body.custom_fields, self._premises.config.payment_custom_fields)
