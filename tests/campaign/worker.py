"""The workers of a campaign: processes that are killed and stopped from outside, at any moment."""

import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

import pydantic

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.zoho.oauth import ZohoCredentials
from billing_sync.bootstrap import Container
from billing_sync.domain.errors import RecordsNotInStep
from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import BackfillInput, Mode, Next, StepAnswer, StepEvent
from billing_sync.ports import AccessToken, Executions, Priority, RecordKey, TokenStore
from billing_sync.services.backfill.loop import SPARE_SECONDS
from ops.fake_zoho import Credential
from tests.campaign.trace import Trace
from tests.campaign.weather import QuickTiming

FORKS: Final = multiprocessing.get_context("forkserver")
# Importing the product takes a second, a fork some milliseconds.
FORKS.set_forkserver_preload(
    [
        __name__,
        "billing_sync.adapters.zoho.client",
        "billing_sync.adapters.postgres.operations",
        "billing_sync.adapters.postgres.runs",
        "billing_sync.adapters.postgres.verification",
        "billing_sync.services.backfill.plan",
        "billing_sync.services.backfill.report",
        "billing_sync.services.backfill.sync_batch",
        "billing_sync.services.backfill.verify",
        "billing_sync.services.customers",
        "billing_sync.services.sweep",
        "billing_sync.services.sync_record",
        "billing_sync.services.tokens",
    ]
)

STEPS: Final = (
    ("snapshot", None),
    ("plan", None),
    ("sync_batch", "customers"),
    ("sync_batch", "due"),
    ("verify", None),
)
INVOCATION_SECONDS: Final = 1.0
"""How long an invocation of a step works before it asks to be called again."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is told when it starts."""

    name: str
    seed: str
    environment: dict[str, str]
    timing: QuickTiming
    database_url: str
    token_file: Path
    trace_file: Path
    began: float
    ids: tuple[str, ...]
    threads: int
    backfills: bool


class FileTokenStore(TokenStore):
    """The token's secret, in a file that all processes of a round share."""

    _JSON: Final = pydantic.TypeAdapter(AccessToken)

    def __init__(self, path: Path) -> None:
        """Keep the path; nothing is there before the first token."""
        self._path = path

    def read(self) -> AccessToken | None:
        """Give the token."""
        try:
            return self._JSON.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None

    def write(self, token: AccessToken) -> None:
        """Replace the token, whole or not at all, whenever its writer dies."""
        new = self._path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        new.write_bytes(self._JSON.dump_json(token))
        new.replace(self._path)


class NoFiles:
    """The bucket: nobody reads it here."""

    def write(self, key: str, chunks: Iterator[bytes], content_type: str) -> None:
        """Read the content to its end, as an upload does."""
        assert key
        assert content_type
        for _ in chunks:
            continue

    def probe(self) -> None:
        """Have nothing to say against it."""


class AlwaysRunning(Executions):
    """Executions that nobody stops in the console."""

    def is_running(self, execution_arn: str) -> bool:
        """Say so."""
        return bool(execution_arn)


def container(
    environment: dict[str, str],
    timing: QuickTiming,
    database_url: str,
    store: TokenStore,
    connections: int,
) -> Container:
    """Wire a worker by the product's own composition root."""
    made = Container(environment)
    made.timing = timing
    made.engine = make_engine(database_url, connections=connections)
    credential = Credential()
    made.credentials = ZohoCredentials(
        credential.client_id, credential.client_secret, credential.refresh_token
    )
    made.token_store = store
    made.run_files = NoFiles()
    made.executions = AlwaysRunning()
    return made


def work(orders: Orders) -> None:
    """Work until killed."""
    made = container(
        orders.environment,
        orders.timing,
        orders.database_url,
        FileTokenStore(orders.token_file),
        connections=max(orders.threads, 4) + 1,
    )
    # Parts are made on first use, which is not for several threads at once.
    ready = (made.sync_record, made.sweep, made.sync_batch, made.verify, made.plan, made.snapshot)
    assert all(ready)
    with Trace(orders.trace_file, orders.name, orders.began) as trace:
        trace.write("started", pid=os.getpid())
        if orders.backfills:
            _again_and_again(trace, random.Random(orders.seed), _Backfills(made, orders, trace))
        with ThreadPoolExecutor(orders.threads) as pool:
            for number in range(orders.threads):
                chance = random.Random(f"{orders.seed}:{number}")
                pool.submit(_again_and_again, trace, chance, _Odds(made, orders, trace, chance))


