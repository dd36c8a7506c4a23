"""The forms in which preference pairs and prompts are published: one table of recognisers.

Each form says which rows are its own and what such a row holds. A row that is recognised but cannot
be used here carries the reason as a word or two, which becomes the reason of its drop.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.pairs.contents import (
    History,
    Turn,
    Unusable,
    answer_of,
    content_of,
    question_of,
    refuse_torn,
    turns_of,
)
from harness.storage import parse_json

Row = Mapping[str, Any]

IMAGE_COLUMNS = (
    "images",
    "image",
    "img_path",
    "image_path",
    "image_id",
    "img",
    "file_name",
    "chosen_image",
)
_QUESTIONS = ("question", "prompt", "query", "instruction", "problem", "text")
OWN_REFERENCES = ("reference", "ground_truth")
_REFERENCES = ("reference", "ground_truth", "answer", "output", "response", "solution")
_WORSE_IMAGES = ("rejected_images", "rejected_image", "image_rejected")
_SWIFT = "ms-swift pairs"


@dataclass(frozen=True, slots=True)
class Found:
    """What a row holds, before its image is looked for.

    Attributes:
        question: what is asked.
        images: as the row names them: paths, addresses, bytes, ``{"bytes": ..., "path": ...}``.
        chosen: the better answer; ``None`` in a row that is only a prompt.
        rejected: the worse answers.
        reference: what a prompt's answer should say, where that is known.
        id: the row's own id.
        meta: what else is kept with the pair.
        others: further images, under which answers are read.
        under: of each answer, the chosen one first, the number of its image in ``others``; empty
            where all are read under the row's own.
        history: question and answer of each earlier turn.
        marks: how many images the texts mark.
        problem: why the row cannot be used, in a word or two.
        detail: the same at length.
    """

    question: str = ""
    images: tuple[Any, ...] = ()
    chosen: str | None = None
    rejected: tuple[str, ...] = ()
    reference: str | None = None
    id: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    others: tuple[Any, ...] = ()
    under: tuple[int | None, ...] = ()
    history: History = ()
    marks: int = 0
    problem: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """A published form.

    Attributes:
        name: as it is shown.
        columns: groups of columns; a row has the form if it has one column of each group.
        read: yields what a row holds, usually once.
        fits: what else must hold; by default nothing.
    """

    name: str
    columns: tuple[tuple[str, ...], ...]
    read: Callable[[Row], Iterator[Found]]
    fits: Callable[[Row], bool] = lambda row: True

    def knows(self, row: Row) -> bool:
        """Whether this row has the form."""
        named = all(any(row.get(key) is not None for key in group) for group in self.columns)
        return named and self.fits(row)


def recognise(row: Row) -> Form | None:
    """Return the first form of :data:`FORMS` that knows the row."""
    return next((form for form in FORMS if form.knows(row)), None)


def read_row(form: Form, row: Row) -> Iterator[Found]:
    """Yield what a row holds; one that cannot be used becomes a :class:`Found` with a problem."""
    try:
        for found in form.read(row):
            earlier = (text for turn in found.history for text in turn)
            refuse_torn(found.question, found.chosen, *found.rejected, found.reference, *earlier)
            found = _with_worse_images(row, found, swift=form.name == _SWIFT)
            yield replace(found, id=found.id if found.id is not None else _id(row))
    except Unusable as error:
        yield Found(id=_id(row), problem=error.reason, detail=error.detail)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        told = f"as {form.name}, a value is not of the kind expected ({type(error).__name__})"
        yield Found(id=_id(row), problem="unknown shape", detail=told)


def _with_worse_images(row: Row, found: Found, *, swift: bool) -> Found:
    """Add the images that a row rejects.

    In ms-swift's form they are those of the rejected answer. In every other they stand beside two
    answers to the row's own image, and the chosen answer is worse under them.
    """
    if found.chosen is None:
        return found
    if row.get("chosen_image") and _images({**row, "chosen_image": None}):
        raise Unusable("own image for an answer", "chosen_image stands beside another image")
    value = _first(row, _WORSE_IMAGES) or ()
    worse = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not worse:
        return found
    if not found.images:
        raise Unusable("no image", "a rejected image, and none of the prompt's own")
    if not swift:
        rejected = (*found.rejected, *[found.chosen] * len(worse))
        under = (*[None] * (1 + len(found.rejected)), *range(len(worse)))
        return replace(found, rejected=rejected, others=worse, under=under)
    if len(worse) != max(1, len(found.images)) or worse[1:] != found.images[1:]:
        told = f"{len(worse)} images for the rejected answer; only the first may be another one"
        raise Unusable("several images", told)
    return replace(found, others=worse[:1], under=(None, *[0] * len(found.rejected)))


def _id(row: Row) -> str | None:
    for key in ("id", "question_id", "idx", "image_id"):
        if isinstance(row.get(key), str | int):
            return str(row[key])
    return None


def _images(row: Row, turns: Sequence[Turn] = ()) -> tuple[Any, ...]:
    """Return the images that the columns name, else those in the conversation."""
    for key in IMAGE_COLUMNS:
        value = row.get(key)
        if value is None or value == [] or value == "":
            continue
        if key == "image_id" and not isinstance(value, str):
            continue
        return tuple(value) if isinstance(value, list | tuple) else (value,)
    return tuple(image for turn in turns for image in turn.images)


def _first(row: Row, keys: Sequence[str]) -> Any:
    return next((row[key] for key in keys if row.get(key) is not None), None)


def _pair(row: Row, asked: Sequence[Turn], chosen: Any, rejected: Any) -> Found:
    """A pair from its prompt as turns and its two answers in whatever form."""
    answers = rejected if _is_texts(rejected) else [rejected]
    system = row.get("system")
    if isinstance(system, str) and system.strip():
        raise Unusable("system message", system[:80])
    found = _asked(row, asked)
    return replace(found, chosen=answer_of(chosen), rejected=tuple(map(answer_of, answers)))


def _asked(row: Row, turns: Sequence[Turn], **more: Any) -> Found:
    """A prompt from its turns and the images of its row."""
    question, history, marks = question_of(turns)
    return Found(question, _images(row, turns), history=history, marks=marks, **more)


def reference_of(row: Row, keys: Sequence[str]) -> str | None:
    """Return what an answer should say: a text, or a number as it is written."""
    value = _first(row, keys)
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return str(value) if number or isinstance(value, str) else None


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(x, str) for x in value)


def _columns(row: Row) -> Iterator[Found]:
    asked = [Turn("user", *content_of(_first(row, ("question", "prompt"))))]
    yield _pair(row, asked, row["chosen"], _first(row, ("rejected", "reject")))


def _rlhf_v(row: Row) -> Iterator[Found]:
    inner = parse_json(row["text"])
    asked = [Turn("user", *content_of(inner["question"]))]
    yield _pair(row, asked, inner["chosen"], inner["rejected"])


def _is_rlhf_v(row: Row) -> bool:
    text = row["text"]
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return False
    try:
        inner = parse_json(text)
    except ValueError:
        return False
    return isinstance(inner, dict) and {"question", "chosen", "rejected"} <= inner.keys()


def _two_conversations(row: Row) -> Iterator[Found]:
    better = turns_of(row["conversations"])
    worse = turns_of(_first(row, ("rejected_conversations", "reject_conversations")))
    if better[:-1] != worse[:-1]:
        raise Unusable("two questions", "the two conversations differ before their last answer")
    yield _pair(row, better[:-1], [better[-1]], [worse[-1]])


def _two_outputs(row: Row) -> Iterator[Found]:
    if row["preference"] not in (1, 2):
        raise Unusable("no preference", f"preference is {row['preference']!r}")
    outputs = [row["output_1"], row["output_2"]]
    better = int(row["preference"]) - 1
    yield _pair(row, turns_of(row["conversations"]), outputs[better], outputs[1 - better])


def _asked_and_answers(row: Row) -> Iterator[Found]:
    asked = turns_of(_first(row, ("conversations", "messages")))
    yield _pair(row, asked, row["chosen"], row["rejected"])


def _rejected_response(row: Row) -> Iterator[Found]:
    turns = turns_of(row["messages"])
    worse = row.get("rejected_response") or [turns[-1]]
    if row.get("rejected_messages") is not None:
        other = turns_of(row["rejected_messages"])
        if turns[:-1] != other[:-1]:
            raise Unusable("two questions", "messages and rejected_messages ask different things")
        worse = [other[-1]]
    yield _pair(row, turns[:-1], [turns[-1]], worse)


def _worse_image(row: Row) -> Iterator[Found]:
    """No rejected answer: the chosen one is compared under two images."""
    asked = [Turn("user", *content_of(_first(row, ("question", "prompt"))))]
    yield _asked(row, asked, chosen=answer_of(row["chosen"]))


def _trl(row: Row) -> Iterator[Found]:
    prompt = row["prompt"]
    asked = [Turn("user", prompt)] if isinstance(prompt, str) else turns_of(prompt)
    yield _pair(row, asked, row["chosen"], row["rejected"])


def _trl_implicit(row: Row) -> Iterator[Found]:
    better, worse = turns_of(row["chosen"]), turns_of(row["rejected"])
    if better[:-1] != worse[:-1] or len(better) < 2:
        raise Unusable("two questions", "chosen and rejected do not begin with the same prompt")
    yield _pair(row, better[:-1], [better[-1]], [worse[-1]])


def _alpaca(row: Row) -> Iterator[Found]:
    parts = [row["instruction"], row.get("input") or ""]
    text = "\n".join(part for part in parts if isinstance(part, str) and part)
    turns = [
        Turn(role, said)
        for both in row.get("history") or ()
        for role, said in zip(("user", "assistant"), both, strict=True)
    ]
    yield _pair(row, [*turns, Turn("user", text)], row["chosen"], row["rejected"])


def _rated(row: Row) -> Iterator[Found]:
    """VLFeedback: every two answers whose mean ratings differ, as its paper pairs them."""
    answers = row["completions"]
    if isinstance(answers, Mapping):  # how datasets stores a list of records
        keys = list(answers)
        columns = zip(*answers.values(), strict=True)
        answers = [dict(zip(keys, each, strict=True)) for each in columns]
    rated = [(_rating(one), one) for one in answers if isinstance(one, Mapping)]
    asked = [Turn("user", *content_of(row["prompt"]))]
    pairs = 0
    for (at, (left, one)), (to, (right, two)) in itertools.combinations(enumerate(rated), 2):
        if left is None or right is None or left == right:
            continue
        better, worse = (one, two) if left > right else (two, one)
        first, second = (at, to) if left > right else (to, at)
        found = _pair(row, asked, better.get("response"), worse.get("response"))
        meta = {"scores": [max(left, right), min(left, right)]}
        pairs += 1
        yield replace(found, id=f"{_id(row)}:{first + 1}>{second + 1}", meta=meta)
    if not pairs:
        raise Unusable("no preference", "no two answers have different ratings")


def _rating(answer: Mapping[str, Any]) -> float | None:
    aspects = answer.get("annotations")
    if not isinstance(aspects, Mapping) or not aspects:
        return None
    try:
        values = [float(aspect["Rating"]) for aspect in aspects.values()]
    except (TypeError, ValueError, KeyError):
        return None
    mean = sum(values) / len(values)
    return mean if math.isfinite(mean) else None


def _own(row: Row) -> Iterator[Found]:
    text = row["question"] if isinstance(row.get("question"), str) else row.get("text")
    question, _, marks = question_of([Turn("user", str(text))])
    reference = reference_of(row, OWN_REFERENCES)
    yield Found(question, (row["image"],), reference=reference, marks=marks)


def _is_own(row: Row) -> bool:
    texts = [row[key] for key in ("question", "text") if isinstance(row.get(key), str)]
    return isinstance(row["image"], str) and bool(texts)


def _conversation(row: Row) -> Iterator[Found]:
    """A conversation as a prompt: its first question, and the answer to that as reference."""
    turns = turns_of(_first(row, ("conversations", "messages", "prompt")))
    end = next((at for at, turn in enumerate(turns) if turn.role == "assistant"), len(turns))
    reply = turns[end].text if end < len(turns) else None
    later = len(turns) - end - 1
    meta = {"later turns": later} if later > 0 else {}
    yield _asked(row, turns[:end], reference=reply, meta=meta)


def _question(row: Row) -> Iterator[Found]:
    asked = [Turn("user", *content_of(_first(row, _QUESTIONS)))]
    yield _asked(row, asked, reference=reference_of(row, _REFERENCES))


def _is_list(*keys: str) -> Callable[[Row], bool]:
    return lambda row: all(isinstance(row.get(key), list | tuple) for key in keys)


def _some_list(*keys: str) -> Callable[[Row], bool]:
    return lambda row: isinstance(_first(row, keys), list | tuple)


_ANSWERS = (("chosen",), ("rejected",))

FORMS: tuple[Form, ...] = (
    Form("VLFeedback", (("prompt",), ("completions",)), _rated),
    Form("RLHF-V", (("text",),), _rlhf_v, _is_rlhf_v),
    Form("SeVa", (("image_id",), ("question",), ("chosen",), ("reject",)), _columns),
    Form(
        "SIMA, POVID, CSR",
        (("conversations",), ("rejected_conversations", "reject_conversations")),
        _two_conversations,
    ),
    Form(
        "LLaVA-RLHF",
        (("conversations",), ("output_1",), ("output_2",), ("preference",)),
        _two_outputs,
    ),
    Form("ShareGPT pairs", (("conversations", "messages"), *_ANSWERS), _asked_and_answers),
    Form(
        _SWIFT,
        (("messages",), ("rejected_response", "rejected_messages", *_WORSE_IMAGES)),
        _rejected_response,
    ),
    Form("RLAIF-V", (("question",), *_ANSWERS), _columns),
    Form("TRL", (("prompt",), *_ANSWERS), _trl),
    Form("Alpaca pairs", (("instruction",), *_ANSWERS), _alpaca),
    Form("rejected images", (("question", "prompt"), ("chosen",), _WORSE_IMAGES), _worse_image),
    Form("TRL, implicit prompt", _ANSWERS, _trl_implicit, _is_list("chosen", "rejected")),
    Form("prompts", (("image",), ("question", "text")), _own, _is_own),
    Form(
        "conversations",
        (("conversations", "messages", "prompt"),),
        _conversation,
        _some_list("conversations", "messages", "prompt"),
    ),
    Form("questions", (_QUESTIONS, IMAGE_COLUMNS), _question),
)
"""Every form, the most particular first."""
