"""The documents say what is so: every path, command, parameter and word in them exists.

The tables that follow from code are compared whole; where one differs, the failure shows the lines
as they should stand, to be copied into the document.
"""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import typer
from typer.core import TyperGroup

from billing_sync.domain.discrepancies import TELLINGS, Code
from billing_sync.domain.states import STATES, Colour, StateRule
from ops.cli.app import app
from tests.template.translation import ROOT, read_definition, read_template

DOCUMENTS: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)

NOTHING: Final = "\N{EN DASH}"
"""What stands in a table where a state has no colour, or its column is not written."""


# ------------------------------------------------------------------------------------- reading


def prose_and_fences(document: Path) -> tuple[str, list[tuple[str, str]]]:
    """Split a document into its prose, and its fenced blocks with their languages."""
    prose: list[str] = []
    fences: list[tuple[str, str]] = []
    language: str | None = None
    block: list[str] = []
    for line in document.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            if language is None:
                language, block = line.removeprefix("```").strip(), []
            else:
                fences.append((language, "\n".join(block)))
                language = None
        elif language is None:
            prose.append(line)
        else:
            block.append(line)
    assert language is None, f"{document.name}: a fence is not closed"
    return "\n".join(prose), fences


def code_spans(document: Path) -> list[str]:
    """Give what stands between single backticks."""
    prose, _ = prose_and_fences(document)
    assert all(line.count("`") % 2 == 0 for line in prose.splitlines()), "a code span is not closed"
    return re.findall(r"`([^`\n]+)`", prose)


def commands(document: Path) -> Iterator[str]:
    """Give every command line, from code spans and from fenced blocks."""
    _, fences = prose_and_fences(document)
    lines = [line.strip() for _, block in fences for line in block.splitlines()]
    for text in [*code_spans(document), *lines]:
        if text.startswith(("make ", "billing-sync", ".venv-sam/bin/sam ", "LAYER_PLATFORM=")):
            yield text


def table_between(document: Path, marker: str) -> list[str]:
    """Give the lines of a table between `<!-- marker: ... -->` and `<!-- /marker -->`."""
    text = document.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {marker}:.*?-->\n(.*?)<!-- /{marker} -->", text, re.DOTALL)
    assert found is not None, f"{document.name} has no table «{marker}»"
    return found[1].splitlines()


def rows_under(document: Path, heading: str) -> list[list[str]]:
    """Give the cells of the first table whose heading begins so, without the heading."""
    lines = iter(document.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            next(lines)
            break
    else:
        raise AssertionError(f"{document.name} has no table of «{heading}»")
    rows: list[list[str]] = []
    for line in lines:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


@cache
def words_of_the_project() -> frozenset[str]:
    """Every word of the code: of files that git knows, documents and tests left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    words: set[str] = set()
    for name in listed:
        path = ROOT / name
        if name.startswith(("docs/", "tests/", "requirements/")) or path.suffix in {".md", ".csv"}:
            continue
        if path.is_file():
            words.update(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", path.read_text(encoding="utf-8")))
    return frozenset(words)


@cache
def make_targets() -> frozenset[str]:
    """What the Makefile can make."""
    return frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def ignored() -> frozenset[str]:
    """Folders that are made here and are not in git."""
    entries = (ROOT / ".gitignore").read_text().splitlines()
    return frozenset(entry.strip("/") for entry in entries if entry.startswith("/"))


@cache
def command_line() -> TyperGroup:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


# -------------------------------------------------------------------------------------- checks


def test_the_documents_are_there() -> None:
    assert {document.name for document in DOCUMENTS} >= {
        "README.md",
        "architecture.md",
        "backfill.md",
        "operations.md",
        "mapping.md",
        "capacity.md",
        "decisions.md",
    }


@each_document
def test_every_fence_is_closed_and_every_diagram_is_one(document: Path) -> None:
    _, fences = prose_and_fences(document)

    for language, block in fences:
        assert language in {"", "mermaid"}
        assert block.strip()
        if language == "mermaid":
            assert block.split()[0] in {"flowchart", "sequenceDiagram", "stateDiagram-v2"}
            assert block.count("[") == block.count("]")
            assert block.count('"') % 2 == 0


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    prose, _ = prose_and_fences(document)

    for target in re.findall(r"\]\(([^)]+)\)", prose):
        parts = urlsplit(target)
        if parts.scheme:
            continue
        linked = (document.parent / parts.path).resolve() if parts.path else document
        assert linked.is_relative_to(ROOT), target
        assert linked.exists(), target
        if parts.fragment:
            assert parts.fragment in _anchors(linked), target


def _anchors(document: Path) -> set[str]:
    """Give the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
        for heading in headings
    }


@each_document
def test_every_path_is_there_or_is_made(document: Path) -> None:
    for span in code_spans(document):
        first = span.split()[0]
        if not re.fullmatch(r"[\w.-]+(/[\w.*-]+)+/?", first) or first.startswith("runs/"):
            continue
        root = first.split("/")[0]
        made = root in ignored() or any(
            root.startswith(pattern.rstrip("*")) for pattern in ignored() if pattern.endswith("*")
        )
        assert made or list(ROOT.glob(first.rstrip("/"))), f"{first} is not there"


