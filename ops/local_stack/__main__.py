"""`python -m ops.local_stack up | down | sql`: a stack that stays until it is taken down."""

import argparse
import sys
from typing import Final

import psycopg
from rich.console import Console
from rich.table import Table

from ops.local_stack.interruptions import Interrupted
from ops.local_stack.postgres import APPLICATION_ROLE
from ops.local_stack.processes import StackError, project_root
from ops.local_stack.stack import RUNS, LocalStack, StackOptions
from ops.local_stack.state import StackState, end_abandoned

LOCAL = project_root() / "build" / "local"

_MENU: Final = """
The application's database, fake Zoho and local AWS are up. Things to try (from .venv/bin, or
after `. .venv/bin/activate`):

  billing-sync preflight                          what a run would stumble over
  billing-sync backfill --apply                   send the customers, after a look at the plan
  billing-sync status                             where it stands
  billing-sync show customer CT-2025-00009        one record's story

Change her phone, run the backfill again, and see one update:
  python -m ops.local_stack sql "UPDATE customers SET phone = '+27215550000' \\
    WHERE account_number = 'CT-2025-00014'"

Give Zoho a bad day, then run the backfill again and see it heal:
  curl -d '{{"kind": "answer_lost", "operation": "create_customer"}}' {zoho}/_fake/faults
  curl -d '{{"kind": "refuse_token"}}' {zoho}/_fake/faults
  curl -d '{{"kind": "throttled"}}' {zoho}/_fake/faults

Look at both sides:
  python -m ops.local_stack sql "SELECT account_number, zoho_sync_status, \\
    zoho_billing_customer_id FROM customers ORDER BY id"
  {zoho}/_fake/state                  all that Zoho holds, and its counters
  {zoho}/_fake/log                    every call that it was sent

`make down` ends it.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.local_stack", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("up", help="start a stack and leave it running")
    actions.add_parser("down", help="end it, and whatever a killed run left behind")
    sql = actions.add_parser("sql", help="run a statement as the application")
    sql.add_argument("statement")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    try:
        match arguments.action:
            case "up":
                return _up(console)
            case "down":
                return _down(console)
            case _:
                return _sql(console, arguments.statement)
    except Interrupted as interruption:
        return interruption.exit_code
    except StackError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1


def _up(console: Console) -> int:
    def progress(step: str, seconds: float | None) -> None:
        if seconds is not None:
            console.print(f"{seconds:6.1f} s  {step}", markup=False)

    state = StackState.load(LOCAL)
    if state is not None and state.owner is None and all(p.find() for p in state.processes):
        console.print("It is up already.")
    else:
        if state is not None:
            state.end()
        stack = LocalStack(LOCAL, StackOptions(parameters={"ZohoWrites": "on"}), progress=progress)
        try:
            stack.start()
            stack.detach()
        except BaseException:
            stack.stop()
            raise
        state = stack.state
    if state.zoho is not None:
        console.print(_MENU.format(zoho=state.zoho.url), markup=False, soft_wrap=True)
    return 0


def _down(console: Console) -> int:
    state = StackState.load(LOCAL)
    if state is not None:
        state.end()
    abandoned = end_abandoned(RUNS)
    if state is None and not abandoned:
        console.print("Nothing was up.")
    return 0


def _sql(console: Console, statement: str) -> int:
    state = StackState.load(LOCAL)
    if state is None:
        raise StackError("nothing is up: run `make up` first")
    with state.database.connect(APPLICATION_ROLE) as connection:
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


if __name__ == "__main__":
    sys.exit(main())
