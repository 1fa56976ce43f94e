"""The log of every request that reached fake Zoho, and what can be proved from it.

Times are Zoho's seconds (`LimitsClock`). No secret and nothing personal is kept: of a query only
the names of its keys, of a token only its ordinal.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel

MINT_TOKEN: Final = "mint_token"  # noqa: S105 - the name of an operation


class LogEntry(BaseModel):
    """One request. `status` is None if no answer left the server; `ended` is None meanwhile."""

    sequence: int
    arrived: float
    ended: float | None = None
    method: str
    path: str
    query_keys: list[str]
    organisation: str | None = None
    operation: str | None = None
    status: int | None = None
    code: int | None = None
    token: int | None = None
    fault: str | None = None

    @property
    def is_api_call(self) -> bool:
        return self.operation != MINT_TOKEN


class RequestLog:
    def __init__(self) -> None:
        self.entries: list[LogEntry] = []

    def open(self, *, arrived: float, method: str, path: str, query_keys: list[str]) -> LogEntry:
        entry = LogEntry(
            sequence=len(self.entries) + 1,
            arrived=arrived,
            method=method,
            path=path,
            query_keys=query_keys,
        )
        self.entries.append(entry)
        return entry


def max_in_any_window(log: Iterable[LogEntry], seconds: float) -> int:
    """Count the most requests that arrived within any window (t - seconds, t].

    A window that holds the maximum can always be moved so that it ends with an arrival: looking
    back from each arrival misses none.
    """
    most = 0
    window: deque[float] = deque()
    for arrived in sorted(entry.arrived for entry in log):
        window.append(arrived)
        while window[0] <= arrived - seconds:
            window.popleft()
        most = max(most, len(window))
    return most


def max_in_flight(log: Iterable[LogEntry]) -> int:
    """Count the most requests that were in the server at one moment; open ones never ended."""
    changes: list[tuple[float, int]] = []
    for entry in log:
        changes.append((entry.arrived, 1))
        if entry.ended is not None:
            changes.append((entry.ended, -1))
    most = present = 0
    for _, change in sorted(changes):  # at one moment, those who leave go first
        present += change
        most = max(most, present)
    return most
