"""The deployed backfill seen from outside: start it, disturb it, and look at both sides.

One stack serves all tests of this folder: PostgreSQL, fake Zoho over HTTP, and the template on
local AWS. Its functions stay warm from test to test; `Stage.set_anew` says what that means.
"""

import json
import os
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

import boto3
import psutil
from psycopg import sql
from psycopg.rows import dict_row

from ops.demo.load import load
from ops.fake_zoho import FakeZohoConfig, FakeZohoControl, LogEntry, TokenRules
from ops.local_stack.ministack import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY
from ops.local_stack.postgres import APPLICATION_ROLE, SUPERUSER
from ops.local_stack.processes import environment_program, project_root
from ops.local_stack.stack import LocalStack, StackOptions, function_logs

TIME_SCALE: Final = 300
"""An hour of waiting is 12 s here; the shortest Wait state, 15 s, is 50 ms."""

OPTIONS: Final = StackOptions(
    time_scale=TIME_SCALE,
    # A token lives an hour at Zoho, which is 12 s here, and dies when 15 younger ones live. Here
    # they outlive the stack, so that no test sees a renewal that it did not ask for.
    zoho=FakeZohoConfig(
        time_scale=TIME_SCALE, tokens=TokenRules(life_seconds=1_000_000, live_tokens=1000)
    ),
    parameters={
        "ZohoWrites": "on",
        # Real seconds, and part of what a lost answer and a killed worker cost a test.
        "HttpDeadlineSeconds": 2,
        "SendWindowSeconds": 1,
        "ProofDelaySeconds": 60,
        # A test asks for a round of the sweep where it wants one.
        "SweepSchedule": "DISABLED",
    },
)

ACCOUNTS: Final = 13
"""Customers that belong into Zoho; two more rows are test accounts."""

CONFIRMED: Final = (
    "notifications_off",
    "excess_payments_off",
    "prices_inclusive",
    "tax_rounding_per_line",
    "display_names_may_repeat",
)

# What Alembic needs, and what warm functions took their settings from.
_KEPT_TABLES: Final = ("alembic_version", "quota", "token")


@dataclass(frozen=True)
class Ended:
    """An execution that came to its end, as Step Functions tells it."""

    arn: str
    name: str
    status: str
    error: str | None
    cause: str | None
    output: Any
    events: list[dict[str, Any]]

    @property
    def states(self) -> list[str]:
        """Name the states that were entered, in order."""
        return [
            event["stateEnteredEventDetails"]["name"]
            for event in self.events
            if "stateEnteredEventDetails" in event
        ]

    @property
    def history(self) -> str:
        """Give all that the console would show of it."""
        return json.dumps(self.events, default=str)

    def answers(self, state: str) -> list[dict[str, Any]]:
        """Give what a state's task answered, each time."""
        return [
            json.loads(event["stateExitedEventDetails"]["output"])
            for event in self.events
            if event.get("stateExitedEventDetails", {}).get("name") == state
        ]


