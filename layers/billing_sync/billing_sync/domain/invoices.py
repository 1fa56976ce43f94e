"""Invoices: our own as drafts that are compared, Zoho's as links, and what a void one asks for."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from billing_sync.domain.comparing import fingerprint
from billing_sync.domain.errors import Unsendable
from billing_sync.domain.matching import Match, MatchKind, match_by_key
from billing_sync.domain.money import amount_of, cents_of, figure, is_figure, to_the_cent
from billing_sync.domain.ownership import WITHDRAWN, Owner, Period, word_of
from billing_sync.domain.parents import CustomerInZoho
from billing_sync.domain.reading import Sendable, Skip
from billing_sync.domain.remote import RemoteInvoice, RemoteInvoiceItem
from billing_sync.domain.source import Invoice
from billing_sync.domain.tax import MoneyRules, TaxedLine, TaxKind, TaxRate, Totals, totals_of

ISSUED: Final = frozenset(("sent", "paid", "partial", "overdue"))
NAME_AT_MOST: Final = 100
"""Characters of a line's name (billing-api §4.2, items); a longer one goes to the description."""

DRAFT: Final = "draft"
VOID: Final = "void"


@dataclass(frozen=True, slots=True)
class Linking:
    """How Zoho's own invoice is recognised: by customer, total, and a date near the period's.

    The window stays well within a month, so that two renewals of one service never both fit.
    """

    days_before: int = 3
    days_after: int = 10
    due_after_days: int = 3
    """How long after the period's first day Zoho may take to raise it."""


@dataclass(frozen=True, slots=True)
class RaisedByZoho:
    """A recurring invoice that Zoho's subscription raises: it is linked, never pushed."""

    invoice_id: str
    customer_zoho_id: str | None
    earliest: date
    latest: date
    due_on: date
    figures: dict[str, Any]
    fingerprint: str
    is_withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Ours, and void or cancelled here: what becomes of the one in Zoho is `withdraw`'s to say."""

    fingerprint: str


type InvoiceReading = Skip | Sendable | RaisedByZoho | Withdrawn


def read_invoice(
    invoice: Invoice,
    owner: Owner,
    rules: MoneyRules,
    customer: CustomerInZoho,
    *,
    same_number: Sequence[str] = (),
    linking: Linking | None = None,
    billing_day: int | None = None,
) -> InvoiceReading:
    """Decide what an invoice is in Zoho, with what is sent for it.

    `owner` is `owner_of`'s. `same_number` are other invoices of ours with this number.

    :raises Unsendable: naming the column and both values.
    """
    if owner.skipped is not None:
        return Skip(owner.skipped, fingerprint({"skipped": owner.skipped}))
    status = word_of(invoice.status)
    if status not in ISSUED and status not in WITHDRAWN:
        known = ", ".join(sorted((*ISSUED, *WITHDRAWN, DRAFT)))
        raise Unsendable(
            "status_unknown", "status", f"status is «{status[:40]}»; known are {known}."
        )
    currency = customer.currency_of(invoice.currency, rules)
    if owner is Owner.ZOHO:
        return _raised_by_zoho(
            invoice, rules, currency, customer.zoho_id, linking or Linking(), billing_day
        )
    if status in WITHDRAWN:
        return Withdrawn(fingerprint({"withdrawn": status}))
    return _ours(invoice, rules, currency, customer.zoho_id, same_number)


def _ours(
    invoice: Invoice,
    rules: MoneyRules,
    currency: str,
    customer_zoho_id: str | None,
    same_number: Sequence[str],
) -> Sendable:
    number = (invoice.invoice_number or "").strip()
    if not number:
        raise Unsendable("number_missing", "invoice_number", "invoice_number is empty.")
    if same_number:
        bearers = ", ".join(sorted((invoice.id, *same_number)))
        raise Unsendable(
            "number_duplicate",
            "invoice_number",
            f"invoice_number {number} is borne by the invoices {bearers}.",
        )
    if invoice.invoice_date is None:
        raise Unsendable("date_missing", "invoice_date", "invoice_date is empty.")
    wanted = header_totals(invoice, rules.precision)
    document = lines_of(invoice, wanted, rules)
    _refuse_other_totals(document.totals(rules), wanted, rules.precision)
    items = [line.item(rules) for line in document.lines]
    dates = {"date": invoice.invoice_date.isoformat()}
    if invoice.due_date is not None:
        dates["due_date"] = invoice.due_date.isoformat()
    payload: dict[str, Any] = {
        "customer_id": customer_zoho_id,
        "invoice_number": number,
        **dates,
        "is_inclusive_tax": document.is_inclusive,
        "invoice_items": items,
    }
    payload = {name: value for name, value in payload.items() if value is not None}
    figures = {
        "customer_id": customer_zoho_id,
        "invoice_number": number,
        "date": dates["date"],
        "currency_code": currency,
        "is_inclusive_tax": document.is_inclusive,
        "sub_total": figure(wanted.sub_total, rules.precision),
        "tax_total": figure(wanted.tax, rules.precision),
        "total": figure(wanted.total, rules.precision),
    }
    # Paid or not is the payments' to carry: an invoice that was paid has not changed.
    return Sendable(
        key=number,
        payload=payload,
        figures=figures,
        fingerprint=fingerprint({**payload, "local_status": "issued"}),
    )


