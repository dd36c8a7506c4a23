"""The last handler: unforeseen errors, sudden ends, and characters that a terminal cannot show."""

from __future__ import annotations

import codecs
import contextlib
import faulthandler
import io
import os
import platform
import sys
import threading
import traceback
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn, TextIO

from harness.errors import brief

DEBUG = "HARNESS_DEBUG"
_ALIKE = {
    "–": "-",
    "—": "-",
    "−": "-",
    "‑": "-",
    "…": "...",
    "×": "x",
    "→": "->",
    "↓": "(lower)",
    "▲": "+",
    "▼": "-",
    "†": "**",
    "≤": "<=",
    "≥": ">=",
    "±": "+/-",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "•": "*",
    "✓": "+",
    "━": "-",
    "─": "-",
}
"""What stands for a sign that the terminal's encoding does not have."""


def unexpected(error: BaseException) -> str:
    """Say in one paragraph what was raised where, and how to report it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    told = brief(str(error)) or "no message"
    return (
        f"Something unexpected stopped this command: {type(error).__name__}: {told}{place}, "
        f"vlm-harness {version('vlm-harness')}, Python {platform.python_version()}. Finished work "
        "is kept: the same command goes on from there. Please report it with this line and the "
        f"command; {DEBUG}=1 or harness --debug shows the whole traceback."
    )


@contextlib.contextmanager
def no_sudden_end() -> Iterator[None]:
    """Let foreign code end the process neither without a word nor with a code that means success.

    ``os._exit`` of a benchmark or plugin becomes an error like its ``sys.exit``; processes that
    were forked, and threads, may end themselves. A fault of a library in C ends the process by a
    signal all the same; then Python says where. Whoever replaces the process (``os.exec``), or ends
    it from C, cannot be held up; no result is there then, which ``harness gate`` says.
    """
    real, owner = os._exit, os.getpid()

    def caught(status: int) -> NoReturn:
        if os.getpid() != owner or threading.current_thread() is not threading.main_thread():
            real(status)
        caller = sys._getframe(1)
        place = f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}"
        raise SystemExit(f"os._exit({status!r}) was called in {place}")

    with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr may be no file
        faulthandler.enable(all_threads=False)
    os._exit = caught
    try:
        yield
    finally:
        os._exit = real


def writable_anywhere() -> None:
    """Let stdout and stderr write every text in any encoding: by a sign that looks alike.

    What was closed before this process began (``>&-``) goes nowhere.
    """
    codecs.register_error(_HANDLER, _alike)
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


_HANDLER = "harness-alike"


def _alike(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(_ALIKE.get(sign, "?") for sign in wrong), error.end
