"""What can go wrong, and the exit code that says so.

Every error the user can cause carries three things in one paragraph: what happened, where,
and what to type next. Such errors are shown without a traceback.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from enum import IntEnum
from importlib.util import find_spec
from pathlib import Path


class ExitCode(IntEnum):
    """How the command line ends (design: section 8)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNSCORED = 3
    REGRESSION = 4
    INTERRUPTED = 130
    UNHEARD = 141  # nobody reads stdout any more, as after | head


FOREIGN = (Exception, SystemExit)
"""What the code of a benchmark may raise; its exit must not end a command that goes on."""


class HarnessError(Exception):
    """A stage could not do its work; the message says what, where and what to type next."""

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


def why(error: BaseException) -> str:
    """Return what an error says on one line, without the number and file the system adds."""
    return plain(str((error.strerror if isinstance(error, OSError) else None) or error))


def pip(action: str) -> str:
    """Return the command that installs or uninstalls packages in this environment.

    Environments that uv makes have no pip, and nobody activates that of a ``uv tool``.
    """
    if find_spec("pip"):
        return f"pip {action}"
    tool = (Path(sys.prefix) / "uv-receipt.toml").is_file()
    return f"uv pip {action}" + (f" --python {sys.prefix}" if tool else "")


def some(items: Sequence[str], sign: str = ", ", most: int = 5) -> str:
    """Return the first few items in words, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return sign.join(items[:most]) + more


def brief(text: str, most: int = 300) -> str:
    """Return foreign text on one line, cut between words where it is longer than ``most``."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    return (line[: most - 4].rsplit(" ", 1)[0] or line[: most - 4]) + " ..."


def as_markdown(line: str) -> str:
    """Return one line of foreign text whose every Markdown and HTML sign is shown as itself.

    No mention notifies anybody and no address becomes a link.
    """
    line = html.escape(line, quote=False)
    line = re.sub(r"([\\`*_{}\[\]#~|!])", r"\\\1", line)
    line = re.sub(r"([@:/]|www\.)(?=[\w/])", "\\1\u200b", line)
    line = re.sub(r"^([-+])", r"\\\1", line)
    return re.sub(r"^(\d{1,9})([.)])(?=\s|$)", r"\1\\\2", line)  # else the number of a list


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Turn whatever a benchmark's own code or data raise into one paragraph that says where.

    Args:
        what: the part of a benchmark that is at work, to begin the sentence.

    Raises:
        HarnessError: in the place of every other exception.
    """
    try:
        yield
    except HarnessError:
        raise
    except FOREIGN as error:
        raise HarnessError(
            f"{what} failed: {reason_of(error)}. Repair it and run the same command again; answers "
            "are kept."
        ) from error


def reason_of(error: BaseException) -> str:
    """Return kind, message and place of an error that foreign code or data raised, on one line."""
    import traceback

    if isinstance(error, HarnessError):
        return plain(str(error))
    cause = cause_of(error)
    frames = traceback.extract_tb(cause.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(cause).__name__}: {brief(plain(str(cause)))}{place}"


def cause_of(error: BaseException) -> BaseException:
    """Return what made the last attempt fail, where ``tenacity`` (in lmms-eval) tried again."""
    attempt = getattr(error, "last_attempt", None)
    return (attempt.exception() if attempt is not None else None) or error
