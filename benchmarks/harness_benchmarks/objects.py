"""Finding named things in a text by a table of synonyms: CHAIR, AMBER and Mementos rest on it.

A table maps phrases to the thing they name. Text and phrases are compared word by word, singular
and plural alike (:mod:`harness_benchmarks.nouns`); the longest phrase wins, so that "hot dog" is no
dog. A table for another world
is a file ``synonyms.txt`` beside the data: one thing per line, its name first, then its other
names, separated by commas - the form in which COCO's list is passed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.errors import HarnessError
from harness_benchmarks.nouns import singular, tokens, words_of

FILE = "synonyms.txt"


def _plain(text: str) -> tuple[str, ...]:
    return tuple(map(singular, tokens(text)))


@dataclass(frozen=True)
class Names:
    """What may be named, and how.

    Attributes:
        things: canonical name by phrase, each phrase as its words in the singular.
        longest: words in the longest phrase.
    """

    things: Mapping[tuple[str, ...], str]
    longest: int

    def mentions(self, text: str, *, nouns: bool = False) -> tuple[str, ...]:
        """Return the things a text names, in its order, as often as it names them.

        Args:
            text: any text.
            nouns: a phrase counts only where its last word is a noun.
        """
        return tuple(thing for _, thing in self.named(text, nouns=nouns))

    def named(self, text: str, *, nouns: bool = False) -> tuple[tuple[str, str], ...]:
        """Return each phrase that names a thing, in the singular, and the thing."""
        words = words_of(text).singular if nouns else _plain(text)
        is_noun = words_of(text).nouns if nouns else (True,) * len(words)
        found, place = [], 0
        while place < len(words):
            for length in range(min(self.longest, len(words) - place), 0, -1):
                phrase = words[place : place + length]
                thing = self.things.get(phrase)
                if thing is not None and is_noun[place + length - 1]:
                    found.append((" ".join(phrase), thing))
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
