"""The step `Plan`: say what would be done with every record, and write nothing to Zoho."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from billing_sync.domain.comparing import field_prints, same_email, same_name, same_phone
from billing_sync.domain.customers import customer_name, match_customer
from billing_sync.domain.display_names import DisplayNames
from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.source import Customer
from billing_sync.domain.states import STATES, EntityType, State
from billing_sync.domain.steps import Finding, Next, Only, Phase, Severity, StepAnswer, StepEvent
from billing_sync.ports import (
    Clock,
    Organisations,
    PlanRow,
    Quota,
    RecordKey,
    RecordView,
    Run,
    RunFiles,
    Runs,
    Snapshots,
    Source,
    SyncRecords,
)
from billing_sync.services.backfill.loop import SPARE_SECONDS, Loop, TimeLeft
from billing_sync.services.customers import found_of, read_source
from billing_sync.services.rules import Found
from billing_sync.services.rules import Source as SourceRow

ROWS_AT_ONCE: Final = 500

CALLS_OF_ACTION: Final = {"create": 1, "update": 1, "link": 2, "compare": 1, "prove": 2}
"""Calls that an action costs; a link is read once and written once."""

VANISHED: Final = "deleted_here"
"""The action for a record without a row: it is not one of the source's rows that `total` counts."""

ROWS_PER_PAGE: Final = 200


