"""What preflight asks before a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from billing_sync.domain.remote import (
    CustomerPage,
    Organisation,
    RemoteInvoice,
    RemotePayment,
    RemotePlan,
    RemoteProduct,
    RemoteSubscription,
    Tax,
)
from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import BackfillInput, Finding, Only, Phase
from billing_sync.ports.runs import Run, RunCalls
from billing_sync.ports.source import SnapshotView
from billing_sync.ports.zoho import Page


@dataclass(frozen=True, slots=True)
class TablesReport:
    """Our own tables as the functions' role finds them, and those that it cannot work with."""

    findings: tuple[Finding, ...]
    unusable: frozenset[str]


@dataclass(frozen=True, slots=True)
class SourceReport:
    """The views as the functions' role finds them, and how many rows each that can be read has."""

    findings: tuple[Finding, ...]
    rows: Mapping[str, int]
    taxed: Mapping[str, int] = field(default_factory=dict)
    """By view: how many prices hold tax, and how many invoices carry some."""
    paid_by: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Completed payments by provider and method, as they are written; empty where NULL."""


class SourceCheck(Protocol):
    """What PostgreSQL shows to the functions' role, judged; every probe is rolled back."""

    def reach(self) -> list[Finding]:
        """Connect; a finding that blocks says that nothing else can be asked."""

    def own_tables(self) -> TablesReport:
        """Compare revision and rights with what the code needs."""

    def sync_log(self) -> list[Finding]:
        """Write a row of every kind into the sync log."""

    def source(self, phases: Sequence[Phase]) -> SourceReport:
        """Judge the views: columns, types, keys, counts, and the words of states and types.

        What is wrong in the *rows* of a view that none of the phases carries is a warning.
        """

    def status_columns(self, phases: Sequence[Phase]) -> list[Finding]:
        """Write each status once into a row of each view; warnings where no phase carries it."""

    def impossible(self, only: Only, phases: Sequence[Phase]) -> str | None:
        """Name the restriction that this source can never meet: an id that is none, say."""


class RunLock(Protocol):
    """One run at a time: the part of `Runs` by which a run begins."""

    def spent(self) -> RunCalls:
        """Give what all runs have cost together, by the governor's and the token's counters."""

    def begin(
        self,
        run_id: str,
        execution_arn: str,
        asked: BackfillInput,
        *,
        before: RunCalls | None = None,
    ) -> Run:
        """Begin the run, or give the one that holds the lock (its id tells which).

        `before` is what had been spent when the run's preflight began.
        """

    def take_over(self, former_run_id: str) -> None:
        """End a run whose execution does not run any more."""

    def latest(self) -> Run | None:
        """Read the newest run."""

    def put_findings(self, run_id: str, source: str, findings: Sequence[Finding]) -> None:
        """Replace the findings of one source; each code may occur once."""


class OrganisationFacts(Protocol):
    """What preflight learns of Zoho's organisation, and what a person had to look up there."""

    def learn(
        self,
        name: str,
        currency_code: str,
        time_zone: str,
        *,
        price_precision: int = 2,
        taxes: Sequence[Tax] = (),
    ) -> None:
        """Store what Zoho says of the organisation."""

    def calendar(self) -> date | None:
        """Give the day that was set for it, None where the real one counts."""

    def confirmed(self) -> Mapping[str, tuple[str, datetime]]:
        """Give what was confirmed: by whom, and when."""


class OrganisationReads(Protocol):
    """The reads of `BillingApi` by which preflight tries token, scopes and organisation."""

    def organisations(self) -> list[Organisation]:
        """List the organisations that the token may see."""

    def list_customers(self, page: int) -> CustomerPage:
        """Read one page of customers."""

    def taxes(self) -> list[Tax]:
        """List the organisation's taxes."""

    def list_products(self, page: int) -> Page[RemoteProduct]:
        """Read one page of products."""

    def get_plan(self, code: str) -> RemotePlan:
        """Read one plan; a code that is none is answered so, if plans may be read at all."""

    def list_subscriptions(self, page: int) -> Page[RemoteSubscription]:
        """Read one page of subscriptions."""

    def list_invoices(self, page: int) -> Page[RemoteInvoice]:
        """Read one page of invoices."""

    def get_payment(self, zoho_id: str) -> RemotePayment:
        """Read one payment; an id that is none is answered so, if payments may be read at all."""


class SnapshotCounts(Protocol):
    """The part of `Snapshots` that says how many customers Zoho held."""

    def latest(self, entity: EntityType, *, complete: bool) -> SnapshotView | None:
        """Give the newest complete snapshot."""

    def count(self, snapshot_id: int) -> int:
        """Count its customers."""
