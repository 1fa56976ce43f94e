"""By what a sender is known: signatures as Standard Webhooks has them, or a secret in a header.

The specification is at https://www.standardwebhooks.com. Its own Python package is not used: it
reads the clock itself, decodes the body to text and back, and fails on a malformed header with
errors of every kind; what is left of it is the thirty lines below, held to its published vectors.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
STATIC_HEADER: Final = "x-webhook-secret"

SHORTEST_KEY_BYTES: Final = 24
"""What the specification asks for at the least."""

_PREFIX: Final = "whsec_"
_VERSION: Final = "v1"
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


def key_of(secret: str) -> bytes:
    """Give the key that a secret `whsec_…` stands for.

    :raises ValueError: it is not base64, or shorter than 24 bytes. The secret is not in the error.
    """
    encoded = secret.removeprefix(_PREFIX)
    try:
        # Some write the padding and some do not.
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64") from None
    if len(key) < SHORTEST_KEY_BYTES:
        raise ValueError(f"its key has less than {SHORTEST_KEY_BYTES} bytes")
    return key


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Give one signature for the header, over the bytes of the body as they are sent."""
    signature = base64.b64encode(_digest(key, message_id, timestamp, body)).decode()
    return f"{_VERSION},{signature}"


def _digest(key: bytes, message_id: str, timestamp: str, body: bytes) -> bytes:
    head = _bytes(f"{message_id}.{timestamp}.")
    return hmac.digest(key, head + body, "sha256")


def _bytes(text: str) -> bytes:
    """Encode what came in a header, lone surrogates and all: comparing must not fail on them."""
    return text.encode("utf-8", "surrogatepass")


def sha256(given: str | bytes) -> str:
    """Hash an id or a key from outside, before it stands in a log or an attribute."""
    return hashlib.sha256(_bytes(given) if isinstance(given, str) else given).hexdigest()


def _is_key(secret: str) -> str:
    key_of(secret)
    return secret


class SenderSecrets(BaseModel):
    """The secret of the door as it is stored; several of each, so that they can be exchanged."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    signing_secrets: tuple[Annotated[str, AfterValidator(_is_key)], ...] = Field((), repr=False)
    static_secrets: tuple[Annotated[str, Field(min_length=SHORTEST_KEY_BYTES)], ...] = Field(
        (), repr=False
    )


@dataclass(frozen=True, slots=True)
class SenderKeys:
    """The keys that are good now. With none of a kind, nobody is known by it."""

    signing: tuple[bytes, ...] = field(default=(), repr=False)
    static_digests: tuple[bytes, ...] = field(default=(), repr=False)
    """SHA-256 of each: of one length, so that comparing takes one time whatever was sent."""

    @classmethod
    def of(cls, secrets: SenderSecrets) -> Self:
        """Make ready what is compared."""
        return cls(
            tuple(key_of(secret) for secret in secrets.signing_secrets),
            tuple(_static_digest(secret) for secret in secrets.static_secrets),
        )

    def fault(
        self, headers: Mapping[str, str], body: bytes, now: datetime, tolerance_seconds: float
    ) -> str | None:
        """Say in a word of ours why the sender is not known; None if it is.

        Header names are in lower case. Who tries to sign is judged by that alone: a wrong
        signature is not made good by another header. The word is for our log only.
        """
        signing = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
        if not any(name in headers for name in signing):
            return self._static_fault(headers.get(STATIC_HEADER, ""))
        message_id, timestamp, signatures = (headers.get(name, "") for name in signing)
        if not (message_id and timestamp and signatures):
            return "header_missing"
        if not _TIMESTAMP.fullmatch(timestamp):
            return "timestamp_malformed"
        if int(timestamp) < now.timestamp() - tolerance_seconds:
            return "too_old"
        if int(timestamp) > now.timestamp() + tolerance_seconds:
            return "too_new"
        given = [
            _bytes(signature)
            for version, _, signature in (each.partition(",") for each in signatures.split(" "))
            if version == _VERSION
        ]
        matches = False
        for key in self.signing:
            _, _, expected = sign(key, message_id, timestamp, body).partition(",")
            for signature in given:
                # No early end: the time taken tells neither which key nor which signature fits.
                matches |= hmac.compare_digest(expected.encode(), signature)
        return None if matches else "signature_wrong"

    def _static_fault(self, given: str) -> str | None:
        if not given:
            return "unsigned"
        digest = _static_digest(given)
        matches = False
        for each in self.static_digests:
            matches |= hmac.compare_digest(each, digest)
        return None if matches else "static_secret_wrong"


def _static_digest(secret: str) -> bytes:
    return hashlib.sha256(_bytes(secret)).digest()
