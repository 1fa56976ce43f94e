"""The governor of Zoho's limits, one for all workers (protocol §6)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Priority(StrEnum):
    """Who asks for a permit: a trigger goes before everything else; the backfill is paced.

    What came in real time asks as `TRIGGER`, whether a handler or the sweep brings it.
    """

    TRIGGER = "trigger"
    BACKFILL = "backfill"


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to make one call now. `send_by` is on this process's monotonic clock."""

    permit_id: int
    taken_at: datetime
    send_by: float


@dataclass(frozen=True, slots=True)
class QuotaView:
    """The governor as people see it."""

    limit_per_minute: int
    configured_per_minute: int
    taken_in_minute: int
    in_flight: int
    in_flight_limit: int
    taken_today: int
    day_cap: int
    blocked_until: datetime | None
    paused_until: datetime | None


class Quota(Protocol):
    """The governor of Zoho's limits, one for all workers of an organisation (protocol §6)."""

    def take(self, priority: Priority) -> Permit:
        """Take a permit now; never waits.

        :raises NotNow: Throttled or QuotaExhausted, with the wait and its reason.
        """

    def wait_for(self, priority: Priority) -> float:
        """Say how many real seconds a `take` would be refused for, 0 when it would be granted.

        A hint, not a reservation: it lets a batch stop before it claims a record in vain.
        """

    def probe_is_due(self) -> bool:
        """Say whether the day is paused (45) and one read should find out if Zoho counts anew.

        Only a read's `take` is granted that probe, to one worker an hour; a write's never is.
        """

    def answered(self, permit: Permit, *, readable: bool = True) -> None:
        """Let the permit come back 60 s + margin from now: an answer came, or its deadline.

        Never raises: what Zoho answered must reach the caller. `readable` is False for what proves
        nothing about the day's pause (time-out, 401, 429, 5xx).
        """

    def never_sent(self, permit: Permit) -> None:
        """Nothing left: Zoho cannot have counted it, the permit comes back at once."""

    def throttled(
        self, permit: Permit, zoho_code: int | None, *, retry_after_seconds: float | None = None
    ) -> float:
        """Teach all workers that a 429 came for this call; give the real seconds to wait.

        `retry_after_seconds` is Zoho's header, in Zoho's seconds. `answered` is called as well.
        """

    def view(self) -> QuotaView:
        """Show the limits in force and what is taken."""