def _raised_by_zoho(
    invoice: Invoice,
    rules: MoneyRules,
    currency: str,
    customer_zoho_id: str | None,
    linking: Linking,
    billing_day: int | None,
) -> RaisedByZoho:
    wanted = header_totals(invoice, rules.precision)
    period = Period.of(invoice, billing_day)
    if period is None:
        raise Unsendable("period_start_missing", "period_start", "period_start is empty.")
    figures = {
        "currency_code": currency,
        "sub_total": figure(wanted.sub_total, rules.precision),
        "tax_total": figure(wanted.tax, rules.precision),
        "total": figure(wanted.total, rules.precision),
    }
    is_withdrawn = word_of(invoice.status) in WITHDRAWN
    content = {**figures, "period_start": str(period.first), "is_withdrawn": is_withdrawn}
    return RaisedByZoho(
        invoice.id,
        customer_zoho_id,
        earliest=period.first - timedelta(days=linking.days_before),
        latest=period.first + timedelta(days=linking.days_after),
        due_on=period.first + timedelta(days=linking.due_after_days),
        figures=figures,
        fingerprint=fingerprint(content),
        is_withdrawn=is_withdrawn,
    )


# ------------------------------------------------------------------------------------ lines


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is sent."""

    name: str
    description: str
    price: Decimal
    quantity: Decimal
    tax: TaxRate

    def item(self, rules: MoneyRules) -> dict[str, Any]:
        """Give the line's JSON: nothing empty, whole quantities as integers."""
        item: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "price": to_the_cent(self.price, rules.precision),
            "quantity": int(self.quantity),
            "tax_id": self.tax.tax_id,
        }
        return {name: value for name, value in item.items() if value != ""}


@dataclass(frozen=True, slots=True)
class Document:
    """The lines of an invoice, and whether their prices hold the tax."""

    lines: tuple[Line, ...]
    is_inclusive: bool

    def totals(self, rules: MoneyRules) -> Totals:
        """Add it up as Zoho will."""
        return totals_of(
            [TaxedLine(line.price, line.quantity, line.tax) for line in self.lines],
            inclusive=self.is_inclusive,
            rounding=rules.rounding,
            precision=rules.precision,
        )


def header_totals(invoice: Invoice, precision: int) -> Totals:
    """Read the three figures of an invoice.

    :raises Unsendable: one is missing or no amount, or they do not add up.
    """
    wanted = Totals(
        cents_of(invoice.subtotal, "subtotal", precision),
        cents_of(invoice.tax_amount, "tax_amount", precision),
        cents_of(invoice.total_amount, "total_amount", precision),
    )
    made = wanted.sub_total + wanted.tax
    if made != wanted.total:
        raise Unsendable(
            "totals_differ",
            "total_amount",
            f"total_amount is {figure(wanted.total, precision)}; subtotal and tax_amount come to"
            f" {figure(made, precision)}.",
        )
    return wanted


