"""Ten tokens in ten minutes: what stopped the system before this one at its eleventh record."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from typing import Literal

import httpx
import pytest

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.domain.errors import NotNow, TokenRefused
from billing_sync.domain.timing import Timing
from billing_sync.ports import Priority
from ops.fake_zoho import (
    AnswerLost,
    Credential,
    FakeZohoConfig,
    RunningFake,
    running_fake_zoho,
)
from ops.local_stack.postgres import Database
from tests.fakes.tokens import FakeTokenStore
from tests.worker import Worker, let_pass


@pytest.fixture
def zoho() -> Iterator[RunningFake]:
    with running_fake_zoho(FakeZohoConfig()) as running:
        yield running


@pytest.fixture
def store() -> FakeTokenStore:
    return FakeTokenStore()


@pytest.fixture
def workers(database: Database, zoho: RunningFake, store: FakeTokenStore) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        made = [
            stack.enter_context(
                closing(Worker(database, zoho, store, Timing(), priority=Priority.TRIGGER))
            )
            for _ in range(20)
        ]
        made[0].quota.configure(limit=90, day_cap=1000, in_flight_limit=20)
        yield made


@pytest.fixture
def passes(database: Database, zoho: RunningFake) -> Iterator[Callable[[float], None]]:
    """Let time pass for Zoho and for us."""
    engine = make_engine(database.functions_url)

    def let_time_pass(seconds: float) -> None:
        zoho.control.advance_clock(seconds)
        let_pass(engine, seconds)

    yield let_time_pass
    engine.dispose()


def use_up_the_tokens(zoho: RunningFake) -> None:
    """Mint ten, as another application with the same refresh token would."""
    own = Credential()
    for _ in range(10):
        httpx.post(
            f"{zoho.accounts_url}/oauth/v2/token",
            data={
                "grant_type": "refresh_token",
                "client_id": own.client_id,
                "client_secret": own.client_secret,
                "refresh_token": own.refresh_token,
            },
        )


def asked(zoho: RunningFake) -> int:
    return len(zoho.control.log(operation="mint_token"))


def all_read(workers: list[Worker]) -> list[object]:
    outcomes: list[object] = []

    def read(worker: Worker) -> None:
        try:
            outcomes.append(worker.billing.organisations())
        except NotNow as refusal:
            outcomes.append(refusal)

    threads = [threading.Thread(target=read, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.parametrize("status", [200, 400])
def test_the_eleventh_token_refused_starts_a_cool_down_and_nobody_probes(
    workers: list[Worker],
    zoho: RunningFake,
    passes: Callable[[float], None],
    status: Literal[200, 400],
) -> None:
    zoho.control.switch(throttled_token_status=status)
    use_up_the_tokens(zoho)

    first = all_read(workers)
    meanwhile = []
    for _ in range(3):
        passes(190)
        meanwhile += all_read(workers)
    asked_meanwhile = asked(zoho)
    passes(31)
    afterwards = all_read(workers)

    # Deferred, not failed: TokenRefused is of the class that uses up no attempt, and says when.
    assert {type(outcome) for outcome in (*first, *meanwhile)} == {TokenRefused}
    cooling = [r for r in meanwhile if isinstance(r, TokenRefused)]
    assert {refusal.reason for refusal in cooling} == {"token_cool_down"}
    assert all(refusal.resume_at is not None for refusal in cooling)
    assert asked_meanwhile == 11
    assert not any(isinstance(outcome, NotNow) for outcome in afterwards)
    assert asked(zoho) == 12


def test_20_workers_that_start_together_mint_one_token(
    workers: list[Worker], zoho: RunningFake
) -> None:
    outcomes = all_read(workers)

    assert not any(isinstance(outcome, NotNow) for outcome in outcomes)
    assert asked(zoho) == 1


def test_20_workers_whose_token_dies_together_mint_one_token_more(
    workers: list[Worker], zoho: RunningFake
) -> None:
    all_read(workers)
    zoho.control.revoke_access_tokens()

    outcomes = all_read(workers)

    assert not any(isinstance(outcome, NotNow) for outcome in outcomes)
    assert asked(zoho) == 2


def test_a_refusal_while_the_old_token_lives_stops_nobody(
    workers: list[Worker],
    zoho: RunningFake,
    store: FakeTokenStore,
    database: Database,
) -> None:
    all_read(workers)
    use_up_the_tokens(zoho)
    assert store.token is not None
    # Four minutes are left of it: it is due, and it lives.
    left = store.token.expires_at - timedelta(minutes=56)
    store.token = replace(store.token, expires_at=left)
    with ExitStack() as stack:
        late = [
            stack.enter_context(
                closing(Worker(database, zoho, store, Timing(), priority=Priority.TRIGGER))
            )
            for _ in range(5)
        ]
        outcomes = all_read(late)

    assert not any(isinstance(outcome, NotNow) for outcome in outcomes)
    assert asked(zoho) == 12


def test_an_answer_of_the_oauth_server_that_is_lost_costs_one_attempt(
    workers: list[Worker], zoho: RunningFake
) -> None:
    zoho.control.arm(AnswerLost(operation="mint_token"))

    lost = all_read(workers[:1])
    again = all_read(workers[1:])

    assert isinstance(lost[0], TokenRefused)
    assert lost[0].reason == "token_unavailable"
    assert not any(isinstance(outcome, NotNow) for outcome in again)
    assert asked(zoho) == 2