class MakePlan:
    """Decide, for every record that the run selects, what would be done now, and why."""

    def __init__(  # noqa: PLR0913, PLR0917 - the step that looks at everything
        self,
        runs: Runs,
        loop: Loop,
        source: Source,
        records: SyncRecords,
        snapshots: Snapshots,
        organisations: Organisations,
        quota: Quota,
        files: RunFiles,
        names: DisplayNames,
        clock: Clock,
        *,
        account_label: str,
    ) -> None:
        """Keep the ports."""
        self._runs = runs
        self._loop = loop
        self._source = source
        self._records = records
        self._snapshots = snapshots
        self._organisations = organisations
        self._quota = quota
        self._files = files
        self._names = names
        self._clock = clock
        self._account_label = account_label

    def __call__(self, event: StepEvent, time_left: TimeLeft) -> StepAnswer:
        """Plan on by primary key, in constant memory; export the plan when it is whole."""
        run, ended = self._loop.enter(event.run_id, "plan")
        if ended is not None:
            return ended
        cursor = run.cursor
        if cursor is None:
            self._runs.clear_plan(run.run_id)
        try:
            currency = self._organisations.currency()
        except Misconfigured as failure:
            self._runs.end_early(run.run_id, failure.sentence)
            return self._loop.end(run.run_id)
        while customers := self._source.customers_after(cursor, ROWS_AT_ONCE, run.only):
            self._runs.add_to_plan(run.run_id, self._plan_customers(customers, currency))
            cursor = customers[-1].id
            self._runs.save_cursor(run.run_id, cursor)
            if self._runs.must_stop(run.run_id):
                return self._loop.end(run.run_id)
            if time_left() < SPARE_SECONDS:
                return StepAnswer(next=Next.AGAIN, counts=_flat(self._runs.plan_counts(run.run_id)))
        if run.only == Only():
            self._runs.add_to_plan(run.run_id, self._vanished())
        counts = self._runs.plan_counts(run.run_id)
        self._runs.put_findings(run.run_id, "plan", list(self._findings(run, counts)))
        self._export(run, counts)
        return StepAnswer(next=Next.DONE, counts=_flat(counts))

    def _plan_customers(self, customers: Sequence[Customer], currency: str) -> list[PlanRow]:
        views = self._records.views(EntityType.CUSTOMER, [customer.id for customer in customers])
        sources = {
            customer.id: read_source(
                customer,
                self._names,
                account_label=self._account_label,
                default_currency=currency,
            )
            for customer in customers
        }
        found = self._found(
            [
                customer
                for customer in customers
                if sources[customer.id].payload
                and ((view := views.get(customer.id)) is None or view.zoho_id is None)
            ]
        )
        return [
            plan_row(sources[customer.id], views.get(customer.id), found.get(customer.id, Found()))
            for customer in customers
        ]

    def _vanished(self) -> list[PlanRow]:
        """Plan to say so of customers who are in Zoho and not here any more; nothing is deleted."""
        return [
            PlanRow(
                phase=Phase.CUSTOMERS.value,
                record=record,
                account_number=None,
                action=VANISHED,
                reason="the row was deleted here",
            )
            for record in self._source.vanished(EntityType.CUSTOMER)
        ]

    def _found(self, customers: Sequence[Customer]) -> dict[str, Found]:
        """Look for many customers at once in the run's snapshot."""
        snapshot = self._snapshots.latest(EntityType.CUSTOMER, complete=True)
        if snapshot is None or not customers:
            return {}
        candidates = self._snapshots.candidates(
            snapshot.snapshot_id,
            accounts=[customer.account_number or "" for customer in customers],
            emails=[same_email(customer.email) for customer in customers],
            phones=[same_phone(customer.phone) for customer in customers],
            names=[same_name(customer_name(customer)) for customer in customers],
        )
        matches = {customer.id: match_customer(customer, candidates) for customer in customers}
        return {id_: found_of(m.kind, m.zoho_ids, m.why) for id_, m in matches.items()}

    def _findings(self, run: Run, counts: dict[str, dict[str, int]]) -> Iterator[Finding]:
        """Say what a person should know before anything is applied."""
        customers = counts.get(Phase.CUSTOMERS, {})
        if not customers:
            yield Finding(
                code="nothing_selected",
                severity=Severity.WARNING,
                sentence="The run selects no customer.",
                what_to_do="Check --only-ids, --accounts, --since, --until and --states.",
            )
        if ambiguous := customers.get("ambiguous"):
            yield Finding(
                code="ambiguous_customers",
                severity=Severity.WARNING,
                sentence="Somebody in Zoho may be, or may not be, the same customer.",
                what_to_do="Look at each with `billing-sync show customer ID`, then link it or"
                " create it anyway.",
                count=ambiguous,
                records=tuple(
                    row.account_number or row.record.entity_id
                    for row in self._runs.plan_rows(run.run_id)
                    if row.action == "ambiguous"
                )[:50],
            )
        if refused := customers.get("fail"):
            yield Finding(
                code="unsendable_customers",
                severity=Severity.WARNING,
                sentence="Customers that our own rules refuse; they will be `failed`.",
                what_to_do="Mend the fields that the plan names, in the source.",
                count=refused,
            )

    def _export(self, run: Run, counts: dict[str, dict[str, int]]) -> None:
        """Write the plan and its summary where people and tools can read them."""
        folder = f"runs/{run.run_id}"
        self._files.write(
            f"{folder}/plan.jsonl",
            (_line(row) for row in self._runs.plan_rows(run.run_id)),
            "application/jsonl",
        )
        summary = json.dumps(self._summary(run, counts), indent=2)
        self._files.write(f"{folder}/plan.json", iter([summary.encode()]), "application/json")

    def _summary(self, run: Run, counts: dict[str, dict[str, int]]) -> dict[str, Any]:
        quota = self._quota.view()
        snapshot = self._snapshots.latest(EntityType.CUSTOMER, complete=True)
        in_zoho = self._snapshots.count(snapshot.snapshot_id) if snapshot else 0
        calls = sum(
            CALLS_OF_ACTION.get(action, 0) * rows
            for actions in counts.values()
            for action, rows in actions.items()
        )
        calls += -(-in_zoho // ROWS_PER_PAGE) + 1  # verify's walk
        minutes = Decimal(calls) / quota.limit_per_minute
        a_day = quota.day_cap - quota.day_cap // 10  # a tenth of the day is kept for triggers
        beyond_today = max(calls - max(a_day - quota.taken_today, 0), 0)
        days = 1 - (-beyond_today // a_day)
        seconds = max(float(minutes) * 60, (days - 1) * 86400.0)
        made_at = self._clock.now()
        return {
            "run_id": run.run_id,
            "mode": run.mode.value,
            "phases": [phase.value for phase in run.phases],
            "only": run.only.model_dump(mode="json", exclude_defaults=True),
            "counts": counts,
            "total": count_rows(counts),
            "customers_in_zoho": in_zoho,
            "snapshot_calls": snapshot.calls if snapshot else 0,
            "calls": calls,
            "minutes": str(minutes.quantize(Decimal("0.1"))),
            "days": days,
            "made_at": made_at.isoformat(),
            "finish_at": (made_at + timedelta(seconds=self._loop.scaled(seconds))).isoformat(),
            # Whoever is written with an e-mail address; whether it mails is Zoho's own setting.
            "could_be_mailed": self._runs.plan_counts_with_field(run.run_id, "email"),
        }


def count_rows(counts: dict[str, dict[str, int]]) -> int:
    """Count the source's rows in a plan."""
    return sum(
        rows
        for actions in counts.values()
        for action, rows in actions.items()
        if action != VANISHED
    )


def plan_row(source: SourceRow, view: RecordView | None, found: Found) -> PlanRow:
    """Say what would be done with one customer now; the engine's rules, in the engine's order."""
    customer: Customer = source.row
    if view is not None and _rests(source, view):
        action, reason, to_do = *_at_rest(view), False
    else:
        action, reason, to_do = *_to_do(source, view, found), True
    return PlanRow(
        phase=Phase.CUSTOMERS.value,
        record=RecordKey(EntityType.CUSTOMER, customer.id),
        account_number=customer.account_number,
        action=action,
        reason=reason,
        differing=_differing(action, source, view),
        to_do=to_do,
    )


def _differing(action: str, source: SourceRow, view: RecordView | None) -> tuple[str, ...]:
    """Name the fields that would be written: all of a new one's, else those changed since."""
    if action not in ("create", "link", "update", "compare"):
        return ()
    known = view.confirmed_fields if view else {}
    prints = field_prints(source.payload)
    return tuple(sorted(field for field, value in prints.items() if known.get(field) != value))


def _at_rest(view: RecordView) -> tuple[str, str | None]:
    """Name what stays as it is, until its source changes or a person acts."""
    actions = {
        State.SYNCED: "unchanged",
        State.SKIPPED: "skip",
        State.AMBIGUOUS: "ambiguous",
        State.FAILED: "fail",
    }
    return actions.get(view.state, "stays"), view.sentence


def _to_do(source: SourceRow, view: RecordView | None, found: Found) -> tuple[str, str | None]:
    if view is not None and view.state in (State.IN_DOUBT, State.SYNCING):
        return "prove", "a write to Zoho is in flight"
    if source.skip is not None:
        return "skip", source.skip
    if source.refused is not None:
        return "fail", source.refused.sentence
    if view is not None and view.zoho_id is not None:
        return ("compare" if view.state is State.MISMATCH else "update"), None
    if found.link is not None:
        return "link", found.why
    if found.candidates:
        return "ambiguous", found.why
    return "create", None


def _rests(source: SourceRow, view: RecordView) -> bool:
    """Nothing has changed since the record came to rest, and nobody asked for another look."""
    if not STATES[view.state].claimed_on_signal or view.signals_waiting:
        return False
    known = view.confirmed_fingerprint if view.state is State.SYNCED else view.attempted_fingerprint
    return known == source.fingerprint


def _flat(counts: dict[str, dict[str, int]]) -> dict[str, int]:
    flat: dict[str, int] = {}
    for actions in counts.values():
        for action, rows in actions.items():
            flat[action] = flat.get(action, 0) + rows
    return flat


def _line(row: PlanRow) -> bytes:
    content = {
        "phase": row.phase,
        "entity": row.record.entity.value,
        "id": row.record.entity_id,
        "account_number": row.account_number,
        "action": row.action,
        "reason": row.reason,
        "fields": list(row.differing),
    }
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"
