"""How a call leaves: within its send window, answered within a total deadline, never sent twice.

    time ─────▶  connect, TLS        first byte             last byte of the answer
                 │◀── send_by ──────▶│◀──── deadline_seconds ────▶│
    trouble here:   NothingLeft              AnswerLost

httpx and httpcore know time-outs per read and per write: a server that sends a byte now and then
may keep a worker for ever. So the network stream under httpcore is wrapped: every operation gets
what is left of the call's own time. The wrapper also is the last place before the socket, where a
call that comes too late (its worker stalled) is held back; and it alone knows whether a byte left,
which decides between «safe to send again» and «in doubt».

A request is never repeated silently: httpcore repeats only when it found no usable connection,
before a byte was written (test_a_post_on_a_connection_that_the_server_closes_is_sent_once).
"""

import logging
import ssl
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Final, cast

import httpcore
import httpx

KEEP_ALIVE_SECONDS: Final = 5.0
LARGEST_ANSWER_BYTES: Final = 32 * 1024 * 1024

# They log URLs with their queries, which may hold what we search for.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class NothingLeft(httpx.TransportError):
    """No byte of the request left. `late`: it could have, but its send window was over."""

    def __init__(self, message: str, *, late: bool) -> None:
        super().__init__(message)
        self.late = late


class AnswerLost(httpx.TransportError):
    """The request left, at least in part, and no whole answer came."""


class _TooLate(Exception):
    """The send window was over when the first byte was about to leave."""


class _Call:
    """The times of one call, and whether its first byte has left."""

    def __init__(
        self, send_by: float, deadline_seconds: float, monotonic: Callable[[], float]
    ) -> None:
        self._send_by = send_by
        self._deadline_seconds = deadline_seconds
        self._monotonic = monotonic
        self._left_at: float | None = None

    @property
    def has_left(self) -> bool:
        return self._left_at is not None

    def about_to_write(self) -> None:
        if self._left_at is not None:
            return
        now = self._monotonic()
        if now > self._send_by:
            raise _TooLate
        self._left_at = now

    def seconds_left(self) -> float:
        """Give what is left of the window, or of the deadline once the first byte left."""
        if self._left_at is None:
            return self._send_by - self._monotonic()
        return self._left_at + self._deadline_seconds - self._monotonic()


# A call runs in one thread from connecting to the last byte, and pooled connections outlive calls.
_CALL: ContextVar[_Call] = ContextVar("call")


class _Stream(httpcore.NetworkStream):
    """A connection on which the current call's times hold."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        left = _CALL.get().seconds_left()
        if left <= 0:
            raise httpcore.ReadTimeout("the call's deadline is over")
        return self._stream.read(max_bytes, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        call = _CALL.get()
        call.about_to_write()
        left = call.seconds_left()
        if left <= 0:
            raise httpcore.WriteTimeout("the call's deadline is over")
        self._stream.write(buffer, left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left = _time_to_connect()
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Opens connections on which the current call's times hold."""

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._backend.connect_tcp(
            host, port, _time_to_connect(), local_address, socket_options
        )
        return _Stream(stream)


def _time_to_connect() -> float:
    left = _CALL.get().seconds_left()
    if left <= 0:
        raise _TooLate
    return left


class DeadlineTransport(httpx.BaseTransport):
    """Send each request once, within the times that its `extensions` give.

    `send_by`: monotonic time by which the first byte must leave. `deadline_seconds`: from the first
    byte to the last of the answer, which is read here, whole, so that no read happens outside.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=20,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
            retries=0,
            network_backend=_Backend(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and read its whole answer.

        :raises NothingLeft: before the first byte.
        :raises AnswerLost: after it.
        """
        call = _Call(
            send_by=request.extensions["send_by"],
            deadline_seconds=request.extensions["deadline_seconds"],
            monotonic=self._monotonic,
        )
        token = _CALL.set(call)
        try:
            return self._send(request, call)
        except _TooLate:
            raise NothingLeft("the send window was over", late=True) from None
        except (
            httpcore.TimeoutException,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            ssl.SSLError,
            OSError,
        ) as error:
            # The kind only: a message may hold a host or what was sent.
            kind = type(error).__name__
            if call.has_left:
                raise AnswerLost(kind) from None
            raise NothingLeft(kind, late=False) from None
        finally:
            _CALL.reset(token)

    def _send(self, request: httpx.Request, call: _Call) -> httpx.Response:
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.read(),
                extensions={"timeout": {"pool": max(call.seconds_left(), 0.0)}},
            )
        )
        body = bytearray()
        try:
            for chunk in cast("Iterable[bytes]", answer.stream):
                body += chunk
                if len(body) > LARGEST_ANSWER_BYTES:
                    raise AnswerLost("the answer is too large")
        finally:
            answer.close()
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=httpx.ByteStream(bytes(body)),
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


def open_http(monotonic: Callable[[], float] = time.monotonic) -> httpx.Client:
    """Make the one client of a process: no redirects, no proxies or credentials from outside."""
    return httpx.Client(
        transport=DeadlineTransport(monotonic),
        follow_redirects=False,
        trust_env=False,
        headers={"User-Agent": "billing-sync"},
    )
