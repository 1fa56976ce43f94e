"""The door's secret in Secrets Manager, read again every few minutes."""

import threading
from collections.abc import Callable
from typing import Any, Final

from pydantic import ValidationError

from billing_sync.adapters.sqs import make_client
from billing_sync.domain.errors import Unreachable
from billing_sync.domain.signatures import SenderKeys, SenderSecrets

KEPT_SECONDS: Final = 120
"""A secret that was taken out of the list lets nobody in two minutes later; no deploy is needed."""


class SecretKeyRing:
    """The senders' keys (`KeyRing`): `{"signing_secrets": ["whsec_…"], "static_secrets": [...]}`.

    A secret that was never filled in has no keys, and nobody is known.
    """

    def __init__(self, arn: str, monotonic: Callable[[], float], client: Any = None) -> None:
        self._arn = arn
        self._monotonic = monotonic
        self._made = client
        self._reading = threading.Lock()
        self._kept: tuple[SenderKeys, float] | None = None

    @property
    def _client(self) -> Any:
        if self._made is None:
            self._made = make_client("secretsmanager")
        return self._made

    def keys(self) -> SenderKeys:
        """Give the keys, read at the most two minutes ago.

        What cannot be read again is not used on: a key may have been taken out for a reason.
        """
        with self._reading:
            now = self._monotonic()
            if self._kept is None or now - self._kept[1] >= KEPT_SECONDS:
                self._kept = None
                self._kept = (self._read(), now)
            return self._kept[0]

    def _read(self) -> SenderKeys:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            stored = self._client.get_secret_value(SecretId=self._arn).get("SecretString", "")
        except (BotoCoreError, ClientError):
            raise Unreachable("secret_unreadable") from None
        try:
            return SenderKeys.of(SenderSecrets.model_validate_json(stored.strip() or "{}"))
        except ValidationError:
            raise Unreachable("secret_malformed") from None
