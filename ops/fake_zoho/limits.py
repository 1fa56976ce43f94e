"""The three limits of an organisation: calls in a minute, in a day, and in flight."""

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from ops.fake_zoho.clock import DAY_SECONDS, LimitsClock
from ops.fake_zoho.config import Limits, Switches
from ops.fake_zoho.replies import RefusedError, throttled

MINUTE_SECONDS = 60.0


class OrganisationLimits:
    """Admit calls exactly up to the limits, whoever makes them.

    One event loop serves all calls and nothing here awaits, so counting needs no lock.
    """

    def __init__(self, limits: Limits, switches: Switches, clock: LimitsClock) -> None:
        self.limits = limits
        self._switches = switches
        self._clock = clock
        self._minute: deque[float] = deque()
        self._day: deque[float] = deque()
        self._in_flight = 0
        self._blocked_until = -math.inf

    @contextmanager
    def slot(self, arrived: float) -> Iterator[None]:
        """Hold one call in flight; raise the 429 that Zoho would answer instead.

        Calls come in the order of `arrived`, and each is judged as of that moment, not of a
        later one: by then an older call might have left the window, and one too many get in.

        Must be left before the last byte of the answer goes out: a client that has read its
        answer may send the next call at once, and that one has to find the slot free.
        """
        self._forget_what_is_over(arrived)
        code = self._exceeded(arrived)
        if code is None or self._switches.refused_calls_count:
            self.count(arrived)
        if code is not None:
            raise self.refuse(code)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def count(self, arrived: float) -> None:
        self._minute.append(arrived)
        self._day.append(arrived)

    def refuse(self, code: int) -> RefusedError:
        """Make the refusal, and start the block that follows a 44 if one is configured."""
        if code == 44 and self._switches.block_seconds is not None:
            self._blocked_until = self._clock.now() + self._switches.block_seconds
        refusal = throttled(code, self.limits.calls_per_day)
        if self._switches.retry_after_header:
            refusal.reply.headers["Retry-After"] = str(math.ceil(self._frees_in(code)))
        return refusal

    def headers(self) -> dict[str, str]:
        """Make the headers seen on Books in 2019: they tell of the day, and are off by default."""
        if not self._switches.rate_limit_headers:
            return {}
        self._forget_what_is_over(self._clock.now())
        limit = self.limits.calls_per_day
        return {
            "X-Rate-Limit-Limit": str(limit),
            "X-Rate-Limit-Remaining": str(max(0, limit - len(self._day))),
            "X-Rate-Limit-Reset": str(math.ceil(self._frees_in(45))),
        }

    def _exceeded(self, now: float) -> int | None:
        """Say which limit this call would break, in the order in which Zoho looks."""
        if self._in_flight >= self.limits.calls_in_flight:
            return 1070
        blocked = now < self._blocked_until
        if blocked or len(self._minute) >= self.limits.calls_per_minute:
            return 44
        if len(self._day) >= self.limits.calls_per_day:
            return 45
        return None

    def _forget_what_is_over(self, now: float) -> None:
        _drop_up_to(self._minute, now - MINUTE_SECONDS)
        if self._switches.day == "rolling":
            _drop_up_to(self._day, now - DAY_SECONDS)
        else:
            midnight = now - now % DAY_SECONDS
            _drop_up_to(self._day, math.nextafter(midnight, -math.inf))

    def _frees_in(self, code: int) -> float:
        now = self._clock.now()
        if code == 1070:
            return 1.0
        if code != 45:
            window = self._minute[0] + MINUTE_SECONDS - now if self._minute else 0.0
            return max(window, self._blocked_until - now, 0.0)
        if self._switches.day == "fixed":
            return DAY_SECONDS - now % DAY_SECONDS
        return max(self._day[0] + DAY_SECONDS - now, 0.0) if self._day else 0.0


def _drop_up_to(arrivals: deque[float], moment: float) -> None:
    while arrivals and arrivals[0] <= moment:
        arrivals.popleft()
