"""Payments: how, when and on which invoices, by our own books; and which in Zoho is ours."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from billing_sync.domain.comparing import fingerprint
from billing_sync.domain.errors import Unsendable
from billing_sync.domain.matching import Match, MatchKind, match_by_key
from billing_sync.domain.money import amount_of, cents_of, figure, is_figure, total_of
from billing_sync.domain.ownership import Ownership, is_payment_before_cut_over, word_of
from billing_sync.domain.parents import CustomerInZoho
from billing_sync.domain.reading import Sendable, Skip
from billing_sync.domain.remote import RemoteInvoice, RemotePayment, RemoteTransaction
from billing_sync.domain.source import Payment, PaymentAllocation
from billing_sync.domain.tax import MoneyRules

ANY: Final = "*"
TAKEN_BY_ZOHO: Final = "zoho_billing"
"""The provider of a payment that Zoho took itself: it is there already, and never created."""

UNFINISHED: Final = frozenset(("pending", "processing", "failed", "cancelled", "expired"))
REFERENCE_AT_MOST: Final = 100
"""Characters of `reference_number` (billing-api §4.5)."""


class PaymentMode(StrEnum):
    """The modes that Zoho knows (billing-api §4.5); display names are refused."""

    CHECK = "check"
    CASH = "cash"
    CREDIT_CARD = "creditcard"
    BANK_TRANSFER = "banktransfer"
    BANK_REMITTANCE = "bankremittance"
    AUTO_TRANSACTION = "autotransaction"
    OTHERS = "others"


@dataclass(frozen=True, slots=True)
class PaymentWay:
    """A row of the table of payment ways; `*` stands for any provider or any method."""

    provider: str
    method: str
    mode: PaymentMode
    account_id: str = ""
    """Zoho's account that the money is put into; empty leaves it to Zoho's default."""


@dataclass(frozen=True, slots=True)
class PaymentWays:
    """The table provider/method → Zoho: data, not code."""

    ways: tuple[PaymentWay, ...] = ()

    def find(self, provider: str | None, method: str | None) -> PaymentWay | None:
        """Find the most exact row: both, then the provider's any, then the method's any."""
        asked = word_of(provider), word_of(method)
        table = {(word_of(way.provider), word_of(way.method)): way for way in self.ways}
        for key in (asked, (asked[0], ANY), (ANY, asked[1]), (ANY, ANY)):
            if key in table:
                return table[key]
        return None

    def unmapped(self, seen: Iterable[tuple[str | None, str | None]]) -> list[tuple[str, str]]:
        """Name the (provider, method) pairs that no row maps, for preflight."""
        return sorted(
            {
                (word_of(provider), word_of(method))
                for provider, method in seen
                if word_of(provider) != TAKEN_BY_ZOHO and self.find(provider, method) is None
            }
        )


@dataclass(frozen=True, slots=True)
class PaidInvoice:
    """An invoice that a payment names, as our books and the sync records have it.

    `skipped` is why it is not in Zoho and never will be; None of both is one that is to come.
    """

    invoice_id: str
    customer_id: str
    zoho_id: str | None = None
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What of a payment our books put on an invoice."""

    invoice_id: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Removal:
    """The payment was returned after it was completed: the one in Zoho is deleted.

    Its invoice is open again there by that. One that never reached Zoho has nothing to remove.
    """

    fingerprint: str


@dataclass(frozen=True, slots=True)
class TakenByZoho:
    """Zoho took the payment itself: it is found by its reference and linked, never created."""

    key: str
    figures: dict[str, Any]
    fingerprint: str


type PaymentReading = Skip | Sendable | Removal | TakenByZoho


