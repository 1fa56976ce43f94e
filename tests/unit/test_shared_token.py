"""The one token of all workers: when it is minted, by whom, and when nobody asks."""

from dataclasses import dataclass, field

import pytest

from billing_sync.domain.errors import Misconfigured, TokenRefused, Unavailable
from billing_sync.domain.timing import Timing
from billing_sync.ports import AccessToken, MintRefusal
from billing_sync.services.tokens import SharedToken
from tests.fakes.clock import FakeClock
from tests.fakes.tokens import FakeTokenMint, FakeTokenRecord, FakeTokenStore

HOUR = 3600


@dataclass
class Office:
    """What workers share; `worker()` makes one more process."""

    clock: FakeClock = field(default_factory=FakeClock)
    store: FakeTokenStore = field(default_factory=FakeTokenStore)
    mint: FakeTokenMint = field(default_factory=FakeTokenMint)

    def __post_init__(self) -> None:
        self.record = FakeTokenRecord(self.clock)

    def worker(self) -> SharedToken:
        return SharedToken(self.record, self.store, self.mint, Timing(), self.clock)


@pytest.fixture
def office() -> Office:
    return Office()


def test_the_first_worker_mints_and_the_others_find_it(office: Office) -> None:
    tokens = [office.worker().current() for _ in range(20)]

    assert office.mint.asked == 1
    assert {token.generation for token in tokens} == {1}
    assert len({token.value for token in tokens}) == 1


def test_a_process_keeps_its_token_until_five_minutes_before_its_end(office: Office) -> None:
    worker = office.worker()
    first = worker.current()
    office.clock.advance(HOUR - 301)
    kept = worker.current()
    office.clock.advance(2)
    renewed = worker.current()

    assert kept is first
    assert renewed.generation == 2
    assert office.mint.asked == 2


def test_a_day_mints_one_token_every_55_minutes(office: Office) -> None:
    workers = [office.worker() for _ in range(5)]

    for _ in range(24 * 60):
        for worker in workers:
            worker.current()
        office.clock.advance(60)

    assert office.mint.asked == 27


def test_while_one_renews_the_others_use_the_old_token(office: Office) -> None:
    other = office.worker()
    old = other.current()
    office.clock.advance(HOUR - 200)
    assert office.record.take_lease(office.record.read(), above=1) is not None

    assert other.current() == old
    assert office.mint.asked == 1
    assert office.clock.slept == []


def test_without_an_old_token_the_others_wait_2_s_and_then_defer(office: Office) -> None:
    assert office.record.take_lease(office.record.read(), above=0) is not None

    with pytest.raises(TokenRefused) as caught:
        office.worker().current()

    assert caught.value.reason == "token_refresh"
    assert sum(office.clock.slept) == pytest.approx(2, abs=0.2)
    assert office.mint.asked == 0


def test_a_worker_that_died_while_minting_is_succeeded(office: Office) -> None:
    assert office.record.take_lease(office.record.read(), above=0) is not None
    office.clock.advance(36)

    assert office.worker().current().generation == 2


def test_a_token_stored_by_a_worker_that_died_before_it_wrote_the_row_is_used(
    office: Office,
) -> None:
    stored = office.worker().current()
    reborn = Office(clock=office.clock, store=office.store)

    assert reborn.worker().current() == stored
    assert reborn.mint.asked == 0


