"""What the services need of the world, as Protocols of a few methods each; every one has a fake.

Times are aware datetimes of the database's clock unless a docstring says otherwise; waits are real
seconds (already divided by TimeScale).
"""

from billing_sync.ports.clock import Clock
from billing_sync.ports.governor import Permit, Priority, Quota, QuotaView
from billing_sync.ports.operations import Confirmations, Operations
from billing_sync.ports.preflight import (
    OrganisationFacts,
    OrganisationReads,
    RunLock,
    SnapshotCounts,
    SourceCheck,
    SourceReport,
    TablesReport,
)
from billing_sync.ports.records import (
    Claim,
    Intent,
    LogEntry,
    NotClaimed,
    RecordKey,
    RecordView,
    Settlement,
    StatusColumns,
    SyncRecords,
    Write,
)
from billing_sync.ports.runs import (
    CanaryState,
    Executions,
    Planned,
    PlanRow,
    Run,
    RunCalls,
    RunFiles,
    Runs,
)
from billing_sync.ports.source import SnapshotCustomer, Snapshots, SnapshotView, Source
from billing_sync.ports.token import (
    AccessToken,
    MintedToken,
    MintLease,
    MintRefusal,
    TokenMint,
    TokenRecord,
    Tokens,
    TokenState,
    TokenStore,
)
from billing_sync.ports.verification import Owed, RedGroup, RunFigures, Verification
from billing_sync.ports.zoho import BillingApi, Organisations, Page

__all__ = [
    "AccessToken",
    "BillingApi",
    "CanaryState",
    "Claim",
    "Clock",
    "Confirmations",
    "Executions",
    "Intent",
    "LogEntry",
    "MintLease",
    "MintRefusal",
    "MintedToken",
    "NotClaimed",
    "Operations",
    "OrganisationFacts",
    "OrganisationReads",
    "Organisations",
    "Owed",
    "Page",
    "Permit",
    "PlanRow",
    "Planned",
    "Priority",
    "Quota",
    "QuotaView",
    "RecordKey",
    "RecordView",
    "RedGroup",
    "Run",
    "RunCalls",
    "RunFigures",
    "RunFiles",
    "RunLock",
    "Runs",
    "Settlement",
    "SnapshotCounts",
    "SnapshotCustomer",
    "SnapshotView",
    "Snapshots",
    "Source",
    "SourceCheck",
    "SourceReport",
    "StatusColumns",
    "SyncRecords",
    "TablesReport",
    "TokenMint",
    "TokenRecord",
    "TokenState",
    "TokenStore",
    "Tokens",
    "Verification",
    "Write",
]
