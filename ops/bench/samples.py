"""What one piece of work costs: calls to Zoho, our own time, and round trips to the database."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ops.bench.world import World


@dataclass(frozen=True, slots=True)
class Sample:
    """What one record cost."""

    calls: int
    own_seconds: float
    statements: int
    transactions: int
    round_trips: int


def sample[Result](bench: World, work: Callable[[], Result]) -> tuple[Result, Sample]:
    """Do the work, and give what came of it and what it cost."""
    zoho, database = bench.zoho, bench.round_trips
    calls, in_zoho = zoho.calls, zoho.seconds
    counted = (database.statements, database.transactions, database.total)
    started = time.perf_counter()
    result = work()
    elapsed = time.perf_counter() - started
    return result, Sample(
        calls=zoho.calls - calls,
        own_seconds=elapsed - (zoho.seconds - in_zoho),
        statements=database.statements - counted[0],
        transactions=database.transactions - counted[1],
        round_trips=database.total - counted[2],
    )
