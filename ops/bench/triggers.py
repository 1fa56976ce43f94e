"""Real time: the webhooks' door in one process, and each trigger's handler behind its queue."""

import base64
import importlib.util
import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median, quantiles
from time import perf_counter
from typing import Any, Final

from billing_sync import bootstrap
from billing_sync.adapters.clock import SystemClock
from billing_sync.domain.signatures import SenderKeys, SenderSecrets
from billing_sync.domain.states import State
from billing_sync.domain.triggers import Trigger, WakeUp
from billing_sync.ports.queues import KeyRing, Queues
from billing_sync.services.attempt import Outcome
from billing_sync.services.door import Door
from ops.bench import books
from ops.bench.figures import Table
from ops.bench.samples import Sample, sample
from ops.bench.world import World, filled_database, run_as, world
from ops.cli.triggers import signed_event
from ops.local_stack.postgres import OWNER_ROLE, PostgresServer
from ops.local_stack.processes import project_root

REQUESTS: Final = 2_000
RECORDS: Final = 100
WARM_UP: Final = RECORDS + 1
"""A customer of its own: with its service come connections, token, product and plan."""

type Handler = Callable[[dict[str, Any], "Context"], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Context:
    """What Lambda tells a handler of itself."""

    function_name: str = "bench"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:000000000000:function:bench"
    aws_request_id: str = "00000000-0000-4000-8000-000000000000"


class MemoryQueues(Queues):
    """Counts what was put on each queue."""

    def __init__(self) -> None:
        """Begin with empty queues."""
        self.put: Counter[Trigger] = Counter()

    def wake(self, wake_up: WakeUp, event_hash: str) -> None:  # noqa: ARG002 - of the port
        """Count a message."""
        self.put[wake_up.trigger] += 1


class OneKey(KeyRing):
    """Knows senders by one secret."""

    def __init__(self, secret: str) -> None:
        """Make the key ready."""
        self._keys = SenderKeys.of(SenderSecrets(signing_secrets=(secret,)))

    def keys(self) -> SenderKeys:
        """Give the one."""
        return self._keys


# -------------------------------------------------------------------------------------- the door


def measure_door() -> Table:
    """Knock two thousand times at the function itself, its log line included."""
    table = Table(
        "The webhooks' door, warm",
        f"{REQUESTS:,} signed requests to the function's handler in one process, one after the"
        " other, with a queue in memory: what SQS and API Gateway take comes on top.",
        ("answer", "requests", "p50 ms", "p99 ms"),
    )
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    queues = MemoryQueues()
    bootstrap.container().door = Door(
        queues,
        OneKey(secret),
        SystemClock(),
        tolerance_seconds=300,
        largest_body_bytes=131_072,
    )
    triggers = list(Trigger)
    known = [_event(secret, triggers[n % len(triggers)], str(n)) for n in range(REQUESTS)]
    unknown = [{**event, "body": event["body"].replace("data", "DATA")} for event in known]
    # Its log goes where nobody reads it; writing it is part of what is measured.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        handler = _handler("webhook")
        _knock(handler, known[:100], 202)
        queues.put.clear()
        let_in = _knock(handler, known, 202)
        turned_away = _knock(handler, unknown, 401)
    if queues.put.total() != REQUESTS:
        raise RuntimeError(f"{queues.put.total()} messages of {REQUESTS} were put on the queues")
    table.rows.append(_row("202, signed and queued", let_in))
    table.rows.append(_row("401, a signature that does not fit", turned_away))
    return table


def _event(secret: str, trigger: Trigger, record_id: str) -> dict[str, Any]:
    event = json.loads((project_root() / "events" / "webhook.json").read_text(encoding="utf-8"))
    type_ = trigger.value.replace("-", ".")
    headers, body = signed_event(secret, type_, record_id, datetime.now(UTC))
    return {
        **event,
        "path": f"/webhooks/{trigger}",
        "headers": headers,
        "body": body.decode(),
        "isBase64Encoded": False,
    }


def _handler(function: str) -> Handler:
    spec = importlib.util.spec_from_file_location(
        f"{function}_app", project_root() / "functions" / function / "app.py"
    )
    if spec is None or spec.loader is None:
        raise RuntimeError(f"there is no function {function}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Handler = module.handler
    return handler


def _knock(handler: Handler, events: Sequence[dict[str, Any]], expected: int) -> list[float]:
    times: list[float] = []
    for event in events:
        started = perf_counter()
        answer = handler(event, Context())
        times.append((perf_counter() - started) * 1000)
        if answer["statusCode"] != expected:
            raise RuntimeError(f"answered {answer['statusCode']}: {answer['body']}")
    return times


def _row(name: str, times: Sequence[float]) -> tuple[str, ...]:
    return name, f"{len(times):,}", f"{median(times):.2f}", f"{quantiles(times, n=100)[98]:.2f}"


# ----------------------------------------------------------------------------------- the handlers


def measure_handlers(server: PostgresServer, directory: Path) -> Table:
    """Work off a message for each of a hundred new customers, services, invoices and payments."""
    table = Table(
        "One message of a trigger, worked off",
        f"{RECORDS} messages each, live, one after the other; what is told of is new, its parents"
        " are in Zoho. Counted as in the table of records. p50 and p99 are of our own time.",
        ("trigger", "calls a record", "p50 ms", "p99 ms", "processor ms", "round trips"),
    )
    database = filled_database(
        server,
        "bench_triggers",
        books.customers(WARM_UP),
        books.package(),
        books.services(WARM_UP),
        books.one_off_invoices(RECORDS, customers=RECORDS),
        books.payments(RECORDS),
    )
    with world(database, directory) as bench:
        run_as(
            database,
            OWNER_ROLE,
            "UPDATE billing_sync.organisations SET live_from = timestamptz '2025-01-01'",
        )
        bench.take_snapshot()
        _work_off(bench, Trigger.SERVICE_ACTIVATED, WARM_UP)
        for trigger in Trigger:
            samples = [_work_off(bench, trigger, number) for number in range(1, RECORDS + 1)]
            own = [each.own_seconds * 1000 for each in samples]
            table.rows.append(
                (
                    trigger.value,
                    f"{mean(each.calls for each in samples):g}",
                    f"{median(own):.1f}",
                    f"{quantiles(own, n=100)[98]:.1f}",
                    f"{median(each.processor_seconds for each in samples) * 1000:.1f}",
                    f"{median(each.round_trips for each in samples):g}",
                )
            )
    return table


def _work_off(bench: World, trigger: Trigger, number: int) -> Sample:
    def work() -> Outcome | None:
        return bench.worker.wake_up(WakeUp(trigger=trigger, id=str(number)))

    outcome, measured = sample(bench, work)
    if outcome is None or outcome.state is not State.SYNCED:
        raise RuntimeError(f"{trigger} {number} came out {outcome}")
    return measured
