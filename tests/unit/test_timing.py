"""The protocol's durations, and what must hold between them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.timing import LADDER, Timing

SCALES = st.floats(min_value=1, max_value=1000)


def test_the_durations_are_those_of_the_protocol() -> None:
    timing = Timing()

    assert timing.lease_seconds == 90
    assert (timing.send_window_seconds, timing.http_deadline_seconds) == (5, 20)
    assert timing.proof_due_seconds == 5 + 20 + 300
    assert (timing.minute_seconds, timing.permit_margin_seconds) == (60, 1)
    assert timing.longest_sleep_seconds == 2


def test_a_proof_waits_longer_than_a_commit_and_the_index_can_be_late() -> None:
    """Found in the model: 320 s is the least that makes a second customer impossible."""
    timing = Timing()

    assert timing.http_deadline_seconds + timing.proof_delay_seconds >= 320


def test_the_ladder_is_that_of_the_design() -> None:
    minutes = [rung / timedelta(minutes=1) for rung in LADDER]

    assert minutes == [5, 15, 60, 4 * 60, 24 * 60]


@given(scale=SCALES, window=st.floats(0.1, 30), deadline=st.floats(0.1, 60))
def test_however_fast_the_clocks_run_a_lease_outlives_the_call_made_under_it(
    scale: float, window: float, deadline: float
) -> None:
    timing = Timing(scale, http_deadline_seconds=deadline, send_window_seconds=window)

    assert timing.lease_seconds > window + deadline
    assert timing.proof_due_seconds > window + deadline


@given(scale=SCALES)
def test_what_is_real_is_not_divided(scale: float) -> None:
    assert Timing(scale).http_deadline_seconds == Timing().http_deadline_seconds
    assert Timing(scale).send_window_seconds == Timing().send_window_seconds


@pytest.mark.parametrize(
    ("scale", "real_seconds", "told"),
    [
        (1, 0.0, 15),
        (1, 15.2, 16),
        (1, 61, 61),
        (1, 90_000, 3600),
        (60, 1.0, 60),
        (60, 0.01, 15),
        (60, 1.001, 61),
    ],
)
def test_a_wait_state_is_told_whole_unscaled_seconds_within_its_bounds(
    scale: float, real_seconds: float, told: int
) -> None:
    assert Timing(scale).wait_state_seconds(real_seconds) == told


@given(scale=SCALES, real_seconds=st.floats(0, 1e6))
def test_a_wait_state_never_waits_shorter_than_it_must_within_its_bounds(
    scale: float, real_seconds: float
) -> None:
    told = Timing(scale).wait_state_seconds(real_seconds)

    assert 15 <= told <= 3600
    assert told == 3600 or told >= real_seconds * scale


@given(scale=SCALES)
def test_a_duration_is_scaled_the_same_whether_given_in_seconds_or_as_one(scale: float) -> None:
    timing = Timing(scale)

    assert timing.scaled(timedelta(minutes=5)) == timing.scaled(300)
