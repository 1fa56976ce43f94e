"""The step `Report`: what finance and the operator read, from the records and nothing else."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from billing_sync.domain.discrepancies import DUPLICATES
from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.money import figure
from billing_sync.domain.states import STATES, Colour, EntityType, State
from billing_sync.domain.steps import (
    ENTITY_OF_PHASE,
    Finding,
    Mode,
    Next,
    Severity,
    StepAnswer,
    StepEvent,
)
from billing_sync.ports import Clock, Planned, Run, RunFigures, RunFiles, Runs, Verification
from billing_sync.services.backfill.amounts import AddUp, InMoney
from billing_sync.services.backfill.books import BothSides, CompareBooks
from billing_sync.services.backfill.planning import VANISHED

TWICE_IN_ZOHO: Final = frozenset((*(code.value for code in DUPLICATES), "duplicate"))
"""Findings of what is in Zoho more than once; the last is a lost worker's answer."""

RECORDS_SHOWN: Final = 10

UNDER_WAY: Final = (
    State.PENDING,
    State.SYNCING,
    State.RETRYING,
    State.BLOCKED,
)
"""States in which a record is neither in step nor waiting for a person."""


def judge(run: Run, figures: RunFigures, findings: list[Finding]) -> tuple[str, str]:
    """Give the run's colour, and the sentence that says why.

    A plan ends green: it found out what it was asked. `waiting` is not ours to mend and stops no
    run from being clean; whatever is still under way makes it amber, one red record red.
    """
    if run.mode is Mode.PLAN:
        if run.ended_early is not None:
            return "amber", f"The plan is not whole: {run.ended_early}."
        return "green", "The plan is made; nothing was written to Zoho."
    red: Counter[str] = Counter()
    for states in (figures.states, figures.parents):
        red.update(
            {
                state: count
                for state, count in states.items()
                if state in STATES and STATES[State(state)].colour is Colour.RED
            }
        )
    red_findings = [finding for finding in findings if finding.severity is Severity.RED]
    if red or red_findings:
        parts = [f"{count} {state}" for state, count in sorted(red.items())]
        parts += [f"{finding.count} {finding.code}" for finding in red_findings]
        ended = f"; the run ended early: {run.ended_early}" if run.ended_early else ""
        return "red", f"Not in step: {', '.join(parts)}{ended}."
    under_way = sum(
        states.get(state, 0) for state in UNDER_WAY for states in (figures.states, figures.parents)
    )
    if run.ended_early is not None:
        return "amber", f"The run ended early: {run.ended_early}. Start again."
    if under_way:
        return "amber", f"{under_way} are still under way; start again, or wait for the sweep."
    return "green", "Everything is in step."


def red_count(states: Mapping[str, int]) -> int:
    """Count the records that are in a red state."""
    return sum(
        count
        for state, count in states.items()
        if state in STATES and STATES[State(state)].colour is Colour.RED
    )


