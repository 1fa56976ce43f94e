"""What fake Zoho does to a connection: drop it without a byte, notice that the caller has gone."""

import asyncio
from typing import override

from starlette.requests import Request
from starlette.types import Receive
from uvicorn.protocols.http.h11_impl import H11Protocol


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
