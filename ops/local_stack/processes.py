"""Start background processes, know them again later, and end them with all their children."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Self

import psutil
from pydantic import BaseModel

# A container's /dev/shm often has 64 MB.
_ROOM_NEEDED_BYTES: Final = 2 * 1024**3


class StackError(Exception):
    """A part of the local stack did not do its work; the message says which log tells more."""


class ProcessIdentity(BaseModel):
    """A process, told apart from a later one that was given the same number."""

    name: str
    pid: int
    started: float

    @classmethod
    def of(cls, name: str, pid: int) -> Self:
        return cls(name=name, pid=pid, started=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """Answer the process if it still runs."""
        try:
            process = psutil.Process(self.pid)
            if process.create_time() != self.started:
                return None
        except psutil.NoSuchProcess:
            return None
        return process if _lives(process) else None


class BackgroundProcess:
    """A process of ours that runs beside this one, in a session of its own.

    A Ctrl-C in the terminal therefore reaches only us, and we end it in order. All it prints
    goes to `log`; with `pipe_output`, its standard output comes through `output` instead.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        log: Path,
        cwd: Path | None = None,
        pipe_output: bool = False,
    ) -> None:
        self.log = log
        with log.open("a", encoding="utf-8") as sink:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe_output else sink,
                stderr=sink,
                start_new_session=True,
                text=True,
            )
        self.identity = ProcessIdentity.of(name, self._process.pid)

    @property
    def output(self) -> IO[str]:
        if self._process.stdout is None:
            raise ValueError(f"{self.identity.name} was started without pipe_output")
        return self._process.stdout

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> int:
        """Wait until it ends by itself; answer its exit code."""
        return self._process.wait()

    def end(self) -> None:
        """End it, with its descendants; does nothing if it has ended."""
        end_process(self.identity)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def end_process(identity: ProcessIdentity, *, patience_seconds: float = 2) -> None:
    """End a process and all its descendants: TERM, TERM again, then KILL.

    Asked twice because a server that drains its connections takes the second TERM as "now".
    """
    process = identity.find()
    if process is None:
        return
    family = {process, *_descendants(process)}
    for _ in range(2):
        _send(process, signal.SIGTERM)
        if _wait_for([process], patience_seconds):
            break
        # Children that it started meanwhile would outlive it.
        family |= _descendants(process)
    for survivor in family:
        _send(survivor, signal.SIGKILL)
    _wait_for(family, patience_seconds)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    # psutil compares the start time once more, so a stranger with its number is not hit.
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _wait_for(processes: Iterable[psutil.Process], seconds: float) -> bool:
    """Wait until all have ended; answer whether they did.

    Not `psutil.wait_procs`: where nobody collects orphans, as in many containers, one that ended
    stays as a zombie, and that waits for it to the last.
    """
    give_up_at = time.monotonic() + seconds
    while any(_lives(process) for process in processes):
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.02)
    return True


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _descendants(process: psutil.Process) -> set[psutil.Process]:
    try:
        return set(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def free_port() -> int:
    """Answer a TCP port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def project_root() -> Path:
    """Answer the folder of the checkout, whatever the current directory is."""
    return Path(__file__).resolve().parents[2]


def environment_program(environment: str, program: str) -> Path:
    """Answer a program of one of the project's virtual environments.

    Raises `StackError` where `make install` has not been run.
    """
    path = project_root() / environment / "bin" / program
    if not path.exists():
        raise StackError(f"{environment}/bin/{program} is missing: run `make install` first")
    return path


def tail(log: Path, lines: int = 15) -> str:
    """Answer the last lines of a log, for an error message."""
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def scratch_directory() -> Path:
    """Make a directory for what a run leaves behind: in memory if there is room, and short.

    Local AWS unpacks 60-80 MB for each Lambda worker; a socket's path must be short.
    """
    memory = Path("/dev/shm")  # noqa: S108 (mkdtemp makes a private one in it)
    roomy = memory.is_dir() and shutil.disk_usage(memory).free >= _ROOM_NEEDED_BYTES
    return Path(tempfile.mkdtemp(prefix="billing-sync-", dir=memory if roomy else None))