def lines_of(invoice: Invoice, wanted: Totals, rules: MoneyRules) -> Document:
    """Read the lines as the application writes them.

    A line's price stands in `unit_price`, or in `price`. Where no line has one, the invoice is sent
    as one line of its total. A line's tax is named (`tax`) or given as a rate (`tax_rate`); where
    it says nothing, it is taxed as the invoice is: standard, or at zero where its tax is zero.

    :raises Unsendable: `line_items` is no list of lines, or a line cannot be read.
    """
    rows = invoice.line_items
    if rows is None:
        rows = []
    if not isinstance(rows, list | tuple):
        raise Unsendable(
            "line_items_not_a_list",
            "line_items",
            f"line_items is {_KINDS.get(type(rows), 'a value')}, not a list.",
        )
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise Unsendable(
                "line_not_an_object",
                "line_items",
                f"Line {number} of line_items is {_KINDS.get(type(row), 'a value')},"
                " not an object.",
            )
    kind = TaxKind.STANDARD if wanted.tax != 0 else TaxKind.ZERO
    priced = [_price_column(row) is not None for row in rows]
    if not any(priced):
        named = rows[0] if len(rows) == 1 else {}
        name, description = _texts(named, invoice)
        tax = _tax_of(named, 1, kind, rules)
        only = Line(name, description, wanted.total, Decimal(1), tax)
        return Document((only,), is_inclusive=True)
    if not all(priced):
        number = priced.index(False) + 1
        raise Unsendable(
            "line_price_missing",
            "line_items",
            f"Line {number} of line_items has neither unit_price nor price; others have.",
        )
    lines = tuple(_line(row, number, invoice, kind, rules) for number, row in enumerate(rows, 1))
    return Document(lines, is_inclusive=invoice.tax_inclusive)


def _line(
    row: Mapping[str, Any], number: int, invoice: Invoice, kind: TaxKind, rules: MoneyRules
) -> Line:
    column = f"line_items[{number}].{_price_column(row)}"
    price = amount_of(row[_price_column(row) or ""], column)
    quantity = Decimal(1)
    if row.get("quantity") not in (None, ""):
        quantity = amount_of(row["quantity"], f"line_items[{number}].quantity")
    if price < 0 or quantity < 0:
        raise Unsendable(
            "credit_note_needed",
            "line_items",
            f"Line {number} of line_items is {price:f} by {quantity:f}, below 0.00: a credit note"
            " is needed.",
        )
    if quantity == 0:
        raise Unsendable(
            "quantity_zero",
            "line_items",
            f"Line {number} of line_items has a quantity of 0; it must be above 0.",
        )
    name, description = _texts(row, invoice)
    amount = to_the_cent(price * quantity, rules.precision)
    if quantity != quantity.to_integral_value():
        # Zoho's quantities are integers: a part of one is sent as one of its amount.
        parts = f"{quantity.normalize():f} x {price:f}"
        description = f"{description}\n{parts}" if description else parts
        price, quantity = amount, Decimal(1)
    rounded = to_the_cent(price, rules.precision)
    if to_the_cent(rounded * quantity, rules.precision) != amount:
        raise Unsendable(
            "price_too_precise",
            "line_items",
            f"{column} is {price:f}: {quantity:f} of it come to {figure(amount, rules.precision)},"
            f" in Zoho, which rounds it to {figure(rounded, rules.precision)} first, to"
            f" {figure(rounded * quantity, rules.precision)}.",
        )
    return Line(name, description, rounded, quantity, _tax_of(row, number, kind, rules))


def _price_column(row: Mapping[str, Any]) -> str | None:
    return next((name for name in ("unit_price", "price") if row.get(name) not in (None, "")), None)


def _texts(row: Mapping[str, Any], invoice: Invoice) -> tuple[str, str]:
    """Give a line's name and description, by the type of the invoice where it has no name."""
    name = _as_text(row.get("name"))
    description = _as_text(row.get("description"))
    if not name:
        name, description = description, ""
    if not name:
        name = word_of(invoice.invoice_type).replace("_", " ").capitalize() or "Invoice"
    if len(name) > NAME_AT_MOST:
        description = f"{name}\n{description}" if description else name
        name = name[:NAME_AT_MOST].rstrip()
    return name, description


def _as_text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _tax_of(row: Mapping[str, Any], number: int, kind: TaxKind, rules: MoneyRules) -> TaxRate:
    word, rate = row.get("tax"), row.get("tax_rate")
    if isinstance(word, str) and word.strip():
        return rules.taxes.named(word, f"line_items[{number}].tax")
    if rate not in (None, ""):
        column = f"line_items[{number}].tax_rate"
        return rules.taxes.at(amount_of(rate, column), column)
    return rules.taxes.rate(kind, "tax_amount")


