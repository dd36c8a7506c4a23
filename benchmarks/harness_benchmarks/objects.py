"""Finding named things in a text by a table of synonyms: CHAIR, AMBER and Mementos rest on it.

A table maps phrases to the thing they name. Text and phrases are compared word by word, singular
and plural alike; the longest phrase wins, so that "hot dog" is no dog. A table for another world
is a file ``synonyms.txt`` beside the data: one thing per line, its name first, then its other
names, separated by commas - the form in which COCO's list is passed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.errors import HarnessError

FILE = "synonyms.txt"
_IRREGULAR = {
    "people": "person",
    "children": "child",
    "men": "man",
    "women": "woman",
    "mice": "mouse",
    "knives": "knife",
    "geese": "goose",
    "buses": "bus",
}
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def singular(word: str) -> str:
    """Return the singular of an English noun by its ending; other words may lose an "s" too."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "shes", "ches", "oes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us")) and len(word) > 3:
        return word[:-1]
    return word


def _plain(text: str) -> tuple[str, ...]:
    return tuple(singular(match.group()) for match in _WORD.finditer(text.lower()))


@dataclass(frozen=True)
class Names:
    """What may be named, and how.

    Attributes:
        things: canonical name by phrase, each phrase as its words in the singular.
        longest: words in the longest phrase.
    """

    things: Mapping[tuple[str, ...], str]
    longest: int

    def mentions(self, text: str) -> tuple[str, ...]:
        """Return the things a text names, in its order, as often as it names them."""
        words, found, place = _plain(text), [], 0
        while place < len(words):
            for length in range(self.longest, 0, -1):
                thing = self.things.get(words[place : place + length])
                if thing is not None:
                    found.append(thing)
                    place += length
                    break
            else:
                place += 1
        return tuple(found)

    def name(self, phrase: str) -> str:
        """Return the canonical name of a phrase; an unknown one names itself."""
        return self.things.get(_plain(phrase), phrase)


def names_of(pairs: Iterable[tuple[str, str]]) -> Names:
    """Build a table from (phrase, canonical name) pairs; the first entry of a phrase holds."""
    things: dict[tuple[str, ...], str] = {}
    for phrase, thing in pairs:
        words = _plain(phrase)
        if words:
            things.setdefault(words, thing)
    return Names(things, max(map(len, things), default=0))


@lru_cache(maxsize=8)
def read_names(file: Path) -> Names:
    """Read a table of synonyms.

    Raises:
        HarnessError: if the file is no text, or empty.
    """
    return names_of((phrase, line[0]) for line in read_lines(file) for phrase in line)


def read_lines(file: Path) -> tuple[tuple[str, ...], ...]:
    """Read the lines of a list of words, each split at its commas.

    Raises:
        HarnessError: if the file is no text, or empty.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(
            f"The list of synonyms {file} cannot be read ({error}). It holds one thing per line: "
            "its name, then its other names, separated by commas."
        ) from error
    split = (tuple(part.strip() for part in line.split(",") if part.strip()) for line in lines)
    found = tuple(line for line in split if line)
    if not found:
        raise HarnessError(f"The list of synonyms {file} is empty; put one thing on each line.")
    return found
