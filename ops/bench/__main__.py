"""Measure, print the figures, and write them to build/bench."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markdown import Markdown

from ops.bench import figures, imports, permits, plan, records, triggers
from ops.bench.figures import Table
from ops.bench.world import postgres
from ops.local_stack.interruptions import interruptible
from ops.local_stack.processes import project_root

FIGURES: Final = project_root() / "build" / "bench"


def main() -> int:
    """Run every part in turn."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench", description=__doc__)
    parser.add_argument("--plan", type=int, metavar="CUSTOMERS", help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    with interruptible():
        if asked.plan is not None:
            # A process of the bench's own, started by itself.
            with postgres() as server:
                measured = plan.measure_here(server, asked.directory, asked.plan)
            sys.stdout.write(json.dumps(measured) + "\n")
        else:
            _measure_all(Console())
    return 0


def _measure_all(console: Console) -> None:
    tables: list[Table] = []
    measured_on = figures.machine()
    with tempfile.TemporaryDirectory(prefix="billing-sync-bench-") as name:
        directory = Path(name)

        def part(what: str, measure: Callable[[], list[Table]]) -> None:
            console.print(f"measuring {what}", style="dim")
            tables.extend(measure())

        part("imports", lambda: [imports.measure(directory)])
        part("the door", lambda: [triggers.measure_door()])
        with postgres() as server:
            part("records", lambda: records.measure(server, directory))
            part("triggers", lambda: [triggers.measure_handlers(server, directory)])
            part("permits", lambda: [permits.measure(server)])
        part("plans", lambda: plan.measure(directory))
    console.print(Markdown(figures.as_markdown(tables, measured_on)))
    for path in figures.write(tables, measured_on, FIGURES):
        console.print(f"wrote {path.relative_to(project_root())}", style="dim")


if __name__ == "__main__":
    sys.exit(main())
