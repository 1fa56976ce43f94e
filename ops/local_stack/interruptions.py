"""Let Ctrl-C, TERM and HUP end a program in order: as one exception, at a harmless moment."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """Somebody asked the program to end; unwinds the stack as Ctrl-C does."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"ended by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """Answer what a shell shows for a program that this signal ended."""
        return 128 + self.signal_number


class _Held:
    """How deep in `held` we are, and the signal that arrived meanwhile."""

    depth = 0
    arrived: int | None = None


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` for each of the signals, in the main thread, until the block ends.

    Without it TERM would end Python on the spot, and leave behind what it started.
    In any other thread this changes nothing: signals are the main thread's affair.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Keep a signal back until the block ends.

    For the moment between starting a process and noting it down, and for stopping: a second
    Ctrl-C would otherwise leave half of it running.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Held.depth += 1
    try:
        yield
    finally:
        _Held.depth -= 1
        if _Held.depth == 0 and _Held.arrived is not None:
            arrived, _Held.arrived = _Held.arrived, None
            raise Interrupted(arrived)


def _on_signal(number: int, _frame: FrameType | None) -> None:
    if _Held.depth:
        _Held.arrived = number
    else:
        raise Interrupted(number)
