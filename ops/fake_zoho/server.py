"""Run fake Zoho: in this process' main thread, or beside a test in a thread of its own."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import override

import uvicorn

from ops.fake_zoho.app import create_app
from ops.fake_zoho.client import FakeZohoControl
from ops.fake_zoho.clock import LimitsClock
from ops.fake_zoho.config import FakeZohoConfig
from ops.fake_zoho.connection import DroppableH11Protocol
from ops.fake_zoho.fake import FakeZoho

START_SECONDS = 10.0


@dataclass(frozen=True)
class RunningFake:
    """A fake Zoho that listens. Both hosts are one address: clients add the paths themselves."""

    url: str
    fake: FakeZoho
    control: FakeZohoControl

    @property
    def accounts_url(self) -> str:
        return self.url

    @property
    def api_url(self) -> str:
        return self.url


class FakeZohoServer(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, fake: FakeZoho, on_listening: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(fake),
                http=DroppableH11Protocol,
                ws="none",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,  # armed faults may leave callers hanging
            )
        )
        self._on_listening = on_listening

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Bind before the server starts, so that the port is known; 0 takes a free one.

    The protocol is named because asyncio turns Nagle's delay off only for sockets that say TCP:
    without it each answer takes 40 ms more.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def address(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"http://{host}:{port}"


@contextmanager
def running_fake_zoho(
    config: FakeZohoConfig | None = None, clock: LimitsClock | None = None
) -> Iterator[RunningFake]:
    """Run fake Zoho on a free port in a thread until the block ends."""
    fake = FakeZoho(config, clock)
    listening = threading.Event()
    server = FakeZohoServer(fake, listening.set)
    with listen() as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name="fake-zoho")
        thread.start()
        try:
            if not listening.wait(START_SECONDS):
                raise TimeoutError("fake Zoho did not start")
            with FakeZohoControl(address(listener)) as control:
                yield RunningFake(address(listener), fake, control)
        finally:
            server.should_exit = True
            thread.join()
