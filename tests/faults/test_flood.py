"""A flood of two hundred messages (`make flood` lets ten thousand come)."""

from ops.local_stack.postgres import PostgresServer
from tests.campaign.flood import flood

ZOHO_SECONDS_IN_ONE = 43_200.0
"""A day lasts two seconds."""


def test_a_flood_of_triggers_in_a_quota_pause_of_days_fails_nowhere_and_all_arrives_when_it_ends(
    postgres: PostgresServer,
) -> None:
    figures = flood(postgres, 200, ZOHO_SECONDS_IN_ONE, records=60)

    assert figures.wrong == []
    assert (figures.dead_letters, figures.returned.total()) == (0, 0)
    assert figures.days >= 1
    assert figures.calls_in_pause >= 2
    assert (figures.states["payment synced"], figures.in_zoho["payments"]) == (15, 15)