def read_payment(
    payment: Payment,
    shares: Sequence[Share],
    invoices: Mapping[str, PaidInvoice],
    rules: MoneyRules,
    ways: PaymentWays,
    ownership: Ownership,
    customer: CustomerInZoho,
    *,
    is_plan: bool = False,
) -> PaymentReading:
    """Decide what a payment is in Zoho, with what is sent for it.

    `shares` are by our books (`shares_of`); what they leave over is the customer's credit. Only in
    a plan may ids of Zoho be missing: what is not there yet is left out of its payload.

    :raises Unsendable: naming the column and both values.
    :raises ValueError: customer or invoice are not in Zoho yet; sent so, a share would end as
        credit. Parents come first.
    """
    unfinished = _unfinished(payment)
    if unfinished is not None:
        return unfinished
    amount = _amount(payment, rules)
    _refuse_refund(payment, amount, rules)
    customer.currency_of(payment.currency, rules)
    paid_on = _paid_on(payment, rules)
    _refuse_strangers(payment, shares, invoices)
    skip = _left_out(shares, invoices, paid_on, ownership, rules)
    if skip is not None:
        return skip
    reference = (payment.transaction_id or "").strip()
    if not 0 < len(reference) <= REFERENCE_AT_MOST:
        raise Unsendable(
            "reference_unusable",
            "transaction_id",
            f"transaction_id has {len(reference)} characters; it must have 1 to"
            f" {REFERENCE_AT_MOST}.",
        )
    applied = _applied(shares, amount, invoices, rules)
    if not is_plan and (customer.zoho_id is None or len(applied) < _named(shares)):
        raise ValueError("a payment is sent after its customer and its invoices")
    figures = {
        "customer_id": customer.zoho_id,
        "reference_number": reference,
        "amount": figure(amount, rules.precision),
        "applied": {zoho_id: figure(each, rules.precision) for zoho_id, each in applied},
    }
    if word_of(payment.provider) == TAKEN_BY_ZOHO:
        return TakenByZoho(
            reference, figures, fingerprint({**figures, "local_status": "completed"})
        )
    way = ways.find(payment.provider, payment.payment_method)
    if way is None:
        raise Unsendable(
            "payment_method_unmapped",
            "payment_method",
            f"payment_method «{word_of(payment.payment_method)[:40]}» of provider"
            f" «{word_of(payment.provider)[:40]}» has no payment mode of Zoho.",
        )
    payload: dict[str, Any] = {
        "customer_id": customer.zoho_id,
        "payment_mode": way.mode.value,
        "amount": amount,
        "date": paid_on.isoformat(),
        "reference_number": reference,
        "invoices": [{"invoice_id": zoho_id, "amount_applied": each} for zoho_id, each in applied],
        "account_id": way.account_id,
    }
    payload = {name: value for name, value in payload.items() if value not in (None, "")}
    return Sendable(
        key=reference,
        payload=payload,
        figures=figures,
        fingerprint=fingerprint({**payload, "local_status": "completed"}),
    )


def _unfinished(payment: Payment) -> Skip | Removal | None:
    """Read the status: None is a payment that stands."""
    status = word_of(payment.status)
    if status in UNFINISHED:
        return _skip(f"not completed: {status}")
    if status == "reversed":
        if payment.completed_at is None:
            return _skip("reversed before it was completed")
        if word_of(payment.provider) == TAKEN_BY_ZOHO:
            return _skip("taken by Zoho, which undoes it itself")
        return Removal(fingerprint({"removed": status}))
    if status not in {"completed", "refunded"}:
        known = ", ".join(sorted((*UNFINISHED, "completed", "refunded", "reversed")))
        raise Unsendable(
            "status_unknown", "status", f"status is «{status[:40]}»; known are {known}."
        )
    return None


def _amount(payment: Payment, rules: MoneyRules) -> Decimal:
    amount = cents_of(payment.amount, "amount", rules.precision)
    if amount <= 0:
        raise Unsendable(
            "amount_not_positive",
            "amount",
            f"amount is {figure(amount, rules.precision)}; a payment must be above"
            f" {figure(Decimal(0), rules.precision)}.",
        )
    return amount


def _refuse_refund(payment: Payment, amount: Decimal, rules: MoneyRules) -> None:
    status = word_of(payment.status)
    refunded = Decimal(0)
    if payment.refunded_amount is not None:
        refunded = amount_of(payment.refunded_amount, "refunded_amount")
    if refunded != 0 or status == "refunded":
        raise Unsendable(
            "refund_needed",
            "refunded_amount",
            f"refunded_amount is {figure(refunded, rules.precision)} of"
            f" {figure(amount, rules.precision)}, status {status}: a refund in Zoho is needed.",
        )


def _paid_on(payment: Payment, rules: MoneyRules) -> date:
    """Give the day of the payment where the organisation is: at 23:30 in UTC it is the next one."""
    if payment.completed_at is None:
        raise Unsendable("date_missing", "completed_at", "completed_at is empty.")
    return payment.completed_at.astimezone(rules.time_zone).date()


