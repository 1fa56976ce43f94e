"""How fast a plan of all phases is made, by how many round trips, and in how much memory."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from billing_sync.domain.steps import BackfillInput, Next, Phase, StepEvent
from ops.bench import books
from ops.bench.figures import Table
from ops.bench.world import World, filled_database, world
from ops.fake_zoho import SeedCustomer
from ops.local_stack.postgres import PostgresServer
from ops.local_stack.processes import project_root

CUSTOMERS: Final = (200, 1_000)
INVOICES_EACH: Final = 5

BOOKS: Final = "the books, and the export"


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


@dataclass(slots=True)
class Part:
    """What one phase of a plan cost."""

    seconds: float = 0.0
    round_trips: int = 0


class Watch:
    """Divides a plan's time and round trips between its phases.

    The plan asks for the time that is left after each page of rows: then its cursor tells where it
    is. What the question itself costs is not counted.
    """

    def __init__(self, bench: World, run_id: str) -> None:
        """Begin with the first phase."""
        self.parts: dict[str, Part] = {}
        self._bench = bench
        self._run_id = run_id
        self._started, self._counted = time.perf_counter(), bench.round_trips.total

    def __call__(self) -> float:
        """Put what passed down to the phase that the cursor names; there is always time left."""
        seconds = time.perf_counter() - self._started
        trips = self._bench.round_trips.total - self._counted
        cursor = self._bench.worker.runs.get(self._run_id).cursor or ""
        self._note(cursor.split()[0], seconds, trips)
        self._started, self._counted = time.perf_counter(), self._bench.round_trips.total
        return 300.0

    def end(self) -> None:
        """Put the rest down to what comes after all phases."""
        trips = self._bench.round_trips.total - self._counted
        self._note(BOOKS, time.perf_counter() - self._started, trips)

    def _note(self, name: str, seconds: float, round_trips: int) -> None:
        # The last question comes when the cursor has left the phases; next to nothing is behind it.
        part = self.parts.setdefault(name if name in Phase else BOOKS, Part())
        part.seconds += seconds
        part.round_trips += round_trips


def measure(directory: Path) -> list[Table]:
    """Plan the books of a small and of a five times larger ISP, each in a process of its own."""
    table = Table(
        "Plan",
        "All rows are new to us: for each customer a service, an installation's invoice, four"
        " months, and a payment of each; every second customer is in Zoho already. Written to disk"
        " in place of S3. Memory is the highest of the whole process, the bench's own parts"
        " included.",
        ("phase", "rows", "seconds", "rows per second", "round trips a row", "peak MB"),
    )
    for customers in CUSTOMERS:
        # Peak memory is a process's: one that has planned before knows no smaller one.
        done = subprocess.run(
            [sys.executable, "-m", "ops.bench", "--plan", str(customers), "--directory", directory],
            cwd=project_root(),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        measured = json.loads(done.stdout.splitlines()[-1])
        rows = {
            Phase.CUSTOMERS: customers,
            Phase.SUBSCRIPTIONS: customers,
            Phase.INVOICES: customers * INVOICES_EACH,
            Phase.PAYMENTS: customers * INVOICES_EACH,
        }
        parts = {name: Part(**part) for name, part in measured["parts"].items()}
        whole = Part(
            sum(part.seconds for part in parts.values()),
            sum(part.round_trips for part in parts.values()),
        )
        table.rows.extend(_row(phase.value, rows[phase], parts[phase]) for phase in Phase)
        table.rows.append((BOOKS, "", f"{parts[BOOKS].seconds:.1f}", "", "", ""))
        together = _row("together", sum(rows.values()), whole)
        table.rows.append((*together[:-1], f"{measured['peak']:.0f}"))
    return [table]


def _row(name: str, rows: int, part: Part) -> tuple[str, ...]:
    return (
        name,
        f"{rows:,}",
        f"{part.seconds:.1f}",
        f"{rows / part.seconds:,.0f}",
        f"{part.round_trips / rows:.1f}",
        "",
    )


def measure_here(server: PostgresServer, directory: Path, customers: int) -> dict[str, object]:
    """Plan in this process; gives each part's seconds and round trips, and peak memory in MB."""
    invoices = customers * (INVOICES_EACH - 1)
    database = filled_database(
        server,
        f"bench_plan_{customers}",
        books.customers(customers),
        books.package(),
        books.services(customers, activated=date(2035, 11, 10)),
        books.recurring_invoices(invoices, customers=customers, day=books.TODAY, status="paid"),
        books.one_off_invoices(
            customers, customers=customers, after=invoices, day=date(2035, 11, 3), status="paid"
        ),
        books.payments(invoices + customers),
    )
    with world(database, directory) as bench:
        _seed(bench, customers)
        bench.take_snapshot()
        bench.worker.run_files = LocalFiles(directory)
        bench.worker.runs.begin("bench", "arn:bench", BackfillInput(phases=tuple(Phase)))
        plan = bench.worker.plan
        watch = Watch(bench, "bench")
        answer = plan(StepEvent(run_id="bench"), watch)
        watch.end()
        if answer.next is not Next.DONE:
            raise RuntimeError(f"the plan ended with {answer.next}: {answer.why}")
        # Linux counts in KB.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"parts": {name: asdict(part) for name, part in watch.parts.items()}, "peak": peak}


def _seed(bench: World, customers: int) -> None:
    """Put every second customer into Zoho under the name that we give it, so that lists show it."""
    bench.control.seed(
        [
            SeedCustomer(
                profile={
                    "display_name": f"First{n % 100} Last{n % 1000} (CT-2025-{n:05d})",
                    "email": f"customer{n}@example.com",
                },
                created_time=datetime(2024, 1, 1, tzinfo=UTC),
            )
            for n in range(1, customers + 1, 2)
        ]
    )
