"""The clock of this process."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Today and now, for what depends on the calendar; leases use the database's own clock."""

    def now(self) -> datetime:
        """Give the aware time."""

    def monotonic(self) -> float:
        """Give seconds that never jump, for windows inside this process."""

    def sleep(self, seconds: float) -> None:
        """Wait inside this process."""

    def jitter(self) -> float:
        """Give a factor around 1, so that what failed together does not come back together."""
