"""What happens between fake Zoho and its caller: dropped connections, broken answers, hang-ups."""

import asyncio
from typing import override

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive
from uvicorn.protocols.http.h11_impl import H11Protocol

BAD_GATEWAY_PAGE = """<html>
<head><title>502 Bad Gateway</title></head>
<body><center><h1>502 Bad Gateway</h1></center></body>
</html>
"""


class DroppableH11Protocol(H11Protocol):
    """Let the application drop its connection; ASGI itself has no way to answer nothing."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "drop_connection": transport.abort}


async def drop_connection(request: Request) -> None:
    """Close the connection at once, and wait until the server has noticed.

    Returning earlier would make uvicorn answer 500, as it does for an application that is silent.
    """
    request.scope["state"]["drop_connection"]()
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def caller_leaves(receive: Receive) -> None:
    """Return when the caller has closed its connection; the body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def caller_left_within(seconds: float, receive: Receive) -> bool:
    """Wait these real seconds; True, and at once, if the caller leaves meanwhile."""
    if seconds <= 0:
        return False
    try:
        async with asyncio.timeout(seconds):
            await caller_leaves(receive)
    except TimeoutError:
        return False
    return True


def bad_gateway() -> Response:
    """Answer as the gateway before Zoho does: with a page, not with JSON."""
    return Response(BAD_GATEWAY_PAGE, 502, media_type="text/html")


def truncated(response: Response) -> Response:
    """Cut an answer in half; its length header fits, so that only the JSON is broken."""
    body = bytes(response.body)
    return Response(
        body[: len(body) // 2], response.status_code, media_type=response.headers["content-type"]
    )
