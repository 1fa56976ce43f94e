"""`python -m ops.local_stack up | down | ...`: a stack that stays until it is taken down."""

import argparse
import sys
from typing import Final

import httpx
import psycopg
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from ops.demo import scenario
from ops.demo.books import read_books
from ops.demo.display import Steps
from ops.demo.months import let_two_months_pass
from ops.fake_zoho import FakeZohoControl
from ops.fake_zoho.faults import FAULTS
from ops.local_stack.interruptions import Interrupted
from ops.local_stack.postgres import APPLICATION_ROLE
from ops.local_stack.processes import StackError, project_root
from ops.local_stack.stack import RUNS, LocalStack
from ops.local_stack.state import StackState, end_abandoned

LOCAL = project_root() / "build" / "local"

_MENU: Final = """
The application's database, fake Zoho and local AWS are up, with the demo's customers and their
books. Every line below can be copied as it stands, after:

  . .venv/bin/activate

Send all of it: red at first, since customer 7 needs a person
  billing-sync preflight
  billing-sync confirm notifications_off excess_payments_off prices_inclusive \\
    tax_rounding_per_line display_names_may_repeat --by me
  billing-sync backfill
  billing-sync backfill --apply
  billing-sync show customer CT-2025-00009
  billing-sync link customer CT-2025-00009 {candidate} --by me
  billing-sync backfill --apply

Let two months pass, in which Zoho raises invoices by itself; the sweep links them and sends the
rest, minute by minute, and a backfill all at once
  python -m ops.local_stack months
  billing-sync backfill --apply

From the first clean run on the sync is live: whatever changes here, the sweep carries within a
minute, and a webhook at once. `billing-sync go-live` does not wait for a clean run
  python -m ops.local_stack sql "UPDATE customers SET phone = '+27215550001' \\
    WHERE account_number = '{account}'"
  billing-sync send customer-registered {customer} --type customer.updated
  python -m ops.local_stack sql "INSERT INTO customers (account_number, first_name, last_name, \\
    email) VALUES ('CT-2025-00031', 'Naledi', 'Mokoena', 'naledi@mail.example') RETURNING id"
  billing-sync send customer-registered {next_customer}
  billing-sync show customer CT-2025-00031

Hold back all writes: what changes meanwhile is recorded, and sent when they may go on
  billing-sync pause --reason "finance closes the month"
  billing-sync resume

Give Zoho a bad day: one of these, then change that phone again (another number), send it again, and
see the sweep heal it; `billing-sync show customer {account}` tells how
  python -m ops.local_stack fault answer_lost update_customer
  python -m ops.local_stack fault throttled update_customer
  python -m ops.local_stack fault dead_token update_customer && \\
    python -m ops.local_stack fault refuse_token

Look at both sides
  python -m ops.local_stack sides
  billing-sync dashboard
  billing-sync status
  {zoho}                 what Zoho holds, for a browser
  {zoho}/_fake/log       every call that it was sent

`make down` ends it.
"""


def main() -> int:
    arguments = _parser().parse_args()
    console = Console(highlight=False)
    try:
        match arguments.action:
            case "up":
                return _up(console)
            case "down":
                return _down(console)
            case "fault":
                return _fault(console, arguments.kind, arguments.operation)
            case "sides":
                return _sides(console)
            case "months":
                return _months(console)
            case _:
                return _sql(console, arguments.statement)
    except Interrupted as interruption:
        return interruption.exit_code
    except StackError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ops.local_stack", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("up", help="start a stack and leave it running")
    actions.add_parser("down", help="end it, and whatever a killed run left behind")
    sql = actions.add_parser("sql", help="run a statement as the application")
    sql.add_argument("statement")
    fault = actions.add_parser("fault", help="let something go wrong in fake Zoho, once")
    fault.add_argument("kind", help="answer_lost, throttled, dead_token, refuse_token, ...")
    fault.add_argument("operation", nargs="?", help="such as update_customer; any, if not given")
    actions.add_parser("months", help="let two months pass, here and in Zoho, once")
    actions.add_parser("sides", help="show the application's customers beside Zoho's")
    return parser


def _up(console: Console) -> int:
    state = StackState.load(LOCAL)
    if state is not None and state.owner is None and all(p.find() for p in state.processes):
        console.print("It is up already.")
    else:
        if state is not None:
            state.end()
        state = _start(console)
    if state.zoho is not None:
        with FakeZohoControl(state.zoho.url) as zoho:
            candidate = _looks_like_customer_7(zoho)
        customer, last = _customer_10_and_the_last(state)
        menu = _MENU.format(
            zoho=state.zoho.url,
            candidate=candidate,
            account=scenario.KEPT_BY_ACCOUNT_NUMBER,
            customer=customer,
            next_customer=last + 1,
        )
        console.print(menu, markup=False, soft_wrap=True)
    return 0


