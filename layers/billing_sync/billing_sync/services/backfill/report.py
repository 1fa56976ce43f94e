"""The step `Report`: what finance and the operator read, from the records and nothing else."""

import json
from decimal import Decimal
from typing import Any, Final

from billing_sync.domain.states import STATES, Colour, EntityType, State
from billing_sync.domain.steps import Finding, Mode, Next, Severity, StepAnswer, StepEvent
from billing_sync.ports import Clock, Run, RunFigures, RunFiles, Runs, Snapshots, Verification
from billing_sync.services.backfill.plan import count_rows

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
    red = {
        state: count
        for state, count in figures.states.items()
        if state in STATES and STATES[State(state)].colour is Colour.RED
    }
    red_findings = [finding for finding in findings if finding.severity is Severity.RED]
    if red or red_findings:
        parts = [f"{count} {state}" for state, count in sorted(red.items())]
        parts += [f"{finding.count} {finding.code}" for finding in red_findings]
        ended = f"; the run ended early: {run.ended_early}" if run.ended_early else ""
        return "red", f"Not in step: {', '.join(parts)}{ended}."
    under_way = sum(figures.states.get(state, 0) for state in UNDER_WAY)
    if run.ended_early is not None:
        return "amber", f"The run ended early: {run.ended_early}. Start again."
    if under_way:
        return "amber", f"{under_way} are still under way; start again, or wait for the sweep."
    return "green", "Everything is in step."


class MakeReport:
    """Write report.json and report.md, and answer the figures."""

    def __init__(
        self,
        runs: Runs,
        verification: Verification,
        snapshots: Snapshots,
        files: RunFiles,
        clock: Clock,
    ) -> None:
        """Keep the ports."""
        self._runs = runs
        self._verification = verification
        self._snapshots = snapshots
        self._files = files
        self._clock = clock

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
        snapshot = self._snapshots.latest(EntityType.CUSTOMER, complete=True)
        debtors = self._verification.debtors(snapshot.snapshot_id) if snapshot else None
        quota = self._verification.calls_since(run.run_id)
        plan = self._runs.plan_counts(run.run_id)
        return {
            "run_id": run.run_id,
            "mode": run.mode.value,
            "colour": colour,
            "why": why,
            "ended_early": run.ended_early,
            "started_at": run.started_at.isoformat(),
            "total": count_rows(plan),
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
                finding.count for finding in findings if finding.code.startswith("duplicate")
            ),
            "zoho_calls": quota.calls,
            "http_429": quota.throttled,
            "tokens_minted": quota.tokens_minted,
            "cooldowns": run.cooldowns,
            "active_seconds": round(max(elapsed - run.waited_seconds, 0.0), 1),
            "waited_seconds": round(run.waited_seconds, 1),
            "debtors": {
                "local": str(debtors.local),
                "zoho": str(debtors.zoho),
                "difference": str(debtors.local - debtors.zoho),
                "customers_that_differ": len(debtors.customers_that_differ),
            }
            if debtors
            else None,
            "plan": plan,
            "red": [
                {
                    "entity": group.entity.value,
                    "state": group.state.value,
                    "code": group.code,
                    "count": group.count,
                    "sentence": group.sentence,
                    "ids": list(group.ids),
                }
                for group in self._verification.red_groups(run.run_id)
            ],
            "findings": [finding.model_dump(mode="json") for finding in findings],
        }


_COLOUR_WORDS: Final = {"green": "GREEN", "amber": "AMBER", "red": "RED"}


def as_markdown(content: dict[str, Any]) -> str:
    """Lay the report out for people: the verdict first, then what to do, then the figures."""
    lines = [
        f"# Backfill {content['run_id']}: {_COLOUR_WORDS[content['colour']]}",
        "",
        content["why"],
        "",
    ]
    if content["debtors"]:
        owed = content["debtors"]
        lines += [
            "| debtors | |",
            "|---|---:|",
            f"| owed by our books | {_money(owed['local'])} |",
            f"| owed in Zoho | {_money(owed['zoho'])} |",
            f"| difference | {_money(owed['difference'])} |",
            f"| customers that differ | {owed['customers_that_differ']} |",
            "",
        ]
    if content["red"]:
        lines += ["## What a person must look at", ""]
        lines += ["| what | how many | why | which |", "|---|---:|---|---|"]
        lines += [
            f"| {group['entity']} {group['state']} ({group['code']}) | {group['count']} |"
            f" {group['sentence']} | {', '.join(group['ids'])} |"
            for group in content["red"]
        ]
        lines += [""]
    lines += ["## Records", "", "| | |", "|---|---:|"]
    lines += [
        f"| {words} | {content[word]} |"
        for word, words in _FIGURES.items()
        if word in ("total", "in_step", "skipped") or content[word]
    ]
    lines += ["", "## The run", "", "| | |", "|---|---:|"]
    lines += [f"| {words} | {content[word]} |" for word, words in _RUN_FIGURES.items()]
    notes = [finding for finding in content["findings"] if finding["severity"] != "confirm"]
    if notes:
        lines += ["", "## Findings", "", "| | how many | what | what to do |", "|---|---:|---|---|"]
        lines += [
            f"| {finding['severity']} | {finding['count']} | {finding['sentence']} |"
            f" {finding['what_to_do']} |"
            for finding in notes
        ]
    return "\n".join([*lines, ""])


_FIGURES: Final = {
    "total": "rows of the source in this run",
    "in_step": "in step",
    "created": "of these made in Zoho by us",
    "linked": "of these found in Zoho and linked",
    "updated": "of these changed by this run",
    "skipped": "not ours to send",
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

_RUN_FIGURES: Final = {
    "zoho_calls": "calls to Zoho",
    "http_429": "answers 429",
    "tokens_minted": "tokens minted",
    "cooldowns": "waits of the state machine",
    "active_seconds": "seconds active",
    "waited_seconds": "seconds waited",
}


def _money(amount: str) -> str:
    return f"{Decimal(amount):,.2f}"
