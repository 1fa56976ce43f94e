"""Every duration of the protocol in one place, divided by the one clock factor."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

LADDER: Final = tuple(
    timedelta(seconds=seconds) for seconds in (300, 900, 3600, 4 * 3600, 24 * 3600)
)
"""Waits between attempts after a temporary fault; after the last one a record is `exhausted`."""

NOT_THERE_YET: Final = tuple(timedelta(seconds=seconds) for seconds in (30, 120, 600))
"""Waits for a row that somebody told of before its transaction was committed."""

SHORTEST_WAIT_SECONDS: Final = 15
LONGEST_WAIT_SECONDS: Final = 3600
"""Bounds of a Wait state, in whole unscaled seconds (protocol §8)."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The protocol's durations, in real seconds of this process and of the database.

    `scale` (TimeScale) divides what we wait for; deadlines of HTTP, of the send window and of
    locks stay real, because the machine under them does not run faster.
    """

    scale: float = 1.0
    http_deadline_seconds: float = 20.0
    send_window_seconds: float = 5.0
    proof_delay_unscaled_seconds: float = 300.0

    @property
    def minute_seconds(self) -> float:
        """The window of Zoho's limit per minute."""
        return 60.0 / self.scale

    @property
    def permit_margin_seconds(self) -> float:
        """What a permit stays taken beyond the minute after its answer."""
        return 1.0 / self.scale

    @property
    def proof_delay_seconds(self) -> float:
        """What must pass after a deadline before a look-up may prove absence."""
        return self.proof_delay_unscaled_seconds / self.scale

    @property
    def proof_due_seconds(self) -> float:
        """From `sent_at` to the proof: the POST can no longer happen, nor hide in the index."""
        return self.send_window_seconds + self.http_deadline_seconds + self.proof_delay_seconds

    @property
    def lease_seconds(self) -> float:
        """How long a claim stands: 90 s, but never shorter than a call may take."""
        return max(90.0 / self.scale, self.send_window_seconds + self.http_deadline_seconds + 5.0)

    @property
    def longest_sleep_seconds(self) -> float:
        """What a Lambda sleeps at once; longer waits belong to the state machine."""
        return max(2.0 / self.scale, 0.05)

    @property
    def pause_seconds(self) -> float:
        """How long nobody asks again whether paused writes go on: they are woken when they do."""
        return 900.0 / self.scale

    def scaled(self, duration: timedelta | float) -> float:
        """Give real seconds for an unscaled duration of ours."""
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
        return seconds / self.scale

    def wait_state_seconds(self, real_seconds: float) -> int:
        """Give what a Wait state is told: whole unscaled seconds between 15 s and 1 h."""
        unscaled = int(-(-real_seconds * self.scale // 1))
        return min(max(unscaled, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