def _refuse_strangers(
    payment: Payment, shares: Sequence[Share], invoices: Mapping[str, PaidInvoice]
) -> None:
    for share in shares:
        invoice = invoices.get(share.invoice_id)
        if invoice is None:
            raise Unsendable(
                "invoice_unknown", "invoice_id", f"invoice_id is {share.invoice_id}, no invoice."
            )
        if invoice.customer_id != payment.customer_id:
            raise Unsendable(
                "invoice_of_another",
                "invoice_id",
                f"Invoice {share.invoice_id} is customer {invoice.customer_id}'s, the payment is"
                f" customer {payment.customer_id}'s.",
            )


def _left_out(
    shares: Sequence[Share],
    invoices: Mapping[str, PaidInvoice],
    paid_on: date,
    ownership: Ownership,
    rules: MoneyRules,
) -> Skip | None:
    """Say whether the payment is skipped with its invoices; of several, all or none.

    A payment whose invoice is in Zoho is sent whatever its date: the invoice would stay open.
    """
    if not shares:
        if is_payment_before_cut_over(paid_on, ownership):
            return _skip("before cut-over")
        return None
    reasons = {share.invoice_id: invoices[share.invoice_id].skipped for share in shares}
    skipped = {reason for reason in reasons.values() if reason is not None}
    if not skipped:
        return None
    if None not in reasons.values() and skipped == {"before cut-over"}:
        return _skip("before cut-over, as its invoice")
    out = total_of(share.amount for share in shares if reasons[share.invoice_id] is not None)
    rest = total_of(share.amount for share in shares if reasons[share.invoice_id] is None)
    raise Unsendable(
        "invoice_left_out",
        "invoice_id",
        f"{figure(out, rules.precision)} of it is on invoices that are not sent"
        f" ({', '.join(sorted(skipped))}), {figure(rest, rules.precision)} on others.",
    )


def _applied(
    shares: Sequence[Share],
    amount: Decimal,
    invoices: Mapping[str, PaidInvoice],
    rules: MoneyRules,
) -> list[tuple[str, Decimal]]:
    """Give what is applied to each invoice in Zoho, one row for each."""
    on: dict[str, Decimal] = {}
    for share in shares:
        on[share.invoice_id] = on.get(share.invoice_id, Decimal(0)) + share.amount
    total = total_of(on.values())
    if total > amount:
        raise Unsendable(
            "shares_exceed_amount",
            "amount",
            f"amount is {figure(amount, rules.precision)}; its shares come to"
            f" {figure(total, rules.precision)}.",
        )
    return sorted(
        (zoho_id, each)
        for invoice_id, each in on.items()
        if (zoho_id := invoices[invoice_id].zoho_id) is not None and each > 0
    )


def _named(shares: Sequence[Share]) -> int:
    return len({share.invoice_id for share in shares if share.amount > 0})


# ------------------------------------------------------------------------------- our books


@dataclass(frozen=True, slots=True)
class Earlier:
    """A payment on the same one invoice; those that were completed first fill it first."""

    payment_id: str
    completed_at: datetime
    amount: Decimal


def shares_of(
    payment: Payment,
    allocations: Sequence[PaymentAllocation],
    *,
    invoice_total: Decimal | None = None,
    on_invoice: Iterable[Earlier] = (),
    precision: int = 2,
) -> list[Share]:
    """Compute a payment's shares from our own books, never from what is open in Zoho.

    Allocations say it all. Without them a payment goes to its one invoice, as far as the invoice
    was not filled by payments completed before it: `on_invoice` are the completed payments that
    name this invoice (itself may be among them), `invoice_total` is its total. What is over is an
    overpayment: credit.

    :raises Unsendable: an allocation is missing its amount, or is not above zero.
    """
    if allocations:
        shares = []
        for allocation in allocations:
            amount = cents_of(allocation.amount, "allocations.amount", precision)
            if amount <= 0:
                raise Unsendable(
                    "share_not_positive",
                    "allocations.amount",
                    f"The share of invoice {allocation.invoice_id} is"
                    f" {figure(amount, precision)}; it must be above"
                    f" {figure(Decimal(0), precision)}.",
                )
            shares.append(Share(allocation.invoice_id, amount))
        return shares
    if payment.invoice_id is None:
        return []
    amount = cents_of(payment.amount, "amount", precision)
    if invoice_total is None or payment.completed_at is None:
        return [Share(payment.invoice_id, max(amount, Decimal(0)))]
    own = (payment.completed_at, payment.id)
    before = total_of(
        other.amount for other in on_invoice if (other.completed_at, other.payment_id) < own
    )
    return [Share(payment.invoice_id, max(min(amount, invoice_total - before), Decimal(0)))]


