"""The demo's screen: stages with their seconds; plain lines where no one watches a terminal."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from rich.console import Console, RenderableType
from rich.status import Status
from rich.table import Table

from ops.cli.follow import wants_plain_lines


@dataclass(frozen=True)
class Stage:
    """A stage that is over."""

    title: str
    seconds: float


class Display:
    """Tells what happens, and keeps how long each stage took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.stages: list[Stage] = []
        self._began = time.monotonic()
        self.steps = Steps(console)

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Head what follows with `title`, and count its seconds."""
        number = len(self.stages) + 1
        self.console.print(f"\n{number}. {title}", style="bold", soft_wrap=True)
        began = time.monotonic()
        yield
        self.stages.append(Stage(title, time.monotonic() - began))

    def say(self, what: RenderableType, *, style: str = "") -> None:
        """Say something; in a log a line is never broken, so that it can be searched for."""
        whole = isinstance(what, str) and not self.console.is_terminal
        self.console.print(what, style=style, soft_wrap=whole)

    @property
    def seconds(self) -> float:
        """Count the seconds since the start."""
        return time.monotonic() - self._began

    def times(self) -> Table:
        """Lay out what each stage took."""
        table = Table(title="Seconds", title_justify="left")
        table.add_column("Stage")
        table.add_column("s", justify="right")
        for stage in self.stages:
            table.add_row(stage.title, f"{stage.seconds:.1f}")
        table.add_section()
        table.add_row("in all", f"{self.seconds:.1f}", style="bold")
        return table


class Steps:
    """The progress of a local stack: what is under way spins, what is done is a line.

    Several steps may run at once, told from several threads.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spins = not wants_plain_lines(console)
        self._running: dict[str, None] = {}
        self._lock = threading.Lock()
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self._spins:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
        self._running.clear()

    def __call__(self, step: str, seconds: float | None) -> None:
        """Begin a step (no seconds), or end it."""
        with self._lock:
            if seconds is None:
                self._running[step] = None
            else:
                self._running.pop(step, None)
                self._console.print(f"{seconds:6.1f} s  {step}", markup=False, highlight=False)
            if self._status is not None:
                self._status.update(", ".join(self._running))
