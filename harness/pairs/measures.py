"""What can be measured on preference pairs before anything is trained on them.

Every measure is a pure function of the pairs. The unit of every test is a pair, not a rejected
answer: the rejected answers of one prompt are not independent of each other.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from harness.pairs.records import Change, Critic, Guess, LengthGap
from harness.records import Answer, Pair, seed_of

NEAR = 0.1
"""Answers that differ in at most this part of their words count as nearly equal."""

FOLDS = 5


def words(text: str) -> list[str]:
    """Return the lower-case words and numbers of a text; every other sign is dropped."""
    return re.findall(r"\w+", text.lower())


def thoughts_of(answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Return what a model thought before each answer, to be kept in a pair's ``meta``.

    Args:
        answers: by a name that the reader of the journal understands.

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
        guess("question", pairs, _question_overlap),
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


def _question_overlap(pair: Pair, text: str) -> float:
    return len(set(words(text)) & set(words(pair.prompt.question)))


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
