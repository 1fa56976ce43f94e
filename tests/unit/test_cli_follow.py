"""Following a run: the screen, the plain lines, and what is borne on the way."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from ops.cli.answers import Status, read_answer
from ops.cli.follow import Follow, wants_plain_lines
from ops.cli.stack import StackFault
from tests.fakes.stack import STARTED, run_status, status

NOW = STARTED + timedelta(minutes=2)
RUN_ID = run_status()["run_id"]


class Watched:
    """A run that goes through given statuses, and ends after the last. Sleeping is its time."""

    def __init__(self, *statuses: dict[str, Any] | StackFault) -> None:
        self.statuses = list(statuses)
        self.slept: list[float] = []
        self.now = NOW

    def status(self) -> Status:
        """Give the next status, or raise the fault that stands in its place."""
        told = self.statuses.pop(0)
        if isinstance(told, StackFault):
            raise told
        return read_answer(Status, told)

    def ended(self) -> str | None:
        """Say that it ended, once there is only one status left."""
        return "over" if len(self.statuses) == 1 else None

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)

    def follow(self, *, plain: bool = True, width: int = 100) -> str:
        """Follow it to its end, and give what was printed."""
        file = io.StringIO()
        console = Console(file=file, width=width, force_terminal=not plain, color_system=None)
        follow = Follow(
            self.status,
            console,
            run_id=RUN_ID,
            plain=plain,
            sleep=self.sleep,
            now=lambda: self.now,
        )
        assert follow.until(self.ended) == "over"
        return file.getvalue()


def working(done: int, **changes: Any) -> dict[str, Any]:
    run = run_status(ended_at=None, colour=None, left={"customers": 15 - done}, **changes)
    return status(run, in_the_run={"synced": done})


def test_line_is_printed_for_each_step_forward_and_not_for_each_look() -> None:
    quiet = working(3)
    quiet["quota"] = quiet["quota"] | {"taken_in_minute": 13}

    lines = Watched(working(3), quiet, working(3), working(7), status()).follow().splitlines()

    assert [line.split(" | ")[1] for line in lines] == ["3 of 15", "7 of 15", "15 of 15"]


def test_long_silence_is_broken_once_a_minute() -> None:
    watched = Watched(*[working(3)] * 65, status())

    lines = watched.follow().splitlines()

    assert sum(watched.slept) == 130
    assert len(lines) == 4


def test_run_before_this_one_is_not_shown() -> None:
    shown = Watched(status(run_status(run_id="before", step="report")), status()).follow()

    assert "Preflight" in shown
    assert "Report" not in shown


def test_wait_is_told_with_its_reason_and_looked_at_less_often() -> None:
    long_wait = working(
        3,
        waiting_until=(NOW + timedelta(hours=1)).isoformat(),
        waiting_reason="day",
        step="sync_batch due",
    )
    watched = Watched(long_wait, status())

    shown = watched.follow()

    assert "(1 h 0 min): the day's calls are used up" in shown
    assert watched.slept == [30.0]


def test_short_wait_is_looked_at_as_often_as_work() -> None:
    short = working(3, waiting_until=(NOW + timedelta(seconds=15)).isoformat())
    watched = Watched(short, status())

    watched.follow()

    assert watched.slept == [2.0]


def test_few_faults_of_the_stack_do_not_end_the_following() -> None:
    fault = StackFault("Throttled", "Too many requests.")

    shown = Watched(working(3), fault, fault, status()).follow()

    assert shown.count("Too many requests.") == 1
    assert "15 of 15" in shown


def test_stack_that_stays_away_ends_the_following() -> None:
    fault = StackFault("ExpiredToken", "Your credentials have expired.")

    with pytest.raises(StackFault, match="expired"):
        Watched(*[fault] * 6, status()).follow()


@pytest.mark.parametrize("width", [100, 80])
def test_screen_shows_all_at_a_glance_within_its_width(width: int) -> None:
    waits = working(
        6,
        waiting_until=(NOW + timedelta(seconds=42)).isoformat(),
        waiting_reason="minute",
        stop_requested=True,
    )

    shown = Watched(waits, status()).follow(plain=False, width=width)

    for told in (
        RUN_ID,
        "(42 s): the minute's calls are used up",
        "6 of 15",
        "synced 6",
        "12 of 90 this minute",
        "number 1",
        "ends within the record in hand",
    ):
        assert told in shown


def test_screen_of_a_plan_counts_what_is_planned() -> None:
    plan = working(0, mode="plan", step="plan")

    shown = Watched(plan, status(run_status(mode="plan"))).follow(plain=False)

    assert "15 planned" in shown


def test_block_and_lowered_limit_are_told() -> None:
    slowed = working(3)
    slowed["quota"] |= {
        "limit_per_minute": 45,
        "blocked_until": (NOW + timedelta(seconds=60)).isoformat(),
    }

    shown = Watched(slowed, status()).follow()

    assert "lowered from 90 a minute" in shown
    assert "blocked until" in shown


@pytest.mark.parametrize(
    ("terminal", "ci", "plain"),
    [(True, "", False), (True, "false", False), (True, "true", True), (False, "", True)],
)
def test_plain_lines_are_for_logs(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, ci: str, plain: bool
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("TERM", "xterm")

    assert wants_plain_lines(Console(force_terminal=terminal)) is plain


def test_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "dumb")

    assert wants_plain_lines(Console(force_terminal=True))


def test_times_are_aware(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a clock given, a wait is measured against now."""
    slept: list[float] = []
    statuses = [working(3, waiting_until=datetime.now(UTC).isoformat()), status()]
    ends: Callable[[], str | None] = lambda: "over" if len(statuses) == 1 else None  # noqa: E731
    monkeypatch.setenv("CI", "true")

    Follow(
        lambda: read_answer(Status, statuses.pop(0)),
        Console(file=io.StringIO()),
        run_id=RUN_ID,
        sleep=slept.append,
    ).until(ends)

    assert slept == [2.0]
