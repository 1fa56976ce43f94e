"""What preflight needs of the world, in memory: each part says what a test told it to say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NoReturn, override

from billing_sync.domain.errors import GoneInZoho
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
from billing_sync.ports import (
    Executions,
    OrganisationFacts,
    OrganisationReads,
    Page,
    Run,
    RunCalls,
    RunFiles,
    RunLock,
    SnapshotCounts,
    SnapshotView,
    SourceCheck,
    SourceReport,
    TablesReport,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SOUTH_AFRICA = (
    Tax(tax_id="201", name="Standard Rate", percentage=Decimal(15)),
    Tax(tax_id="203", name="Zero Rate", percentage=Decimal(0)),
    Tax(tax_id="205", name="Exempt", percentage=Decimal(0)),
)
IN_ORDER = TablesReport(findings=(), unusable=frozenset())


@dataclass
class FakeSourceCheck(SourceCheck):
    """A database in order, until told otherwise. `asked` names the checks that were made."""

    unreachable: Finding | None = None
    tables: TablesReport = IN_ORDER
    log_findings: list[Finding] = field(default_factory=list)
    source_findings: tuple[Finding, ...] = ()
    rows: dict[str, int] = field(default_factory=lambda: {"customers": 15})
    taxed: dict[str, int] = field(default_factory=dict)
    paid_by: dict[tuple[str, str], int] = field(default_factory=dict)
    status_findings: list[Finding] = field(default_factory=list)
    impossible_field: str | None = None
    asked: list[str] = field(default_factory=list)

    def reach(self) -> list[Finding]:
        self.asked.append("reach")
        return [] if self.unreachable is None else [self.unreachable]

    def own_tables(self) -> TablesReport:
        self.asked.append("own_tables")
        return self.tables

    def sync_log(self) -> list[Finding]:
        self.asked.append("sync_log")
        return self.log_findings

    @override
    def source(self, phases: Sequence[Phase]) -> SourceReport:
        self.asked.append("source")
        return SourceReport(self.source_findings, self.rows, self.taxed, self.paid_by)

    @override
    def status_columns(self, phases: Sequence[Phase]) -> list[Finding]:
        self.asked.append("status_columns")
        return self.status_findings

    @override
    def impossible(self, only: Only, phases: Sequence[Phase]) -> str | None:
        return self.impossible_field


class FakeRunLock(RunLock):
    """One run at a time, as the real lock has it."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.taken_over: list[str] = []
        self.kept: dict[str, list[Finding]] = {}
        self.before: RunCalls | None = None

    def spent(self) -> RunCalls:
        return RunCalls(0, 0, 0)

    def begin(
        self,
        run_id: str,
        execution_arn: str,
        asked: BackfillInput,
        *,
        before: RunCalls | None = None,
    ) -> Run:
        self.before = before
        if run_id not in self.runs:
            holder = next((run for run in self.runs.values() if run.ended_at is None), None)
            if holder is not None:
                return holder
            self.runs[run_id] = _run(run_id, execution_arn, asked)
        return self.runs[run_id]

    def take_over(self, former_run_id: str) -> None:
        self.taken_over.append(former_run_id)
        self.end(former_run_id)

    def latest(self) -> Run | None:
        return list(self.runs.values())[-1] if self.runs else None

    @override
    def put_findings(self, run_id: str, source: str, findings: Sequence[Finding]) -> None:
        codes = [finding.code for finding in findings]
        assert len(codes) == len(set(codes)), "a run keeps one finding of each code"
        self.kept[run_id] = list(findings)

    def end(self, run_id: str) -> None:
        self.runs[run_id] = replace(self.runs[run_id], ended_at=NOW)


def _run(run_id: str, execution_arn: str, asked: BackfillInput) -> Run:
    return Run(
        run_id=run_id,
        execution_arn=execution_arn,
        mode=asked.mode,
        phases=asked.phases,
        only=asked.only,
        step="preflight",
        cursor=None,
        loops=0,
        stop_requested=False,
        stop_requested_by=None,
        ended_early=None,
        waiting_until=None,
        waiting_reason=None,
        waited_seconds=0.0,
        cooldowns=0,
        started_at=NOW,
        ended_at=None,
        work_off_seconds_left=None,
        colour=None,
    )


