"""Zoho's OAuth server: one POST that gives an access token, or a word why not."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import httpx

from billing_sync.domain.errors import Unavailable
from billing_sync.domain.timing import Timing
from billing_sync.ports import MintedToken, MintRefusal, TokenMint

KNOWN_WORDS: Final = frozenset(
    {
        "access_denied",
        "invalid_client",
        "invalid_client_secret",
        "invalid_code",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)


@dataclass(frozen=True, slots=True)
class ZohoCredentials:
    """The client and the refresh token of a person's consent. Its repr shows none of it."""

    client_id: str
    client_secret: str
    refresh_token: str

    def __repr__(self) -> str:
        """Show no secret: reprs end up in logs."""
        return "ZohoCredentials()"

    def key(self, accounts_url: str) -> str:
        """Give what the token's row is keyed by: a hash of the host, client and refresh token.

        Zoho counts by refresh token, so two organisations that share one share the row; and a
        secret that was mended begins with a row of its own, without the old one's cool-down.
        """
        parts = f"{accounts_url}\n{self.client_id}\n{self.client_secret}\n{self.refresh_token}"
        return sha256(parts.encode()).hexdigest()[:32]


class ZohoOAuth(TokenMint):
    """The refresh-token grant of one credential."""

    def __init__(
        self,
        http: httpx.Client,
        accounts_url: str,
        credentials: ZohoCredentials,
        timing: Timing,
        monotonic: Callable[[], float],
    ) -> None:
        self._http = http
        self._accounts_url = accounts_url.rstrip("/")
        self._credentials = credentials
        self._timing = timing
        self._monotonic = monotonic

    def mint(self) -> MintedToken | MintRefusal:
        """Ask for an access token. The secrets go as a form: URLs end up in logs.

        Zoho answers refusals with 200 as well as with 400: the body alone decides (§1.4).
        """
        try:
            response = self._http.post(
                f"{self._accounts_url}/oauth/v2/token",
                data={
                    "grant_type": "refresh_token",
                    "client_id": self._credentials.client_id,
                    "client_secret": self._credentials.client_secret,
                    "refresh_token": self._credentials.refresh_token,
                },
                extensions={
                    "send_by": self._monotonic() + self._timing.send_window_seconds,
                    "deadline_seconds": self._timing.http_deadline_seconds,
                },
            )
        except httpx.RequestError:
            raise Unavailable("Zoho's OAuth server could not be asked.") from None
        body = _json_object(response)
        token = body.get("access_token")
        if isinstance(token, str) and token:
            return _minted(token, body, response.status_code)
        error = body.get("error")
        if not isinstance(error, str):
            raise Unavailable(
                "Zoho's OAuth server gave no readable answer.", http_status=response.status_code
            )
        word = error.strip().casefold().replace(" ", "_")
        return MintRefusal(word if word in KNOWN_WORDS else "other")


def _minted(token: str, body: dict[str, Any], http_status: int) -> MintedToken:
    expires_in, api_domain = body.get("expires_in"), body.get("api_domain")
    # Documented as seconds. Anything else, or nothing, is not guessed at: a wrong unit kept other
    # clients' dead tokens in use for weeks.
    if isinstance(expires_in, str) and expires_in.isdecimal():
        expires_in = int(expires_in)
    if (
        isinstance(expires_in, bool)
        or not isinstance(expires_in, int | float)
        or expires_in <= 0
        or not isinstance(api_domain, str)
    ):
        raise Unavailable("Zoho's OAuth server gave no readable answer.", http_status=http_status)
    return MintedToken(value=token, expires_in_seconds=float(expires_in), api_domain=api_domain)


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