def test_every_folder_of_the_map_is_there() -> None:
    _, fences = prose_and_fences(ROOT / "docs/architecture.md")
    [rooms] = [block for _, block in fences if block.startswith("functions/")]
    names = {name for line in rooms.splitlines() for name in re.findall(r"[\w./]+/(?=\s|$)", line)}

    assert len(names) > 10
    everywhere = [ROOT, *(path for top in ("functions", "layers", "ops") for path in _below(top))]
    for name in names:
        assert any((folder / name).is_dir() for folder in everywhere), f"{name} is not there"


def _below(top: str) -> list[Path]:
    return [ROOT / top, *(path for path in (ROOT / top).rglob("*") if path.is_dir())]


@each_document
def test_every_command_exists_with_its_options(document: Path) -> None:
    for line in commands(document):
        for part in re.split(r" \| | && ", line):
            words = part.split()
            if words[0] == "make":
                assert set(words[1:]) <= make_targets(), line
            elif words[0] == "billing-sync":
                _check_command(words[1:], line)


def _check_command(words: list[str], line: str) -> None:
    if not words:
        return
    known = command_line().commands
    assert words[0] in known, line
    options = {name for parameter in known[words[0]].params for name in parameter.opts}
    options |= {name for parameter in known[words[0]].params for name in parameter.secondary_opts}
    for word in words[1:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in options, line


@each_document
def test_every_option_in_prose_is_one_of_the_command_line(document: Path) -> None:
    options = {
        name
        for command in command_line().commands.values()
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }

    for span in code_spans(document):
        if span.startswith("--"):
            assert span.split()[0] in options, span


def test_every_command_is_in_a_guide() -> None:
    guides = (ROOT / "docs/backfill.md", ROOT / "docs/operations.md")
    named = {line.split()[1] for guide in guides for line in commands(guide) if " " in line}

    assert set(command_line().commands) <= named


@each_document
def test_every_name_in_code_exists_in_the_code(document: Path) -> None:
    """States, codes, columns, parameters, variables, resources: whatever looks like a name."""
    words = words_of_the_project()

    for span in code_spans(document):
        name = span.partition("=")[0].partition(".")[0]
        is_name = re.fullmatch(r"[a-z]+(_[a-z0-9]+)+|[A-Z][A-Z0-9_]+|([A-Z][a-z]+){2,}", name)
        if is_name and not span.endswith("…"):
            assert name in words, f"{span} is not in the code"


@each_document
def test_nothing_leads_into_somebodys_machine(document: Path) -> None:
    text = document.read_text(encoding="utf-8")

    for path in ("/home/", "/Users/", "/tmp/", "localhost:", "127.0.0.1"):
        assert path not in text


# ------------------------------------------------------------------------ tables from the code


def states_table() -> list[str]:
    """Write the table of states as it stands in docs/architecture.md."""
    lines = [
        "| state | meaning | status column | leaves by | in the report |",
        "|---|---|---|---|---|",
    ]
    return lines + [
        f"| `{state}` | {rule.meaning} | {_status_column(rule)} | {rule.leaves_by} |"
        f" {NOTHING if rule.colour is Colour.NONE else rule.colour} |"
        for state, rule in STATES.items()
    ]


def _status_column(rule: StateRule) -> str:
    if not rule.status_written:
        return NOTHING
    return f"`{rule.sync_status}`" if rule.sync_status else "NULL"


def test_the_table_of_states_is_the_one_in_code() -> None:
    assert table_between(ROOT / "docs/architecture.md", "states") == states_table()


def test_every_parameter_stands_in_its_table_with_its_default() -> None:
    documented = {
        name.strip("`"): default.strip("`").strip('"')
        for name, default, _ in rows_under(ROOT / "docs/operations.md", "parameter | default")
    }
    parameters: dict[str, dict[str, Any]] = read_template()["Parameters"]

    assert documented == {
        name: str(parameter.get("Default", "")) for name, parameter in parameters.items()
    }


def test_every_alarm_says_what_to_do() -> None:
    documented = {
        alarm
        for row in rows_under(ROOT / "docs/operations.md", "alarm")
        for alarm in re.findall(r"`(\w+)`", row[0])
    }
    resources: dict[str, dict[str, Any]] = read_template()["Resources"]

    assert documented == {
        name for name, resource in resources.items() if resource["Type"] == "AWS::CloudWatch::Alarm"
    }


def test_every_secret_is_explained() -> None:
    documented = {row[0].strip("`") for row in rows_under(ROOT / "docs/operations.md", "secret")}
    resources: dict[str, dict[str, Any]] = read_template()["Resources"]

    assert documented == {
        name
        for name, resource in resources.items()
        if resource["Type"] == "AWS::SecretsManager::Secret"
    }


def test_the_words_that_a_step_answers_are_those_that_the_machine_knows() -> None:
    documented = {row[0].strip("`") for row in rows_under(ROOT / "docs/architecture.md", "word")}
    choices = read_definition()["States"]["WhatNext"]["Choices"]

    assert documented == {
        word for choice in choices for word in re.findall(r"next = '(\w+)'", choice["Condition"])
    }


def test_every_code_that_a_record_can_have_is_in_the_guide() -> None:
    package = ROOT / "layers/billing_sync/billing_sync"
    services = {
        package / f"services/{name}.py"
        for name in (
            "attempt",
            "sync_record",
            "rules",
            "customers",
            "catalogue",
            "subscriptions",
            "invoices",
            "payments",
        )
    }
    given = r'code="(\w+)"|code, sentence = "(\w+)"|Stuck\(\s*State\.\w+,\s*"(\w+)"'
    codes = {
        code
        for path in services
        for found in re.findall(given, _read(path))
        for code in found
        if code
    }
    for path in {*services, *(package / "domain").glob("*.py")}:
        codes |= set(re.findall(r'Unsendable\(\s*"(\w+)"', _read(path)))
    codes |= set(re.findall(r"code = '(\w+)'", _read(package / "adapters/postgres/records.py")))
    codes |= set(
        re.findall(r"code = '(\w+)'", _read(package / "adapters/postgres/verification.py"))
    )
    guide = ROOT / "docs/backfill.md"
    documented = {
        code
        for row in (*rows_under(guide, "code | state"), *rows_under(guide, "code | of"))
        for code in re.findall(r"`(\w+)`", row[0])
    }

    assert len(codes) > 50
    assert sorted(codes - documented) == []


def test_every_discrepancy_is_in_the_guide_with_its_gravity() -> None:
    rows = rows_under(ROOT / "docs/backfill.md", "finding")

    documented = {row[0].strip("`"): row[1] for row in rows}

    assert {code: documented.get(code) for code in Code} == {
        code: TELLINGS[code].severity for code in Code
    }


def test_every_column_of_customers_is_mapped() -> None:
    from billing_sync.domain.source_contract import VIEWS  # noqa: PLC0415 - of this test alone

    [customers] = [view for view in VIEWS if view.name == "customers"]
    documented = {row[0].strip("`") for row in rows_under(ROOT / "docs/mapping.md", "our column")}

    assert {column.name for column in customers.columns} - {"id"} <= documented


FIRST_RUNS = "| calls | at 90 a minute | days at 1,000 | at 2,000 | at 5,000 | at 10,000 |"


def how_long(calls: int) -> str:
    """Compute how long so many calls take, as the cells of a row in docs/capacity.md."""
    minutes = calls / 90
    lasts = f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
    # A tenth of the day is kept for triggers.
    days = [f"{-(-calls // (cap - cap // 10)):,}" for cap in (1_000, 2_000, 5_000, 10_000)]
    return f"| {calls:,} | {lasts} | {' | '.join(days)} |"


def pages(rows: int) -> int:
    return -(-rows // 200)


def first_runs_table() -> list[str]:
    """Compute how long a first run of customers alone takes."""
    lines = [f"| customers {FIRST_RUNS}", "|---:|---:|---:|---:|---:|---:|---:|"]
    # Preflight, the snapshot's one page, a create each, and verify by pages.
    lines += [
        f"| {customers:,} {how_long(3 + 1 + customers + pages(customers))}"
        for customers in (1_000, 10_000, 50_000)
    ]
    return lines


def whole_runs_table() -> list[str]:
    """Compute how long a first run of all four phases takes, by what is sent of the past."""
    customers = 10_000
    catalogue = 2 * (5 + 20)
    lines = [
        f"| invoices and payments sent {FIRST_RUNS}",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for what, each in (
        ("none: both cut-overs today", 0),
        ("10,000 of each", 10_000),
        ("60,000 of each", 60_000),
    ):
        # Customer and subscription 1 each, invoice and payment 2 each; verify has three lists.
        sent = catalogue + 2 * customers + 2 * each + 2 * each
        verified = 2 * pages(customers) + pages(each)
        lines.append(f"| {what} {how_long(8 + 3 + sent + verified)}")
    return lines


def test_the_computed_capacity_is_computed() -> None:
    capacity = ROOT / "docs/capacity.md"

    assert table_between(capacity, "first runs") == first_runs_table()
    assert table_between(capacity, "whole runs") == whole_runs_table()


def test_the_measured_figures_say_when_and_where() -> None:
    text = _read(ROOT / "docs/capacity.md")
    measured = text.partition("<!-- measured:")[2].partition("<!-- /measured -->")[0]

    assert re.search(r"Measured on \d{4}-\d{2}-\d{2}: .+, Python 3\.13", measured)
    assert set(re.findall(r"^### (.+)$", measured, re.MULTILINE)) == {
        "Imports of a cold start",
        "The webhooks' door, warm",
        "One record through sync_record",
        "The snapshot",
        "One message of a trigger, worked off",
        "Permits",
        "Plan",
    }


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
