"""One short round of the campaign (`make campaign` plays them by the minute)."""

from pathlib import Path

from ops.local_stack.postgres import Database
from tests.campaign.campaign import play

SEED = "short:1"


def test_a_short_round_of_kills_stalls_and_faults_ends_with_every_customer_right(
    database: Database, tmp_path: Path
) -> None:
    result = play(SEED, database, tmp_path / "round", seconds=3.5)

    assert result.violations == []
    met = sum(count for name, count in result.counts.items() if name.startswith("fault "))
    assert result.counts["kill"] >= 1
    assert result.counts["stop"] >= 1
    assert met >= 3
    assert result.states["synced"] >= 3
