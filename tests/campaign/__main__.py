"""`make campaign`: play random rounds for so many minutes; the exit code says whether all held.

A round is drawn from `SEED` and its number. One that fails can be played again alone
(`make campaign SEED=7 ROUND=12`): the same worlds, the same events at the same moments; how the
processes meet is the machine's doing, as it is in real life.
"""

import argparse
import json
import secrets
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.migrate import migrate
from ops.demo.load import APPLICATION_SQL
from ops.local_stack.interruptions import interruptible
from ops.local_stack.postgres import APPLICATION_ROLE, FUNCTIONS_ROLE, PostgresServer
from ops.local_stack.processes import project_root, scratch_directory
from tests.campaign.campaign import Result, play

TRACES: Final = project_root() / "build" / "campaign"
SOURCE_VIEWS: Final = project_root() / "functions" / "migrate" / "source"
TEMPLATE: Final = "campaign_template"


def main() -> int:
    """Play until the time is up."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long (10)")
    parser.add_argument("--seed", help="what all is drawn from (one at random)")
    parser.add_argument("--round", type=int, help="play this round alone")
    asked = parser.parse_args()
    seed = asked.seed or str(secrets.randbelow(1_000_000))
    shutil.rmtree(TRACES, ignore_errors=True)
    with interruptible(), _server() as server:
        return _campaign(server, seed, asked.minutes, asked.round)


def _campaign(server: PostgresServer, seed: str, minutes: float, only: int | None) -> int:
    give_up_at = time.monotonic() + 60 * minutes
    counts: Counter[str] = Counter()
    states: Counter[str] = Counter()
    red, number = 0, only or 1
    while True:
        database = server.create_database(f"round_{number}", template=TEMPLATE)
        began = time.monotonic()
        result = play(f"{seed}:{number}", database, TRACES / f"{seed}-{number}")
        _tell(number, result, time.monotonic() - began)
        server.drop_database(database.name)
        counts += result.counts
        states += result.states
        counts["rounds"] += 1
        counts["late writes"] += sum(result.late_writes.values())
        red += bool(result.violations)
        number += 1
        if only is not None or time.monotonic() > give_up_at:
            break
    _write(f"\n{counts.pop('rounds')} rounds of seed {seed}, {red} of them red")
    _write("  " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    _write("  ended as " + ", ".join(f"{name} {count}" for name, count in states.most_common()))
    return 1 if red else 0


def _tell(number: int, result: Result, seconds: float) -> None:
    what = ", ".join(f"{name} {count}" for name, count in result.states.most_common())
    colour = "RED  " if result.violations else "green"
    late = f"; late writes {dict(result.late_writes)}" if result.late_writes else ""
    _write(f"{colour} round {number:3} {seconds:5.1f} s  {what}{late}")
    if not result.violations:
        return
    _write(f"      seed {result.seed}, trace {result.trace.relative_to(project_root())}")
    for violation in result.violations:
        facts = json.dumps(violation.facts, default=str, indent=2)
        _write(f"      {violation.invariant}\n{facts}")


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def _server() -> Iterator[PostgresServer]:
    """Run a server with a database to copy: the application's tables, empty, and ours."""
    scratch: Path = scratch_directory()
    try:
        with PostgresServer(scratch / "postgres", log=scratch / "postgres.log") as server:
            database = server.create_database(TEMPLATE)
            database.run_script(APPLICATION_SQL, APPLICATION_ROLE)
            engine = make_engine(database.owner_url)
            migrate(engine, functions_role=FUNCTIONS_ROLE, views_directory=SOURCE_VIEWS)
            # A database that somebody is connected to cannot be copied.
            engine.dispose()
            yield server
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    sys.exit(main())
