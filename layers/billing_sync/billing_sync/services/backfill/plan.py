"""The step `Plan`: say what would be done with every record, and write nothing to Zoho.

customers ─► subscriptions ─► invoices ─► payments ─► both sides' books ─► export
(500 at once)   (one by one, by the very rules that send)   (findings)
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from billing_sync.domain.comparing import same_email, same_name, same_phone
from billing_sync.domain.customers import customer_name, match_customer
from billing_sync.domain.discrepancies import findings_of
from billing_sync.domain.display_names import DisplayNames
from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.findings import RECORDS_IN_A_FINDING
from billing_sync.domain.money import figure
from billing_sync.domain.source import Customer
from billing_sync.domain.source import SourceRow as Row
from billing_sync.domain.states import MADE_ON_DEMAND, EntityType, State
from billing_sync.domain.steps import (
    ENTITY_OF_PHASE,
    Finding,
    Next,
    Only,
    Phase,
    Severity,
    StepAnswer,
    StepEvent,
)
from billing_sync.ports import (
    Clock,
    Organisations,
    Pages,
    Planned,
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
from billing_sync.services.backfill.books import BothSides, CompareBooks
from billing_sync.services.backfill.loop import SPARE_SECONDS, Loop, TimeLeft
from billing_sync.services.backfill.planning import (
    AMBIGUOUS,
    CREATE,
    FAIL,
    UNCHANGED,
    VANISHED,
    Said,
    at_rest,
    before_zoho,
    calls_of,
    differing,
    is_to_do,
    of_found,
    of_step,
    worth,
)
from billing_sync.services.customers import found_of, read_source
from billing_sync.services.rules import EntityRules, Found
from billing_sync.services.rules import Source as SourceRow

ROWS_AT_ONCE: Final = 500
ROWS_ONE_BY_ONE: Final = 100
"""Of what the rules are asked one by one: with each come all invoices of its service."""

ROWS_PER_PAGE: Final = 200

BOOKS_SECONDS: Final = 120.0
"""What comparing the books and exporting may take: it is begun with so much time at hand."""

TO_THE_END: Final = "books"
"""The cursor when all phases are planned."""


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
        rules: Mapping[EntityType, EntityRules],
        pages: Pages,
        compare_books: CompareBooks,
        *,
        account_label: str,
    ) -> None:
        """Keep the ports; of `rules` those of all entities but customers are asked.

        They and the ports of what is read are those that `pages` reads ahead for.
        """
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
        self._rules = rules
        self._pages = pages
        self._compare_books = compare_books
        self._account_label = account_label

    def __call__(self, event: StepEvent, time_left: TimeLeft) -> StepAnswer:
        """Plan on by primary key, in constant memory; export the plan when it is whole."""
        run, ended = self._loop.enter(event.run_id, "plan")
        if ended is not None:
            return ended
        try:
            return self._plan_on(run, time_left)
        except Misconfigured as failure:
            self._runs.end_early(run.run_id, failure.sentence)
            return self._loop.end(run.run_id)

    def _plan_on(self, run: Run, time_left: TimeLeft) -> StepAnswer:
        phase: Phase | None = run.phases[0]
        after: str | None = None
        seen: set[RecordKey] = set()
        self._pages.forget()
        if run.cursor is None:
            self._runs.clear_plan(run.run_id)
        else:
            phase, after = _read_cursor(run.cursor)
        while phase is not None:
            while rows := self._next_rows(run, phase, after):
                self._runs.add_to_plan(run.run_id, self._planned(run, phase, rows, seen))
                after = rows[-1].id
                self._runs.save_cursor(run.run_id, _cursor(phase, after))
                if (answer := self._may_go_on(run, time_left, SPARE_SECONDS)) is not None:
                    return answer
            if run.only == Only():
                self._runs.add_to_plan(run.run_id, self._vanished(phase))
            phase, after = _next_phase(run.phases, phase), None
            self._runs.save_cursor(run.run_id, _cursor(phase, None))
        if (answer := self._may_go_on(run, time_left, BOOKS_SECONDS)) is not None:
            return answer
        return self._finish(run)

    def _may_go_on(self, run: Run, time_left: TimeLeft, needed: float) -> StepAnswer | None:
        if self._runs.must_stop(run.run_id):
            return self._loop.end(run.run_id)
        if time_left() < needed:
            return StepAnswer(next=Next.AGAIN, counts=_flat(self._runs.plan_counts(run.run_id)))
        return None

    def _finish(self, run: Run) -> StepAnswer:
        planned = self._runs.planned(run.run_id)
        summary = self._summary(run, planned)
        books = None
        if run.phases != (Phase.CUSTOMERS,):
            books = self._compare_books(run.only, days=summary["days"] - 1)
            summary["could_be_reminded"] = books.could_be_reminded
        findings = list(self._findings(run, planned, books))
        self._runs.put_findings(run.run_id, "plan", findings)
        summary["findings"] = [
            finding.model_dump(mode="json", exclude={"records"}) for finding in findings
        ]
        self._export(run, summary)
        return StepAnswer(next=Next.DONE, counts=_flat(self._runs.plan_counts(run.run_id)))

    # -------------------------------------------------------------------------------- phases

    def _next_rows(self, run: Run, phase: Phase, after: str | None) -> Sequence[Row]:
        if phase is Phase.CUSTOMERS:
            return self._source.customers_after(after, ROWS_AT_ONCE, run.only)
        return self._source.rows_after(ENTITY_OF_PHASE[phase], after, ROWS_ONE_BY_ONE, run.only)

    def _planned(
        self, run: Run, phase: Phase, rows: Sequence[Row], seen: set[RecordKey]
    ) -> list[PlanRow]:
        entity = ENTITY_OF_PHASE[phase]
        self._pages.turn(entity, rows)
        if phase is Phase.CUSTOMERS:
            customers = [row for row in rows if isinstance(row, Customer)]
            return self._plan_customers(phase, customers)
        views = self._records.views(entity, [row.id for row in rows])
        accounts = self._source.account_numbers(
            sorted({str(customer_id) for row in rows if (customer_id := _customer_of(row))})
        )
        rules = self._rules[entity]
        said: list[tuple[PlanRow, Sequence[RecordKey]]] = []
        for row in rows:
            source = rules.read(row.id)
            if source is None:  # deleted since the page was read
                continue
            account = accounts.get(_customer_of(row) or "")
            planned = self._plan_row(phase, entity, source, views.get(row.id), account)
            said.append((planned, rules.parents(row.id) if planned.to_do else ()))
        # All of a page at once: nearly all parents were planned before their children.
        known = self._runs.in_plan(
            run.run_id, list(dict.fromkeys(parent for _, parents in said for parent in parents))
        )
        out: list[PlanRow] = []
        for planned, parents in said:
            out += self._of_parents(run, phase, parents, known, seen)
            out.append(planned)
        return out

    def _plan_row(
        self,
        phase: Phase,
        entity: EntityType,
        source: SourceRow,
        view: RecordView | None,
        account_number: str | None,
        *,
        entity_id: str | None = None,
    ) -> PlanRow:
        rests = at_rest(source, view)
        said, fields = (rests, ()) if rests else self._say(entity, source, view)
        action, reason = said
        return PlanRow(
            phase=phase.value,
            record=RecordKey(entity, entity_id or source.row.id),
            account_number=account_number,
            action=action,
            reason=reason,
            differing=fields,
            amount=worth(source.row),
            to_do=rests is None and is_to_do(said, view),
        )

    def _say(
        self, entity: EntityType, source: SourceRow, view: RecordView | None
    ) -> tuple[Said, tuple[str, ...]]:
        """Say what is done with a record, and which fields are written; by the rules that send."""
        decided = before_zoho(source, view)
        if decided is not None:
            return decided, ()
        rules = self._rules[entity]
        if view is None or view.zoho_id is None:
            if entity in MADE_ON_DEMAND:
                said: Said = (CREATE, "made on demand, or linked where Zoho has it")
            else:
                said = of_found(rules.foresee(source), link_only=source.link_only)
            return said, differing(said[0], source, view)
        shown = rules.shown(view.zoho_id)
        if shown is None:
            said = of_step(None, view)
            return said, differing(said[0], source, view)
        said = of_step(rules.next_step(source, shown), view)
        fields = rules.fields_differ(source, shown) if source.payload else []
        return said, tuple(sorted(fields))

    def _of_parents(
        self,
        run: Run,
        phase: Phase,
        parents: Sequence[RecordKey],
        known: Collection[RecordKey],
        seen: set[RecordKey],
    ) -> Iterator[PlanRow]:
        """List the parents that come along: needed, not selected, and not in step; farthest first.

        What is in the plan already (`known`) has its own parents there. The catalogue's are worked
        on by themselves where they are in Zoho and have changed here: their children need them, and
        do not bring such a change along.
        """
        for parent in [one for one in parents if one not in seen]:
            is_catalogue = parent.entity in MADE_ON_DEMAND
            if is_catalogue:
                seen.add(parent)
            if parent in known:
                continue
            view = self._records.view(parent)
            is_there = view is not None and view.zoho_id is not None
            if is_there and view is not None and view.state is State.SYNCED and not is_catalogue:
                continue
            source = self._rules[parent.entity].read(parent.entity_id)
            if source is None:
                continue
            farther = self._rules[parent.entity].parents(parent.entity_id)
            in_plan = self._runs.in_plan(run.run_id, farther)
            yield from self._of_parents(run, phase, farther, in_plan, seen)
            row = self._plan_row(
                phase, parent.entity, source, view, None, entity_id=parent.entity_id
            )
            if row.action != UNCHANGED:
                is_to_do = is_there and is_catalogue and row.to_do
                yield replace(row, to_do=is_to_do, as_parent=True)

    def _vanished(self, phase: Phase) -> list[PlanRow]:
        """Plan to say so of records that are in Zoho and not here any more; nothing is deleted."""
        return [
            PlanRow(
                phase=phase.value,
                record=record,
                account_number=None,
                action=VANISHED,
                reason="the row was deleted here",
            )
            for record in self._source.vanished(ENTITY_OF_PHASE[phase])
        ]

    # ------------------------------------------------------------------------------ customers

    def _plan_customers(self, phase: Phase, customers: Sequence[Customer]) -> list[PlanRow]:
        currency = self._organisations.currency()
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
            customer_row(
                phase,
                sources[customer.id],
                views.get(customer.id),
                found.get(customer.id, Found()),
            )
            for customer in customers
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

    # ------------------------------------------------------------------------------- findings

    def _findings(
        self, run: Run, planned: Sequence[Planned], books: BothSides | None
    ) -> Iterator[Finding]:
        """Say what a person should know before anything is applied."""
        own = [each for each in planned if not each.as_parent]
        if not own:
            nouns = " or ".join(ENTITY_OF_PHASE[phase].value for phase in run.phases)
            yield Finding(
                code="nothing_selected",
                severity=Severity.WARNING,
                sentence=f"The run selects no {nouns}.",
                what_to_do="Check --only-ids, --accounts, --since, --until and --states.",
            )
        for phase in run.phases:
            entity = ENTITY_OF_PHASE[phase]
            counts = {each.action: each for each in own if each.entity is entity}
            if ambiguous := counts.get(AMBIGUOUS):
                yield Finding(
                    code=f"ambiguous_{phase}",
                    severity=Severity.WARNING,
                    sentence=f"Of these {phase} somebody must say which in Zoho they are,"
                    f" or whether any is{_worth(ambiguous.amount)}.",
                    what_to_do=f"Look at each with `billing-sync show {entity} ID`, then link it"
                    " or, where nothing there is the same, create it anyway.",
                    count=ambiguous.rows,
                    records=self._named(run, entity, AMBIGUOUS),
                )
            if refused := counts.get(FAIL):
                yield Finding(
                    code=f"unsendable_{phase}",
                    severity=Severity.WARNING,
                    sentence=f"{phase.capitalize()} that our own rules refuse; they will be"
                    f" `failed`{_worth(refused.amount)}.",
                    what_to_do="Mend the fields that the plan names, in the source.",
                    count=refused.rows,
                    records=self._named(run, entity, FAIL),
                )
        if books is not None:
            yield from findings_of(books.discrepancies, currency=self._organisations.currency())
        if books is not None and books.could_be_reminded:
            yield Finding(
                code="could_be_reminded",
                severity=Severity.NOTE,
                sentence="Customers with an e-mail address and an invoice past due: Zoho writes to"
                " them by its own settings, where its reminders are on.",
                what_to_do="Switch reminders off in Zoho, or agree with finance that they go out.",
                count=books.could_be_reminded,
            )

    def _named(self, run: Run, entity: EntityType, action: str) -> tuple[str, ...]:
        named = []
        for row in self._runs.plan_rows(run.run_id):
            if (row.record.entity, row.action, row.as_parent) == (entity, action, False):
                is_customer = entity is EntityType.CUSTOMER
                named.append((is_customer and row.account_number) or row.record.entity_id)
                if len(named) == RECORDS_IN_A_FINDING:
                    break
        return tuple(named)

    # --------------------------------------------------------------------------------- export

    def _export(self, run: Run, summary: dict[str, Any]) -> None:
        """Write the plan and its summary where people and tools can read them."""
        folder = f"runs/{run.run_id}"
        self._files.write(
            f"{folder}/plan.jsonl",
            (_line(row) for row in self._runs.plan_rows(run.run_id)),
            "application/jsonl",
        )
        content = json.dumps(summary, indent=2).encode()
        self._files.write(f"{folder}/plan.json", iter([content]), "application/json")

    def _summary(self, run: Run, planned: Sequence[Planned]) -> dict[str, Any]:
        quota = self._quota.view()
        counts = self._runs.plan_counts(run.run_id)
        in_zoho, snapshot_calls = self._in_zoho()
        # Verify walks all that was walked for the snapshot, once more.
        calls = sum(calls_of(each) for each in planned)
        calls += sum(-(-rows // ROWS_PER_PAGE) for rows in in_zoho.values()) + 1
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
            "money": _money(planned),
            "parents": _parents(planned),
            "customers_in_zoho": in_zoho.get(EntityType.CUSTOMER, 0),
            "in_zoho": {entity.value: rows for entity, rows in in_zoho.items()},
            "snapshot_calls": snapshot_calls,
            "calls": calls,
            "minutes": str(minutes.quantize(Decimal("0.1"))),
            "days": days,
            "made_at": made_at.isoformat(),
            "finish_at": (made_at + timedelta(seconds=self._loop.scaled(seconds))).isoformat(),
            # Whoever is written with an e-mail address; whether it mails is Zoho's own setting.
            "could_be_mailed": self._runs.plan_counts_with_field(run.run_id, "email"),
        }

    def _in_zoho(self) -> tuple[dict[EntityType, int], int]:
        """Count what the newest snapshots hold, and what they cost."""
        counts: dict[EntityType, int] = {}
        calls = 0
        for entity in (EntityType.CUSTOMER, EntityType.SUBSCRIPTION, EntityType.INVOICE):
            snapshot = self._snapshots.latest(entity, complete=True)
            if snapshot is not None:
                calls += snapshot.calls
                counts[entity] = (
                    self._snapshots.count(snapshot.snapshot_id)
                    if entity is EntityType.CUSTOMER
                    else self._snapshots.count_rows(entity, snapshot.snapshot_id)
                )
        return counts, calls


def count_rows(counts: Mapping[str, Mapping[str, int]]) -> int:
    """Count the source's rows in a plan."""
    return sum(
        rows
        for actions in counts.values()
        for action, rows in actions.items()
        if action != VANISHED
    )


