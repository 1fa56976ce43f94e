"""What came over HTTP and what is answered, in the form of API Gateway's REST API (v1).

https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field

_DOOR: Final = re.compile(r"/webhooks/([^/]+)$")
"""The end of the path: before it stand a stage or a domain's base path, or nothing."""


@dataclass(frozen=True, slots=True)
class WebRequest:
    """A request. Header names are in lower case; nothing of it may be shown or logged."""

    method: str
    name: str
    """The path's part behind `/webhooks/`; empty where the path is another one."""
    headers: Mapping[str, str] = field(repr=False)
    text: str = field(repr=False)
    is_base64: bool = False

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self:
        """Read a proxy event. Of a header that was sent twice, API Gateway gives the last."""
        found = _DOOR.search(event.get("path") or "")
        headers: Mapping[str, str] = event.get("headers") or {}
        return cls(
            method=event.get("httpMethod") or "",
            name=found[1] if found else "",
            headers={name.lower(): value for name, value in headers.items()},
            text=event.get("body") or "",
            is_base64=bool(event.get("isBase64Encoded")),
        )

    @property
    def media_type(self) -> str:
        """Give the type of the content without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def body(self, *, largest: int) -> bytes | None:
        """Give the bytes that the sender sent, None where they are too many.

        :raises ValueError: what is said to be base64 is not.
        """
        # In base64 four characters stand for three bytes: what is far too long is not decoded.
        if len(self.text) > (largest + 3) * 4 // 3 + 4:
            return None
        if self.is_base64:
            try:
                body = base64.b64decode(self.text.encode("ascii"), validate=True)
            except (binascii.Error, UnicodeError):
                raise ValueError("it is not base64") from None
        else:
            body = self.text.encode("utf-8", "surrogatepass")
        return body if len(body) <= largest else None


class WebAnswer(BaseModel):
    """An answer, written as API Gateway wants it; `log` stays in the house."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    status: int = Field(serialization_alias="statusCode")
    headers: dict[str, str]
    body: str
    is_base64: bool = Field(default=False, serialization_alias="isBase64Encoded")
    log: dict[str, Any] = Field(default_factory=dict, exclude=True)

    @classmethod
    def of(cls, status: int, content: Mapping[str, Any], **headers: str) -> Self:
        """Answer with JSON that nobody keeps."""
        fixed = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return cls(status=status, headers={**fixed, **headers}, body=json.dumps(content))

    def noting(self, **log: Any) -> Self:
        """Give the same answer with these fields for the log; those that are None are left out."""
        return self.model_copy(update={"log": {k: v for k, v in log.items() if v is not None}})
