"""The client against fake Zoho over HTTP, with the real governor and the real row of the token."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing_sync.adapters.zoho.oauth import ZohoCredentials
from billing_sync.domain.errors import (
    GoneInZoho,
    Misconfigured,
    OutcomeUnknown,
    Rejected,
    Throttled,
    TokenRefused,
    Unauthorised,
    Unavailable,
)
from billing_sync.domain.timing import Timing
from billing_sync.ports import Permit, Priority
from ops.fake_zoho import (
    AnswerDelayed,
    AnswerLost,
    BadGateway,
    Credential,
    DeadToken,
    FakeZohoConfig,
    RunningFake,
    SeedCustomer,
    TruncatedJson,
    WithoutId,
    running_fake_zoho,
)
from ops.fake_zoho import Throttled as ThrottledFault
from ops.local_stack.postgres import Database
from tests.fakes.tokens import FakeTokenStore
from tests.worker import Worker

READER = Credential(
    client_id="1000.READER",
    client_secret="reader-secret",
    refresh_token="1000.reader.refresh",
    scopes=["ZohoSubscriptions.customers.READ"],
)

type Hire = Callable[..., Worker]


@pytest.fixture(scope="module")
def running() -> Iterator[RunningFake]:
    with running_fake_zoho(FakeZohoConfig(credentials=[Credential(), READER])) as zoho:
        yield zoho


@pytest.fixture
def zoho(running: RunningFake) -> RunningFake:
    running.control.reset()
    running.control.switch(index_lag_seconds=0)
    return running


@pytest.fixture
def hire(database: Database, zoho: RunningFake) -> Iterator[Hire]:
    """Make a worker; they share the token's secret."""
    store = FakeTokenStore()
    workers: list[Worker] = []

    def make(timing: Timing | None = None, **kwargs: object) -> Worker:
        worker = Worker(database, zoho, store, timing or Timing(), **kwargs)  # type: ignore[arg-type]
        worker.quota.configure(limit=1000, day_cap=10_000, in_flight_limit=50)
        workers.append(worker)
        return worker

    yield make
    for worker in workers:
        worker.close()


def permit(worker: Worker) -> Permit:
    return worker.quota.take(Priority.TRIGGER)


ANN = {
    "display_name": "Ann Example (CT-1)",
    "email": "ann@example.test",
    "billing_address": {"city": "Cape Town"},
    "custom_fields": [{"label": "Account Number", "value": "CT-1"}],
}


def test_a_customer_is_created_read_updated_and_found(hire: Hire) -> None:
    worker = hire(priority=Priority.TRIGGER)
    made = worker.billing.create_customer(ANN, permit=permit(worker))

    changed = worker.billing.update_customer(
        made.zoho_id, {**ANN, "email": "new@example.test"}, permit=permit(worker)
    )

    read = worker.billing.get_customer(made.zoho_id)
    found = worker.billing.list_customers(1, filters={"email": "new@example.test"})
    assert made.account_number == "CT-1"
    assert made.billing_address.city == "Cape Town"
    assert (changed.zoho_id, changed.email) == (made.zoho_id, "new@example.test")
    assert read == changed
    assert [row.zoho_id for row in found.rows] == [made.zoho_id]
    assert found.rows[0].account_number is None  # rows of lists show no custom fields
    assert not found.has_more


