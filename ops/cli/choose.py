"""Which stack the command works on: the one that was named, or the local one that is up."""

from pathlib import Path
from typing import Final

from pydantic import BaseModel

from ops.cli.stack import Stack

LOCAL_RUN_DIRECTORY: Final = Path(__file__).resolve().parents[2] / "build" / "local"
"""Where `make up` keeps its stack's state."""


class NoStackChosen(Exception):
    """Nobody said which stack is meant."""


class LocalStackFile(BaseModel):
    """What the command needs of `stack.json`, which the local stack writes of itself."""

    stack_name: str
    endpoint_url: str


def local_stack(run_directory: Path = LOCAL_RUN_DIRECTORY) -> LocalStackFile | None:
    """Find the stack that `make up` left running, None where none is up."""
    path = run_directory / "stack.json"
    if not path.exists():
        return None
    # Only now: what starts and watches processes is of no use against AWS.
    from ops.local_stack.processes import ProcessIdentity  # noqa: PLC0415

    class Whole(BaseModel):
        stack_name: str
        endpoint_url: str | None
        processes: list[ProcessIdentity]

    state = Whole.model_validate_json(path.read_bytes())
    if state.endpoint_url is None or not all(process.find() for process in state.processes):
        return None
    return LocalStackFile(stack_name=state.stack_name, endpoint_url=state.endpoint_url)


def connect(name: str | None, *, local: bool) -> Stack:
    """Give the stack that was asked for: by name, else the local one that is up.

    :raises NoStackChosen: no name was given and no local stack is up.
    """
    found = local_stack() if local or name is None else None
    if found is None and (local or name is None):
        raise NoStackChosen(
            "no local stack is up: `make up` starts one"
            if local
            else "no stack was named (--stack NAME, or BILLING_SYNC_STACK), and no local one is up"
        )
    # boto3 takes longer to import than all the rest: not for --help, nor for a mistyped option.
    from ops.cli.aws import AwsStack  # noqa: PLC0415

    if found is not None:
        return AwsStack.on_local_aws(found.stack_name, found.endpoint_url)
    assert name is not None  # noqa: S101 - the two branches above leave nothing else
    return AwsStack.in_account(name)
