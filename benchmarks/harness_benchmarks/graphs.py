"""Mementos' graphs of synonyms, taken out of their pickles without loading them.

A pickle is a program, and loading it runs it. These hold one object with one attribute, a table
of tables of lists of words. So :mod:`pickletools` lists the program's steps, the few that build
texts, lists and tables are done here, the object is left out, and any other step is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import Any


class StrangeGraphError(ValueError):
    """The file holds something else than a graph of words."""


def synonyms(data: bytes) -> list[tuple[str, str]]:
    """Return what may stand for what: pairs of a word and a word of the reference.

    In the table ``graph[first][rest]`` are the words that ``first rest`` may stand for.

    Raises:
        StrangeGraphError: if the bytes are no such graph.
    """
    try:
        graph = _built(data)["graph"]
        pairs = [
            (_plain(f"{first} {rest}"), _plain(goal))
            for first, table in graph.items()
            for rest, goals in table.items()
            for goal in goals
        ]
    except StrangeGraphError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = f"no graph of synonyms ({type(error).__name__}: {error})"
        raise StrangeGraphError(reason) from error
    return sorted({pair for pair in pairs if all(pair)})


def _plain(text: str) -> str:
    """Return a word as a list can hold it: no commas, single spaces, lower case."""
    return " ".join(text.replace(",", " ").lower().split()).strip("' ")


def _built(data: bytes) -> Any:
    """Do the steps that build texts, lists and tables."""
    stack: list[Any] = []
    memo: list[Any] = []
    marks: list[int] = []

    def since_mark() -> list[Any]:
        place = marks.pop()
        found = stack[place:]
        del stack[place:]
        return found

    for name, value in _steps(data):
        match name:
            case "PROTO" | "FRAME":
                pass
            case "SHORT_BINUNICODE" | "BINUNICODE":
                stack.append(value)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "MEMOIZE":
                memo.append(stack[-1])
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[value])
            case "MARK":
                marks.append(len(stack))
            case "APPEND" | "APPENDS":
                items = [stack.pop()] if name == "APPEND" else since_mark()
                stack[-1].extend(items)
            case "SETITEM" | "SETITEMS":
                items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else since_mark()
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "STACK_GLOBAL":  # the object's class, which is never looked up
                del stack[-2:]
                stack.append(None)
            case "NEWOBJ":
                del stack[-2:]
                stack.append(None)
            case "BUILD":  # its attributes stand for it
                stack[-2:] = [stack[-1]]
            case "STOP":
                return stack.pop()
            case _:
                raise StrangeGraphError(f"its step {name} builds no texts, lists or tables")
    raise StrangeGraphError("it ends too early")


def _steps(data: bytes) -> Iterator[tuple[str, Any]]:
    for opcode, value, _ in pickletools.genops(data):
        yield opcode.name, value
