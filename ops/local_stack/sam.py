"""Build and deploy a template with the real AWS SAM command line tool."""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from ops.local_stack.clients import Clients
from ops.local_stack.interruptions import held
from ops.local_stack.ministack import REGION, root_environment
from ops.local_stack.processes import (
    BackgroundProcess,
    StackError,
    environment_program,
    project_root,
    tail,
)

# What Python, and with it Lambda, calls the machine's processor.
_ARCHITECTURES: Final = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_ARTIFACTS_BUCKET: Final = "sam-artifacts"


def host_architecture() -> str:
    """Answer Lambda's name for this machine's processor: local AWS runs functions natively."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise StackError(f"no Lambda architecture is like this machine's: {machine}")
    return _ARCHITECTURES[machine]


def layer_platform() -> str:
    """Answer uv's name for the packages that run on this machine."""
    machine = "aarch64" if host_architecture() == "arm64" else "x86_64"
    return f"{machine}-manylinux_2_28"


class SamBuild:
    """`sam build`, running beside other work until `finish` is called.

    The cache and the build folder of a template are one for the whole checkout; one build at a
    time works in them. `finish` answers a copy (of links, so it costs nothing) that no later
    build touches.
    """

    def __init__(self, template: Path, *, log: Path) -> None:
        self.template = template
        self.log = log
        self._lock: IO[str] | None = None
        self.process: BackgroundProcess | None = None

    def start(self) -> None:
        """Start building; waits for another build that is under way in this checkout."""
        home = _build_home(self.template)
        self._lock = (home / ".lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        architecture = host_architecture()
        with held():
            self.process = BackgroundProcess(
                "sam build",
                [
                    environment_program(".venv-sam", "sam"),
                    "build",
                    *("--template-file", self.template),
                    *("--build-dir", home / "build"),
                    *("--cache-dir", home / "cache"),
                    *("--config-file", _no_config()),
                    *("--parameter-overrides", f"Architecture={architecture}"),
                    *("--region", REGION),
                    "--cached",
                    "--parallel",
                ],
                environment={
                    **_tool_environment(),
                    "LAYER_PLATFORM": layer_platform(),
                },
                log=self.log,
                cwd=self.template.parent,
            )

    def finish(self) -> Path:
        """Wait for the build; answer a folder of its own with the built `template.yaml`.

        Whoever asked for it removes it.
        """
        if self.process is None:
            raise StackError("sam build was not started")
        try:
            if self.process.wait() != 0:
                raise StackError(f"sam build failed:\n{tail(self.log)}\nits log: {self.log}")
            # Beside the build folder, since the template names files of the project (the state
            # machine) by their path from there.
            home = _build_home(self.template)
            destination = Path(tempfile.mkdtemp(prefix="deploy-", dir=home))
            shutil.copytree(
                home / "build", destination, copy_function=_link_or_copy, dirs_exist_ok=True
            )
        finally:
            self.stop()
        return destination

    def stop(self) -> None:
        """End a build that is under way, and let the next one begin."""
        if self.process is not None:
            self.process.end()
            self.process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def deploy(
    build: Path,
    *,
    stack_name: str,
    clients: Clients,
    parameters: Mapping[str, str | int | float],
    log: Path,
) -> dict[str, str]:
    """Run `sam deploy` on a finished build against local AWS; answer the stack's outputs.

    Deploying again without a change is no error.
    """
    # With a bucket of our own the tool need not deploy a stack for one first.
    clients.s3.create_bucket(Bucket=_ARTIFACTS_BUCKET)
    # From a file: no shell-like quoting of values that hold blanks or braces. (JSON is YAML.)
    overrides = build / "parameters.yaml"
    overrides.write_text(json.dumps(dict(parameters)), encoding="utf-8")

    with held():
        process = BackgroundProcess(
            "sam deploy",
            [
                environment_program(".venv-sam", "sam"),
                "deploy",
                *("--template-file", build / "template.yaml"),
                *("--config-file", _no_config()),
                *("--stack-name", stack_name),
                *("--s3-bucket", _ARTIFACTS_BUCKET),
                *("--region", REGION),
                *("--capabilities", "CAPABILITY_IAM"),
                *("--parameter-overrides", f"file://{overrides}"),
                "--no-confirm-changeset",
                "--no-fail-on-empty-changeset",
                "--no-progressbar",
            ],
            environment={**_tool_environment(), **root_environment(clients.endpoint_url)},
            log=log,
            cwd=build,
        )
    try:
        if process.wait() != 0:
            raise StackError(f"sam deploy failed:\n{tail(log)}\nits log: {log}")
    finally:
        process.end()
    described = clients.cloudformation.describe_stacks(StackName=stack_name)
    outputs = described["Stacks"][0].get("Outputs", [])
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def _build_home(template: Path) -> Path:
    """Answer where a template is built: the tool clears away what another template left there."""
    name = hashlib.sha256(bytes(template.resolve())).hexdigest()[:8]
    home = project_root() / "build" / "sam" / f"{template.stem}-{name}"
    home.mkdir(parents=True, exist_ok=True)
    return home


def _no_config() -> Path:
    """Answer an empty configuration: the project's samconfig.toml is for deployments to AWS."""
    return Path(__file__).with_name("samconfig.toml")


def _tool_environment() -> dict[str, str]:
    programs = environment_program(".venv", "python").parent
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        # A layer's Makefile runs outside the project: this Python and this uv, not others.
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        # uv brings certificates of its own; a registry behind a proxy is known to the system's.
        "UV_SYSTEM_CERTS": "true",
        "SAM_CLI_TELEMETRY": "0",
        # How often it asks CloudFormation for news; a round-trip here costs next to nothing.
        "SAM_CLI_POLL_DELAY": "0.5",
        # Where the tool remembers when it last looked for a newer version of itself.
        "__SAM_CLI_APP_DIR": str(project_root() / "build" / "sam" / "tool"),
        # For bucket names and the like the tool asks for credentials even to build.
        **root_environment("http://127.0.0.1:9"),
    }


def _link_or_copy(source: str, destination: str) -> str:
    try:
        os.link(source, destination)
    except OSError:
        # Another file system, or one without links.
        shutil.copy2(source, destination)
    return destination
