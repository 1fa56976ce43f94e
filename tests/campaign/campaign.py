"""Play a round: workers, weather and people at once, then calm, then the books are checked."""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

import psycopg

from billing_sync.domain.errors import CallFailed
from billing_sync.domain.states import EntityType, State, states_where
from billing_sync.domain.steps import BackfillInput, Mode
from billing_sync.ports import RecordKey
from ops.local_stack.postgres import Database
from tests.campaign import invariants
from tests.campaign.invariants import Violation
from tests.campaign.stage import Stage, Stranger, stage, wait_until
from tests.campaign.trace import Trace, read
from tests.campaign.weather import Event, Weather, draw_events, draw_weather, shown
from tests.campaign.worker import Orders, drive, start

CALM_SECONDS: Final = 60.0
"""Within this all must be at rest: the slowest is a token's lock-out, 6 s at the slowest clock."""

LAST_WORDS_SECONDS: Final = 1.0
"""How long workers go on in the calm, those that have just been woken up among them."""

UNREST: Final = """
SELECT (SELECT count(*) FROM billing_sync.records
        WHERE state NOT IN ({at_rest}) OR signals > signals_claimed OR status_due IS NOT NULL)
     + (SELECT count(*) FROM billing_sync.intents WHERE closed_at IS NULL) AS unrest
""".format(at_rest=", ".join(f"'{state}'" for state in states_where("claimed_on_signal")))


@dataclass(frozen=True, slots=True)
class Result:
    """What a round came to."""

    seed: str
    trace: Path
    violations: list[Violation]
    late_writes: dict[str, int]
    counts: Counter[str]
    states: Counter[str]


@dataclass
class _Crew:
    """The workers of a round, and those who are made to take their place."""

    orders: Orders
    processes: list[ForkServerProcess] = field(default_factory=list)
    waking: list[threading.Timer] = field(default_factory=list)
    started: int = 0

    def hire(self, *, backfills: bool = False) -> None:
        """Start one more worker."""
        self.started += 1
        name = f"{'backfill' if backfills else 'worker'}-{self.started}"
        orders = replace(
            self.orders,
            name=name,
            seed=f"{self.orders.seed}:{self.started}",
            backfills=backfills,
        )
        process = start(orders)
        process.name = name
        self.processes.append(process)

    def pick(self, whom: int) -> ForkServerProcess | None:
        """Give one of those who live."""
        alive = [process for process in self.processes if process.is_alive()]
        return alive[whom % len(alive)] if alive else None

    def replace(self, process: ForkServerProcess) -> None:
        """Start one that does what this one did."""
        self.hire(backfills=process.name.startswith("backfill"))

    def wake_later(self, process: ForkServerProcess, seconds: float) -> None:
        """Let a stopped one go on after a while."""
        timer = threading.Timer(seconds, _signal, (process, signal.SIGCONT))
        timer.start()
        self.waking.append(timer)

    def wake_all(self) -> None:
        """Let all that are stopped go on now."""
        for timer in self.waking:
            timer.cancel()
            timer.join()
        for process in self.processes:
            _signal(process, signal.SIGCONT)

    def dismiss(self) -> None:
        """End them all, wherever they are."""
        for timer in self.waking:
            timer.cancel()
            timer.join()
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()
            process.close()
        self.processes.clear()


def play(seed: str, database: Database, directory: Path, seconds: float | None = None) -> Result:
    """Play the round of a seed; `seconds` makes it a short one."""
    chance = random.Random(seed)
    weather = draw_weather(chance, seconds)
    events = draw_events(chance, weather)
    directory.mkdir(parents=True)
    path = directory / "trace.jsonl"
    with (
        stage(weather, database, directory, chance) as made,
        Trace(path, "round", time.monotonic()) as trace,
    ):
        trace.write("weather", seed=seed, **shown(weather))
        played = _Round(made, trace, path, seed)
        counts = played.storm(events)
        violations = played.calm()
        late = invariants.late_writes(made)
        # What a byte did that left after its window is no news: the protocol names it.
        violations = [one for one in violations if not _is_of(one, late)]
        violations += invariants.unexpected_errors(read(path))
        for violation in violations:
            trace.write("violation", invariant=violation.invariant, facts=violation.facts)
        log = made.zoho.control.log()
        counts["calls"] += len(log)
        counts["customers in Zoho"] += len(made.zoho.control.customers())
        counts.update({f"fault {kind}": met for kind, met in made.desk.met.items()})
        records = made.rows("SELECT state FROM billing_sync.records")
        counts["records"] += len(records)
        states = Counter(row["state"] for row in records)
    return Result(seed, path, violations, late, counts, states)


def _is_of(violation: Violation, late: dict[str, int]) -> bool:
    """Tell whether a violation is about an account, one of whose writes left after its window."""
    accounts = {str(row["account_number"]) for row in violation.facts.get("source", ())}
    return bool(accounts & set(late))