def _refuse_other_totals(made: Totals, wanted: Totals, precision: int) -> None:
    """Refuse lines that Zoho would add up to something else than the invoice says."""
    for column, ours, theirs in (
        ("total_amount", wanted.total, made.total),
        ("tax_amount", wanted.tax, made.tax),
        ("subtotal", wanted.sub_total, made.sub_total),
    ):
        if ours != theirs:
            raise Unsendable(
                "totals_differ",
                column,
                f"{column} is {figure(ours, precision)}; its lines come to"
                f" {figure(theirs, precision)} in Zoho.",
            )


# ------------------------------------------------------------------------------- comparisons


def invoice_differences(
    figures: Mapping[str, Any], found: RemoteInvoice, *, shown_only: bool = False
) -> list[str]:
    """Name what must be equal in Zoho's invoice and is not; only what is in `figures` is compared.

    Two readings of two figures are both right, and neither is documented for one kind of answer:
    the total as it stands or with the credits that Zoho applied by itself; and, of inclusive
    prices, a sub-total that is net (Books) or gross (Zoho FSM's help). Tax and total have one, so
    a wrong net cannot hide. With `shown_only` (list rows) an amount that is left out is not held
    against it.
    """
    differing = [
        name
        for name, theirs in (
            ("customer_id", found.customer_id),
            ("invoice_number", found.number),
            ("date", "" if found.date is None else found.date.isoformat()),
            ("currency_code", found.currency_code),
        )
        if figures.get(name) not in (None, theirs) and not (shown_only and theirs == "")
    ]
    is_inclusive = bool(figures.get("is_inclusive_tax", True))
    nets = [figures.get("sub_total"), *([figures.get("total")] if is_inclusive else [])]
    readings: tuple[tuple[str, Sequence[Any], Sequence[Decimal | None]], ...] = (
        ("sub_total", nets, [found.sub_total]),
        ("tax_total", [figures.get("tax_total")], [found.tax_total]),
        ("total", [figures.get("total")], found.total_before_credits()),
    )
    for name, ours, theirs in readings:
        if name not in figures:
            continue
        shown = [each for each in theirs if each is not None]
        if not shown and shown_only:
            continue
        if not any(is_figure(one, other) for one in ours if one is not None for other in shown):
            differing.append(name)
    return differing


def field_differences(payload: Mapping[str, Any], found: RemoteInvoice) -> list[str]:
    """Name what else we send and Zoho shows otherwise: the due date and the lines, in their order.

    No amount hangs on these: what the lines come to is compared as figures. What is not shown
    (list rows have no lines) is not held against it.
    """
    differing = []
    due = payload.get("due_date")
    if due is not None and found.due_date is not None and due != found.due_date.isoformat():
        differing.append("due_date")
    sent = payload.get("invoice_items", [])
    if found.items and (
        len(sent) != len(found.items)
        or any(_is_other_line(ours, theirs) for ours, theirs in zip(sent, found.items, strict=True))
    ):
        differing.append("invoice_items")
    return differing


def _is_other_line(sent: Mapping[str, Any], found: RemoteInvoiceItem) -> bool:
    ours = (sent["name"], sent.get("description", ""), sent["price"], sent["quantity"])
    theirs = (found.name, found.description, found.price, found.quantity)
    return ours != theirs or sent.get("tax_id", found.tax_id) != found.tax_id


def both_figures(figures: Mapping[str, Any], found: RemoteInvoice, differing: Iterable[str]) -> str:
    """Say what differs, with both values: `total: 100.00 here, 100.01 in Zoho`."""
    theirs = {
        "customer_id": found.customer_id,
        "invoice_number": found.number,
        "date": found.date,
        "currency_code": found.currency_code,
        "sub_total": found.sub_total,
        "tax_total": found.tax_total,
        "total": found.total,
    }
    return "; ".join(
        f"{name}: {figures.get(name)} here, "
        + ("not shown" if theirs[name] in (None, "") else f"{theirs[name]}")
        + " in Zoho"
        for name in differing
    )


def may_be_altered(found: RemoteInvoice) -> bool:
    """Say whether an invoice of Zoho may still be changed by us: never a paid or a void one."""
    return found.status == DRAFT or (found.status != VOID and not _has_money_on_it(found))


def _has_money_on_it(found: RemoteInvoice) -> bool:
    if found.status in {"paid", "partially_paid", "payment_initiated"} or found.payments:
        return True
    if found.payment_made or found.credits_applied or found.write_off_amount:
        return True
    return None not in (found.balance, found.total) and found.balance != found.total