class MakeReport:
    """Write report.json and report.md, and answer the figures."""

    def __init__(
        self,
        runs: Runs,
        verification: Verification,
        files: RunFiles,
        clock: Clock,
        add_up: AddUp,
        compare_books: CompareBooks,
    ) -> None:
        """Keep the ports."""
        self._runs = runs
        self._verification = verification
        self._files = files
        self._clock = clock
        self._add_up = add_up
        self._compare_books = compare_books

    def __call__(self, event: StepEvent) -> StepAnswer:
        """Write both files from what stands in the tables now."""
        run = self._runs.enter(event.run_id, "report")
        content = self.content(run)
        folder = f"runs/{run.run_id}"
        machine = json.dumps(content, indent=2).encode()
        self._files.write(f"{folder}/report.json", iter([machine]), "application/json")
        people = as_markdown(content).encode()
        self._files.write(f"{folder}/report.md", iter([people]), "text/markdown; charset=utf-8")
        return StepAnswer(
            next=Next.DONE,
            why=content["why"],
            counts={
                word: content[word] for word in ("in_step", "total", "created", "linked", "failed")
            },
        )

    def content(self, run: Run) -> dict[str, Any]:
        """Give the report as data. `total` counts every row that the run selected."""
        figures = self._verification.figures(run.run_id)
        findings = self._runs.findings(run.run_id)
        colour, why = judge(run, figures, findings)
        states = figures.states
        elapsed = ((run.ended_at or self._clock.now()) - run.started_at).total_seconds()
        books, in_money = self._books(run)
        quota = self._verification.calls_since(run.run_id)
        planned = self._runs.planned(run.run_id)
        groups = self._verification.red_groups(run.run_id)
        return {
            "run_id": run.run_id,
            "mode": run.mode.value,
            "phases": [phase.value for phase in run.phases],
            "colour": colour,
            "why": why,
            "ended_early": run.ended_early,
            "started_at": run.started_at.isoformat(),
            "debtors": None
            if books is None
            else {**books.control_total.figures(), "waiting": figure(books.waiting)},
            "difference": figure(in_money.difference),
            "tax_difference": figure(in_money.tax.difference),
            "tax_not_shown": in_money.tax.not_shown,
            "entities": entities_of(run, planned, figures, in_money, books),
            "parents": dict(figures.parents),
            "total": sum(
                each.rows for each in planned if not each.as_parent and each.action != VANISHED
            ),
            "in_step": states.get(State.SYNCED, 0),
            "created": figures.created,
            "linked": figures.linked,
            "updated": figures.updated,
            **{
                state.value: states.get(state, 0)
                for state in (
                    State.SKIPPED,
                    State.FAILED,
                    State.AMBIGUOUS,
                    State.MISMATCH,
                    State.EXHAUSTED,
                    State.IN_DOUBT,
                    State.WAITING,
                    State.RETRYING,
                    State.BLOCKED,
                    State.PENDING,
                )
            },
            "accepted": states.get("accepted", 0),
            "duplicates_in_zoho": sum(
                finding.count for finding in findings if finding.code in TWICE_IN_ZOHO
            ),
            "zoho_calls": quota.calls,
            "http_429": quota.throttled,
            "tokens_minted": quota.tokens_minted,
            "cooldowns": run.cooldowns,
            "active_seconds": round(max(elapsed - run.waited_seconds, 0.0), 1),
            "waited_seconds": round(run.waited_seconds, 1),
            "plan": self._runs.plan_counts(run.run_id),
            "behind_red": max(
                red_count(figures.states)
                + red_count(figures.parents)
                - sum(group.count for group in groups),
                0,
            ),
            "red": [
                {
                    "entity": group.entity.value,
                    "state": group.state.value,
                    "code": group.code,
                    "count": group.count,
                    "sentence": group.sentence,
                    "ids": list(group.ids),
                }
                for group in groups
            ],
            "findings": [finding.model_dump(mode="json") for finding in findings],
        }

    def _books(self, run: Run) -> tuple[BothSides | None, InMoney]:
        """Compare the books as they stand now; none where preflight never learnt how to count."""
        try:
            return self._compare_books(run.only), self._add_up(run.run_id)
        except Misconfigured:
            return None, InMoney()


def entities_of(
    run: Run,
    planned: Sequence[Planned],
    figures: RunFigures,
    in_money: InMoney,
    books: BothSides | None,
) -> dict[str, dict[str, int | str]]:
    """Give each phase's records and money, as the head of the report shows them.

    `failed` are all that are red, whatever their state; `under_way` are those that come back by
    themselves, or were not begun. A customer's money is what is owed, on either side.
    """
    entities: dict[str, dict[str, int | str]] = {}
    for phase in run.phases:
        entity = ENTITY_OF_PHASE[phase]
        states = figures.entities.get(entity, {})
        total = sum(
            each.rows
            for each in planned
            if each.entity is entity and not each.as_parent and each.action != VANISHED
        )
        red = red_count(states)
        settled = {
            "in_step": states.get(State.SYNCED, 0),
            "skipped": states.get(State.SKIPPED, 0),
            "waiting": states.get(State.WAITING, 0),
            "failed": red,
            "accepted": states.get("accepted", 0),
        }
        local, zoho = _money_of(entity, in_money, books)
        entities[phase.value] = {
            "total": total,
            **settled,
            "under_way": max(total - sum(settled.values()), 0),
            "local_amount": figure(local),
            "zoho_amount": figure(zoho),
        }
    return entities


def _money_of(
    entity: EntityType, in_money: InMoney, books: BothSides | None
) -> tuple[Decimal, Decimal]:
    if entity is not EntityType.CUSTOMER:
        amounts = in_money.entities[entity]
        return amounts.local, amounts.zoho
    if books is None:
        return Decimal(0), Decimal(0)
    return books.control_total.owed_here, books.control_total.owed_there


_COLOUR_WORDS: Final = {"green": "GREEN", "amber": "AMBER", "red": "RED"}


def as_markdown(content: Mapping[str, Any]) -> str:
    """Lay the report out for people: verdict, what is owed, both sides, what to do, the figures."""
    parts = [
        [f"# Backfill {content['run_id']}: {_COLOUR_WORDS[content['colour']]}", content["why"]],
        _debtors(content["debtors"]),
        _entities(content),
        _to_look_at(content),
        _findings(content["findings"]),
        _table("## Records", ["", ""], _figures(content, FIGURES, always=3)),
        _table("## The run", ["", ""], _figures(content, RUN_FIGURES, always=len(RUN_FIGURES))),
    ]
    return "\n\n".join(paragraph for part in parts for paragraph in part) + "\n"


