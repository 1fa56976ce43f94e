"""The figures of a run of the bench, and the machine that they were measured on."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil


@dataclass(frozen=True, slots=True)
class Table:
    """One measurement: rows of texts under headings, and what was measured, in a sentence."""

    name: str
    what: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)


def machine() -> dict[str, str]:
    """Say what was measured on: without it a figure says nothing."""
    cpus = f"{psutil.cpu_count()} cores"
    memory = f"{psutil.virtual_memory().total / 1024**3:.0f} GB"
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": f"{_processor()}, {cpus}, {memory}",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        # How busy it was otherwise: figures of a machine that others use are worth less.
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _processor() -> str:
    """Read the processor's name where Linux tells it; elsewhere the architecture must do."""
    try:
        told = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return platform.machine()
    for line in told.splitlines():
        if line.startswith("Model name:"):
            return line.partition(":")[2].strip()
    return platform.machine()


def as_markdown(tables: Sequence[Table], measured_on: dict[str, str]) -> str:
    """Lay the figures out as they stand in docs/capacity.md."""
    where = ", ".join(measured_on[word] for word in ("processor", "system"))
    lines = [
        (
            f"Measured on {measured_on['date']}: {where}, Python {measured_on['python']};"
            f" load average {measured_on['load']} when it began, {os.getloadavg()[0]:.1f} when it"
            " ended."
        ),
        "",
    ]
    for table in tables:
        lines += [f"### {table.name}", "", table.what, ""]
        lines.append(f"| {' | '.join(table.headings)} |")
        lines.append(f"|---{'|---:' * (len(table.headings) - 1)}|")
        lines += [f"| {' | '.join(row)} |" for row in table.rows]
        lines.append("")
    return "\n".join(lines)


def write(tables: Sequence[Table], measured_on: dict[str, str], directory: Path) -> list[Path]:
    """Write the figures for people and for programs."""
    directory.mkdir(parents=True, exist_ok=True)
    content = {"machine": measured_on, "tables": [asdict(table) for table in tables]}
    files: Final = {
        "figures.json": json.dumps(content, indent=2) + "\n",
        "figures.md": as_markdown(tables, measured_on),
    }
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    return [directory / name for name in files]
