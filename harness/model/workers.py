"""Many calls that wait for the network at once, none of which delays the end of the process."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def at_once(count: int, work: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
    """Yield the place of each item and what became of it, as they come.

    The threads are daemons, unlike those of ``concurrent.futures``: when the caller is interrupted,
    the process ends although some of them still wait for a server.

    Args:
        count: most items under way at the same time.
        work: what to do with an item.
        items: all of them.

    Raises:
        Exception: what ``work`` raises, for the caller.
    """
    todo: queue.SimpleQueue[tuple[int, T]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, R | None, BaseException | None]] = queue.SimpleQueue()
    over = threading.Event()
    for entry in enumerate(items):
        todo.put(entry)

    def labour() -> None:
        while not over.is_set():
            try:
                place, item = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((place, work(item), None))
            except BaseException as error:  # whatever it is, it is the caller's
                done.put((place, None, error))

    for _ in range(min(count, len(items))):
        run = contextvars.copy_context().run  # so that what they say is shown
        threading.Thread(target=run, args=(labour,), daemon=True).start()
    try:
        for _ in items:
            place, result, error = done.get()
            if error is not None:
                raise error
            yield place, result  # type: ignore[misc]  # without an error there is a result
    finally:
        over.set()