class FakeExecutions(Executions):
    """Executions by ARN: those in `running` run; `failure` is raised instead, while it is set."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.failure: Exception | None = None

    def is_running(self, execution_arn: str) -> bool:
        if self.failure is not None:
            raise self.failure
        return execution_arn in self.running


class FakeOrganisationFacts(OrganisationFacts):
    def __init__(self, *confirmed: str) -> None:
        self.confirmed_items = set(confirmed)
        self.confirmed_since: dict[str, tuple[str, datetime]] = {}
        self.learnt: list[tuple[str, str, str]] = []
        self.money: tuple[int, tuple[Tax, ...]] | None = None
        self.day: date | None = None

    @override
    def learn(
        self,
        name: str,
        currency_code: str,
        time_zone: str,
        *,
        price_precision: int = 2,
        taxes: Sequence[Tax] = (),
    ) -> None:
        self.learnt.append((name, currency_code, time_zone))
        self.money = (price_precision, tuple(taxes))

    def calendar(self) -> date | None:
        return self.day

    def confirmed(self) -> Mapping[str, tuple[str, datetime]]:
        return dict.fromkeys(self.confirmed_items, ("Thandi", NOW)) | self.confirmed_since


class FakeOrganisationReads(OrganisationReads):
    """Gives what it was told; raises what is listed to fail, each once."""

    def __init__(self, *visible: Organisation) -> None:
        self.visible = list(visible)
        self.page = CustomerPage(rows=(), has_more=False)
        self.organisations_fail: list[Exception] = []
        self.customers_fail: list[Exception] = []
        self.found_taxes = list(SOUTH_AFRICA)
        self.module_failures: dict[str, Exception] = {}
        self.calls: list[str] = []

    def organisations(self) -> list[Organisation]:
        self.calls.append("organisations")
        if self.organisations_fail:
            raise self.organisations_fail.pop(0)
        return self.visible

    def list_customers(self, page: int) -> CustomerPage:
        self.calls.append(f"customers page {page}")
        if self.customers_fail:
            raise self.customers_fail.pop(0)
        return self.page

    def taxes(self) -> list[Tax]:
        self._asked("taxes")
        return self.found_taxes

    @override
    def list_products(self, page: int) -> Page[RemoteProduct]:
        self._asked("products")
        return Page((), has_more=False)

    @override
    def get_plan(self, code: str) -> RemotePlan:
        self._asked("plans")
        self._not_there()

    @override
    def list_subscriptions(self, page: int) -> Page[RemoteSubscription]:
        self._asked("subscriptions")
        return Page((), has_more=False)

    @override
    def list_invoices(self, page: int) -> Page[RemoteInvoice]:
        self._asked("invoices")
        return Page((), has_more=False)

    @override
    def get_payment(self, zoho_id: str) -> RemotePayment:
        self._asked("payments")
        self._not_there()

    def _asked(self, module: str) -> None:
        self.calls.append(module)
        if module in self.module_failures:
            raise self.module_failures[module]

    def _not_there(self) -> NoReturn:
        raise GoneInZoho("Zoho does not know this id any more.")


class FakeSnapshotCounts(SnapshotCounts):
    def __init__(self) -> None:
        self.customers: int | None = None

    @override
    def latest(self, entity: EntityType, *, complete: bool) -> SnapshotView | None:
        if self.customers is None:
            return None
        return SnapshotView(
            snapshot_id=1,
            next_page=2,
            pages_complete=True,
            complete=True,
            age_seconds=0.0,
            calls=1,
            started_at=NOW,
        )

    @override
    def count(self, snapshot_id: int) -> int:
        assert self.customers is not None
        return self.customers


class FakeRunFiles(RunFiles):
    """Files in memory; `failure` is raised by the probe, while it is set."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.failure: Exception | None = None

    @override
    def write(self, key: str, chunks: Iterator[bytes], content_type: str) -> None:
        self.files[key] = b"".join(chunks)

    def probe(self) -> None:
        if self.failure is not None:
            raise self.failure