def test_pages_are_walked_oldest_first_or_newest_first(hire: Hire, zoho: RunningFake) -> None:
    worker = hire(priority=Priority.TRIGGER)
    ids = zoho.control.seed(
        [
            SeedCustomer(
                profile={"display_name": f"Customer {number}"},
                created_time=datetime(2025, 1, 1, 0, number % 60, number // 60, tzinfo=UTC),
                outstanding=Decimal("10.10"),
            )
            for number in range(201)
        ]
    )

    first, second = worker.billing.list_customers(1), worker.billing.list_customers(2)
    newest = worker.billing.list_customers(1, sort_created_descending=True)

    assert (len(first.rows), first.has_more) == (200, True)
    assert (len(second.rows), second.has_more) == (1, False)
    assert {row.zoho_id for row in (*first.rows, *second.rows)} == set(ids)
    assert newest.rows[0].zoho_id == second.rows[0].zoho_id
    assert first.rows[0].outstanding == Decimal("10.10")


def test_organisation_and_taxes_are_read(hire: Hire) -> None:
    worker = hire(priority=Priority.TRIGGER)

    (organisation,) = worker.billing.organisations()
    taxes = worker.billing.taxes()

    assert (organisation.currency_code, organisation.time_zone) == ("ZAR", "Africa/Johannesburg")
    assert {tax.percentage for tax in taxes} == {Decimal(15), Decimal(0)}


def test_an_id_that_zoho_does_not_know_is_gone(hire: Hire) -> None:
    worker = hire()

    with pytest.raises(GoneInZoho):
        worker.billing.get_customer("4815162000000999999")


def test_a_refusal_names_the_field(hire: Hire) -> None:
    worker = hire()

    with pytest.raises(Rejected) as caught:
        worker.billing.create_customer({**ANN, "display_name": "x" * 300}, permit=permit(worker))

    assert caught.value.field == "display_name"
    assert caught.value.http_status == 400


def test_a_custom_field_that_does_not_exist_stops_the_run(hire: Hire) -> None:
    worker = hire()
    wrong = {**ANN, "custom_fields": [{"label": "No Such Field", "value": "CT-1"}]}

    with pytest.raises(Misconfigured) as caught:
        worker.billing.create_customer(wrong, permit=permit(worker))

    assert caught.value.code == "unknown_custom_field"


@pytest.mark.parametrize(
    "fault",
    [
        AnswerLost(),
        AnswerDelayed(delay_seconds=1),
        BadGateway(commits=True),
        TruncatedJson(),
        WithoutId(),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_create_whose_answer_is_lost_is_in_doubt_and_happened_once(
    hire: Hire,
    zoho: RunningFake,
    fault: AnswerLost | AnswerDelayed | BadGateway | TruncatedJson | WithoutId,
) -> None:
    worker = hire(Timing(http_deadline_seconds=0.3))
    worker.billing.make_ready()
    zoho.control.arm(fault.model_copy(update={"operation": "create_customer"}))

    with pytest.raises(OutcomeUnknown):
        worker.billing.create_customer(ANN, permit=permit(worker))

    assert len(zoho.control.customers()) == 1
    assert worker.quota.view().in_flight == 0


def test_a_read_that_is_answered_late_may_be_read_again(hire: Hire, zoho: RunningFake) -> None:
    worker = hire(Timing(http_deadline_seconds=0.3), priority=Priority.TRIGGER)
    worker.billing.make_ready()
    zoho.control.arm(AnswerDelayed(operation="list_taxes", delay_seconds=1))

    with pytest.raises(Unavailable):
        worker.billing.taxes()

    assert len(worker.billing.taxes()) == 3


def test_a_token_that_dies_is_replaced_and_the_read_replayed(hire: Hire, zoho: RunningFake) -> None:
    worker = hire(priority=Priority.TRIGGER)
    worker.billing.taxes()
    zoho.control.arm(DeadToken(operation="list_taxes"))

    taxes = worker.billing.taxes()

    assert len(taxes) == 3
    assert [entry.status for entry in zoho.control.log(operation="list_taxes")] == [200, 401, 200]
    assert len(zoho.control.log(operation="mint_token")) == 2
    assert worker.quota.view().taken_in_minute == 3


def test_a_write_with_a_dead_token_did_not_happen_and_the_next_one_works(
    hire: Hire, zoho: RunningFake
) -> None:
    worker = hire()
    worker.billing.make_ready()
    zoho.control.revoke_access_tokens()

    with pytest.raises(Unauthorised):
        worker.billing.create_customer(ANN, permit=permit(worker))
    none_yet = zoho.control.customers()
    worker.billing.create_customer(ANN, permit=permit(worker))

    assert none_yet == []
    assert len(zoho.control.customers()) == 1


def test_a_missing_scope_stops_the_run_and_mints_one_token_for_nothing(
    hire: Hire, zoho: RunningFake
) -> None:
    worker = hire(
        credentials=ZohoCredentials(READER.client_id, READER.client_secret, READER.refresh_token),
        priority=Priority.TRIGGER,
    )
    worker.billing.list_customers(1)

    with pytest.raises(Misconfigured) as caught:
        worker.billing.taxes()

    assert caught.value.code == "missing_scope"
    assert "settings" in caught.value.sentence
    assert len(zoho.control.log(operation="mint_token")) == 2


def test_a_scope_to_read_that_is_there_does_not_hide_one_to_write_that_is_not(
    hire: Hire, zoho: RunningFake
) -> None:
    worker = hire(
        credentials=ZohoCredentials(READER.client_id, READER.client_secret, READER.refresh_token),
        priority=Priority.TRIGGER,
    )
    with pytest.raises(Unauthorised):
        worker.billing.create_customer(ANN, permit=permit(worker))
    worker.billing.list_customers(1)

    with pytest.raises(Misconfigured) as caught:
        worker.billing.create_customer(ANN, permit=permit(worker))

    assert caught.value.code == "missing_scope"
    assert "customers.CREATE" in caught.value.sentence
    assert len(zoho.control.log(operation="mint_token")) == 2


@pytest.mark.parametrize("part", ["client_id", "client_secret", "refresh_token"])
def test_wrong_credentials_are_named_and_asked_once(
    hire: Hire, zoho: RunningFake, part: str
) -> None:
    right = {
        "client_id": Credential().client_id,
        "client_secret": Credential().client_secret,
        "refresh_token": Credential().refresh_token,
    }
    worker = hire(credentials=ZohoCredentials(**{**right, part: "1000.wrong"}))

    codes = []
    for _ in range(3):
        with pytest.raises(Misconfigured) as caught:
            worker.billing.make_ready()
        codes.append(caught.value.code)

    assert codes == [codes[0]] * 3
    assert codes[0] in {"invalid_client", "invalid_client_secret", "invalid_code"}
    assert len(zoho.control.log(operation="mint_token")) == 1


def test_an_oauth_server_that_answers_html_is_no_refusal(hire: Hire, zoho: RunningFake) -> None:
    worker = hire()
    zoho.control.arm(BadGateway(operation="mint_token"))

    with pytest.raises(TokenRefused) as caught:
        worker.billing.make_ready()
    worker.billing.make_ready()

    assert caught.value.reason == "token_unavailable"
    assert len(zoho.control.log(operation="mint_token")) == 2


def test_secrets_are_sent_as_a_form_and_never_logged(
    hire: Hire, zoho: RunningFake, caplog: pytest.LogCaptureFixture
) -> None:
    worker = hire(priority=Priority.TRIGGER)

    with caplog.at_level(logging.DEBUG):
        made = worker.billing.create_customer(ANN, permit=permit(worker))
        worker.billing.list_customers(1, filters={"email": "ann@example.test"})

    lines = "".join(str(vars(record)) for record in caplog.records)
    assert zoho.control.log(operation="mint_token")[0].query_keys == []
    for secret in ("fake-client-secret", "1000.fake", "Ann", "ann@", "Cape Town", made.zoho_id):
        assert secret not in lines


def test_a_429_is_not_replayed_and_blocks_the_next_call_before_it_leaves(
    hire: Hire, zoho: RunningFake
) -> None:
    worker = hire(priority=Priority.TRIGGER)
    zoho.control.arm(ThrottledFault(operation="list_taxes", code=44))

    with pytest.raises(Throttled) as first:
        worker.billing.taxes()
    with pytest.raises(Throttled) as second:
        worker.billing.taxes()

    assert first.value.wait_seconds == pytest.approx(60, abs=1)
    assert (first.value.zoho_code, second.value.zoho_code) == (44, None)
    assert len(zoho.control.log(operation="list_taxes")) == 1
