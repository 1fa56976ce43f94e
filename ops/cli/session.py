"""What every command has besides its own options: a stack, a screen, `--json`, an exit code."""

import functools
import inspect
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Concatenate, Final

import typer
from rich.console import Console, RenderableType

from billing_sync.domain.steps import OperateEvent
from ops.cli.choose import NoStackChosen, connect
from ops.cli.stack import Stack, StackFault

FINE: Final = 0
RED: Final = 1
INTERRUPTED: Final = 130

Connect = Callable[[str | None, bool], Stack]
"""Gives the stack of a name, or the local one. Tests put a fake in its place."""


@dataclass
class Session:
    """One invocation of the command. With `as_json`, standard output carries the answer alone."""

    name: str | None
    local: bool
    as_json: bool
    connect: Connect

    @cached_property
    def out(self) -> Console:
        """Give the console for what was asked for."""
        return Console(stderr=self.as_json, markup=False, highlight=False, emoji=False)

    @cached_property
    def err(self) -> Console:
        """Give the console for what is said besides."""
        return Console(stderr=True, markup=False, highlight=False, emoji=False)

    @cached_property
    def stack(self) -> Stack:
        """Connect on first use, and say to what: nobody shall mistake one stack for another."""
        try:
            stack = self.connect(self.name, self.local)
        except NoStackChosen as error:
            raise typer.BadParameter(str(error), param_hint="'--stack'") from error
        self.say(f"stack {stack.label}", style="dim")
        return stack

    def say(self, sentence: str, *, style: str = "") -> None:
        """Say something beside the answer."""
        self.err.print(sentence, style=style, soft_wrap=True)

    def show(self, renderable: RenderableType) -> None:
        """Show a part of the answer to a person; `--json` gives it otherwise."""
        if not self.as_json:
            # A sentence may hold a command to be copied: the terminal wraps it, and nobody else.
            self.out.print(renderable, soft_wrap=isinstance(renderable, str))

    def emit(self, answer: Mapping[str, Any]) -> None:
        """Give the whole answer to a program, if one asks."""
        if self.as_json:
            typer.echo(json.dumps(answer, indent=2, ensure_ascii=False, default=str))

    def refuse(self, answer: Mapping[str, Any]) -> int:
        """Say why something was not done; `answer` is of operate's shape for refusals."""
        self.emit(answer)
        field = f" ({answer['field']})" if answer.get("field") else ""
        why = answer.get("why") or "no reason was given"
        self.say(f"{answer.get('error', 'Refused')}{field}: {why}", style="red")
        return RED

    def operate(self, action: str, **fields: Any) -> dict[str, Any]:
        """Ask `operate`, with a request that is valid before it leaves."""
        request = OperateEvent.model_validate({"action": action, **fields})
        return self.stack.operate(request)


Common = Annotated[
    str | None,
    typer.Option(
        "--stack",
        envvar="BILLING_SYNC_STACK",
        metavar="NAME",
        help="The CloudFormation stack; region and credentials as for any AWS tool.",
        rich_help_panel="Which stack",
    ),
]
Local = Annotated[
    bool,
    typer.Option(
        "--local",
        help="The stack of `make up`. Taken by itself where no stack is named.",
        rich_help_panel="Which stack",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="The answer as JSON on standard output, nothing else there.")
]
By = Annotated[
    str | None,
    typer.Option("--by", envvar="BILLING_SYNC_BY", metavar="NAME", help="Who asks, for the audit."),
]


def command[**P](body: Callable[Concatenate[Session, P], int]) -> Callable[..., None]:
    """Make a Typer command of `body(session, ...) -> exit code`.

    It gets `--stack`, `--local` and `--json` besides its own options, and one place where a stack
    that cannot be asked becomes a sentence and an exit code.
    """
    own = list(inspect.signature(body).parameters.values())[1:]
    keyword = inspect.Parameter.KEYWORD_ONLY
    common = [
        inspect.Parameter("as_json", keyword, default=False, annotation=AsJson),
        inspect.Parameter("stack", keyword, default=None, annotation=Common),
        inspect.Parameter("local", keyword, default=False, annotation=Local),
        inspect.Parameter("context", keyword, annotation=typer.Context),
    ]

    # Typer calls by keyword, as the signature below says; no type could tell that to `P`.
    asked_for: Callable[..., int] = body

    @functools.wraps(body)
    def run(**given: Any) -> None:
        context: typer.Context = given.pop("context")
        local = given.pop("local")
        source = context.get_parameter_source("stack")
        if local and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter("one of them, not both", param_hint="'--stack' / '--local'")
        session = Session(
            name=given.pop("stack"),
            local=local,
            as_json=given.pop("as_json"),
            connect=context.obj or _connect,
        )
        try:
            code = asked_for(session, **given)
        except StackFault as fault:
            code = session.refuse(
                {"ok": False, "error": fault.code, "field": None, "why": fault.sentence}
            )
        raise typer.Exit(code)

    parameters = [each.replace(kind=keyword) for each in own] + common
    run.__dict__["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def who(by: str | None) -> str:
    """Name the person for the audit: `--by`, else the machine's user, else git's.

    :raises typer.BadParameter: nobody is known.
    """
    name = by or os.environ.get("USER") or _git_user()
    if not name or not name.strip():
        raise typer.BadParameter("say who you are: it is kept with the record", param_hint="'--by'")
    return name.strip()


def _git_user() -> str | None:
    if shutil.which("git") is None:
        return None
    asked = subprocess.run(
        ["git", "config", "user.name"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or None


def _connect(name: str | None, local: bool) -> Stack:
    return connect(name, local=local)
