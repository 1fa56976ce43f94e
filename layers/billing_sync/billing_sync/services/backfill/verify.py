"""The step `Verify`: walk over Zoho once more and hold both sides against each other."""

from collections.abc import Iterator
from typing import Final

from billing_sync.domain.comparing import same_name
from billing_sync.domain.display_names import DisplayNames
from billing_sync.domain.errors import GoneInZoho, NotNow, Unavailable
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.steps import Finding, Next, Only, Severity, StepAnswer, StepEvent
from billing_sync.ports import (
    BillingApi,
    Organisations,
    RecordKey,
    Runs,
    Snapshots,
    Source,
    SyncRecords,
    Verification,
)
from billing_sync.services.backfill.loop import SPARE_SECONDS, Loop, TimeLeft
from billing_sync.services.backfill.plan import ROWS_AT_ONCE
from billing_sync.services.backfill.snapshot import WALKING, ZOHO_IS_AWAY_SECONDS, walk
from billing_sync.services.customers import read_source
from billing_sync.services.take_snapshot import TakeSnapshot

AT_MOST_NAMED: Final = 50


class Verify:
    """Compare what is in step by our own records with what Zoho's lists say now.

    A list lags behind: whatever it seems to miss, or to show differently, is read by its id before
    anything is concluded.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the step that looks at both sides
        self,
        runs: Runs,
        loop: Loop,
        take_snapshot: TakeSnapshot,
        snapshots: Snapshots,
        source: Source,
        records: SyncRecords,
        verification: Verification,
        api: BillingApi,
        organisations: Organisations,
        names: DisplayNames,
        *,
        account_label: str,
    ) -> None:
        """Keep the ports."""
        self._runs = runs
        self._loop = loop
        self._take_snapshot = take_snapshot
        self._snapshots = snapshots
        self._source = source
        self._records = records
        self._verification = verification
        self._api = api
        self._organisations = organisations
        self._names = names
        self._account_label = account_label

    def __call__(self, event: StepEvent, time_left: TimeLeft) -> StepAnswer:
        """Walk, then compare; `done` with findings for the report."""
        run, ended = self._loop.enter(event.run_id, "verify")
        if ended is not None:
            return ended
        if run.cursor is None:
            self._take_snapshot.begin()
            self._runs.save_cursor(run.run_id, WALKING)
        if run.cursor in (None, WALKING):
            answer = walk(
                self._take_snapshot,
                self._runs,
                self._loop,
                run.run_id,
                time_left,
                trust_details=True,
            )
            if answer.next is not Next.DONE:
                return answer
            self._runs.save_cursor(run.run_id, "comparing")
        snapshot = self._snapshots.latest(EntityType.CUSTOMER, complete=True)
        assert snapshot is not None  # noqa: S101 - the walk has just completed it
        try:
            if not self._compare(snapshot.snapshot_id, run.only, time_left):
                return StepAnswer(next=Next.AGAIN)
        except NotNow as refusal:
            return self._loop.wait(run.run_id, refusal)
        except Unavailable as failure:
            return self._loop.wait_for(
                run.run_id,
                self._loop.scaled(ZOHO_IS_AWAY_SECONDS),
                reason="unavailable",
                why=failure.sentence,
            )
        findings = list(self._findings(snapshot.snapshot_id))
        self._runs.put_findings(run.run_id, "verify", findings)
        return StepAnswer(
            next=Next.DONE,
            counts={
                **self._take_snapshot.counts(),
                "findings": len(findings),
            },
        )

    def _compare(self, snapshot_id: int, only: Only, time_left: TimeLeft) -> bool:
        """Mark what is gone and what differs; False when the time is short.

        Each mark takes its record out of what is looked at, so a later call goes on.
        """
        while missing := self._verification.not_in_snapshot(snapshot_id, AT_MOST_NAMED):
            for record, zoho_id in missing:
                if time_left() < SPARE_SECONDS:
                    return False
                self._look_again(snapshot_id, record, zoho_id)
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
                    default_currency=self._organisations.currency(),
                )
                name, currency = shown[view.zoho_id]
                if (
                    ours.figures
                    and ours.fingerprint == view.confirmed_fingerprint
                    and (
                        same_name(name) != same_name(ours.figures["display_name"])
                        or (currency is not None and currency != ours.figures["currency_code"])
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

    def _findings(self, snapshot_id: int) -> Iterator[Finding]:
        duplicates = self._verification.duplicates(snapshot_id)
        if duplicates:
            yield Finding(
                code="duplicates_in_zoho",
                severity=Severity.RED,
                sentence="Several customers in Zoho bear one account number.",
                what_to_do="Merge them in Zoho, then link the one that stays.",
                count=len(duplicates),
                records=tuple(sorted(duplicates))[:AT_MOST_NAMED],
            )
        if strays := self._verification.stray_duplicates():
            yield Finding(
                code="duplicate",
                severity=Severity.RED,
                sentence="A worker that was lost was answered with an id that is no record's.",
                what_to_do="Look at these ids in Zoho; delete what stands there twice.",
                count=len(strays),
                records=strays[:AT_MOST_NAMED],
            )
        if unknown := self._verification.unknown_accounts(snapshot_id):
            yield Finding(
                code="unknown_accounts_in_zoho",
                severity=Severity.NOTE,
                sentence="Customers in Zoho bear an account number that nobody here has.",
                what_to_do="Nothing is done with them; look whether they were deleted here.",
                count=len(unknown),
                records=unknown[:AT_MOST_NAMED],
            )
        debtors = self._verification.debtors(snapshot_id)
        if debtors.local != debtors.zoho:
            yield Finding(
                code="debtors_differ",
                severity=Severity.WARNING,
                sentence=f"Our books are owed {debtors.local}, Zoho's {debtors.zoho}.",
                what_to_do="Invoices and payments are not carried by this run; compare after"
                " theirs.",
                count=len(debtors.customers_that_differ),
                records=debtors.customers_that_differ[:AT_MOST_NAMED],
            )
