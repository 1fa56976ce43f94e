"""The demo's screen without a terminal, and how it finds the worker that it kills."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from rich.console import Console

from ops.demo.display import Display
from ops.demo.mishaps import worker_of
from ops.demo.old_way import OldWay
from ops.local_stack.processes import ProcessIdentity, StackError


@pytest.fixture
def children() -> Iterator[dict[str, int]]:
    """Two processes of this one, named as local AWS names its workers."""
    started = {
        name: subprocess.Popen(
            [sys.executable, "-c", "input()", f"/x/ministack-lambda-{name}-ab12/_worker.py"],
            stdin=subprocess.PIPE,
        )
        for name in ("stack-SyncBatchFunction-1", "stack-SyncBatchFunction-10")
    }
    yield {name: process.pid for name, process in started.items()}
    for process in started.values():
        process.communicate(b"\n")


def test_without_a_terminal_steps_are_plain_lines_with_their_seconds() -> None:
    out = io.StringIO()
    display = Display(Console(file=out, markup=False, highlight=False, width=40))

    with display.stage("Start"), display.steps:
        display.steps("sam build", None)
        display.steps("start PostgreSQL", None)
        display.steps("start PostgreSQL", 0.71)
        display.steps("sam build", 2.0)
    display.say("a line that is longer than the forty columns of this console")

    assert out.getvalue().splitlines() == [
        "",
        "1. Start",
        "   0.7 s  start PostgreSQL",
        "   2.0 s  sam build",
        "a line that is longer than the forty columns of this console",
    ]
    assert [stage.title for stage in display.stages] == ["Start"]


def test_a_stage_that_failed_has_no_time() -> None:
    display = Display(Console(file=io.StringIO()))

    with pytest.raises(StackError), display.stage("Start"):
        raise StackError("no")

    assert display.stages == []


def test_the_worker_is_found_by_its_functions_whole_name(children: dict[str, int]) -> None:
    me = ProcessIdentity.of("me", os.getpid())

    found = worker_of(me, "stack-SyncBatchFunction-1")

    assert found.pid == children["stack-SyncBatchFunction-1"]


def test_a_worker_of_another_server_is_not_found(children: dict[str, int]) -> None:
    other = ProcessIdentity.of("other", children["stack-SyncBatchFunction-10"])

    with pytest.raises(StackError, match="has no worker"):
        worker_of(other, "stack-SyncBatchFunction-1")


def test_the_old_way_is_told_in_ten_lines() -> None:
    told = OldWay(
        created=[1, 2, 3, 5],
        overwritten={4: "44", 6: "66"},
        hits={4: 1, 6: 9},
        refused=[7, 8],
        refusal="Access Denied",
        tokens_minted=6,
        names_before={"44": "Shop", "66": "Stranger"},
        names_after={"44": "Shop Ltd", "66": "Nomvula"},
        without_email=[6],
    )

    lines = [" ".join(line.split()) for line in told.lines()]

    assert len(lines) == 10
    assert "1-3, 5 created" in lines
    assert "7-8 refused: Access Denied" in lines
    assert "the first one taken, a stranger: «Stranger»" in lines
    assert "who is called «Nomvula» in Zoho now" in lines
    assert "Synced by its own count: 6 of 8; 2 left out." in lines
