"""`make flood`: ten thousand messages while Zoho's calls of the day are used up, for days.

Another application that shares the organisation takes all calls of the day, again and again, until
the last message was worked off; a day later Zoho's own count lets calls in again. Beside the
messages, history waits for its backfill, which was planned before the day was used up. The clocks
run so much faster that the days pass while the messages come.
"""

import argparse
import queue
import random
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from billing_sync.bootstrap import Container
from billing_sync.domain.states import EntityType, states_where
from billing_sync.domain.steps import Next, StepEvent
from billing_sync.domain.triggers import ENTITY_OF_TRIGGER, Trigger, WakeUp
from billing_sync.ports import RecordKey
from billing_sync.services.backfill.loop import SPARE_SECONDS
from ops.bench import books
from ops.bench.world import filled_database
from ops.fake_zoho import (
    FakeZohoConfig,
    Limits,
    OrganisationConfig,
    RunningFake,
    TokenRules,
    running_fake_zoho,
)
from ops.fake_zoho.clock import DAY_SECONDS
from ops.local_stack.interruptions import interruptible
from ops.local_stack.postgres import PostgresServer
from ops.local_stack.processes import scratch_directory
from tests.backfill import MemoryFiles, StillRunning, begin, drive
from tests.world import World

WORKERS: Final = 4
MOST_RECEIVES: Final = 5
"""A message that failed so many times is a dead letter (`maxReceiveCount`)."""

HOUR_SECONDS: Final = 3600.0
RUN: Final = "history"
LONGEST_SECONDS: Final = 1800.0
"""Whoever is not at rest by then never will be."""

MOST_LATE: Final = 100
"""So many places later than its turn a record may be worked off: a round looks up fifty at a time,
and a child whose parent was among them comes with the next fifty."""

TOKENS: Final = TokenRules(life_seconds=100 * DAY_SECONDS)
"""At this speed an hour's token would be dead in a second; it is not what is tried here."""

_LIVE: Final = (
    """INSERT INTO customers (id, account_number, first_name, last_name, email, phone, street, city,
                              zip, country, currency)
       SELECT n, 'CT-2036-' || lpad(n::text, 5, '0'), 'First' || n, 'Last' || n,
              'new' || n || '@example.com', '+2731' || lpad(n::text, 7, '0'), n || ' Aloe Street',
              'Paarl', '7646', 'South Africa', 'ZAR'
       FROM generate_series(CAST(:history AS int) + 1, :history + :count) AS n""",
    """INSERT INTO customer_services (id, customer_id, package_id, monthly_price, status,
                                      activation_date, billing_day)
       SELECT n, :before + n, 1, :price, 'active', :today, extract(day FROM CAST(:today AS date))
       FROM generate_series(1, CAST(:count AS int)) AS n""",
    """INSERT INTO customer_invoices (id, customer_id, invoice_number, invoice_type, invoice_date,
                                      due_date, subtotal, tax_amount, total_amount, status)
       SELECT n, :before + n, 'CTI-' || lpad(n::text, 6, '0'), 'installation', :today,
              CAST(:today AS date) + 7, 400, 60, :price, 'sent'
       FROM generate_series(1, CAST(:count AS int)) AS n""",
    """INSERT INTO payment_transactions (id, transaction_id, provider, amount, status,
                                         payment_method, customer_id, invoice_id, completed_at)
       SELECT n, 'TX-' || n, 'netcash', :price, 'completed', 'debit_order', :before + n, n, :today
       FROM generate_series(1, CAST(:count AS int)) AS n""",
)

_UNREST: Final = """
SELECT count(*) AS unrest FROM billing_sync.records
WHERE live_since IS NOT NULL
  AND (state NOT IN ({at_rest}) OR signals > signals_claimed OR status_due IS NOT NULL)
""".format(at_rest=", ".join(f"'{state}'" for state in states_where("claimed_on_signal")))

_HISTORY_SENT: Final = """
SELECT count(*) AS sent FROM billing_sync.records
WHERE entity_type = 'customer' AND CAST(entity_id AS int) <= :before AND zoho_id IS NOT NULL
"""

_IN_TURN: Final = """
SELECT entity_type, entity_id, live_since FROM billing_sync.records WHERE live_since IS NOT NULL
"""

_WORKED_OFF: Final = """
SELECT entity_type, entity_id FROM billing_sync.intents WHERE method = 'create'
GROUP BY 1, 2 ORDER BY min(intent_id)
"""


