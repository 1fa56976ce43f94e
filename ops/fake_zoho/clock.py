"""The two clocks of fake Zoho.

*Limits and tokens* run with real time, made faster by the time scale: a minute's window, a token's
hour and the index's lag must pass on their own while a client works. The *calendar* is what dates
of records show; it runs at real speed and jumps on demand, so that renewals and due dates can be
brought about without moving a single limit.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

DAY_SECONDS = 86_400.0


class LimitsClock:
    """Tell Zoho's seconds: an epoch time that passes `time_scale` times as fast."""

    def __init__(
        self, time_scale: float = 1.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.time_scale = time_scale
        self._monotonic = monotonic
        self._started_at = monotonic()
        self._start = time.time()

    def now(self) -> float:
        return self._start + (self._monotonic() - self._started_at) * self.time_scale

    def advance(self, seconds: float) -> None:
        """Let this many of Zoho's seconds pass at once; never backwards."""
        if seconds < 0:
            raise ValueError("the clock of limits never runs backwards")
        self._start += seconds


class CalendarClock:
    """Tell the date and time that Zoho writes on records."""

    def __init__(self, start: datetime | None = None) -> None:
        self._offset = timedelta()
        if start is not None:
            self.set(start)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def set(self, moment: datetime) -> None:
        self._offset = moment - datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        self._offset += timedelta(seconds=seconds)
