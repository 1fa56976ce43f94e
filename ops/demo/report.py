"""The demo's report, for people and for programs."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from ops.demo.display import Stage
from ops.demo.real_time import Arrival
from ops.demo.verdict import CallsPerEntity, Condition

_FIGURES: Final = {
    "total": "rows of the source",
    "in_step": "in step",
    "created": "made in Zoho",
    "linked": "found in Zoho and linked",
    "updated": "of these changed there by an update",
    "skipped": "not ours to send",
    "failed": "failed",
    "ambiguous": "ambiguous",
    "waiting": "waiting",
    "duplicates_in_zoho": "duplicates in Zoho",
    "mails_sent": "mails that Zoho sent",
    "zoho_calls": "calls to Zoho",
    "http_429": "answers 429",
    "tokens_minted": "tokens minted",
    "cooldowns": "waits of the state machine",
    "active_seconds": "seconds active, all runs",
    "waited_seconds": "seconds waited, all runs",
    "difference": "difference of amounts",
    "tax_difference": "difference of VAT",
}


def conditions_table(conditions: Sequence[Condition]) -> Table:
    """Show what had to hold, and what was seen."""
    table = Table(title="What had to hold", title_justify="left")
    table.add_column("")
    table.add_column("Condition", ratio=1)
    table.add_column("Seen", ratio=1)
    for one in conditions:
        mark = Text("✓", "green") if one.holds else Text("✗", "bold red")
        table.add_row(mark, one.sentence, one.seen)
    return table


def figures_table(figures: dict[str, Any]) -> Table:
    """Show the figures."""
    table = Table(title="The figures", title_justify="left")
    table.add_column("What")
    table.add_column("How many", justify="right")
    for name, words in _FIGURES.items():
        table.add_row(words, str(figures[name]))
    return table


def entities_table(figures: dict[str, Any]) -> Table:
    """Show the four kinds of records on both sides, in rand."""
    table = Table(title="The records, as of the last run", title_justify="left")
    table.add_column("Kind")
    columns = ("total", "in_step", "skipped", "waiting", "local_amount", "zoho_amount")
    for words in ("rows", "in step", "skipped", "waiting", "here", "in Zoho"):
        table.add_column(words, justify="right")
    for name, one in figures["entities"].items():
        table.add_row(name, *(str(one[column]) for column in columns))
    return table


def calls_table(calls: CallsPerEntity) -> Table:
    """Show what each kind of record cost; a payment's look at its invoices counts as theirs.

    Of the records only those that we wrote are counted, of the pages those of lists.
    """
    table = Table(title="Calls to Zoho, all runs and real time", title_justify="left")
    table.add_column("About")
    for words in ("records", "writes", "each", "reads by id", "pages"):
        table.add_column(words, justify="right")
    for name, one in calls.items():
        each = f"{one.writes / one.records:.1f}" if one.records else ""
        table.add_row(name, str(one.records), str(one.writes), each, str(one.reads), str(one.pages))
    return table


def triggers_table(arrivals: Sequence[Arrival]) -> Table:
    """Show what came in real time, and how long it took from the door to Zoho."""
    table = Table(title="Real time", title_justify="left")
    for words in ("Webhook", "In Zoho"):
        table.add_column(words)
    table.add_column("s", justify="right")
    for one in arrivals:
        table.add_row(one.trigger, one.seen, _seconds(one))
    return table


def _seconds(arrival: Arrival) -> str:
    return "never" if arrival.seconds is None else f"{arrival.seconds:.1f}"


def plan_table(lines: Iterable[bytes]) -> Table:
    """Count a plan's records, from its JSON Lines, by kind, action and reason."""
    counts = Counter[tuple[str, str, str]]()
    for line in lines:
        row = json.loads(line)
        counts[row["entity"], row["action"], row["reason"] or ""] += 1
    table = Table(title="The plan", title_justify="left")
    for column in ("Kind", "Action", "Why"):
        table.add_column(column)
    table.add_column("Records", justify="right")
    for (entity, action, why), count in counts.items():
        table.add_row(entity, action, why, str(count))
    return table


def as_markdown(
    figures: dict[str, Any],
    conditions: Sequence[Condition],
    stages: Sequence[Stage],
    arrivals: Sequence[Arrival],
) -> str:
    """Write the report for people."""
    broken = [one for one in conditions if not one.holds]
    verb = "does" if len(broken) == 1 else "do"
    verdict = f"{len(broken)} of the conditions {verb} not hold" if broken else "all of it holds"
    lines = [
        f"# The demo: {verdict}",
        "",
        "Figures from the sync records and from fake Zoho's own state.",
        "",
        "## What had to hold",
        "",
        "| | condition | seen |",
        "|---|---|---|",
        *(f"| {'✓' if one.holds else '✗'} | {one.sentence} | {one.seen} |" for one in conditions),
        "",
        "## The figures",
        "",
        "| | |",
        "|---|---:|",
        *(f"| {words} | {figures[name]} |" for name, words in _FIGURES.items()),
        "",
        "## Real time",
        "",
        "Four webhooks, each from its post to the record in Zoho, its handler's start included.",
        "",
        "| webhook | in Zoho | s |",
        "|---|---|---:|",
        *(f"| {one.trigger} | {one.seen} | {_seconds(one)} |" for one in arrivals),
        "",
        "## The records, as of the last run",
        "",
        "| | rows | in step | skipped | waiting | here | in Zoho |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {name} | {one['total']} | {one['in_step']} | {one['skipped']} | {one['waiting']} |"
            f" {one['local_amount']} | {one['zoho_amount']} |"
            for name, one in figures["entities"].items()
        ),
        "",
        "## Calls to Zoho, all runs and real time",
        "",
        "| | records that we wrote | writes | reads by id | pages of lists |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {name} | {one['records']} | {one['writes']} | {one['reads']} | {one['pages']} |"
            for name, one in figures["calls_per_record"].items()
        ),
        "",
        "## The runs",
        "",
        "| run | mode | execution | colour | why |",
        "|---|---|---|---|---|",
        *(
            f"| {run['run_id']} | {run['mode']} | {run['execution']} | {run['colour']} |"
            f" {run['why']} |"
            for run in figures["runs"]
        ),
        "",
        "## Seconds",
        "",
        "| stage | s |",
        "|---|---:|",
        *(f"| {stage.title} | {stage.seconds:.1f} |" for stage in stages),
        "",
    ]
    return "\n".join(lines)


def write(
    directory: Path,
    figures: dict[str, Any],
    conditions: Sequence[Condition],
    stages: Sequence[Stage],
    arrivals: Sequence[Arrival],
) -> tuple[Path, Path]:
    """Write `report.md` and `report.json`, each at one blow: another demo may end just now."""
    told = figures | {
        "conditions": [
            {"condition": one.sentence, "holds": one.holds, "seen": one.seen} for one in conditions
        ],
        "stage_seconds": {stage.title: round(stage.seconds, 1) for stage in stages},
    }
    directory.mkdir(parents=True, exist_ok=True)
    people = as_markdown(figures, conditions, stages, arrivals)
    return (
        _replace(directory / "report.md", people),
        _replace(directory / "report.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n"),
    )


def _replace(path: Path, content: str) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(content, encoding="utf-8")
    draft.replace(path)
    return path