def _debtors(owed: Mapping[str, Any] | None) -> list[str]:
    if owed is None:
        return []
    rows = [
        ("owed", owed["local"], owed["zoho"]),
        ("unused credit", owed["local_credit"], owed["zoho_credit"]),
    ]
    lines = [(what, _money(here), _money(there)) for what, here, there in rows]
    out = _table("## What customers owe", ["", "our books", "Zoho"], lines)
    sentence = (
        f"Difference: {_money(owed['difference'])};"
        f" {owed['customers_that_differ']} customers differ."
    )
    if Decimal(owed["waiting"]):
        sentence += (
            f" Not counted: {_money(owed['waiting'])} on invoices that Zoho has yet to raise."
        )
    return [*out, sentence]


def _entities(content: Mapping[str, Any]) -> list[str]:
    words = ("total", "in_step", "skipped", "waiting", "failed", "under_way")
    rows = [
        (
            phase,
            *(each[word] for word in words),
            _money(each["local_amount"]),
            _money(each["zoho_amount"]),
        )
        for phase, each in content["entities"].items()
    ]
    heads = ["", *(word.replace("_", " ") for word in words), "our books", "Zoho"]
    sentence = (
        f"Of what is in step the amounts differ by {_money(content['difference'])}, the invoices'"
        f" tax by {_money(content['tax_difference'])}."
    )
    if content["tax_not_shown"]:
        sentence += (
            f" Of {content['tax_not_shown']} invoices Zoho's lists show no tax; their totals are"
            " compared."
        )
    if content["parents"]:
        counts = ", ".join(f"{count} {state}" for state, count in content["parents"].items())
        sentence += f" Besides, products, plans and other parents that came along: {counts}."
    return [*_table("## Both sides", heads, rows), sentence]


def _to_look_at(content: Mapping[str, Any]) -> list[str]:
    red: Sequence[Mapping[str, Any]] = content["red"]
    rows = [
        (
            f"{group['entity']} {group['state']} ({group['code']})",
            group["count"],
            group["sentence"],
            ", ".join(group["ids"]),
        )
        for group in red
    ]
    heads = ["what", "how many", "why", "which"]
    if not rows:
        return []
    out = _table("## What a person must look at", heads, rows)
    # Each cause is told once; what waits for it counts as it does, in the table above.
    if behind := content["behind_red"]:
        out.append(f"{behind} more wait for these, and follow by themselves.")
    return out


def _findings(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        (
            finding["severity"],
            finding["count"],
            finding["sentence"],
            finding["what_to_do"],
            ", ".join(finding["records"][:RECORDS_SHOWN]),
        )
        for finding in findings
        if finding["severity"] != Severity.CONFIRM
    ]
    heads = ["", "how many", "what", "what to do", "which"]
    return _table("## Findings", heads, rows) if rows else []


def _figures(
    content: Mapping[str, Any], words: Mapping[str, str], *, always: int
) -> list[tuple[str, Any]]:
    """Give the figures with their words; after the first few only those that are not zero."""
    return [
        (said, content[word])
        for place, (word, said) in enumerate(words.items())
        if place < always or content[word]
    ]


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lay a table out: a column of numbers, or of money, stands to the right."""
    is_number = [
        bool(rows) and all(_is_number(row[place]) for row in rows) for place in range(len(heads))
    ]
    lines = [
        f"| {' | '.join(heads)} |",
        f"|{'|'.join('---:' if each else '---' for each in is_number)}|",
        *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows),
    ]
    return [title, "\n".join(lines)]


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) or _MONEY.fullmatch(str(cell)) is not None


_MONEY: Final = re.compile(r"-?[0-9,]+\.[0-9]{2}")

FIGURES: Final = {
    "total": "rows of the source in this run",
    "in_step": "in step",
    "skipped": "not ours to send",
    "created": "of those in step, made in Zoho by us",
    "linked": "of those in step, found in Zoho and linked",
    "updated": "of those in step, changed by this run",
    "failed": "failed",
    "ambiguous": "ambiguous",
    "mismatch": "in Zoho with other figures",
    "exhausted": "given up after the ladder",
    "in_doubt": "in doubt",
    "waiting": "waiting",
    "retrying": "retrying",
    "blocked": "blocked by a parent",
    "pending": "pending",
    "accepted": "red, and accepted by a person",
    "duplicates_in_zoho": "duplicates in Zoho",
}

RUN_FIGURES: Final = {
    "zoho_calls": "calls to Zoho",
    "http_429": "answers 429",
    "tokens_minted": "tokens minted",
    "cooldowns": "waits of the state machine",
    "active_seconds": "seconds active",
    "waited_seconds": "seconds waited",
}


def _money(amount: str) -> str:
    return f"{Decimal(amount):,.2f}"
