"""Reading a judge's reply strictly: what is not in the agreed form is no verdict."""

from __future__ import annotations

import re
from collections.abc import Collection

from harness.benchmark import UnparsableReply

_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_DRESS = " \t*`|\"'"
"""White space and marks of emphasis, which models put around what they are asked for."""


def lines(reply: str) -> list[str]:
    """Return the lines that hold something, without dress."""
    return [line for raw in reply.splitlines() if (line := raw.strip(_DRESS))]


def only_number(reply: str, low: float, high: float) -> float:
    """Return the number that is the whole reply.

    Raises:
        Unreadable: if the reply is anything else, or the number lies outside.
    """
    text = reply.strip().strip(_DRESS)
    if text.count(".") == 2:  # "0.5.", but not "0.", which may have lost its tenths
        text = text.removesuffix(".")
    if not re.fullmatch(_NUMBER, text):
        raise UnparsableReply(f"the judge did not reply with one number: {shown(reply)}")
    return within(float(text), low, high)


def only_word(reply: str, words: Collection[str]) -> str:
    """Return the one of these lower-case words that is the whole reply.

    Raises:
        Unreadable: if the reply is anything else.
    """
    said = reply.strip().strip(_DRESS + ".").lower()
    if said not in words:
        raise UnparsableReply(f"the judge did not reply with one of the words: {shown(reply)}")
    return said


def first_line_numbers(reply: str, count: int, low: float, high: float) -> list[float]:
    """Return the numbers that alone make up the first line.

    Raises:
        Unreadable: if there are more, fewer, other words, or one lies outside.
    """
    first = next(iter(lines(reply)), "")
    parts = re.split(r"[\s,;]+", first)
    if len(parts) != count or not all(re.fullmatch(_NUMBER, part) for part in parts):
        raise UnparsableReply(f"the judge's first line is not {count} numbers: {shown(reply)}")
    return [within(float(part), low, high) for part in parts]


def named_number(reply: str, name: str, low: int, high: int) -> int:
    """Return the whole number after ``name:``, which must stand there once.

    Raises:
        Unreadable: if the name is missing or repeated, or the number is not whole or outside.
    """
    found = re.findall(rf"\b{name}\s*:[ *`]*({_NUMBER})", reply, re.IGNORECASE)
    if len(found) != 1:
        raise UnparsableReply(
            f"the judge wrote '{name}: number' {len(found)} times, not once: {shown(reply)}"
        )
    value = within(float(found[0]), low, high)
    if value != int(value):
        raise UnparsableReply(f"the judge's {name} {found[0]} is no whole number")
    return int(value)


def named_list(reply: str, name: str) -> tuple[str, ...]:
    """Return the items of the line ``name: [a, b, c]``, which must stand there once.

    Raises:
        Unreadable: if the line is missing, repeated, or no list in brackets.
    """
    wanted = [line for line in lines(reply) if line.lower().startswith(f"{name.lower()}:")]
    if len(wanted) != 1:
        raise UnparsableReply(
            f"the judge gave '{name}' {len(wanted)} times, not once: {shown(reply)}"
        )
    text = wanted[0].partition(":")[2].strip(_DRESS)
    if not (text.startswith("[") and text.endswith("]")):
        raise UnparsableReply(f"the judge's '{name}' is no list in brackets: {shown(text)}")
    items = (item.strip(_DRESS).lower() for item in text[1:-1].split(","))
    return tuple(dict.fromkeys(item for item in items if item))


def numbered_words(reply: str, count: int, words: tuple[str, ...]) -> list[str]:
    """Return the word after each number from 1 to ``count``, each number once.

    Raises:
        Unreadable: if a number is missing, repeated or unknown, or has none of the words.
    """
    found: dict[int, str] = {}
    for line in lines(reply):
        match = re.match(r"(\d+)\s*[.):]\s*(.*)", line)
        if match is None:
            continue
        number, text = int(match[1]), match[2].strip(_DRESS).lower()
        word = next((word for word in words if re.match(rf"{word}\b", text)), None)
        if word is None or number in found or not 1 <= number <= count:
            raise UnparsableReply(f"the judge's line cannot be read: {shown(line)}")
        found[number] = word
    if len(found) != count:
        raise UnparsableReply(f"the judge gave {len(found)} verdicts for {count} sentences")
    return [found[number] for number in range(1, count + 1)]


def within(value: float, low: float, high: float) -> float:
    """Return the value.

    Raises:
        Unreadable: if it lies outside of the scale.
    """
    if not low <= value <= high:
        raise UnparsableReply(f"the judge's {value:g} is outside of {low:g} to {high:g}")
    return value


def shown(text: str) -> str:
    """Return the beginning of a hostile text on one line, for messages."""
    return repr(" ".join(text.split())[:80])
