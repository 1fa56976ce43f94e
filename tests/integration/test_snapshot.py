"""What Zoho holds, in our tables: page by page, resumable, complete or not used."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from billing_sync.domain.errors import NotNow, Unavailable
from billing_sync.domain.states import EntityType
from ops.fake_zoho import BadGateway, SeedCustomer, Throttled
from ops.local_stack.postgres import SUPERUSER, Database
from tests.records import calls, put, sql
from tests.world import World, world

CUSTOMER = EntityType.CUSTOMER
JOHAN = "CT-2025-00004"
EARLIER = datetime(2024, 2, 1, tzinfo=UTC)
WAITING_FOR_A_LOCK = """
    SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture
def w(database: Database) -> Iterator[World]:
    with world(database) as made:
        yield made


def seed(w: World, *profiles: dict[str, Any]) -> list[str]:
    return w.zoho.control.seed(
        [SeedCustomer(profile=profile, created_time=EARLIER) for profile in profiles]
    )


def numbered(account_number: str) -> list[dict[str, str]]:
    return [{"label": "Account Number", "value": account_number}]


def fill_pages(w: World, count: int) -> None:
    """Seed customers that records of ours hold, so that no detail of theirs is needed."""
    names = [{"display_name": f"Customer {number}"} for number in range(count)]
    sql(
        w.database,
        """INSERT INTO billing_sync.records
               (organisation_id, entity_type, entity_id, state, zoho_id)
           SELECT %(organisation)s, 'customer', 'holds ' || zoho_id, 'synced', zoho_id
           FROM unnest(CAST(%(zoho_ids)s AS text[])) AS zoho_id""",
        organisation=w.worker.common.organisation_id,
        zoho_ids=seed(w, *names),
    )


def candidates(w: World, snapshot_id: int, **wanted: list[str]) -> list[str]:
    nobody: dict[str, list[str]] = {"accounts": [], "emails": [], "phones": [], "names": []}
    found = w.worker.snapshots.candidates(snapshot_id, **(nobody | wanted))
    return [candidate.zoho_id for candidate in found]


def test_an_empty_zoho_costs_one_call_and_holds_nobody(w: World) -> None:
    snapshot_id = w.worker.take_snapshot.young_snapshot()

    assert w.worker.snapshots.count(snapshot_id) == 0
    assert calls(w.zoho) == ["list_customers"]
    # It is young: nobody walks again.
    assert w.worker.take_snapshot.young_snapshot() == snapshot_id
    assert calls(w.zoho) == ["list_customers"]


def test_every_page_is_read_to_the_end(w: World) -> None:
    fill_pages(w, 405)

    snapshot_id = w.worker.take_snapshot.young_snapshot()

    assert w.worker.snapshots.count(snapshot_id) == 405
    assert calls(w.zoho) == ["list_customers"] * 3


def test_a_walk_that_had_to_stop_goes_on_where_it_was_in_another_worker(w: World) -> None:
    fill_pages(w, 205)
    pages = itertools.count()
    first, second = w.worker.take_snapshot, w.container().take_snapshot

    assert not first.advance(lambda: next(pages) == 0)
    # An unfinished one never answers «none».
    assert w.worker.snapshots.latest(CUSTOMER, complete=True) is None
    assert second.advance(lambda: True)

    assert calls(w.zoho) == ["list_customers"] * 2
    complete = w.worker.snapshots.latest(CUSTOMER, complete=True)
    assert complete is not None
    assert w.worker.snapshots.count(complete.snapshot_id) == 205


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        (Throttled(operation="list_customers", skip=1), NotNow),
        (BadGateway(operation="list_customers", skip=1), Unavailable),
    ],
)
def test_a_page_that_could_not_be_read_ends_the_walk_and_not_the_list(
    w: World, fault: Throttled | BadGateway, failure: type[Exception]
) -> None:
    fill_pages(w, 205)
    w.zoho.control.arm(fault)

    with pytest.raises(failure):
        w.worker.take_snapshot.young_snapshot()

    assert w.worker.snapshots.latest(CUSTOMER, complete=True) is None
    stopped = w.worker.snapshots.latest(CUSTOMER, complete=False)
    assert stopped is not None
    assert (stopped.next_page, stopped.pages_complete) == (2, False)


