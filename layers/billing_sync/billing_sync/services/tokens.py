"""One access token for all workers: minted early, by one at a time, never by force (protocol §7).

Zoho gives a refresh token ten access tokens in ten minutes and then refuses for ten more; asking
meanwhile makes it longer. That is what stopped the system before this one, at exactly ten records.
So an attempt is counted, in the row that all share, before it is made; a refusal starts a cool-down
that nobody probes; and the old token is used by the others for as long as it lives.
"""

import threading
from datetime import datetime, timedelta
from typing import Final, NoReturn

from billing_sync.domain.errors import Misconfigured, TokenRefused, Unavailable
from billing_sync.domain.timing import Timing
from billing_sync.ports import (
    AccessToken,
    Clock,
    MintLease,
    MintRefusal,
    TokenMint,
    TokenRecord,
    Tokens,
    TokenState,
    TokenStore,
)

DUE_EARLY_SECONDS: Final = 300
YOUNG_SECONDS: Final = 60
POLL_SECONDS: Final = 0.1
# Real, whatever the time scale: what is waited for is another worker's HTTP call.
PATIENCE_SECONDS: Final = 2.0
LOOK_AGAIN_SECONDS: Final = 1.0
UNAVAILABLE_WAIT_SECONDS: Final = 15

MISCONFIGURED_WORDS: Final = frozenset(
    {
        "invalid_client",
        "invalid_client_secret",
        "invalid_code",
        "invalid_grant",
        "unauthorized_client",
    }
)
"""Refusals that no waiting mends: wrong secret, dead refresh token, another data centre's client.

They too are asked again only after the cool-down, or at once with another credential, since the row
is keyed by it.
"""


