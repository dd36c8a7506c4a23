"""A connection to an OpenAI-compatible server, and patience with what passes.

Whoever asks a server, as a model or as a judge, asks through :func:`patiently`. The key is read
from its environment variable by the caller of the library and never stands in a message.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

T = TypeVar("T")

KEY = "OPENAI_API_KEY"
TRIES = 6
_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_DENIED = frozenset({401, 403})
_LONGEST = 60.0  # seconds; a server that asks for more is tried again all the same


class Refused(Exception):  # noqa: N818  (what the server did)
    """A request that failed for good.

    Attributes:
        denied: the server does not accept the key, so no other request will do better.
    """

    def __init__(self, reason: str, *, denied: bool = False) -> None:
        """Say why, without a key in it."""
        super().__init__(reason)
        self.denied = denied


class Passing(Exception):  # noqa: N818  (may be raised by a sender: try again)
    """A reply that is no use but may be better next time, such as an empty one."""


def connect(address: str, timeout: float) -> Any:
    """Return a client for a server; nothing is sent."""
    import openai

    return openai.OpenAI(
        base_url=address,
        api_key=os.environ.get(KEY) or "none",
        max_retries=0,
        timeout=timeout,
    )


def patiently(send: Callable[[], T], *, pause: float) -> T:
    """Send, and try again while the server is busy, broken for now, slow or not reachable.

    Args:
        send: makes one try.
        pause: seconds before the second try; doubles with each further one, and is never shorter
            than what the server asks for in ``Retry-After``, up to a minute.

    Raises:
        Refused: if no try succeeded, or trying again is of no use.
    """
    last: Exception = Passing("no try was made")
    for attempt in range(TRIES):
        if attempt:
            # Spread the tries, so that a recovering server is not hit by all at once.
            wait = pause * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
            time.sleep(max(wait, _asked_for(last)))
        try:
            return send()
        except Exception as error:
            last = error
            if not _passes(error):
                break
    raise Refused(_reason(last), denied=getattr(last, "status_code", None) in _DENIED) from last


def _passes(error: Exception) -> bool:
    import openai

    if isinstance(error, openai.APIConnectionError | Passing):
        return True
    return isinstance(error, openai.APIStatusError) and error.status_code in _BUSY


def _asked_for(error: Exception) -> float:
    """Return the seconds in ``Retry-After``, given as a number or as a date; 0 without one."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(max(seconds, 0.0), _LONGEST)


def _reason(error: Exception) -> str:
    """Return kind and status of an error; its text may quote the request, so it is cut short."""
    status = getattr(error, "status_code", None)
    kind = f"{type(error).__name__} {status}" if status else type(error).__name__
    if status in _DENIED:  # servers quote parts of the key here
        return f"{kind}: the server does not accept the key in {KEY}"
    first = next(iter(str(error).strip().splitlines()), "")
    key = os.environ.get(KEY)
    return f"{kind}: {first.replace(key, '***') if key else first}"[:240]
