"""However a run ends, nothing that it started stays behind, and nobody else's is touched."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ops.local_stack.interruptions import Interrupted, held, interruptible
from ops.local_stack.ministack import Ministack
from ops.local_stack.postgres import SUPERUSER, PostgresServer
from ops.local_stack.processes import (
    BackgroundProcess,
    ProcessIdentity,
    end_process,
    scratch_directory,
)
from ops.local_stack.state import PostgresState, StackState, end_abandoned

# Starts a server, a process with a child, tells where, and then waits for its end.
PROGRAM = """
import os, sys, time
from pathlib import Path
from ops.local_stack.interruptions import Interrupted, interruptible
from ops.local_stack.postgres import PostgresServer, lock_directory
from ops.local_stack.processes import BackgroundProcess, ProcessIdentity
from ops.local_stack.state import PostgresState, StackState

run, scratch = Path(sys.argv[1]), Path(sys.argv[2])
state = StackState(
    run_directory=run, stack_name="s", time_scale=1,
    scratch=[scratch, lock_directory()],
    owner=ProcessIdentity.of("owner", os.getpid()),
)
try:
    with interruptible(), PostgresServer(scratch / "postgres", log=run / "p.log") as server:
        state.postgres = PostgresState(
            data_directory=server.directory, socket_directory=server.socket_directory,
            database="postgres", passwords=server.passwords,
        )
        sleeper = BackgroundProcess(
            "sleeper", ["sh", "-c", "sleep 600 & wait"], environment=os.environ, log=run / "s.log"
        )
        state.processes.append(sleeper.identity)
        state.save()
        try:
            print("up", flush=True)
            time.sleep(600)
        finally:
            sleeper.end()
except Interrupted as interruption:
    sys.exit(interruption.exit_code)
"""


@pytest.fixture
def scratch() -> Iterator[Path]:
    directory = scratch_directory()
    yield directory
    if directory.exists():
        directory.rmdir()


@pytest.fixture
def program(tmp_path: Path, scratch: Path) -> Iterator[tuple[subprocess.Popen[str], StackState]]:
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, run, scratch], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        state = StackState.load(run)
        assert state is not None
        yield process, state
        if process.poll() is None:
            process.kill()
        state.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_that_was_started(
    program: tuple[subprocess.Popen[str], StackState], number: signal.Signals
) -> None:
    process, state = program
    children = _postgres_and_sleeper(state)

    process.send_signal(number)

    assert process.wait(20) == 128 + number
    assert _still_running(children) == []
    assert not (state.scratch[0] / "postgres").exists()


def test_what_a_killed_run_left_is_ended_by_the_next(
    program: tuple[subprocess.Popen[str], StackState],
) -> None:
    process, state = program
    children = _postgres_and_sleeper(state)
    runs = state.run_directory.parent

    assert end_abandoned(runs) == [], "its owner still runs"
    process.kill()
    process.wait()
    assert len(_still_running(children)) == len(children), "nobody was there to end them"

    assert end_abandoned(runs) == [state.run_directory]
    assert _still_running(children) == []
    assert [folder for folder in state.scratch if folder.exists()] == []
    assert end_abandoned(runs) == []


def test_two_servers_at_once_do_not_touch_each_other(tmp_path: Path, scratch: Path) -> None:
    with (
        Ministack(scratch / "a", log=tmp_path / "a.log") as one,
        PostgresServer(scratch / "p", log=tmp_path / "p.log") as first,
    ):
        with (
            Ministack(scratch / "b", log=tmp_path / "b.log") as other,
            PostgresServer(scratch / "q", log=tmp_path / "q.log"),
        ):
            assert one.port != other.port

        assert one.process is not None
        assert not one.process.has_ended
        with first.database(SUPERUSER).connect(SUPERUSER) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert list(scratch.iterdir()) == []


def test_a_process_that_ignores_term_is_killed_with_its_children(tmp_path: Path) -> None:
    log = tmp_path / "stubborn.log"
    stubborn = BackgroundProcess(
        "stubborn",
        ["sh", "-c", "trap '' TERM; sleep 600 & echo ready; while :; do sleep 1; done"],
        environment=os.environ,
        log=log,
    )
    _eventually(lambda: "ready" in log.read_text())
    family = [psutil.Process(stubborn.identity.pid)]
    family += family[0].children(recursive=True)

    end_process(stubborn.identity, patience_seconds=0.2)
    stubborn.end()

    assert _still_running(family) == []


def test_a_process_number_given_to_another_is_left_alone() -> None:
    us = ProcessIdentity.of("us", os.getpid())
    earlier = us.model_copy(update={"started": us.started - 60})

    end_process(earlier)

    assert earlier.find() is None
    assert us.find() is not None


def test_a_signal_waits_while_a_process_is_being_noted_down() -> None:
    reached = []

    def note_down() -> None:
        with held(), held():
            signal.raise_signal(signal.SIGTERM)
            reached.append("end of the block")
        reached.append("after it")

    with interruptible(), pytest.raises(Interrupted) as caught:
        note_down()

    assert reached == ["end of the block"]
    assert caught.value.exit_code == 143


def test_the_state_of_a_stack_survives_its_file(tmp_path: Path) -> None:
    state = StackState(
        run_directory=tmp_path,
        stack_name="s",
        time_scale=60,
        owner=None,
        postgres=PostgresState(
            data_directory=tmp_path / "p",
            socket_directory=tmp_path / "p",
            database="isp",
            passwords={"r": "p/w@d"},
        ),
        outputs={"A": "b"},
    )

    state.save()

    assert StackState.load(tmp_path) == state


def _postgres_and_sleeper(state: StackState) -> list[psutil.Process]:
    assert state.postgres is not None
    pid_file = state.postgres.data_directory / "postmaster.pid"
    server = psutil.Process(int(pid_file.read_text().splitlines()[0]))
    sleeper = psutil.Process(state.processes[0].pid)
    return [
        server,
        *server.children(recursive=True),
        sleeper,
        *sleeper.children(recursive=True),
    ]


def _still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    def lives(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return [process for process in processes if lives(process)]


def _eventually(condition: Callable[[], bool], seconds: float = 5) -> None:
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, "it never happened"
        time.sleep(0.02)
