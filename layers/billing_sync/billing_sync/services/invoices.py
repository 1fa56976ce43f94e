"""The invoices' rules for the engine: ours are drafted, compared and opened; Zoho's are linked.

ours       create ──► equal ──► open            an invoice, issued
              └─────► differs ──► delete        nothing was issued, the number is free again
Zoho's     find on list pages ──► link | wait until three days into the period
void here  draft: delete | open, unpaid: void | money on it: a person
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, Final

from billing_sync.domain.comparing import fingerprint
from billing_sync.domain.customers import TEST_ACCOUNT
from billing_sync.domain.errors import GoneInZoho, Rejected, Unsendable, may_mean_taken
from billing_sync.domain.invoices import (
    DRAFT,
    VOID,
    InvoiceReading,
    Linking,
    RaisedByZoho,
    Withdrawal,
    Withdrawn,
    both_figures,
    choose_raised,
    field_differences,
    invoice_differences,
    match_number,
    match_raised,
    may_be_altered,
    read_invoice,
    withdraw,
)
from billing_sync.domain.matching import Match, MatchKind
from billing_sync.domain.money import figure
from billing_sync.domain.ownership import (
    Owner,
    Ownership,
    RecurringInvoicesOwner,
    Span,
    owner_of,
    word_of,
)
from billing_sync.domain.parents import CustomerInZoho
from billing_sync.domain.reading import Sendable, Skip
from billing_sync.domain.remote import RemoteInvoice
from billing_sync.domain.source import Customer, Invoice, Service
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.subscriptions import start_of
from billing_sync.ports import (
    BillingApi,
    Intent,
    Organisations,
    Permit,
    RecordKey,
    RecordView,
    Snapshots,
    SyncRecords,
    Write,
)
from billing_sync.ports import Source as SourcePort
from billing_sync.services.money_rules import OrganisationMoney
from billing_sync.services.newest_first import newest_first, since_there
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
from billing_sync.services.take_rows import TakeRows

UPDATE: Final = "update"
OPEN: Final = "open"
VOIDING: Final = "void"

ZOHOS_INVOICE: Final = "Zoho's invoice"
RECORD: Final = "record"
"""Among the figures of a write: which invoice of ours it is for, as its number may change."""

FIGURES_OF_RAISED: Final = ("currency_code", "sub_total", "tax_total", "total")
"""What is compared of an invoice that Zoho made itself: its number, dates and lines are Zoho's."""

SHOWN_IN_LOGS: Final = ("invoice_number", "date", "sub_total", "tax_total", "total")


def spans_of(facts: Mapping[str, Any]) -> tuple[Span, ...]:
    """Read the days that a service's subscriptions bill from the facts of its record."""
    return tuple(
        Span(date.fromisoformat(first), None if ends is None else date.fromisoformat(ends))
        for first, ends in facts.get("spans", ())
    )


