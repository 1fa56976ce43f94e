"""Compose the whole system on this machine, and take it down again without leaving anything."""

import base64
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol, Self

from botocore.exceptions import BotoCoreError, ClientError

from ops.demo.books import read_books
from ops.demo.load import APPLICATION_SQL, load, load_books
from ops.fake_zoho import FakeZohoControl
from ops.fake_zoho.config import FakeZohoConfig
from ops.local_stack.calendar import set_calendars
from ops.local_stack.clients import Clients
from ops.local_stack.interruptions import held, interruptible
from ops.local_stack.ministack import Ministack
from ops.local_stack.postgres import (
    APPLICATION_ROLE,
    FUNCTIONS_ROLE,
    OWNER_ROLE,
    Database,
    PostgresServer,
    lock_directory,
)
from ops.local_stack.processes import (
    BackgroundProcess,
    ProcessIdentity,
    StackError,
    environment_program,
    project_root,
    scratch_directory,
    tail,
)
from ops.local_stack.sam import SamBuild, deploy, host_architecture
from ops.local_stack.state import PostgresState, StackState, ZohoState, end_abandoned

RUNS: Final = project_root() / "build" / "run"
DATABASE: Final = "isp"


class Progress(Protocol):
    """Is told of each step: once without seconds when it begins, once with them when it ended."""

    def __call__(self, step: str, seconds: float | None, /) -> None: ...


def say_nothing(_step: str, _seconds: float | None, /) -> None:
    """Be the progress of a stack that nobody watches."""


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """How a local stack differs from another one."""

    zoho: FakeZohoConfig = field(default_factory=FakeZohoConfig)
    time_scale: float = 60
    stack_name: str = "billing-sync"
    template: Path = project_root() / "template.yaml"
    # Added to those that make the template run here.
    parameters: Mapping[str, str | int | float] = field(default_factory=dict)
    # The day that Zoho's calendar and ours show, with the application's books as of it. None: the
    # real day, and customers and packages only.
    today: date | None = None


