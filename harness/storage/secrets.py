"""Removes the key for servers from texts, before they are kept or shown.

A server may send the key back in an answer, a model's name or an error, whole or in part, in
another case or with other signs between its own, and in the encodings of URLs (also twice), JSON,
HTML, mail, base64 and hexadecimal digits. Every text from a server passes :func:`without_keys`,
and so does everything that is written into run folders and stores.
"""

from __future__ import annotations

import base64
import functools
import os
import re
from collections.abc import Iterator

KEY = "OPENAI_API_KEY"
"""Environment variable of the key for servers."""
SHORTEST = 8
"""Characters of a key that give it away; shorter keys ("EMPTY", "none") are no secrets."""
_WORD = re.compile(r"[-_]*(?:[A-Z]?[a-z]+|[A-Z]+)[-_]*")
"""A key such as "anything", and a part such as "required", stand in texts that hold no key."""

_HIDDEN = "***"
_CODED = re.compile(
    r"%(?P<url>[0-9a-fA-F]{2})|\\u(?P<json>[0-9a-fA-F]{4})|\\x(?P<hex>[0-9a-fA-F]{2})"
    r"|\\u\{(?P<curly>[0-9a-fA-F]{1,6})\}|\\(?P<octal>[0-3][0-7]{2})|=(?P<mail>[0-9A-F]{2})"
    r"|&#x(?P<html>[0-9a-fA-F]{1,6});|&#(?P<number>[0-9]{1,7});|\\(?P<same>[\"\\/])"
)
_BASES = {"octal": 8, "number": 10}  # all others are hexadecimal
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_OTHERS = bytes(code for code in range(128) if chr(code) not in _LETTERS)
_HEX = re.compile(r"[0-9a-fA-F]{16,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{11,}={0,2}")  # 8 bytes take 11 signs
_STANDARD = str.maketrans("-_", "+/")


def is_secret(key: str) -> bool:
    """Say whether a key can be one: it is not short, and not a single word of letters."""
    return len(key) >= SHORTEST and not _WORD.fullmatch(key)


def without_keys(text: str) -> str:
    """Return a text with the key, and every 8 characters of it but words, replaced by ``***``."""
    key = os.environ.get(KEY, "").strip()
    return _Secret.of(key).removed(text) if is_secret(key) else text


class _Secret:
    """One key, and how to find its parts quickly."""

    def __init__(self, key: str) -> None:
        windows = (key, *sorted({*_parts(key, SHORTEST)}))
        parts = [re.escape(part) for part in windows if not _WORD.fullmatch(part)]
        self._window = re.compile(f"(?=({'|'.join(parts)}))")
        # Any window holds one of these whole: most texts hold none, and are done with.
        self._pieces = _parts(key, 5, 4)
        bare = _bare(key)
        self._bare_pieces = _parts(bare, 5, 4)
        self._bare = [one for one in _parts(bare, SHORTEST) if not one.isalpha()]  # words are none

    @classmethod
    @functools.lru_cache(maxsize=4)
    def of(cls, key: str) -> _Secret:
        return cls(key)

    def removed(self, text: str) -> str:
        spans = sorted({*self._in_codes(text), *self._in_base64(text), *self._in_hex(text)})
        if not spans:
            return text
        parts: list[str] = []
        end = 0
        for start, stop in spans:
            if start > end or not parts:
                parts += [text[end:start], _HIDDEN]
            end = max(end, stop)
        return "".join([*parts, text[end:]])

    def _plain(self, text: str) -> Iterator[tuple[int, int]]:
        if any(piece in text for piece in self._pieces):
            for match in self._window.finditer(text):
                yield match.span(1)

    def _scattered(self, text: str) -> Iterator[tuple[int, int]]:
        """Find it in another case, or with spaces, lines, quotes or hidden signs in between."""
        bare = _bare(text)
        if not any(piece in bare for piece in self._bare_pieces):
            return
        signs = [(at, sign) for at, sign in enumerate(map(str.lower, text)) if sign in _LETTERS]
        bare = "".join(sign for _, sign in signs)
        for part in self._bare:
            start = bare.find(part)
            while start >= 0:
                yield signs[start][0], signs[start + SHORTEST - 1][0] + 1
                start = bare.find(part, start + 1)

    def _in_codes(self, text: str, deep: int = 3) -> Iterator[tuple[int, int]]:
        r"""Find it as it is, and where signs are written as ``%73``, ``\u0073`` or ``&#115;``."""
        yield from self._plain(text)
        yield from self._scattered(text)
        decoded = _CODED.sub(_sign, text) if deep else text
        # What is coded may be coded again, as in %2573.
        found = [] if decoded == text else list(self._in_codes(decoded, deep - 1))
        if not found:
            return
        places = [0]  # of each decoded sign in the text, and of what follows the last one
        end = 0
        for match in _CODED.finditer(text):
            places += range(end + 1, match.start() + 1)
            places.append(match.end())
            end = match.end()
        places += range(end + 1, len(text) + 1)
        for start, stop in found:
            yield places[start], places[stop]

    def _in_hex(self, text: str) -> Iterator[tuple[int, int]]:
        for match in _HEX.finditer(text):
            for run in (match[0], match[0][1:]):
                decoded = bytes.fromhex(run[: len(run) // 2 * 2]).decode("latin-1")
                if next(self._plain(decoded), None) is not None:
                    yield match.span()
                    break

    def _in_base64(self, text: str) -> Iterator[tuple[int, int]]:
        for match in _BASE64.finditer(text):
            run = match[0].rstrip("=").translate(_STANDARD)
            for offset in range(4):
                part = run[offset:]
                part = part[: len(part) - (len(part) % 4 == 1)]
                decoded = base64.b64decode(part + "=" * (-len(part) % 4)).decode("latin-1")
                if next(self._plain(decoded), None) is not None:
                    yield match.span()
                    break


def _bare(text: str) -> str:
    return text.lower().encode("ascii", "ignore").translate(None, _OTHERS).decode()


def _parts(text: str, length: int, step: int = 1) -> list[str]:
    return [text[start : start + length] for start in range(0, len(text) - length + 1, step)]


def _sign(match: re.Match[str]) -> str:
    if match["same"]:
        return match["same"]
    assert match.lastgroup is not None
    code = int(match[match.lastgroup], _BASES.get(match.lastgroup, 16))
    return chr(code) if code < 0x110000 else "\ufffd"
