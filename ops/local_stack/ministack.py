"""Run AWS on this machine (the package `ministack`), with permissions checked."""

import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from ops.local_stack.interruptions import held
from ops.local_stack.processes import (
    BackgroundProcess,
    StackError,
    environment_program,
    free_port,
    tail,
)

REGION: Final = "us-east-1"
# The key that ministack takes for the account's root. It opens nothing but this local server.
ROOT_ACCESS_KEY: Final = "test"
ROOT_SECRET_KEY: Final = "test"  # noqa: S105

_START_SECONDS: Final = 30
# A port that was free a moment ago may be taken before ministack binds it.
_ATTEMPTS: Final = 5


class Ministack:
    """Local AWS: one server, whose Lambda workers are its child processes.

    `directory` takes all that it unpacks; stopping removes it. `time_scale` divides what a state
    machine waits.
    """

    def __init__(self, directory: Path, *, log: Path, time_scale: float = 1) -> None:
        self.directory = directory
        self.log = log
        self.time_scale = time_scale
        self.process: BackgroundProcess | None = None
        self.port = 0

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, and answer when it takes requests."""
        self.directory.mkdir(mode=0o700)
        for attempt in range(1, _ATTEMPTS + 1):
            self.port = free_port()
            with held():
                self.process = BackgroundProcess(
                    "ministack",
                    [environment_program(".venv-ministack", "python"), "-m", "ministack"],
                    environment=self._server_environment(),
                    log=self.log,
                    cwd=self.directory,
                )
            give_up_at = time.monotonic() + _START_SECONDS
            while not self.process.has_ended:
                if self._is_ready():
                    return
                if time.monotonic() > give_up_at:
                    raise StackError(
                        f"local AWS did not start in {_START_SECONDS} s; its log: {self.log}"
                    )
                time.sleep(0.05)
            if attempt == _ATTEMPTS or "already in use" not in tail(self.log):
                raise StackError(f"local AWS ended at once:\n{tail(self.log)}\nits log: {self.log}")

    def stop(self) -> None:
        """End the server and its workers, and remove what they unpacked."""
        if self.process is not None:
            self.process.end()
            self.process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def _server_environment(self) -> dict[str, str]:
        """Answer its whole environment: what is in it reaches the functions, too."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_REGION": REGION,
            # Refuse what a function's role does not allow, as AWS would.
            "AUTH": "true",
            "LAMBDA_EXECUTOR": "local",
            "SFN_WAIT_SCALE": repr(1 / self.time_scale),
            # It would listen on a fixed port.
            "IOT_MTLS_ENABLED": "0",
        }

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(  # noqa: S310 (a fixed http URL)
                f"{self.endpoint_url}/_ministack/ready", timeout=5
            ) as answer:
                status: int = answer.status
                return status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


def local_address(endpoint_url: str, url: str) -> str:
    """Answer where local AWS serves an address of API Gateway's, such as the output WebhookUrl."""
    address = urlsplit(url)
    api = (address.hostname or "").partition(".")[0]
    return f"{endpoint_url}/_aws/execute-api/{api}{address.path}"


def root_environment(endpoint_url: str) -> dict[str, str]:
    """Answer the variables with which any AWS SDK or tool works on local AWS, and only there."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": ROOT_ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": ROOT_SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        # Whatever the person's own profile says, nothing of it must reach a real account.
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
