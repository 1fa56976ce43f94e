"""How texts are compared, and how a payload becomes a fingerprint."""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def same_name(text: str | None) -> str:
    """Bring a name into the form in which names are compared: NFKC, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text or "").casefold().split())


def same_email(text: str | None) -> str:
    """Bring an e-mail address into the form in which addresses are compared."""
    return (text or "").strip().casefold()


def same_phone(text: str | None) -> str:
    """Keep a phone number's last nine digits: +27 82… and 082… are one number.

    Fewer than seven digits identify nobody and give the empty text.
    """
    digits = "".join(character for character in text or "" if character.isdigit())
    return digits[-9:] if len(digits) >= 7 else ""


def fingerprint(content: Mapping[str, Any]) -> str:
    """Hash content so that equal content, in whatever order, has equal fingerprints."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(canonical.encode()).hexdigest()


def field_prints(payload: Mapping[str, Any]) -> dict[str, str]:
    """Hash each field by itself, so that a later plan can name those that have changed."""
    return {field: fingerprint({field: value})[:12] for field, value in payload.items()}


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} has no place in a fingerprint")
