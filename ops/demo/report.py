"""The demo's report, for people and for programs."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from ops.demo.display import Stage
from ops.demo.verdict import Condition

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
    "active_seconds": "seconds active, both runs",
    "waited_seconds": "seconds waited, both runs",
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


def plan_table(lines: Iterable[bytes]) -> Table:
    """Show a plan of few records, line by line, from its JSON Lines."""
    table = Table(title="The plan, record by record", title_justify="left")
    for column in ("Customer", "Action", "Why"):
        table.add_column(column)
    for line in lines:
        row = json.loads(line)
        why = row["reason"] or ("not in Zoho" if row["action"] == "create" else "")
        table.add_row(row["account_number"], row["action"], why)
    return table


def as_markdown(
    figures: dict[str, Any], conditions: Sequence[Condition], stages: Sequence[Stage]
) -> str:
    """Write the report for people."""
    broken = [one for one in conditions if not one.holds]
    verb = "does" if len(broken) == 1 else "do"
    verdict = f"{len(broken)} of the conditions {verb} not hold" if broken else "all of it holds"
    lines = [
        f"# The demo: {verdict}",
        "",
        "Figures from the sync records and from fake Zoho's own state, over both runs.",
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
) -> tuple[Path, Path]:
    """Write `report.md` and `report.json`, each at one blow: another demo may end just now."""
    told = figures | {
        "conditions": [
            {"condition": one.sentence, "holds": one.holds, "seen": one.seen} for one in conditions
        ],
        "stage_seconds": {stage.title: round(stage.seconds, 1) for stage in stages},
    }
    directory.mkdir(parents=True, exist_ok=True)
    return (
        _replace(directory / "report.md", as_markdown(figures, conditions, stages)),
        _replace(directory / "report.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n"),
    )


def _replace(path: Path, content: str) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(content, encoding="utf-8")
    draft.replace(path)
    return path