class LocalStack:
    """PostgreSQL with an application's tables, fake Zoho, and the template deployed to local AWS.

    A context manager that leaves nothing running, whatever ends the block: its end, an error,
    Ctrl-C, TERM or HUP. Its logs stay in `run_directory`. Two stacks share nothing but the cache
    of builds.
    """

    def __init__(
        self,
        run_directory: Path,
        options: StackOptions | None = None,
        *,
        progress: Progress = say_nothing,
    ) -> None:
        self.options = options or StackOptions()
        self.run_directory = run_directory
        self.state = StackState(
            run_directory=run_directory,
            stack_name=self.options.stack_name,
            time_scale=self.options.time_scale,
            owner=ProcessIdentity.of("owner", os.getpid()),
            today=self.options.today,
        )
        self._progress = progress
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start every part in turn; the build runs meanwhile. Ended by `stop` or `detach`."""
        self._parts.enter_context(interruptible())
        self.run_directory.mkdir(parents=True, exist_ok=True)
        self.state.save()
        scratch = scratch_directory()
        self._keep(scratch)
        self._keep(lock_directory())

        build = SamBuild(self.options.template, log=self.log("sam-build"))
        self._parts.callback(build.stop)
        build.start()
        with self._step("start PostgreSQL"):
            self._start_postgres(scratch / "postgres")
        with self._step("create the application's tables and load its data"):
            self._create_application()
        with self._step("start fake Zoho"):
            self._start_zoho()
        with self._step("start local AWS"):
            self._start_aws(scratch / "aws")
        with self._step("sam build"):
            built = build.finish()
            self._keep(built)
        with self._step("sam deploy"):
            self._deploy(built)
        self._parts.callback(self._save_function_logs)
        with self._step("fill in the secrets"):
            self._fill_in_secrets()
        with self._step("migrate"):
            self.invoke("MigrateFunctionName", {})
            if self.options.today is not None:
                set_calendar(self.state, self.options.today)

    def stop(self) -> None:
        """End every part and remove its data; logs stay. A second Ctrl-C does not break it off."""
        with held():
            try:
                self._parts.close()
            finally:
                self.state.end()

    def detach(self) -> None:
        """Leave it running after this process; `make down`, or `StackState.end`, ends it."""
        with held():
            self._postgres.detach()
            self.clients.close()
            self.state.owner = None
            self.state.save()
            self._parts.pop_all()

    def log(self, part: str) -> Path:
        """Answer where a part writes what it has to say."""
        return self.run_directory / f"{part}.log"

    @property
    def database(self) -> Database:
        return self.state.database

    @cached_property
    def clients(self) -> Clients:
        """AWS clients, closed when the stack stops."""
        clients = clients_of(self.state)
        self._parts.callback(clients.close)
        return clients

    def invoke(self, output: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Invoke the function that an output of the stack names; answer what it answered.

        Raises `StackError` if the function raised; the log of the functions says where.
        """
        try:
            return invoke(self.clients, self.state, output, payload)
        except StackError:
            self._save_function_logs()
            raise

    def put_secret(self, output: str, value: Mapping[str, Any]) -> None:
        """Fill in the secret that an output of the stack names."""
        self.clients.secrets.put_secret_value(
            SecretId=self.state.outputs[output], SecretString=json.dumps(dict(value))
        )

    def _start_postgres(self, directory: Path) -> None:
        self._postgres = PostgresServer(directory, log=self.log("postgres"))
        with held():
            self._parts.enter_context(self._postgres)
            self.state.postgres = PostgresState(
                data_directory=directory,
                socket_directory=self._postgres.socket_directory,
                database=DATABASE,
                passwords=self._postgres.passwords,
            )
            self.state.save()

    def _create_application(self) -> None:
        database = self._postgres.create_database(DATABASE)
        database.run_script(APPLICATION_SQL, APPLICATION_ROLE)
        with database.connect(APPLICATION_ROLE) as connection:
            load(connection)
            if self.options.today is not None:
                load_books(connection, read_books(self.options.today))

    def _start_zoho(self) -> None:
        config = self.options.zoho.model_copy(update={"time_scale": self.options.time_scale})
        document = self.run_directory / "fake-zoho.json"
        document.write_text(config.model_dump_json(indent=2), encoding="utf-8")
        log = self.log("fake-zoho")
        with held():
            process = BackgroundProcess(
                "fake Zoho",
                [
                    environment_program(".venv", "python"),
                    *("-m", "ops.fake_zoho"),
                    *("--port", "0"),
                    *("--config", document),
                ],
                environment={"PATH": os.defpath, "PYTHONUNBUFFERED": "1"},
                log=log,
                cwd=project_root(),
                pipe_output=True,
            )
            self._parts.callback(process.end)
            self._record(process)
        # One line with its addresses, once it listens; nothing, if it could not.
        started = process.output.readline()
        if not started:
            raise StackError(f"fake Zoho did not start:\n{tail(log)}\nits log: {log}")
        self.state.zoho = ZohoState(
            **json.loads(started), organization_id=config.organisations[0].organization_id
        )
        self.state.save()

    def _start_aws(self, directory: Path) -> None:
        aws = Ministack(directory, log=self.log("aws"), time_scale=self.options.time_scale)
        with held():
            self._parts.enter_context(aws)
            if aws.process is not None:
                self._record(aws.process)
            self.state.endpoint_url = aws.endpoint_url
            self.state.save()

    def _deploy(self, built: Path) -> None:
        zoho = self._zoho
        self.state.outputs = deploy(
            built,
            stack_name=self.options.stack_name,
            clients=self.clients,
            parameters={
                "OrganisationId": zoho.organization_id,
                "ZohoApiUrl": zoho.api_url,
                "ZohoAccountsUrl": zoho.accounts_url,
                "TimeScale": f"{self.options.time_scale:g}",
                "Architecture": host_architecture(),
                **self.options.parameters,
            },
            log=self.log("sam-deploy"),
        )
        self.state.save()

    def _fill_in_secrets(self) -> None:
        credential = self.options.zoho.credentials[0]
        self.put_secret("DatabaseSecretArn", self.database.secret(FUNCTIONS_ROLE))
        self.put_secret("DatabaseOwnerSecretArn", self.database.secret(OWNER_ROLE))
        self.put_secret(
            "ZohoCredentialsSecretArn",
            {
                "client_id": credential.client_id,
                "client_secret": credential.client_secret,
                "refresh_token": credential.refresh_token,
            },
        )
        # As an operator makes them, for senders that sign and for those that cannot.
        signing = base64.b64encode(secrets.token_bytes(32)).decode()
        self.put_secret(
            "WebhookSecretArn",
            {
                "signing_secrets": [f"whsec_{signing}"],
                "static_secrets": [secrets.token_urlsafe(32)],
            },
        )
        # No token yet: the first function that needs one mints it.
        self.put_secret("ZohoTokenSecretArn", {})

    @property
    def _zoho(self) -> ZohoState:
        if self.state.zoho is None:
            raise StackError("fake Zoho is not started")
        return self.state.zoho

    def _record(self, process: BackgroundProcess) -> None:
        self.state.processes.append(process.identity)
        self.state.save()

    def _keep(self, folder: Path) -> None:
        """Note a folder that goes when the stack goes."""
        self.state.scratch.append(folder)
        self.state.save()

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._progress(name, None)
        began = time.monotonic()
        yield
        self._progress(name, time.monotonic() - began)

    def _save_function_logs(self) -> None:
        """Write what the functions logged to `functions.log`; local AWS takes it along."""
        with self.log("functions").open("w", encoding="utf-8") as file:
            try:
                for line in function_logs(self.clients):
                    file.write(line + "\n")
            except (BotoCoreError, ClientError) as error:
                # On the way down this is the least of the troubles: say so where one looks.
                file.write(f"the functions' logs could not be read: {error}\n")


