"""What all books of one organisation share: its settings, its clocks, its mails, its ids."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from ops.fake_zoho.clock import CalendarClock, LimitsClock
from ops.fake_zoho.config import OrganisationConfig, Switches
from ops.fake_zoho.outbox import Outbox


@dataclass(frozen=True)
class Premises:
    config: OrganisationConfig
    switches: Switches
    clock: LimitsClock
    calendar: CalendarClock
    outbox: Outbox
    next_id: Callable[[], str]

    def now(self) -> datetime:
        return self.calendar.now()

    def today(self) -> date:
        """Tell the date where the organisation is: dates in Zoho have no zone but its own."""
        return self.now().astimezone(ZoneInfo(self.config.time_zone)).date()

    def start_of(self, day: date) -> datetime:
        """Tell the first moment of a day there: when what the calendar brings about happens."""
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.config.time_zone))
