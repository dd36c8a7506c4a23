"""The frozen records that pass between the stages, and their JSON form.

A record never changes after it was made. Whatever is written to disk can be read back by
:func:`from_json`; ``VERSION`` grows when an old file could no longer be understood.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from harness.errors import HarnessError
from harness.records.states import CUT, LENGTH, THOUGHT_ONLY, split_thought, state_of

if TYPE_CHECKING:
    import PIL.Image
    import torch

VERSION = 1
MOST_PIXELS = 90_000_000
"""About where Pillow begins to warn; such an image takes 270 MB as RGB."""


LATER = {"later": True}
"""Metadata of a field that files written before it do not have: at its default it is left out of
the JSON form, so that such records keep their bytes and fingerprints."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One training prompt: an image, a question, and where known a reference answer.

    ``others`` are further images of the row that it comes from, such as those under which an
    answer is rejected; the model does not see them.
    """

    id: str
    image: Path
    question: str
    reference: str | None = None
    others: tuple[Path, ...] = field(default=(), metadata=LATER)

    def open_image(self) -> PIL.Image.Image:
        """Decode the image as RGB.

        Raises:
            HarnessError: if the file is missing, truncated or no image; it names the file.
        """
        return open_image(self.image, f"prompt '{self.id}'")

    def look_at_image(self) -> None:
        """Decode the image, for :meth:`open_image` to return next.

        Raises:
            HarnessError: as :meth:`open_image` does.
        """
        look_at_image(self.image, f"prompt '{self.id}'")


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


IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may take a file for, whatever its name says: EPS would start Ghostscript."""


@contextlib.contextmanager
def listed_formats() -> Iterator[None]:
    """Let Pillow know :data:`IMAGE_FORMATS` alone, where a library opens images for us."""
    import PIL.Image

    _whole_files_only()
    PIL.Image.init()  # else it would add the others when none of the list fits
    known = list(PIL.Image.ID)
    PIL.Image.ID[:] = [name for name in known if name in IMAGE_FORMATS]
    try:
        yield
    finally:
        PIL.Image.ID[:] = known


_AHEAD: dict[tuple[object, ...], PIL.Image.Image] = {}
"""The image that was looked at last, until somebody opens it."""
_KEPT = 1 << 22  # pixels of an image that is worth keeping


def look_at_image(path: Path, owner: str) -> None:
    """Decode an image file; whoever opens it next is given what was decoded.

    Raises:
        HarnessError: see :func:`open_image`.
    """
    image = open_image(path, owner)
    _AHEAD.clear()
    if image.width * image.height <= _KEPT:
        _AHEAD[_stamp(path)] = image


def _stamp(path: Path) -> tuple[object, ...]:
    found = path.stat()
    return path, found.st_ino, found.st_mtime_ns, found.st_size


def open_image(path: Path, owner: str) -> PIL.Image.Image:
    """Decode an image file completely as RGB, turned upright as a camera's EXIF tag says.

    ``datasets`` and ``transformers`` turn images too, so prompts and benchmarks look alike.

    Raises:
        HarnessError: if it cannot be decoded, or has more than 8 bits a channel, which Pillow
            would cut to white; ``owner`` says who wanted it.
    """
    import PIL.Image
    import PIL.ImageOps

    _whole_files_only()
    try:
        if _AHEAD and (ready := _AHEAD.pop(_stamp(path), None)) is not None:
            return ready
        with PIL.Image.open(path, formats=IMAGE_FORMATS) as image:
            if problem := image_problem(image):
                raise ValueError(problem)
            PIL.ImageOps.exif_transpose(image, in_place=True)
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise HarnessError(
            f"The image of {owner} cannot be read: {path} ({error}). "
            "Replace the file, or remove its line from the prompt file, and run again."
        ) from error


def _whole_files_only() -> None:
    """Take back what lmms-eval sets when imported: that Pillow fills torn files with grey."""
    from PIL import ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = False


def image_problem(image: PIL.Image.Image) -> str | None:
    """Say why an image is not shown to a model, before its pixels are decoded.

    With more than 8 bits a channel, converting would cut it to white; with too many pixels, it
    would take the machine's memory.
    """
    if image.mode.startswith(("I", "F")):
        return f"its mode is {image.mode}; save it with 8 bits a channel"
    if image.width * image.height > MOST_PIXELS:
        return (
            f"it has {image.width} x {image.height} pixels, and {MOST_PIXELS:,} are the most that "
            "are read; save it smaller"
        )
    return None


def distinct(items: Iterable[T]) -> tuple[T, ...]:
    """Return the items in their order, each once."""
    return tuple(dict.fromkeys(items))


Samples = Mapping[str, tuple[Sample, ...]]
"""Samples of one arm, by benchmark."""
