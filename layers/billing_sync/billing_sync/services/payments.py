"""The payments' rules for the engine: shares by our books, found by reference, never capped.

    read    our books (row, allocations, earlier payments)  +  the records of its parents
    find    each invoice that it pays, by id ──► ours by reference? ──► enough of it open?
            a pure credit: the customer's transactions
    then    POST

So a payment of one invoice costs two calls.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from billing_sync.domain.comparing import fingerprint
from billing_sync.domain.customers import TEST_ACCOUNT
from billing_sync.domain.errors import GoneInZoho, LookUpFailed, Rejected, Unsendable
from billing_sync.domain.matching import Match, MatchKind
from billing_sync.domain.money import amount_of as read_amount
from billing_sync.domain.money import figure, is_figure
from billing_sync.domain.ownership import WITHDRAWN, Ownership, owner_of, word_of
from billing_sync.domain.parents import CustomerInZoho
from billing_sync.domain.payments import (
    UNFINISHED,
    Earlier,
    PaidInvoice,
    PaymentWays,
    Removal,
    Share,
    TakenByZoho,
    already_paid,
    match_payment,
    payment_differences,
    payment_update,
    read_payment,
    shares_of,
)
from billing_sync.domain.reading import Sendable, Skip
from billing_sync.domain.remote import RemoteInvoice, RemotePayment, RemoteTransaction
from billing_sync.domain.source import Customer, Invoice, Payment
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.tax import MoneyRules
from billing_sync.ports import BillingApi, Intent, Permit, RecordKey, RecordView, SyncRecords, Write
from billing_sync.ports import Source as SourcePort
from billing_sync.services.customers import found_of
from billing_sync.services.money_rules import OrganisationMoney
from billing_sync.services.rules import (
    DELETE,
    Do,
    Done,
    EntityRules,
    Found,
    Remote,
    Source,
    Step,
    Stuck,
    differs_in_zoho,
)

WITHDRAWN_BEFORE: Final = "reversed before it reached Zoho"
CUSTOMER_NOT_SENT: Final = "its customer is not sent"


def amount_of(source: Source) -> Decimal | None:
    """Give what a payment of ours comes to, for plans and reports; None where that is no amount."""
    amount: Decimal | None = source.row.amount
    return amount if amount is not None and amount.is_finite() else None


@dataclass(frozen=True, slots=True)
class PaymentRead:
    """What the domain made of a payment, and which of its parents are not in Zoho (yet)."""

    decided: Sendable | Removal | TakenByZoho
    missing: tuple[RecordKey, ...] = ()


class PaymentRules(EntityRules):
    """Payments, recognised by their reference. Those of one customer go one after the other."""

    entity = EntityType.PAYMENT

    def __init__(
        self,
        source: SourcePort,
        api: BillingApi,
        records: SyncRecords,
        money: OrganisationMoney,
        ways: PaymentWays,
        ownership: Ownership,
    ) -> None:
        """Keep the ports and the settings."""
        self._source = source
        self._api = api
        self._records = records
        self._money = money
        self._ways = ways
        self._ownership = ownership

    def parents(self, entity_id: str) -> tuple[RecordKey, ...]:
        """Name the customer and the invoices that it pays.

        Parents that are not here, or are somebody else's, are left to `read` to refuse; what is
        not sent any more (reversed, failed) waits for nobody.
        """
        payment = self._source.payment(entity_id)
        if payment is None or not _stands(payment):
            return ()
        if self._source.customer(payment.customer_id) is None:
            return ()
        invoices = [
            RecordKey(EntityType.INVOICE, invoice_id)
            for invoice_id in self._named(payment)
            if (invoice := self._source.invoice(invoice_id)) is not None
            and invoice.customer_id == payment.customer_id
        ]
        return RecordKey(EntityType.CUSTOMER, payment.customer_id), *invoices

    def serial_key(self, entity_id: str) -> str | None:
        """Name the customer: payments of one invoice must never run side by side."""
        payment = self._source.payment(entity_id)
        return None if payment is None else f"customer:{payment.customer_id}"

    # ------------------------------------------------------------------------------------ read

    def read(self, entity_id: str) -> Source | None:
        """Read the payment as it would be sent now, with its shares by our own books.

        Parents that are not in Zoho yet are left out of it and named in the reading: a plan is
        made so. `find` sends nothing then.
        """
        payment = self._source.payment(entity_id)
        if payment is None:
            return None
        try:
            read = self._read(payment, self._money.rules())
        except Unsendable as refused:
            its_print = fingerprint({"refused": refused.code, "why": refused.sentence})
            return Source(payment, payment.updated_at, its_print, refused=refused)
        if isinstance(read, Skip):
            return Source(payment, payment.updated_at, read.fingerprint, skip=read.reason)
        match read.decided:
            case Removal() as removal:
                return Source(
                    payment,
                    payment.updated_at,
                    removal.fingerprint,
                    key=(payment.transaction_id or "").strip(),
                    reading=read,
                    withdrawn=WITHDRAWN_BEFORE,
                )
            case TakenByZoho() as taken:
                return Source(
                    payment,
                    payment.updated_at,
                    taken.fingerprint,
                    key=taken.key,
                    figures=taken.figures,
                    reading=read,
                    link_only=True,
                )
            case Sendable() as sendable:
                return Source(
                    payment,
                    payment.updated_at,
                    sendable.fingerprint,
                    key=sendable.key,
                    payload=sendable.payload,
                    figures=sendable.figures,
                    reading=read,
                )

    def _read(self, payment: Payment, rules: MoneyRules) -> Skip | PaymentRead:
        shares: Sequence[Share] = ()
        invoices: Mapping[str, PaidInvoice] = {}
        customer, currency = None, None
        if _stands(payment):
            row = self._source.customer(payment.customer_id)
            if row is None:
                raise Unsendable(
                    "customer_unknown",
                    "customer_id",
                    f"customer_id is {payment.customer_id}, no customer.",
                )
            customer = self._records.view(RecordKey(EntityType.CUSTOMER, payment.customer_id))
            if _is_never_sent(row, customer):
                return Skip(CUSTOMER_NOT_SENT, fingerprint({"skipped": CUSTOMER_NOT_SENT}))
            currency = row.currency
            shares = self._shares(payment, rules.precision)
            invoices = self._invoices(shares)
        in_zoho = CustomerInZoho(None if customer is None else customer.zoho_id, currency)
        decided = read_payment(
            payment,
            shares,
            invoices,
            rules,
            self._ways,
            self._ownership,
            in_zoho,
            is_plan=True,
        )
        match decided:
            case Skip():
                return decided
            case Removal():
                return PaymentRead(decided)
            case _:
                return PaymentRead(decided, _missing(payment, shares, invoices, in_zoho))

    def _named(self, payment: Payment) -> list[str]:
        """Name the invoices that our books put it on, each once."""
        allocated = [each.invoice_id for each in self._source.allocations(payment.id)]
        if allocated:
            return list(dict.fromkeys(allocated))
        return [] if payment.invoice_id is None else [payment.invoice_id]

    def _shares(self, payment: Payment, precision: int) -> list[Share]:
        allocations = self._source.allocations(payment.id)
        if allocations or payment.invoice_id is None:
            return shares_of(payment, allocations, precision=precision)
        invoice = self._source.invoice(payment.invoice_id)
        total = None if invoice is None else invoice.total_amount
        return shares_of(
            payment,
            (),
            invoice_total=None if total is None else read_amount(total, "invoice.total_amount"),
            on_invoice=self._completed_on(payment.invoice_id, payment.customer_id),
            precision=precision,
        )

    def _completed_on(self, invoice_id: str, customer_id: str) -> list[Earlier]:
        """Give what completed payments put on one invoice, by their allocations where they have.

        One that is itself refused (somebody else's, no amount) fills nothing.
        """
        found = []
        for other in self._source.completed_payments_on(invoice_id):
            amount = other.amount
            allocations = self._source.allocations(other.id)
            if allocations:
                on_it = [each.amount for each in allocations if each.invoice_id == invoice_id]
                amount = sum((each for each in on_it if each is not None), Decimal(0))
            if (
                other.customer_id == customer_id
                and other.completed_at is not None
                and amount is not None
                and amount.is_finite()
                and amount > 0
            ):
                found.append(Earlier(other.id, other.completed_at, amount))
        return found

    def _invoices(self, shares: Sequence[Share]) -> dict[str, PaidInvoice]:
        """Give the invoices of the shares that exist here, as they stand in Zoho."""
        ids = list(dict.fromkeys(share.invoice_id for share in shares))
        rows = [row for row in map(self._source.invoice, ids) if row is not None]
        views = self._records.views(EntityType.INVOICE, [row.id for row in rows])
        return {row.id: self._paid_invoice(row, views.get(row.id)) for row in rows}

    def _paid_invoice(self, invoice: Invoice, view: RecordView | None) -> PaidInvoice:
        skipped = None
        status = word_of(invoice.status)
        if status in WITHDRAWN:
            # Void in Zoho it may have an id still, but nothing can be paid on it.
            skipped = f"{status} here"
        elif view is None:
            skipped = self._foreseen_skip(invoice)
        elif view.state is State.SKIPPED:
            skipped = view.sentence or "not sent"
        elif view.removed and view.zoho_id is None:
            skipped = "not in Zoho any more"
        zoho_id = None if view is None or skipped is not None else view.zoho_id
        return PaidInvoice(invoice.id, invoice.customer_id, zoho_id, skipped)

    def _foreseen_skip(self, invoice: Invoice) -> str | None:
        """Say why an invoice that no record knows yet will be skipped: seen only by a plan.

        Without the days that its subscription will bill, which lie ahead and after any cut-over.
        """
        try:
            return owner_of(invoice, (), self._ownership).skipped
        except Unsendable:
            return None

    # ------------------------------------------------------------------------------------ find

    def find(self, source: Source) -> Found:
        """Look on each invoice that it pays, or for a pure credit at the customer's transactions.

        :raises LookUpFailed: a parent that was in Zoho a moment ago is not any more. The next
            attempt brings it first, or is blocked on it.
        """
        self._refuse_without_parents(source)
        if not source.figures["applied"]:
            return self._find_credit(source)
        invoices = [self._invoice(zoho_id) for zoho_id in source.figures["applied"]]
        match = self._match(source, invoices)
        if match.kind is not MatchKind.NONE:
            return found_of(match.kind, match.zoho_ids, match.why)
        short = [
            invoice
            for invoice in invoices
            if already_paid(source.figures, [invoice]).kind is not MatchKind.NONE
        ]
        return self._look_once_more(source, short) if short else Found()

    def _look_once_more(self, source: Source, short: Sequence[RemoteInvoice]) -> Found:
        """Read what seems to be paid there already again; if it is, a person says by whom."""
        invoices = [self._invoice(invoice.zoho_id) for invoice in short]
        match = self._match(source, invoices)
        if match.kind is not MatchKind.NONE:
            return found_of(match.kind, match.zoho_ids, match.why)
        paid = already_paid(source.figures, invoices)
        if paid.kind is MatchKind.NONE:
            return Found()
        # Credit has no payment to name: then it is the invoices that a person has to look at.
        candidates = paid.zoho_ids or tuple(sorted(invoice.zoho_id for invoice in invoices))
        return Found(candidates=candidates, code="already_paid", why=paid.why)

    def foresee(self, source: Source) -> Found:
        """Foresee a create: no list of ours shows payments.

        What Zoho took itself is taken to be there, under an id that only a look will tell: empty.
        """
        if source.link_only:
            return Found(link="", why="taken by Zoho itself: looked for by its reference")
        return Found()

    def _find_credit(self, source: Source) -> Found:
        payments = list(self._credits(source.figures, source.key))
        match = match_payment(source.key, {}, source.row.id, payments=payments)
        found = found_of(match.kind, match.zoho_ids, match.why)
        if found.link is None:
            return found
        return replace(found, remote=_remote(payments[0]))

    def _match(self, source: Source, invoices: Sequence[RemoteInvoice]) -> Match:
        ids = [
            payment.zoho_id
            for invoice in invoices
            for payment in invoice.payments
            if payment.reference_number == source.key
        ]
        holders = self._records.holders(EntityType.PAYMENT, ids) if ids else {}
        return match_payment(source.key, holders, source.row.id, invoices=invoices)

    def _invoice(self, zoho_id: str) -> RemoteInvoice:
        try:
            return self._api.get_invoice(zoho_id)
        except GoneInZoho as gone:
            # Of the payment itself it would say that it is gone.
            raise Rejected(
                f"Zoho does not know invoice {zoho_id}, which it pays, any more.",
                http_status=gone.http_status,
                zoho_code=gone.zoho_code,
                field="invoice_id",
            ) from gone

    def _refuse_without_parents(self, source: Source) -> None:
        read: PaymentRead = source.reading
        if read.missing:
            raise LookUpFailed(f"{_names(read.missing)} not in Zoho.")

    # ------------------------------------------------------------------------------- its calls

    def make_ready(self) -> None:
        """Have a live token at hand."""
        self._api.make_ready()

    def send(self, write: Write, permit: Permit) -> Remote | None:
        """Make, change or take out the payment."""
        if write.zoho_id is None:
            return _remote(self._api.create_payment(write.payload, permit=permit))
        if write.step != DELETE:
            return _remote(self._api.update_payment(write.zoho_id, write.payload, permit=permit))
        try:
            self._api.delete_payment(write.zoho_id, permit=permit)
        except GoneInZoho:
            # Somebody was quicker: what was asked for is done.
            return None
        return None

    def get(self, zoho_id: str) -> Remote:
        """Read the payment by id."""
        return _remote(self._api.get_payment(zoho_id))

    def look_up(self, intent: Intent) -> list[Remote]:
        """Find what a lost POST made: on the invoices that it was to pay, or among credits.

        The invoices' details show their payments with no delay. One that is gone has given its
        payments back to the customer: they are looked for as credits are.
        """
        bearing: set[str] = set()
        applied = intent.figures["applied"]
        is_everywhere = bool(applied)
        for zoho_id in applied:
            try:
                invoice = self._api.get_invoice(zoho_id)
            except GoneInZoho:
                is_everywhere = False
                continue
            bearing |= {
                payment.zoho_id
                for payment in invoice.payments
                if payment.reference_number == intent.key
            }
        hits: dict[str, Remote] = {}
        if not is_everywhere:
            hits = {
                payment.zoho_id: _remote(payment)
                for payment in self._credits(intent.figures, intent.key)
            }
        for zoho_id in sorted(bearing - set(hits)):
            payment = self._payment(zoho_id)
            if payment is not None:
                hits[zoho_id] = _remote(payment)
        return list(hits.values())

    def _credits(self, figures: Mapping[str, Any], reference: str) -> Iterator[RemotePayment]:
        """Read whole every payment of the customer that may be ours, and compare its reference.

        What a row's `reference_id` refers to is written nowhere, so only the payment itself tells.
        What another record of ours holds is that record's.

        :raises LookUpFailed: a payment that is listed cannot be read by any of its ids.
        """
        rows = [
            row
            for row in self._transactions(figures["customer_id"])
            if row.type.casefold() in {"payment", ""}
            and (row.reference_id == reference or is_figure(figures["amount"], row.amount))
        ]
        ids = {row.zoho_id: tuple(dict.fromkeys((row.zoho_id, row.reference_id))) for row in rows}
        shown = [one for its_ids in ids.values() for one in its_ids]
        held = self._records.holders(EntityType.PAYMENT, shown)
        for its_ids in ids.values():
            if not held.keys().isdisjoint(its_ids):
                continue
            readable = filter(None, (self._payment(one) for one in its_ids if one))
            payment = next(readable, None)
            if payment is None:
                raise LookUpFailed("A payment among the customer's transactions cannot be read.")
            if payment.reference_number == reference:
                yield payment

    def _transactions(self, customer_zoho_id: str) -> list[RemoteTransaction]:
        """Read all pages.

        :raises LookUpFailed: a page shows nothing new, and yet there is said to be more.
        """
        rows: dict[str, RemoteTransaction] = {}
        page = 1
        while True:
            listed = self._api.list_transactions(customer_zoho_id, page)
            new = {row.zoho_id: row for row in listed.rows if row.zoho_id not in rows}
            if listed.has_more and not new:
                raise LookUpFailed("Zoho's list of transactions goes round in circles.")
            rows |= new
            if not listed.has_more:
                return list(rows.values())
            page += 1

    def _payment(self, zoho_id: str) -> RemotePayment | None:
        """Read a payment that was seen a moment ago; None where it was taken out since."""
        try:
            return self._api.get_payment(zoho_id)
        except GoneInZoho:
            return None

    # ----------------------------------------------------------------------------- comparison

    def looks_first(self) -> bool:
        """Say yes: a returned payment is taken out, and a PUT applies all of its shares anew."""
        return True

    def figures_differ(self, figures: dict[str, Any], remote: Remote) -> list[str]:
        """Compare the amount, what was applied where, the reference and the customer."""
        return payment_differences(figures, remote.body)

    def fields_differ(self, source: Source, remote: Remote) -> list[str]:
        """Compare the figures, and of what we send the day and the mode, where Zoho shows them."""
        payment: RemotePayment = remote.body
        differing = payment_differences(source.figures, payment)
        day, mode = source.payload.get("date"), source.payload.get("payment_mode")
        if day and payment.date is not None and payment.date.isoformat() != day:
            differing.append("date")
        if mode and payment.payment_mode and _mode(payment.payment_mode) != _mode(mode):
            differing.append("payment_mode")
        return differing

    def next_step(self, source: Source, remote: Remote, *, after: str | None = None) -> Step:
        """Take out what was returned, change what has changed, and else compare."""
        read: PaymentRead = source.reading
        if isinstance(read.decided, Removal):
            return Do(DELETE)
        if read.missing:
            return Stuck(
                State.MISMATCH,
                "parent_not_in_zoho",
                f"It is in Zoho, but {_names(read.missing)} not.",
                "invoice_id",
            )
        if isinstance(read.decided, Sendable) and after is None:
            changed = self.fields_differ(source, remote)
            return Do("update", payment_update(source.payload)) if changed else Done()
        differing = self.figures_differ(source.figures, remote)
        return differs_in_zoho(differing) if differing else Done()

    def facts(self, remote: Remote, former: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - of the protocol
        """Give its amount, and what of it each of Zoho's invoices took."""
        payment: RemotePayment = remote.body
        precision = self._money.rules().precision
        return {
            "amount": figure(payment.amount, precision),
            "applied": {
                invoice.zoho_id: figure(invoice.amount_applied, precision)
                for invoice in payment.invoices
            },
        }

    def masked(self, write: Write) -> dict[str, Any]:
        """Amount, mode and number of invoices; references may be a bank's words on a person."""
        return {
            "amount": write.figures.get("amount"),
            "payment_mode": write.payload.get("payment_mode"),
            "invoices": len(write.figures.get("applied", ())),
        }

    def masked_answer(self, remote: Remote) -> dict[str, Any]:
        """Show its id, and the same of what was answered."""
        payment: RemotePayment = remote.body
        return {
            "payment_id": payment.zoho_id,
            "amount": f"{payment.amount:f}",
            "payment_mode": payment.payment_mode,
            "status": payment.status,
            "invoices": len(payment.invoices),
        }


def _stands(payment: Payment) -> bool:
    """Say whether the payment is one that our books count, so that its parents matter."""
    return word_of(payment.status) not in {*UNFINISHED, "reversed"}


def _is_never_sent(customer: Customer, view: RecordView | None) -> bool:
    """Say whether the customer is not ours to send; a plan may come before its record."""
    if view is not None and view.zoho_id is None and (view.state is State.SKIPPED or view.removed):
        return True
    return customer.account_type == TEST_ACCOUNT


def _missing(
    payment: Payment,
    shares: Sequence[Share],
    invoices: Mapping[str, PaidInvoice],
    customer: CustomerInZoho,
) -> tuple[RecordKey, ...]:
    """Name the parents without which a share would end as credit, or the payment nowhere."""
    missing = []
    if customer.zoho_id is None:
        missing.append(RecordKey(EntityType.CUSTOMER, payment.customer_id))
    missing += [
        RecordKey(EntityType.INVOICE, invoice_id)
        for invoice_id in dict.fromkeys(share.invoice_id for share in shares if share.amount > 0)
        if invoices[invoice_id].zoho_id is None
    ]
    return tuple(missing)


def _names(records: Sequence[RecordKey]) -> str:
    return f"{', '.join(map(str, records))} {'is' if len(records) == 1 else 'are'}"


def _mode(text: str) -> str:
    """Bring a mode into one form: answers may show it as its screens do, «Bank Transfer»."""
    return "".join(character for character in text.casefold() if character.isalnum())


def _remote(payment: RemotePayment) -> Remote:
    return Remote(payment.zoho_id, payment)
