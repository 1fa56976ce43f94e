"""Run the product's own command `billing-sync` on the demo's stack, as an operator does."""

import shlex

import typer

from ops.cli.app import app
from ops.cli.session import INTERRUPTED
from ops.cli.stack import Stack
from ops.demo.display import Display


class Command:
    """`billing-sync` with a stack already chosen; in this process, to spare its start-up."""

    def __init__(self, display: Display, stack: Stack) -> None:
        self._display = display
        self._stack = stack

    def __call__(self, *arguments: str) -> int:
        """Show the command line, run it, and answer its exit code.

        :raises KeyboardInterrupt: the command was interrupted; it only says so by its exit code.
        """
        self._display.say(f"\n$ billing-sync {shlex.join(arguments)}", style="bold cyan")
        try:
            code = app(
                list(arguments),
                prog_name="billing-sync",
                obj=lambda _name, _local: self._stack,
                standalone_mode=False,
            )
        except typer.Abort as abort:
            raise KeyboardInterrupt from abort
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return int(code or 0)
