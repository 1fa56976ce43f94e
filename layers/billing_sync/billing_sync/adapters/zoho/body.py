"""Bodies of Zoho's API: what is sent as JSON, and what of an answer is JSON at all."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import httpx

from billing_sync.domain.errors import Rejected


def encode_body(payload: Mapping[str, Any]) -> bytes:
    """Write the payload as strict UTF-8 JSON without nulls; amounts become numeric strings.

    Zoho refuses a null in a typed field, and takes numbers as strings (billing-api §1.3, §3).

    :raises Rejected: for text that is no Unicode (a lone surrogate) and for amounts that are no
        numbers, naming the field. It is Zoho's refusal foreseen: the caller's intent is open, and
        is closed as for any other refusal.
    """
    kept = {name: _without_nulls(value) for name, value in payload.items() if value is not None}
    for name, value in kept.items():
        try:
            _to_json(value).encode()
        except ValueError:  # UnicodeEncodeError is one
            raise Rejected(
                f"The value of {name} cannot be written as JSON text.", field=name
            ) from None
    return _to_json(kept).encode()


def decode_envelope(response: httpx.Response) -> dict[str, Any]:
    """Read the body; anything but a JSON object (HTML, truncated, a NaN) is an empty one."""
    try:
        body = json.loads(response.content, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def code_of(envelope: Mapping[str, Any]) -> int | None:
    """Read the body's code, which may be a number or its digits."""
    code = envelope.get("code")
    if isinstance(code, int) and not isinstance(code, bool):
        return code
    if isinstance(code, str) and code.isdecimal() and code.isascii():
        return int(code)
    return None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(item) for item in value if item is not None]
    return value


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_amount)


def _amount(value: object) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    raise ValueError("neither text nor a finite amount")


def _no_constant(name: str) -> None:
    raise ValueError(name)
