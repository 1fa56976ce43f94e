"""The accounts host: refresh tokens in, access tokens out, ten in ten minutes."""

import hmac
import math
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ops.fake_zoho.clock import LimitsClock
from ops.fake_zoho.config import EVERYTHING, Credential, Switches, TokenRules
from ops.fake_zoho.replies import Reply, invalid_authentication, not_authorised

SCHEMES = ("zoho-oauthtoken", "bearer")
SECRET_FIELDS = frozenset({"client_secret", "refresh_token"})
ACCESS_DENIED = {
    "error_description": "You have made too many requests continuously. "
    "Please try again after some time.",
    "error": "Access Denied",
    "status": "failure",
}


@dataclass(frozen=True)
class AccessToken:
    value: str
    ordinal: int
    credential: Credential
    expires_at: float

    def allows(self, scope: str) -> bool:
        """Compare as Zoho does: case matters, a module's ALL and the full access count."""
        module = scope.rpartition(".")[0]
        return not {scope, f"{module}.ALL", EVERYTHING}.isdisjoint(self.credential.scopes)


@dataclass
class _Grant:
    """A refresh token at work: what it minted lately, and until when it may mint no more."""

    credential: Credential
    live: deque[AccessToken] = field(default_factory=deque)
    minted_at: deque[float] = field(default_factory=deque)
    refused_until: float = -math.inf
    revoked: bool = False


class TokenOffice:
    """Mint, know and revoke access tokens."""

    def __init__(
        self,
        credentials: list[Credential],
        rules: TokenRules,
        switches: Switches,
        clock: LimitsClock,
        live: Mapping[str, Sequence[AccessToken]] | None = None,
    ) -> None:
        """Open the office; `live` are tokens that were minted before, by refresh token."""
        self._grants = {
            credential.refresh_token: _Grant(
                credential, deque((live or {}).get(credential.refresh_token, ()))
            )
            for credential in credentials
        }
        self._rules = rules
        self._switches = switches
        self._clock = clock
        self._given = {token: list(grant.live) for token, grant in self._grants.items()}
        self.minted = 0
        self.refused = 0
        self.secrets_in_query = 0

    def answer(self, form: Mapping[str, str], api_domain: str) -> tuple[Reply, int | None]:
        """Answer a token request; with a new token comes its ordinal, for the log.

        Zoho answers 200 to nearly every mistake: only `access_token` in the body tells success.
        """
        grant = self._grants.get(form.get("refresh_token", ""))
        error = self._mistake(form, grant)
        if error is not None or grant is None:
            return Reply(200, {"error": error}), None
        if self._is_throttled(grant):
            return self.refuse(), None
        token = self._mint(grant)
        return Reply(
            200,
            {
                "access_token": token.value,
                "scope": " ".join(grant.credential.scopes),
                "api_domain": api_domain,
                "token_type": "Bearer",
                "expires_in": int(self._rules.life_seconds),
            },
        ), token.ordinal

    def refuse(self) -> Reply:
        """Answer "Access Denied", as for the eleventh token; the switch says with which status."""
        self.refused += 1
        return Reply(self._switches.throttled_token_status, dict(ACCESS_DENIED))

    def lock_out(self, seconds: float) -> None:
        """Refuse every refresh token for a while, as if all had asked too often."""
        for grant in self._grants.values():
            grant.refused_until = self._clock.now() + seconds

    def authenticate(self, authorization: str | None) -> AccessToken:
        """Find the live token of an Authorization header, or raise the 401 that fits."""
        scheme, _, value = (authorization or "").partition(" ")
        if scheme.lower() not in SCHEMES or not value.strip():
            raise invalid_authentication()
        now = self._clock.now()
        for grant in self._grants.values():
            for token in grant.live:
                if hmac.compare_digest(token.value.encode(), value.strip().encode()):
                    if token.expires_at > now:
                        return token
                    raise not_authorised()
        raise not_authorised()

    def given(self) -> dict[str, list[AccessToken]]:
        """Answer all tokens that were ever given, by refresh token; some may be dead by now."""
        return self._given

    def revoke_access_tokens(self) -> None:
        for grant in self._grants.values():
            grant.live.clear()

    def revoke(self, refresh_token: str) -> bool:
        """Revoke a refresh token and what it minted; False if there is none such."""
        grant = self._grants.get(refresh_token)
        if grant is None or grant.revoked:
            return False
        grant.revoked = True
        grant.live.clear()
        return True

    def _mistake(self, form: Mapping[str, str], grant: _Grant | None) -> str | None:
        credentials = [grant.credential for grant in self._grants.values()]
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        of_client = [credential for credential in credentials if credential.client_id == client_id]
        if not of_client:
            return "invalid_client"
        if secret not in {credential.client_secret for credential in of_client}:
            return "invalid_client_secret"
        if form.get("grant_type") != "refresh_token":
            return "unsupported_grant_type"
        if grant is None or grant.revoked or grant.credential not in of_client:
            return "invalid_code"
        return None

    def _is_throttled(self, grant: _Grant) -> bool:
        now = self._clock.now()
        window = self._rules.mint_window_seconds
        if now < grant.refused_until:
            if self._switches.asking_while_refused_extends:
                grant.refused_until = now + window
            return True
        while grant.minted_at and grant.minted_at[0] <= now - window:
            grant.minted_at.popleft()
        if len(grant.minted_at) < self._rules.mints:
            return False
        grant.refused_until = grant.minted_at[0] + window
        return True

    def _mint(self, grant: _Grant) -> AccessToken:
        now = self._clock.now()
        self.minted += 1
        token = AccessToken(
            value=f"1000.{secrets.token_hex(16)}.{secrets.token_hex(16)}",
            ordinal=self.minted,
            credential=grant.credential,
            expires_at=now + self._rules.life_seconds,
        )
        grant.minted_at.append(now)
        grant.live.append(token)
        self._given[grant.credential.refresh_token].append(token)
        while len(grant.live) > self._rules.live_tokens:
            grant.live.popleft()
        return token
