"""Reading a judge's reply strictly: a reply counts only if all of it has the agreed form.

Nothing is looked for inside of a sentence: "3-4", "4 or 5", "6/10", "1,5" and "correct? No" begin
like a verdict and are none. Marks of emphasis are no part of the form and fall away first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from harness.benchmark import UnparsableReply

_NUMBER = r"[-+]?(?:[0-9]{1,4}(?:\.[0-9]{1,6})?|\.[0-9]{1,6})"
_EMPHASIS = re.compile(  # not between digits: 3*4 is no 34
    r"(?<![0-9.*`])[*`]+|[*`]++(?![0-9.])|^\s*#+\s+", re.MULTILINE
)
_QUOTES = " \t|\"'"


def lines(reply: str) -> list[str]:
    """Return the lines that hold something, without emphasis and quotes around them."""
    text = _EMPHASIS.sub("", reply)
    return [line for raw in text.splitlines() if (line := raw.strip(_QUOTES))]


def only_line(reply: str, wanted: str) -> str:
    """Return the one line that is the whole reply.

    Raises:
        Unreadable: if there are more or none.
    """
    found = lines(reply)
    if len(found) != 1:
        raise UnparsableReply(f"the judge did not reply with {wanted}: {shown(reply)}")
    return found[0]


def only_number(reply: str, low: float, high: float) -> float:
    """Return the number that is the whole reply.

    Raises:
        Unreadable: if the reply is anything else, or the number lies outside.
    """
    text = only_line(reply, "one number")
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
    said = only_line(reply, "one of the words").removesuffix(".").strip(_QUOTES).lower()
    if said not in words:
        raise UnparsableReply(f"the judge did not reply with one of the words: {shown(reply)}")
    return said


def first_line_numbers(reply: str, count: int, low: float, high: float) -> list[float]:
    """Return the numbers that alone make up the first line, and only that one.

    They are parted by white space, with or without a comma: "8,5" may be one number.

    Raises:
        Unreadable: if there are more, fewer, other words, or one lies outside.
    """
    numbers = [re.split(r"[,;]?\s+", line) for line in lines(reply)]
    marks = [all(re.fullmatch(_NUMBER, part) for part in parts) for parts in numbers]
    if not marks or not marks[0] or len(numbers[0]) != count:
        raise UnparsableReply(f"the judge's first line is not {count} numbers: {shown(reply)}")
    if any(marks[1:]):
        raise UnparsableReply(f"the judge gave marks on several lines: {shown(reply)}")
    return [within(float(part), low, high) for part in numbers[0]]


def named_number(reply: str, name: str, low: int, high: int) -> int:
    """Return the whole number of the last line ``name: number``; there is no other such line.

    Raises:
        Unreadable: if the name is missing or repeated or not in the end, or the number is not
            whole or outside.
    """
    found = lines(reply)
    mention = re.compile(rf"\b{name}\b\W*(?:is\b|of\b)?\W*[0-9]", re.IGNORECASE)
    form = re.compile(rf"{name}\s*:\s*({_NUMBER})\.?", re.IGNORECASE)
    match = form.fullmatch(found[-1]) if found else None
    if match is None or sum(len(mention.findall(line)) for line in found) != 1:
        raise UnparsableReply(
            f"the judge did not end with '{name}: number', once: ...{shown(reply, end=True)}"
        )
    value = within(float(match[1]), low, high)
    if value != int(value):
        raise UnparsableReply(f"the judge's {name} {match[1]} is no whole number")
    return int(value)


def named_lists(reply: str, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the items of the lines ``name: [a, b, c]``, which are the whole reply.

    Raises:
        Unreadable: if a line is missing, repeated or another, or is no list in brackets.
    """
    wanted = "|".join(map(re.escape, names))
    found: dict[str, tuple[str, ...]] = {}
    for line in lines(reply):
        match = re.fullmatch(rf"({wanted})\s*:\s*\[([^][]*)\]\.?", line, re.IGNORECASE)
        if match is None or match[1].lower() in found:
            raise UnparsableReply(f"the judge's line is not one list in brackets: {shown(line)}")
        items = (item.strip(_QUOTES).lower() for item in match[2].split(","))
        found[match[1].lower()] = tuple(dict.fromkeys(item for item in items if item))
    lacking = [name for name in names if name.lower() not in found]
    if lacking:
        raise UnparsableReply(f"the judge gave no '{lacking[0]}': {shown(reply)}")
    return [found[name.lower()] for name in names]


def numbered_words(reply: str, count: int, words: tuple[str, ...]) -> list[str]:
    """Return the word after each number from 1 to ``count``, each number once.

    A line is a number, a full stop and a word, and may go on with a colon or dash and a reason.
    A heading that ends with a colon may come first.

    Raises:
        Unreadable: if a number is missing, repeated or unknown, or a line has another form.
    """
    every = lines(reply)
    if every and every[0].endswith(":") and not every[0][0].isdigit():
        every = every[1:]
    form = rf"([0-9]{{1,4}})\s*[.):]\s*({'|'.join(words)})\s*(?:\.|(?::|\s[-–—]\s).*)?"
    found: dict[int, str] = {}
    for line in every:
        match = re.fullmatch(form, line, re.IGNORECASE)
        if match is None or int(match[1]) in found or not 1 <= int(match[1]) <= count:
            raise UnparsableReply(f"the judge's line cannot be read: {shown(line)}")
        found[int(match[1])] = match[2].lower()
    if len(found) != count:
        raise UnparsableReply(f"the judge gave {len(found)} verdicts for {count} sentences")
    return [found[number] for number in range(1, count + 1)]


def only_letter(reply: str, letters: Collection[str]) -> str:
    """Return the one of these letters that is the whole reply, with or without brackets.

    Raises:
        Unreadable: if the reply is anything else.
    """
    said = re.fullmatch(r"\(?([A-Z])[.)]?", only_line(reply, "one letter"))
    if said is None or said[1] not in letters:
        raise UnparsableReply(f"the judge did not reply with one letter: {shown(reply)}")
    return said[1]


def within(value: float, low: float, high: float) -> float:
    """Return the value.

    Raises:
        Unreadable: if it lies outside of the scale.
    """
    if not low <= value <= high:
        raise UnparsableReply(f"the judge's {value:g} is outside of {low:g} to {high:g}")
    return value + 0.0  # not -0.0


def shown(text: str, *, end: bool = False) -> str:
    """Return the beginning (or end) of a hostile text on one line, for messages."""
    flat = " ".join(text.split())
    return repr(flat[-80:] if end else flat[:80])
