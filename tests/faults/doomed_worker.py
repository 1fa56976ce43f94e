"""A worker in a process of its own that is killed, by itself, at a chosen point of a sync."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from multiprocessing.context import ForkServerProcess
from typing import Any

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.records import PostgresRecords
from billing_sync.adapters.zoho.oauth import ZohoCredentials
from billing_sync.bootstrap import Container
from billing_sync.domain.states import State
from billing_sync.ports import (
    AccessToken,
    Claim,
    Intent,
    NotClaimed,
    Permit,
    Priority,
    RecordKey,
    Settlement,
    Write,
)
from ops.fake_zoho import Credential
from tests.world import MemoryTokenStore

FORKS = multiprocessing.get_context("forkserver")
# Importing the product takes a second, a fork some milliseconds.
FORKS.set_forkserver_preload(
    [
        __name__,
        "billing_sync.adapters.zoho.client",
        "billing_sync.services.catalogue",
        "billing_sync.services.customers",
        "billing_sync.services.invoices",
        "billing_sync.services.payments",
        "billing_sync.services.subscriptions",
        "billing_sync.services.sync_record",
        "billing_sync.services.tokens",
    ]
)


class Point(StrEnum):
    """Where a worker may die, in the order of a sync's steps."""

    CLAIMED = "after the claim, before the intent"
    INTENT = "after the intent, before the POST"
    ANSWERED = "after Zoho's commit, before ours"
    STORED = "after the id was stored, before settling"
    SETTLED = "after settling, before the status columns"
    NEVER = "not at all"


def die() -> None:
    """Die as a Lambda does that runs out of memory: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


class DoomedRecords(PostgresRecords):
    """The sync records of a worker that will not live to see the end.

    It survives its point `passes` times: a draft is opened by a second write, a plan's product is
    made by one before its own.
    """

    point: Point
    passes: int = 0

    def claim(self, record: RecordKey, *, serial_key: str | None = None) -> Claim | NotClaimed:
        claim = super().claim(record, serial_key=serial_key)
        self._die_at(Point.CLAIMED)
        return claim

    def open_intent(
        self, claim: Claim, write: Write, priority: Priority, *, run_id: str | None
    ) -> tuple[Intent, Permit]:
        opened = super().open_intent(claim, write, priority, run_id=run_id)
        self._die_at(Point.INTENT)
        return opened

    def store_answer(
        self, claim: Claim, intent: Intent, zoho_id: str, *, run_id: str | None
    ) -> bool:
        self._die_at(Point.ANSWERED)
        stored = super().store_answer(claim, intent, zoho_id, run_id=run_id)
        self._die_at(Point.STORED)
        return stored

    def let_go(
        self, claim: Claim, intent: Intent | None, *, facts: dict[str, Any] | None = None
    ) -> bool:
        self._die_at(Point.ANSWERED)
        gone = super().let_go(claim, intent, facts=facts)
        self._die_at(Point.STORED)
        return gone

    def settle(self, claim: Claim, settlement: Settlement) -> State | None:
        settled = super().settle(claim, settlement)
        self._die_at(Point.SETTLED)
        return settled

    def _die_at(self, point: Point) -> None:
        if self.point is not point:
            return
        if not self.passes:
            die()
        self.passes -= 1


def work(
    environment: dict[str, str],
    database_url: str,
    token: AccessToken | None,
    record: RecordKey,
    point: Point,
    passes: int = 0,
) -> None:
    """Sync one record, or die on the way."""
    container = Container(environment)
    container.engine = make_engine(database_url, connections=2)
    credential = Credential()
    container.credentials = ZohoCredentials(
        credential.client_id, credential.client_secret, credential.refresh_token
    )
    store = container.token_store = MemoryTokenStore()
    store.token = token
    organisation_id = container.common.organisation_id
    records = DoomedRecords(container.engine, organisation_id, container.timing)
    records.point, records.passes = point, passes
    container.records = records
    container.sync_record(record, priority=Priority.TRIGGER)


@contextmanager
def process(*arguments: Any) -> Iterator[ForkServerProcess]:
    """Start such a worker, and leave none behind."""
    worker = FORKS.Process(target=work, args=arguments)
    worker.start()
    try:
        yield worker
    finally:
        worker.kill()
        worker.join()
        worker.close()
