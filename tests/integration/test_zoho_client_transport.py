"""How a call leaves and comes back, over real sockets: window, deadline, no second sending."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat

import httpx
import pytest

from billing_sync.adapters.zoho.transport import AnswerLost, DeadlineTransport, NothingLeft

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Listener:
    """A server of raw bytes: `behave` is called with each connection, one after the other."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.connections = 0
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._socket.getsockname()
        return f"http://{host}:{port}/"

    def read_request(self, connection: socket.socket) -> bytes:
        """Read one request whole; empty at the end of the connection."""
        request = b""
        while b"\r\n\r\n" not in request:
            part = connection.recv(65536)
            if not part:
                return b""
            request += part
        head, _, body = request.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
        missing = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
        while missing > 0:
            part = connection.recv(missing)
            request += part
            missing -= len(part)
        self.requests.append(request)
        return request

    def stop(self) -> None:
        self.closing.set()
        # Wakes up a thread that waits for a connection.
        socket.create_connection(self._socket.getsockname()).close()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if self.closing.is_set():
                    return
                self.connections += 1
                try:
                    self._behave(connection)
                except OSError:
                    continue  # the client has gone: what the tests are about


@contextmanager
def listening(behave: Callable[[Listener, socket.socket], None]) -> Iterator[Listener]:
    server = Listener(lambda connection: behave(server, connection))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(transport=DeadlineTransport(), trust_env=False) as client:
        yield client


def times(*, window: float = 5, deadline: float = 5) -> dict[str, float]:
    return {"send_by": time.monotonic() + window, "deadline_seconds": deadline}


def drip(parts: Iterator[bytes]) -> Callable[[Listener, socket.socket], None]:
    """Send a little every 50 ms: no single read ever waits long."""

    def behave(server: Listener, connection: socket.socket) -> None:
        server.read_request(connection)
        for part in parts:
            if server.closing.is_set():
                return
            connection.sendall(part)
            time.sleep(0.05)

    return behave


@pytest.mark.parametrize(
    "parts",
    [
        repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
        chain([b"HTTP/1.1 200 OK\r\n"], repeat(b"X-Slow: yes\r\n")),
        chain([b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"], repeat(b"x")),
    ],
    ids=["interim answers", "headers", "body"],
)
def test_a_server_that_drips_is_left_at_the_deadline(
    http: httpx.Client, parts: Iterator[bytes]
) -> None:
    with listening(drip(parts)) as server:
        started = time.monotonic()

        with pytest.raises(AnswerLost):
            http.post(server.url, content=b"{}", extensions=times(deadline=0.4))

        assert time.monotonic() - started < 1.5


def test_a_server_that_says_nothing_is_left_at_the_deadline(http: httpx.Client) -> None:
    def behave(server: Listener, connection: socket.socket) -> None:
        server.read_request(connection)
        server.closing.wait(5)

    with listening(behave) as server:
        started = time.monotonic()

        with pytest.raises(AnswerLost):
            http.get(server.url, extensions=times(deadline=0.3))

        assert 0.25 < time.monotonic() - started < 1.5


def answer_twice(server: Listener, connection: socket.socket) -> None:
    while server.read_request(connection):
        connection.sendall(OK)


def test_a_call_whose_window_is_over_does_not_leave(http: httpx.Client) -> None:
    with listening(answer_twice) as server:
        with pytest.raises(NothingLeft) as caught:
            http.post(server.url, content=b"{}", extensions=times(window=-0.001))

        assert caught.value.late
        assert server.requests == []


def test_a_worker_that_stalls_right_before_the_first_byte_sends_nothing() -> None:
    """Held back in the last moment, on a connection that is open already.

    Its HTTP state says by then that a request has begun, so it must not be used again either.
    """
    now = 100.0
    within = {"send_by": 105.0, "deadline_seconds": 5.0}

    def stall() -> Iterator[bytes]:
        nonlocal now
        now = 106.0
        yield b"{}"

    transport = DeadlineTransport(monotonic=lambda: now)
    with listening(answer_twice) as server, httpx.Client(transport=transport) as client:
        before = client.get(server.url, extensions=within)
        with pytest.raises(NothingLeft) as caught:
            client.post(server.url, content=stall(), extensions=within)
        now = 101.0
        after = client.get(server.url, extensions=within)

        assert caught.value.late
        assert (before.text, after.text) == ("ok", "ok")
        assert [request[:4] for request in server.requests] == [b"GET ", b"GET "]
        assert server.connections == 2


def test_a_post_on_a_connection_that_the_server_closes_is_sent_once(http: httpx.Client) -> None:
    """The server takes the second request of a kept-alive connection and closes without a word."""

    def behave(server: Listener, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(OK)
        server.read_request(connection)

    with listening(behave) as server:
        http.post(server.url, content=b"first", extensions=times())

        with pytest.raises(AnswerLost):
            http.post(server.url, content=b"second", extensions=times())

        assert [request.rpartition(b"\r\n")[2] for request in server.requests] == [
            b"first",
            b"second",
        ]
        assert server.connections == 1


def test_an_idle_connection_that_the_server_closed_is_replaced_before_anything_is_sent(
    http: httpx.Client,
) -> None:
    def behave(server: Listener, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(OK)

    with listening(behave) as server:
        http.post(server.url, content=b"first", extensions=times())
        time.sleep(0.1)

        answer = http.post(server.url, content=b"second", extensions=times())

        assert answer.text == "ok"
        assert len(server.requests) == 2
        assert server.connections == 2


def test_where_nobody_listens_nothing_leaves(http: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        host, port = closed.getsockname()

    with pytest.raises(NothingLeft) as caught:
        http.post(f"http://{host}:{port}/", content=b"{}", extensions=times())

    assert not caught.value.late


def test_a_name_that_does_not_resolve_is_no_sending(http: httpx.Client) -> None:
    with pytest.raises(NothingLeft):
        http.post("http://nowhere.invalid/", content=b"{}", extensions=times())


def test_tls_that_cannot_be_verified_is_no_sending(http: httpx.Client) -> None:
    def behave(_server: Listener, connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(b"not TLS")

    with listening(behave) as server, pytest.raises(NothingLeft):
        http.post(server.url.replace("http:", "https:"), content=b"{}", extensions=times())


def test_a_reset_after_sending_is_a_lost_answer(http: httpx.Client) -> None:
    def behave(server: Listener, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    with listening(behave) as server, pytest.raises(AnswerLost):
        http.post(server.url, content=b"{}", extensions=times())


def test_a_redirect_is_not_followed(http: httpx.Client) -> None:
    def behave(server: Listener, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(
            b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
        )

    with listening(behave) as server:
        answer = http.post(server.url, content=b"{}", extensions=times())

        assert answer.status_code == 307
        assert len(server.requests) == 1
