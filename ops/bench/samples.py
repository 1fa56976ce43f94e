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
    processor_seconds: float
    statements: int
    transactions: int
    round_trips: int


def sample[Result](bench: World, work: Callable[[], Result]) -> tuple[Result, Sample]:
    """Do the work, and give what came of it and what it cost."""
    zoho, database = bench.zoho, bench.round_trips
    calls, in_zoho = zoho.calls, zoho.seconds
    counted = (database.statements, database.transactions, database.total)
    started, worked = time.perf_counter(), time.process_time()
    result = work()
    elapsed, processor = time.perf_counter() - started, time.process_time() - worked
    return result, Sample(
        calls=zoho.calls - calls,
        own_seconds=elapsed - (zoho.seconds - in_zoho),
        processor_seconds=processor,
        statements=database.statements - counted[0],
        transactions=database.transactions - counted[1],
        round_trips=database.total - counted[2],
    )
