"""Tokens in memory: the client's port, and the three that the shared token is made of."""

from datetime import datetime, timedelta

from billing_sync.domain.errors import Unavailable
from billing_sync.domain.timing import Timing
from billing_sync.ports import (
    AccessToken,
    Clock,
    MintedToken,
    MintLease,
    MintRefusal,
    TokenMint,
    TokenRecord,
    Tokens,
    TokenState,
    TokenStore,
)


class FakeTokens(Tokens):
    """Gives the next generation whenever one is refused; raises `failure` while that is set."""

    def __init__(self, clock: Clock, api_domain: str = "https://www.zohoapis.test") -> None:
        self._clock = clock
        self._api_domain = api_domain
        self._generation = 1
        self.failure: Exception | None = None
        self.refusals: list[tuple[int, str]] = []
        self.taken_for: list[tuple[int, str]] = []

    def current(self) -> AccessToken:
        if self.failure is not None:
            raise self.failure
        return AccessToken(
            value=f"1000.fake.{self._generation}",
            generation=self._generation,
            api_domain=self._api_domain,
            expires_at=self._clock.now() + timedelta(hours=1),
            minted_at=self._clock.now(),
        )

    def accepted(self, token: AccessToken, scope: str) -> None:
        self.taken_for.append((token.generation, scope))

    def refused(self, token: AccessToken, scope: str) -> AccessToken:
        self.refusals.append((token.generation, scope))
        self._generation = max(self._generation, token.generation + 1)
        return self.current()


class FakeTokenRecord(TokenRecord):
    """The row of one credential, for the workers of one process."""

    ATTEMPTS = 5

    def __init__(self, clock: Clock, timing: Timing | None = None) -> None:
        self._clock = clock
        self._timing = timing or Timing()
        self._window = timedelta(seconds=self._timing.scaled(600))
        self._state = TokenState(now=clock.now())
        self._reserved = 0
        self._lease: MintLease | None = None
        self._attempts: list[MintLease] = []

    def read(self) -> TokenState:
        now = self._clock.now()
        recent = self._recent()
        state = self._state
        return TokenState(
            now=now,
            generation=state.generation,
            expires_at=state.expires_at,
            lease_until=self._lease_until() if self._lease_runs() else None,
            attempts_free_at=(
                recent[-self.ATTEMPTS].taken_at + self._window
                if len(recent) >= self.ATTEMPTS
                else None
            ),
            cooldown_until=(
                state.cooldown_until
                if state.cooldown_until is not None and state.cooldown_until > now
                else None
            ),
            refusal=state.refusal,
        )

    def take_lease(self, seen: TokenState, *, above: int) -> MintLease | None:
        state = self.read()
        if (
            state.generation != seen.generation
            or state.lease_until
            or state.cooldown_until
            or state.attempts_free_at
        ):
            return None
        self._reserved = max(self._reserved, state.generation, above) + 1
        self._lease = MintLease(f"lease-{self._reserved}", self._reserved, self._clock.now())
        self._attempts.append(self._lease)
        return self._lease

    def holds(self, lease: MintLease) -> bool:
        return self._lease == lease and self._lease_runs()

    def minted(self, lease: MintLease, token: AccessToken) -> None:
        if self._lease == lease:
            self._lease = None
            self._state = TokenState(
                now=self._clock.now(), generation=token.generation, expires_at=token.expires_at
            )

    def refused(self, lease: MintLease, word: str) -> None:
        self.released(lease)
        self._state = TokenState(
            now=self._clock.now(),
            generation=self._state.generation,
            expires_at=self._state.expires_at,
            cooldown_until=self._clock.now() + self._window,
            refusal=word,
        )

    def released(self, lease: MintLease) -> None:
        if self._lease == lease:
            self._lease = None

    def _recent(self) -> list[MintLease]:
        since = self._clock.now() - self._window
        return [attempt for attempt in self._attempts if attempt.taken_at > since]

    def _lease_until(self) -> datetime:
        assert self._lease is not None
        seconds = self._timing.send_window_seconds + self._timing.http_deadline_seconds + 10
        return self._lease.taken_at + timedelta(seconds=seconds)

    def _lease_runs(self) -> bool:
        return self._lease is not None and self._lease_until() > self._clock.now()


class FakeTokenStore(TokenStore):
    """A secret that all workers of a test share."""

    def __init__(self) -> None:
        self.token: AccessToken | None = None
        self.writes = 0

    def read(self) -> AccessToken | None:
        return self.token

    def write(self, token: AccessToken) -> None:
        self.writes += 1
        self.token = token


class FakeTokenMint(TokenMint):
    """Mints tokens of an hour, or answers what `answers` lists first."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers: list[MintedToken | MintRefusal | Unavailable] = []

    def mint(self) -> MintedToken | MintRefusal:
        self.asked += 1
        if not self.answers:
            return MintedToken(f"1000.minted.{self.asked}", 3600, "https://www.zohoapis.test")
        answer = self.answers.pop(0)
        if isinstance(answer, Unavailable):
            raise answer
        return answer