class SharedToken(Tokens):
    """The token of one credential, as one process sees it. Safe for several threads.

    A token stays in memory until it is due; only then are the row and the secret looked at.
    """

    def __init__(
        self,
        record: TokenRecord,
        store: TokenStore,
        mint: TokenMint,
        timing: Timing,
        clock: Clock,
    ) -> None:
        self._record = record
        self._store = store
        self._mint = mint
        self._timing = timing
        self._clock = clock
        self._lock = threading.Lock()
        self._token: AccessToken | None = None
        # Monotonic: until when the token in memory is used without looking at the row.
        self._good_until = 0.0
        self._refused: dict[str, tuple[int, float]] = {}

    def current(self) -> AccessToken:
        """Give a live token; from memory, if it is not due."""
        with self._lock:
            if self._token is not None and self._clock.monotonic() < self._good_until:
                return self._token
            return self._obtain(above=0)

    def accepted(self, token: AccessToken, scope: str) -> None:
        """Forget the scope's refusals: a later one means another dead token, not the scope."""
        if scope in self._refused:
            with self._lock:
                before = self._refused.get(scope)
                if before is not None and before[0] < token.generation:
                    del self._refused[scope]

    def refused(self, token: AccessToken, scope: str) -> AccessToken:
        """Give a token newer than the refused one: another worker's, or a new one.

        Dead token and missing scope look the same (401, code 57). A token that was minted because
        this scope's call was refused, and is refused for it again, lacks it.
        """
        with self._lock:
            before = self._refused.get(scope)
            now = self._clock.monotonic()
            self._refused[scope] = (token.generation, now)
            if before is not None:
                generation, moment = before
                if generation < token.generation and now - moment < self._young_seconds:
                    raise Misconfigured(
                        f"Zoho refuses a new token for {scope}: the scope is missing.",
                        code="missing_scope",
                        http_status=401,
                    )
            if self._token is not None and self._token.generation > token.generation:
                return self._token
            self._token = None
            return self._obtain(above=token.generation)

    @property
    def _young_seconds(self) -> float:
        """How fresh a token must be for its refusal to mean the scope.

        A minute; but never shorter than the replay may take, which runs in real time.
        """
        replay = (
            PATIENCE_SECONDS + self._timing.send_window_seconds + self._timing.http_deadline_seconds
        )
        return max(self._timing.scaled(YOUNG_SECONDS), replay)

    # ------------------------------------------------------------------------------ row, secret

    def _obtain(self, *, above: int) -> AccessToken:
        """Find a token of a generation above the given one, or make it, or say why not."""
        give_up_at = self._clock.monotonic() + PATIENCE_SECONDS
        while True:
            state = self._record.read()
            stored = self._store.read()
            if stored is not None and stored.generation <= above:
                stored = None
            if stored is not None and not self._is_due(stored, state.now):
                return self._keep(stored, state.now)

            patient = self._clock.monotonic() < give_up_at
            # The row may be ahead of the secret for a moment: its writer stored the secret first,
            # but a secret's new value need not be seen at once everywhere.
            behind = (
                state.generation > max(above, stored.generation if stored else 0)
                and state.expires_at is not None
                and state.expires_at - self._early > state.now
            )
            if not (behind and patient):
                lease = self._record.take_lease(state, above=max(above, _generation(stored)))
                if lease is not None:
                    return self._make(lease, stored)

            if stored is not None and stored.expires_at > state.now:
                # Somebody renews it, or nobody may: it lives, so it serves; look again soon.
                self._token = stored
                self._good_until = self._clock.monotonic() + self._timing.scaled(LOOK_AGAIN_SECONDS)
                return stored
            nobody_is_at_it = state.lease_until is None
            if state.cooldown_until or (nobody_is_at_it and state.attempts_free_at):
                _raise_cooling(state)
            if not patient:
                raise TokenRefused(
                    "Another worker is renewing the access token.",
                    wait_seconds=PATIENCE_SECONDS,
                    reason="token_refresh",
                )
            self._clock.sleep(POLL_SECONDS)

    def _make(self, lease: MintLease, old: AccessToken | None) -> AccessToken:
        """Ask Zoho once; store the secret first, then show it in the row.

        A death between the two leaves a newer token in the secret, which is found there; the other
        way round the row would promise a token that nobody has.
        """
        try:
            answer = self._mint.mint()
        except Unavailable as failure:
            self._record.released(lease)
            if old is not None and old.expires_at > lease.taken_at:
                return self._keep_for_now(old)
            raise TokenRefused(
                "Zoho's OAuth server gave no readable answer.",
                wait_seconds=self._timing.scaled(UNAVAILABLE_WAIT_SECONDS),
                reason="token_unavailable",
                http_status=failure.http_status,
            ) from None
        if isinstance(answer, MintRefusal):
            self._record.refused(lease, answer.word)
            if old is not None and old.expires_at > lease.taken_at:
                return self._keep_for_now(old)
            _raise_cooling(self._record.read(), word=answer.word)
        life = timedelta(seconds=self._timing.scaled(answer.expires_in_seconds))
        token = AccessToken(
            value=answer.value,
            generation=lease.generation,
            api_domain=answer.api_domain,
            # Counted from before the request: early rather than late.
            expires_at=lease.taken_at + life,
            minted_at=lease.taken_at,
        )
        if self._record.holds(lease):
            self._store.write(token)
            self._record.minted(lease, token)
        return self._keep(token, lease.taken_at)

    # ----------------------------------------------------------------------------------- memory

    @property
    def _early(self) -> timedelta:
        return timedelta(seconds=self._timing.scaled(DUE_EARLY_SECONDS))

    def _is_due(self, token: AccessToken, now: datetime) -> bool:
        return token.expires_at - self._early <= now

    def _keep(self, token: AccessToken, now: datetime) -> AccessToken:
        """Keep it in memory until it is due. Only differences of the database's times are used."""
        left = (token.expires_at - self._early - now).total_seconds()
        self._token = token
        self._good_until = self._clock.monotonic() + left
        return token

    def _keep_for_now(self, token: AccessToken) -> AccessToken:
        self._token = token
        self._good_until = self._clock.monotonic() + self._timing.scaled(LOOK_AGAIN_SECONDS)
        return token


def _generation(token: AccessToken | None) -> int:
    return 0 if token is None else token.generation


def _raise_cooling(state: TokenState, word: str | None = None) -> NoReturn:
    word = word or (state.refusal if state.cooldown_until else None)
    if word in MISCONFIGURED_WORDS:
        raise Misconfigured(f"Zoho's OAuth server refuses our credentials: {word}.", code=str(word))
    resume_at = state.cooldown_until or state.attempts_free_at or state.now
    raise TokenRefused(
        "No new access token may be asked for yet.",
        wait_seconds=max((resume_at - state.now).total_seconds(), 0.0),
        reason="token_cool_down",
        resume_at=resume_at,
    )
