"""`make demo`: the backfill from end to end, with mishaps and two renewals; then real time.

Ends with 0 only if every condition holds; the run's logs stay in its folder below `build/run`.
"""

import json
import sys
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import OperateEvent
from ops.cli.answers import Status, Story, read_answer
from ops.cli.aws import AwsStack
from ops.cli.session import FINE, INTERRUPTED, RED
from ops.demo import report, scenario
from ops.demo.books import read_books
from ops.demo.command import Command
from ops.demo.display import Display
from ops.demo.mishaps import (
    ANSWER_LOST_OF,
    DRAFT_LOST,
    KILLED_DURING,
    PAYMENT_LOST,
    Mishaps,
)
from ops.demo.months import let_two_months_pass
from ops.demo.old_way import run_old_way
from ops.demo.real_time import RealTime, Senders
from ops.demo.reckoning import Application, read_application
from ops.demo.verdict import Evidence, RunEnd, calls_per_entity, figures, judge
from ops.fake_zoho import FakeZohoControl
from ops.local_stack.interruptions import Interrupted, interruptible
from ops.local_stack.postgres import SUPERUSER
from ops.local_stack.processes import ProcessIdentity, StackError, project_root
from ops.local_stack.stack import LocalStack, new_run_directory

REPORTS: Final = project_root() / "build" / "demo"

_CONFIRMED: Final = (
    "notifications_off",
    "excess_payments_off",
    "prices_inclusive",
    "tax_rounding_per_line",
    "display_names_may_repeat",
)

_INTERRUPTED: Final = "\nInterrupted: the stack is taken down, and nothing is left running."

# Nobody need have a name on a machine where git was never set up.
_AS: Final = ("--by", "demo")


class UnexpectedEnd(Exception):
    """A command ended otherwise than the demo needs it to."""


def main() -> int:
    """Run the demo; answer its exit code."""
    display = Display(Console(highlight=False, markup=False))
    run_directory = None
    try:
        with interruptible():
            run_directory = new_run_directory("demo")
            return _run(display, run_directory)
    except Interrupted as interruption:
        display.say(_INTERRUPTED, style="yellow")
        return interruption.exit_code
    except KeyboardInterrupt:
        # The command takes an interruption for the end of being watched, and swallows it.
        display.say(_INTERRUPTED, style="yellow")
        return INTERRUPTED
    except (StackError, UnexpectedEnd) as error:
        display.say(f"\n{error}", style="red")
    except Exception as error:  # noqa: BLE001 - whatever it was, it is said where to look
        display.say(f"\n{type(error).__name__}: {error}", style="red")
        if run_directory is not None:
            (run_directory / "demo.log").write_text(traceback.format_exc(), encoding="utf-8")
    if run_directory is not None:
        display.say(f"The logs lie in {run_directory}", style="red")
    return RED


def _run(display: Display, run_directory: Path) -> int:
    stack = LocalStack(run_directory, scenario.options(), progress=display.steps)
    try:
        with display.stage("Start PostgreSQL, fake Zoho and local AWS, and deploy"), display.steps:
            stack.start()
        evidence = _Demo(display, stack).play()
    finally:
        stack.stop()
    return _conclude(display, run_directory, evidence)