def test_a_page_stored_twice_is_the_same_page(w: World) -> None:
    seed(w, {"display_name": "Anna"}, {"display_name": "Ben"})
    first = w.worker.take_snapshot
    first.advance(lambda: True)
    walk = w.worker.snapshots.begin(CUSTOMER, instead_of=None)
    rows = first._rows(w.worker.api.list_customers(1).rows)

    for _ in range(2):
        w.worker.snapshots.store_page(CUSTOMER, walk.snapshot_id, 1, rows, is_last=True)

    assert w.worker.snapshots.count(walk.snapshot_id) == 2
    again = w.worker.snapshots.latest(CUSTOMER, complete=False)
    assert again is not None
    assert again.next_page == 2


def test_a_snapshot_that_is_too_old_is_not_asked_any_more(w: World) -> None:
    old = w.worker.take_snapshot.young_snapshot()
    sql(w.database, "UPDATE billing_sync.snapshots SET started_at = now() - interval '25 hours'")

    new = w.worker.take_snapshot.young_snapshot()

    assert new > old
    assert calls(w.zoho) == ["list_customers"] * 2


def test_a_walk_that_was_begun_too_long_ago_is_begun_anew(w: World) -> None:
    fill_pages(w, 205)
    pages = itertools.count()
    w.worker.take_snapshot.advance(lambda: next(pages) == 0)
    sql(w.database, "UPDATE billing_sync.snapshots SET started_at = now() - interval '25 hours'")

    w.worker.take_snapshot.young_snapshot()

    assert calls(w.zoho) == ["list_customers"] * 3


def test_a_number_in_the_custom_field_is_found_by_one_detail_each(w: World) -> None:
    hers, stranger, shown = seed(
        w,
        {"display_name": "N. Dlamini", "custom_fields": numbered("CT-2025-00014")},
        {"display_name": "Somebody"},
        {"display_name": f"Johan de Witt ({JOHAN})"},
    )

    snapshot_id = w.worker.take_snapshot.young_snapshot()

    # Not for him whose name shows a number of ours.
    assert calls(w.zoho) == ["list_customers", "get_customer", "get_customer"]
    assert candidates(w, snapshot_id, accounts=["CT-2025-00014"]) == [hers]
    assert candidates(w, snapshot_id, accounts=[JOHAN]) == [shown]
    assert candidates(w, snapshot_id, names=["somebody"]) == [stranger]


def test_a_word_in_brackets_that_is_no_number_of_ours_is_not_believed(w: World) -> None:
    [smith] = seed(w, {"display_name": "Smith (Durban)"})

    snapshot_id = w.worker.take_snapshot.young_snapshot()

    assert calls(w.zoho) == ["list_customers", "get_customer"]
    assert candidates(w, snapshot_id, accounts=["Durban"]) == []
    [found] = w.worker.snapshots.candidates(
        snapshot_id, accounts=[], emails=[], phones=[], names=["smith (durban)"]
    )
    assert (found.zoho_id, found.account_number) == (smith, None)


def test_whom_a_record_of_ours_holds_needs_no_detail_and_is_shown_as_held(w: World) -> None:
    [held] = seed(w, {"display_name": "Somebody", "email": "some@body.example"})
    put(w.database, w.customer(JOHAN), state="synced", zoho_id=held)

    snapshot_id = w.worker.take_snapshot.young_snapshot()

    assert calls(w.zoho) == ["list_customers"]
    [found] = w.worker.snapshots.candidates(
        snapshot_id, accounts=[], emails=["some@body.example"], phones=[], names=[]
    )
    assert found.held_by == w.customer(JOHAN).entity_id


