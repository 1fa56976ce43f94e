"""The one access token of a credential, and what it is made of (protocol §7)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token of Zoho's OAuth server. `generation` counts the tokens of the credential."""

    value: str
    generation: int
    api_domain: str
    expires_at: datetime
    minted_at: datetime

    def __repr__(self) -> str:
        """Show no secret: reprs end up in logs."""
        return f"AccessToken(generation={self.generation})"


class Tokens(Protocol):
    """The one access token for all workers of a credential (protocol §7)."""

    def current(self) -> AccessToken:
        """Give a live token, refreshing it early if nobody else does.

        :raises TokenRefused: while the OAuth server cools down, or another worker is at it.
        :raises Misconfigured: when the credentials are wrong.
        """

    def accepted(self, token: AccessToken, scope: str) -> None:
        """Note that Zoho took `token` for a call that needs `scope` (`invoices.READ`)."""

    def refused(self, token: AccessToken, scope: str) -> AccessToken:
        """Zoho answered 401 to a call that needs `scope`: give a newer token, minting if need be.

        :raises TokenRefused: as `current`.
        :raises Misconfigured: when a token younger than 60 s is refused again for this scope: it
            is missing, since Zoho answers both with code 57.
        """


@dataclass(frozen=True, slots=True)
class TokenState:
    """The row of a credential. `attempts_free_at` is given while no attempt to mint is left.

    `lease_until` is given while a worker is at it, `cooldown_until` while nobody may ask, with the
    word of Zoho's refusal.
    """

    now: datetime
    generation: int = 0
    expires_at: datetime | None = None
    lease_until: datetime | None = None
    attempts_free_at: datetime | None = None
    cooldown_until: datetime | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class MintLease:
    """The right to ask for one token; the attempt is counted already."""

    lease_id: str
    generation: int
    taken_at: datetime


class TokenRecord(Protocol):
    """Who may mint, and what became of it: one row for each credential, shared by all workers."""

    def read(self) -> TokenState:
        """Read the row; an unknown credential has an empty one."""

    def take_lease(self, seen: TokenState, *, above: int) -> MintLease | None:
        """Count an attempt and take the lease, unless somebody else has moved since `seen`.

        None as well while a lease or a cool-down runs or the attempts are used up. The lease's
        generation is greater than `above` and than any that was ever given out.
        """

    def holds(self, lease: MintLease) -> bool:
        """Say whether the lease is still ours: a worker that stalled must not overwrite."""

    def minted(self, lease: MintLease, token: AccessToken) -> None:
        """Show the new token to all, after it was stored, and end the lease."""

    def refused(self, lease: MintLease, word: str) -> None:
        """Start the cool-down and end the lease."""

    def released(self, lease: MintLease) -> None:
        """End the lease without a verdict: the OAuth server could not be asked."""


class TokenStore(Protocol):
    """Where the access token is kept: a secret, never a row."""

    def read(self) -> AccessToken | None:
        """Give the stored token of this credential, None if there is none."""

    def write(self, token: AccessToken) -> None:
        """Replace it."""


@dataclass(frozen=True, slots=True)
class MintedToken:
    """What the OAuth server gave; `expires_in_seconds` in its own seconds."""

    value: str
    expires_in_seconds: float
    api_domain: str

    def __repr__(self) -> str:
        """Show no secret."""
        return "MintedToken()"


@dataclass(frozen=True, slots=True)
class MintRefusal:
    """What the OAuth server refused with: one of the known words, or `other`."""

    word: str


class TokenMint(Protocol):
    """Zoho's OAuth server. Ten tokens in ten minutes, and asking while refused makes it worse."""

    def mint(self) -> MintedToken | MintRefusal:
        """Ask once.

        :raises Unavailable: no readable answer; whether a token was minted is unknown.
        """
