"""The built-in deterministic grader for short reference answers, where no judge is at hand.

The reference is read as MM-Vet writes it: ``<AND>`` joins parts that must all be there, and
``<OR>`` joins alternatives of a part. An alternative of up to four words is there when its words
stand together in the answer; a longer one counts by the F1 of its words, as free text cannot be
matched literally. The score is the mean over the parts, rounded to a tenth as MM-Vet's judge does.

Free text is judged in two more ways. :func:`overlap` is the F1 of the words of answer and
reference, where a benchmark wants a mark for likeness. :func:`unsupported` splits a description
into sentences and clauses and asks whether one known fact holds all that a clause says: a clause
that mixes two facts ("a red star" where a red ring and a blue star are) is not supported.

It is no replacement for a language-model judge and is never compared with one: it cannot see a
paraphrase, and it takes "not red" for "red". It is the same for both arms, and free. Where it has
nothing to judge by, such as an empty reference, it gives no verdict at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

NAME = "builtin"

_NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
_DIGITS = {word: str(value) for value, word in enumerate(_NUMBERS)}
_SILENT = frozenset({"a", "an", "the"})
_WORD = re.compile(r"(?<![\w.])-?\d+(?:[.,]\d+)*|[^\W_]+", re.UNICODE)
_SHORT = 4
# Words that claim nothing about an image by themselves.
_PLAIN = frozenset(
    re.findall(
        r"\w+",
        "image picture photo drawing show shows depict depicts feature features contain contains "
        "there is are be has have it its this that these those one some which while also can see "
        "seen in on at of to by near next from for",
    )
)


def words(text: str) -> tuple[str, ...]:
    """Return the words that count: lower case, no articles, number words as digits."""
    found = (match.group().lower() for match in _WORD.finditer(text))
    return tuple(_DIGITS.get(word, word) for word in found if word not in _SILENT)


def grade(answer: str, reference: str) -> tuple[float, str]:
    """Return a score in 0, 0.1 ... 1 and a line that says what was found and what was not."""
    said = words(answer)
    parts = [part.split("<OR>") for part in reference.split("<AND>")]
    values = [max(_present(said, words(text)) for text in part) for part in parts]
    verdict = "; ".join(
        f"{' or '.join(text.strip() for text in part)}: {value:.1f}"
        for part, value in zip(parts, values, strict=True)
    )
    return round(sum(values) / len(values), 1), verdict


def holds(words: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Say whether words stand together, in this order, among others."""
    spans = zip(*(words[start:] for start in range(len(wanted))), strict=False)
    return any(span == wanted for span in spans)


def overlap(answer: str, reference: str) -> float | None:
    """Return the F1 of the words of two texts, from 0 to 1; ``None`` without a reference."""
    said, wanted = words(answer), words(reference)
    if not wanted:
        return None
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted))


def sentences(text: str) -> tuple[str, ...]:
    """Split a text at the ends of its sentences; the ends of numbered lines count."""
    parts = re.split(r"(?<=[.!?])\s+|\n+", text)
    return tuple(part.strip() for part in parts if words(part))


def unsupported(sentence: str, facts: Sequence[str]) -> tuple[str, ...] | None:
    """Return the clauses of a sentence that no single fact holds; ``None`` without facts."""
    known = [frozenset(map(_singular, words(fact))) for fact in facts]
    if not any(known):
        return None
    clauses = [part.strip() for part in re.split(r"[,;:]| and | with ", sentence.rstrip(".!?"))]
    return tuple(
        clause
        for clause in clauses
        if (said := frozenset(map(_singular, words(clause))) - _PLAIN)
        and not any(said <= fact for fact in known)
    )


def _singular(word: str) -> str:
    if word.endswith(("sses", "xes", "shes", "ches")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _present(said: tuple[str, ...], wanted: tuple[str, ...]) -> float:
    if not wanted:
        return 0.0
    if len(wanted) <= _SHORT:
        return float(holds(said, wanted))
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted))
