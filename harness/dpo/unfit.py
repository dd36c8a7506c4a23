"""Which pairs cannot be trained on, judged by what they say; no image is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.dpo.loss_terms import BY_IMAGE
from harness.dpo.sides import kinds_of, sides_problem
from harness.errors import HarnessError
from harness.protocol import messages
from harness.records import Pair, Side, distinct

EQUAL, CUT, CONTROL, TOO_LONG = "equal", "cut", "control token", "too long"
UNHELD = "images or turns"
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

    Those that are rejected by their image alone come last.

    Raises:
        Unfit: if an answer is empty, the chosen answer is also rejected, or nothing is
            rejected; it names the pair.
        HarnessError: if its scores or sides do not fit its answers.
    """
    who = name_of(pair)
    if told := sides_problem(pair):
        raise HarnessError(f"P{who[1:]} cannot be trained on: {told}")
    if told := _turns_problem(pair):
        raise Unfit(UNHELD, f"P{who[1:]} cannot be trained on: {told} {DROP}")
    if not pair.chosen.strip():
        raise Unfit("empty", f"The chosen answer of {who} is empty. {DROP}")
    if only_chosen:
        return pair
    if not all(answer.strip() for answer in pair.rejected):
        raise Unfit("empty", f"A rejected answer of {who} is empty. {DROP}")
    said = [(text.strip(), side.shown) for text, side in pair.answers]
    if said[0] in said[1:]:
        raise Unfit(
            EQUAL,
            f"The chosen answer of {who} is also rejected: {pair.chosen[:50]!r}. Such a pair has "
            "no gradient; yield a Drop with the reason 'equal' instead.",
        )
    if not pair.rejected:
        raise Unfit("empty", f"There is no rejected answer in {who}. {DROP}")
    kept = [said.index(each) for each in distinct(said)]
    if pair.sides:
        kinds = kinds_of(pair)
        kept.sort(key=lambda at: kinds[at] == BY_IMAGE)
    scores = _scores(pair)
    meta = dict(pair.meta) if scores is None else {**pair.meta, "scores": scores}
    return with_answers(replace(pair, meta=meta), kept)


def _turns_problem(pair: Pair) -> str | None:
    """Say what is wrong with a prompt's images and turns, or with what an answer's side names."""
    prompt = pair.prompt
    if prompt.more_images and prompt.image is None:
        return "it has more images, and no first one."
    if prompt.image is None and any(side.shown != Side().shown for side in pair.sides):
        return "its prompt has no image, and an answer is read under another one, or a view of it."
    try:
        messages(pair.asked, len(prompt.images), prompt.history)
    except ValueError as error:
        return f"{error}."
    return None


def with_answers(pair: Pair, kept: Sequence[int]) -> Pair:
    """Return a pair with some of its answers, counted with the chosen one first, stripped.

    Their scores and sides go with them.
    """
    made = pair.arranged(kept)
    texts = [text.strip() for text, _ in made.answers]
    sides = tuple(map(_stripped, made.sides, (text for text, _ in made.answers)))
    return replace(made, chosen=texts[0], rejected=tuple(texts[1:]), sides=sides)


def _stripped(side: Side, text: str) -> Side:
    """Move the weights to where the text lies once the white space around it is gone."""
    if not side.weights:
        return side
    ahead, length = len(text) - len(text.lstrip()), len(text.strip())
    moved = [
        (min(max(begin - ahead, 0), length), min(max(end - ahead, 0), length), weight)
        for begin, end, weight in side.weights
    ]
    return replace(side, weights=tuple(each for each in moved if each[0] < each[1]))


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
