"""The step `Verify`: walk over Zoho once more and hold both sides against each other."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

from billing_sync.domain.comparing import same_name
from billing_sync.domain.discrepancies import TELLINGS, Code, findings_of, gross_price
from billing_sync.domain.display_names import DisplayNames
from billing_sync.domain.errors import GoneInZoho, Misconfigured, NotNow, Unavailable
from billing_sync.domain.findings import RECORDS_IN_A_FINDING
from billing_sync.domain.invoices import VOID
from billing_sync.domain.money import figure
from billing_sync.domain.ownership import WITHDRAWN, word_of
from billing_sync.domain.remote import RemoteInvoice, RemoteSubscription
from billing_sync.domain.source import Invoice, Service
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.steps import Finding, Next, Only, Phase, Severity, StepAnswer, StepEvent
from billing_sync.domain.subscriptions import ENDED
from billing_sync.ports import (
    BillingApi,
    Organisations,
    RecordKey,
    RecordView,
    Run,
    Runs,
    Snapshots,
    Source,
    SyncRecords,
    Verification,
)
from billing_sync.services.backfill.books import BothSides, CompareBooks
from billing_sync.services.backfill.loop import SPARE_SECONDS, Loop, TimeLeft
from billing_sync.services.backfill.plan import BOOKS_SECONDS, ROWS_AT_ONCE
from billing_sync.services.backfill.snapshot import WALKING, WalkLists, away
from billing_sync.services.customers import read_source
from billing_sync.services.money_rules import OrganisationMoney
from billing_sync.services.rules import Done, EntityRules
from billing_sync.services.take_rows import TakeRows
from billing_sync.services.take_snapshot import TakeSnapshot

AT_ONCE: Final = 50

COMPARING: Final = "comparing "
"""The beginning of the cursor while records are compared; an entity and the last id follow."""

BILLED: Final = frozenset(("active", "suspended"))


class Verify:
    """Compare what is in step by our own records with what Zoho's lists say now.

    A list lags behind, and shows less than a record's own page: whatever it seems to miss, or to
    show differently, is read by its id before anything is concluded.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the step that looks at both sides
        self,
        runs: Runs,
        loop: Loop,
        walk_lists: WalkLists,
        take_snapshot: TakeSnapshot,
        subscription_rows: TakeRows[RemoteSubscription],
        invoice_rows: TakeRows[RemoteInvoice],
        snapshots: Snapshots,
        source: Source,
        records: SyncRecords,
        verification: Verification,
        api: BillingApi,
        organisations: Organisations,
        names: DisplayNames,
        rules: Mapping[EntityType, EntityRules],
        money: OrganisationMoney,
        compare_books: CompareBooks,
        *,
        account_label: str,
    ) -> None:
        """Keep the ports."""
        self._runs = runs
        self._loop = loop
        self._walk_lists = walk_lists
        self._take_snapshot = take_snapshot
        self._subscription_rows = subscription_rows
        self._invoice_rows = invoice_rows
        self._snapshots = snapshots
        self._source = source
        self._records = records
        self._verification = verification
        self._api = api
        self._organisations = organisations
        self._names = names
        self._rules = rules
        self._money = money
        self._compare_books = compare_books
        self._account_label = account_label

    def __call__(self, event: StepEvent, time_left: TimeLeft) -> StepAnswer:
        """Walk, then compare; `done` with findings for the report."""
        run, ended = self._loop.enter(event.run_id, "verify")
        if ended is not None:
            return ended
        cursor = run.cursor or WALKING
        if cursor.startswith(WALKING):
            answer = self._walk_lists(run, time_left, trust_details=True)
            if answer.next is not Next.DONE:
                return answer
            cursor = f"{COMPARING}{EntityType.CUSTOMER} "
            self._runs.save_cursor(run.run_id, cursor)
        try:
            if not self._compare(run, cursor.removeprefix(COMPARING), time_left):
                return StepAnswer(next=Next.AGAIN)
            if time_left() < BOOKS_SECONDS:
                return StepAnswer(next=Next.AGAIN, why="The books are compared in the next loop.")
            findings = list(self._findings(run))
        except NotNow as refusal:
            return self._loop.wait(run.run_id, refusal)
        except Unavailable as failure:
            return away(self._loop, run.run_id, failure)
        except Misconfigured as failure:
            self._runs.end_early(run.run_id, failure.sentence)
            return self._loop.end(run.run_id)
        self._runs.put_findings(run.run_id, "verify", findings)
        # What the plan said of both sides' books is said anew here; before is in its own file.
        self._runs.forget_findings(run.run_id, "plan", [code.value for code in TELLINGS])
        return StepAnswer(
            next=Next.DONE,
            counts={**self._walk_lists.counts(run), "findings": len(findings)},
        )

    def _compare(self, run: Run, position: str, time_left: TimeLeft) -> bool:
        """Mark what is gone and what differs; False when the time is short."""
        entity, _, after = position.partition(" ")
        if entity == EntityType.CUSTOMER:
            if not self._compare_customers(run.only, time_left):
                return False
            entity, after = EntityType.SUBSCRIPTION.value, ""
        if run.phases == (Phase.CUSTOMERS,):
            return True
        if entity == EntityType.SUBSCRIPTION:
            if not self._compare_rows(run, EntityType.SUBSCRIPTION, after or None, time_left):
                return False
            after = ""
        return self._compare_rows(run, EntityType.INVOICE, after or None, time_left)

    # ------------------------------------------------------------------------------ customers

    def _compare_customers(self, only: Only, time_left: TimeLeft) -> bool:
        """Each mark takes its record out of what is looked at, so a later call goes on."""
        snapshot_id = self._snapshot_of(EntityType.CUSTOMER)
        while missing := self._verification.not_in_snapshot(snapshot_id, AT_ONCE):
            for record, zoho_id in missing:
                if time_left() < SPARE_SECONDS:
                    return False
                self._look_again(snapshot_id, record, zoho_id)
        currency = self._organisations.currency()
        cursor = None
        while customers := self._source.customers_after(cursor, ROWS_AT_ONCE, only):
            cursor = customers[-1].id
            views = self._records.views(EntityType.CUSTOMER, [c.id for c in customers])
            shown = self._verification.in_snapshot_by_name(
                snapshot_id, [view.zoho_id for view in views.values() if view.zoho_id]
            )
            for customer in customers:
                view = views.get(customer.id)
                if view is None or view.state is not State.SYNCED or view.zoho_id not in shown:
                    continue
                if time_left() < SPARE_SECONDS:
                    return False
                ours = read_source(
                    customer,
                    self._names,
                    account_label=self._account_label,
                    default_currency=currency,
                )
                name, its_currency = shown[view.zoho_id]
                if (
                    ours.figures
                    and ours.fingerprint == view.confirmed_fingerprint
                    and (
                        same_name(name) != same_name(ours.figures["display_name"])
                        or (
                            its_currency is not None
                            and its_currency != ours.figures["currency_code"]
                        )
                    )
                ):
                    self._look_closer(view.record, view.zoho_id, ours.figures["display_name"])
        return True

    def _look_again(self, snapshot_id: int, record: RecordKey, zoho_id: str) -> None:
        try:
            found = self._api.get_customer(zoho_id)
        except GoneInZoho:
            self._verification.gone(record)
            return
        self._take_snapshot.add(snapshot_id, found)

    def _look_closer(self, record: RecordKey, zoho_id: str, display_name: str) -> None:
        found = self._api.get_customer(zoho_id)
        if same_name(found.display_name) != same_name(display_name):
            self._verification.doubt(record)

    # --------------------------------------------------------------- subscriptions, invoices

    def _compare_rows(
        self, run: Run, entity: EntityType, after: str | None, time_left: TimeLeft
    ) -> bool:
        """Hold each synced record's row in the fresh list against what was confirmed."""
        while ids := self._verification.synced(entity, after, ROWS_AT_ONCE):
            for view in self._suspects(entity, ids):
                if time_left() < SPARE_SECONDS:
                    return False
                self._look_whole(view)
                self._runs.save_cursor(run.run_id, f"{COMPARING}{entity} {view.record.entity_id}")
            after = ids[-1]
            self._runs.save_cursor(run.run_id, f"{COMPARING}{entity} {after}")
        return True

    def _suspects(self, entity: EntityType, ids: Sequence[str]) -> Iterator[RecordView]:
        """Give those that the list does not show, or shows otherwise, in the order of their ids."""
        views = self._records.views(entity, ids)
        snapshot_id = self._snapshot_of(entity)
        zoho_ids = [view.zoho_id for view in views.values() if view.zoho_id is not None]
        if entity is EntityType.INVOICE:
            invoices = {
                row.zoho_id: row for row in self._snapshots.invoices(snapshot_id, zoho_ids=zoho_ids)
            }
            rows = self._invoices_here(ids)
            customers = self._customers_of(rows)
            for id_ in ids:
                view = views[id_]
                invoice = invoices.get(view.zoho_id or "")
                if (
                    invoice is None
                    or _invoice_differs(view, invoice, customers.get(id_))
                    or _is_void_there_only(rows.get(id_), invoice)
                ):
                    yield view
            return
        subscriptions = {
            row.zoho_id: row
            for row in self._snapshots.subscriptions(snapshot_id, zoho_ids=zoho_ids)
        }
        services = {
            row.id: row
            for row in self._source.rows_after(entity, None, len(ids), Only(ids=tuple(ids)))
            if isinstance(row, Service)
        }
        for id_ in ids:
            view, service = views[id_], services.get(id_)
            subscription = subscriptions.get(view.zoho_id or "")
            if subscription is None or (
                service is not None and self._subscription_differs(service, view, subscription)
            ):
                yield view

    def _invoices_here(self, ids: Sequence[str]) -> dict[str, Invoice]:
        rows = self._source.rows_after(EntityType.INVOICE, None, len(ids), Only(ids=tuple(ids)))
        return {row.id: row for row in rows if isinstance(row, Invoice)}

    def _customers_of(self, rows: Mapping[str, Invoice]) -> dict[str, str | None]:
        """Give whose each invoice should be in Zoho, by the invoice."""
        customer_ids = sorted({row.customer_id for row in rows.values()})
        views = self._records.views(EntityType.CUSTOMER, customer_ids)
        return {
            id_: views[row.customer_id].zoho_id
            for id_, row in rows.items()
            if row.customer_id in views
        }

    def _subscription_differs(
        self, service: Service, view: RecordView, row: RemoteSubscription
    ) -> bool:
        if word_of(service.status) not in BILLED:
            # Ended here: what a list shows of the ending is Zoho's to carry out.
            return False
        is_other_plan = row.plan_code not in ("", view.facts.get("plan_code", row.plan_code))
        ours = gross_price(service, self._money.rules())
        is_other_price = row.amount is not None and row.amount != ours
        is_other_reference = row.reference_id not in ("", service.id)
        return row.status in ENDED or is_other_plan or is_other_price or is_other_reference

    def _look_whole(self, view: RecordView) -> None:
        """Read a record by its id: gone, out of step, or right after all."""
        assert view.zoho_id is not None  # noqa: S101 - only what is in Zoho is compared
        record = view.record
        rules = self._rules[record.entity]
        try:
            remote = rules.get(view.zoho_id)
        except GoneInZoho:
            self._verification.gone(record)
            return
        if record.entity is EntityType.INVOICE:
            self._invoice_rows.add(remote.body)
        else:
            self._subscription_rows.add(remote.body)
        source = rules.read(record.entity_id)
        if (
            source is not None
            and source.skip is None
            and source.refused is None
            and source.fingerprint == view.confirmed_fingerprint
            and not isinstance(rules.next_step(source, remote), Done)
        ):
            self._verification.doubt(record)
            return
        self._verification.refresh_facts(record, rules.facts(remote, view.facts))

    def _snapshot_of(self, entity: EntityType) -> int:
        snapshot = self._snapshots.latest(entity, complete=True)
        assert snapshot is not None  # noqa: S101 - the walk has just completed it
        return snapshot.snapshot_id

    # ------------------------------------------------------------------------------- findings

    def _books(self, run: Run) -> BothSides:
        """Compare the books; what differs by the lists, which lag, is read by id first."""
        books = self._compare_books(run.only)
        snapshot_id = self._snapshot_of(EntityType.CUSTOMER)
        differing = books.control_total.customers_that_differ[:AT_ONCE]
        for name in differing:
            customer_id = self._source.customer_id_of(name)
            view = customer_id and self._records.view(RecordKey(EntityType.CUSTOMER, customer_id))
            if not view or view.zoho_id is None:
                continue
            try:
                found = self._api.get_customer(view.zoho_id)
            except GoneInZoho:
                continue
            self._take_snapshot.add(snapshot_id, found)
        seem_open = [
            each.record for each in books.discrepancies if each.code is Code.PAID_HERE_OPEN_THERE
        ][:AT_ONCE]
        for view in self._records.views(EntityType.INVOICE, seem_open).values():
            if view.zoho_id is None:
                continue
            try:
                remote = self._rules[EntityType.INVOICE].get(view.zoho_id)
            except GoneInZoho:
                continue
            self._invoice_rows.add(remote.body)
        return self._compare_books(run.only) if differing or seem_open else books

    def _findings(self, run: Run) -> Iterator[Finding]:
        books = self._books(run)
        yield from findings_of(books.discrepancies, currency=self._organisations.currency())
        if strays := self._verification.stray_duplicates():
            yield Finding(
                code="duplicate",
                severity=Severity.RED,
                sentence="A worker that was lost was answered with an id that is no record's.",
                what_to_do="Look at these ids in Zoho; delete what stands there twice.",
                count=len(strays),
                records=strays[:RECORDS_IN_A_FINDING],
            )
        snapshot_id = self._snapshot_of(EntityType.CUSTOMER)
        if unknown := self._verification.unknown_accounts(snapshot_id):
            yield Finding(
                code="unknown_accounts_in_zoho",
                severity=Severity.NOTE,
                sentence="Customers in Zoho bear an account number that nobody here has.",
                what_to_do="Nothing is done with them; look whether they were deleted here.",
                count=len(unknown),
                records=unknown[:RECORDS_IN_A_FINDING],
            )
        yield from _debtors_differ(run, books)


