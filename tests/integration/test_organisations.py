"""What is known of Zoho's organisation: learnt by preflight, read by every worker."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.organisations import PostgresOrganisations
from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.remote import Tax
from ops.local_stack.postgres import FUNCTIONS_ROLE, Database
from tests.records import ORGANISATION, sql

TAXES = [
    Tax(tax_id="111", name="Standard Rate", percentage=Decimal("15.00")),
    Tax(tax_id="112", name="Zero Rate", percentage=Decimal(0)),
]


@pytest.fixture
def organisations(database: Database) -> Iterator[PostgresOrganisations]:
    engine = make_engine(database.url(FUNCTIONS_ROLE))
    yield PostgresOrganisations(engine, ORGANISATION)
    engine.dispose()


def test_before_preflight_nothing_is_known_and_nothing_is_guessed(
    organisations: PostgresOrganisations,
) -> None:
    for ask in (
        organisations.currency,
        organisations.time_zone,
        organisations.price_precision,
        organisations.taxes,
        organisations.today,
    ):
        with pytest.raises(Misconfigured) as refused:
            ask()
        assert refused.value.code == "preflight_never_ran"
    assert organisations.calendar() is None


def test_what_preflight_learnt_is_exact_and_what_it_learns_again_is_known_at_once(
    organisations: PostgresOrganisations,
) -> None:
    organisations.learn("Demo", "ZAR", "Africa/Johannesburg", price_precision=3, taxes=TAXES)

    assert organisations.currency() == "ZAR"
    assert organisations.time_zone() == ZoneInfo("Africa/Johannesburg")
    assert organisations.price_precision() == 3
    assert organisations.taxes() == TAXES
    assert organisations.taxes()[0].percentage == Decimal("15.00")

    organisations.learn("Demo", "ZAR", "No/Where")

    assert (organisations.price_precision(), organisations.taxes()) == (2, [])
    with pytest.raises(Misconfigured) as refused:
        organisations.time_zone()
    assert refused.value.code == "time_zone_unknown"


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_today_is_the_day_where_the_organisation_is_unless_a_calendar_was_set(
    organisations: PostgresOrganisations, database: Database, zone: str
) -> None:
    # 25 hours lie between the two: at any moment at least one of them has another day than UTC.
    organisations.learn("Demo", "ZAR", zone)

    before = datetime.now(UTC).astimezone(ZoneInfo(zone)).date()
    today = organisations.today()
    assert before <= today <= datetime.now(UTC).astimezone(ZoneInfo(zone)).date()

    sql(database, "UPDATE billing_sync.organisations SET today = '2999-01-31'")
    assert organisations.today() == organisations.calendar() == date(2999, 1, 31)
    # Preflight does not take it away, and no worker remembers it.
    organisations.learn("Demo", "ZAR", zone)
    assert organisations.today() == date(2999, 1, 31)
    sql(database, "UPDATE billing_sync.organisations SET today = NULL")
    assert organisations.today() < date(2999, 1, 31)
