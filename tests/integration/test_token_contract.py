"""What every row and every store of a token does, the real ones and the fakes alike."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.token import PostgresTokenRecord
from billing_sync.adapters.secrets import Secrets, SecretTokenStore
from billing_sync.domain.timing import Timing
from billing_sync.ports import AccessToken, MintLease, TokenRecord, TokenStore
from ops.local_stack.postgres import Database
from tests.fakes.clock import FakeClock
from tests.fakes.tokens import FakeTokenRecord, FakeTokenStore
from tests.worker import let_pass

SECOND = timedelta(seconds=1)


@dataclass
class Case:
    """The row of one credential, and how time passes for it."""

    record: TokenRecord
    let_pass: Callable[[float], None]

    def lease(self, *, above: int = 0) -> MintLease:
        lease = self.record.take_lease(self.record.read(), above=above)
        assert lease is not None
        return lease

    def is_refused(self) -> bool:
        return self.record.take_lease(self.record.read(), above=0) is None


@pytest.fixture(params=["postgres", "fake"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    if request.param == "fake":
        clock = FakeClock()
        yield Case(FakeTokenRecord(clock), clock.advance)
        return
    database: Database = request.getfixturevalue("database")
    engine = make_engine(database.functions_url)
    record = PostgresTokenRecord(engine, "credential", Timing())
    yield Case(record, lambda seconds: let_pass(engine, seconds))
    engine.dispose()


def token_of(lease: MintLease) -> AccessToken:
    return AccessToken(
        value="1000.secret",
        generation=lease.generation,
        api_domain="https://www.zohoapis.test",
        expires_at=lease.taken_at + timedelta(hours=1),
        minted_at=lease.taken_at,
    )


def test_a_credential_that_nobody_used_has_an_empty_row(case: Case) -> None:
    state = case.record.read()

    assert (state.generation, state.expires_at, state.lease_until) == (0, None, None)
    assert (state.cooldown_until, state.attempts_free_at, state.refusal) == (None, None, None)


def test_one_worker_at_a_time_holds_the_lease(case: Case) -> None:
    seen = case.record.read()
    lease = case.record.take_lease(seen, above=0)

    assert lease is not None
    assert case.record.holds(lease)
    assert case.record.take_lease(seen, above=0) is None
    assert case.record.read().lease_until is not None


def test_a_lease_covers_the_whole_call_and_then_is_anybodys(case: Case) -> None:
    dead = case.lease()
    case.let_pass(30)
    still_refused = case.is_refused()
    case.let_pass(6)

    successor = case.lease()

    assert still_refused
    assert successor.generation > dead.generation
    assert not case.record.holds(dead)
    assert case.record.holds(successor)


def test_a_minted_token_shows_in_the_row_and_ends_the_lease(case: Case) -> None:
    lease = case.lease()

    case.record.minted(lease, token_of(lease))

    state = case.record.read()
    assert (state.generation, state.lease_until) == (lease.generation, None)
    assert state.expires_at == lease.taken_at + timedelta(hours=1)


def test_whoever_saw_an_older_row_gets_no_lease(case: Case) -> None:
    seen = case.record.read()
    lease = case.lease()
    case.record.minted(lease, token_of(lease))

    assert case.record.take_lease(seen, above=0) is None


def test_a_worker_that_lost_its_lease_does_not_change_the_row(case: Case) -> None:
    stalled = case.lease()
    case.let_pass(36)
    successor = case.lease()
    case.record.minted(successor, token_of(successor))

    case.record.minted(stalled, token_of(stalled))
    case.record.released(stalled)

    assert case.record.read().generation == successor.generation


def test_generations_rise_above_what_a_secret_may_still_hold(case: Case) -> None:
    assert case.lease(above=41).generation == 42


def test_five_attempts_in_ten_minutes_and_no_more(case: Case) -> None:
    for _ in range(5):
        case.record.released(case.lease())
        case.let_pass(1)
    state = case.record.read()

    assert case.is_refused()
    assert state.attempts_free_at is not None
    assert abs(state.attempts_free_at - state.now - timedelta(seconds=595)) < 2 * SECOND
    case.let_pass(596)
    assert not case.is_refused()


def test_a_refusal_cools_down_for_ten_minutes(case: Case) -> None:
    case.record.refused(case.lease(), "access_denied")
    state = case.record.read()

    assert state.cooldown_until is not None
    assert abs(state.cooldown_until - state.now - timedelta(seconds=600)) < SECOND
    assert (state.refusal, state.lease_until) == ("access_denied", None)
    case.let_pass(599)
    assert case.is_refused()
    case.let_pass(2)
    assert case.record.read().cooldown_until is None
    assert not case.is_refused()


# ------------------------------------------------------------------------------------- the secret


class MemorySecrets:
    """As much of Secrets Manager as the store calls."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    def get_secret_value(self, SecretId: str) -> dict[str, str]:  # noqa: N803, ARG002
        return {"SecretString": self.text}

    def put_secret_value(self, SecretId: str, SecretString: str) -> None:  # noqa: N803, ARG002
        self.text = SecretString


def secret_store(client: MemorySecrets, credential: str = "credential") -> SecretTokenStore:
    return SecretTokenStore(Secrets(cast("Any", client)), "arn", credential)


@pytest.fixture(params=["secret", "fake"])
def store(request: pytest.FixtureRequest) -> TokenStore:
    return FakeTokenStore() if request.param == "fake" else secret_store(MemorySecrets())


TOKEN = AccessToken(
    value="1000.secret",
    generation=3,
    api_domain="https://www.zohoapis.test",
    expires_at=datetime(2026, 3, 1, 13, 0, 0, 123456, tzinfo=UTC),
    minted_at=datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
)


def test_a_store_gives_back_the_last_token_whole(store: TokenStore) -> None:
    before = store.read()
    store.write(TOKEN)
    store.write(replace(TOKEN, generation=4))

    assert before is None
    assert store.read() == replace(TOKEN, generation=4)


@pytest.mark.parametrize("text", ["", "{}", '{"generation": 1}', '{"access_token": null}'])
def test_a_placeholder_is_no_token(text: str) -> None:
    assert secret_store(MemorySecrets(text)).read() is None


def test_another_credentials_token_is_none_of_ours() -> None:
    client = MemorySecrets()
    secret_store(client, "old").write(TOKEN)

    assert secret_store(client, "new").read() is None
    assert json.loads(client.text)["credential"] == "old"


def test_no_token_shows_in_a_repr() -> None:
    assert "1000" not in repr(TOKEN)
