"""A pause while a trigger's record is in hand: what is on its way ends, no more begins."""

from collections.abc import Iterator

import pytest

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.operations import PostgresOperations
from billing_sync.adapters.postgres.organisations import PostgresOrganisations
from billing_sync.domain.errors import OutcomeUnknown
from billing_sync.domain.states import State
from ops.local_stack.postgres import Database
from tests.engine import RECORD, Engine, engine
from tests.fakes.rules import FakeRules
from tests.records import ORGANISATION, closed_as


@pytest.fixture
def rules() -> FakeRules:
    return FakeRules(texts={RECORD.entity_id: "Ada"})


@pytest.fixture
def operations(database: Database) -> Iterator[PostgresOperations]:
    connections = make_engine(database.functions_url)
    PostgresOrganisations(connections, ORGANISATION).learn("Demo", "ZAR", "Africa/Johannesburg")
    yield PostgresOperations(connections, ORGANISATION)
    connections.dispose()


@pytest.fixture
def worker(database: Database, rules: FakeRules) -> Iterator[Engine]:
    with engine(database, rules) as made:
        yield made


def test_a_triggers_write_on_its_way_ends_and_the_next_one_waits_for_resume(
    worker: Engine, rules: FakeRules, operations: PostgresOperations
) -> None:
    rules.is_kept_as = str.upper
    rules.on["create"] = lambda: operations.pause("stop", by="ops")

    outcome = worker.sync()

    assert outcome.wait is not None
    assert (outcome.state, outcome.code) == (State.RETRYING, "writes_paused")
    assert closed_as(worker.database, RECORD) == ["answered"]
    assert worker.row().zoho_id in rules.zoho
    assert (rules.calls["create"], rules.calls["update"]) == (1, 0)

    rules.is_kept_as = str
    assert operations.resume(by="ops") == 1
    assert worker.sync().state is State.SYNCED
    assert (rules.calls["create"], rules.calls["update"]) == (1, 1)


def test_a_trigger_whose_answer_was_lost_is_proved_during_a_pause_for_reads_go_on(
    worker: Engine, rules: FakeRules, operations: PostgresOperations
) -> None:
    rules.loses_answers = True
    rules.fail("create", OutcomeUnknown("no answer"))
    assert worker.sync().state is State.IN_DOUBT
    operations.pause("stop", by="ops")

    assert worker.sync_when_due().state is State.SYNCED


def test_a_proof_by_sending_again_waits_for_resume_and_keeps_its_triggers_write_in_doubt(
    worker: Engine, rules: FakeRules, operations: PostgresOperations
) -> None:
    rules.enforces = True
    rules.fail("create", OutcomeUnknown("no answer"))
    worker.sync()
    operations.pause("stop", by="ops")

    assert worker.sync_when_due().state is State.IN_DOUBT
    assert closed_as(worker.database, RECORD) == [None]
    assert operations.resume(by="ops") == 1
    assert worker.sync().state is State.SYNCED
    assert list(rules.zoho.values()) == ["Ada"]


def test_a_pause_makes_no_trigger_climb_and_keeps_no_permit(
    worker: Engine, rules: FakeRules, operations: PostgresOperations
) -> None:
    operations.pause("stop", by="ops")
    before = worker.quota.view().taken_in_minute

    outcomes = [worker.sync(), *(worker.sync_when_due() for _ in range(6))]

    assert {outcome.state for outcome in outcomes} == {State.RETRYING}
    assert worker.row().attempt_number == 0
    assert worker.quota.view().taken_in_minute == before
    assert rules.calls["create"] == 0
