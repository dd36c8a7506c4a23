"""A list in JSON, read item by item: some lists are larger than many memories."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_FAR = 1 << 22
"""An error further than this from the end of the buffer is not a truncation."""


class BrokenListError(ValueError):
    """Text that is not a list in JSON.

    Attributes:
        line: where, from 1.
        reason: why.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line, self.reason = line, reason


def list_items(chunks: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """Yield the items of a list in JSON, each with the number of its line, while it is read.

    At most one item and one chunk are held at a time.

    Raises:
        BrokenListError: if it is no list, or ends too early.
    """
    text = _Window(chunks)
    if text.peek() != "[":
        raise BrokenListError(text.line(), "a list was expected")
    text.place += 1
    mark = "]" if text.peek() == "]" else ","
    while mark == ",":
        text.peek()
        yield text.line(), text.item()
        mark = text.peek()
        text.place += mark == ","
    if mark != "]":
        raise BrokenListError(text.line(), "a comma or the end of the list was expected")
    text.place += 1
    if text.peek():
        raise BrokenListError(text.line(), "there is more after the list")


class _Window:
    """The part of a long text that is being read, and the line where it is."""

    _MARK = re.compile(r"\S")
    _DECODE = json.JSONDecoder().raw_decode

    def __init__(self, chunks: Iterator[str]) -> None:
        self.place = 0
        self._text, self._chunks, self._ended = "", chunks, False
        self._line, self._counted = 1, 0

    def line(self) -> int:
        """Return the number of the line, from 1."""
        if self.place > self._counted:
            self._line += self._text.count("\n", self._counted, self.place)
            self._counted = self.place
        return self._line

    def peek(self) -> str:
        """Go to the next character that is no white space and return it; "" at the end."""
        while (found := self._MARK.search(self._text, self.place)) is None:
            self.place = len(self._text)
            if self._ended:
                return ""
            self._more()
        self.place = found.start()
        return found.group()

    def item(self) -> Any:
        """Decode what begins here and go past it."""
        while True:
            try:
                value, end = self._DECODE(self._text, self.place)
                if not isinstance(value, int | float) or self._ended or self._is_over(end):
                    self.place = end
                    return value
            except json.JSONDecodeError as error:
                if self._ended or len(self._text) - error.pos > _FAR:
                    self.place = error.pos
                    raise BrokenListError(self.line(), error.msg) from error
            except RecursionError as error:
                raise BrokenListError(self.line(), "nested too deeply") from error
            self._more()

    def _is_over(self, end: int) -> bool:
        """Say whether a number that was read up to here cannot go on."""
        return end < len(self._text) and self._text[end] not in "0123456789.eE+-"

    def _more(self) -> None:
        self.line()
        chunk = next(self._chunks, None)
        self._ended = chunk is None
        self._text = self._text[self.place :] + (chunk or "")
        self.place = self._counted = 0