def test_a_customer_deleted_during_the_walk_is_forgotten(w: World) -> None:
    _, gone = seed(w, {"display_name": "Anna"}, {"display_name": "Ben"})
    asked = itertools.count()

    def delete_after_the_page() -> bool:
        if next(asked) == 1:
            w.zoho.fake.organisation().customers.delete(gone)
        return True

    assert w.worker.take_snapshot.advance(delete_after_the_page)
    complete = w.worker.snapshots.latest(CUSTOMER, complete=True)
    assert complete is not None
    assert w.worker.snapshots.count(complete.snapshot_id) == 1


def test_empty_values_find_nobody(w: World) -> None:
    seed(w, {"display_name": "Anna"}, {"display_name": "Ben", "email": "", "phone": ""})
    snapshot_id = w.worker.take_snapshot.young_snapshot()

    nothing = [""]
    assert (
        candidates(w, snapshot_id, accounts=nothing, emails=nothing, phones=nothing, names=nothing)
        == []
    )


def test_candidates_are_found_by_each_of_their_signs(w: World) -> None:
    [anna] = seed(
        w,
        {
            "display_name": "Anna M.",
            "first_name": "Anna",
            "last_name": "Müller",
            "company_name": "Muller  Transport",
            "email": "Anna@Muller.example",
            "phone": "021 555 0100",
        },
    )
    snapshot_id = w.worker.take_snapshot.young_snapshot()

    for wanted in (
        {"emails": ["anna@muller.example"]},
        {"phones": ["215550100"]},
        {"names": ["anna m."]},
        {"names": ["anna müller"]},
        {"names": ["muller transport"]},
    ):
        assert candidates(w, snapshot_id, **wanted) == [anna]


def test_the_last_complete_snapshot_is_kept_while_the_next_is_taken(w: World) -> None:
    kept: list[int] = []
    for _ in range(3):
        w.worker.take_snapshot.begin()
        w.worker.take_snapshot.advance(lambda: True)
        complete = w.worker.snapshots.latest(CUSTOMER, complete=True)
        assert complete is not None
        kept.append(complete.snapshot_id)

    w.worker.take_snapshot.begin()

    assert [row.snapshot_id for row in sql(w.database, "SELECT snapshot_id FROM"
        " billing_sync.snapshots WHERE completed_at IS NOT NULL")] == kept[-1:]  # fmt: skip


def test_ten_workers_that_begin_at_once_begin_one_walk(w: World) -> None:
    workers = [w.container() for _ in range(10)]
    start = threading.Barrier(10)

    def begin(number: int) -> int:
        start.wait()
        walk = workers[number].snapshots.begin(CUSTOMER, instead_of=None)
        return walk.snapshot_id

    with ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(begin, range(10)))) == 1


def test_a_walk_that_is_forgotten_while_a_page_is_stored_neither_deadlocks_nor_keeps_it(
    w: World,
) -> None:
    seed(w, {"display_name": "Anna"}, {"display_name": "Ben"})
    walk = w.worker.take_snapshot.begin()
    assert not w.worker.take_snapshot.advance(iter([True, False]).__next__)
    rows = w.worker.take_snapshot._rows(w.worker.api.list_customers(1).rows)

    with w.database.connect(SUPERUSER) as other, ThreadPoolExecutor(1) as pool:
        with other.transaction():
            other.execute("DELETE FROM billing_sync.snapshots")
            stored = pool.submit(
                w.worker.snapshots.store_page, CUSTOMER, walk.snapshot_id, 1, rows, is_last=True
            )
            while not sql(w.database, WAITING_FOR_A_LOCK):
                assert not stored.done()
            other.execute("DELETE FROM billing_sync.snapshot_customers")
        stored.result()

    w.worker.snapshots.store_detail(walk.snapshot_id, rows[0])
    assert w.worker.snapshots.count(walk.snapshot_id) == 0


def test_another_organisations_snapshot_is_not_ours(w: World) -> None:
    w.worker.take_snapshot.young_snapshot()
    other = w.container(ORGANISATION_ID="60011112222")

    assert other.snapshots.latest(CUSTOMER, complete=True) is None
    assert other.take_snapshot.if_young() is None
