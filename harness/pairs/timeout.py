"""A time limit around code that may hang."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from harness.errors import HarnessError


class _TooLong(BaseException):
    """No ``Exception``: code that catches everything it knows of must not swallow the limit."""


@contextmanager
def time_limit(seconds: float, message: str) -> Iterator[None]:
    """Raise ``HarnessError(message)`` inside of the block when it takes too long.

    It works by a signal, so only in the main thread and where the system has timers; elsewhere
    there is no limit. Code that never returns to Python is interrupted when it does.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "setitimer"
    ):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _TooLong:
        raise HarnessError(message) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