def customer_row(phase: Phase, source: SourceRow, view: RecordView | None, found: Found) -> PlanRow:
    """Say what would be done with one customer now; customers are looked up many at once."""
    customer: Customer = source.row
    rests = at_rest(source, view)
    said = rests or before_zoho(source, view)
    if said is None:
        has_one = view is not None and view.zoho_id is not None
        said = of_step(None, view) if has_one and view is not None else of_found(found)
    return PlanRow(
        phase=phase.value,
        record=RecordKey(EntityType.CUSTOMER, customer.id),
        account_number=customer.account_number,
        action=said[0],
        reason=said[1],
        differing=() if rests else differing(said[0], source, view),
        to_do=rests is None,
    )


def _customer_of(row: Row) -> str | None:
    customer_id = getattr(row, "customer_id", None)
    return None if customer_id is None else str(customer_id)


def _cursor(phase: Phase | None, after: str | None) -> str:
    return TO_THE_END if phase is None else f"{phase.value} {after or ''}"


def _read_cursor(cursor: str) -> tuple[Phase | None, str | None]:
    if cursor == TO_THE_END:
        return None, None
    phase, _, after = cursor.partition(" ")
    return Phase(phase), after or None


def _next_phase(phases: Sequence[Phase], phase: Phase) -> Phase | None:
    following = phases[phases.index(phase) + 1 :]
    return following[0] if following else None


def _money(planned: Sequence[Planned]) -> dict[str, dict[str, str]]:
    """Give what the rows of each phase and action are worth by our books."""
    sums: dict[str, dict[str, Decimal]] = {}
    for each in planned:
        if not each.as_parent and each.amount:
            actions = sums.setdefault(each.phase, {})
            actions[each.action] = actions.get(each.action, Decimal(0)) + each.amount
    return {
        phase: {action: figure(amount) for action, amount in actions.items()}
        for phase, actions in sums.items()
    }


def _parents(planned: Sequence[Planned]) -> dict[str, dict[str, int]]:
    """Count what comes along, by entity and action."""
    counts: dict[str, dict[str, int]] = {}
    for each in planned:
        if each.as_parent:
            actions = counts.setdefault(each.entity.value, {})
            actions[each.action] = actions.get(each.action, 0) + each.rows
    return counts


def _worth(amount: Decimal) -> str:
    return f" ({figure(amount)} together)" if amount else ""


def _flat(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
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
        "amount": None if row.amount is None else figure(row.amount),
        "fields": list(row.differing),
        "as_parent": row.as_parent,
    }
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"
