"""The governor in memory, by the same rules; the contract tests hold it to them.

Left to the real one: the day's buckets, the recovery of limits and the backfill's catching up.
"""

import itertools
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from billing_sync.domain.errors import NotNow, QuotaExhausted, Throttled
from billing_sync.domain.timing import Timing
from billing_sync.ports import Clock, Permit, Priority, Quota, QuotaView


@dataclass
class _Taken:
    taken: float
    deadline: float
    free: float
    answered: bool = False


class FakeQuota(Quota):
    """A quota of one process. `settled` lists what became of permits, in order."""

    def __init__(
        self,
        clock: Clock,
        timing: Timing | None = None,
        *,
        limit: int = 90,
        day_cap: int = 1000,
        in_flight_limit: int = 5,
    ) -> None:
        self._clock = clock
        self._timing = timing or Timing()
        self._configured = limit
        self._limit = limit
        self._day_cap = day_cap
        self._in_flight_limit = in_flight_limit
        self._ids = itertools.count(1)
        self._permits: dict[int, _Taken] = {}
        self._taken_today = 0
        self._block_started = -math.inf
        self._blocked_until = -math.inf
        self._block_seconds = 0.0
        self._in_flight_reduced = -math.inf
        self._paused = -math.inf
        self._probe_at: float | None = None
        self._probe: int | None = None
        self._priority_until = -math.inf
        self._triggers_since_backfill = 0
        self._backfill_next = -math.inf
        self.settled: list[tuple[str, int]] = []

    def take(self, priority: Priority) -> Permit:
        now = self._clock.monotonic()
        reason, until = self._refusal(priority, now)
        if reason is not None:
            if priority is Priority.TRIGGER and reason in {"minute", "in_flight"}:
                self._priority_until = now + self._timing.scaled(5)
            kind: type[NotNow] = QuotaExhausted if reason in {"paused", "day"} else Throttled
            raise kind(
                reason,
                wait_seconds=until - now,
                reason=reason,
                resume_at=self._moment(until) if kind is QuotaExhausted else None,
            )
        permit_id = next(self._ids)
        deadline = now + self._timing.send_window_seconds + self._timing.http_deadline_seconds
        self._permits[permit_id] = _Taken(now, deadline, deadline + self._hold)
        self._taken_today += 1
        if priority is Priority.TRIGGER:
            self._triggers_since_backfill += 1
        else:
            self._triggers_since_backfill = 0
            gap = self._timing.minute_seconds / self._limit
            self._backfill_next = max(self._backfill_next, now) + gap
        if self._probe_at is not None:
            self._probe = permit_id
            self._probe_at = now + self._timing.scaled(3600)
        return Permit(
            permit_id=permit_id,
            taken_at=self._moment(now),
            send_by=now + self._timing.send_window_seconds,
        )

    def wait_for(self, priority: Priority) -> float:
        now = self._clock.monotonic()
        reason, until = self._refusal(priority, now)
        return 0.0 if reason is None else max(until - now, 0.0)

    def probe_is_due(self) -> bool:
        return self._probe_at is not None and self._probe_at <= self._clock.monotonic()

    def answered(self, permit: Permit, *, readable: bool = True) -> None:
        self.settled.append(("answered", permit.permit_id))
        if self._probe == permit.permit_id:
            self._probe = self._probe_at = None
            if readable:
                self._taken_today = 0
            else:
                self._probe_at = self._clock.monotonic() + self._timing.minute_seconds
        taken = self._permits[permit.permit_id]
        if not taken.answered:
            taken.answered = True
            taken.free = self._clock.monotonic() + self._hold

    def never_sent(self, permit: Permit) -> None:
        self.settled.append(("never_sent", permit.permit_id))
        if self._permits.pop(permit.permit_id, None) is not None:
            self._taken_today -= 1
        if self._probe == permit.permit_id:
            self._probe, self._probe_at = None, self._clock.monotonic()

    def throttled(
        self, permit: Permit, zoho_code: int | None, *, retry_after_seconds: float | None = None
    ) -> float:
        now = self._clock.monotonic()
        sent = self._permits[permit.permit_id].taken
        if self._probe == permit.permit_id:
            self._probe = None
        if zoho_code == 45:
            if self._probe_at is None and sent > self._paused:
                self._paused = now
                self._probe_at = now + self._timing.scaled(3600)
            return max((self._probe_at or now) - now, 0.0)
        if zoho_code == 1070:
            if sent > self._in_flight_reduced:
                self._in_flight_limit = max(self._in_flight_limit - 1, 1)
                self._in_flight_reduced = now
            return self._timing.scaled(1)
        # This clock stands still between calls: what was sent at that moment was before it.
        if sent > self._block_started:
            again = now < self._blocked_until + self._timing.scaled(600)
            self._block_seconds = min(2 * self._block_seconds, 900) if again else 60
            self._block_started = now
            asked = max(self._block_seconds, retry_after_seconds or 0)
            self._blocked_until = now + self._timing.scaled(asked)
            self._limit = min(self._configured, max(self._limit // 2, 10))
        return max(self._blocked_until - now, 0.0)

    def view(self) -> QuotaView:
        now = self._clock.monotonic()
        held = [permit for permit in self._permits.values() if permit.free > now]
        return QuotaView(
            limit_per_minute=self._limit,
            configured_per_minute=self._configured,
            taken_in_minute=len(held),
            in_flight=sum(not one.answered and one.deadline > now for one in held),
            in_flight_limit=self._in_flight_limit,
            taken_today=self._taken_today,
            day_cap=self._day_cap,
            blocked_until=self._moment(self._blocked_until) if self._blocked_until > now else None,
            paused_until=None if self._probe_at is None else self._moment(self._probe_at),
        )

    @property
    def _hold(self) -> float:
        return self._timing.minute_seconds + self._timing.permit_margin_seconds

    def _moment(self, monotonic: float) -> datetime:
        return self._clock.now() + timedelta(seconds=monotonic - self._clock.monotonic())

    def _refusal(self, priority: Priority, now: float) -> tuple[str | None, float]:
        view = self.view()
        frees = sorted(permit.free for permit in self._permits.values() if permit.free > now)
        is_full = len(frees) >= self._limit
        reserve = self._day_cap // 10 if priority is Priority.BACKFILL else 0
        paused = self._probe_at is not None
        reasons = [
            ("blocked", self._blocked_until > now, self._blocked_until),
            ("paused", paused and not self.probe_is_due(), self._probe_at or now),
            ("day", not paused and self._taken_today >= self._day_cap - reserve, now + 3600),
            ("in_flight", view.in_flight >= self._in_flight_limit, now + 0.3),
            ("minute", is_full, frees[-self._limit] if is_full else now),
        ]
        if priority is Priority.BACKFILL:
            stands_back = self._priority_until > now and self._triggers_since_backfill < 9
            reasons += [
                ("priority", stands_back, self._priority_until),
                ("pace", self._backfill_next > now, self._backfill_next),
            ]
        for reason, holds, until in reasons:
            if holds:
                return reason, until
        return None, now
