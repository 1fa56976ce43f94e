"""What a cold start spends on imports: each handler, from the layers as they are deployed."""

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Final

from billing_sync.domain.triggers import Trigger
from ops.bench.figures import Table
from ops.local_stack.processes import environment_program, project_root
from ops.local_stack.sam import layer_platform

TIMES: Final = 3

# What Lambda's Python runtime has by itself: the AWS SDK and what that needs.
RUNTIME: Final = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")

# A handler imports little; what its service needs is imported on the first call. Nothing is
# connected to: secrets are given, and the governor, where there is one, is not configured.
PROGRAM: Final = """
import sys, time
sys.path[:0] = sys.argv[3:]
started = time.process_time()
import app
imported = time.process_time()
from billing_sync import bootstrap
container = bootstrap.container()
if sys.argv[2] == "zoho":
    from billing_sync.adapters.postgres.quota import PostgresQuota
    PostgresQuota.configure = lambda *_: None
class Given:
    def read(self, _arn):
        return dict(host="localhost", port=1, dbname="none", username="nobody")
    def key(self, _url):
        return ""
container.secrets = container.credentials = container.token_store = Given()
getattr(bootstrap, sys.argv[1])()
if sys.argv[2] == "zoho":
    container.api
ready = time.process_time()
print((imported - started) * 1000, (ready - imported) * 1000)
"""

HANDLERS: Final = frozenset(trigger.value.replace("-", "_") for trigger in Trigger)
"""Of the triggers: one service behind all four."""

CALLS_ZOHO: Final = HANDLERS | {"preflight", "snapshot", "sweep", "sync_batch", "verify"}

ENVIRONMENT: Final = {
    "PATH": os.defpath,
    "ORGANISATION_ID": "60000000000",
    "POWERTOOLS_SERVICE_NAME": "billing-sync",
    "DATABASE_SECRET_ARN": "none",
    "DATABASE_OWNER_SECRET_ARN": "none",
    "RUNS_BUCKET": "none",
    "OPERATE_FUNCTION_ARN": "arn:aws:lambda:eu-west-1:000000000000:function:operate",
    "WEBHOOK_SECRET_ARN": "none",
    **{f"QUEUE_URL_{name.upper()}": "none" for name in HANDLERS},
}
ENVIRONMENT_OF_ZOHO: Final = {"ZOHO_SECRET_ARN": "none", "ZOHO_TOKEN_SECRET_ARN": "none"}


def measure(directory: Path) -> Table:
    """Import each handler in a fresh interpreter, several times; the quickest counts."""
    table = Table(
        "Imports of a cold start",
        f"Processor time, to which other work on the machine adds less; the quickest of {TIMES}"
        " fresh interpreters, from the built layers with their bytecode, files in the page cache."
        " «First use» is what the service behind the handler imports when it is made; clients of"
        " AWS and all connections come on top.",
        ("function", "handler ms", "first use ms", "together ms"),
    )
    layers = _build_layers(directory / "layers")
    path = [*map(str, layers), str(_runtime(directory / "runtime"))]
    root = project_root() / "functions"
    for handler in sorted(root.glob("**/app.py"), key=lambda found: found.parent.name):
        name = handler.parent.name
        _once(name, [str(handler.parent), *path])
        samples = [_once(name, [str(handler.parent), *path]) for _ in range(TIMES)]
        imported, used = min(samples, key=sum)
        table.rows.append((name, f"{imported:.0f}", f"{used:.0f}", f"{imported + used:.0f}"))
    return table


def _once(name: str, path: list[str]) -> tuple[float, float]:
    # -I -S: neither this environment's packages nor the current directory.
    uses_zoho = name in CALLS_ZOHO
    service = "wake_up" if name in HANDLERS else name
    python = str(environment_program(".venv", "python"))
    done = subprocess.run(
        [python, "-I", "-S", "-B", "-c", PROGRAM, service, "zoho" if uses_zoho else "none", *path],
        env={**ENVIRONMENT, **(ENVIRONMENT_OF_ZOHO if uses_zoho else {})},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    imported, used = map(float, done.stdout.split())
    return imported, used


def _build_layers(directory: Path) -> list[Path]:
    """Build both layers as `sam build` does, by their own Makefiles."""
    built = []
    for name, target in (("dependencies", "Dependencies"), ("billing_sync", "BillingSync")):
        programs = environment_program(".venv", "uv").parent
        subprocess.run(
            ["make", "--silent", f"build-{target}Layer", f"ARTIFACTS_DIR={directory / name}"],
            cwd=project_root() / "layers" / name,
            env={
                **os.environ,
                "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                "LAYER_PLATFORM": layer_platform(),
                "UV_SYSTEM_CERTS": "true",
            },
            check=True,
        )
        built.append(directory / name / "python")
    return built


def _runtime(directory: Path) -> Path:
    """Link what Lambda's runtime brings along into a folder of its own."""
    directory.mkdir()
    for name in RUNTIME:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise RuntimeError(f"{name} is not installed: run `make install`")
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (directory / source.name).symlink_to(source)
    return directory