class Stage:
    """A stack that is up, and everything that a test does to it."""

    def __init__(self, stack: LocalStack, zoho: FakeZohoControl) -> None:
        self.stack = stack
        self.zoho = zoho
        self._clients = stack.clients
        self._outputs = stack.state.outputs

    # ------------------------------------------------------------------------------ between tests

    def set_anew(self) -> None:
        """Go back to the demo's rows, an empty Zoho, and nothing of ours.

        What stays is what a warm function holds in memory, and would meet again in its next
        invocation: the access token, with its row and its secret. What 429s taught goes, with the
        permits and the day's count. See `forget_token` for a beginning without any token.
        """
        if self._stop_executions():
            # Whatever they were doing, they shall not go on doing it to the next test.
            self.let_functions_die()
        self.zoho.reset(keep_tokens=True)
        with self.stack.database.connect(SUPERUSER) as connection, connection.transaction():
            tables = connection.execute(
                "SELECT tablename FROM pg_tables"
                " WHERE schemaname = 'billing_sync' AND tablename <> ALL (%s)",
                [list(_KEPT_TABLES)],
            ).fetchall()
            connection.execute(
                sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(
                    sql.SQL(", ").join(
                        [sql.Identifier("billing_sync", name) for (name,) in tables]
                        + [sql.Identifier("public", "customers")]
                        + [sql.Identifier("public", "service_packages")]
                    )
                )
            )
            connection.execute(
                "UPDATE billing_sync.token SET mint_attempts = '{}', cooldown_until = NULL,"
                " refusal = NULL, lease_id = NULL, lease_until = NULL"
            )
        self.execute("DELETE FROM billing_sync.permits; DELETE FROM billing_sync.quota_hours")
        self.set_quota(
            reduced_limit=None,
            limit_reduced_at=None,
            reduced_in_flight=None,
            in_flight_reduced_at=None,
            in_flight_blocked_until=None,
            block_started_at=None,
            blocked_until=None,
            block_seconds=None,
            learnt_day_cap=None,
            day_cap_learnt_at=None,
            paused_at=None,
            probe_at=None,
            probe_permit_id=None,
            priority_until=None,
            backfill_next_at=None,
        )
        with self.stack.database.connect(APPLICATION_ROLE) as connection:
            load(connection)
        self.operate("confirm", items=list(CONFIRMED))

    def forget_token(self) -> None:
        """Begin as after the first deployment: no token anywhere, and every function cold."""
        self.let_functions_die()
        self.zoho.reset()
        self.execute("TRUNCATE billing_sync.token")
        self.stack.put_secret("ZohoTokenSecretArn", {})

    def let_functions_die(self, *logical_ids: str) -> int:
        """Kill the workers of these functions, or of all; answers how many there were.

        SIGKILL, as by the host's out-of-memory killer; in the middle of an invocation, too.
        """
        workers = list(self._workers({self.function(one) for one in logical_ids}))
        for worker in workers:
            worker.kill()
        for worker in workers:
            wait_for(lambda: _has_ended(worker), "a worker's end")  # noqa: B023 - called at once
        return len(workers)

    def _workers(self, names: Collection[str]) -> Iterator[psutil.Process]:
        [server] = [one for one in self.stack.state.processes if one.name == "ministack"]
        running = server.find()
        assert running is not None, "local AWS has ended"
        for child in running.children(recursive=True):
            try:
                function = child.environ().get("AWS_LAMBDA_FUNCTION_NAME")
            except psutil.Error:
                continue  # it has just ended, or just begun
            if function is not None and (not names or function in names):
                yield child

    def _stop_executions(self) -> bool:
        machines = self._clients.step_functions
        running = machines.list_executions(
            stateMachineArn=self._outputs["BackfillStateMachineArn"], statusFilter="RUNNING"
        )["executions"]
        for execution in running:
            machines.stop_execution(executionArn=execution["executionArn"])
        return bool(running)

    # --------------------------------------------------------------------------------- executions

    def start(self, given: Any = None, /, **asked: Any) -> str:
        """Start an execution with the input `asked` (or any other, `given`); answers its ARN.

        Of customers alone, where nothing else is asked: how a run behaves is the same for all.
        """
        asked = {"phases": ["customers"], **asked}
        return self._clients.step_functions.start_execution(
            stateMachineArn=self._outputs["BackfillStateMachineArn"],
            name=f"test-{uuid.uuid4().hex[:12]}",
            input=json.dumps(asked if given is None else given),
        )["executionArn"]

    def end_of(self, arn: str, *, seconds: float = 60) -> Ended:
        """Wait until the execution has ended."""
        machines = self._clients.step_functions
        described = wait_for(
            lambda: (
                found
                if (found := machines.describe_execution(executionArn=arn))["status"] != "RUNNING"
                else None
            ),
            f"the end of {arn}",
            seconds=seconds,
        )
        pages = machines.get_paginator("get_execution_history").paginate(executionArn=arn)
        output = described.get("output")
        return Ended(
            arn=arn,
            name=described["name"],
            status=described["status"],
            error=described.get("error"),
            cause=described.get("cause"),
            output=json.loads(output) if output else None,
            events=[dict(event) for page in pages for event in page["events"]],
        )

    def run(self, given: Any = None, /, *, seconds: float = 60, **asked: Any) -> Ended:
        """Start an execution and wait for its end."""
        return self.end_of(self.start(given, **asked), seconds=seconds)

    def apply(self, **asked: Any) -> Ended:
        """Run a backfill that writes."""
        return self.run(mode="apply", **asked)

    def histories(self) -> Iterator[str]:
        """Give what the console would show of every execution since the stack is up."""
        machines = self._clients.step_functions
        for page in machines.get_paginator("list_executions").paginate(
            stateMachineArn=self._outputs["BackfillStateMachineArn"]
        ):
            for execution in page["executions"]:
                for events in machines.get_paginator("get_execution_history").paginate(
                    executionArn=execution["executionArn"]
                ):
                    yield json.dumps(events["events"], default=str)

    def stop_execution(self, arn: str) -> None:
        """Stop it as somebody does in the console."""
        self._clients.step_functions.stop_execution(executionArn=arn)

    # ---------------------------------------------------------------------------------- functions

    def operate(self, action: str, **fields: Any) -> dict[str, Any]:
        """Ask the function `operate`."""
        return self.stack.invoke(
            "OperateFunctionName", {"action": action, "by": "thandi", **fields}
        )

    def invoke(self, logical_id: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Invoke a step's function, as the state machine does; answers body and error alike."""
        answer = self._clients.functions.invoke(
            FunctionName=self.function(logical_id), Payload=json.dumps(dict(payload)).encode()
        )
        body: dict[str, Any] = json.loads(answer["Payload"].read())
        return body

    def function(self, logical_id: str) -> str:
        """Give the deployed name of one of the template's functions, such as `SyncBatch`."""
        found = self._clients.cloudformation.describe_stack_resource(
            StackName=self.stack.options.stack_name, LogicalResourceId=f"{logical_id}Function"
        )
        return found["StackResourceDetail"]["PhysicalResourceId"]

    @contextmanager
    def environment(self, logical_id: str, **changes: str) -> Iterator[None]:
        """Let a step's function run with other settings; its workers begin anew each time."""
        functions, name = self._clients.functions, self.function(logical_id)
        before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**before, **changes}}
        )
        functions.get_waiter("function_updated_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 1}
        )
        try:
            yield
        finally:
            functions.update_function_configuration(
                FunctionName=name, Environment={"Variables": before}
            )
            functions.get_waiter("function_updated_v2").wait(
                FunctionName=name, WaiterConfig={"Delay": 1}
            )

    @contextmanager
    def without_permission(self, step: str, statement: str) -> Iterator[None]:
        """Take a statement, named by its Sid, out of the policy of a function's role."""
        iam = self._iam
        arn = self._clients.functions.get_function_configuration(FunctionName=self.function(step))[
            "Role"
        ]
        role = arn.rpartition("/")[2]
        [policy] = iam.list_role_policies(RoleName=role)["PolicyNames"]
        document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        kept = [each for each in document["Statement"] if each["Sid"] != statement]
        assert len(kept) == len(document["Statement"]) - 1, f"{role} has no {statement}"
        iam.put_role_policy(
            RoleName=role,
            PolicyName=policy,
            PolicyDocument=json.dumps({**document, "Statement": kept}),
        )
        try:
            yield
        finally:
            iam.put_role_policy(
                RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document)
            )

    @cached_property
    def _iam(self) -> Any:
        session = boto3.session.Session(
            aws_access_key_id=ROOT_ACCESS_KEY,
            aws_secret_access_key=ROOT_SECRET_KEY,
            region_name=REGION,
        )
        # No stubs of IAM are installed; six lines of tests are not worth them.
        make: Any = session.client
        return make("iam", endpoint_url=self.stack.state.aws_environment["AWS_ENDPOINT_URL"])

    def logged(self) -> str:
        """Give all that all functions have logged since the stack is up."""
        return "\n".join(function_logs(self._clients))

    # -------------------------------------------------------------------------------- the command

    def command(self, *arguments: str, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run `billing-sync` on this stack, as another person's machine would."""
        return subprocess.run(
            [
                environment_program(".venv", "billing-sync"),
                *arguments,
                *("--stack", self.stack.options.stack_name, "--json"),
            ],
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "USER": "thandi",
                **self.stack.state.aws_environment,
            },
            cwd=project_root(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    # ---------------------------------------------------------------------------------- both sides

    def file(self, run: str, name: str) -> str:
        """Read a file of a run from the bucket."""
        found = self._clients.s3.get_object(
            Bucket=self._outputs["RunsBucketName"], Key=f"runs/{run}/{name}"
        )
        return found["Body"].read().decode()

    def report(self, run: Ended) -> dict[str, Any]:
        """Read a run's report."""
        content: dict[str, Any] = json.loads(self.file(run.name, "report.json"))
        return content

    def plan_of(self, run: Ended) -> list[dict[str, Any]]:
        """Read a run's plan, record by record."""
        return [json.loads(line) for line in self.file(run.name, "plan.jsonl").splitlines()]

    def query(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Read as the superuser, who may look into every schema."""
        with self.stack.database.connect(SUPERUSER) as connection:
            cursor = connection.cursor(row_factory=dict_row)
            # A statement is text of this folder, not input.
            return cursor.execute(statement.encode(), values).fetchall()

    def execute(self, statement: str, **values: Any) -> None:
        """Change something as the superuser."""
        with self.stack.database.connect(SUPERUSER) as connection:
            connection.execute(statement.encode(), values)

    def set_quota(self, **columns: Any) -> None:
        """Change columns of the quota's row."""
        changes = ", ".join(f"{name} = %({name})s" for name in columns)
        self.execute(f"UPDATE billing_sync.quota SET {changes}", **columns)  # noqa: S608

    def allow(self, *, calls_per_minute: int) -> None:
        """Lower our own limit, as a 429 would have taught it; the configured one stays.

        (Every preflight writes the configured one anew.) It is as if learnt in an hour's time:
        nothing is given back while a test runs.
        """
        self.set_quota(
            reduced_limit=calls_per_minute,
            limit_reduced_at=datetime.now(UTC) + timedelta(hours=1),
        )

    def record(self, account_number: str) -> dict[str, Any]:
        """Give a customer's sync record."""
        [found] = self.query(
            "SELECT r.* FROM billing_sync.records r JOIN customers c ON c.id::text = r.entity_id"
            " WHERE c.account_number = %(number)s",
            number=account_number,
        )
        return found

    def states(self) -> dict[str, int]:
        """Count the sync records by state."""
        rows = self.query("SELECT state, count(*) AS n FROM billing_sync.records GROUP BY state")
        return {row["state"]: row["n"] for row in rows}

    def attempts_used(self) -> int:
        """Give the most attempts that any record used up."""
        [row] = self.query(
            "SELECT coalesce(max(attempt_number), 0) AS most FROM billing_sync.records"
        )
        return int(row["most"])

    def account_numbers_in_zoho(self) -> Counter[str]:
        """Count Zoho's customers by our account number, as their custom field has it."""
        return Counter(
            field["value"]
            for customer in self.zoho.customers()
            for field in customer["custom_fields"]
            if field["label"] == "Account Number" and field["value"]
        )

    def in_zoho(self, account_number: str) -> list[dict[str, Any]]:
        """Give Zoho's customers that bear an account number in name or custom field."""
        return [
            customer
            for customer in self.zoho.customers()
            if account_number in customer["display_name"]
            or any(field["value"] == account_number for field in customer["custom_fields"])
        ]

    def writes(self) -> list[LogEntry]:
        """Give what reached Zoho and was neither a read nor a token's request."""
        return [entry for entry in self.zoho.log() if entry.is_api_call and entry.method != "GET"]

    def personal_words(self) -> set[str]:
        """Give what must stand nowhere but in the database and in Zoho.

        Of the test accounts only their addresses: their names are ordinary words.
        """
        words: set[str] = set()
        for row in self.query("SELECT * FROM customers"):
            words |= {row["email"], row["phone"], row["street"], row["tax_number"]}
            if row["account_type"] != "internal_test":
                words |= {f"{row['first_name']} {row['last_name']}", row["company_name"]}
                # «Circle Sales» is no person, and both words stand elsewhere.
                words |= {row["first_name"], row["last_name"]} - {"Circle", "Sales"}
        return {word for word in words if word}


def wait_for[T](look: Callable[[], T | None], what: str, *, seconds: float = 30) -> T:
    """Look again and again until there is something to see."""
    give_up_at = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < give_up_at, f"{what} did not come within {seconds} s"
        time.sleep(0.03)


def found_in(text: str, words: Collection[str]) -> list[str]:
    """Give the words that a text holds, as they are, or as JSON escapes them."""
    return [word for word in words if word in text or json.dumps(word)[1:-1] in text]


def _has_ended(process: psutil.Process) -> bool:
    """Say so of a zombie, too: local AWS collects its dead only when it needs the next worker."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def assert_everyone_is_in_zoho_once(stage: Stage) -> None:
    """Thirteen customers, each once, the test accounts not; and all our records say so."""
    counts = stage.account_numbers_in_zoho()
    assert len(counts) == ACCOUNTS
    assert set(counts.values()) == {1}
    assert not counts.keys() & {"CT-2025-00001", "CT-2025-00003"}
    assert stage.states() == {"synced": ACCOUNTS, "skipped": 2}
