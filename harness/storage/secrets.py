"""Removes the key for servers from texts, before they are kept or shown.

A server may send the key back in an answer, a model's name or an error, whole or in part, forwards
or backwards, in another case, in full-width and other letters that NFKC makes plain ones, or with
other signs between its own, and in the encodings of URLs (also twice), JSON, HTML, mail, base64,
base32 and hexadecimal digits: these also over several lines, and one in another. Every text from a
server passes :func:`without_keys`, and so does everything that is written into run folders and
stores. What a determined server can do all the same is not found: ciphers and compression, other
alphabets of digits, letters that only look alike (Cyrillic), encoded parts with other signs in
between, three encodings in one another, and parts of fewer than eight characters.
"""

from __future__ import annotations

import base64
import functools
import os
import re
import unicodedata
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
_BREAKS = re.compile(r"(?:\s|\\[rn])+")


def _runs(signs: str, least: int) -> re.Pattern[str]:
    """Find at least so many signs, also where line breaks part them, as text or in JSON."""
    broken = rf"[ \t]*(?:[\r\n]|\\[rn])(?:\s|\\[rn])*{signs}+"
    whole, parted = rf"{signs}{{{least},}}(?:{broken})*", rf"(?<!{signs}){signs}+(?:{broken})+"
    return re.compile(f"(?:{whole}|{parted})={{0,6}}")


def _of_hex(run: str) -> Iterator[bytes]:
    for each in (run, run[1:]):
        yield bytes.fromhex(each[: len(each) // 2 * 2])


def _of_base64(run: str) -> Iterator[bytes]:
    standard = run.translate(_STANDARD)
    for start in range(4):
        part = standard[start:]
        part = part[: len(part) - (len(part) % 4 == 1)]
        yield base64.b64decode(part + "=" * (-len(part) % 4))


def _of_base32(run: str) -> Iterator[bytes]:
    bits = "".join(_QUINTETS[sign] for sign in run.upper())
    for start in range(0, 40, 5):
        part = bits[start : len(bits) - (len(bits) - start) % 8]
        yield int(part or "0", 2).to_bytes(len(part) // 8, "big")


_STANDARD = str.maketrans("-_", "+/")
_QUINTETS = {sign: f"{at:05b}" for at, sign in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")}
_FORMS = (
    (_runs("[0-9a-fA-F]", 16), 16, _of_hex),
    (_runs("[A-Za-z0-9+/_-]", 11), 11, _of_base64),
    (_runs("[A-Z2-7]", 13), 13, _of_base32),
    (_runs("[a-z2-7]", 13), 13, _of_base32),
)
"""Encodings of bytes: their runs of signs, how many hold eight bytes, and what a run can mean."""


class _Plain(dict[int, int]):
    """Letters that are written otherwise (full-width, bold) as their plain ones, sign by sign."""

    def __missing__(self, code: int) -> int:
        plain = unicodedata.normalize("NFKC", chr(code)) if code > _LAST else ""
        self[code] = ord(plain) if len(plain) == 1 and plain.isascii() else code
        return self[code]


_LAST = 127
_PLAIN = _Plain()


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
        back = key[::-1]
        windows = (key, back, *sorted({*_parts(key, SHORTEST), *_parts(back, SHORTEST)}))
        parts = [re.escape(part) for part in windows if not _WORD.fullmatch(part)]
        self._window = re.compile(f"(?=({'|'.join(parts)}))")
        # Any window holds one of these whole: most texts hold none, and are done with.
        self._pieces = _parts(key, 5, 4) + _parts(back, 5, 4)
        bares = (_bare(key), _bare(back))
        self._bare_pieces = [piece for bare in bares for piece in _parts(bare, 5, 4)]
        parts = [part for bare in bares for part in _parts(bare, SHORTEST)]
        self._bare = [part for part in parts if not part.isalpha()]  # words are none

    @classmethod
    @functools.lru_cache(maxsize=4)
    def of(cls, key: str) -> _Secret:
        return cls(key)

    def removed(self, text: str) -> str:
        plain = text if text.isascii() else text.translate(_PLAIN)
        spans = sorted({*self._in_codes(plain), *self._in_runs(plain)})
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

    def _in_runs(self, text: str, deep: int = 2) -> Iterator[tuple[int, int]]:
        """Find it in base64, base32 and hexadecimal digits, ``deep`` of them in one another."""
        for form, least, decoded in _FORMS:
            for match in form.finditer(text):
                run = _BREAKS.sub("", match[0]).rstrip("=")
                if len(run) >= least and any(self._holds(each, deep - 1) for each in decoded(run)):
                    yield match.span()

    def _holds(self, data: bytes, deep: int) -> bool:
        text = data.decode("latin-1")
        if next(self._plain(text), None) is not None:
            return True
        return deep > 0 and data.isascii() and next(self._in_runs(text, deep), None) is not None


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
