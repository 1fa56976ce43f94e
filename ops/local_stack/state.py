"""What a running local stack consists of, in a file: how others find it, and how it is ended."""

import shutil
from datetime import date
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel

from ops.local_stack.ministack import root_environment
from ops.local_stack.postgres import Database, remove_server
from ops.local_stack.processes import ProcessIdentity, end_process

FILE_NAME: Final = "stack.json"


class PostgresState(BaseModel):
    data_directory: Path
    socket_directory: Path
    database: str
    passwords: dict[str, str]


class ZohoState(BaseModel):
    """Where fake Zoho listens; it is steered at `<url>/_fake/`."""

    url: str
    api_url: str
    accounts_url: str
    organization_id: str


class StackState(BaseModel):
    """One local stack. Its passwords open nothing but what stands beside them."""

    run_directory: Path
    stack_name: str
    time_scale: float
    # The process that ends it; None: it was left running, until `make down`.
    owner: ProcessIdentity | None
    processes: list[ProcessIdentity] = []
    # Folders outside the run directory that go when the stack goes.
    scratch: list[Path] = []
    postgres: PostgresState | None = None
    zoho: ZohoState | None = None
    endpoint_url: str | None = None
    # The demo's day as of which the application's books are; None: it has none.
    today: date | None = None
    months_passed: bool = False
    outputs: dict[str, str] = {}

    @property
    def database(self) -> Database:
        if self.postgres is None:
            raise LookupError("this stack has no database yet")
        return Database(
            self.postgres.database, self.postgres.socket_directory, self.postgres.passwords
        )

    @property
    def aws_environment(self) -> dict[str, str]:
        """Answer the variables with which an AWS SDK or tool works on this stack."""
        if self.endpoint_url is None:
            raise LookupError("this stack has no local AWS yet")
        return root_environment(self.endpoint_url)

    @property
    def is_abandoned(self) -> bool:
        """Say whether the process that was to end it is gone."""
        return self.owner is not None and self.owner.find() is None

    def save(self) -> None:
        """Write the file anew, for its owner's eyes only."""
        path = self.run_directory / FILE_NAME
        draft = path.with_suffix(".tmp")
        draft.touch(mode=0o600)
        draft.write_text(self.model_dump_json(indent=2), encoding="utf-8")
        draft.replace(path)

    @classmethod
    def load(cls, run_directory: Path) -> Self | None:
        """Answer the stack of a run directory, or None if there is none."""
        path = run_directory / FILE_NAME
        if not path.exists():
            return None
        return cls.model_validate_json(path.read_bytes())

    def end(self) -> None:
        """End all of it, whoever started it, and remove its data; logs stay. Safe to repeat."""
        for identity in reversed(self.processes):
            end_process(identity)
        if self.postgres is not None:
            remove_server(self.postgres.data_directory)
        for folder in self.scratch:
            shutil.rmtree(folder, ignore_errors=True)
        (self.run_directory / FILE_NAME).unlink(missing_ok=True)


def end_abandoned(runs: Path) -> list[Path]:
    """End the stacks below `runs` whose owner was killed; answer their run directories."""
    ended = []
    for path in sorted(runs.glob(f"*/{FILE_NAME}")):
        state = StackState.load(path.parent)
        if state is not None and state.is_abandoned:
            state.end()
            ended.append(path.parent)
    return ended
