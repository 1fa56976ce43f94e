"""The day that it is: for our functions in a row of the database, for fake Zoho by its control."""

from datetime import date
from typing import Final

import psycopg

from ops.demo.books import at_noon
from ops.fake_zoho import FakeZohoControl

# What was walked before is as old as the days that pass at once.
_AGE: Final = """
UPDATE billing_sync.snapshots s SET
  started_at = s.started_at - passed, renewed_at = s.renewed_at - passed
FROM (
  SELECT organisation_id, make_interval(days => %(today)s::date - today) AS passed
  FROM billing_sync.organisations
) o
WHERE s.organisation_id = o.organisation_id AND o.organisation_id = %(organisation_id)s
  AND passed IS NOT NULL
"""

_SET: Final = """
INSERT INTO billing_sync.organisations (organisation_id, today)
VALUES (%(organisation_id)s, %(today)s)
ON CONFLICT (organisation_id) DO UPDATE SET today = excluded.today
"""


def set_calendars(
    connection: psycopg.Connection, zoho: FakeZohoControl, organisation_id: str, today: date
) -> None:
    """Let it be noon of a day on both sides; what is due in Zoho by then happens.

    `connection` owns our tables. The day is never an earlier one.
    """
    zoho.set_calendar(at_noon(today))
    asked = {"organisation_id": organisation_id, "today": today}
    with connection.transaction():
        connection.execute(_AGE, asked)
        connection.execute(_SET, asked)