def _start(console: Console) -> StackState:
    steps = Steps(console)
    stack = LocalStack(LOCAL, scenario.options_for_playing(), progress=steps)
    try:
        with steps:
            stack.start()
        stack.detach()
    except BaseException:
        stack.stop()
        raise
    return stack.state


def _looks_like_customer_7(zoho: FakeZohoControl) -> str:
    """Find the id of the customer that finance keeps by hand, for the command that links him."""
    ids: list[str] = [
        one["customer_id"]
        for one in zoho.customers()
        if one["email"] == scenario.LOOKS_ALIKE_EMAIL and not one["_by_api"]
    ]
    return ids[0]


def _customer_10_and_the_last(state: StackState) -> tuple[int, int]:
    """Find the ids of the rows of whom the menu changes, and of whoever was written last."""
    with state.database.connect(APPLICATION_ROLE) as connection:
        found = connection.execute(
            "SELECT max(id) FILTER (WHERE account_number = %s), max(id) FROM customers",
            [scenario.KEPT_BY_ACCOUNT_NUMBER],
        ).fetchone()
    if found is None:
        raise StackError("the application has no customers")
    return found[0], found[1]


def _down(console: Console) -> int:
    state = StackState.load(LOCAL)
    if state is not None:
        state.end()
    abandoned = end_abandoned(RUNS)
    if state is None and not abandoned:
        console.print("Nothing was up.")
    return 0


def _fault(console: Console, kind: str, operation: str | None) -> int:
    asked = {"kind": kind} | ({"operation": operation} if operation else {})
    try:
        fault = FAULTS.validate_python(asked)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise StackError(f"fake Zoho has no such fault: {kind}: {wrong}") from error
    with FakeZohoControl(_zoho_url()) as zoho:
        try:
            zoho.arm(fault)
        except httpx.HTTPStatusError as error:
            raise StackError(f"fake Zoho refuses it: {error.response.text}") from error
    console.print(f"The next {fault.operation or 'call'} meets {kind}.", markup=False)
    return 0


def _sides(console: Console) -> int:
    """Show both sides: by id where a customer is linked, and Zoho's others below."""
    with FakeZohoControl(_zoho_url()) as zoho:
        there = {one["customer_id"]: one for one in zoho.customers()}
    table = Table(box=None)
    for column in ("Customer", "Phone here", "Status", "In Zoho", "Phone there"):
        table.add_column(column, no_wrap=True)
    with _state().database.connect(APPLICATION_ROLE) as connection:
        for account, phone, status, zoho_id in connection.execute(
            "SELECT account_number, phone, zoho_sync_status, zoho_billing_customer_id"
            " FROM customers ORDER BY account_number"
        ):
            found = there.pop(zoho_id, {})
            table.add_row(account, phone, status or "", zoho_id or "", found.get("phone", ""))
    for zoho_id, found in there.items():
        table.add_row(found["display_name"], "not here", "", zoho_id, found["phone"])
    console.print(table)
    return 0


def _months(console: Console) -> int:
    state = _state()
    today = state.today
    if today is None or state.months_passed:
        raise StackError("The two months have passed already.")
    with FakeZohoControl(_zoho_url()) as zoho:
        if not zoho.state().subscriptions:
            raise StackError("Zoho has nothing to bill yet: send all of it first.")
        passed = let_two_months_pass(state, zoho, read_books(today))
    state.months_passed = True
    state.save()
    console.print(str(passed), markup=False, soft_wrap=True)
    return 0


def _sql(console: Console, statement: str) -> int:
    with _state().database.connect(APPLICATION_ROLE) as connection:
        try:
            cursor = connection.execute(statement.encode())
        except psycopg.Error as error:
            raise StackError(str(error)) from error
        if cursor.description is None:
            console.print(cursor.statusmessage)
            return 0
        table = Table(*(column.name for column in cursor.description))
        for row in cursor:
            table.add_row(*("" if value is None else str(value) for value in row))
        console.print(table)
    return 0


def _state() -> StackState:
    state = StackState.load(LOCAL)
    if state is None:
        raise StackError("nothing is up: run `make up` first")
    return state


def _zoho_url() -> str:
    zoho = _state().zoho
    if zoho is None:
        raise StackError("fake Zoho is not up: run `make up` first")
    return zoho.url


if __name__ == "__main__":
    sys.exit(main())