class InvoiceRules(EntityRules):
    """Invoices: one-off ones and history under their own numbers, Zoho's own by links.

    One instance serves many records of a process: it remembers which prices Zoho was seen to tax
    rightly.
    """

    entity = EntityType.INVOICE
    key_field = "invoice_number"

    def __init__(  # noqa: PLR0913, PLR0917 - the ports, and what is configured
        self,
        source: SourcePort,
        snapshots: Snapshots,
        api: BillingApi,
        records: SyncRecords,
        organisations: Organisations,
        money: OrganisationMoney,
        ownership: Ownership,
        linking: Linking,
        rows: TakeRows[RemoteInvoice],
        *,
        hour_seconds: float,
    ) -> None:
        """Keep the ports. `hour_seconds`, real ones: how old a list a link may be made by."""
        self._source = source
        self._api = api
        self._records = records
        self._snapshots = snapshots
        self._organisations = organisations
        self._money = money
        self._ownership = ownership
        self._linking = linking
        self._rows = rows
        self._hour_seconds = hour_seconds
        self._taxed_rightly: set[tuple[str, str]] = set()
        # Of the workers side by side in one process, one looks at a price and the others trust it.
        self._one_looks = threading.Lock()

    # ------------------------------------------------------------------------------- reading

    def parents(self, entity_id: str) -> tuple[RecordKey, ...]:
        """Name the customer, and the subscription that decides whose a recurring invoice is.

        What is skipped or refused whatever its parents are has none: a draft of a customer that
        cannot be sent is a draft, not blocked.
        """
        invoice = self._source.invoice(entity_id)
        if invoice is None:
            return ()
        try:
            owner = owner_of(invoice, (), self._ownership)
        except Unsendable:
            return ()
        is_zohos_perhaps = self._zoho_may_bill(invoice)
        if owner.skipped is not None and not (is_zohos_perhaps and owner is Owner.BEFORE_CUT_OVER):
            return ()
        customer = RecordKey(EntityType.CUSTOMER, invoice.customer_id)
        if not is_zohos_perhaps or not self._has_subscription(invoice.service_id):
            return (customer,)
        return (customer, _subscription(invoice))

    def _zoho_may_bill(self, invoice: Invoice) -> bool:
        return (
            invoice.service_id is not None
            and self._ownership.recurring_invoices is RecurringInvoicesOwner.ZOHO
            and word_of(invoice.invoice_type) in self._ownership.recurring_types
        )

    def _has_subscription(self, service_id: str | None) -> bool:
        """Say whether the service is sent, or ever was."""
        service = None if service_id is None else self._source.service(service_id)
        if service is None:
            return False
        status = word_of(service.status)
        if status == "cancelled":
            record = RecordKey(EntityType.SUBSCRIPTION, service.id)
            return self._records.view(record) is not None
        return status in {"active", "suspended"}

    def read(self, entity_id: str) -> Source | None:
        """Read the invoice, whose it is, and what would be sent of it now."""
        invoice = self._source.invoice(entity_id)
        if invoice is None:
            return None
        customer = self._source.customer(invoice.customer_id)
        view = self._records.view(RecordKey(EntityType.CUSTOMER, invoice.customer_id))
        if _is_never_sent(customer, view):
            reason = "its customer is not sent"
            return _skipped(invoice, Skip(reason, fingerprint({"skipped": reason})))
        in_zoho = CustomerInZoho(
            None if view is None else view.zoho_id, None if customer is None else customer.currency
        )
        try:
            decided = self._decide(invoice, in_zoho)
        except Unsendable as refused:
            content = {"refused": refused.code, "field": refused.field, "why": refused.sentence}
            return Source(invoice, invoice.updated_at, fingerprint(content), refused=refused)
        return self._source_of(invoice, decided)

    def _source_of(self, invoice: Invoice, decided: InvoiceReading) -> Source:
        match decided:
            case Skip():
                return _skipped(invoice, decided)
            case Withdrawn():
                return Source(
                    invoice,
                    invoice.updated_at,
                    decided.fingerprint,
                    key=(invoice.invoice_number or "").strip(),
                    reading=decided,
                    withdrawn="cancelled here before it was sent",
                )
            case RaisedByZoho():
                # While it is not linked it is looked for, to be voided: see `_not_raised`.
                is_to_end = decided.is_withdrawn and self._is_linked(invoice)
                return Source(
                    invoice,
                    invoice.updated_at,
                    decided.fingerprint,
                    figures=decided.figures,
                    reading=decided,
                    withdrawn="cancelled here" if is_to_end else None,
                    link_only=True,
                )
            case Sendable():
                return Source(
                    invoice,
                    invoice.updated_at,
                    decided.fingerprint,
                    key=decided.key,
                    payload=decided.payload,
                    figures={**decided.figures, RECORD: invoice.id},
                    reading=decided,
                )

    def _is_linked(self, invoice: Invoice) -> bool:
        view = self._records.view(_key(invoice))
        return view is not None and view.zoho_id is not None

    def _decide(self, invoice: Invoice, customer: CustomerInZoho) -> InvoiceReading:
        service = None
        spans: tuple[Span, ...] = ()
        if self._zoho_may_bill(invoice) and invoice.service_id is not None:
            service = self._source.service(invoice.service_id)
            spans = self._spans(invoice, service)
        billing_day = None if service is None else service.billing_day
        owner = owner_of(invoice, spans, self._ownership, billing_day=billing_day)
        number = (invoice.invoice_number or "").strip()
        return read_invoice(
            invoice,
            owner,
            self._money.rules(),
            customer,
            same_number=self._source.same_number(number, invoice.id) if number else (),
            linking=self._linking,
            billing_day=billing_day,
        )

    def _spans(self, invoice: Invoice, service: Service | None) -> tuple[Span, ...]:
        """Give the days that the service's subscriptions bill; in a plan, those that one would."""
        view = self._records.view(_subscription(invoice))
        if view is not None and (
            view.zoho_id is not None
            or view.former_zoho_ids
            or view.facts.get("spans")
            or view.state is State.SKIPPED
        ):
            return spans_of(view.facts)
        if service is None or word_of(service.status) != "active":
            return ()
        try:
            begins = start_of(
                service,
                self._source.invoices_of_service(service.id),
                self._ownership,
                today=self._organisations.today(),
            )
        except Unsendable:
            # The service is refused; until it is mended its invoices are blocked, and never read.
            return ()
        return (Span(begins),)

    # ------------------------------------------------------------------------------- finding

    def find(self, source: Source) -> Found:
        """Look for the one that Zoho raised, or for our number.

        Our own number costs no call where a young snapshot does not show it, or there is none:
        Zoho keeps it unique, so the POST itself is the proof.
        """
        if isinstance(source.reading, RaisedByZoho):
            snapshot_id = self._rows.not_older_than(self._hour_seconds)
            return self._find_raised(source, source.reading, snapshot_id)
        young = self._rows.if_young()
        if young is None:
            return Found()
        for found in self._bearing(
            source.key, self._snapshots.invoices(young.snapshot_id, numbers=[source.key])
        ):
            return self._found_by_number(source, found)
        return Found()

    def foresee(self, source: Source) -> Found:
        """Look in the newest snapshot, however old."""
        newest = self._snapshots.latest(EntityType.INVOICE, complete=True)
        wanted = source.reading
        if isinstance(wanted, RaisedByZoho):
            if newest is None:
                return self._not_raised(wanted, "")
            return self._foresee_raised(wanted, newest.snapshot_id)
        if newest is None or not source.key:
            return Found()
        for row in self._snapshots.invoices(newest.snapshot_id, numbers=[source.key]):
            return self._found_by_number(source, row)
        return Found()

    def _found_by_number(self, source: Source, found: RemoteInvoice) -> Found:
        """Judge who holds our number: ours, by any figures ever sent under it, or another."""
        holders = self._records.holders(EntityType.INVOICE, [found.zoho_id])
        sent = [source.figures, *self._records.sent_figures(_key(source.row))]
        match = match_number(source.key, found, sent, holders, source.row.id)
        if match.kind is MatchKind.SAME:
            return Found(link=found.zoho_id, why=match.why, remote=_remote(found))
        if found.zoho_id in holders:
            return Found(candidates=match.zoho_ids, code="linked_elsewhere", why=match.why)
        differing = invoice_differences(source.figures, found, shown_only=_is_row(found))
        return Found(
            candidates=match.zoho_ids,
            code="taken",
            why=f"invoice_number {source.key} in Zoho, where it is another invoice's"
            f" ({both_figures(source.figures, found, differing)})",
        )

    def _bearing(self, number: str, rows: Iterable[RemoteInvoice]) -> Iterator[RemoteInvoice]:
        """Read by id whatever a list shows under a number, and compare that for equality."""
        for row in rows:
            if row.number != number:
                continue
            try:
                found = self._api.get_invoice(row.zoho_id)
            except GoneInZoho:
                continue
            if found.number == number:
                yield found

    def _find_raised(self, source: Source, wanted: RaisedByZoho, snapshot_id: int) -> Found:
        """Find it on list pages; ask for more only where two fit, or a price's tax is unproved."""
        rows = self._raised_rows(wanted, snapshot_id)
        match = self._match(wanted, rows)
        fitting = [row for row in rows if row.zoho_id in match.zoho_ids]
        if match.kind is MatchKind.SEVERAL:
            subscriptions = self._subscriptions_of(source.row)
            fitting = self._billed_by(fitting, subscriptions)
            chosen = choose_raised(fitting, subscriptions)
            if chosen.kind is MatchKind.SEVERAL:
                return Found(candidates=chosen.zoho_ids, code="several", why=chosen.why)
            fitting = [row for row in fitting if row.zoho_id in chosen.zoho_ids]
        if not fitting:
            return self._not_raised(wanted, match.why if match.kind is MatchKind.NONE else "")
        found = self._with_tax(wanted, fitting[0])
        if found is None:
            return self._not_raised(wanted, "")
        return Found(link=found.zoho_id, why="same customer, date and total", remote=_remote(found))

    def _foresee_raised(self, wanted: RaisedByZoho, snapshot_id: int) -> Found:
        rows = self._raised_rows(wanted, snapshot_id)
        match = self._match(wanted, rows)
        if match.kind is MatchKind.NONE:
            return self._not_raised(wanted, match.why)
        # Of several the subscription's own list decides, which a plan does not ask for.
        return Found(link=match.zoho_ids[0], why=match.why)

    def _raised_rows(self, wanted: RaisedByZoho, snapshot_id: int) -> list[RemoteInvoice]:
        if wanted.customer_zoho_id is None:
            return []
        return self._snapshots.invoices(snapshot_id, customer_zoho_ids=[wanted.customer_zoho_id])

    def _match(self, wanted: RaisedByZoho, rows: Sequence[RemoteInvoice]) -> Match:
        holders = self._records.holders(EntityType.INVOICE, [row.zoho_id for row in rows])
        numbers = self._source.our_numbers([row.number for row in rows if row.number])
        return match_raised(wanted, rows, holders, our_numbers=numbers)

    def _subscriptions_of(self, invoice: Invoice) -> frozenset[str]:
        view = self._records.view(_subscription(invoice))
        if view is None:
            return frozenset()
        live = () if view.zoho_id is None else (view.zoho_id,)
        return frozenset((*live, *view.former_zoho_ids))

    def _billed_by(
        self, rows: Sequence[RemoteInvoice], subscriptions: frozenset[str]
    ) -> list[RemoteInvoice]:
        """Give the rows with those of the subscriptions in whose own lists they stand.

        No answer about an invoice names its subscription (OpenAPI: invoices), so their lists do.
        A filter that is ignored shows all of the rows: they stay several, for a person to judge.
        """
        shown = {each: self._list_of(each, rows) for each in sorted(subscriptions)}
        return [
            row.model_copy(
                update={
                    "subscription_ids": tuple(
                        each for each, zoho_ids in shown.items() if row.zoho_id in zoho_ids
                    )
                }
            )
            for row in rows
        ]

    def _list_of(self, subscription_zoho_id: str, rows: Sequence[RemoteInvoice]) -> set[str]:
        """Read a subscription's invoices until all of the rows were shown, or no more come."""
        wanted = {row.zoho_id for row in rows}
        shown: set[str] = set()
        page, has_more = 1, True
        while has_more and not wanted <= shown:
            listed = self._api.list_invoices(
                page, newest_first=True, subscription_zoho_id=subscription_zoho_id
            )
            shown |= {row.zoho_id for row in listed.rows}
            if any(row.customer_id != rows[0].customer_id for row in listed.rows):
                return wanted
            page, has_more = page + 1, listed.has_more
        return shown

    def _with_tax(self, wanted: RaisedByZoho, row: RemoteInvoice) -> RemoteInvoice | None:
        """Give the row with its tax, unless this price was seen taxed rightly in this process.

        List rows show no tax: without one look at each price, Zoho could tax every one of them
        otherwise than we do, and all would read as equal.
        """
        price = (wanted.figures["total"], wanted.figures["tax_total"])
        with self._one_looks:
            if price in self._taxed_rightly:
                return row
            if row.tax_total is None:
                try:
                    row = self._api.get_invoice(row.zoho_id)
                except GoneInZoho:
                    return None
                self._rows.add(row)
            if not invoice_differences(wanted.figures, row):
                self._taxed_rightly.add(price)
            return row

    def _not_raised(self, wanted: RaisedByZoho, seen: str) -> Found:
        """Wait until three days into the period; one that is void here is waited for to be voided.

        (Skipped at once, it would be billed in Zoho a day later, and nobody would look again.)
        """
        is_past_due = self._organisations.today() >= wanted.due_on
        if wanted.is_withdrawn and is_past_due:
            return Found(skip="cancelled here, and Zoho has not raised it")
        midnight = datetime.combine(wanted.due_on, time(), self._organisations.time_zone())
        return Found(
            waiting_for=ZOHOS_INVOICE,
            due_at=midnight,
            is_past_due=is_past_due,
            why="Zoho has raised no invoice of this customer and total dated"
            f" {wanted.earliest} to {wanted.latest}"
            + (f": {seen}" if seen else "")
            + ". Look at the subscription in Zoho; raised later, it is linked by a retry.",
        )

    # ------------------------------------------------------------------------------- calling

    def make_ready(self) -> None:
        """Have a live token at hand."""
        self._api.make_ready()

    def send(self, write: Write, permit: Permit) -> Remote | None:
        """Make the one call of a step."""
        zoho_id, payload = write.zoho_id, write.payload
        if zoho_id is None:
            return _remote(self._api.create_invoice(payload, permit=permit))
        if write.step == OPEN:
            return self._open(zoho_id, permit)
        if write.step == UPDATE:
            return _remote(self._api.update_invoice(zoho_id, payload, permit=permit))
        if write.step == VOIDING:
            self._api.void_invoice(zoho_id, permit=permit)
        else:
            self._api.delete_invoice(zoho_id, permit=permit)
        return None

    def _open(self, zoho_id: str, permit: Permit) -> Remote | None:
        """Open a draft. One that somebody has opened before us is refused, and open all the same.

        (billing-api §4.4: «calling it on an already-sent invoice returns an error».)
        """
        try:
            self._api.open_invoice(zoho_id, permit=permit)
        except Rejected:
            found = self._api.get_invoice(zoho_id)
            if found.status in {DRAFT, VOID}:
                raise
            return _remote(found)
        return None

    def get(self, zoho_id: str) -> Remote:
        """Read the invoice by id."""
        return _remote(self._api.get_invoice(zoho_id))

    def look_up(self, intent: Intent) -> list[Remote]:
        """Find who holds the number of a write: ours, if by any figures that were ever sent.

        The newest snapshot, then everything that Zoho made since the write, then, where no young
        snapshot exists, its whole list. Numbers are unique there, so the first that bears it is
        the only one.
        """
        for found in self._holding(intent):
            sent = [intent.figures, *self._sent_under(intent)]
            match = match_number(intent.key, found, sent, {}, "")
            return [Remote(found.zoho_id, found, is_ours=match.kind is MatchKind.SAME)]
        return []

    def _holding(self, intent: Intent) -> Iterator[RemoteInvoice]:
        newest = self._snapshots.latest(EntityType.INVOICE, complete=True)
        if newest is not None:
            rows = self._snapshots.invoices(newest.snapshot_id, numbers=[intent.key])
            yield from self._bearing(intent.key, rows)
        since = since_there(intent.sent_at, self._organisations)
        made_since = newest_first(
            lambda page: self._api.list_invoices(page, newest_first=True),
            since,
            lambda row: row.created_time,
        )
        yield from self._bearing(intent.key, made_since)
        young = self._rows.young_snapshot()
        if newest is None or young != newest.snapshot_id:
            rows = self._snapshots.invoices(young, numbers=[intent.key])
            yield from self._bearing(intent.key, rows)

    def _sent_under(self, intent: Intent) -> list[dict[str, Any]]:
        invoice_id = intent.figures.get(RECORD)
        if invoice_id is None:
            return []
        return self._records.sent_figures(RecordKey(EntityType.INVOICE, invoice_id))

    def server_enforces_key(self) -> bool:
        """Invoice numbers are unique at the server (billing-api §3)."""
        return True

    def is_taken(self, zoho_code: int | None) -> bool:
        """Say yes to every code that is not known to mean anything else: 4060 is hearsay."""
        return may_mean_taken(zoho_code)

    # ----------------------------------------------------------------------------- comparing

    def looks_first(self) -> bool:
        """Say yes: a paid or void invoice is never altered."""
        return True

    def figures_differ(self, figures: dict[str, Any], remote: Remote) -> list[str]:
        """Compare customer, number, date, currency, sub-total, tax and total."""
        found: RemoteInvoice = remote.body
        return invoice_differences(figures, found, shown_only=_is_row(found))

    def fields_differ(self, source: Source, remote: Remote) -> list[str]:
        """Compare the figures, and of our own also the due date and the lines."""
        found: RemoteInvoice = remote.body
        if _is_withdrawn(source):
            return [] if found.status == VOID else ["status"]
        if self._is_raised(source, found):
            return self.figures_differ(_of_raised(source.figures), remote)
        differing = self.figures_differ(source.figures, remote)
        return [*differing, *field_differences(source.payload, found)]

    def next_step(self, source: Source, remote: Remote, *, after: str | None = None) -> Step:
        """Say what brings the invoice in Zoho to what ours says."""
        found: RemoteInvoice = remote.body
        if after in {OPEN, VOIDING}:
            # Answered without a word: `found` is the draft, or the open one, of before.
            return Done()
        if _is_withdrawn(source):
            return _withdrawing(found)
        if found.status == VOID:
            return Stuck(
                State.MISMATCH,
                "void_in_zoho",
                "It is void in Zoho and valid here: void it here too, or open it there again.",
                "status",
            )
        if self._is_raised(source, found):
            differing = self.fields_differ(source, remote)
            told = both_figures(source.figures, found, differing)
            why = f"The invoice that Zoho raised differs: {told}. Mend the side that is wrong."
            return differs_in_zoho(differing, why) if differing else Done()
        differing = self.figures_differ(source.figures, remote)
        told = both_figures(source.figures, found, differing)
        if found.status == DRAFT:
            return self._carry_draft_on(source, remote, after, differing, told)
        if after is not None:
            return differs_in_zoho(differing, f"Zoho made of it: {told}.") if differing else Done()
        if not self.fields_differ(source, remote):
            return Done()
        if may_be_altered(found):
            return Do(UPDATE, source.payload, source.figures)
        if differing:
            return Stuck(
                State.MISMATCH,
                "cannot_be_changed",
                f"It was paid or credited in Zoho, so it is not altered: {told}. Undo the change"
                " here, or correct it by another invoice or a credit note.",
                differing[0],
            )
        return Done()

    def _carry_draft_on(
        self, source: Source, remote: Remote, after: str | None, differing: list[str], told: str
    ) -> Step:
        """Open a draft that is equal; delete one that Zoho adds up to something else.

        One that only differs from today's row is written over first: that is no fault of it.
        """
        if after is None and self.fields_differ(source, remote):
            return Do(UPDATE, source.payload, source.figures)
        if differing:
            ending = Stuck(
                State.FAILED,
                "totals_differ",
                f"Zoho made of it: {told}. The draft was deleted; nothing was issued.",
                differing[0],
            )
            return Do(DELETE, figures=source.figures, ending=ending)
        return Do(OPEN, figures=source.figures)

    def _is_raised(self, source: Source, found: RemoteInvoice) -> bool:
        """Say whether Zoho made it: then it is compared and never altered.

        Also a recurring one that is ours by today's configuration: linked while recurring invoices
        were Zoho's, it bears Zoho's number, and no write of ours ever made it.
        """
        if isinstance(source.reading, RaisedByZoho):
            return True
        return (
            word_of(source.row.invoice_type) in self._ownership.recurring_types
            and found.number not in {"", source.key}
            and not self._records.sent_figures(_key(source.row))
        )

    # --------------------------------------------------------------------------------- facts

    def facts(self, remote: Remote, former: Mapping[str, Any]) -> dict[str, Any]:
        """Give number, date and amounts; a tax that list rows leave out stays the one last seen."""
        found: RemoteInvoice = remote.body
        precision = self._money.rules().precision
        amounts = {"total": found.total, "tax": found.tax_total, "balance": found.balance}
        shown = {
            name: figure(each, precision) for name, each in amounts.items() if each is not None
        }
        if "tax" in former and former.get("total") == shown.get("total"):
            shown.setdefault("tax", former["tax"])
        dated = {} if found.date is None else {"date": found.date.isoformat()}
        return {"number": found.number, **dated, **shown}

    def shown(self, zoho_id: str) -> Remote | None:
        """Give the invoice as the newest snapshot's row shows it."""
        newest = self._snapshots.latest(EntityType.INVOICE, complete=True)
        if newest is None:
            return None
        rows = self._snapshots.invoices(newest.snapshot_id, zoho_ids=[zoho_id])
        return _remote(rows[0]) if rows else None

    def masked(self, write: Write) -> dict[str, Any]:
        """Show number, dates and sums; no line, no name."""
        figures = write.figures
        masked: dict[str, Any] = {name: figures.get(name) for name in SHOWN_IN_LOGS}
        if write.payload:
            masked["due_date"] = write.payload.get("due_date")
            masked["lines"] = len(write.payload.get("invoice_items", ()))
        return {name: value for name, value in masked.items() if value is not None}

    def masked_answer(self, remote: Remote) -> dict[str, Any]:
        """Show id, status, number, dates and sums."""
        found: RemoteInvoice = remote.body
        answer = {
            "invoice_id": found.zoho_id,
            "status": found.status,
            "invoice_number": found.number,
            "date": found.date,
            "due_date": found.due_date,
            "sub_total": found.sub_total,
            "tax_total": found.tax_total,
            "total": found.total,
            "balance": found.balance,
        }
        return {name: str(value) for name, value in answer.items() if value is not None}


