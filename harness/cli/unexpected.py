"""The last handler: unforeseen errors, and characters that a terminal cannot show."""

from __future__ import annotations

import codecs
import io
import os
import platform
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

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