@dataclass
class Figures:
    """What a flood came to; `wrong` are the sentences that do not hold."""

    messages: int
    records: int = 0
    returned: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    seconds_coming: float = 0.0
    seconds_of_pause: float = 0.0
    seconds_worked_off: float = 0.0
    days: float = 0.0
    calls_in_pause: int = 0
    rounds_in_pause: int = 0
    rounds: int = 0
    most_late: int = 0
    history: int = 0
    states: Counter[str] = field(default_factory=Counter)
    in_zoho: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Tell them to a person."""
        yield (
            f"{self.messages:,} messages about {self.records:,} records came in"
            f" {self.seconds_coming:.1f} s to {WORKERS} workers: {self.returned.total()} returned"
            f" to the queue, {self.dead_letters} dead letters"
        )
        yield (
            f"the pause: {self.days:.1f} days of Zoho's in {self.seconds_of_pause:.1f} s,"
            f" {self.calls_in_pause} calls, {self.rounds_in_pause} rounds of the sweep"
        )
        yield (
            f"worked off in {self.seconds_worked_off:.1f} s, {self.rounds} rounds and"
            f" {self.calls:,} calls; the latest was {self.most_late} places behind its turn;"
            f" then {self.history:,} customers of history"
        )
        yield "here: " + _listed(self.states)
        yield "in Zoho: " + _listed(self.in_zoho)
        for sentence in self.wrong:
            yield f"WRONG: {sentence}"


def flood(
    server: PostgresServer,
    messages: int,
    scale: float,
    *,
    records: int | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Figures:
    """Let them come, wait for Zoho's day, work them off, and look at both sides.

    Two messages of three are the first about their record, unless it is said how many `records`
    there are; of each kind there are as many.
    """
    count = (records or messages * 2 // 3) // len(Trigger)
    history = max(count // 2, 10)
    database = filled_database(server, "flood", books.customers(history), books.package())
    calls_per_day = 1000 + 50 * messages
    config = FakeZohoConfig(
        time_scale=scale,
        tokens=TOKENS,
        organisations=[OrganisationConfig(limits=Limits(calls_per_day=calls_per_day))],
    )
    try:
        with running_fake_zoho(config) as zoho:
            world = World(
                database,
                zoho,
                config,
                TIME_SCALE=str(scale),
                HTTP_DEADLINE_SECONDS="10",
                SEND_WINDOW_SECONDS="5",
                CALLS_PER_DAY=str(calls_per_day),
            )
            try:
                return _Flood(world, messages, count, history, tell).play()
            finally:
                world.close()
    finally:
        server.drop_database(database.name)


class _Flood:
    def __init__(
        self,
        world: World,
        messages: int,
        count: int,
        history: int,
        tell: Callable[[str], object],
    ) -> None:
        self._world = world
        self._count = count
        self._history = history
        # The last tenth of history's customers buys something now: parents of what is new.
        self._before = history - history // 10
        self._tell = tell
        self._figures = Figures(messages, records=4 * count, history=self._before)
        self._workers = [world.handler() for _ in range(WORKERS)]
        self._scale = world.worker.timing.scale

    def play(self) -> Figures:
        self._prepare()
        zoho, figures = self._world.zoho, self._figures
        with _others_take_the_day(zoho, self._scale):
            began = time.monotonic()
            self._come()
            figures.seconds_coming = time.monotonic() - began
            self._tell(f"{figures.messages:,} messages in {figures.seconds_coming:.1f} s")
            self._history_waits()
        turns = self._turns()
        self._sweep_until_the_pause_ends()
        figures.seconds_of_pause = time.monotonic() - began
        began = time.monotonic()
        self._sweep_until_all_is_done()
        figures.seconds_worked_off = time.monotonic() - began
        self._look_at_the_pause()
        self._look_at_the_order(turns)
        self._do_history()
        self._look_at_both_sides()
        return figures

    # ----------------------------------------------------------------------------------- coming

    def _prepare(self) -> None:
        """Plan the backfill of what is old, go live, and let the application write what is new."""
        world = self._world
        world.worker.run_files = MemoryFiles()
        world.worker.executions = StillRunning()
        world.set_today(books.TODAY)
        begin(world.worker, RUN, mode="apply", phases=["customers"])
        drive(world, RUN, "snapshot")
        drive(world, RUN, "plan")
        world.go_live(world.sql("SELECT clock_timestamp() AS now")[0].now)
        values = {
            "history": self._history,
            "before": self._before,
            "count": self._count,
            "price": books.PRICE,
            "today": books.TODAY,
        }
        for statement in _LIVE:
            named = {name: value for name, value in values.items() if f":{name}" in statement}
            world.sql(statement, **named)

    def _messages(self) -> list[WakeUp]:
        """Name every new record once, and some again, in one great disorder."""
        chance = random.Random(4)
        once = [
            WakeUp(trigger=trigger, id=str(number))
            for trigger in Trigger
            for number in self._ids(ENTITY_OF_TRIGGER[trigger])
        ]
        again = chance.choices(once, k=self._figures.messages - len(once))
        told = [*once, *again]
        chance.shuffle(told)
        return told

    def _ids(self, entity: EntityType) -> range:
        first = self._history if entity is EntityType.CUSTOMER else 0
        return range(first + 1, first + self._count + 1)

    def _come(self) -> None:
        """Work the messages off as SQS and the handlers do: what raises comes back, five times."""
        told: queue.SimpleQueue[tuple[WakeUp, int]] = queue.SimpleQueue()
        for wake_up in self._messages():
            told.put((wake_up, 1))
        with ThreadPoolExecutor(WORKERS) as pool:
            for each in [pool.submit(self._handle, worker, told) for worker in self._workers]:
                each.result()
        if self._figures.dead_letters:
            self._figures.wrong.append(f"dead letters: {dict(self._figures.returned)}")

    def _handle(self, worker: Container, told: "queue.SimpleQueue[tuple[WakeUp, int]]") -> None:
        while True:
            try:
                wake_up, times = told.get_nowait()
            except queue.Empty:
                return
            try:
                worker.wake_up(wake_up)
            except Exception as error:  # noqa: BLE001 - whatever it is, the message comes back
                self._figures.returned[f"{type(error).__name__}: {error}"[:300]] += 1
                if times == MOST_RECEIVES:
                    self._figures.dead_letters += 1
                else:
                    told.put((wake_up, times + 1))

    def _history_waits(self) -> None:
        answer = self._world.worker.sync_batch(
            StepEvent(run_id=RUN, phase="customers"), lambda: 300.0
        )
        if answer.next not in (Next.WAIT_UNTIL, Next.COOL_DOWN):
            self._figures.wrong.append(f"the backfill did not wait: {answer.next}")

    # ------------------------------------------------------------------------------ working off

    def _sweep_until_the_pause_ends(self) -> None:
        """Come by again and again, and find nothing to do.

        A round that comes within the moment before the probe takes up one record, and no more.
        """
        while True:
            counts = self._sweep()
            if self._world.worker.quota.view().paused_until is None:
                return
            self._figures.rounds_in_pause += 1
            if counts.pop("due") > 1 or any(counts.values()):
                self._figures.wrong.append(f"a round of the pause found {counts}")

    def _sweep_until_all_is_done(self) -> None:
        give_up_at = time.monotonic() + LONGEST_SECONDS
        while unrest := self._one(_UNREST):
            self._sweep()
            self._figures.rounds += 1
            self._tell(f"round {self._figures.rounds}: {unrest:,} were to be done before it")
            if time.monotonic() > give_up_at:
                self._figures.wrong.append(f"{unrest} records of real time came to no rest")
                return

    def _sweep(self) -> dict[str, int]:
        """Do a round, shorter than a minute's where there is less to do, so that it takes many."""
        time.sleep(60 / self._scale)
        ends = time.monotonic() + self._figures.messages / 500
        return self._workers[0].sweep(lambda: SPARE_SECONDS + ends - time.monotonic())

    def _do_history(self) -> None:
        """Go on with the backfill, which nobody has gone before but triggers."""
        sent = self._one(_HISTORY_SENT, before=self._before)
        if sent:
            self._figures.wrong.append(f"{sent} records of history went before triggers")
        drive(self._world, RUN, "sync_batch", "customers")
        drive(self._world, RUN, "sync_batch", "due")

    # ---------------------------------------------------------------------------------- looking

    def _one(self, statement: str, **values: Any) -> int:
        return int(self._world.sql(statement, **values)[0][0])

    def _look_at_the_pause(self) -> None:
        """Count what reached Zoho while its day was used up."""
        figures = self._figures
        calls = [entry for entry in self._world.zoho.fake.log.entries if entry.is_api_call]
        refused = [number for number, entry in enumerate(calls) if entry.code == 45]
        first, last = calls[refused[0]], calls[refused[-1]]
        in_pause = calls[refused[0] : refused[-1] + 1]
        figures.calls_in_pause = len(in_pause)
        figures.calls = len(calls) - refused[-1] - 1
        figures.days = (calls[refused[-1] + 1].arrived - first.arrived) / DAY_SECONDS
        if len(in_pause) != len(refused):
            figures.wrong.append("other calls were answered in the pause")
        hours = (last.arrived - first.arrived) / HOUR_SECONDS
        # As many as were in flight when the first was refused, and one an hour from then on.
        if len(in_pause) > WORKERS + 1 + hours:
            figures.wrong.append(f"{len(in_pause)} calls in {hours:.1f} hours of pause")

    def _turns(self) -> dict[RecordKey, tuple[Any, int]]:
        """Say when each record's turn came: with its first message, or the first of a child's."""
        came = {
            RecordKey(EntityType(row.entity_type), row.entity_id): row.live_since
            for row in self._world.sql(_IN_TURN)
        }
        turns = {record: (since, 0) for record, since in came.items()}
        for number in range(1, self._count + 1):
            customer = RecordKey(EntityType.CUSTOMER, str(self._before + number))
            service = RecordKey(EntityType.SUBSCRIPTION, str(number))
            invoice = RecordKey(EntityType.INVOICE, str(number))
            payment = RecordKey(EntityType.PAYMENT, str(number))
            first = min(
                came[each] for each in (customer, service, invoice, payment) if each in came
            )
            turns[invoice] = (min(came[invoice], came[payment]), 1)
            turns[customer] = (first, 0)
            turns[payment] = (came[payment], 2)
            turns[service] = (came[service], 2)
        return turns

    def _look_at_the_order(self, turns: dict[RecordKey, tuple[Any, int]]) -> None:
        figures = self._figures
        done = [
            record
            for row in self._world.sql(_WORKED_OFF)
            if (record := RecordKey(EntityType(row.entity_type), row.entity_id)) in turns
        ]
        in_turn = sorted(done, key=lambda record: turns[record])
        place = {record: number for number, record in enumerate(in_turn)}
        figures.most_late = max(number - place[record] for number, record in enumerate(done))
        if figures.most_late > MOST_LATE:
            figures.wrong.append(f"somebody came {figures.most_late} places behind its turn")

    def _look_at_both_sides(self) -> None:
        figures, count = self._figures, self._count
        for row in self._world.sql(
            "SELECT entity_type, state, count(*) FROM billing_sync.records GROUP BY 1, 2"
        ):
            figures.states[f"{row[0]} {row[1]}"] = row[2]
        people = self._history + count
        expected = Counter(
            {
                "customer synced": people,
                "product synced": 1,
                "plan synced": 1,
                "subscription synced": count,
                "invoice synced": count,
                "payment synced": count,
            }
        )
        if figures.states != expected:
            figures.wrong.append(f"not all is in step: {dict(figures.states - expected)}")
        state = self._world.zoho.control.state()
        # Each subscription raises its first invoice by itself.
        bearing: dict[str, tuple[Sequence[str], int]] = {
            "customers": ([each["email"] for each in state.customers], people),
            "products": ([each["name"] for each in state.products], 1),
            "plans": ([each["plan_code"] for each in state.plans], 1),
            "subscriptions": ([each["reference_id"] for each in state.subscriptions], count),
            "invoices": ([each["invoice_number"] for each in state.invoices], 2 * count),
            "payments": ([each["reference_number"] for each in state.payments], count),
        }
        for kind, (keys, number) in bearing.items():
            figures.in_zoho[kind] = len(keys)
            if len(keys) != number or len(set(keys)) != number:
                figures.wrong.append(
                    f"{len(keys)} {kind} in Zoho under {len(set(keys))} keys, {number} here"
                )
        if state.mails:
            figures.wrong.append(f"{len(state.mails)} mails left Zoho")
        if opened := self._one("SELECT count(*) FROM billing_sync.intents WHERE closed_at IS NULL"):
            figures.wrong.append(f"{opened} intents stay open")