# ----------------------------------------------------------------------------- against Zoho


def already_paid(figures: Mapping[str, Any], invoices: Iterable[RemoteInvoice]) -> Match:
    """Say whether an invoice in Zoho has less open than our books put on it.

    `NONE`: all of it fits. `PLAUSIBLE`: somebody paid there; the payments that did are named, and
    nothing is ever capped, for a person must say which of the two is the payment. `invoices` are
    details, read by id, which no index delays.
    """
    ids: list[str] = []
    told: list[str] = []
    for invoice in invoices:
        wanted = Decimal(figures["applied"].get(invoice.zoho_id, "0"))
        if invoice.balance is None or invoice.balance >= wanted:
            continue
        ids += [payment.zoho_id for payment in invoice.payments]
        by = ", ".join(payment.zoho_id for payment in invoice.payments) or "credit"
        told.append(
            f"{figure(wanted)} on invoice {invoice.zoho_id}, of which {figure(invoice.balance)} is"
            f" open: already paid there by {by}"
        )
    if not told:
        return Match(MatchKind.NONE)
    return Match(MatchKind.PLAUSIBLE, tuple(sorted(set(ids))), "; ".join(told))


def match_payment(
    reference: str,
    holders: Mapping[str, str],
    record_id: str,
    *,
    invoices: Iterable[RemoteInvoice] = (),
    payments: Iterable[RemotePayment] = (),
    transactions: Iterable[RemoteTransaction] = (),
) -> Match:
    """Find our payment by equality of its reference, wherever Zoho shows one.

    On the invoices that it pays (their details, which no index delays), in a list, or, for pure
    credit, among the customer's transactions. A payment of several invoices stands on each.
    """
    bearing = [
        payment.zoho_id
        for invoice in invoices
        for payment in invoice.payments
        if payment.reference_number == reference
    ]
    bearing += [each.zoho_id for each in payments if each.reference_number == reference]
    bearing += [
        each.zoho_id
        for each in transactions
        if each.reference_id == reference and each.type.casefold() in {"payment", ""}
    ]
    return match_by_key(bearing, holders, record_id, "reference")


def payment_differences(figures: Mapping[str, Any], found: RemotePayment) -> list[str]:
    """Name what must be equal in Zoho's payment and is not: amount, and what was applied where.

    The rest of a payment is the customer's credit there, so equal shares mean equal credit.
    """
    differing = []
    if not is_figure(figures["amount"], found.amount):
        differing.append("amount")
    theirs: dict[str, Decimal] = {}
    for invoice in found.invoices:
        theirs[invoice.zoho_id] = theirs.get(invoice.zoho_id, Decimal(0)) + invoice.amount_applied
    applied = {zoho_id: each for zoho_id, each in theirs.items() if each != 0}
    ours = figures["applied"]
    if set(ours) != set(applied) or not all(
        is_figure(ours[zoho_id], applied[zoho_id]) for zoho_id in ours
    ):
        differing.append("applied")
    if figures["reference_number"] != found.reference_number:
        differing.append("reference_number")
    if figures.get("customer_id") not in (None, found.customer_id):
        differing.append("customer_id")
    return differing


def payment_update(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Give the body of a PUT: the whole payment, for `invoices` is applied anew by what it holds.

    :raises ValueError: what every PUT must carry is missing (billing-api §4.5).
    """
    needs = ("customer_id", "payment_mode", "amount", "invoices")
    missing = [name for name in needs if name not in payload]
    if missing:
        raise ValueError(f"a payment's update needs {', '.join(missing)}")
    return dict(payload)


def _skip(reason: str) -> Skip:
    return Skip(reason, fingerprint({"skipped": reason}))
