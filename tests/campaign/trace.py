"""One file for all that happens in a round, written line by line by every process of it."""

import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Trace:
    """Append lines of JSON; a line is one write, so that lines of several processes never mix."""

    def __init__(self, path: Path, who: str, began: float) -> None:
        """`began` is the monotonic time of the round's start, the same in all its processes."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._who = who
        self._began = began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def write(self, event: str, /, **facts: Any) -> None:
        """Note what happens now."""
        seconds = round(time.monotonic() - self._began, 3)
        line = json.dumps({"t": seconds, "who": self._who, "event": event, **facts}, default=str)
        os.write(self._file, line.encode() + b"\n")


def read(path: Path) -> list[dict[str, Any]]:
    """Read a trace; the last line of a process that was killed is whole, or not there."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
