"""What every quota does, the real one and the fake alike."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.quota import PostgresQuota
from billing_sync.domain.errors import NotNow, QuotaExhausted, Throttled
from billing_sync.domain.timing import Timing
from billing_sync.ports import Permit, Priority, Quota
from ops.local_stack.postgres import Database
from tests.fakes.clock import FakeClock
from tests.fakes.quota import FakeQuota
from tests.worker import ORGANISATION, SystemClock, let_pass

NOW = 1.0
"""A second of slack for a machine that is slow: real time goes on between two statements."""


@dataclass
class Case:
    """A quota, and how time passes for it."""

    make: Callable[[int, int, int], Quota]
    let_pass: Callable[[float], None]

    def quota(self, *, limit: int = 90, day_cap: int = 1000, in_flight: int = 5) -> Quota:
        return self.make(limit, day_cap, in_flight)


@pytest.fixture(params=["postgres", "fake"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    if request.param == "fake":
        clock = FakeClock()

        def make_fake(limit: int, day_cap: int, in_flight: int) -> Quota:
            return FakeQuota(clock, limit=limit, day_cap=day_cap, in_flight_limit=in_flight)

        yield Case(make_fake, clock.advance)
        return
    database: Database = request.getfixturevalue("database")
    engine = make_engine(database.functions_url)

    def make(limit: int, day_cap: int, in_flight: int) -> Quota:
        quota = PostgresQuota(engine, ORGANISATION, Timing(), SystemClock().monotonic)
        quota.configure(limit=limit, day_cap=day_cap, in_flight_limit=in_flight)
        return quota

    yield Case(make, lambda seconds: let_pass(engine, seconds))
    engine.dispose()


def refusal(quota: Quota, priority: Priority = Priority.TRIGGER) -> NotNow:
    with pytest.raises(NotNow) as caught:
        quota.take(priority)
    return caught.value


def grants(quota: Quota, priority: Priority = Priority.TRIGGER) -> bool:
    try:
        quota.take(priority)
    except NotNow:
        return False
    return True


def take(quota: Quota, count: int) -> list[Permit]:
    return [quota.take(Priority.TRIGGER) for _ in range(count)]


def test_a_permit_comes_back_a_minute_after_its_answer(case: Case) -> None:
    quota = case.quota(limit=2)
    first, _second = take(quota, 2)
    quota.answered(first)

    refused = refusal(quota)
    case.let_pass(60)
    still_refused = refusal(quota)
    case.let_pass(2)

    assert (refused.reason, still_refused.reason) == ("minute", "minute")
    assert refused.wait_seconds == pytest.approx(61, abs=NOW)
    assert grants(quota, Priority.TRIGGER)


def test_a_permit_that_nobody_answers_comes_back_a_minute_after_its_deadline(case: Case) -> None:
    quota = case.quota(limit=1)
    quota.take(Priority.TRIGGER)

    case.let_pass(25 + 60)
    refused = refusal(quota)
    case.let_pass(2)

    assert refused.reason == "minute"
    assert grants(quota, Priority.TRIGGER)


def test_calls_in_flight_are_those_unanswered_before_their_deadline(case: Case) -> None:
    quota = case.quota(in_flight=2)
    first, _second = take(quota, 2)

    full = refusal(quota)
    quota.answered(first)
    free_again = grants(quota)
    full_again = refusal(quota)
    case.let_pass(26)

    assert (full.reason, full_again.reason) == ("in_flight", "in_flight")
    assert isinstance(full, Throttled)
    assert full.wait_seconds <= 2
    assert free_again
    assert grants(quota)


def test_a_call_that_never_left_costs_nothing(case: Case) -> None:
    quota = case.quota(limit=1, day_cap=1)

    quota.never_sent(quota.take(Priority.TRIGGER))

    assert quota.view().taken_in_minute == 0
    assert quota.view().taken_today == 0
    assert grants(quota, Priority.TRIGGER)


def test_the_backfill_is_paced_and_triggers_are_not(case: Case) -> None:
    quota = case.quota(limit=60)
    quota.take(Priority.BACKFILL)

    paced = refusal(quota, Priority.BACKFILL)
    trigger_is_granted = grants(quota, Priority.TRIGGER)
    case.let_pass(1)

    assert paced.reason == "pace"
    assert paced.wait_seconds <= 1
    assert trigger_is_granted
    assert grants(quota, Priority.BACKFILL)


def test_the_backfill_stands_back_while_a_trigger_was_refused(case: Case) -> None:
    quota = case.quota(limit=90, in_flight=1)
    only = quota.take(Priority.TRIGGER)
    refusal(quota, Priority.TRIGGER)
    quota.answered(only)

    stands_back = refusal(quota, Priority.BACKFILL)
    waits = quota.wait_for(Priority.BACKFILL)
    case.let_pass(5)

    assert stands_back.reason == "priority"
    assert stands_back.wait_seconds == pytest.approx(5, abs=NOW)
    assert waits == pytest.approx(5, abs=NOW)
    assert quota.wait_for(Priority.BACKFILL) == 0
    assert grants(quota, Priority.BACKFILL)


def test_every_tenth_permit_is_the_backfills_even_then(case: Case) -> None:
    quota = case.quota(limit=90, in_flight=9)
    permits = take(quota, 9)
    refusal(quota, Priority.TRIGGER)
    for permit in permits:
        quota.answered(permit)

    tenth = grants(quota, Priority.BACKFILL)
    case.let_pass(1)

    assert tenth
    assert refusal(quota, Priority.BACKFILL).reason == "priority"


@pytest.mark.parametrize("code", [44, None, 4711])
def test_ten_calls_answered_44_together_are_one_event(case: Case, code: int | None) -> None:
    quota = case.quota(in_flight=10)
    permits = take(quota, 10)

    waits = [quota.throttled(permit, code) for permit in permits]

    assert waits == pytest.approx([60] * 10, abs=NOW)
    assert quota.view().limit_per_minute == 45
    assert refusal(quota).reason == "blocked"
    assert refusal(quota, Priority.BACKFILL).wait_seconds == pytest.approx(60, abs=NOW)


def test_a_block_right_after_a_block_is_twice_as_long_and_never_over_15_minutes(
    case: Case,
) -> None:
    quota = case.quota()
    lengths = []

    for _ in range(6):
        permit = quota.take(Priority.TRIGGER)
        lengths.append(quota.throttled(permit, 44))
        quota.answered(permit, readable=False)
        case.let_pass(lengths[-1] + 1)

    assert lengths == pytest.approx([60, 120, 240, 480, 900, 900], abs=NOW)
    assert quota.view().limit_per_minute == 10


def test_ten_clean_minutes_make_the_next_block_a_first_one(case: Case) -> None:
    quota = case.quota()
    quota.throttled(quota.take(Priority.TRIGGER), 44)
    case.let_pass(60 + 601)

    assert quota.throttled(quota.take(Priority.TRIGGER), 44) == pytest.approx(60, abs=NOW)


def test_retry_after_is_honoured_where_it_is_longer(case: Case) -> None:
    quota = case.quota()
    permit = quota.take(Priority.TRIGGER)

    wait = quota.throttled(permit, 44, retry_after_seconds=300)

    assert wait == pytest.approx(300, abs=NOW)


def test_1070_lowers_the_calls_in_flight_once_per_event_and_blocks_for_seconds(
    case: Case,
) -> None:
    quota = case.quota(in_flight=3)
    permits = take(quota, 3)

    waits = [quota.throttled(permit, 1070) for permit in permits]

    assert max(waits) <= 10
    assert quota.view().in_flight_limit == 2
    assert quota.view().blocked_until is None


def test_the_day_ends_with_a_time_to_resume_at(case: Case) -> None:
    quota = case.quota(day_cap=2)
    take(quota, 2)

    refused = refusal(quota)

    assert isinstance(refused, QuotaExhausted)
    assert refused.reason == "day"
    assert refused.resume_at is not None


def test_a_tenth_of_the_day_is_kept_for_triggers(case: Case) -> None:
    quota = case.quota(day_cap=10, in_flight=20)
    take(quota, 9)

    assert refusal(quota, Priority.BACKFILL).reason == "day"
    assert grants(quota, Priority.TRIGGER)
    assert refusal(quota, Priority.TRIGGER).reason == "day"


def test_45_pauses_everybody_for_an_hour_and_ten_of_them_are_one_event(case: Case) -> None:
    quota = case.quota(in_flight=10)
    permits = take(quota, 10)

    waits = [quota.throttled(permit, 45) for permit in permits]

    refused = refusal(quota)
    assert waits == pytest.approx([3600] * 10, abs=NOW)
    assert isinstance(refused, QuotaExhausted)
    assert refused.reason == "paused"
    assert refused.resume_at == quota.view().paused_until
    assert not quota.probe_is_due()


def test_one_worker_probes_a_paused_day_and_an_answer_ends_the_pause(case: Case) -> None:
    quota = case.quota()
    quota.throttled(quota.take(Priority.TRIGGER), 45)
    case.let_pass(3600)

    due = quota.probe_is_due()
    probe = quota.take(Priority.BACKFILL)
    others = refusal(quota)
    quota.answered(probe)

    assert due
    assert others.reason == "paused"
    assert others.wait_seconds == pytest.approx(3600, abs=NOW)
    assert quota.view().paused_until is None
    assert grants(quota, Priority.TRIGGER)


def test_a_probe_that_is_refused_leaves_the_pause_for_another_hour(case: Case) -> None:
    quota = case.quota()
    quota.throttled(quota.take(Priority.TRIGGER), 45)
    case.let_pass(3600)
    probe = quota.take(Priority.BACKFILL)

    quota.throttled(probe, 45)
    quota.answered(probe, readable=False)

    assert refusal(quota).wait_seconds == pytest.approx(3600, abs=NOW)


def test_a_probe_that_proved_nothing_is_repeated_after_a_minute(case: Case) -> None:
    quota = case.quota()
    quota.throttled(quota.take(Priority.TRIGGER), 45)
    case.let_pass(3600)

    quota.answered(quota.take(Priority.BACKFILL), readable=False)

    assert refusal(quota).wait_seconds == pytest.approx(60, abs=NOW)
    case.let_pass(60)
    assert quota.probe_is_due()


def test_a_probe_that_never_left_may_be_made_by_the_next_worker(case: Case) -> None:
    quota = case.quota()
    quota.throttled(quota.take(Priority.TRIGGER), 45)
    case.let_pass(3600)
    quota.never_sent(quota.take(Priority.BACKFILL))

    case.let_pass(1)

    assert quota.probe_is_due()
    assert grants(quota, Priority.BACKFILL)


def test_settling_an_unknown_permit_is_harmless(case: Case) -> None:
    quota = case.quota(limit=1)
    permit = quota.take(Priority.TRIGGER)
    quota.never_sent(permit)

    quota.never_sent(replace(permit, taken_at=permit.taken_at - timedelta(hours=1)))

    assert quota.view().taken_today == 0
