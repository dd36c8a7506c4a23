"""What can go wrong, and the exit code that says so.

Every error the user can cause carries three things in one paragraph: what happened, where,
and what to type next. Such errors are shown without a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum


class ExitCode(IntEnum):
    """How the command line ends (design: section 8)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNSCORED = 3
    REGRESSION = 4
    INTERRUPTED = 130


class HarnessError(Exception):
    """A room could not do its work; the message says what, where and what to type next."""

    code = ExitCode.FAILED


class UsageError(HarnessError):
    """The user asked for something that does not exist or does not fit."""

    code = ExitCode.USAGE


def near_miss(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or an empty string."""
    match = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""


def plain(text: str) -> str:
    """Return foreign text on one line that cannot control a terminal."""
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in text)