@contextmanager
def _others_take_the_day(zoho: RunningFake, scale: float) -> Iterator[None]:
    """Let another application take all calls of the day, again before the day lets any go.

    Its calls leave the rolling day by themselves a day after the last of them.
    """
    limits, clock = zoho.fake.organisation().limits, zoho.fake.clock
    taken, enough = threading.Event(), threading.Event()

    def take() -> None:
        while not enough.is_set():
            # The day alone: what the other does to the minute is not what is tried here.
            limits._day.extend([clock.now()] * limits.limits.calls_per_day)
            taken.set()
            enough.wait(DAY_SECONDS / 2 / scale)

    other = threading.Thread(target=take, name="another application")
    other.start()
    try:
        taken.wait()
        yield
    finally:
        enough.set()
        other.join()


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items()))


def main() -> int:
    """Play it once; the exit code says whether all held."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.flood", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="how many come (10000)")
    parser.add_argument(
        "--scale", type=float, default=HOUR_SECONDS, help="clocks run so fast (3600)"
    )
    asked = parser.parse_args()
    scratch = scratch_directory()
    try:
        with (
            interruptible(),
            PostgresServer(scratch / "postgres", log=scratch / "postgres.log") as server,
        ):
            figures = flood(server, asked.messages, scale=asked.scale, tell=_write)
    finally:
        shutil.rmtree(scratch)
    for line in figures.lines():
        _write(line)
    return 1 if figures.wrong else 0


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
