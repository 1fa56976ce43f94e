"""Customers from the application's table to Zoho: created, linked, updated or left alone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing_sync.bootstrap import Container
from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Priority, RecordKey
from billing_sync.services.attempt import Outcome
from ops.fake_zoho import AnswerLost, FakeZohoConfig, OrganisationConfig, SeedCustomer
from ops.local_stack.postgres import Database
from tests.records import calls, change, closed_as, make_due, put, sql
from tests.world import ORGANISATION, World, world

NEWGATE = "CT-2025-00002"  # a business, with everything
JOHAN = "CT-2025-00004"
NAMESAKE = "CT-2025-00007"  # another Johan de Witt
SEVEN = "CT-2025-00009"  # the demo's customer 7
SHAUN = "CT-2025-00012"
TEN = "CT-2025-00014"  # the demo's customer 10, who has no e-mail
TEST_ACCOUNT = "CT-2025-00001"
EVERYBODY = 15
LONG_AGO = datetime(2024, 2, 1, tzinfo=UTC)


@pytest.fixture
def w(database: Database) -> Iterator[World]:
    with world(database) as made:
        yield made


def by_hand(account_number: str | None = None, made: datetime = LONG_AGO, **profile: Any) -> Any:
    if account_number is not None:
        profile["custom_fields"] = [{"label": "Account Number", "value": account_number}]
    return SeedCustomer(profile=profile, created_time=made)


def edit(w: World, account_number: str, **columns: Any) -> None:
    """Change the row as the application does, its trigger included, and say so by a signal."""
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    statement = f"UPDATE customers SET {changes} WHERE account_number = :account"  # noqa: S608
    w.sql(statement, account=account_number, **columns)
    w.worker.records.signal(w.customer(account_number))


def sync_all(w: World, container: Container | None = None) -> list[Outcome]:
    worker = container or w.worker
    return [
        worker.sync_record(RecordKey(EntityType.CUSTOMER, row.id), priority=Priority.TRIGGER)
        for row in w.sql("SELECT CAST(id AS text) AS id FROM customers ORDER BY customers.id")
    ]


def tables(w: World) -> list[Any]:
    """Give both tables as they are, and which transaction last wrote each row."""
    return [
        *w.sql("SELECT xmin, * FROM billing_sync.records r ORDER BY entity_id"),
        *w.sql("SELECT xmin, * FROM customers ORDER BY id"),
    ]


# ------------------------------------------------------------------- created, updated, left alone


def test_a_new_customer_is_created_with_one_call_and_carries_its_account_number(w: World) -> None:
    w.sync(JOHAN)
    outcome = w.sync(NEWGATE)

    assert (outcome.state, outcome.change) == (State.SYNCED, "created")
    # The first look takes the snapshot; Zoho was empty.
    assert calls(w.zoho) == ["list_customers", "create_customer", "create_customer"]
    [made] = w.in_zoho(NEWGATE)
    assert made["display_name"] == "Newgate Group (CT-2025-00002)"
    assert made["custom_fields"][0]["value"] == NEWGATE
    assert made["email"] == "ashwin@newgate-group.example"
    assert made["billing_address"]["country"] == "South Africa"
    assert w.record(NEWGATE).zoho_id == made["customer_id"]


def test_an_unchanged_customer_costs_no_call_however_often_it_is_signalled(w: World) -> None:
    w.sync(JOHAN)
    before = len(calls(w.zoho))

    for _ in range(3):
        w.worker.records.signal(w.customer(JOHAN))
        outcome = w.sync(JOHAN)
        assert (outcome.state, outcome.change) == (State.SYNCED, "unchanged")

    assert len(calls(w.zoho)) == before


def test_a_changed_phone_leads_to_exactly_one_update(w: World) -> None:
    w.sync(JOHAN)
    before = len(calls(w.zoho))
    edit(w, JOHAN, phone="+27215550000")

    first, second = w.sync(JOHAN), w.sync(JOHAN)

    assert (first.state, first.change) == (State.SYNCED, "updated")
    assert second.not_claimed is not None
    assert calls(w.zoho)[before:] == ["update_customer"]
    assert w.in_zoho(JOHAN)[0]["phone"] == "+27215550000"


def test_what_is_emptied_here_stays_in_zoho(w: World) -> None:
    w.sync(JOHAN)
    edit(w, JOHAN, phone=None)

    assert w.sync(JOHAN).state is State.SYNCED
    assert w.in_zoho(JOHAN)[0]["phone"] != ""


def test_a_changed_status_here_is_a_change_to_send(w: World) -> None:
    w.sync(JOHAN)
    edit(w, JOHAN, account_status="suspended")

    assert w.sync(JOHAN).change == "updated"


def test_all_customers_are_synced_and_the_test_accounts_skipped(w: World) -> None:
    outcomes = sync_all(w)

    assert [outcome.state for outcome in outcomes].count(State.SYNCED) == 13
    assert [outcome.state for outcome in outcomes].count(State.SKIPPED) == 2
    assert w.record(TEST_ACCOUNT).sentence == "test account"
    assert len(w.zoho.control.customers()) == 13
    counters = w.zoho.control.counters()
    assert (counters.tokens_minted, counters.http_429, counters.mails) == (1, {}, 0)


def test_over_a_synced_table_the_selections_claim_and_write_nothing_five_times(w: World) -> None:
    assert len(w.worker.source.changed(EntityType.CUSTOMER, 100)) == EVERYBODY
    sync_all(w)
    before, asked = tables(w), len(calls(w.zoho))

    for _ in range(5):
        # Our own status columns moved every row's updated_at: that is no change.
        assert w.worker.source.changed(EntityType.CUSTOMER, 100) == []
        assert all(outcome.not_claimed is not None for outcome in sync_all(w))

    assert tables(w) == before
    assert len(calls(w.zoho)) == asked


def test_a_change_that_nobody_signalled_is_selected_and_nothing_else(w: World) -> None:
    sync_all(w)
    w.sql("UPDATE customers SET phone = '+27215550000' WHERE account_number = :a", a=JOHAN)

    assert w.worker.source.changed(EntityType.CUSTOMER, 100) == [w.customer(JOHAN)]


def test_a_touch_without_a_change_is_looked_at_once_and_costs_no_call(w: World) -> None:
    sync_all(w)
    asked = len(calls(w.zoho))
    w.sql("UPDATE customers SET phone = phone WHERE account_number = :a", a=JOHAN)

    [found] = w.worker.source.changed(EntityType.CUSTOMER, 100)
    w.worker.records.signal(found)
    w.sync(JOHAN)

    assert w.worker.source.changed(EntityType.CUSTOMER, 100) == []
    assert len(calls(w.zoho)) == asked


def test_another_organisation_id_sends_everything_there_and_nothing_to_the_old_one(
    database: Database,
) -> None:
    live = OrganisationConfig(
        organization_id="60011112222", is_default_org=False, id_prefix="4815163"
    )
    config = FakeZohoConfig(time_scale=100, organisations=[OrganisationConfig(), live])
    with world(database, config) as w:
        sync_all(w)
        old_calls = len(w.zoho.control.log(organization_id=ORGANISATION))
        moved = w.container(ORGANISATION_ID=live.organization_id)
        moved.organisations.learn("Demo Telecoms", "ZAR", "Africa/Johannesburg")

        assert len(moved.source.changed(EntityType.CUSTOMER, 100)) == EVERYBODY
        outcomes = sync_all(w, moved)

        assert [outcome.change for outcome in outcomes].count("created") == 13
        assert len(w.zoho.control.log(organization_id=ORGANISATION)) == old_calls
        held = [customer["organization_id"] for customer in w.zoho.control.customers()]
        assert (held.count(ORGANISATION), held.count(live.organization_id)) == (13, 13)
        assert w.record(JOHAN).zoho_id != w.record(JOHAN, live.organization_id).zoho_id


def test_with_writes_off_nothing_but_reads_leaves_and_the_run_is_told(database: Database) -> None:
    with world(database, ZOHO_WRITES="off") as w:
        with pytest.raises(Misconfigured):
            w.sync(JOHAN)

        assert calls(w.zoho) == ["list_customers"]
        assert w.record(JOHAN).code == "writes_are_off"
        assert closed_as(database, w.customer(JOHAN)) == ["refused"]


# ----------------------------------------------------------------------- who in Zoho is whom (§5)


def test_a_customer_whose_number_stands_in_the_custom_field_alone_is_linked_not_duplicated(
    w: World,
) -> None:
    [hers] = w.zoho.control.seed([by_hand(TEN, display_name="N. Dlamini")])

    outcome = w.sync(TEN)

    assert (outcome.state, outcome.change) == (State.SYNCED, "linked")
    assert w.record(TEN).zoho_id == hers
    assert w.record(TEN).how == "linked"
    [linked] = w.zoho.control.customers()
    assert linked["display_name"] == "Nomvula Dlamini (CT-2025-00014)"
    # Page and detail for the snapshot; then the two calls of a link.
    assert calls(w.zoho) == ["list_customers", "get_customer", "get_customer", "update_customer"]


def test_a_link_to_an_equal_customer_writes_nothing(w: World) -> None:
    edit(w, TEN, phone=None, street=None, city=None, state=None, zip=None, country=None)
    w.zoho.control.seed(
        [
            by_hand(
                TEN,
                display_name="Nomvula Dlamini (CT-2025-00014)",
                first_name="Nomvula",
                last_name="Dlamini",
            )
        ]
    )

    assert w.sync(TEN).change == "linked"
    assert "update_customer" not in calls(w.zoho)


def test_empty_values_of_ours_do_not_overwrite_those_of_a_linked_customer(w: World) -> None:
    w.zoho.control.seed([by_hand(TEN, display_name="N. Dlamini", email="n@dlamini.example")])

    w.sync(TEN)

    assert w.in_zoho(TEN)[0]["email"] == "n@dlamini.example"


def test_an_older_stranger_without_email_is_not_touched(w: World) -> None:
    """She bears the surname of a customer without e-mail, and once was overwritten for it."""
    w.zoho.control.seed(
        [by_hand(display_name="Dlamini Transport", company_name="Dlamini", last_name="Dlamini")]
    )

    assert w.sync(TEN).change == "created"

    stranger = next(one for one in w.zoho.control.customers() if not one["_by_api"])
    assert (stranger["_writes"], stranger["display_name"]) == (0, "Dlamini Transport")
    assert len(w.in_zoho(TEN)) == 1


@pytest.mark.parametrize(
    ("profile", "why"),
    [
        ({"display_name": "Anton G.", "email": "ANTON@newgate-medical.example"}, "e-mail"),
        ({"display_name": "newgate   MEDICAL centre"}, "name"),
        ({"display_name": "A.", "company_name": "Newgate Medical Centre"}, "name"),
    ],
)
def test_someone_plausible_without_account_number_is_for_a_person_to_judge(
    w: World, profile: dict[str, Any], why: str
) -> None:
    [plausible] = w.zoho.control.seed([by_hand(**profile)])

    outcome = w.sync(SEVEN)

    assert (outcome.state, outcome.code) == (State.AMBIGUOUS, "plausible")
    assert w.record(SEVEN).candidates == [plausible]
    assert why in w.record(SEVEN).sentence
    assert "create_customer" not in calls(w.zoho)
    # Nothing personal in a sentence that is stored, shown and logged.
    assert "Grobler" not in w.record(SEVEN).sentence


def test_the_same_phone_in_another_spelling_is_plausible(w: World) -> None:
    w.zoho.control.seed([by_hand(display_name="A.", phone="021 555 0007")])
    edit(w, SEVEN, phone="+27 21 555 0007")

    assert w.sync(SEVEN).code == "plausible"


def test_create_anyway_creates_beside_the_plausible_ones(w: World, database: Database) -> None:
    w.zoho.control.seed([by_hand(display_name="A.", email="anton@newgate-medical.example")])
    w.sync(SEVEN)
    change(database, w.customer(SEVEN), create_anyway_by="finance", attempted_fingerprint=None)
    w.worker.records.signal(w.customer(SEVEN))

    outcome = w.sync(SEVEN)

    assert (outcome.state, outcome.change) == (State.SYNCED, "created")
    assert len(w.in_zoho(SEVEN)) == 1
    assert [one["_writes"] for one in w.zoho.control.customers()] == [0, 1]


def test_the_same_email_with_another_account_number_is_never_meant(w: World) -> None:
    w.zoho.control.seed(
        [by_hand("CT-2025-00099", display_name="A.", email="anton@newgate-medical.example")]
    )

    assert w.sync(SEVEN).change == "created"
    assert next(one for one in w.zoho.control.customers() if not one["_by_api"])["_writes"] == 0


def test_two_in_zoho_with_one_account_number_are_for_a_person_to_judge(
    w: World, database: Database
) -> None:
    both = w.zoho.control.seed(
        [by_hand(SEVEN, display_name="A."), by_hand(display_name=f"Anton ({SEVEN})")]
    )

    outcome = w.sync(SEVEN)

    assert (outcome.state, outcome.code) == (State.AMBIGUOUS, "several")
    assert w.record(SEVEN).candidates == sorted(both)
    # Here «create anyway» would make a third: only a link can help.
    change(database, w.customer(SEVEN), create_anyway_by="finance", attempted_fingerprint=None)
    w.worker.records.signal(w.customer(SEVEN))
    assert w.sync(SEVEN).code == "several"


def test_one_in_zoho_that_another_record_holds_is_for_a_person_to_judge(
    w: World, database: Database
) -> None:
    [held] = w.zoho.control.seed([by_hand(SEVEN, display_name="A.")])
    put(database, w.customer(SHAUN), state="synced", zoho_id=held)
    # What shows a number of ours is a candidate whoever holds it.
    edit(w, SEVEN, phone="+27215550007")
    w.sql("UPDATE billing_sync.records SET zoho_id = NULL, state = 'pending'")
    w.worker.take_snapshot.young_snapshot()
    change(database, w.customer(SHAUN), state="synced", zoho_id=held)

    outcome = w.sync(SEVEN)

    assert (outcome.state, outcome.code) == (State.AMBIGUOUS, "linked_elsewhere")
    assert w.record(SEVEN).candidates == [held]
    assert w.record(SHAUN).zoho_id == held


def test_two_of_ours_with_one_name_are_two_in_zoho(w: World) -> None:
    w.sync(JOHAN)
    w.sync(NAMESAKE)

    assert w.record(JOHAN).zoho_id != w.record(NAMESAKE).zoho_id
    assert len(w.zoho.control.customers()) == 2


# ---------------------------------------------------- where Zoho refuses duplicate display names


def test_a_taken_name_that_is_ours_is_linked(w: World) -> None:
    w.zoho.control.switch(allow_duplicate_display_names=False)
    w.worker.take_snapshot.young_snapshot()
    [ours] = w.zoho.control.seed(
        [
            by_hand(
                JOHAN,
                made=datetime.now(UTC) - timedelta(hours=2),
                display_name=f"Johan de Witt ({JOHAN})",
            )
        ]
    )
    # The row was touched after the customer was made there: how far to look back is not its say.
    edit(w, JOHAN, phone="+27215550004")

    outcome = w.sync(JOHAN)

    assert (outcome.state, outcome.change) == (State.SYNCED, "linked")
    assert w.record(JOHAN).zoho_id == ours
    assert len(w.zoho.control.customers()) == 1


def test_a_taken_name_that_nobody_recognises_is_failed(w: World) -> None:
    w.zoho.control.switch(allow_duplicate_display_names=False, index_lag_seconds=36_000)
    w.worker.take_snapshot.young_snapshot()
    permit = w.worker.quota.take(Priority.TRIGGER)
    payload = {"display_name": f"JOHAN DE WITT ({JOHAN})"}
    w.worker.api.create_customer(payload, permit=permit)

    outcome = w.sync(JOHAN)

    assert (outcome.state, outcome.code) == (State.FAILED, "taken")
    assert len(w.zoho.control.customers()) == 1


def test_once_zoho_refused_a_name_a_lost_create_is_proved_by_sending_it_again(
    w: World, database: Database
) -> None:
    w.zoho.control.switch(allow_duplicate_display_names=False)
    w.worker.take_snapshot.young_snapshot()
    w.zoho.control.seed([by_hand(JOHAN, display_name=f"Johan de Witt ({JOHAN})")])
    w.sync(JOHAN)
    w.zoho.control.arm(AnswerLost(operation="create_customer"))
    assert w.sync(NAMESAKE).state is State.IN_DOUBT
    before = len(calls(w.zoho))
    w.zoho.control.advance_clock(10)
    assert w.sync(NAMESAKE).not_claimed is not None
    make_due(database, w.customer(NAMESAKE))

    assert w.sync(NAMESAKE).state is State.SYNCED

    assert calls(w.zoho)[before:] == ["create_customer", "list_customers", "get_customer"]
    assert closed_as(database, w.customer(NAMESAKE)) == ["found", "refused"]
    assert len(w.in_zoho(NAMESAKE)) == 1


# -------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("columns", "code", "field"),
    [
        (
            {"first_name": "", "last_name": " ", "company_name": None},
            "name_missing",
            "first_name",
        ),
        ({"first_name": "A" * 300}, "zoho_2", "display_name"),
        ({"last_name": "A" * 101}, "zoho_2", "last_name"),
        ({"email": "not an address"}, "zoho_2", "email"),
        ({"phone": "0" * 51}, "zoho_2", "phone"),
        ({"first_name": "A\x07da"}, "zoho_2", "display_name"),
    ],
)
def test_what_zoho_will_not_take_is_failed_with_field_and_reason(
    w: World, columns: dict[str, str | None], code: str, field: str
) -> None:
    edit(w, SHAUN, **columns)

    outcome = w.sync(SHAUN)

    record = w.record(SHAUN)
    assert (outcome.state, record.code, record.field) == (State.FAILED, code, field)
    assert record.sentence
    assert "not an address" not in record.sentence
    assert w.zoho.control.customers() == []
    # The next one goes on.
    assert w.sync(JOHAN).state is State.SYNCED


@pytest.mark.parametrize(
    "columns",
    [
        {"phone": None},
        {"email": None},
        {"first_name": "Zoë 🎉", "last_name": "Ünal"},
        {"first_name": "Ω" * 90},
        {"first_name": "  Shaun  ", "last_name": "\tRíos"},
        {"currency": None},
        {"first_name": "%s {name} ' \\ \""},
    ],
)
def test_odd_but_possible_input_is_sent(w: World, columns: dict[str, str | None]) -> None:
    edit(w, SHAUN, **columns)

    assert w.sync(SHAUN).state is State.SYNCED
    assert len(w.in_zoho(SHAUN)) == 1


def test_emoji_that_zoho_refuses_are_failed_with_their_field(w: World) -> None:
    w.zoho.control.switch(accept_emoji=False)
    edit(w, SHAUN, first_name="Zoë 🎉")

    assert w.sync(SHAUN).state is State.FAILED
    assert w.record(SHAUN).field == "display_name"


@pytest.mark.parametrize("entity_id", ["999999", "not a number", "9" * 40, ""])
def test_an_id_that_is_not_there_or_cannot_be_one_is_not_found(w: World, entity_id: str) -> None:
    record = RecordKey(EntityType.CUSTOMER, entity_id)

    outcomes = []
    for _ in range(4):
        outcomes.append(w.worker.sync_record(record, priority=Priority.TRIGGER))
        make_due(w.database, record)

    assert [(outcome.state, outcome.code) for outcome in outcomes] == [
        *[(State.RETRYING, "not_found_here")] * 3,
        (State.FAILED, "not_found_here"),
    ]
    assert calls(w.zoho) == []


def test_a_customer_deleted_here_and_one_deleted_in_zoho_are_left_to_a_person(
    w: World, database: Database
) -> None:
    w.sync(JOHAN)
    w.sync(SHAUN)
    shaun = w.customer(SHAUN)
    sql(database, "DELETE FROM customers WHERE account_number = %(a)s", a=SHAUN)
    w.worker.records.signal(shaun)
    w.zoho.fake.organisation().customers.delete(w.record(JOHAN).zoho_id)
    edit(w, JOHAN, phone="+27215550000")

    outcome = w.worker.sync_record(shaun, priority=Priority.TRIGGER)

    assert (outcome.state, outcome.code) == (State.FAILED, "deleted_here")
    assert len(w.in_zoho(SHAUN)) == 1
    assert (w.sync(JOHAN).code, w.in_zoho(JOHAN)) == ("gone_in_zoho", [])
