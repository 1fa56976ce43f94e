"""The invoices of one organisation: people's, the API's, and those of its subscriptions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from ops.fake_zoho.body import read, require
from ops.fake_zoho.config import SeedInvoice
from ops.fake_zoho.custom_fields import read_values
from ops.fake_zoho.customer_book import Customer, CustomerBook
from ops.fake_zoho.formats import rounded
from ops.fake_zoho.invoice import Invoice, InvoiceLine
from ops.fake_zoho.invoice_body import InvoiceBody, LineBody
from ops.fake_zoho.premises import Premises
from ops.fake_zoho.product_book import ProductBook
from ops.fake_zoho.receivables import Receivables
from ops.fake_zoho.replies import JsonObject, RefusedError, invalid_value
from ops.fake_zoho.rules import Rule, against
from ops.fake_zoho.tax import apply_tax, find_tax

TEXTS = ("reference_number", "notes", "terms", "salesperson_name", "adjustment_description")
FIGURES = (
    "lines",
    "by_tax",
    "sub_total",
    "tax_total",
    "total",
    "shipping_charge",
    "adjustment",
    "is_inclusive_tax",
)


@dataclass(frozen=True)
class Raised:
    """How an invoice comes about that nobody sends: a subscription raises it."""

    subscription_id: str
    transaction_type: str
    lines: Sequence[LineBody]
    payment_terms: int
    payment_terms_label: str
    at: datetime
    day: date


class InvoiceBook:
    """No method awaits: each is one commit."""

    def __init__(
        self,
        premises: Premises,
        customers: CustomerBook,
        products: ProductBook,
        receivables: Receivables,
    ) -> None:
        self._premises = premises
        self._customers = customers
        self._products = products
        self._receivables = receivables
        self.shelf = receivables.invoices
        self._numbered = 0
        self.index = self.shelf.index

    def all(self) -> list[Invoice]:
        return self.shelf.all()

    def get(self, invoice_id: str) -> Invoice:
        return self.shelf.get(invoice_id)

    def by_number(self, number: str) -> Invoice | None:
        return next((one for one in self.all() if one.number == number), None)

    def create(self, sent: JsonObject, by: str, *, own_number: bool, send: bool) -> Invoice:
        body = self._read(sent)
        if not own_number and body.invoice_number and self._premises.switches.refuse_own_number:
            raise against(Rule.NUMBER_NOT_EXPECTED)
        if own_number:
            if not body.invoice_number.strip():
                raise against(Rule.NUMBER_MISSING)
            self._check_free(body.invoice_number)
        invoice = self._new(body, by=by, at=self._premises.now())
        invoice.number = body.invoice_number if own_number else self._next_number()
        invoice.writes = 1
        self.shelf.add(invoice)
        if send:
            self._open(invoice)
            self._mail("invoice", invoice)
        return invoice

    def seed(self, made: SeedInvoice, customer_id: str) -> Invoice:
        """Keep an invoice as if people had made it, with the number that they gave it, if any."""
        body = self._read(made.profile | {"customer_id": customer_id})
        if body.invoice_number:
            self._check_free(body.invoice_number)
        invoice = self._new(body, by=made.created_by, at=made.created_time)
        invoice.number = body.invoice_number or self._next_number()
        invoice.by_api = False
        invoice.state = made.state
        self.shelf.add(invoice)
        self._receivables.follow(invoice.customer_id)
        return invoice

    def raise_for(self, customer: Customer, raised: Raised) -> Invoice:
        """Raise an invoice of a subscription: sent at once, and owed, if nobody is charged."""
        invoice = self._made(
            customer,
            raised.lines,
            inclusive=self._premises.switches.prices_inclusive,
            day=raised.day,
            payment_terms=raised.payment_terms,
            by="Zoho Billing",
            at=raised.at,
        )
        invoice.payment_terms_label = raised.payment_terms_label
        invoice.number = self._next_number()
        invoice.subscription_id = raised.subscription_id
        invoice.transaction_type = raised.transaction_type
        self.shelf.add(invoice)
        self._open(invoice)
        if self._premises.switches.notifications:
            self._mail("invoice_notification", invoice)
        return invoice

    def update(self, invoice_id: str, sent: JsonObject, *, own_number: bool) -> Invoice:
        """Change an invoice; its lines are those that were sent, no others."""
        invoice = self.get(invoice_id)
        body = self._read(sent, customer_id=invoice.customer_id)
        if invoice.state == "void":
            raise against(Rule.INVOICE_STATE)
        if body.customer_id != invoice.customer_id:
            raise invalid_value("customer_id")
        if own_number and body.invoice_number and body.invoice_number != invoice.number:
            self._check_free(body.invoice_number)
        dated = body.model_copy(update={"date": body.date or invoice.issued_on})
        changed = self._new(dated, by=invoice.created_by, at=invoice.created_time)
        if changed.total < invoice.payment_made + invoice.credits_applied:
            raise against(Rule.TOTAL_BELOW_PAID)
        if own_number and body.invoice_number:
            invoice.number = body.invoice_number
        for name in FIGURES:
            setattr(invoice, name, getattr(changed, name))
        invoice.issued_on = changed.issued_on
        if body.model_fields_set & {"date", "due_date", "payment_terms"}:
            invoice.due_date = changed.due_date
        invoice.texts |= {
            name: getattr(body, name) for name in TEXTS if name in body.model_fields_set
        }
        invoice.custom_values |= changed.custom_values
        self.shelf.written(invoice)
        self._receivables.follow(invoice.customer_id)
        return invoice

    def open(self, invoice_id: str, *, also_void: bool = True) -> Invoice:
        """Make a draft collectable; of a void one this is how it comes back."""
        invoice = self.get(invoice_id)
        if invoice.state == "open" or (invoice.state == "void" and not also_void):
            raise against(Rule.INVOICE_STATE)
        self._open(invoice)
        self.shelf.written(invoice)
        return invoice

    def void(self, invoice_id: str) -> Invoice:
        invoice = self.get(invoice_id)
        if invoice.state != "open":
            raise against(Rule.INVOICE_STATE)
        invoice.state = "void"
        self._receivables.detach(invoice)
        self.shelf.written(invoice)
        return invoice

    def delete(self, invoice_id: str) -> None:
        invoice = self.get(invoice_id)
        if invoice.payment_made or invoice.credits_applied:
            raise against(Rule.INVOICE_HAS_PAYMENTS)
        self.shelf.remove(invoice_id)
        self._receivables.follow(invoice.customer_id)

    def remind(self, today: date) -> None:
        """Remind everyone once who is late, if the organisation does so."""
        if not self._premises.switches.reminders:
            return
        for invoice in self.all():
            if invoice.is_past_due(today) and not invoice.reminders_sent:
                invoice.reminders_sent = 1
                self._mail("payment_reminder", invoice)

    def _read(self, sent: JsonObject, customer_id: str = "") -> InvoiceBody:
        body = read(InvoiceBody, sent, self._premises.switches)
        if not customer_id:
            require(body, "date")
        require(body, "customer_id", "invoice_items")
        return body

    def _new(self, body: InvoiceBody, *, by: str, at: datetime) -> Invoice:
        customer = self._customers.get(body.customer_id)
        if body.currency_code not in {"", customer.currency_code}:
            raise against(Rule.CURRENCY_DIFFERS)
        terms = body.payment_terms
        invoice = self._made(
            customer,
            body.invoice_items,
            inclusive=body.is_inclusive_tax,
            day=body.date or self._premises.today(),
            payment_terms=customer.profile["payment_terms"] if terms is None else terms,
            extra=(body.shipping_charge, body.adjustment),
            by=by,
            at=at,
        )
        if body.due_date is not None:
            if body.due_date < invoice.issued_on:
                raise invalid_value("due_date")
            invoice.due_date = body.due_date
        invoice.payment_terms_label = (
            body.payment_terms_label or customer.profile["payment_terms_label"]
        )
        invoice.texts = {name: getattr(body, name) for name in TEXTS}
        invoice.custom_values = read_values(
            body.custom_fields, self._premises.config.invoice_custom_fields
        )
        return invoice

    def _made(
        self,
        customer: Customer,
        lines: Sequence[LineBody],
        *,
        inclusive: bool,
        day: date,
        payment_terms: int,
        by: str,
        at: datetime,
        extra: tuple[Decimal, Decimal] = (Decimal(0), Decimal(0)),
    ) -> Invoice:
        config = self._premises.config
        priced = [(self._amount(line), find_tax(line.tax_id, config)) for line in lines]
        taxed = apply_tax(
            priced,
            inclusive=inclusive,
            rounding=self._premises.switches.tax_rounding,
            round_half_up=lambda amount: rounded(amount, config),
        )
        shipping, adjustment = (rounded(amount, config) for amount in extra)
        total = taxed.sub_total + taxed.tax_total + shipping + adjustment
        if total < 0:
            raise against(Rule.TOTAL_BELOW_ZERO)
        return Invoice(
            invoice_id=self._premises.next_id(),
            number="",
            customer_id=customer.customer_id,
            currency_code=customer.currency_code,
            issued_on=day,
            due_date=day + timedelta(days=payment_terms),
            payment_terms=payment_terms,
            payment_terms_label="",
            is_inclusive_tax=inclusive,
            lines=[
                InvoiceLine(
                    item_id=line.item_id or self._premises.next_id(),
                    name=line.name,
                    description=line.description,
                    price=rounded(line.price, config),
                    quantity=line.quantity,
                    discount=rounded(line.discount, config),
                    unit=line.unit,
                    tax=tax,
                    amount=amount,
                    product_id=line.product_id,
                    code=line.code,
                )
                for line, (amount, tax) in zip(lines, priced, strict=True)
            ],
            by_tax=taxed.by_tax,
            sub_total=taxed.sub_total,
            tax_total=taxed.tax_total,
            total=total,
            shipping_charge=shipping,
            adjustment=adjustment,
            texts=dict.fromkeys(TEXTS, ""),
            created_time=at,
            updated_time=at,
            created_by=by,
        )

    def _amount(self, line: LineBody) -> Decimal:
        """Price a line. The price is rounded first: Zoho keeps none finer than its precision."""
        if line.product_id:
            self._products.get(line.product_id)
        elif not line.code and not self._premises.switches.free_text_lines:
            raise invalid_value("product_id")
        elif not line.name and not line.description:
            raise invalid_value("name")
        config = self._premises.config
        return rounded(rounded(line.price, config) * line.quantity - line.discount, config)

    def _open(self, invoice: Invoice) -> None:
        invoice.state = "open"
        self.shelf.changed(invoice)
        self._receivables.follow(invoice.customer_id)
        if self._premises.switches.apply_credits_automatically:
            self._receivables.use_credits(invoice)

    def _mail(self, reason: str, invoice: Invoice) -> None:
        if self._customers.get(invoice.customer_id).can_be_mailed:
            invoice.is_emailed = True
            self._premises.outbox.send(reason, "invoice", invoice.invoice_id)
            self.shelf.changed(invoice)

    def _check_free(self, number: str) -> None:
        if self.by_number(number) is not None:
            code = self._premises.switches.invoice_number_taken_code
            raise RefusedError(400, code, f'Invoice number "{number}" already exists.')

    def _next_number(self) -> str:
        """Count on; a number that somebody else took is left out."""
        while True:
            self._numbered += 1
            number = f"{self._premises.config.invoice_number_prefix}{self._numbered:06d}"
            if self.by_number(number) is None:
                return number
