"""What preflight needs of the world, in memory: each part says what a test told it to say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import override

from billing_sync.domain.remote import CustomerPage, Organisation
from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import BackfillInput, Finding, Only, Phase
from billing_sync.ports import (
    Executions,
    OrganisationFacts,
    OrganisationReads,
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
IN_ORDER = TablesReport(findings=(), unusable=frozenset())


@dataclass
class FakeSourceCheck(SourceCheck):
    """A database in order, until told otherwise. `asked` names the checks that were made."""

    unreachable: Finding | None = None
    tables: TablesReport = IN_ORDER
    log_findings: list[Finding] = field(default_factory=list)
    source_findings: tuple[Finding, ...] = ()
    rows: dict[str, int] = field(default_factory=lambda: {"customers": 15})
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
        return SourceReport(self.source_findings, self.rows)

    @override
    def status_columns(self, phases: Sequence[Phase]) -> list[Finding]:
        self.asked.append("status_columns")
        return self.status_findings

    @override
    def impossible(self, only: Only) -> str | None:
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
        self.learnt: list[tuple[str, str, str]] = []

    def learn(self, name: str, currency_code: str, time_zone: str) -> None:
        self.learnt.append((name, currency_code, time_zone))

    def confirmed(self) -> Mapping[str, tuple[str, datetime]]:
        return dict.fromkeys(self.confirmed_items, ("Thandi", NOW))


class FakeOrganisationReads(OrganisationReads):
    """Gives what it was told; raises what is listed to fail, each once."""

    def __init__(self, *visible: Organisation) -> None:
        self.visible = list(visible)
        self.page = CustomerPage(rows=(), has_more=False)
        self.organisations_fail: list[Exception] = []
        self.customers_fail: list[Exception] = []
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
