"""How fast a plan is made, and in how much memory."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from billing_sync.domain.steps import BackfillInput, Next, StepEvent
from ops.bench.figures import Table
from ops.bench.world import World, filled_database, world
from ops.fake_zoho import SeedCustomer
from ops.local_stack.postgres import PostgresServer
from ops.local_stack.processes import project_root

ROWS: Final = (1_000, 10_000)


class LocalFiles:
    """The bucket as a folder; chunks are not kept in memory, as they are not on their way to S3."""

    def __init__(self, directory: Path) -> None:
        """Keep the folder."""
        self._directory = directory

    def write(self, key: str, chunks: Iterator[bytes], content_type: str) -> None:  # noqa: ARG002
        """Write a file."""
        path = self._directory / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)

    def probe(self) -> None:
        """Write a small file."""
        self.write("runs/.probe", iter([b"ok"]), "text/plain")


def measure(directory: Path) -> Table:
    """Plan 1,000 and 10,000 customers, each in a process of its own, half of them in Zoho."""
    table = Table(
        "Plan",
        "All rows are new to us; every second one is in Zoho already. Written to disk in place of"
        " S3. Memory is the highest of the whole process, the bench's own parts included.",
        ("rows", "seconds", "rows per second", "peak MB"),
    )
    for rows in ROWS:
        # Peak memory is a process's: one that has planned before knows no smaller one.
        done = subprocess.run(
            [sys.executable, "-m", "ops.bench", "--plan", str(rows), "--directory", directory],
            cwd=project_root(),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        seconds, peak = json.loads(done.stdout.splitlines()[-1])
        table.rows.append((f"{rows:,}", f"{seconds:.1f}", f"{rows / seconds:,.0f}", f"{peak:.0f}"))
    return table


def measure_here(server: PostgresServer, directory: Path, rows: int) -> tuple[float, float]:
    """Plan in this process; gives seconds, and peak memory in MB."""
    database = filled_database(server, f"bench_plan_{rows}", rows)
    with world(database, directory) as bench:
        _seed(bench, rows)
        bench.worker.take_snapshot.begin()
        bench.worker.take_snapshot.advance(lambda: True)
        bench.worker.run_files = LocalFiles(directory)
        bench.worker.runs.begin("bench", "arn:bench", BackfillInput())
        plan = bench.worker.plan
        started = time.perf_counter()
        answer = plan(StepEvent(run_id="bench"), lambda: 300.0)
        seconds = time.perf_counter() - started
        if answer.next is not Next.DONE:
            raise RuntimeError(f"the plan ended with {answer.next}: {answer.why}")
        # Linux counts in KB.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seconds, peak


def _seed(bench: World, rows: int) -> None:
    """Put every second customer into Zoho under the name that we give it, so that lists show it."""
    numbers = range(1, rows + 1, 2)
    bench.control.seed(
        [
            SeedCustomer(
                profile={
                    "display_name": f"First{n % 100} Last{n % 1000} (CT-2025-{n:05d})",
                    "email": f"customer{n}@example.com",
                },
                created_time=datetime(2024, 1, 1, tzinfo=UTC),
            )
            for n in numbers
        ]
    )
