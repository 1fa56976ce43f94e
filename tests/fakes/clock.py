"""A clock that moves only when told to, or when somebody sleeps."""

from datetime import UTC, datetime, timedelta

from billing_sync.ports import Clock

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class FakeClock(Clock):
    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._passed = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def jitter(self) -> float:
        return 1.0

    def advance(self, seconds: float) -> None:
        self._passed += seconds
