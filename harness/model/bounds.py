"""Limits of time and memory around foreign code that runs in this process."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class BoundsError(Exception):
    """The code took more time or memory than it may."""


@contextlib.contextmanager
def bounded(seconds: float, memory: int) -> Iterator[None]:
    """Stop the block when it takes longer, or more memory, than this.

    Both limits need Unix, and that of time the main thread.

    Raises:
        BoundsError: if a limit was reached.
    """
    try:
        with _memory(memory), _time(seconds):
            yield
    except MemoryError as error:
        raise BoundsError(f"it takes more than {memory >> 20} MiB of memory") from error


@contextlib.contextmanager
def _memory(more: int) -> Iterator[None]:
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_bytes().split()[0])
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * resource.getpagesize() + more
        if soft != resource.RLIM_INFINITY:
            wanted = min(wanted, soft)
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    except (ImportError, OSError, ValueError):  # no Linux
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def _time(seconds: float) -> Iterator[None]:
    """Count the processor's time: a busy machine is no reason; no other code uses this timer."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "setitimer"
    ):
        yield
        return

    def stop(*_: Any) -> None:
        raise BoundsError(f"it takes longer than {seconds:g} s")

    handler = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