class Withdrawal(StrEnum):
    """What becomes in Zoho of an invoice that is void or cancelled here."""

    DELETE = "delete"
    VOID = "void"
    NOTHING = "nothing"
    PERSON = "person"


def withdraw(found: RemoteInvoice | None) -> tuple[Withdrawal, str]:
    """Say what is done with the one in Zoho, and what a person must do where we may not."""
    if found is None:
        return Withdrawal.NOTHING, "cancelled before it was sent"
    if found.status == VOID:
        return Withdrawal.NOTHING, "void in Zoho"
    if found.status == DRAFT:
        return Withdrawal.DELETE, "a draft: nothing was issued"
    if _has_money_on_it(found):
        return (
            Withdrawal.PERSON,
            "Cancelled here, with money on it in Zoho: refund or move that, then void it there.",
        )
    return Withdrawal.VOID, "open, and nothing was paid on it"


# ---------------------------------------------------------------------------------- matching


def match_number(
    number: str,
    found: RemoteInvoice | None,
    figures_ever_sent: Iterable[Mapping[str, Any]],
    holders: Mapping[str, str],
    record_id: str,
) -> Match:
    """Judge the invoice that Zoho holds under our number, which it keeps unique.

    It is ours if customer, date, currency and total equal *any* figures that we ever sent under
    the number: the source may have changed since (protocol §4). Else somebody took the number.
    """
    if found is None or found.number != number:
        return Match(MatchKind.NONE)
    for figures in figures_ever_sent:
        key = {
            name: figures[name]
            for name in ("customer_id", "date", "currency_code", "total")
            if name in figures
        }
        if not invoice_differences(key, found):
            return match_by_key([found.zoho_id], holders, record_id, "number")
    return Match(
        MatchKind.TAKEN,
        (found.zoho_id,),
        "its number, with another customer, date, currency or total",
    )


def match_raised(
    wanted: RaisedByZoho,
    rows: Iterable[RemoteInvoice],
    holders: Mapping[str, str],
    *,
    our_numbers: Collection[str] = (),
) -> Match:
    """Find the invoice that Zoho raised, on list pages alone: by customer, date and total.

    `SEVERAL`: whose these are must be asked for (`choose_raised`). `NONE` says in `why` what else
    of the customer lies in the window, for the day on which waiting ends. What bears one of
    `our_numbers` was pushed by us, even where its answer was lost and no record holds it yet.
    """
    fitting: list[str] = []
    others: list[str] = []
    for row in rows:
        if (
            row.customer_id != wanted.customer_zoho_id
            or row.date is None
            or not wanted.earliest <= row.date <= wanted.latest
            or row.status in {DRAFT, VOID}
            or row.number in our_numbers
            or holders.get(row.zoho_id, wanted.invoice_id) != wanted.invoice_id
        ):
            continue
        if any(is_figure(wanted.figures["total"], each) for each in row.total_before_credits()):
            fitting.append(row.zoho_id)
        elif row.total is not None:
            others.append(figure(row.total))
    if len(fitting) > 1:
        why = f"{len(fitting)} of this customer, date and total"
        return Match(MatchKind.SEVERAL, tuple(sorted(fitting)), why)
    if fitting:
        return Match(MatchKind.SAME, tuple(fitting), "same customer, date and total")
    why = f"total {wanted.figures['total']} here, {', '.join(sorted(others))} in Zoho"
    return Match(MatchKind.NONE, (), why if others else "")


def choose_raised(
    fitting: Iterable[RemoteInvoice], subscription_zoho_ids: Collection[str]
) -> Match:
    """Choose among several that fit, by the subscriptions that they are known to be of."""
    chosen = sorted(
        each.zoho_id
        for each in fitting
        if not set(subscription_zoho_ids).isdisjoint(each.subscription_ids)
    )
    if len(chosen) == 1:
        return Match(MatchKind.SAME, tuple(chosen), "same subscription")
    why = f"{len(chosen)} of this customer, date, total and subscription"
    return Match(MatchKind.SEVERAL if chosen else MatchKind.NONE, tuple(chosen), why)


_KINDS: Final[dict[type, str]] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    Decimal: "a number",
    dict: "an object",
    list: "a list",
    type(None): "null",
}
