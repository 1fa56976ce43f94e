"""Unit tests touch nothing but memory: whoever opens a connection fails at once."""

import socket

import pytest


class SocketsBlockedError(RuntimeError):
    """A unit test tried to reach something."""


@pytest.fixture(autouse=True)
def _no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_socket: socket.socket, address: object) -> None:
        raise SocketsBlockedError(f"a unit test must not connect to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
