"""The frozen records that pass between the stages, and their JSON form.

A record never changes after it was made. Whatever is written to disk can be read back by
:func:`from_json`; ``VERSION`` grows when an old file could no longer be understood.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from unicodedata import normalize

from harness.errors import HarnessError
from harness.records.images import open_image
from harness.records.states import CUT, LENGTH, THOUGHT_ONLY, split_thought, state_of

if TYPE_CHECKING:
    import PIL.Image
    import torch

VERSION = 1

LATER = {"later": True}
"""Metadata of a field that files written before it do not have: at its default it is left out of
the JSON form, so that such records keep their bytes and fingerprints."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One training prompt: an image, a question, and where known a reference answer.

    Most prompts have one image and one question. Pairs that exist may have several images, earlier
    turns, or no image. Images are shown before the first question; where there are several images
    or turns, the texts may mark their places with ``<image>`` instead, one mark for each.

    Attributes:
        id: unique among the prompts of a run.
        image: the first image; ``None`` for a prompt of text alone.
        question: what is asked last, and so what is answered.
        reference: what an answer should say.
        others: further images of the row that it comes from, such as those under which an answer is
            rejected; the model does not see them.
        more_images: the images that the model sees after the first, in their order.
        history: question and answer of each earlier turn, as the model reads them.
    """

    id: str
    image: Path | None
    question: str
    reference: str | None = None
    others: tuple[Path, ...] = field(default=(), metadata=LATER)
    more_images: tuple[Path, ...] = field(default=(), metadata=LATER)
    history: tuple[tuple[str, str], ...] = field(default=(), metadata=LATER)

    @property
    def images(self) -> tuple[Path, ...]:
        """All images that the model sees, in their order."""
        return (*(() if self.image is None else (self.image,)), *self.more_images)

    @property
    def plain(self) -> bool:
        """Whether it is one question about one image."""
        return len(self.images) == 1 and not self.history

    def open_image(self) -> PIL.Image.Image:
        """Decode the image of a prompt with one image and one question, as RGB.

        Raises:
            HarnessError: if the file is missing, truncated or no image; it names the file. Also
                for every other prompt, so that no method asks about a part of it by mistake.
        """
        if not self.plain:
            has = f"{len(self.images)} images" if len(self.images) != 1 else "earlier turns"
            raise HarnessError(
                f"Prompt '{self.id}' has {has}, and the method asks with one image and one "
                "question. Train on such pairs with --method given, or remove them."
            )
        return self.open_images()[0]

    def open_images(self) -> tuple[PIL.Image.Image, ...]:
        """Decode every image that the model sees as RGB, in their order.

        Raises:
            HarnessError: if a file is missing, truncated or no image; it names the file.
        """
        return tuple(open_image(image, f"prompt '{self.id}'") for image in self.images)


@dataclass(frozen=True, slots=True)
class Side:
    """What one answer of a pair has of its own. The default says nothing: see :class:`Pair`.

    Attributes:
        image: the image that the answer is read under; ``None`` is the prompt's.
        view: a change of that image by an installed view, as in ``noise:step=500``.
        seed: of the view's random draws.
        weights: begin and end in characters of the answer, and the weight of that segment. What
            lies in no segment weighs 1.
        score: how good the answer is, for losses that look at it.
    """

    image: Path | None = field(default=None, metadata=LATER)
    view: str | None = field(default=None, metadata=LATER)
    seed: int = field(default=0, metadata=LATER)
    weights: tuple[tuple[int, int, float], ...] = field(default=(), metadata=LATER)
    score: float | None = field(default=None, metadata=LATER)

    @property
    def shown(self) -> tuple[Path | None, str | None, int]:
        """What the answer is read under; equal for answers that see the same pixels."""
        return self.image, self.view, self.seed if self.view is not None else 0


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference: for this prompt, ``chosen`` is better than each answer in ``rejected``.

    Attributes:
        prompt: as the method was given it.
        chosen: the better answer.
        rejected: one answer for DPO and several for a listwise loss, best first where the method
            knows an order. It may hold the chosen answer's text under another image (``sides``).
        meta: whatever the method wants to see again in the journal (noise step, critic verdict
            ...); it must be JSON.
        sides: what each answer has of its own, the chosen one first; empty where none has.
        question: what is trained on as the question where that is not the prompt's.
    """

    prompt: Prompt
    chosen: str
    rejected: tuple[str, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)
    sides: tuple[Side, ...] = field(default=(), metadata=LATER)
    question: str | None = field(default=None, metadata=LATER)

    @property
    def asked(self) -> str:
        """The question that is trained on."""
        return self.prompt.question if self.question is None else self.question

    @property
    def answers(self) -> tuple[tuple[str, Side], ...]:
        """Every answer with its side, the chosen one first.

        Raises:
            ValueError: if there is another number of sides than of answers.
        """
        texts = (self.chosen, *self.rejected)
        return tuple(zip(texts, self.sides or (Side(),) * len(texts), strict=True))

    @property
    def said(self) -> tuple[tuple[str, Any], ...]:
        """Every answer as it is compared with the others, with the image that it is about.

        White space around it plays no part, nor how an accented letter is composed.
        """
        return tuple((normalize("NFC", text).strip(), side.shown) for text, side in self.answers)

    @property
    def beyond(self) -> tuple[Any, ...]:
        """What prompt and texts alone do not say of the pair; empty where they say it all."""
        return (self.sides, self.question) if self.sides or self.question is not None else ()

    def arranged(self, order: Sequence[int]) -> Pair:
        """Return the pair with these answers in this order; sides and scores go with them.

        Args:
            order: numbers of answers, counted with the chosen one as 0.
        """
        texts, scores = (self.chosen, *self.rejected), self.meta.get("scores")
        if isinstance(scores, list | tuple) and len(scores) == len(texts):
            meta: Mapping[str, Any] = {**self.meta, "scores": [scores[at] for at in order]}
        else:
            meta = self.meta
        sides = tuple(self.sides[at] for at in order) if self.sides else ()
        first, *others = (texts[at] for at in order)
        return replace(self, chosen=first, rejected=tuple(others), meta=meta, sides=sides)


