"""The clock of this process."""

import random
import time
from datetime import UTC, datetime


class SystemClock:
    """The real clock (`Clock`)."""

    def now(self) -> datetime:
        """Give the time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give seconds that never jump."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def jitter(self) -> float:
        """Give a factor between 0.8 and 1.2."""
        return random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
