"""The two months that pass in the demo: in Zoho, in the application, and on Zoho's own page."""

from dataclasses import dataclass

from ops.demo import scenario
from ops.demo.books import Books, pass_until
from ops.demo.load import write_passed
from ops.demo.zoho_page import pay_on_zohos_page
from ops.fake_zoho import FakeZohoControl
from ops.local_stack.postgres import APPLICATION_ROLE
from ops.local_stack.stack import set_calendar
from ops.local_stack.state import StackState


@dataclass(frozen=True)
class Months:
    """What happened in them."""

    day: str
    raised: int
    paid_in_zoho: int
    invoices: int
    payments: int

    def __str__(self) -> str:
        """Tell it in four sentences."""
        return (
            f"It is {self.day}. Zoho raised {self.raised} invoices by itself, and took"
            f" {self.paid_in_zoho} payments on its own page. The application wrote"
            f" {self.invoices} recurring invoices, one of them for a period to come, and"
            f" {self.payments} payments. A promotion ended, a service was cancelled, a bank took a"
            " debit order back, and an invoice was voided."
        )


def let_two_months_pass(state: StackState, zoho: FakeZohoControl, books: Books) -> Months:
    """Move both calendars, and write what everybody did meanwhile; for one time only."""
    until = scenario.last_day(books.today)
    raised_before = len(zoho.state().invoices)
    set_calendar(state, until)
    raised = len(zoho.state().invoices) - raised_before
    passed = pass_until(books, until)
    # What Zoho takes itself is there before it is here, as whoever looks for it at once expects.
    paid_in_zoho = pay_on_zohos_page(zoho, passed)
    with state.database.connect(APPLICATION_ROLE) as connection:
        write_passed(connection, books, passed)
    return Months(
        day=f"{until:%-d %B %Y}",
        raised=raised,
        paid_in_zoho=paid_in_zoho,
        invoices=len(passed.invoices),
        payments=len(passed.payments),
    )
