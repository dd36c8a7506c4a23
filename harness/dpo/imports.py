"""Importing a library without what it would import only because it happens to be installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def as_if_missing(*packages: str) -> Iterator[None]:
    """Let ``find_spec`` and ``import`` not find these packages in the block.

    lmms-eval installs wandb, and TRL imports what it can use: a quarter of the time that starting
    a training takes, for a client that nothing here calls (a tracker calls it when asked to).
    Packages that are imported already stay as they are.
    """
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # what import checks for
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
