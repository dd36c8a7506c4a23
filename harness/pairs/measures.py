"""What can be measured on preference pairs before training, and the records of it.

Every measure is a pure function of the pairs. The unit of every test is a pair, not a rejected
answer: the rejected answers of one prompt are not independent of each other.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from harness.records import LATER, Answer, Pair, seed_of


@dataclass(frozen=True, slots=True)
class LengthGap:
    """How much longer the chosen answers are, in words.

    Attributes:
        chosen: mean words of a chosen answer.
        rejected: mean words of a rejected answer.
        median: median over the pairs of chosen minus mean rejected.
        longer: part of the pairs whose chosen answer is longer, equal lengths left out; ``None``
            when all are equal.
        p: two-sided sign test against "longer as often as shorter"; ``None`` as above.
    """

    chosen: float
    rejected: float
    median: float
    longer: float | None
    p: float | None


@dataclass(frozen=True, slots=True)
class Guess:
    """How often a guess that never sees the image puts the chosen answer first.

    Attributes:
        name: what the guess goes by.
        rate: part of the pairs it orders rightly; a tie counts one half. 0.5 is chance.
        pairs: how many pairs were guessed.
        p: two-sided sign test against one half, ties left out; ``None`` without any decision.
    """

    name: str
    rate: float
    pairs: int
    p: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """How strongly one corruption changed the answers.

    Attributes:
        name: the corruption.
        prompts: how many answers under it are known.
        equal: part of them that did not change at all.
        near: part of them that changed in at most a tenth of the words.
        distance: mean part of the words that changed, 0 to 1.
    """

    name: str
    prompts: int
    equal: float
    near: float
    distance: float


@dataclass(frozen=True, slots=True)
class Critic:
    """How a critic that compares two answers behaved; ``None`` is "not known", never zero.

    Attributes:
        verdicts: how many were asked for.
        unparsable: part of them that named no answer.
        first: part of the readable ones that preferred the answer shown first.
        first_p: two-sided sign test of ``first`` against one half.
        consistent: of prompts judged in both orders, readable both times: the part whose two
            verdicts prefer the same answer.
        both: how many prompts ``consistent`` is over.
    """

    verdicts: int
    unparsable: float
    first: float | None
    first_p: float | None
    consistent: float | None
    both: int


@dataclass(frozen=True, slots=True)
class PairExample:
    """One pair to look at. All texts are hostile.

    Attributes:
        id: of the prompt.
        image: the prompt's first image file; ``None`` where it has none.
        question: what was asked.
        chosen: the better answer.
        rejected: the worse ones.
        changes: by corruption, the part of the words that changed.
        pictures: name of a picture in the run's ``images`` folder by label, the clean one first.
        more_images: further image files that the prompt shows.
        history: question and answer of each earlier turn.
    """

    id: str
    image: Path | None
    question: str
    chosen: str
    rejected: tuple[str, ...]
    changes: Mapping[str, float]
    pictures: Mapping[str, str] = field(default_factory=dict)
    more_images: tuple[Path, ...] = field(default=(), metadata=LATER)
    history: tuple[tuple[str, str], ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True, slots=True)
class PairReport:
    """What is known about a set of pairs.

    Attributes:
        pairs: how many there are.
        dropped: prompts without a pair, by reason.
        equal: part of all pairs and drops where the answers were the same.
        near: part of the rejected answers that nearly equal the chosen one.
        length: see :class:`LengthGap`.
        guesses: guesses that never see the image.
        reference: how often the chosen answer is closer to the reference; ``None`` without any.
        changes: by corruption.
        critic: ``None`` when the method has none.
        warnings: what speaks against training on them, in whole sentences.
        examples: a few pairs, drawn by seed; left out of comparison.json.
        shapes: how many pairs have several images, earlier turns, or no image; only where some do.
    """

    pairs: int
    dropped: Mapping[str, int]
    equal: float
    near: float
    length: LengthGap
    guesses: tuple[Guess, ...]
    reference: Guess | None
    changes: tuple[Change, ...]
    critic: Critic | None
    warnings: tuple[str, ...]
    examples: tuple[PairExample, ...] = ()
    shapes: tuple[tuple[str, int], ...] = field(default=(), metadata=LATER)


NEAR = 0.1
"""Answers that differ in at most this part of their words count as nearly equal."""

FOLDS = 5


def words(text: str) -> list[str]:
    """Return the lower-case words and numbers of a text; every other sign is dropped."""
    return re.findall(r"\w+", text.lower())


def thoughts_of(answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Return what a model thought before each answer, to be kept in a pair's ``meta``.

    Returns:
        ``{"thoughts": {name: thought}}`` for those that thought; empty where none did.
    """
    found = {name: answer.thought for name, answer in answers.items() if answer.thought}
    return {"thoughts": found} if found else {}


def word_distance(first: str, second: str) -> float:
    """Return the part of the words that differ, 0 to 1: one minus difflib's matching ratio."""
    if first == second:
        return 0.0
    return 1 - SequenceMatcher(None, words(first), words(second), autojunk=False).ratio()


def differing(text: str, other: str) -> tuple[tuple[int, int], ...]:
    """Return begin and end in characters of the segments whose words ``other`` does not have there.

    Words are matched in order, as in :func:`word_distance`; neighbours are one segment.
    """
    found = list(re.finditer(r"\w+", text))
    mine, theirs = [word.group().lower() for word in found], words(other)
    blocks = SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes()
    return tuple(
        (found[first].start(), found[last - 1].end())
        for kind, first, last, _, _ in blocks
        if kind != "equal" and first < last
    )


