"""Which model behind which server a word after ``--model`` or ``--judge`` means.

``openai:MODEL[@URL]`` names both; the form of earlier versions, ``openai:URL#NAME``, is still read.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlsplit

from harness.errors import UsageError, plain
from harness.storage import KEY

SCHEME = "openai:"
OFFICIAL = "https://api.openai.com/v1"
BASE_URL = "OPENAI_BASE_URL"

_NEW = re.compile(r"(?P<model>.+?)@(?P<url>[A-Za-z][A-Za-z0-9+.-]*://.*)")
_BARE = re.compile(  # what stands after an @ and would be an address, were it not for http://
    r"localhost|\[[0-9A-Fa-f:.]+\].*|[^/]*:\d+|[^/]*/.*|\d+(\.\d+){3}|([A-Za-z0-9-]+\.)+[A-Za-z]{2,}|"
    r"(?!(?:latest|default|stable|preview|v?\d.*)$)[A-Za-z][A-Za-z0-9-]*"  # else it is a version
)
_ALONE = re.compile(r"(localhost|\d+(\.\d+){3})(:\d+)?(/.*)?|[^/@]+:\d+/.*")  # no model at all
_SECRET = re.compile(r"key|token|secret|passw|sig|auth|credential", re.IGNORECASE)


@dataclass(frozen=True)
class ServerName:
    """A model behind an OpenAI-compatible server.

    Attributes:
        model: the model's name, as the server knows it.
        address: the server's base URL, up to ``/v1``, as it was written.
    """

    model: str
    address: str

    @property
    def base(self) -> str:
        """The address without its query."""
        return self.address.partition("?")[0].rstrip("/")

    @property
    def query(self) -> dict[str, str]:
        """What every request carries behind the ``?``, such as an API version."""
        return dict(parse_qsl(self.address.partition("?")[2], keep_blank_values=True))


def server_name(word: str, flag: str) -> ServerName:
    """Read ``openai:MODEL[@URL]``, or the old form ``openai:URL#NAME``.

    Without an address, that in ``OPENAI_BASE_URL`` is meant, else OpenAI's own.

    Args:
        word: what the user typed.
        flag: where it was typed, such as ``--model``.

    Raises:
        UsageError: if it has another form, or the address is none that can be asked.
    """
    text = word.removeprefix(SCHEME)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        address, _, model = text.partition("#")
    elif found := re.fullmatch(r"@[a-z]+://.*", text):
        model, address = "", text[1:]
    elif found := _NEW.fullmatch(text):
        model, address = found["model"], found["url"]
    else:
        model, sign, tail = text.rpartition("@")
        if _ALONE.fullmatch(text):
            model, tail = "", text
        if (sign and _BARE.fullmatch(tail)) or _ALONE.fullmatch(text):
            name = model.partition("@")[0] or "MODEL"
            raise UsageError(
                f"{flag} {without_password(word)} has no http:// or https:// before the server's "
                f"address. Write {flag} {SCHEME}{plain(name)[:200]}@http://{_without_user(tail)}"
            )
        model, address = text, os.environ.get(BASE_URL) or OFFICIAL
    if not word.startswith(SCHEME) or not model.strip() or not model.isprintable():
        raise UsageError(
            f"{flag} {without_password(word)} names no model behind a server. Write {flag} "
            f"{SCHEME}MODEL or {flag} {SCHEME}MODEL@http://localhost:8000/v1"
        )
    _check(address, flag)
    return ServerName(model, address)


def _check(address: str, flag: str) -> None:
    """Find out whether an address can be asked and may be written down.

    Raises:
        UsageError: if not; a password in it stands in no message.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), None
    if "@" in parts.netloc:
        raise UsageError(
            f"The server's address after {flag} holds a name or password, which would be written "
            f"into the run folder. Leave it out: {_without_user(parts.netloc)}. The key belongs "
            f"into the environment variable {KEY}."
        )
    shown = without_password(address)
    ill = not address.isprintable() or " " in address
    if ill or parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise UsageError(
            f"The server's address {shown} after {flag} is not an http:// or https:// address with "
            "a host. Write, for example, http://localhost:8000/v1"
        )
    if parts.fragment:
        raise UsageError(
            f"The server's address {shown} after {flag} has a part behind '#'. Write the model "
            f"before the address: {flag} {SCHEME}MODEL@"
            f"{without_password(address.partition('#')[0])}"
        )
    if parts.path.rstrip("/").endswith("/chat/completions"):
        base = address.partition("?")[0].rstrip("/").removesuffix("/chat/completions")
        raise UsageError(
            f"The server's address after {flag} is that of one call. Write its beginning alone: "
            f"{without_password(base)}"
        )
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if _SECRET.search(name):
            raise UsageError(
                f"The server's address after {flag} seems to hold a secret ('{plain(name)}'), "
                "which would be written into the run folder. Leave it out, and put the key into "
                f"the environment variable {KEY}."
            )


def short_name(word: str) -> str:
    """Return the model's name alone where a word is ``openai:MODEL@URL``, else the word."""
    found = _NEW.fullmatch(word.removeprefix(SCHEME)) if word.startswith(SCHEME) else None
    return found["model"] if found else word


def _without_user(text: str) -> str:
    return plain(text.rpartition("@")[2])[:200]


def without_password(text: str) -> str:
    """Return what was typed for a message: harmless, short, and without user and password."""
    return re.sub(r"(//|@)[^/@]*:[^/@]*@|(//)[^/@]*@", r"\1\2", plain(text))[:200]
