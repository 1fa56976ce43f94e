"""From one billing date to the next: a term that is counted in months keeps its day.

Each date is counted from the first one, not from the one before: a subscription of the 31st is
billed on 28 February and on 31 March again.
"""

import calendar
from datetime import date, timedelta

DAYS = {"days": 1, "weeks": 7}
MONTHS = {"months": 1, "years": 12}


def after(first: date, terms: int, interval: int, unit: str) -> date:
    """Tell the date that lies this many terms after the first."""
    if unit in DAYS:
        return first + timedelta(days=DAYS[unit] * interval * terms)
    month = first.month - 1 + MONTHS[unit] * interval * terms
    year, month = first.year + month // 12, month % 12 + 1
    return date(year, month, min(first.day, calendar.monthrange(year, month)[1]))


def terms_begun(first: date, today: date, interval: int, unit: str) -> int:
    """Count the terms that have begun by today; the first one begins on the first date."""
    terms = 0
    while after(first, terms, interval, unit) <= today:
        terms += 1
    return terms


def period(start: date, end: date) -> str:
    """Say which days a line is for, as Zoho writes it on the line of a subscription's invoice."""
    first, last = (f"{day.day}-{calendar.month_name[day.month]}-{day.year}" for day in (start, end))
    return f"Charges for this duration (from {first} to {last})"
