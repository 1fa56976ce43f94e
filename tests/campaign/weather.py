"""Draw a round: how the worlds are set up, and what happens to them at which moment."""

import random
from dataclasses import asdict, dataclass
from typing import Any, Final

from billing_sync.domain.timing import Timing
from ops.fake_zoho import (
    AnswerDelayed,
    AnswerLost,
    AnyFault,
    BadGateway,
    CodeNotZero,
    CommitDelayed,
    DeadToken,
    InternalError,
    RefuseToken,
    Throttled,
    TruncatedJson,
    WithoutId,
)

WRITES: Final = ("create_customer", "create_customer", "update_customer")
CALLS: Final = (*WRITES, "list_customers", "get_customer")

SLACK_SECONDS: Final = 0.4
"""What this machine may be late by, between a commit that is due and a commit that is done."""

TOKEN_FAULTS_EVERY: Final = 5.0
"""Real seconds: a second dead token within a minute would be taken for a missing scope, rightly."""


@dataclass(frozen=True, slots=True)
class QuickTiming(Timing):
    """The protocol's durations with a lease of the round's own: its length must not matter."""

    drawn_lease_seconds: float = 2.0

    @property
    def lease_seconds(self) -> float:
        """How long a claim stands."""
        return self.drawn_lease_seconds


@dataclass(frozen=True, slots=True)
class Weather:
    """What one round is set up with. Seconds are real; only the index's lag is in Zoho's.

    `slow_to_heal` allows for what takes many seconds to pass: dead and refused tokens, a paused
    day.
    """

    seconds: float
    customers: int
    workers: int
    threads: int
    backfill: bool
    time_scale: float
    http_deadline_seconds: float
    send_window_seconds: float
    proof_delay_seconds: float
    lease_seconds: float
    index_lag_seconds: float
    latency_ms: tuple[int, int]
    calls_per_minute: int
    calls_in_flight: int
    names_may_repeat: bool
    snapshot_max_age_hours: float
    faults_per_second: float
    slow_to_heal: bool

    @property
    def timing(self) -> QuickTiming:
        """Give the durations as the workers have them."""
        return QuickTiming(
            scale=self.time_scale,
            http_deadline_seconds=self.http_deadline_seconds,
            send_window_seconds=self.send_window_seconds,
            proof_delay_unscaled_seconds=self.proof_delay_seconds * self.time_scale,
            drawn_lease_seconds=self.lease_seconds,
        )

    @property
    def longest_commit_seconds(self) -> float:
        """How late a commit may be, so that the proof's delay still covers it and the index."""
        lag = self.index_lag_seconds / self.time_scale
        return self.http_deadline_seconds + self.proof_delay_seconds - lag - SLACK_SECONDS

    @property
    def environment(self) -> dict[str, str]:
        """Give what the round's workers find in their environment."""
        return {
            "TIME_SCALE": str(self.time_scale),
            "HTTP_DEADLINE_SECONDS": str(self.http_deadline_seconds),
            "SEND_WINDOW_SECONDS": str(self.send_window_seconds),
            "PROOF_DELAY_SECONDS": str(self.proof_delay_seconds * self.time_scale),
            "CALLS_PER_MINUTE": str(self.calls_per_minute),
            "CALLS_IN_FLIGHT": str(self.calls_in_flight),
            "SNAPSHOT_MAX_AGE_HOURS": str(self.snapshot_max_age_hours),
            "WORK_OFF_HOURS": "0.05",
        }


def draw_weather(chance: random.Random, seconds: float | None = None) -> Weather:
    """Draw a round; `seconds` makes it a short one, without what takes long to heal."""
    time_scale = chance.choice((100.0, 200.0, 400.0))
    least = chance.choice((0, 2, 10))
    return Weather(
        seconds=seconds or chance.uniform(6, 14),
        customers=chance.randint(5, 12) if seconds else chance.randint(8, 40),
        workers=chance.randint(2, 4),
        threads=chance.randint(1, 3),
        backfill=chance.random() < 0.6,
        time_scale=time_scale,
        http_deadline_seconds=chance.choice((0.4, 0.7)),
        send_window_seconds=chance.choice((0.3, 0.5)),
        proof_delay_seconds=chance.choice((0.8, 1.2)),
        lease_seconds=chance.choice((0.9, 1.4) if seconds else (0.9, 1.5, 3.0)),
        index_lag_seconds=chance.choice((0, 2, 10, 30)),
        latency_ms=(least, least + chance.choice((0, 20, 80))),
        calls_per_minute=chance.choice((20, 45, 90)),
        calls_in_flight=chance.choice((2, 5, 10)),
        names_may_repeat=chance.random() < 0.5,
        snapshot_max_age_hours=24.0 if seconds else chance.choice((24.0, 24.0, 0.3)),
        faults_per_second=chance.uniform(1, 6),
        slow_to_heal=not seconds and chance.random() < 0.6,
    )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to the worlds `at` so many seconds after the round's start."""

    at: float
    kind: str
    values: dict[str, Any]