class _Demo:
    """The acts that play on a stack which is up."""

    def __init__(self, display: Display, stack: LocalStack) -> None:
        state = stack.state
        if state.zoho is None or state.endpoint_url is None:
            raise StackError("the stack is not up")
        self._display = display
        self._stack = stack
        self._aws = AwsStack.on_local_aws(state.stack_name, state.endpoint_url)
        self._command = Command(display, self._aws)
        self._zoho_url = state.zoho.url
        if stack.options.today is None:
            raise StackError("the demo needs a day")
        self._books = read_books(stack.options.today)

    def play(self) -> Evidence:
        """Play all acts; give what they left behind."""
        with FakeZohoControl(self._zoho_url) as zoho:
            before = zoho.state()
            self._show_what_is_there(before.customers)
            self._show_the_old_way()
            with self._display.stage("Preflight, and the plan, which writes nothing"):
                self._expect("preflight", RED, "preflight")
                self._expect("confirm", FINE, "confirm", *_CONFIRMED, *_AS)
                self._expect("the plan", FINE, "backfill")
                plan, after_plan = self._run_end(), zoho.state()
                self._show_plan(plan)
            with self._display.stage("Apply it; Zoho loses answers, and a Lambda is killed"):
                with Mishaps(zoho, self._local_aws, self._function("SyncBatchFunction")) as mishaps:
                    self._expect("the first run", RED, "backfill", "--apply", "--yes")
                happened = mishaps.happened
                self._display.say(
                    f"\nWhat was done to it: Zoho committed {ANSWER_LOST_OF}, the draft of"
                    f" {DRAFT_LOST} and the payment {PAYMENT_LOST}, and dropped the connection"
                    f" ({sum(happened.answers_lost.values())} answers lost); the worker of"
                    f" SyncBatch (process {happened.killed_pid}) was killed after Zoho had"
                    f" committed {KILLED_DURING} and before it answered."
                )
                first, live_at_first = self._run_end(), self._live_from()
                self._display.say(
                    f"Step Functions says: execution {first.status}. {first.cause}",
                    style="red",
                )
            with self._display.stage("Customer 7 is ambiguous: look, link, and run again"):
                self._expect("show", RED, "show", "customer", scenario.LOOKS_ALIKE)
                looks_alike = self._story(EntityType.CUSTOMER, scenario.LOOKS_ALIKE)
                [candidate] = looks_alike.record.candidates
                self._expect(
                    "link", FINE, "link", "customer", scenario.LOOKS_ALIKE, candidate, *_AS
                )
                self._expect("the second run", FINE, "backfill", "--apply", "--yes")
                second, live_from = self._run_end(), self._live_from()
                if live_from is not None:
                    self._display.say(
                        "The first clean run of everything has made the sync live: what is made or"
                        " changed since its start is real time's, and what was there before is not."
                    )
            with self._display.stage("Two months pass, here and in Zoho"):
                passed = let_two_months_pass(self._stack.state, zoho, self._books)
                self._display.say(str(passed))
            with self._display.stage("Run again: link what Zoho raised, and send the rest"):
                self._expect("the third run", FINE, "backfill", "--apply", "--yes")
                third = self._run_end()
            with self._display.stage("Real time: four webhooks, from the door to Zoho"):
                real_time = self._real_time(zoho)
            after = zoho.state()
            return Evidence(
                config=self._stack.options.zoho,
                before=before,
                after_plan=after_plan,
                after=after,
                plan=plan,
                first=first,
                second=second,
                third=third,
                happened=happened,
                looks_alike_at_first=looks_alike,
                stories=self._stories(),
                application=self._application(),
                calls=calls_per_entity(zoho.log(), after),
                live=(live_at_first, live_from),
                real_time=real_time,
            )

    def _show_what_is_there(self, by_hand: Sequence[dict[str, Any]]) -> None:
        with self._stack.database.connect(SUPERUSER) as connection:
            customers, services, invoices, payments, views, revision = connection.execute(
                """SELECT (SELECT count(*) FROM customers),
                       (SELECT count(*) FROM customer_services),
                       (SELECT count(*) FROM customer_invoices),
                       (SELECT count(*) FROM payment_transactions),
                       (SELECT count(*) FROM information_schema.views
                        WHERE table_schema = 'billing_source'),
                       (SELECT version_num FROM billing_sync.alembic_version)"""
            ).fetchone() or (0, 0, 0, 0, 0, "none")
        names = ", ".join(f"«{one['display_name']}»" for one in by_hand)
        self._display.say(
            f"The application has {customers} customers, {services} services, {invoices} invoices"
            f" and {payments} payments, as of {self._books.today:%-d %B %Y}; migrate made {views}"
            f" views in billing_source, and our own tables (revision {revision})."
        )
        self._display.say(f"In Zoho, kept by hand: {names}.")

    def _show_the_old_way(self) -> None:
        with self._display.stage("The old way, on a fake Zoho of its own"):
            for line in run_old_way().lines():
                self._display.say(line)

    def _real_time(self, zoho: FakeZohoControl) -> RealTime:
        def sweep() -> None:
            self._stack.clients.functions.invoke(FunctionName=self._function("SweepFunction"))

        senders = Senders(self._display, self._stack, self._aws, zoho, sweep)
        return senders.play(scenario.last_day(self._books.today))

    def _live_from(self) -> datetime | None:
        return read_answer(Status, self._operate({"action": "status"})).live_from

    def _expect(self, what: str, code: int, *arguments: str) -> None:
        """Run `billing-sync` and require its exit code: red where red is what is to be shown."""
        ended = self._command(*arguments)
        if ended != code:
            raise UnexpectedEnd(f"{what} ended with {ended}, and not with {code}")

    def _run_end(self) -> RunEnd:
        """Read how the newest run ended: its execution's status, and its report in S3."""
        run = read_answer(Status, self._operate({"action": "status"})).run
        if run is None:
            raise UnexpectedEnd("no run is known to the stack")
        keys = self._operate({"action": "report", "run_id": run.run_id})["bucket_keys"]
        machine = self._stack.state.outputs["BackfillStateMachineArn"]
        machines = self._stack.clients.step_functions
        [arn] = [
            one["executionArn"]
            for one in machines.list_executions(stateMachineArn=machine)["executions"]
            if one["name"] == run.run_id
        ]
        ended = self._aws.execution(arn)
        waits: Counter[str] = Counter()
        for page in machines.get_paginator("get_execution_history").paginate(executionArn=arn):
            waits.update(
                event["stateEnteredEventDetails"]["name"]
                for event in page["events"]
                if event["type"] == "WaitStateEntered"
            )
        return RunEnd(
            ended.status,
            json.loads(b"".join(self._aws.read(keys["report.json"]))),
            cause=_sentence(ended.cause),
            waits=dict(waits),
        )

    def _show_plan(self, plan: RunEnd) -> None:
        run_id = plan.report["run_id"]
        lines = b"".join(self._aws.read(f"runs/{run_id}/plan.jsonl")).splitlines()
        self._display.say("")
        self._display.say(report.plan_table(lines))

    def _story(self, entity: EntityType, record: str) -> Story:
        asked = {"action": "show", "entity": entity.value, "id": record}
        return read_answer(Story, self._operate(asked))

    def _stories(self) -> dict[str, Story]:
        """Ask for the stories of all that something happened to."""
        customers = (
            scenario.KEPT_BY_ACCOUNT_NUMBER,
            scenario.LOOKS_ALIKE,
            ANSWER_LOST_OF,
            KILLED_DURING,
        )
        application = self._application()
        invoices = {one["invoice_number"]: str(one["id"]) for one in application.invoices}
        payments = {one["transaction_id"]: str(one["id"]) for one in application.payments}
        return {
            **{number: self._story(EntityType.CUSTOMER, number) for number in customers},
            DRAFT_LOST: self._story(EntityType.INVOICE, invoices[DRAFT_LOST]),
            PAYMENT_LOST: self._story(EntityType.PAYMENT, payments[PAYMENT_LOST]),
        }

    def _application(self) -> Application:
        with self._stack.database.connect(SUPERUSER) as connection:
            return read_application(connection)

    def _operate(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._aws.operate(OperateEvent.model_validate(asked))
        if not answer.get("ok"):
            raise UnexpectedEnd(f"operate refused {asked['action']}: {answer.get('why')}")
        return answer

    def _function(self, logical_id: str) -> str:
        described = self._stack.clients.cloudformation.describe_stack_resource(
            StackName=self._stack.state.stack_name, LogicalResourceId=logical_id
        )
        return described["StackResourceDetail"]["PhysicalResourceId"]

    @property
    def _local_aws(self) -> ProcessIdentity:
        [identity] = [one for one in self._stack.state.processes if one.name == "ministack"]
        return identity


def _sentence(cause: str | None) -> str:
    """Take a function's own sentence out of the JSON in which Lambda wraps what was raised."""
    try:
        wrapped = json.loads(cause or "")
    except ValueError:
        return cause or ""
    return str(wrapped.get("errorMessage", cause)) if isinstance(wrapped, dict) else str(cause)


def _conclude(display: Display, run_directory: Path, evidence: Evidence) -> int:
    """Print and write the report; red if a condition does not hold."""
    told, conditions = figures(evidence), judge(evidence)
    display.say("")
    display.say(report.entities_table(told))
    display.say(report.calls_table(evidence.calls))
    display.say(report.figures_table(told))
    display.say(report.triggers_table(evidence.real_time.arrivals))
    display.say(report.conditions_table(conditions))
    display.say(display.times())
    for directory in (run_directory, REPORTS):
        written = report.write(
            directory, told, conditions, display.stages, evidence.real_time.arrivals
        )
    display.say(f"Written: {', '.join(str(path) for path in written)}")
    broken = [one for one in conditions if not one.holds]
    if not broken:
        display.say("Every condition holds.", style="bold green")
        return FINE
    for one in broken:
        display.say(f"Does not hold: {one.sentence} ({one.seen})", style="bold red")
    display.say(f"The logs lie in {run_directory}", style="red")
    return RED


if __name__ == "__main__":
    sys.exit(main())
