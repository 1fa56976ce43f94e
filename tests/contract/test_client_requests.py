"""What we send, against Zoho's own description: every request of a whole backfill."""

import json
from collections.abc import Iterator

import httpx
import pytest

from billing_sync.ports import Priority
from ops.fake_zoho import RunningFake
from ops.local_stack.postgres import Database
from tests.contract.zoho_description import ZohoDescription
from tests.world import World

ROOT = "/billing/v1"


@pytest.fixture
def both_sides(database: Database, zoho: RunningFake) -> Iterator[World]:
    made = World(database, zoho)
    yield made
    made.close()


def test_every_request_about_customers_is_as_zoho_describes_it(
    both_sides: World, description: ZohoDescription
) -> None:
    worker = both_sides.worker
    sent: list[httpx.Request] = []
    worker.http.event_hooks = {"request": [sent.append]}
    accounts = both_sides.sql("SELECT account_number FROM customers ORDER BY id")

    for row in accounts:
        both_sides.sync(row.account_number)
    both_sides.sql("UPDATE customers SET phone = '+27215550000' WHERE id = 2")
    changed = both_sides.customer("CT-2025-00002")
    worker.records.signal(changed)
    worker.sync_record(changed, priority=Priority.TRIGGER)
    worker.api.get_customer(both_sides.record("CT-2025-00002").zoho_id)

    asked = [request for request in sent if request.url.path.startswith(ROOT)]
    wrong = {
        (request.method, request.url.path): faults
        for request in asked
        if (
            faults := description.wrong_in_request(
                request.method,
                request.url.path.removeprefix(ROOT),
                dict(request.url.params),
                json.loads(request.content) if request.content else None,
            )
        )
    }
    assert {request.method for request in asked} == {"GET", "POST", "PUT"}
    assert len([request for request in asked if request.method == "POST"]) == 13
    assert wrong == {}