def length_gap(pairs: Sequence[Pair]) -> LengthGap:
    """Compare the lengths of chosen and rejected answers; see :class:`LengthGap`."""
    chosen = [len(pair.chosen.split()) for pair in pairs]
    rejected = [statistics.fmean(len(text.split()) for text in pair.rejected) for pair in pairs]
    gaps = [a - b for a, b in zip(chosen, rejected, strict=True)]
    longer, shorter = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
    return LengthGap(
        chosen=statistics.fmean(chosen),
        rejected=statistics.fmean(rejected),
        median=statistics.median(gaps),
        longer=longer / (longer + shorter) if longer + shorter else None,
        p=sign_test(longer, shorter),
    )


def sign_test(more: int, less: int) -> float | None:
    """Return the exact two-sided p of a fair coin, or ``None`` if nothing was decided."""
    if more + less == 0:
        return None
    from scipy.stats import binomtest

    return float(binomtest(more, more + less, 0.5).pvalue)


def near_equal(pairs: Sequence[Pair]) -> float:
    """Return the part of the rejected answers that nearly equal the chosen one."""
    near = [word_distance(pair.chosen, text) <= NEAR for pair in pairs for text in pair.rejected]
    return statistics.fmean(near)


def guesses(pairs: Sequence[Pair]) -> list[Guess]:
    """Return what guesses from the text alone come to.

    ``length`` prefers the longer answer, ``question`` the one that repeats more of the question's
    words, ``words`` adds up which words stood in chosen and which in rejected answers of *other*
    prompts (naive Bayes on presence, add one, five folds by prompt).
    """
    return [
        guess("length", pairs, lambda pair, text: len(text.split())),
        guess(
            "question",
            pairs,
            lambda pair, text: len(set(words(text)) & set(words(pair.prompt.question))),
        ),
        guess("words", pairs, _word_weights(pairs)),
    ]


def guess(name: str, pairs: Sequence[Pair], score: Callable[[Pair, str], float]) -> Guess:
    """Return how often ``score`` puts the chosen answer above the rejected ones."""
    rates = []
    for pair in pairs:
        best = score(pair, pair.chosen)
        rates.append(statistics.fmean(beats(best, score(pair, text)) for text in pair.rejected))
    right, wrong = sum(rate > 0.5 for rate in rates), sum(rate < 0.5 for rate in rates)
    return Guess(name, statistics.fmean(rates), len(rates), sign_test(right, wrong))


def beats(first: float, second: float) -> float:
    """Return 1, one half or 0 for more, equal or less."""
    return 0.5 if first == second else float(first > second)


def overlap(text: str, reference: str) -> float:
    """Return the F1 of two bags of words, 0 to 1."""
    ours, theirs = Counter(words(text)), Counter(words(reference))
    common = (ours & theirs).total()
    return 2 * common / (ours.total() + theirs.total()) if common else 0.0


def reference_agreement(pairs: Sequence[Pair]) -> Guess | None:
    """Return how often the chosen answer shares more words with the reference, where one is."""
    known = [pair for pair in pairs if pair.prompt.reference]
    if not known:
        return None
    return guess("reference", known, lambda pair, text: overlap(text, str(pair.prompt.reference)))


def changes(metas: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """Gather ``meta["changes"]``, a method's word distances by corruption, over the prompts."""
    seen: dict[str, list[float]] = {}
    for meta in metas:
        for name, distance in dict(meta.get("changes") or {}).items():
            seen.setdefault(str(name), []).append(float(distance))
    return tuple(
        Change(
            name,
            len(found),
            statistics.fmean(value == 0 for value in found),
            statistics.fmean(value <= NEAR for value in found),
            statistics.fmean(found),
        )
        for name, found in seen.items()
    )


def critic(metas: Iterable[Mapping[str, Any]]) -> Critic | None:
    """Gather ``meta["critic"]``: one ``{"first": label, "verdict": 1 | 2 | null}`` per verdict."""
    given = [list(meta["critic"]) for meta in metas if meta.get("critic")]
    verdicts = [verdict for prompt in given for verdict in prompt]
    if not verdicts:
        return None
    read = [verdict["verdict"] for verdict in verdicts if verdict["verdict"] is not None]
    first = sum(value == 1 for value in read)
    twice = [
        prompt
        for prompt in given
        if len(prompt) == 2 and all(verdict["verdict"] is not None for verdict in prompt)
    ]
    # The second verdict is about the same answers in the other order.
    same = [prompt[0]["verdict"] != prompt[1]["verdict"] for prompt in twice]
    return Critic(
        verdicts=len(verdicts),
        unparsable=1 - len(read) / len(verdicts),
        first=first / len(read) if read else None,
        first_p=sign_test(first, len(read) - first),
        consistent=statistics.fmean(same) if same else None,
        both=len(twice),
    )


def _word_weights(pairs: Sequence[Pair]) -> Callable[[Pair, str], float]:
    chosen: list[Counter[str]] = [Counter() for _ in range(FOLDS)]
    rejected: list[Counter[str]] = [Counter() for _ in range(FOLDS)]
    for pair in pairs:
        fold = _fold(pair)
        chosen[fold].update(set(words(pair.chosen)))
        for text in pair.rejected:
            # One pair has one vote, however many rejected answers it has.
            for word in set(words(text)):
                rejected[fold][word] += 1 / len(pair.rejected)  # type: ignore[assignment]
    total = [sum(counts, Counter()) for counts in (chosen, rejected)]

    def score(pair: Pair, text: str) -> float:
        fold = _fold(pair)
        weight = 0.0
        for word in set(words(text)):
            liked = total[0][word] - chosen[fold][word] + 1
            disliked = total[1][word] - rejected[fold][word] + 1
            weight += math.log(liked / disliked)
        return round(weight, 9)

    return score


def _fold(pair: Pair) -> int:
    return seed_of("fold", pair.prompt.id) % FOLDS
