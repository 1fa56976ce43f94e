"""The layers, as their Makefiles build them, hold all that the functions import, with bytecode."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from ops.local_stack.processes import environment_program, project_root
from ops.local_stack.sam import layer_platform

ROOT = project_root()
HANDLERS = sorted(ROOT.glob("functions/**/app.py"))

# What Lambda's Python runtime has by itself: the AWS SDK and what that needs.
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")

# Only the layers, the runtime's packages and the function's folder; nothing of this environment.
IMPORT_ALONE = """
import sys
sys.path[:0] = sys.argv[1:]
import app
assert callable(app.handler)
"""

IMPORT_ALL = """
import importlib, sys
names, sys.path[:0] = sys.argv[1].split(), sys.argv[2:]
for name in names:
    importlib.import_module(name)
"""


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders that the two layers become under /opt/python."""
    folder = tmp_path_factory.mktemp("layers")
    built = {}
    for name, target in (("dependencies", "Dependencies"), ("billing_sync", "BillingSync")):
        subprocess.run(
            ["make", "--silent", f"build-{target}Layer", f"ARTIFACTS_DIR={folder / name}"],
            cwd=ROOT / "layers" / name,
            env={
                **os.environ,
                "PATH": f"{environment_program('.venv', 'uv').parent}:{os.environ['PATH']}",
                "LAYER_PLATFORM": layer_platform(),
                "UV_SYSTEM_CERTS": "true",
            },
            check=True,
        )
        built[name] = folder / name / "python"
    return built


@pytest.fixture(scope="module")
def path(layers: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What stands on Python's path in Lambda, besides the function's own folder."""
    runtime = tmp_path_factory.mktemp("runtime")
    for name in RUNTIME:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (runtime / source.name).symlink_to(source)
    return [*map(str, layers.values()), str(runtime)]


def _run_alone(program: str, path: list[str]) -> str:
    # -I -S: neither this environment's packages nor the current directory.
    finished = subprocess.run(
        [environment_program(".venv", "python"), "-I", "-S", "-B", "-c", program, *path],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda path: path.parent.name)
def test_handler_is_imported_from_the_layers_alone(handler: Path, path: list[str]) -> None:
    _run_alone(IMPORT_ALONE, [str(handler.parent), *path])


def test_every_module_of_ours_is_imported_from_the_layers_alone(path: list[str]) -> None:
    source = ROOT / "layers/billing_sync"
    names = [
        ".".join(module.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for module in sorted(source.rglob("*.py"))
        # Alembic itself runs these.
        if "migrations" not in module.parts
    ]

    assert "billing_sync.bootstrap" in names
    _run_alone(IMPORT_ALL, [" ".join(names), *path])


@pytest.mark.parametrize("name", ["dependencies", "billing_sync"])
def test_every_module_has_bytecode_that_no_zip_can_make_stale(
    layers: dict[str, Path], name: str
) -> None:
    sources = list(layers[name].rglob("*.py"))
    compiled = {source: Path(importlib.util.cache_from_source(source)) for source in sources}

    missing = [source for source, cached in compiled.items() if not cached.exists()]
    # PEP 552: flags 0b01 say "by hash", and "do not check".
    checked = [
        cached
        for cached in compiled.values()
        if cached.exists() and int.from_bytes(cached.read_bytes()[4:8], "little") != 0b01
    ]

    assert sources
    assert missing == []
    assert checked == []


def test_layers_and_code_stay_within_what_lambda_unpacks(layers: dict[str, Path]) -> None:
    size = sum(
        file.stat().st_size
        for layer in layers.values()
        for file in layer.rglob("*")
        if file.is_file()
    )

    assert size < 150 * 1024**2, "Lambda takes 250 MB; so far there is ample room"


def test_migrations_go_along(layers: dict[str, Path]) -> None:
    migrations = layers["billing_sync"] / "billing_sync/adapters/postgres/migrations"

    assert list((migrations / "versions").glob("*.py"))
    assert (migrations / "env.py").exists()


def test_the_layer_is_locked_as_the_developers_environment_is() -> None:
    lock = (ROOT / "requirements/runtime.txt").read_text()
    development = (ROOT / "requirements/dev.txt").read_text()
    pins = [line.split()[0] for line in lock.splitlines() if "==" in line and line[0].isalpha()]

    assert (ROOT / "layers/dependencies/requirements.txt").read_text() == lock
    assert pins
    assert [pin for pin in pins if pin not in development] == []
