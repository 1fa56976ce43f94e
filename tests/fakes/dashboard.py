"""A dashboard's world in memory: how a middling bad day looks."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from billing_sync.adapters.html import JinjaPage
from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.steps import Mode, Only, Phase
from billing_sync.ports import (
    CauseGroup,
    DashboardTables,
    OrganisationNow,
    Quota,
    QuotaView,
    Run,
    Runs,
    StateCount,
    Verification,
)
from billing_sync.services.dashboard import Dashboard

NOW = datetime(2026, 11, 22, 20, 15, 3, tzinfo=UTC)
OPERATE = "arn:aws:lambda:af-south-1:000000000000:function:billing-sync-operate"

ORGANISATION = OrganisationNow(
    name="Circle ISP (Test)",
    currency="ZAR",
    live_from=NOW - timedelta(days=9),
    paused_at=None,
    paused_by=None,
    paused_reason=None,
)

TAKEN = CauseGroup(
    entity=EntityType.INVOICE,
    state=State.FAILED,
    code="already_paid",
    accepted=False,
    count=14,
    amount=Decimal("9646.00"),
    sentence="In Zoho its invoice is paid already.",
    alike=False,
    ids=tuple(str(number) for number in range(40211, 40221)),
    reason=None,
)

CAUSES = (
    replace(
        TAKEN,
        code="totals_differ",
        sentence="Its lines come to 688.99 and its total is 689.00.",
    ),
    CauseGroup(
        entity=EntityType.CUSTOMER,
        state=State.AMBIGUOUS,
        code="plausible",
        accepted=False,
        count=3,
        amount=None,
        sentence="Found 1 in Zoho without account number, with the same e-mail and name:"
        " a person must say whether it is the same.",
        alike=True,
        ids=("CT-2025-00009", "CT-2025-00031", "CT-2026-00114"),
        reason=None,
    ),
    CauseGroup(
        entity=EntityType.PAYMENT,
        state=State.FAILED,
        code="payment_method_unmapped",
        accepted=False,
        count=2,
        amount=Decimal("1398.00"),
        sentence="No payment way is configured for payshap.",
        alike=True,
        ids=("70012", "70344"),
        reason=None,
    ),
    CauseGroup(
        entity=EntityType.SUBSCRIPTION,
        state=State.IN_DOUBT,
        code="outcome_unknown",
        accepted=False,
        count=1,
        amount=Decimal("899.00"),
        sentence="Zoho gave no readable answer to a write: a look into Zoho settles it.",
        alike=True,
        ids=("2207",),
        reason=None,
    ),
    CauseGroup(
        entity=EntityType.INVOICE,
        state=State.FAILED,
        code="credit_note_needed",
        accepted=True,
        count=2,
        amount=Decimal("-340.00"),
        sentence="Negative amounts are not carried to Zoho yet.",
        alike=True,
        ids=("39871", "39902"),
        reason="Credit notes raised in Zoho by hand on 18 November.",
    ),
)

_COUNTS: dict[EntityType, dict[State, int]] = {
    EntityType.CUSTOMER: {State.SYNCED: 2389, State.AMBIGUOUS: 3, State.SKIPPED: 12},
    EntityType.PRODUCT: {State.SYNCED: 4},
    EntityType.PLAN: {State.SYNCED: 31},
    EntityType.SUBSCRIPTION: {
        State.SYNCED: 2217,
        State.BLOCKED: 3,
        State.IN_DOUBT: 1,
        State.SKIPPED: 140,
    },
    EntityType.INVOICE: {
        State.PENDING: 5310,
        State.SYNCED: 9120,
        State.RETRYING: 6,
        State.WAITING: 41,
        State.FAILED: 14,
        State.SKIPPED: 87,
    },
    EntityType.PAYMENT: {State.PENDING: 13120, State.SYNCED: 18, State.FAILED: 2},
}

TABLES = DashboardTables(
    now=NOW,
    organisation=ORGANISATION,
    states=(
        *(
            StateCount(entity, state, False, count)
            for entity, counts in _COUNTS.items()
            for state, count in counts.items()
        ),
        StateCount(EntityType.INVOICE, State.FAILED, True, 2),
    ),
    causes=CAUSES,
)

IN_STEP = DashboardTables(
    now=NOW,
    organisation=ORGANISATION,
    states=(
        StateCount(EntityType.CUSTOMER, State.SYNCED, False, 13),
        StateCount(EntityType.CUSTOMER, State.SKIPPED, False, 2),
    ),
    causes=(),
)

RUN = Run(
    run_id="all-apply-2026-11-22T06-02-11Z-ab12",
    execution_arn="arn:aws:states:af-south-1:000000000000:execution:backfill:"
    "all-apply-2026-11-22T06-02-11Z-ab12",
    mode=Mode.APPLY,
    phases=tuple(Phase),
    only=Only(),
    step="sync_batch invoices",
    cursor=None,
    loops=61,
    stop_requested=False,
    stop_requested_by=None,
    ended_early=None,
    waiting_until=NOW + timedelta(hours=9, minutes=47),
    waiting_reason="day",
    waited_seconds=1830.0,
    cooldowns=22,
    started_at=NOW - timedelta(hours=14),
    ended_at=None,
    work_off_seconds_left=None,
    colour=None,
)

PLAN = {
    "customers": {"create": 2301, "link": 88},
    "subscriptions": {"create": 2220},
    "invoices": {"link": 9000, "create": 5490},
    "payments": {"create": 13140},
}
LEFT = {"customers": 0, "subscriptions": 0, "invoices": 5310, "payments": 13120}

QUOTA = QuotaView(
    limit_per_minute=90,
    configured_per_minute=90,
    taken_in_minute=12,
    in_flight=2,
    in_flight_limit=5,
    taken_today=4998,
    day_cap=5000,
    blocked_until=None,
    paused_until=None,
)

TOKEN = {
    "generation": 14,
    "expires_at": (NOW + timedelta(minutes=41)).isoformat(),
    "cooldown_until": None,
    "recent_attempts": 1,
    "tokens_minted": 14,
}


def dashboard(
    tables: DashboardTables = IN_STEP,
    *,
    run: Run | None = None,
    plan: Mapping[str, Mapping[str, int]] = PLAN,
    left: Mapping[str, int] = LEFT,
    quota: QuotaView | None = QUOTA,
    token: Mapping[str, Any] | None = TOKEN,
) -> Dashboard:
    """Make the service over these figures, with the real page. None: never so much as asked."""

    def view() -> QuotaView:
        if quota is None:
            raise Misconfigured("never configured", code="quota_not_configured")
        return quota

    runs = SimpleNamespace(
        latest=lambda: run,
        plan_counts=lambda _run_id: plan,
        plan_left=lambda _run_id, phase: left.get(phase, 0),
    )
    return Dashboard(
        SimpleNamespace(read=lambda: tables),
        cast("Runs", runs),
        cast("Quota", SimpleNamespace(view=view)),
        cast("Verification", SimpleNamespace(token_facts=lambda: token)),
        _page(),
    )


@cache
def _page() -> JinjaPage:
    """Read the template once, as a warm function does."""
    return JinjaPage(OPERATE)
