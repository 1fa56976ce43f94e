"""What the services need of the world, as Protocols of a few methods each; every one has a fake.

Times are aware datetimes of the database's clock unless a docstring says otherwise; waits are real
seconds (already divided by TimeScale).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol


class Priority(StrEnum):
    """Who asks for a permit: a trigger goes before everything else; the backfill is paced.

    Sweep, retries, look-ups and proofs that no trigger waits for ask as `BACKFILL`.
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

    def answered(self, permit: Permit) -> None:
        """An answer came, or its deadline passed: the permit comes back 60 s + margin later."""

    def never_sent(self, permit: Permit) -> None:
        """Nothing left: Zoho cannot have counted it, the permit comes back at once."""

    def throttled(self, permit: Permit, zoho_code: int | None) -> float:
        """A 429 came for the call of `permit`: teach all workers; give the real seconds to wait."""

    def view(self) -> QuotaView:
        """Show the limits in force and what is taken."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token of Zoho's OAuth server. `generation` counts the tokens of the credential."""

    value: str
    generation: int
    api_domain: str
    expires_at: datetime
    minted_at: datetime

    def __repr__(self) -> str:
        """Show no secret: reprs end up in logs."""
        return f"AccessToken(generation={self.generation})"


class Tokens(Protocol):
    """The one access token for all workers of a credential (protocol §7)."""

    def current(self) -> AccessToken:
        """Give a live token, refreshing it early if nobody else does.

        :raises TokenRefused: while the OAuth server cools down, or another worker is at it.
        :raises Misconfigured: when the credentials are wrong.
        """

    def refused(self, token: AccessToken) -> AccessToken:
        """Zoho answered 401 for `token`: give a newer one, minting it if nobody has.

        :raises Misconfigured: when a token younger than 60 s is refused again: a missing scope.
        """


class Clock(Protocol):
    """Today and now, for what depends on the calendar; leases use the database's own clock."""

    def now(self) -> datetime:
        """Give the aware time."""

    def monotonic(self) -> float:
        """Give seconds that never jump, for windows inside this process."""

    def sleep(self, seconds: float) -> None:
        """Wait inside this process."""
