"""The built-in deterministic grader for short reference answers, where no judge is at hand.

The reference is read as MM-Vet writes it: ``<AND>`` joins parts that must all be there, and
``<OR>`` joins alternatives of a part. An alternative of up to four words is there when its words
stand together in the answer; a longer one counts by the F1 of its words, as free text cannot be
matched literally. The score is the mean over the parts, rounded to a tenth as MM-Vet's judge does.

It is no replacement for a language-model judge and is never compared with one: it cannot see a
paraphrase, and it takes "not red" for "red". It is the same for both arms, and free.
"""

from __future__ import annotations

import re
from collections import Counter

NAME = "builtin"

_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"]
_DIGITS = {word: str(value) for value, word in enumerate(_NUMBERS)}
_SILENT = frozenset({"a", "an", "the"})
_WORD = re.compile(r"(?<![\w.])-?\d+(?:[.,]\d+)*|[^\W_]+", re.UNICODE)
_SHORT = 4


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


def _present(said: tuple[str, ...], wanted: tuple[str, ...]) -> float:
    if not wanted:
        return 0.0
    if len(wanted) <= _SHORT:
        spans = zip(*(said[start:] for start in range(len(wanted))), strict=False)
        return float(any(span == wanted for span in spans))
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted))
