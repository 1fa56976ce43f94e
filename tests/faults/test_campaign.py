"""One short round of the campaign (`make campaign` plays them by the minute)."""

from collections.abc import Callable
from pathlib import Path

from ops.local_stack.postgres import Database
from tests.campaign.campaign import Result, play

SEED = "short:1"


def faults_met(result: Result) -> int:
    return sum(count for name, count in result.counts.items() if name.startswith("fault "))


def test_a_short_round_of_kills_stalls_and_faults_ends_with_every_customer_right(
    new_database: Callable[[str], Database], migrated_template: str, tmp_path: Path
) -> None:
    # A busy machine comes to fewer calls in a second, and so to fewer of the faults.
    for seconds in (3.5, 14.0):
        database = new_database(migrated_template)
        result = play(SEED, database, tmp_path / f"{seconds}", seconds=seconds)
        assert result.violations == []
        if faults_met(result) >= 3:
            break

    assert result.counts["kill"] >= 1
    assert result.counts["stop"] >= 1
    assert faults_met(result) >= 3
    assert result.states["synced"] >= 3
