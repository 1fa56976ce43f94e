"""What only the real quota can show: many workers, the caller's transaction, and the long times."""

import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.quota import PostgresQuota, take_permit
from billing_sync.domain.errors import Misconfigured, QuotaExhausted, Throttled
from billing_sync.domain.timing import Timing
from billing_sync.ports import Permit, Priority
from ops.local_stack.postgres import Database
from tests.worker import ORGANISATION, let_pass

TIMING = Timing()


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    engine = make_engine(database.functions_url, connections=20)
    yield engine
    engine.dispose()


def quota_of(engine: Engine, timing: Timing = TIMING) -> PostgresQuota:
    return PostgresQuota(engine, ORGANISATION, timing, time.monotonic)


@pytest.fixture
def quota(engine: Engine) -> PostgresQuota:
    quota = quota_of(engine)
    quota.configure(limit=90, day_cap=1000, in_flight_limit=5)
    return quota


def rows(engine: Engine, table: str) -> int:
    with engine.begin() as connection:
        count = connection.execute(text(f"SELECT count(*) FROM billing_sync.{table}"))  # noqa: S608
        return int(count.scalar_one())


def test_20_threads_at_once_are_granted_exactly_the_limit(engine: Engine) -> None:
    quota = quota_of(engine)
    quota.configure(limit=50, day_cap=1000, in_flight_limit=1000)
    granted: list[Permit] = []
    refused: list[str] = []
    start = threading.Barrier(20)

    def ask() -> None:
        start.wait()
        for _ in range(10):
            try:
                granted.append(quota.take(Priority.TRIGGER))
            except Throttled as refusal:
                refused.append(refusal.reason)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(granted) == 50
    assert len({permit.permit_id for permit in granted}) == 50
    assert refused == ["minute"] * 150


def test_an_organisation_that_was_never_configured_stops_the_run(engine: Engine) -> None:
    quota = quota_of(engine)

    with pytest.raises(Misconfigured) as caught:
        quota.take(Priority.BACKFILL)

    assert caught.value.code == "quota_not_configured"


def test_two_organisations_have_limits_of_their_own(engine: Engine, quota: PostgresQuota) -> None:
    other = PostgresQuota(engine, "2002", TIMING, time.monotonic)
    other.configure(limit=90, day_cap=1, in_flight_limit=5)
    other.take(Priority.TRIGGER)

    assert other.wait_for(Priority.TRIGGER) > 0
    assert quota.wait_for(Priority.TRIGGER) == 0


def test_configuring_again_keeps_what_429s_taught(quota: PostgresQuota) -> None:
    quota.throttled(quota.take(Priority.TRIGGER), 44)

    quota.configure(limit=80, day_cap=500, in_flight_limit=4)

    view = quota.view()
    assert view.configured_per_minute == 80
    assert view.limit_per_minute == 45
    assert (view.day_cap, view.in_flight_limit) == (500, 4)
    assert view.blocked_until is not None


# ----------------------------------------------------------------------- the caller's transaction


def test_a_permit_stands_or_falls_with_the_callers_transaction(
    engine: Engine, quota: PostgresQuota
) -> None:
    with engine.connect() as connection:
        permit = take_permit(connection, ORGANISATION, Priority.BACKFILL, TIMING, send_by=12.5)
        connection.rollback()

    assert permit.send_by == 12.5
    assert quota.view().taken_in_minute == 0
    assert quota.view().taken_today == 0


def test_a_trigger_refused_in_a_rolled_back_transaction_still_goes_first_when_noted(
    engine: Engine,
) -> None:
    quota = quota_of(engine)
    quota.configure(limit=90, day_cap=1000, in_flight_limit=1)
    only = quota.take(Priority.TRIGGER)
    with pytest.raises(Throttled), engine.begin() as connection:
        take_permit(connection, ORGANISATION, Priority.TRIGGER, TIMING, send_by=0)
    quota.answered(only)
    lost = quota.wait_for(Priority.BACKFILL)

    quota.note_refused_trigger()

    assert lost == 0
    assert quota.wait_for(Priority.BACKFILL) == pytest.approx(5, abs=1)


def test_a_worker_that_stalls_in_its_transaction_loses_it_and_holds_nobody_up(
    engine: Engine, quota: PostgresQuota
) -> None:
    timing = Timing(send_window_seconds=0.2)
    stalled = engine.connect()
    take_permit(stalled, ORGANISATION, Priority.TRIGGER, timing, send_by=0)

    others = quota.take(Priority.TRIGGER)

    with pytest.raises(DBAPIError):
        stalled.commit()
    stalled.close()
    assert others.permit_id
    assert quota.view().taken_in_minute == 1


def test_a_row_that_is_held_for_too_long_is_waited_for_elsewhere(
    engine: Engine, quota: PostgresQuota
) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT 1 FROM billing_sync.quota FOR UPDATE"))

        with pytest.raises(Throttled) as caught:
            quota.take(Priority.TRIGGER)

    assert caught.value.reason == "busy"


def test_a_write_is_never_given_the_probe_of_a_paused_day(
    engine: Engine, quota: PostgresQuota
) -> None:
    quota.throttled(quota.take(Priority.TRIGGER), 45)
    let_pass(engine, 3600)

    with pytest.raises(QuotaExhausted) as caught, engine.begin() as connection:
        take_permit(connection, ORGANISATION, Priority.TRIGGER, TIMING, send_by=0)

    assert caught.value.reason == "probe_due"
    assert caught.value.wait_seconds == pytest.approx(15, abs=1)
    assert quota.probe_is_due()


