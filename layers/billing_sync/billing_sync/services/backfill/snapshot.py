"""The step `Snapshot`: bring what Zoho holds into our tables, page by page."""

from collections.abc import Callable
from typing import Final

from billing_sync.domain.errors import Misconfigured, NotNow, Unavailable
from billing_sync.domain.remote import RemoteInvoice, RemoteSubscription
from billing_sync.domain.steps import Next, Phase, StepAnswer, StepEvent
from billing_sync.ports import Run, Runs
from billing_sync.services.backfill.loop import SPARE_SECONDS, Loop, TimeLeft
from billing_sync.services.take_rows import TakeRows
from billing_sync.services.take_snapshot import TakeSnapshot

WALKING: Final = "walking "
"""The beginning of the cursor while Zoho's lists are walked; the list's name follows."""

ZOHO_IS_AWAY_SECONDS: Final = 60.0

CUSTOMERS: Final = "customers"
SUBSCRIPTIONS: Final = "subscriptions"
INVOICES: Final = "invoices"


class WalkLists:
    """Walk Zoho's lists one after the other, as far as time and quota go: for two of the steps.

    Customers always: of everything else they are the parents, and their rows hold what is owed.
    Subscriptions and invoices where the run goes beyond customers: payments need the invoices,
    which need the subscriptions.
    """

    def __init__(
        self,
        runs: Runs,
        loop: Loop,
        take_snapshot: TakeSnapshot,
        subscription_rows: TakeRows[RemoteSubscription],
        invoice_rows: TakeRows[RemoteInvoice],
    ) -> None:
        """Keep the ports."""
        self._runs = runs
        self._loop = loop
        self._take_snapshot = take_snapshot
        self._subscription_rows = subscription_rows
        self._invoice_rows = invoice_rows

    def __call__(self, run: Run, time_left: TimeLeft, *, trust_details: bool) -> StepAnswer:
        """Walk on; `done` when every list is complete.

        A list is begun anew when its turn comes, and resumed where the last loop left it. With
        `trust_details` what a customer's own page said is not read again.
        """
        lists = lists_of(run)
        cursor = run.cursor or ""
        under_way = cursor.removeprefix(WALKING) if cursor.startswith(WALKING) else None
        for name in lists[0 if under_way is None else lists.index(under_way) :]:
            if name != under_way:
                self._taker(name).begin()
                self._runs.save_cursor(run.run_id, f"{WALKING}{name}")
            answer = self._walk(run.run_id, name, time_left, trust_details=trust_details)
            if answer is not None:
                return answer
        return StepAnswer(next=Next.DONE, counts=self.counts(run))

    def counts(self, run: Run) -> dict[str, int]:
        """Say what the lists hold, and what walking them cost."""
        counts: dict[str, int] = {}
        calls = 0
        for name in lists_of(run):
            found = self._taker(name).counts()
            calls += found.pop("calls", 0)
            counts |= found
        return counts | {"calls": calls}

    def _taker(
        self, name: str
    ) -> TakeSnapshot | TakeRows[RemoteSubscription] | TakeRows[RemoteInvoice]:
        if name == CUSTOMERS:
            return self._take_snapshot
        return self._subscription_rows if name == SUBSCRIPTIONS else self._invoice_rows

    def _walk(
        self, run_id: str, name: str, time_left: TimeLeft, *, trust_details: bool
    ) -> StepAnswer | None:
        """Walk one list; None when it is complete."""

        def may_go_on() -> bool:
            return time_left() > SPARE_SECONDS and not self._runs.must_stop(run_id)

        try:
            complete = self._advance(name, may_go_on, trust_details=trust_details)
        except NotNow as refusal:
            return self._loop.wait(run_id, refusal)
        except Unavailable as failure:
            return away(self._loop, run_id, failure)
        except Misconfigured as failure:
            self._runs.end_early(run_id, failure.sentence)
            return self._loop.end(run_id)
        if complete:
            return None
        if self._runs.must_stop(run_id):
            return self._loop.end(run_id)
        return StepAnswer(next=Next.AGAIN, counts=self._taker(name).counts())

    def _advance(self, name: str, may_go_on: Callable[[], bool], *, trust_details: bool) -> bool:
        if name == CUSTOMERS:
            return self._take_snapshot.advance(may_go_on, trust_details=trust_details)
        if name == SUBSCRIPTIONS:
            return self._subscription_rows.advance(may_go_on)
        return self._invoice_rows.advance(may_go_on)


class SnapshotStep:
    """Take a fresh snapshot for this run: what finance mended in Zoho must be seen."""

    def __init__(self, runs: Runs, loop: Loop, walk_lists: WalkLists) -> None:
        """Keep the ports."""
        self._runs = runs
        self._loop = loop
        self._walk_lists = walk_lists

    def __call__(self, event: StepEvent, time_left: TimeLeft) -> StepAnswer:
        """Walk on; `done` when the snapshot is complete."""
        run, ended = self._loop.enter(event.run_id, "snapshot")
        if ended is not None:
            return ended
        return self._walk_lists(run, time_left, trust_details=False)


def lists_of(run: Run) -> tuple[str, ...]:
    """Name the lists that a run needs."""
    return (
        (CUSTOMERS,) if run.phases == (Phase.CUSTOMERS,) else (CUSTOMERS, SUBSCRIPTIONS, INVOICES)
    )


def away(loop: Loop, run_id: str, failure: Unavailable) -> StepAnswer:
    """Wait for a Zoho that does not answer."""
    return loop.wait_for(
        run_id,
        loop.scaled(ZOHO_IS_AWAY_SECONDS),
        reason="unavailable",
        why=failure.sentence,
    )