def _skipped(invoice: Invoice, skip: Skip) -> Source:
    return Source(invoice, invoice.updated_at, skip.fingerprint, skip=skip.reason)


def _is_never_sent(customer: Customer | None, view: RecordView | None) -> bool:
    """Say whether the customer is not ours to send; its record may not have been made yet."""
    if view is not None and view.zoho_id is None and (view.state is State.SKIPPED or view.removed):
        return True
    return customer is not None and customer.account_type == TEST_ACCOUNT


def _withdrawing(found: RemoteInvoice) -> Step:
    decided, why = withdraw(found)
    match decided:
        case Withdrawal.DELETE:
            return Do(DELETE)
        case Withdrawal.VOID:
            return Do(VOIDING)
        case Withdrawal.PERSON:
            return Stuck(State.MISMATCH, "cannot_be_voided", why, "status")
        case Withdrawal.NOTHING:
            return Done()


def _is_withdrawn(source: Source) -> bool:
    reading = source.reading
    return isinstance(reading, Withdrawn) or (
        isinstance(reading, RaisedByZoho) and reading.is_withdrawn
    )


def _of_raised(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: figures[name] for name in FIGURES_OF_RAISED if name in figures}


def _is_row(found: RemoteInvoice) -> bool:
    """Say whether it is a row of a list, which leaves sub-total, tax and lines out."""
    return found.sub_total is None and found.tax_total is None and not found.items


def _remote(invoice: RemoteInvoice) -> Remote:
    return Remote(invoice.zoho_id, invoice)


def _key(invoice: Invoice) -> RecordKey:
    return RecordKey(EntityType.INVOICE, invoice.id)


def _subscription(invoice: Invoice) -> RecordKey:
    return RecordKey(EntityType.SUBSCRIPTION, invoice.service_id or "")
