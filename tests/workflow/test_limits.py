"""Zoho's limits: who waits for them, where, and what it costs (nothing)."""

from itertools import pairwise

import pytest

from ops.fake_zoho import LogEntry, Throttled
from tests.workflow.stage import Ended, Stage, assert_everyone_is_in_zoho_once

HOUR = 3600


def test_with_few_calls_a_minute_the_machine_waits_and_zoho_never_refuses(stage: Stage) -> None:
    stage.zoho.limit(calls_per_minute=3)
    stage.allow(calls_per_minute=3)

    run = stage.apply()

    assert run.status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)
    assert stage.attempts_used() == 0
    assert "CoolDown" in run.states
    for answer in run.answers("SyncBatch"):
        assert answer["next"] in ("again", "cool_down", "done")
        if answer["next"] == "cool_down":
            assert 15 <= answer["wait_seconds"] <= HOUR
            assert answer["why"]
    seen = stage.zoho.counters()
    assert seen.http_429 == {}
    assert seen.max_in_a_minute <= 3
    report = stage.report(run)
    assert report["cooldowns"] > 1
    assert report["waited_seconds"] > 0


def test_when_zoho_says_that_the_day_is_used_up_the_run_sleeps_and_goes_on(stage: Stage) -> None:
    stage.zoho.arm(Throttled(operation="create_customer", code=45, skip=4))

    run = stage.apply()

    assert run.status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)
    assert stage.attempts_used() == 0
    assert "WaitForQuotaReset" in run.states
    [sleeps] = [a for a in run.answers("SyncBatch") if a["next"] == "wait_until"]
    assert sleeps["resume_at"].endswith(("Z", "+00:00"))
    # An hour of silence; then a read asks whether the day is over, never a write.
    assert stage.zoho.counters().http_429 == {45: 1}
    before, after = _around_the_longest_silence(stage.zoho.log())
    assert after.arrived - before.arrived > 0.98 * HOUR
    assert after.method == "GET"


@pytest.mark.parametrize("code", [44, 1070, 4711])
def test_a_429_in_the_middle_costs_a_wait_and_no_attempt(stage: Stage, code: int) -> None:
    stage.zoho.arm(Throttled(operation="create_customer", code=code, skip=4))

    run = stage.apply()

    assert run.status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)
    assert stage.attempts_used() == 0
    assert stage.zoho.counters().http_429 == {code: 1}
    assert stage.report(run)["http_429"] == 1
    if code != 1070:
        # One call in flight less is no reason to stop; a block is.
        assert _waited(run)


def _waited(run: Ended) -> bool:
    return any("CoolDown" in state for state in run.states)


def _around_the_longest_silence(log: list[LogEntry]) -> tuple[LogEntry, LogEntry]:
    return max(pairwise(log), key=lambda pair: pair[1].arrived - pair[0].arrived)
