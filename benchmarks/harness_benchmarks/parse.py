"""Reading what an answer says, whatever its form: yes or no, a letter, a reference answer.

These are the lenient readings that stand beside each benchmark's strict one. They are the same for
both arms, and they say ``None`` where an answer cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.benchmark import Choices
from harness_benchmarks import grader

if TYPE_CHECKING:
    from harness.benchmark import Row

_NO = frozenset({"no", "not", "nope", "none", "cannot", "isn", "aren", "doesn", "don"})
_YES = frozenset({"yes", "yeah", "yep"})
# A letter by itself, or in brackets, or before a full stop; "A" within a sentence is an article.
_ALONE = re.compile(r"^[^\w\n]*([A-Z])[^\w\n]*$", re.MULTILINE)
_LETTER = re.compile(
    r"\(([A-Z])\)|(?:^|\s)([A-Z])[.):](?=\s|$)"
    r"|\b([B-HJ-Z])\b|\b(A)(?=,| or\b| and\b|[^\w\n]*$)",
    re.MULTILINE,
)
# "答案是B", "选B", "B选项", "是B", "B正确"; not "不选B", nor the B of a word; of "选A或B" both.
_CHINESE = re.compile(
    r"(?:答案(?:应该|應該)?[是为為选選:\s]*|(?<!不)(?<!不应)(?<!不應)[选選](?:择|擇|项|項)?(?:的?是|为|為|:)?\s*)"
    r"\(?([A-Z])(?![A-Za-z])(?:\s*(?:或者?|和|与|與|及|、)\s*([A-Z])(?![A-Za-z]))?"
    r"|(?<![A-Za-z])([A-Z])\s*(?:[选選]?[项項]|(?:是|为|為)?(?:正确|正確))"
    r"|(?<!不)是\s*([A-Z])(?=\s*(?:$|[。.,;!)]))"
)
_WIDE = {0xFF01 + at: 0x21 + at for at in range(94)}
"""Letters and signs of full width, as Chinese and Japanese type them, and what they stand for."""
_HAN = re.compile(r"[\u4e00-\u9fff]")
# After "answer is", "a" and "A" before another word are articles: "The answer is a cat".
_NAMED = re.compile(
    r"\b(?:answer|option|choice)\b(?: is| (?:should|would|must) be)?\s*[:=]?\s*\(?"
    r"([B-HJ-Z]|[AI](?=[^\w\n]*$|[.,;:!?)]| (?:or|and|is|as|because|since|for|which)\b))(?![\w'])"
    r"(?:\)?\s*(?:,\s*(?:or|and)?|/|&|or|and)\s*\(?([B-HJ-Z]|(?-i:[AI]))(?![\w']))?",
    re.IGNORECASE | re.MULTILINE,
)
# "It is not B" denies B. The "a" of "not a cat" is an article: only capitals count here.
_DENIED = re.compile(r"(?:\b(?i:not)|n['’]t)\s+(?:(?:be|option|choice)\s+)*\(?[A-Z]\b\)?")
_BOXED = re.compile(r"\\(?:boxed|text\w{0,2}|mathrm)\s*\{([^{}]*)\}")
_MARKS = re.compile(r"</?\w{1,20}>|\*+|`+|__")


def yes_no(answer: str) -> str | None:
    """Return ``"yes"``, ``"no"``, or ``None`` when the answer says neither.

    The first word that is a yes or a negation decides.
    """
    for word in re.findall(r"[a-z]+", answer.lower()):
        if word in _YES:
            return "yes"
        if word in _NO:
            return "no"
    return None


def letter(answer: str, options: Mapping[str, str]) -> str | None:
    """Return the letter of the one option that an answer chooses.

    A letter that stands for itself decides; else the answer must hold the words of exactly one
    option, or of several of which one contains all the others.

    Args:
        answer: what the model said.
        options: text by letter.
    """
    answer = answer.translate(_WIDE)
    for _ in range(2):  # \\boxed{\\text{A}}
        answer = _BOXED.sub(r"(\1)", answer)
    answer = _DENIED.sub("", _MARKS.sub("", answer))
    alone = answer.strip().strip("().:").upper()
    if alone in options:
        return alone
    alone_in_line, named, chinese, other = (
        {part.upper() for m in pattern.finditer(answer) for part in m.groups() if part}
        for pattern in (_ALONE, _NAMED, _CHINESE, _LETTER)
    )
    for found in (alone_in_line, named, _written(answer, options), chinese, other):
        said = sorted(found & options.keys())
        if len(said) == 1:
            return said[0]
        if said:
            return None
    words = grader.words(answer)
    held = {key: grader.words(text) for key, text in options.items() if _within(text, words)}
    if not held and _HAN.search(answer):
        return _chinese_option(answer, options)
    longest = [
        key
        for key, text in held.items()
        if all(grader.holds(text, other) for other in held.values())
    ]
    return longest[0] if len(longest) == 1 else None


def _written(answer: str, options: Mapping[str, str]) -> set[str]:
    """Return the letters before which an answer writes out their own options, as "C. sample B"."""
    return {
        key
        for key, text in options.items()
        if re.search(rf"(?<!\w){re.escape(key)}[.):]\s*{re.escape(text)}(?!\w)", answer)
    }


def _chinese_option(answer: str, options: Mapping[str, str]) -> str | None:
    """Return the one option whose text stands in a Chinese answer, which has no spaces.

    An option that is said not to be it ("不是蓝色") is none; of several, the one that contains the
    others.
    """
    said = [
        key
        for key, text in options.items()
        if _HAN.search(text) and text in re.sub(f"不是{re.escape(text)}", "", answer)
    ]
    longest = [key for key in said if all(options[other] in options[key] for other in said)]
    return longest[0] if len(longest) == 1 else None


def best_of(
    answer: str, references: Sequence[str], score: Callable[[str], float], strict: float
) -> float:
    """Return the best strict score among the answer and the references that it contains.

    Args:
        answer: what the model said.
        references: right answers; one counts as said when its words stand together in the answer,
            and a yes or no when the answer reads so.
        score: the strict score of a text.
        strict: that of the answer itself.
    """
    words = grader.words(answer)
    said = [text for text in dict.fromkeys(references) if _says(answer, words, text)]
    return max([strict, *(score(text) for text in said)])


def yes_no_choices(row: Row) -> Choices:
    """Offer "Yes" and "No"; the row's target says which is right."""
    return Choices(("Yes", "No"), 0 if row.target.strip().lower().startswith("y") else 1)


def lettered(letters: Sequence[str], right: str) -> Choices:
    """Offer letters of options."""
    return Choices(tuple(letters), list(letters).index(right))


def _within(text: str, words: tuple[str, ...]) -> bool:
    wanted = grader.words(text)
    return bool(wanted) and grader.holds(words, wanted)


def _says(answer: str, words: tuple[str, ...], reference: str) -> bool:
    plain = reference.strip().lower()
    return yes_no(answer) == plain if plain in ("yes", "no") else _within(reference, words)
