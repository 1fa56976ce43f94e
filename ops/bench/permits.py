"""How many permits the governor gives: the one row that all workers lock."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.ports import Priority, Quota
from ops.bench.figures import Table
from ops.bench.world import filled_database, unlimited_quota
from ops.local_stack.postgres import FUNCTIONS_ROLE, PostgresServer

SECONDS: Final = 5.0


def measure(server: PostgresServer) -> Table:
    """Take and give back permits for five seconds, by one thread and by twenty."""
    table = Table(
        "Permits",
        f"Taken and answered, again and again, for {SECONDS:g} s; all threads share one"
        " organisation's row. Zoho's own limit is 100 a minute.",
        ("threads", "permits per second"),
    )
    database = filled_database(server, "bench_permits")
    for threads in (1, 20):
        engine = make_engine(database.url(FUNCTIONS_ROLE), connections=threads)
        quota = unlimited_quota(engine)
        started = time.monotonic()
        with ThreadPoolExecutor(threads) as pool:
            until = [started + SECONDS] * threads
            taken = sum(pool.map(_take, [quota] * threads, until))
        table.rows.append((str(threads), f"{taken / (time.monotonic() - started):.0f}"))
        engine.dispose()
    return table


def _take(quota: Quota, until: float) -> int:
    taken = 0
    while time.monotonic() < until:
        quota.answered(quota.take(Priority.TRIGGER))
        taken += 1
    return taken
