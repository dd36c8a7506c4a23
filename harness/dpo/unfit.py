"""Which pairs cannot be trained on, judged by their texts alone."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import HarnessError
from harness.records import Pair, distinct

EQUAL, CUT, CONTROL, TOO_LONG = "equal", "cut", "control token", "too long"
"""Why pairs cannot be trained on, as drops are counted; besides ``empty``."""
DROP = "Drop the pair when it is made."


class Unfit(HarnessError):  # noqa: N818  (a finding about a pair)
    """A pair that cannot be trained on: the pair stage drops it, a training refuses it.

    Attributes:
        reason: in a word or two, as drops are counted.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Keep the reason beside the message."""
        super().__init__(message)
        self.reason = reason


def name_of(pair: Pair) -> str:
    """How messages call a pair."""
    return f"pair '{pair.prompt.id}'"


def check(pair: Pair, *, only_chosen: bool = False) -> Pair:
    """Return the pair with each rejected answer once; refuse one that teaches nothing.

    Raises:
        Unfit: if an answer is empty, the chosen answer is also rejected, or nothing is
            rejected; it names the pair.
        HarnessError: if its scores do not fit its answers.
    """
    who = name_of(pair)
    if not pair.chosen.strip():
        raise Unfit("empty", f"The chosen answer of {who} is empty. {DROP}")
    if only_chosen:
        return pair
    if not all(answer.strip() for answer in pair.rejected):
        raise Unfit("empty", f"A rejected answer of {who} is empty. {DROP}")
    if pair.chosen.strip() in {answer.strip() for answer in pair.rejected}:
        raise Unfit(
            EQUAL,
            f"The chosen answer of {who} is also rejected: {pair.chosen[:50]!r}. Such a pair has "
            "no gradient; yield a Drop with the reason 'equal' instead.",
        )
    if not pair.rejected:
        raise Unfit("empty", f"There is no rejected answer in {who}. {DROP}")
    rejected = distinct(answer.strip() for answer in pair.rejected)
    first = {answer.strip(): at for at, answer in reversed(list(enumerate(pair.rejected)))}
    kept = [0, *(1 + first[answer] for answer in rejected)]
    scores = _scores(pair)
    meta = dict(pair.meta) if scores is None else {**pair.meta, "scores": scores}
    made = Pair(pair.prompt, pair.chosen.strip(), (*pair.rejected,), meta)
    return with_answers(made, kept)


def with_answers(pair: Pair, kept: Sequence[int]) -> Pair:
    """Return a pair with some of its answers, counted with the chosen one first, stripped.

    Their scores go with them.
    """
    texts = [text.strip() for text in (pair.chosen, *pair.rejected)]
    meta = dict(pair.meta)
    if (scores := meta.get("scores")) is not None:
        meta["scores"] = [scores[at] for at in kept]
    return Pair(pair.prompt, texts[0], tuple(texts[at] for at in kept[1:]), meta)


def _scores(pair: Pair) -> list[float] | None:
    scores = pair.meta.get("scores")
    if scores is None:
        return None
    if not isinstance(scores, Sequence) or len(scores) != 1 + len(pair.rejected):
        raise HarnessError(
            f"meta['scores'] of {name_of(pair)} must hold one number per answer, chosen first: "
            f"{1 + len(pair.rejected)} numbers, not {scores!r}."
        )
    return [float(score) for score in scores]
