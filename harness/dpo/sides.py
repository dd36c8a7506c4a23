"""What an answer of a pair has of its own, beside its text: an image, a view, weights, a score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from harness.dpo.loss_terms import BY_BOTH, BY_IMAGE, BY_TEXT
from harness.errors import HarnessError
from harness.records import Pair, Side


def kinds_of(pair: Pair) -> tuple[int, ...]:
    """What each answer is rejected by: 0 for the chosen one, else :data:`BY_TEXT` and so on."""
    (chosen, first), *others = pair.answers
    kinds = [0]
    for text, side in others:
        by_image, by_text = side.shown != first.shown, text.strip() != chosen.strip()
        kinds.append(BY_BOTH if by_image and by_text else BY_IMAGE if by_image else BY_TEXT)
    return tuple(kinds)


def scores_of(pair: Pair) -> tuple[float, ...] | None:
    """Scores of the answers: those of their sides, else those that the method put into meta."""
    own = tuple(side.score for side in pair.sides if side.score is not None)
    if own and len(own) == len(pair.sides):
        return own
    scores = pair.meta.get("scores")
    return None if scores is None else tuple(scores)


def sides_problem(pair: Pair) -> str | None:
    """Say what is wrong with what a pair says beyond its texts, or ``None``."""
    if pair.question is not None and not pair.question.strip():
        return "its question is empty; leave it out to train on the prompt's."
    answers = 1 + len(pair.rejected)
    if pair.sides and len(pair.sides) != answers:
        return f"it has {len(pair.sides)} sides for {answers} answers; give one each, or none."
    for text, side in pair.answers:
        if not isinstance(side, Side):
            return f"its sides must be records of harness.Side, not {side!r:.60}."
        if side.score is not None and not math.isfinite(side.score):
            return f"a score is {side.score}; leave it out where it is not known."
        if told := _weights_problem(text, side.weights):
            return told
    return None


def _weights_problem(text: str, weights: Sequence[tuple[int, int, float]]) -> str | None:
    at = 0
    if not all(_is_segment(each) for each in weights):
        return (
            "weights are (begin, end, weight) for segments of the answer, in characters, not "
            f"{weights!r:.60}."
        )
    for begin, end, weight in sorted(weights):
        if not 0 <= begin < end <= len(text):
            return (
                f"a weight is given for the characters {begin} to {end} of an answer that has "
                f"{len(text)}: {text[:50]!r}."
            )
        if begin < at:
            return f"two weights overlap at character {begin} of the answer {text[:50]!r}."
        if not (math.isfinite(weight) and weight >= 0):
            return f"a weight is {weight}; it must be a number of at least 0."
        at = end
    return None


def _is_segment(each: Any) -> bool:
    if not isinstance(each, tuple | list) or len(each) != 3:
        return False
    whole = all(isinstance(at, int) and not isinstance(at, bool) for at in each[:2])
    return whole and isinstance(each[2], int | float)


def token_weights(
    tokenizer: Any,
    text: str,
    start: int,
    ids: Sequence[int],
    answer: str,
    weights: Sequence[tuple[int, int, float]],
) -> tuple[float, ...]:
    """Turn weights by character into weights by token.

    A token weighs the mean of its characters that are no white space, so that one which straddles
    two segments lies between them. Tokens without a character of the answer weigh 1.

    Args:
        tokenizer: of ``transformers``; it must be a fast one, which knows its tokens' characters.
        text: ends with the answer and what is behind it.
        start: where the answer begins in it.
        ids: of the answer, the last that this text has.
        answer: the answer.
        weights: see :class:`harness.records.Side`.

    Raises:
        HarnessError: if the characters of the tokens cannot be known.
    """
    if not tokenizer.is_fast:
        raise HarnessError(
            "Weights by segment need a tokeniser that knows the characters of its tokens, and this "
            "model's does not. Add a tokenizer.json to the checkpoint, or train with a loss that "
            "uses no weights."
        )
    made = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if list(made["input_ids"][-len(ids) :]) != list(ids) or start < 0:
        raise HarnessError(
            f"The chat template changes the answer {answer[:50]!r}, so that its weights by segment "
            "cannot be placed. Let the template write answers as they are."
        )
    by_character = [1.0] * len(answer)
    for begin, end, weight in weights:
        by_character[begin:end] = [weight] * (end - begin)
    found = []
    for first, last in made["offset_mapping"][-len(ids) :]:
        inside = range(max(first - start, 0), min(last - start, len(answer)))
        seen = [by_character[at] for at in inside if not answer[at].isspace()]
        seen = seen or [by_character[at] for at in inside]
        found.append(sum(seen) / len(seen) if seen else 1.0)
    return tuple(found)