class _Round:
    def __init__(self, made: Stage, trace: Trace, path: Path, seed: str) -> None:
        self._stage = made
        self._weather: Weather = made.weather
        self._trace = trace
        self._path = path
        self._seed = seed
        self._counts: Counter[str] = Counter()
        self._inserted = self._weather.customers
        self._chance = random.Random(f"{seed}:people")
        self._crew: _Crew | None = None

    # ----------------------------------------------------------------------------------- storm

    def storm(self, events: list[Event]) -> Counter[str]:
        """Let workers work while everything happens, and then wake whoever still sleeps."""
        began = time.monotonic()
        with self._crew_at_work(began) as crew, ThreadPoolExecutor(4) as lockers:
            self._crew = crew
            for event in events:
                wait_until(began + event.at)
                self._trace.write(event.kind, **event.values)
                self._counts[event.kind] += 1
                if event.kind == "lock":
                    lockers.submit(self._lock, event.values)
                else:
                    getattr(self, f"_{event.kind}")(**event.values)
            wait_until(began + self._weather.seconds)
            self._trace.write("calm")
            self._stage.zoho.control.clear_faults()
            crew.wake_all()
            time.sleep(LAST_WORDS_SECONDS)
            self._trace.write("dismissed")
        return self._counts

    @contextmanager
    def _crew_at_work(self, began: float) -> Iterator[_Crew]:
        orders = Orders(
            name="",
            seed=self._seed,
            environment=self._stage.environment,
            timing=self._weather.timing,
            database_url=self._stage.database.functions_url,
            token_file=self._stage.directory / "token.json",
            trace_file=self._path,
            began=began,
            ids=self._stage.ids,
            threads=self._weather.threads,
            backfills=False,
        )
        crew = _Crew(orders)
        try:
            for _ in range(self._weather.workers):
                crew.hire()
            if self._weather.backfill:
                crew.hire(backfills=True)
            yield crew
        finally:
            crew.dismiss()

    def _fault(self, fault: Any) -> None:
        self._stage.zoho.control.arm(fault)

    def _kill(self, whom: int) -> None:
        assert self._crew is not None
        process = self._crew.pick(whom)
        if process is not None:
            process.kill()
            self._trace.write("killed", worker=process.name)
            self._crew.replace(process)

    def _stop(self, whom: int, seconds: float) -> None:
        assert self._crew is not None
        process = self._crew.pick(whom)
        if process is not None:
            _signal(process, signal.SIGSTOP)
            self._trace.write("stopped", worker=process.name, seconds=seconds)
            self._crew.wake_later(process, seconds)
            self._crew.replace(process)

    # ---------------------------------------------------------------------------------- people

    def _change(self, whom: int, what: str, to: int) -> None:
        column, value = {
            "phone": ("phone", f"+27215{to:06d}"),
            "name": ("last_name", f"Renamed{to}"),
            "email": ("email", f"changed{to}@example.com"),
            "type": ("account_type", ("internal_test", "personal")[to % 2]),
            "status": ("account_status", ("suspended", "active")[to % 2]),
        }[what]
        self._as_application(f"UPDATE customers SET {column} = %s WHERE id = %s", value, whom)

    def _delete(self, whom: int) -> None:
        self._as_application("DELETE FROM customers WHERE id = %s", None, whom)

    def _insert(self, whom: int) -> None:
        if self._inserted < self._stage.most_customers:
            self._stage.insert(self._inserted, random.Random(f"{self._seed}:{whom}"))
            self._inserted += 1

    def _as_application(self, statement: str, value: str | None, whom: int) -> None:
        row = self._row(whom)
        values = [row["id"]] if value is None else [value, row["id"]]
        began = time.monotonic()
        try:
            with self._stage.application() as cursor:
                cursor.execute(statement.encode(), values)
            self._trace.write("did", statement=statement, values=values)
        except psycopg.errors.LockNotAvailable:
            # For a colleague's transaction (`lock`), or for ours if a worker stands still in it.
            self._counts["application had to wait"] += 1
            self._trace.write("waited in vain", row=row["id"], seconds=time.monotonic() - began)

    def _lock(self, values: dict[str, Any]) -> None:
        row = self._row(values["whom"])
        self._trace.write("locking", row=row["id"])
        with (
            contextlib.suppress(psycopg.errors.LockNotAvailable),
            self._stage.application() as cursor,
        ):
            # One statement, one transaction: the row is locked before the server sleeps.
            cursor.execute(
                "WITH locked AS MATERIALIZED (SELECT id FROM customers WHERE id = %s FOR UPDATE)"
                " SELECT pg_sleep(%s) FROM locked",
                [row["id"], values["seconds"]],
            )

    def _operator(self, whom: int, what: str) -> None:
        operations, entity = self._stage.parent.operations, EntityType.CUSTOMER
        if what == "retry":
            states = self._chance.sample([State.FAILED, State.RETRYING, State.EXHAUSTED], 2)
            operations.retry(entity, ids=[], states=states, code=None, by="campaign")
            return
        ambiguous = self._stage.rows(
            "SELECT * FROM billing_sync.records WHERE state = 'ambiguous' AND code = 'plausible'"
            " ORDER BY entity_id"
        )
        if not ambiguous:
            return
        row = ambiguous[whom % len(ambiguous)]
        record = RecordKey(entity, row["entity_id"])
        if what == "create_anyway":
            operations.create_anyway(record, by="campaign")
            return
        try:
            operations.link(record, row["candidates"][0], by="campaign")
        except LookupError:
            self._trace.write("not linked", id=row["entity_id"])

    def _stranger(self, whom: int, what: str) -> None:
        row = self._row(whom)
        zoho_id = self._stage.arrive(Stranger(what, row["account_number"]), row)
        self._trace.write("arrived", zoho_id=zoho_id, account=row["account_number"])

    def _row(self, whom: int) -> dict[str, Any]:
        rows = self._stage.rows("SELECT * FROM customers ORDER BY id")
        return rows[whom % len(rows)]

    # ------------------------------------------------------------------------------------ calm

    def calm(self) -> list[Violation]:
        """Let the sweep work until all is at rest, then an operator, then a whole backfill."""
        violations = self._come_to_rest("by itself")
        violations += invariants.check(self._stage, mended=False)
        parent = self._stage.parent
        red = [State.FAILED, State.EXHAUSTED, State.MISMATCH, State.AMBIGUOUS]
        parent.operations.retry(EntityType.CUSTOMER, ids=[], states=red, code=None, by="campaign")
        run = parent.runs.latest()
        if run is not None and run.ended_at is None:
            parent.runs.take_over(run.run_id)
        parent.runs.begin("last", "arn:last", BackfillInput(mode=Mode.APPLY))
        drive(parent, "last", "preflight", self._trace)
        violations += self._come_to_rest("mended")
        violations += invariants.check(self._stage, mended=True)
        violations += self._rest_is_rest()
        return violations

    def _come_to_rest(self, how: str) -> list[Violation]:
        parent = self._stage.parent
        began = time.monotonic()
        retry_at = began
        while time.monotonic() < began + CALM_SECONDS:
            with ThreadPoolExecutor(2) as pool:
                sweeps = [pool.submit(parent.sweep, lambda: 300.0) for _ in range(2)]
            for sweep in sweeps:
                sweep.result()
            if self._is_at_rest():
                self._trace.write("at rest", how=how, after=round(time.monotonic() - began, 2))
                return []
            if time.monotonic() >= retry_at:
                # The ladder's upper rungs are hours: an operator does not wait for them.
                parent.operations.retry(
                    EntityType.CUSTOMER, ids=[], states=[State.RETRYING], code=None, by="campaign"
                )
                retry_at = time.monotonic() + 1
            time.sleep(0.05)
        return [Violation("all comes to rest", {"how": how, "unrest": self._unrest()})]

    def _is_at_rest(self) -> bool:
        parent = self._stage.parent
        return (
            self._stage.rows(UNREST)[0]["unrest"] == 0
            and not parent.source.changed(EntityType.CUSTOMER, 1)
            and not parent.records.due(1)
        )

    def _unrest(self) -> list[dict[str, Any]]:
        at_rest = ", ".join(f"'{state}'" for state in states_where("claimed_on_signal"))
        return self._stage.rows(
            f"""SELECT * FROM billing_sync.records WHERE state NOT IN ({at_rest})
                OR signals > signals_claimed OR status_due IS NOT NULL"""
        )

    def _rest_is_rest(self) -> list[Violation]:
        """Sweep once more: nothing is claimed, called or written."""
        before, calls = self._everything(), len(self._stage.zoho.control.log())
        try:
            counts = self._stage.parent.sweep(lambda: 300.0)
        except CallFailed as failure:
            return [Violation("at rest a sweep does nothing", {"raised": repr(failure)})]
        if any(counts.values()) or self._everything() != before:
            return [Violation("at rest a sweep does nothing", {"counts": counts})]
        if len(self._stage.zoho.control.log()) != calls:
            return [Violation("at rest a sweep does nothing", {"calls": "made"})]
        return []

    def _everything(self) -> list[Any]:
        return [
            self._stage.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3")
            for table in ("customers", "billing_sync.records", "billing_sync.intents")
        ]


def _signal(process: ForkServerProcess, number: signal.Signals) -> None:
    """Send a signal to a worker of ours, if it still lives."""
    if process.is_alive() and process.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
