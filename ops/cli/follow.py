"""Follow a run until it ends: one screen that changes, or plain lines where nobody looks at one."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from billing_sync.domain.steps import Mode
from ops.cli import render
from ops.cli.answers import RunStatus, Status
from ops.cli.stack import StackFault

_POLL_SECONDS: Final = 2.0
# While the machine waits for long, there is little to see and every look costs an invocation.
_SLOWEST_POLL_SECONDS: Final = 30.0
_LOOKS_IN_A_WAIT: Final = 20
# Lines where nothing changes: a sign of life now and then.
_SILENCE_SECONDS: Final = 60.0
_FAULTS_IN_A_ROW: Final = 5


def wants_plain_lines(console: Console) -> bool:
    """Say whether a screen that changes would only spoil a log: no terminal, or CI."""
    in_ci = os.environ.get("CI", "").lower() not in {"", "0", "false"}
    return in_ci or not console.is_terminal or console.is_dumb_terminal


class Follow:
    """Shows a run while it runs.

    `status` is asked again and again; a few failures in a row are shown and borne, since the run
    does not depend on being watched. `run_id` keeps out the run before it, which is the newest
    one until preflight has let this one in.
    """

    def __init__(
        self,
        status: Callable[[], Status],
        console: Console,
        *,
        run_id: str | None = None,
        plain: bool | None = None,
        poll_seconds: float = _POLL_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._status = status
        self._console = console
        self._run_id = run_id
        self._plain = wants_plain_lines(console) if plain is None else plain
        self._poll_seconds = poll_seconds
        self._sleep = sleep
        self._now = now
        self._latest: Status | None = None
        self._trouble: str | None = None
        self._spinner = Spinner("dots")
        self._printed: tuple[object, ...] | None = None
        self._printed_at: datetime | None = None

    def until[T](self, ended: Callable[[], T | None]) -> T:
        """Show the run until `ended` gives something, and give that.

        :raises StackFault: the stack could not be asked several times in a row.
        """
        if self._plain:
            return self._watch(ended, self._print_line)
        with Live(
            console=self._console, get_renderable=self._screen, refresh_per_second=4
        ) as screen:
            return self._watch(ended, screen.refresh)

    def _watch[T](self, ended: Callable[[], T | None], show: Callable[[], None]) -> T:
        faults = 0
        while True:
            try:
                # In this order, so that the last status shown is from after the end.
                end = ended()
                self._latest = self._status()
            except StackFault as fault:
                faults += 1
                if faults >= _FAULTS_IN_A_ROW:
                    raise
                self._trouble = fault.sentence
                end = None
            else:
                faults, self._trouble = 0, None
            show()
            if end is not None:
                return end
            self._sleep(self._pause())

    def _pause(self) -> float:
        run = self._run
        if run is None or run.waiting_until is None:
            return self._poll_seconds
        left = (run.waiting_until - self._now()).total_seconds()
        return min(max(left / _LOOKS_IN_A_WAIT, self._poll_seconds), _SLOWEST_POLL_SECONDS)

    @property
    def _run(self) -> RunStatus | None:
        run = self._latest.run if self._latest else None
        return run if run and self._run_id in (None, run.run_id) else None

    # ------------------------------------------------------------------------------ plain lines

    def _print_line(self) -> None:
        """Print a line if it tells something new, or after a minute of silence."""
        now, run = self._now(), self._run
        parts, news = self._line(run, now)
        last = self._printed_at
        is_silent = last is not None and (now - last).total_seconds() < _SILENCE_SECONDS
        if news == self._printed and is_silent:
            return
        self._printed, self._printed_at = news, now
        line = f"{now.astimezone():%H:%M:%S}  " + " | ".join(parts)
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _line(self, run: RunStatus | None, now: datetime) -> tuple[list[str], tuple[object, ...]]:
        """Give the line's parts, and what of them is news: not the calls of the minute."""
        if self._trouble is not None:
            return [f"the stack could not be asked, trying again: {self._trouble}"], (
                self._trouble,
            )
        if run is None or self._latest is None:
            return ["Preflight"], ("Preflight",)
        waits = render.waiting(run, now)
        parts = [f"waiting {waits}" if waits else render.current_step(run)]
        if run.total:
            planned = run.mode is Mode.PLAN
            parts.append(f"{run.total} planned" if planned else f"{run.done} of {run.total}")
        states = self._latest.in_the_run
        if any(states.values()) and run.mode is not Mode.PLAN:
            parts.append(render.counts(states).plain)
        if run.stop_requested:
            parts.append("stop asked for")
        news = (
            run.step,
            run.phase,
            run.waiting_until,
            run.total,
            run.done,
            tuple(sorted(states.items())),
            run.stop_requested,
        )
        if self._latest.quota is not None:
            parts.append(f"calls {render.calls(self._latest.quota, now).plain}")
        if self._latest.token is not None:
            parts.append(f"token {self._latest.token.generation}")
        return parts, news

    # ------------------------------------------------------------------------------- the screen

    def _screen(self) -> RenderableType:
        """Draw it anew, with the countdown of a wait as of now."""
        now, run = self._now(), self._run
        rows: list[tuple[str, RenderableType]] = []
        if run is None or self._latest is None:
            rows.append(("Step", self._moving("Preflight")))
        else:
            waits = render.waiting(run, now)
            ended = run.ended_at is not None
            step = render.current_step(run)
            rows.append(("Step", Text(step) if waits or ended else self._moving(step)))
            if waits:
                rows.append(("Waiting", self._moving(waits, "yellow")))
            if run.stop_requested:
                rows.append(("Stop", Text("asked for; ends within the record in hand", "yellow")))
            if run.total:
                rows.append(("Done", _progress(run)))
            if run.mode is not Mode.PLAN:
                rows.append(("Records", render.counts(self._latest.in_the_run)))
            if self._latest.quota is not None:
                rows.append(("Calls", render.calls(self._latest.quota, now)))
            if self._latest.token is not None:
                rows.append(("Token", render.token(self._latest.token, now)))
        if self._trouble is not None:
            rows.append(("Trouble", Text(f"{self._trouble} Trying again.", "red")))
        title = Text(run.run_id if run else self._run_id or "", "bold")
        return Group(title, render.facts(rows), Text(""))

    def _moving(self, words: str, style: str = "") -> RenderableType:
        self._spinner.update(text=Text(words), style=style or "cyan")
        return self._spinner


def _progress(run: RunStatus) -> RenderableType:
    if run.mode is Mode.PLAN:
        return Text(f"{run.total} planned")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=30)
    grid.add_column()
    bar = ProgressBar(total=max(run.total, 1), completed=run.done, width=30)
    grid.add_row(bar, Text(f"{run.done} of {run.total}"))
    return grid
