"""The demo's Zoho, as the issue asks for it; and its clocks, which must fit together."""

import csv
from datetime import date
from typing import Any

import pytest

from billing_sync.domain.timing import Timing
from ops.demo import scenario
from ops.demo.load import DATA


def rows() -> dict[str, dict[str, str]]:
    with (DATA / "customers.csv").open(encoding="utf-8", newline="") as file:
        return {row["account_number"]: row for row in csv.DictReader(file)}


def seeded(display_name: str) -> dict[str, Any]:
    [found] = [
        seed.profile
        for seed in scenario.kept_by_hand()
        if seed.profile["display_name"] == display_name
    ]
    return found


def number_of(profile: dict[str, Any]) -> str | None:
    return next((field["value"] for field in profile.get("custom_fields", [])), None)


def test_customer_10_shows_her_account_number_in_the_custom_field_only() -> None:
    profile = seeded("N. Dlamini")

    assert number_of(profile) == rows()[scenario.KEPT_BY_ACCOUNT_NUMBER]["account_number"]
    assert not any("CT-" in str(profile[name]) for name in profile if name != "custom_fields")
    assert "email" not in profile


def test_the_stranger_is_older_than_all_others_and_his_company_bears_her_surname() -> None:
    oldest = min(scenario.kept_by_hand(), key=lambda seed: seed.created_time)

    assert rows()[scenario.KEPT_BY_ACCOUNT_NUMBER]["last_name"] in oldest.profile["company_name"]
    assert oldest.profile["last_name"] != rows()[scenario.KEPT_BY_ACCOUNT_NUMBER]["last_name"]
    assert "email" not in oldest.profile
    assert number_of(oldest.profile) is None


def test_whoever_looks_like_customer_7_has_his_email_a_shorter_name_and_no_number() -> None:
    profile, row = seeded("Newgate Medical"), rows()[scenario.LOOKS_ALIKE]

    assert profile["email"] == row["email"]
    assert row["business_name"].startswith(profile["display_name"])
    assert row["business_name"] != profile["display_name"]
    assert number_of(profile) is None


def test_one_has_an_account_number_that_nobody_here_has() -> None:
    numbers = [number_of(seed.profile) for seed in scenario.kept_by_hand()]

    assert scenario.UNKNOWN_HERE in numbers
    assert scenario.UNKNOWN_HERE not in rows()


def test_the_source_has_the_rows_that_the_verdict_counts() -> None:
    tests = [number for number, row in rows().items() if row["account_type"] == "internal_test"]

    assert tuple(sorted(tests)) == scenario.TEST_ACCOUNTS
    assert len(rows()) == scenario.CUSTOMERS + len(scenario.TEST_ACCOUNTS)


def test_a_call_is_further_away_than_a_lambda_sleeps() -> None:
    timing = Timing(scale=scenario.TIME_SCALE)

    gap = timing.minute_seconds / scenario.CALLS_PER_MINUTE

    assert gap > timing.longest_sleep_seconds


def test_a_proof_comes_later_than_the_index_lags() -> None:
    assert int(scenario.PARAMETERS["ProofDelaySeconds"]) > scenario.INDEX_LAG_SECONDS
    assert scenario.zoho().switches.index_lag_seconds == scenario.INDEX_LAG_SECONDS


def test_the_limits_of_zoho_are_ours_and_a_token_lives_as_long_as_zohos() -> None:
    config = scenario.zoho()

    assert config.organisations[0].limits.calls_per_minute == scenario.CALLS_PER_MINUTE
    assert scenario.PARAMETERS["CallsPerMinute"] == scenario.CALLS_PER_MINUTE
    assert config.tokens.life_seconds == 3600


def test_only_a_stack_for_playing_has_tokens_that_last_and_a_sweep() -> None:
    played = scenario.options_for_playing()

    assert played.zoho.tokens.life_seconds / played.time_scale == 3600
    assert played.zoho.seed == scenario.options().zoho.seed
    parameters = scenario.options().parameters
    assert played.parameters == {**parameters, "SweepSchedule": "ENABLED"}
    assert parameters["SweepSchedule"] == "DISABLED"


@pytest.mark.parametrize(
    ("real", "day"),
    [
        (date(2026, 11, 1), date(2026, 11, 20)),
        (date(2026, 11, 19), date(2026, 11, 20)),
        (date(2026, 11, 20), date(2026, 12, 20)),
        (date(2026, 12, 31), date(2027, 1, 20)),
    ],
)
def test_the_demos_day_is_the_next_20th_and_never_over(real: date, day: date) -> None:
    assert scenario.demo_day(real) == day