def test_the_secret_is_written_before_the_row(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(_token: AccessToken) -> None:
        raise Misconfigured("The token's secret cannot be written.", code="secret_unwritable")

    monkeypatch.setattr(office.store, "write", break_down)

    with pytest.raises(Misconfigured):
        office.worker().current()

    assert office.record.read().generation == 0


def test_a_worker_that_stalled_does_not_overwrite_a_newer_token(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = office.worker(), office.worker()
    mint = office.mint.mint

    def stall() -> object:
        monkeypatch.setattr(office.mint, "mint", mint)
        answer = mint()
        office.clock.advance(40)
        quick.current()
        return answer

    monkeypatch.setattr(office.mint, "mint", stall)

    usable = slow.current()

    assert usable.generation == 1
    assert office.store.token is not None
    assert office.store.token.generation == 2
    assert office.record.read().generation == 2


def test_a_refusal_cools_down_and_nobody_probes(office: Office) -> None:
    office.mint.answers = [MintRefusal("access_denied")]

    refusals = []
    for _ in range(10):
        with pytest.raises(TokenRefused) as caught:
            office.worker().current()
        refusals.append(caught.value)
        office.clock.advance(59)

    assert office.mint.asked == 1
    assert {refusal.reason for refusal in refusals} == {"token_cool_down"}
    assert len({refusal.resume_at for refusal in refusals}) == 1
    assert refusals[0].wait_seconds == 600
    office.clock.advance(10)
    assert office.worker().current().generation == 2


def test_a_refusal_does_not_stop_those_whose_token_lives(office: Office) -> None:
    worker = office.worker()
    old = worker.current()
    office.clock.advance(HOUR - 250)
    office.mint.answers = [MintRefusal("access_denied")]

    assert worker.current() == old
    assert office.worker().current() == old
    assert office.mint.asked == 2


@pytest.mark.parametrize("word", ["invalid_client", "invalid_client_secret", "invalid_code"])
def test_wrong_credentials_stop_the_run_and_are_not_tried_again(office: Office, word: str) -> None:
    office.mint.answers = [MintRefusal(word)]

    for _ in range(3):
        with pytest.raises(Misconfigured) as caught:
            office.worker().current()
        assert caught.value.code == word

    assert office.mint.asked == 1


def test_an_unreadable_answer_is_tried_five_times_in_ten_minutes(office: Office) -> None:
    office.mint.answers = [Unavailable("no answer")] * 10
    reasons = []
    for _ in range(8):
        with pytest.raises(TokenRefused) as caught:
            office.worker().current()
        reasons.append(caught.value.reason)

    assert office.mint.asked == 5
    assert reasons == ["token_unavailable"] * 5 + ["token_cool_down"] * 3


def test_a_refused_token_is_replaced_by_another_workers_newer_one(office: Office) -> None:
    late, early = office.worker(), office.worker()
    dead = late.current()
    early.current()
    newer = early.refused(dead, "customers")

    assert late.refused(dead, "customers") == newer
    assert office.mint.asked == 2


def test_20_workers_refused_together_mint_one_token(office: Office) -> None:
    workers = [office.worker() for _ in range(20)]
    dead, *_same = [worker.current() for worker in workers]

    replacements = {worker.refused(dead, "customers").generation for worker in workers}

    assert replacements == {2}
    assert office.mint.asked == 2


def test_a_new_token_refused_again_for_one_module_means_a_missing_scope(office: Office) -> None:
    worker = office.worker()
    fresh = worker.refused(worker.current(), "settings")

    with pytest.raises(Misconfigured) as caught:
        worker.refused(fresh, "settings")

    assert caught.value.code == "missing_scope"
    assert "settings" in caught.value.sentence
    assert office.mint.asked == 2


def test_another_modules_refusal_of_a_new_token_is_its_first(office: Office) -> None:
    worker = office.worker()
    fresh = worker.refused(worker.current(), "settings")

    assert worker.refused(fresh, "customers").generation == fresh.generation + 1


def test_two_tokens_that_die_in_one_minute_are_no_missing_scope(office: Office) -> None:
    tokens = office.worker()
    second = tokens.refused(tokens.current(), "customers")
    tokens.accepted(second, "customers")

    third = tokens.refused(second, "customers")

    assert third.generation > second.generation


def test_a_token_that_dies_an_hour_after_the_last_is_no_missing_scope(office: Office) -> None:
    worker = office.worker()
    fresh = worker.refused(worker.current(), "customers")
    office.clock.advance(HOUR / 2)

    assert worker.refused(fresh, "customers").generation == fresh.generation + 1
