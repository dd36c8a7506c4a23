"""What reports say of pairs and training: records of the pair diagnostics and of the curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.records import LATER


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
