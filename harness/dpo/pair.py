"""What a pair says and shows, and why some pairs cannot be trained on.

Each answer has a side of its own: its image or view, weights by segment, a score. A view is an
entry point of the group ``harness.views``: a function of an image, the view's text
(``noise:step=500``) and a seed that returns what to show instead, and what to do to the processed
pixels (:class:`harness.records.View`) or ``None``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.dpo.loss_terms import BY_BOTH, BY_IMAGE, BY_TEXT
from harness.errors import HarnessError
from harness.plugins import load
from harness.protocol import Message, messages, texts_of
from harness.records import Pair, Side, View, distinct, open_image

if TYPE_CHECKING:
    import PIL.Image


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
        if side.score is not None and not _is_number(side.score):
            return f"a score is {side.score!r:.60}; leave it out where it is not known."
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
        if not (_is_number(weight) and weight >= 0):
            return f"a weight is {weight}; it must be a number of at least 0."
        at = end
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


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
    said = pair.said
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
    kinds = kinds_of(pair)
    if isinstance(scores, list | tuple) and 0 < len(scores) == len(kinds) - kinds.count(BY_IMAGE):
        left = iter(scores)  # the chosen text has its score under another image too
        scores = [scores[0] if kind == BY_IMAGE else next(left) for kind in kinds]
    count = 1 + len(pair.rejected)
    listed = isinstance(scores, list | tuple) and len(scores) == count
    try:  # numbers of numpy and torch are numbers too, texts are not
        found = [math.nan if isinstance(each, str) else float(each) for each in scores]
    except (TypeError, ValueError):
        found = []
    if not listed or not found or not all(map(math.isfinite, found)):
        raise HarnessError(
            f"meta['scores'] of {name_of(pair)} must hold one number per answer, chosen first: "
            f"{count} numbers, not {scores!r:.200}."
        )
    return found


Write = Callable[[list[Message]], str]


def turns_of(pair: Pair) -> list[Message]:
    """Return the conversation up to the question that is trained on."""
    prompt = pair.prompt
    return messages(pair.asked, len(prompt.images), prompt.history)


def refuse_unheld(pair: Pair, write: Write, *, blind: bool) -> None:
    """Refuse a pair of several images, several turns or no image that a template cannot hold.

    ``blind`` says whether the family is trained on prompts without an image.

    Raises:
        Unfit: says what the template leaves out.
    """
    who, turns, images = name_of(pair), turns_of(pair), len(pair.prompt.images)
    if not images and not blind:
        raise Unfit(
            UNHELD, f"There is no image in {who}, and this family is not trained without. {DROP}"
        )
    try:
        told = write(turns)
        fewer = write(_without_last_image(turns)) if images > 1 else ""
    except Exception as error:  # a template's own code raises what it likes
        raise Unfit(
            UNHELD,
            f"The chat template refuses the prompt of {who} with {images} images and "
            f"{len(turns)} turns: {error}. {DROP}",
        ) from error
    if len(told) <= len(fewer):
        raise Unfit(UNHELD, f"The chat template has no place for all images of {who}. {DROP}")
    at = 0
    for text in texts_of(turns):
        found = told.find(text.strip(), at)
        if found < 0:
            raise Unfit(
                UNHELD, f"The chat template leaves out {text[:50]!r} of the prompt of {who}. {DROP}"
            )
        at = found + len(text.strip())


def _without_last_image(turns: list[Message]) -> list[Message]:
    at = max(n for n, turn in enumerate(turns) if {"type": "image"} in turn["content"])
    content = list(turns[at]["content"])
    last = max(n for n, part in enumerate(content) if part["type"] == "image")
    return [
        *turns[:at],
        {**turns[at], "content": content[:last] + content[last + 1 :]},
        *turns[at + 1 :],
    ]


Look = Callable[["PIL.Image.Image"], "PIL.Image.Image"]


def opened(
    pair: Pair, side: Side, look: Look | None = None
) -> tuple[tuple[PIL.Image.Image, ...], View | None]:
    """Return the images that an answer is read under, and what changes their processed pixels.

    An image or view of the answer's own is in the place of the first image. A change of processed
    pixels, such as noise, is one of all images. ``look`` is applied to every image before.

    Raises:
        UsageError: if no installed package has the view.
        Unfit: if the answer's own image cannot be read.
        HarnessError: if the prompt's cannot, or the view cannot be applied.
    """
    if side.image is None:
        images = pair.prompt.open_images()
    else:
        rest = replace(pair.prompt, image=None).open_images()
        try:
            images = (open_image(side.image, f"an answer to prompt '{pair.prompt.id}'"), *rest)
        except HarnessError as error:
            raise Unfit("unreadable image", str(error)) from error
    if look is not None:
        images = tuple(map(look, images))
    if side.view is None:
        return images, None
    view = load("views", side.view.partition(":")[0])
    try:
        made: tuple[PIL.Image.Image, View | None] = view(images[0], side.view, side.seed)
    except (ValueError, TypeError) as error:
        raise HarnessError(
            f"The view '{side.view}' of an answer to prompt '{pair.prompt.id}' cannot be applied: "
            f"{error}."
        ) from error
    return (made[0], *images[1:]), made[1]