def test_a_database_out_of_reach_never_hides_zohos_answer(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make_engine(database.functions_url.replace(database.name, "nowhere"))
    quota = quota_of(engine)
    permit = Permit(permit_id=1, taken_at=datetime.now(UTC), send_by=0)

    with caplog.at_level(logging.ERROR):
        quota.answered(permit)
        quota.never_sent(permit)

    engine.dispose()
    assert [record.message for record in caplog.records] == ["permit not settled"] * 2


# ------------------------------------------------------------------------------------ long times


def test_a_halved_limit_stays_for_an_hour_and_climbs_by_5_in_each_clean_ten_minutes(
    engine: Engine, quota: PostgresQuota
) -> None:
    quota.throttled(quota.take(Priority.TRIGGER), 44)
    limits = []

    for minutes in (59, 2, 10, 10, 60, 60):
        let_pass(engine, minutes * 60)
        limits.append(quota.view().limit_per_minute)

    assert limits == [45, 50, 55, 60, 90, 90]


def test_calls_in_flight_come_back_one_by_one(engine: Engine) -> None:
    quota = quota_of(engine)
    quota.configure(limit=90, day_cap=1000, in_flight_limit=3)
    lowered = []
    for _ in range(4):
        permit = quota.take(Priority.TRIGGER)
        quota.throttled(permit, 1070)
        quota.answered(permit, readable=False)
        lowered.append(quota.view().in_flight_limit)
        let_pass(engine, 11)

    raised = []
    for _ in range(3):
        let_pass(engine, 600)
        raised.append(quota.view().in_flight_limit)

    assert lowered == [2, 1, 1, 1]
    assert raised == [2, 3, 3]


def test_the_day_is_the_hour_that_runs_and_24_full_ones(engine: Engine) -> None:
    quota = quota_of(engine)
    quota.configure(limit=90, day_cap=2, in_flight_limit=5)
    for _ in range(2):
        quota.answered(quota.take(Priority.TRIGGER))
        let_pass(engine, 3600)

    let_pass(engine, 22 * 3600)
    full = quota.wait_for(Priority.TRIGGER)
    let_pass(engine, 3600)
    one_free = quota.wait_for(Priority.TRIGGER)

    assert 0 < full <= 3600
    assert one_free == 0
    assert quota.view().taken_today == 1


def test_buckets_and_permits_that_are_over_do_not_pile_up(
    engine: Engine, quota: PostgresQuota
) -> None:
    for _ in range(30):
        quota.answered(quota.take(Priority.TRIGGER))
        let_pass(engine, 3600)

    quota.take(Priority.TRIGGER)

    assert rows(engine, "permits") == 1
    assert rows(engine, "quota_hours") == 25


def test_45_teaches_the_days_cap_for_a_day(engine: Engine) -> None:
    quota = quota_of(engine)
    quota.configure(limit=90, day_cap=100, in_flight_limit=90)
    permits = [quota.take(Priority.TRIGGER) for _ in range(30)]
    quota.throttled(permits[-1], 45)
    learnt = quota.view().day_cap

    let_pass(engine, 86_401)

    assert learnt == 30
    assert quota.view().day_cap == 100


def test_a_day_that_others_used_up_does_not_teach_a_cap_of_nothing(quota: PostgresQuota) -> None:
    quota.throttled(quota.take(Priority.TRIGGER), 45)

    assert quota.view().day_cap == 100


def test_after_a_probe_we_count_anew_and_a_second_45_does_not_lower_the_cap(
    engine: Engine,
) -> None:
    quota = quota_of(engine)
    quota.configure(limit=90, day_cap=100, in_flight_limit=90)
    permits = [quota.take(Priority.TRIGGER) for _ in range(30)]
    quota.throttled(permits[-1], 45)
    let_pass(engine, 3600)
    quota.answered(quota.take(Priority.BACKFILL))
    counted_anew = quota.view().taken_today

    quota.throttled(quota.take(Priority.TRIGGER), 45)

    assert counted_anew == 0
    assert quota.view().day_cap == 30


# ---------------------------------------------------------------------------------------- pacing


def backfill_takes(quota: PostgresQuota) -> int:
    count = 0
    while quota.wait_for(Priority.BACKFILL) == 0:
        quota.answered(quota.take(Priority.BACKFILL))
        count += 1
    return count


def test_a_wait_state_of_15_s_loses_no_slot_of_a_slow_backfill(engine: Engine) -> None:
    quota = quota_of(engine)
    quota.configure(limit=10, day_cap=1000, in_flight_limit=5)
    quota.take(Priority.BACKFILL)

    taken = 0
    for _ in range(4):
        let_pass(engine, 15)
        taken += backfill_takes(quota)

    # One in 6 s: ten of a minute, less the one that came before it.
    assert taken in {9, 10}


def test_a_long_pause_is_not_followed_by_a_burst(engine: Engine) -> None:
    quota = quota_of(engine)
    quota.configure(limit=10, day_cap=1000, in_flight_limit=5)
    quota.take(Priority.BACKFILL)
    let_pass(engine, 3600)

    assert backfill_takes(quota) == 3


def test_every_duration_is_divided_by_the_time_scale_but_deadlines_are_not(
    engine: Engine,
) -> None:
    quota = quota_of(engine, Timing(scale=60))
    quota.configure(limit=1, day_cap=1000, in_flight_limit=5)
    permit = quota.take(Priority.TRIGGER)
    unanswered = quota.wait_for(Priority.TRIGGER)
    quota.answered(permit)
    answered = quota.wait_for(Priority.TRIGGER)
    blocked = quota.throttled(permit, 44)

    assert unanswered == pytest.approx(25 + 61 / 60, abs=0.5)
    assert 0 < answered <= 61 / 60
    assert blocked == pytest.approx(1, abs=0.5)