def start(orders: Orders) -> ForkServerProcess:
    """Start a worker in a process of its own."""
    process = FORKS.Process(target=work, args=(orders,), daemon=True)
    process.start()
    return process


def _again_and_again(trace: Trace, chance: random.Random, action: Callable[[], None]) -> None:
    """Do what a Lambda does: whatever an invocation ends with, the next one comes."""
    while True:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - it is judged when the round is over
            trace.write(
                "raised",
                error=type(error).__name__,
                sqlstate=getattr(getattr(error, "orig", None), "sqlstate", None),
                message=str(error)[:500],
            )
        time.sleep(chance.uniform(0, 0.06))


class _Odds:
    """One thread that calls the use cases in random order on random records."""

    def __init__(self, made: Container, orders: Orders, trace: Trace, chance: random.Random):
        self._made = made
        self._ids = orders.ids
        self._trace = trace
        self._chance = chance

    def __call__(self) -> None:
        """Do one thing."""
        record = RecordKey(EntityType.CUSTOMER, self._chance.choice(self._ids))
        match self._chance.randrange(10):
            case 0 | 1 | 2:
                give_up_at = time.monotonic() + self._chance.uniform(0.1, 1.5)
                counts = self._made.sweep(lambda: give_up_at - time.monotonic() + SPARE_SECONDS)
                self._trace.write("swept", **counts)
            case 3 | 4 | 5 | 6:
                # A webhook: it counts as a signal, and is worked on at once.
                self._made.records.signal(record, live=True)
                self._sync(record, Priority.TRIGGER)
            case _:
                self._sync(record, Priority.BACKFILL)

    def _sync(self, record: RecordKey, priority: Priority) -> None:
        outcome = self._made.sync_record(record, priority=priority)
        if outcome.not_claimed is None:
            self._trace.write(
                "synced",
                id=record.entity_id,
                state=outcome.state,
                change=outcome.change,
                code=outcome.code,
                wait=outcome.wait.reason if outcome.wait else None,
            )


class _Backfills:
    """One run of the backfill after the other, as the state machine drives them.

    A worker that replaces a dead one goes on with its run; should that one wake up again, two are
    at it, as after a time-out of a task.
    """

    def __init__(self, made: Container, orders: Orders, trace: Trace) -> None:
        self._made = made
        self._name = orders.name
        self._trace = trace
        self._runs = 0

    def __call__(self) -> None:
        """Drive the run that is under way, or a new one, to its end."""
        run = self._made.runs.latest()
        if run is None or run.ended_at is not None:
            self._runs += 1
            run_id = f"{self._name}-{self._runs}"
            asked = BackfillInput(mode=Mode.APPLY)
            run = self._made.runs.begin(run_id, f"arn:{run_id}", asked)
        drive(self._made, run.run_id, run.step, self._trace)


def drive(made: Container, run_id: str, begin_with: str, trace: Trace) -> None:
    """Repeat the steps as the state machine does, with its waits, from the one that was reached."""
    names = [" ".join(filter(None, step)) for step in STEPS]
    reached = names.index(begin_with) if begin_with in names else 0
    for name, phase in STEPS[reached:]:
        answer = _repeat(made, run_id, name, phase, trace)
        if answer.next is Next.END:
            break
    made.report(StepEvent(run_id=run_id))
    colour: str
    try:
        colour = made.conclude(StepEvent(run_id=run_id)).colour
    except RecordsNotInStep:
        colour = "red"
    trace.write("concluded", run=run_id, colour=colour)


def _repeat(made: Container, run_id: str, name: str, phase: str | None, trace: Trace) -> StepAnswer:
    service: Callable[[StepEvent, Callable[[], float]], StepAnswer] = getattr(made, name)
    while True:
        began = time.monotonic()

        def time_left(began: float = began) -> float:
            return SPARE_SECONDS + INVOCATION_SECONDS - (time.monotonic() - began)

        answer = service(StepEvent(run_id=run_id, phase=phase), time_left)
        trace.write("stepped", run=run_id, step=name, phase=phase, next=answer.next, why=answer.why)
        if answer.next in (Next.DONE, Next.END):
            return answer
        if answer.wait_seconds is not None:
            time.sleep(answer.wait_seconds / made.timing.scale)
        elif answer.resume_at is not None:
            time.sleep(min(max(_unscaled(made, answer.resume_at), 0.05), 2.0))


def _unscaled(made: Container, moment: datetime) -> float:
    return (moment - made.clock.now()).total_seconds() / made.timing.scale
