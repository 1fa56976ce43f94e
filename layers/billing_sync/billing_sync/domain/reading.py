"""What a row of ours is read as: not ours to send, or what is sent."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Skip:
    """The record is not ours to send."""

    reason: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Sendable:
    """What is sent for a customer. `figures` are what Zoho's answer is compared with."""

    key: str
    payload: dict[str, Any]
    figures: dict[str, Any]
    fingerprint: str