UNREADABLE = "unreadable image"
"""Reason to drop a prompt: one of its images cannot be read."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A prompt that gave no pair, and why in a word or two (``"equal"``, ``"unparsable"``)."""

    prompt: Prompt
    reason: str
    meta: Mapping[str, Any] = field(default_factory=dict)


class View(Protocol):
    """A change of the normalised pixel tensor, such as SeVa's noise.

    An implementation is a frozen dataclass: its ``repr`` names everything that determines the
    result and goes into the cache key.
    """

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map ``(..., 3, height, width)`` float32, CLIP-normalised, to the same shape."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One question to the model. ``temperature`` 0 means greedy; else ``seed`` alone decides.

    Attributes:
        prompt: the user's turn as plain text; the model adds its chat template and image tokens.
        images: decoded images, in the order in which they are shown before the text.
        max_new_tokens: where an answer is cut.
        temperature: softmax temperature; 0 is greedy decoding.
        top_p: nucleus mass for sampling.
        seed: seed of this request's own random stream.
        stop: texts that end an answer; they are removed from it.
        view: changes the processed pixels of every image (noise), or ``None``.
        choices: answers whose log-probabilities are wanted next to the generated text.
    """

    prompt: str
    images: tuple[PIL.Image.Image, ...] = ()
    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    view: View | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said. ``text`` is ``None`` when no answer could be had: never a number.

    Attributes:
        text: the answer without special tokens, stripped of surrounding white space.
        tokens: how many tokens were generated, the end token included.
        finish: ``"stop"``, ``"length"`` (cut at ``max_new_tokens``), ``"missing"``, or
            ``"not finite"`` where the network gave NaN or infinity.
        error: why the answer is missing.
        choices: log-probability (nats, summed over tokens) of each asked choice; empty where
            they cannot be had, as from a server.
        thought: what the model thought before it answered, where that came apart from the text.
    """

    text: str | None
    tokens: int = 0
    finish: str = "stop"
    error: str | None = None
    choices: tuple[float, ...] = ()
    thought: str = ""

    @property
    def state(self) -> str:
        """What became of it, see :mod:`harness.records.states`."""
        return state_of(self.text, thought=self.thought, finish=self.finish, error=self.error)