def set_calendar(state: StackState, today: date) -> None:
    """Let it be a day, both in Zoho and for our functions; what is due in Zoho happens."""
    if state.zoho is None:
        raise StackError("fake Zoho is not started")
    with (
        FakeZohoControl(state.zoho.url) as zoho,
        state.database.connect(OWNER_ROLE) as connection,
    ):
        set_calendars(connection, zoho, state.zoho.organization_id, today)


def clients_of(state: StackState) -> Clients:
    """Answer the clients of a stack's local AWS."""
    return Clients(state.aws_environment["AWS_ENDPOINT_URL"])


def invoke(
    clients: Clients, state: StackState, output: str, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """Invoke the function that an output of the stack names; answer what it answered."""
    answer = clients.functions.invoke(
        FunctionName=state.outputs[output], Payload=json.dumps(dict(payload)).encode()
    )
    body: dict[str, Any] = json.loads(answer["Payload"].read())
    if answer.get("FunctionError"):
        raise StackError(
            f"{output.removesuffix('FunctionName')} raised {body.get('errorType')}:"
            f" {body.get('errorMessage')}; log: {state.run_directory / 'functions.log'}"
        )
    return body


def function_logs(clients: Clients) -> Iterator[str]:
    """Answer what all functions of a local AWS have logged, function by function."""
    logs = clients.logs
    groups = logs.get_paginator("describe_log_groups")
    events = logs.get_paginator("filter_log_events")
    for page in groups.paginate():
        for group in page["logGroups"]:
            name = group["logGroupName"]
            yield f"=== {name}"
            for found in events.paginate(logGroupName=name):
                for event in found["events"]:
                    yield event["message"].rstrip()


def new_run_directory(kind: str) -> Path:
    """Make a run directory; first end what earlier runs left behind when they were killed."""
    end_abandoned(RUNS)
    directory = RUNS / f"{kind}-{datetime.now().astimezone():%Y%m%d-%H%M%S}-{os.getpid()}"
    directory.mkdir(parents=True)
    return directory
