"""A worker that stands still inside a transaction: nobody waits for it longer than its window."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from billing_sync.bootstrap import Container
from ops.local_stack.postgres import SUPERUSER, Database
from tests.records import calls, closed_as, expire_lease, intents, make_due, sql
from tests.world import ORGANISATION, World, world

JOHAN = "CT-2025-00004"
PATIENCE_SECONDS = 20
STANDS_IN_A_TRANSACTION = """
    SELECT 1 FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'idle in transaction'
"""


@pytest.fixture
def w(database: Database) -> Iterator[World]:
    with world(database) as made:
        made.worker.take_snapshot.young_snapshot()
        yield made


def sweep_until_synced(w: World) -> None:
    """Do what the next minutes do."""
    w.go_live()
    w.zoho.control.advance_clock(10)
    for _ in range(4):
        if w.record(JOHAN).state == "syncing":
            expire_lease(w.database, w.customer(JOHAN))
        if w.record(JOHAN).state == "in_doubt":
            make_due(w.database, w.customer(JOHAN))
        w.worker.sweep(lambda: 300.0)


def standing_still_after(
    w: World, statement: str
) -> tuple[Container, threading.Event, threading.Event]:
    """Make a worker that stands still after a statement, until it is told to go on."""
    worker = w.container()
    stands, goes_on = threading.Event(), threading.Event()

    def stand_still(_connection: Any, _cursor: Any, executed: str, *_rest: Any) -> None:
        if statement in executed:
            stands.set()
            goes_on.wait(PATIENCE_SECONDS)

    event.listen(worker.engine, "after_cursor_execute", stand_still)
    return worker, stands, goes_on


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("INSERT INTO billing_sync.records AS r", id="claim"),
        pytest.param("former_zoho_ids = CASE", id="store the answer"),
        pytest.param("claim_id = NULL, lease_until = NULL, claimed_from", id="settle"),
        pytest.param("UPDATE billing_source.customers", id="status columns"),
    ],
)
def test_a_worker_that_stands_still_in_a_transaction_holds_nobody_up(
    w: World, statement: str
) -> None:
    worker, stands, goes_on = standing_still_after(w, statement)
    with ThreadPoolExecutor(1) as pool, w.database.connect(SUPERUSER) as other:
        lost = pool.submit(w.sync, JOHAN, worker)
        try:
            assert stands.wait(PATIENCE_SECONDS)
            # The row of the record, and the application's: neither is held for long.
            other.execute("SET lock_timeout = '8s'")
            other.execute(
                """INSERT INTO billing_sync.records (organisation_id, entity_type, entity_id)
                   VALUES (%s, 'customer', %s)
                   ON CONFLICT (organisation_id, entity_type, entity_id)
                   DO UPDATE SET signals = records.signals + 1""",
                [ORGANISATION, w.customer_id(JOHAN)],
            )
            other.execute(
                "UPDATE customers SET phone = '+27215550099' WHERE account_number = %s", [JOHAN]
            )
            assert not lost.done()
        finally:
            goes_on.set()
        with pytest.raises(DBAPIError):
            lost.result()

    sweep_until_synced(w)
    [customer] = w.in_zoho(JOHAN)
    found = w.record(JOHAN)
    assert (found.state, found.zoho_id) == ("synced", customer["customer_id"])
    assert customer["phone"] == "+27215550099"
    assert None not in closed_as(w.database, w.customer(JOHAN))


def test_a_worker_that_stands_still_while_it_opens_its_intent_leaves_without_a_call(
    w: World,
) -> None:
    worker, stands, goes_on = standing_still_after(w, "INSERT INTO billing_sync.intents")
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(w.sync, JOHAN, worker)
        try:
            assert stands.wait(PATIENCE_SECONDS)
            while sql(w.database, STANDS_IN_A_TRANSACTION):
                assert not lost.done()
        finally:
            goes_on.set()

        assert lost.result().state is None

    assert intents(w.database, w.customer(JOHAN)) == []
    assert "create_customer" not in calls(w.zoho)
    sweep_until_synced(w)
    assert len(w.in_zoho(JOHAN)) == 1
