"""Zoho's limits under many workers, and each kind of 429, proved from fake Zoho's own log."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial

import pytest

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.domain.errors import NotNow, QuotaExhausted, Throttled
from billing_sync.domain.timing import Timing
from billing_sync.ports import Priority
from ops.fake_zoho import (
    FakeZohoConfig,
    Limits,
    OrganisationConfig,
    RunningFake,
    Switches,
    max_in_any_window,
    max_in_flight,
    running_fake_zoho,
)
from ops.fake_zoho import Throttled as ThrottledFault
from ops.local_stack.postgres import Database
from tests.fakes.tokens import FakeTokenStore
from tests.worker import Worker, let_pass


def zoho_with(
    *, limits: Limits, time_scale: float = 1, latency_ms: tuple[int, int] = (0, 0)
) -> FakeZohoConfig:
    return FakeZohoConfig(
        time_scale=time_scale,
        organisations=[OrganisationConfig(limits=limits)],
        switches=Switches(latency_ms=latency_ms),
    )


def at_once(calls: list[Callable[[], object]]) -> list[object]:
    """Run the calls side by side; give what each returned or raised on purpose."""
    outcomes: list[object] = [None] * len(calls)

    def run(index: int) -> None:
        try:
            outcomes[index] = calls[index]()
        except NotNow as refusal:
            outcomes[index] = refusal

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def call_patiently(worker: Worker, times: int) -> int:
    """Read as a worker would: wait as long as it is told to, then try again."""
    for _ in range(times):
        while True:
            try:
                worker.billing.list_customers(1)
                break
            except Throttled as refusal:
                time.sleep(refusal.wait_seconds)
    return times


def test_20_concurrent_workers_never_exceed_a_limit_in_any_minute_and_mint_one_token(
    database: Database,
) -> None:
    """Calls take 300 to 900 ms, so they are answered in another order than they are sent in."""
    limits = Limits(calls_per_minute=20, calls_in_flight=8)
    config = zoho_with(limits=limits, time_scale=20, latency_ms=(300, 900))
    with running_fake_zoho(config) as zoho, ExitStack() as stack:
        store = FakeTokenStore()
        workers = [
            stack.enter_context(
                closing(
                    Worker(
                        database,
                        zoho,
                        store,
                        Timing(scale=20),
                        # Nobody is paced, so that only the limits hold them back.
                        priority=Priority.TRIGGER,
                    )
                )
            )
            for _ in range(20)
        ]
        workers[0].quota.configure(limit=20, day_cap=1000, in_flight_limit=8)

        done = at_once([partial(call_patiently, worker, 3) for worker in workers])

        calls = [entry for entry in zoho.control.log() if entry.is_api_call]
        counters = zoho.control.counters()

    assert done == [3] * 20
    assert [entry.status for entry in calls] == [200] * 60
    # And close to the limit: it was the governor that held them back, not slowness.
    assert 15 <= max_in_any_window(calls, 60) <= 20
    assert max_in_flight(calls) <= 8
    assert counters.tokens_minted == 1


@pytest.fixture
def zoho() -> Iterator[RunningFake]:
    config = zoho_with(limits=Limits(calls_per_minute=100, calls_in_flight=20))
    # The clocks of tests jump by days; what a process remembers of its token does not.
    config.tokens.life_seconds = 30 * 86_400
    with running_fake_zoho(config) as running:
        yield running


@pytest.fixture
def workers(database: Database, zoho: RunningFake) -> Iterator[list[Worker]]:
    store = FakeTokenStore()
    with ExitStack() as stack:
        made = [
            stack.enter_context(
                closing(Worker(database, zoho, store, Timing(), priority=Priority.TRIGGER))
            )
            for _ in range(10)
        ]
        made[0].quota.configure(limit=90, day_cap=1000, in_flight_limit=10)
        for worker in made:
            worker.billing.make_ready()
        yield made


@pytest.fixture
def passes(database: Database, zoho: RunningFake) -> Iterator[Callable[[float], None]]:
    """Let time pass for Zoho and for us."""
    engine = make_engine(database.functions_url)

    def let_time_pass(seconds: float) -> None:
        zoho.control.advance_clock(seconds)
        let_pass(engine, seconds)

    yield let_time_pass
    engine.dispose()


def all_read(workers: list[Worker]) -> list[object]:
    return at_once([worker.billing.organisations for worker in workers])


def all_create(workers: list[Worker]) -> list[object]:
    """Let each make a customer, all permits taken before the first call leaves."""
    permits = [worker.quota.take(Priority.TRIGGER) for worker in workers]
    payload = {"display_name": "Ann", "email": "ann@example.test"}
    return at_once(
        [
            partial(worker.billing.create_customer, payload, permit=permit)
            for worker, permit in zip(workers, permits, strict=True)
        ]
    )


def refused(outcomes: list[object]) -> list[NotNow]:
    """Give the refusals of the class that uses up no attempt of a record."""
    return [outcome for outcome in outcomes if isinstance(outcome, NotNow)]


@pytest.mark.parametrize(
    ("code", "reason", "wait", "limit"),
    [(44, "blocked", 60, 45), (4711, "blocked", 60, 45), (45, "day", 3600, 90)],
    ids=["44", "unknown", "45"],
)
def test_ten_429s_at_once_wait_as_designed_and_are_one_event(
    workers: list[Worker], zoho: RunningFake, *, code: int, reason: str, wait: float, limit: int
) -> None:
    zoho.control.arm(ThrottledFault(operation="create_customer", code=code, count=10))

    outcomes = all_create(workers)
    afterwards = all_read(workers)

    refusals = refused(outcomes)
    assert [(one.reason, one.zoho_code) for one in refusals] == [(reason, code)] * 10
    assert [one.wait_seconds for one in refusals] == pytest.approx([wait] * 10, abs=2)
    assert workers[0].quota.view().limit_per_minute == limit
    # All others learn it from the governor: nobody asks Zoho.
    assert len(refused(afterwards)) == 10
    assert len(zoho.control.log(operation="list_organisations")) == 0


def test_ten_1070s_at_once_wait_for_seconds_and_are_one_event(
    workers: list[Worker], zoho: RunningFake, passes: Callable[[float], None]
) -> None:
    zoho.control.arm(ThrottledFault(operation="create_customer", code=1070, count=10))

    refusals = refused(all_create(workers))
    view = workers[0].quota.view()
    passes(10)
    afterwards = all_read(workers)

    assert [(one.reason, one.zoho_code) for one in refusals] == [("in_flight", 1070)] * 10
    assert all(one.wait_seconds <= 10 for one in refusals)
    assert (view.in_flight_limit, view.limit_per_minute) == (9, 90)
    assert refused(afterwards) == []


def test_after_its_block_everybody_goes_on_and_the_next_block_is_longer(
    workers: list[Worker], zoho: RunningFake, passes: Callable[[float], None]
) -> None:
    waits = []
    for _ in range(2):
        zoho.control.arm(ThrottledFault(operation="create_customer", code=44, count=10))
        waits += [refusal.wait_seconds for refusal in refused(all_create(workers))]
        passes(waits[-1] + 2)

    outcomes = all_create(workers)

    assert waits == pytest.approx([60] * 10 + [120] * 10, abs=2)
    assert refused(outcomes) == []


def test_the_days_pause_is_probed_once_an_hour_by_one_worker_until_zoho_counts_anew(
    workers: list[Worker], zoho: RunningFake, passes: Callable[[float], None]
) -> None:
    zoho.control.limit(calls_per_day=5)

    def asked() -> int:
        return len(zoho.control.log(operation="list_organisations"))

    used_up = refused(all_create(workers))
    for _ in range(2):
        paused = refused(all_read(workers))
        assert len(paused) == 10
        assert all(isinstance(one, QuotaExhausted) and one.resume_at for one in paused)
    before, probes = asked(), []
    for _ in range(3):
        passes(3600)
        assert len(refused(all_read(workers))) == 10
        probes.append(asked())
    passes(86_400)
    probe = workers[0].billing.organisations()
    everybody = all_create(workers[:4])

    assert len(used_up) == 5
    assert before == 0
    assert probes == [1, 2, 3]
    assert len(probe) == 1
    assert refused(everybody) == []


def test_calls_in_flight_settle_below_what_zoho_allows(
    workers: list[Worker], zoho: RunningFake, passes: Callable[[float], None]
) -> None:
    zoho.control.limit(calls_in_flight=6)
    zoho.control.switch(latency_ms=(300, 400))
    for _ in range(8):
        while workers[0].quota.wait_for(Priority.TRIGGER) == 0:
            if not refused(all_read(workers)):
                break
        passes(11)
    already = len(zoho.control.log())

    at_once([partial(call_patiently, worker, 2) for worker in workers])

    later = zoho.control.log()[already:]
    assert workers[0].quota.view().in_flight_limit == 6
    assert [entry.status for entry in later] == [200] * 20
    assert max_in_flight(later) <= 6