def draw_events(chance: random.Random, weather: Weather) -> list[Event]:
    """Draw all that happens in a round, in its order."""
    events: list[Event] = []

    def now_and_then(per_second: float, kind: str) -> None:
        moment = 0.0
        while (moment := moment + chance.expovariate(per_second)) < weather.seconds:
            events.append(Event(moment, kind, _values(chance, weather, kind)))

    now_and_then(weather.faults_per_second, "fault")
    now_and_then(chance.uniform(0.2, 1.2), "kill")
    now_and_then(chance.uniform(0.2, 0.9), "stop")
    now_and_then(chance.uniform(1, 10), "change")
    now_and_then(0.2, "lock")
    now_and_then(0.15, "insert")
    now_and_then(0.1, "delete")
    now_and_then(0.6, "operator")
    now_and_then(0.4, "stranger")
    if weather.slow_to_heal:
        moment = chance.uniform(0.5, TOKEN_FAULTS_EVERY)
        while moment < weather.seconds:
            fault: AnyFault = (
                DeadToken()
                if chance.random() < 0.7
                else RefuseToken(lock_out_seconds=chance.choice((60, 600)))
            )
            events.append(Event(moment, "fault", {"fault": fault}))
            moment += TOKEN_FAULTS_EVERY + chance.uniform(0, 2)
    return sorted(events, key=lambda event: event.at)


def _values(chance: random.Random, weather: Weather, kind: str) -> dict[str, Any]:
    """Draw what an event needs to know; who it meets is a number, taken modulo who is there."""
    drawn: dict[str, Any] = {"whom": chance.randrange(10_000)}
    match kind:
        case "fault":
            return {"fault": draw_fault(chance, weather)}
        case "stop":
            # Longer than the lease; often longer than the proof of what it left behind.
            proved = weather.lease_seconds + weather.timing.proof_due_seconds
            drawn["seconds"] = chance.choice((0.3, weather.lease_seconds + 0.3, proved + 0.5))
        case "lock":
            drawn["seconds"] = chance.uniform(0.3, 3)
        case "change":
            drawn["what"] = chance.choice(("phone", "phone", "name", "email", "type", "status"))
            drawn["to"] = chance.randrange(100)
        case "operator":
            drawn["what"] = chance.choice(("retry", "retry", "link", "create_anyway"))
        case "stranger":
            drawn["what"] = chance.choice(
                ("e-mail", "phone", "name", "account", "account", "display_name")
            )
    return drawn


def draw_fault(chance: random.Random, weather: Weather) -> AnyFault:
    """Draw one fault for one call to come."""
    write, call = chance.choice(WRITES), chance.choice(CALLS)
    late = chance.uniform(0.1, weather.longest_commit_seconds)
    # Whoever is kept waiting holds a call in flight: not longer than its permit counts it for.
    patience = weather.http_deadline_seconds + weather.send_window_seconds / 2
    match chance.randrange(12):
        case 0 | 1:
            return AnswerLost(operation=call)
        case 2 | 3:
            return CommitDelayed(operation=write, delay_seconds=late, hang=late < patience)
        case 4:
            return AnswerDelayed(operation=call, delay_seconds=chance.uniform(0.1, patience))
        case 5 | 6:
            return BadGateway(operation=call, commits=chance.random() < 0.5)
        case 7:
            return InternalError(operation=call, commits=chance.random() < 0.5)
        case 8:
            return TruncatedJson(operation=call)
        case 9:
            return WithoutId(operation=write)
        case 10:
            return CodeNotZero(operation=write)
        case _:
            # A paused day is asked again after an hour: too long for the slower clocks.
            paused = (45,) if weather.slow_to_heal and weather.time_scale > 200 else ()
            codes = (44, 1070, 4711, *paused)
            return Throttled(operation=call, code=chance.choice(codes))


def shown(weather: Weather) -> dict[str, Any]:
    """Give a round's settings for the trace."""
    return asdict(weather)