def _debtors_differ(run: Run, books: BothSides) -> Iterator[Finding]:
    total = books.control_total
    if not total.customers_that_differ:
        return
    is_whole = {Phase.INVOICES, Phase.PAYMENTS} <= set(run.phases) and run.only == Only()
    yield Finding(
        code="debtors_differ",
        severity=Severity.WARNING if is_whole else Severity.NOTE,
        sentence=f"Customers owe {figure(total.owed_here)} by our books and"
        f" {figure(total.owed_there)} by Zoho's, and have {figure(total.credit_here)} and"
        f" {figure(total.credit_there)} as credit.",
        what_to_do="Look at each customer's statement on both sides, the largest difference first."
        if is_whole
        else "Not all invoices and payments are carried by this run; compare after one of all.",
        count=len(total.customers_that_differ),
        records=total.customers_that_differ[:RECORDS_IN_A_FINDING],
    )


def _invoice_differs(view: RecordView, row: RemoteInvoice, customer_zoho_id: str | None) -> bool:
    """Hold a row against what Zoho showed when the record was confirmed."""
    if customer_zoho_id and row.customer_id and customer_zoho_id != row.customer_id:
        return True
    number, total = view.facts.get("number"), view.facts.get("total")
    if number and row.number and number != row.number:
        return True
    totals = row.total_before_credits()
    return bool(total and totals) and Decimal(str(total)) not in totals


def _is_void_there_only(ours: Invoice | None, row: RemoteInvoice) -> bool:
    return ours is not None and row.status == VOID and word_of(ours.status) not in WITHDRAWN
