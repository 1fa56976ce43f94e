"""The menu of `make up`: what it tells people to type exists."""

import re
import shlex

import typer

from billing_sync.domain.triggers import TYPES_OF_TRIGGER, Trigger
from ops.cli.app import app
from ops.fake_zoho.control import KNOWN_OPERATIONS
from ops.fake_zoho.faults import FAULTS
from ops.local_stack import __main__ as local_stack

MENU = local_stack._MENU.format(
    zoho="http://zoho",
    candidate="4815162000000100005",
    account="CT-2025-00014",
    customer=12,
    next_customer=16,
)
LINES = [line.strip() for line in MENU.replace("\\\n", "").splitlines()]


def commands(beginning: str) -> list[str]:
    return [line.removeprefix(beginning) for line in LINES if line.startswith(beginning)]


def test_every_command_of_billing_sync_is_one() -> None:
    known = typer.main.get_command(app)
    assert isinstance(known, typer.core.TyperGroup)

    asked = {line.split()[0] for line in commands("billing-sync ")}

    assert asked == {
        "preflight",
        "confirm",
        "backfill",
        "show",
        "link",
        "send",
        "pause",
        "resume",
        "dashboard",
        "status",
    }
    assert asked | {"go-live"} <= set(known.commands)
    assert "`billing-sync go-live`" in MENU


def test_every_trigger_that_is_sent_has_its_word() -> None:
    sent = [line.split()[1:] for line in commands("billing-sync ") if line.startswith("send ")]

    assert len(sent) == 2
    for trigger, _, *option in sent:
        words = TYPES_OF_TRIGGER[Trigger(trigger)]
        assert not option or (option[0], option[1] in words) == ("--type", True)


def test_every_fault_is_one_of_fake_zohos() -> None:
    asked = re.findall(r"local_stack fault (\w+)(?: (\w+))?", " ".join(LINES))

    faults = [
        FAULTS.validate_python({"kind": kind} | ({"operation": operation} if operation else {}))
        for kind, operation in asked
    ]

    assert {fault.kind for fault in faults} == {
        "answer_lost",
        "throttled",
        "dead_token",
        "refuse_token",
    }
    assert {fault.operation for fault in faults} <= KNOWN_OPERATIONS


def test_every_action_of_the_local_stack_is_one() -> None:
    parser = local_stack._parser()

    asked = [
        parser.parse_args(shlex.split(line.partition("&&")[0])).action
        for line in commands("python -m ops.local_stack ")
    ]

    assert set(asked) == {"sql", "fault", "sides", "months"}