def as_read(answer: Answer) -> Answer:
    """Return an answer as scorers, judges and lengths read it: without its thinking part.

    One that ends inside its thought, or is cut before a word was said, does not count as one.
    ``tokens`` are those of the answer alone: its share of the letters where both are in one text.
    """
    if answer.text is None:
        return answer
    inline, text = split_thought(answer.text)
    thought = "\n".join(filter(None, (answer.thought, inline)))
    tokens = answer.tokens
    if inline and text:
        tokens = max(1, round(tokens * len(text) / len(answer.text)))
    read = replace(answer, text=text, thought=thought, tokens=tokens)
    ended = f"after {answer.tokens} tokens" if answer.finish == LENGTH else "by itself"
    if thought and not text:
        return replace(read, text=None, error=f"{THOUGHT_ONLY}: it ended {ended}, before an answer")
    if read.state == CUT and not text:
        return replace(read, text=None, error=f"{CUT} {ended}, before a word was said")
    return read


@dataclass(frozen=True, slots=True)
class Scored:
    """The verdict on one answer: values by metric, ``None`` where no verdict could be had."""

    scores: Mapping[str, float | None]
    judge: str = "rule"
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One benchmark row answered by one model, with its scores.

    Attributes:
        id: the row's id in the benchmark, unique there.
        content: hash of question, target and image bytes; before and after are joined on it.
        cluster: rows with equal value share an image and are not independent.
        prompt: the text that was asked.
        target: the reference answer, as text.
        answer: what the model said, ``None`` when missing.
        tokens: length of the answer in tokens.
        finish: see :class:`Answer`.
        error: why answer or score is missing.
        scores: per-sample value by metric; ``None`` is missing, never zero.
        judge: who gave the scores: ``"rule"``, ``"builtin"`` or a judge model's id.
        verdict: the judge's words, where there is a judge.
        groups: named categories of the row (``category``, ``capability`` ...).
        units: names of what the row counts together with in some column: the pair of MME, the
            question of MMBench's rotations. Known also where the answer is missing.
        thought: what the model thought before it answered; no part of answer and length.
    """

    id: str
    content: str
    cluster: str
    prompt: str
    target: str
    answer: str | None
    tokens: int
    finish: str
    error: str | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    judge: str = "rule"
    verdict: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    thought: str = ""

    @property
    def said(self) -> str | None:
        """The answer as it is compared with another: composed letters (NFC)."""
        return None if self.answer is None else normalize("NFC", self.answer)

    @property
    def state(self) -> str:
        """What became of the row, see :mod:`harness.records.states`."""
        return state_of(
            self.answer,
            thought=self.thought,
            finish=self.finish,
            error=self.error,
            scores=self.scores,
        )


@dataclass(frozen=True, slots=True)
class Demo:
    """An embedded default: a model, prompts and data that ship in a package.

    Attributes:
        model: checkpoint folder.
        prompts: prompt file.
        data: folder with one copy of each data set.
        preset: the options preset that fits the model's size.
        notice: what every output made on its data must say.
    """

    model: Path
    prompts: Path
    data: Path
    preset: str
    notice: str


T = TypeVar("T")


def seed_of(*parts: Any) -> int:
    """Derive a 63-bit seed from ``parts``, so that order, batch and resume do not change it."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def distinct(items: Iterable[T]) -> tuple[T, ...]:
    """Return the items in their order, each once."""
    return tuple(dict.fromkeys(items))


Samples = Mapping[str, tuple[Sample, ...]]
"""Samples of one arm, by benchmark."""
