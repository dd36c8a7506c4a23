"""Words that may stand for others: Mementos' synonyms, which are no classes.

A list has one line for each word of a reference: the word, then those that may stand for it,
separated by commas. A word may stand for several, "capture" for "catch" and for "hold"; as classes
that would make all three one thing, and so on until most actions are. So a word is exchanged only
for one that the reference at hand has. Singular and plural are alike, as everywhere in
:mod:`harness_benchmarks.objects`.

The authors' notebook departs from this in two ways. It goes through the answer's words in order, so
that one may take the place of a word that a later one equals; here equal words meet first. And once
every word of the reference is used, it counts all words of the answer that are left as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness_benchmarks.objects import Names, names_of, read_lines


@dataclass(frozen=True)
class StandIns:
    """Words, and what each may stand for.

    Attributes:
        names: all words, each its own name.
        goals: the words that a word may stand for, by its name.
    """

    names: Names
    goals: Mapping[str, frozenset[str]]

    def mentions(self, text: str, *, nouns: bool = False) -> tuple[str, ...]:
        """Return the words that a text uses, each once; or only those used as nouns."""
        return tuple(dict.fromkeys(self.names.mentions(text, nouns=nouns)))

    def exchanged(self, said: Iterable[str], truth: Iterable[str]) -> tuple[set[str], set[str]]:
        """Put a word of the reference in the place of each that may stand for it.

        Every word of the reference is used once; equal words meet before stand-ins do.

        Returns:
            What was said after the exchange, and the reference, in the same spelling.
        """
        mine = list(dict.fromkeys(map(self.names.name, said)))
        wanted = list(dict.fromkeys(map(self.names.name, truth)))
        free = [word for word in wanted if word not in mine]
        result = set()
        for word in mine:
            goals = self.goals.get(word, frozenset()) if word not in wanted else frozenset()
            goal = next((goal for goal in free if goal in goals), word)
            if goal in free:
                free.remove(goal)
            result.add(goal)
        return result, set(wanted)


@lru_cache(maxsize=16)
def read_standins(file: Path) -> StandIns:
    """Read a list.

    Raises:
        HarnessError: if the file is no text, or empty.
    """
    return standins_of(read_lines(file))


def standins_of(lines: Iterable[tuple[str, ...]]) -> StandIns:
    """Build a table from lines: a word, then those that may stand for it."""
    lines = tuple(lines)
    names = names_of((word, word) for line in lines for word in line)
    goals: dict[str, set[str]] = {}
    for goal, *others in lines:
        for word in others:
            goals.setdefault(names.name(word), set()).add(names.name(goal))
    return StandIns(names, {word: frozenset(found) for word, found in goals.items()})
