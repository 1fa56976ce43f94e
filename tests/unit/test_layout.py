"""Imports run one way, handlers are translators, and every folder is where design §3 has it.

domain ◄── ports ◄── services ◄── (adapters, bootstrap) ◄── functions, ops
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "layers" / "billing_sync" / "billing_sync"
HANDLERS = sorted((ROOT / "functions").rglob("app.py"))

# What a part of the package may import of the package; and of the world, besides the standard
# library. `domain` stays plain: no database, no network, no AWS.
OURS = {
    "domain": {"domain"},
    "ports": {"domain", "ports"},
    "services": {"domain", "ports", "services"},
    "adapters": {"domain", "ports", "adapters"},
    "config": {"domain", "environment"},
    "environment": {"domain"},
    "observability": set(),
    "messages": {"domain", "observability"},
    "bootstrap": {"domain", "ports", "services", "adapters", "config", "environment"},
}
THEIRS = {
    "domain": {"pydantic", "pydantic_core"},
    "ports": set(),
    "services": {"pydantic"},
    "adapters": {"alembic", "boto3", "botocore", "httpcore", "httpx", "jinja2", "psycopg",
                 "pydantic", "sqlalchemy"},
    "config": {"pydantic"},
    "environment": {"pydantic"},
    "observability": {"aws_lambda_powertools"},
    "messages": {"aws_lambda_powertools"},
    "bootstrap": {"sqlalchemy"},
}  # fmt: skip

OF_THE_WORLD = {"alembic", "boto3", "botocore", "httpcore", "httpx", "psycopg", "sqlalchemy"}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if part_of(path) != "__init__"]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports_of(path: Path) -> Iterator[str]:
    """Name every module that a file imports, wherever in the file, with what is taken of it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: a relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_imported(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "billing_sync" and len(parts) > 1 else None


def top_level(path: Path) -> set[str]:
    return {module.partition(".")[0] for module in imports_of(path)}


def test_every_part_of_the_package_has_its_rule() -> None:
    assert {part_of(path) for path in MODULES} == set(OURS)
    assert set(OURS) == set(THEIRS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    imported = {part for module in imports_of(path) if (part := part_imported(module))}

    assert imported <= OURS[part_of(path)]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_world_is_imported_only_where_it_belongs(path: Path) -> None:
    theirs = top_level(path) - sys.stdlib_module_names - {"billing_sync"}
    # Types of clients that are made at run time: imported for the type checker alone.
    theirs = {name for name in theirs if not name.startswith("mypy_boto3_")}

    assert theirs <= THEIRS[part_of(path)]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_package_knows_nothing_of_functions_ops_and_tests(path: Path) -> None:
    assert not top_level(path) & {"functions", "ops", "tests"}


def test_in_the_package_and_the_functions_bootstrap_alone_names_adapters() -> None:
    naming = {
        name_of(path)
        for path in [*MODULES, *(ROOT / "functions").rglob("*.py")]
        if part_imports_adapters(path) and "adapters" not in path.parts
    }

    assert naming == {name_of(PACKAGE / "bootstrap.py")}


def part_imports_adapters(path: Path) -> bool:
    return any(part_imported(module) == "adapters" for module in imports_of(path))


@pytest.mark.parametrize("path", sorted((ROOT / "ops" / "cli").rglob("*.py")), ids=name_of)
def test_the_command_reaches_a_stack_through_aws_alone(path: Path) -> None:
    assert not part_imports_adapters(path)
    assert not top_level(path) & {"alembic", "httpx", "psycopg", "sqlalchemy"}


# -------------------------------------------------------------------------------------- handlers


def test_there_is_one_handler_for_each_function_of_the_layout() -> None:
    steps = ("preflight", "snapshot", "plan", "sync_batch", "verify", "report", "conclude")

    assert {name_of(path.parent) for path in HANDLERS} >= {
        "functions/operate",
        "functions/migrate",
        *(f"functions/backfill/{step}" for step in steps),
    }


@pytest.mark.parametrize("path", HANDLERS, ids=name_of)
def test_a_handler_is_short_and_says_its_trigger(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text))

    assert 10 <= len(text.splitlines()) <= 40
    assert docstring is not None
    assert "Trigger:" in docstring


@pytest.mark.parametrize("path", HANDLERS, ids=name_of)
def test_a_handler_translates_and_decides_nothing(path: Path) -> None:
    imported = set(imports_of(path))
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert not top_level(path) & OF_THE_WORLD
    parts = {part for module in imported if (part := part_imported(module))}
    assert parts <= {"bootstrap", "domain", "messages", "observability"}
    # No branch and no loop (so no retry either): event in, one call, result or refusal out.
    deciding = (ast.If, ast.IfExp, ast.For, ast.While, ast.Match)
    assert [node for node in ast.walk(tree) if isinstance(node, deciding)] == []


@pytest.mark.parametrize("path", [*MODULES, *HANDLERS], ids=name_of)
def test_no_module_does_anything_when_it_is_imported_but_define(path: Path) -> None:
    """Nothing is built at import: a bare call at the top of a module would be."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [
        node.lineno
        for node in tree.body
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    ]
    is_alembics_entry = path.name == "env.py"

    assert calls == [] or is_alembics_entry


# ---------------------------------------------------------------------------------------- folders


def test_the_top_level_is_that_of_the_design() -> None:
    for folder in ("functions", "layers", "events", "ops", "tests", "docs"):
        assert (ROOT / folder).is_dir(), folder
    for file in ("template.yaml", "samconfig.toml", "Makefile", "README.md", "LICENSE"):
        assert (ROOT / file).is_file(), file
    assert (ROOT / "functions" / "backfill" / "state_machine.asl.json").is_file()
    assert {path.name for path in (ROOT / "layers").iterdir()} == {"billing_sync", "dependencies"}


def test_no_module_is_named_after_nothing() -> None:
    sources = [
        path for top in ("functions", "layers", "ops") for path in (ROOT / top).rglob("*.py")
    ]
    nothing = {"utils", "helpers", "common", "manager", "misc"}

    assert [name_of(path) for path in sources if nothing & {*path.parts, path.stem}] == []


@pytest.mark.parametrize("path", [*MODULES, *HANDLERS], ids=name_of)
def test_every_module_says_in_its_first_line_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))

    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":", "?"))
