"""The promises themselves, each a function that raises in the plugin's name.

They are listed in :data:`CHECKS` in the order in which they are tried; a later one may use what an
earlier one left on the :class:`Trial`.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from harness.context import Context, Plan
from harness.errors import HarnessError, UsageError
from harness.model import Answering, Model
from harness.pairs import make_pairs
from harness.plugins import Method
from harness.records import Answer, Drop, Pair, Prompt, Request
from harness.settings import Settings
from harness.stages import train
from harness.storage import Store, files_digest

SEED = 11
STREAM = 1024
READ_AHEAD = 256
"""A method may look at so many prompts before its first record; SIMA and the engine read chunks."""


@dataclass
class Trial:
    """One method on trial, and what the checks so far have left."""

    method: Method
    options: Any
    prompts: Sequence[Prompt]
    checkpoint: Path
    folder: Path
    items: list[Pair | Drop] = field(default_factory=list)
    pairs: tuple[Pair, ...] = ()
    trained: Path | None = None

    @property
    def who(self) -> str:
        """How messages name the plugin."""
        return f"The method '{self.method.name}' ({self.method.owner})"

    def context(self, name: str) -> Context[Plan]:
        """Return what a stage works on in a folder of its own: this method and no benchmark."""
        plan = Plan(
            settings=Settings(method=self.method.name, benches=(), seed=SEED),
            method=self.method,
            options=self.options,
            prompts=tuple(self.prompts),
            benchmarks=(),
            model=self.checkpoint,
            data="",
            notice=None,
            inputs={"method": self.method.name, "prompts": str(len(self.prompts))},
            seed=SEED,
        )
        return Context(plan, self.folder / name, Store(self.folder / "store.sqlite"))

    def model(self) -> Model:
        """Open the embedded model anew, without a store: every answer is made again."""
        return Model.open(self.checkpoint)

    def make(self, prompts: Iterable[Prompt], model: Answering) -> Iterator[Pair | Drop]:
        """Call the method's pair hook directly."""
        return self.method.make_pairs(prompts, model, self.options, SEED)


class Talker:
    """A model that answers at once, without thinking; all else is the real one's."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer each request by a number made from it; read nothing ahead."""
        for request in requests:
            image = b"".join(picture.tobytes() for picture in request.images)
            mark = hashlib.sha256(image + repr(dataclasses.replace(request, images=())).encode())
            text = f"answer {mark.hexdigest()[:6]}"
            yield Answer(text, 4, choices=tuple(-float(len(one)) for one in request.choices))


def options_are_validated(trial: Trial) -> None:
    """Options are a frozen dataclass whose values can be written as text and read back."""
    kind, presets = (
        getattr(trial.method.module, "Options", None),
        getattr(trial.method.module, "PRESETS", {}),
    )
    if kind is None:
        return
    params = getattr(kind, "__dataclass_params__", None)
    if params is None or not params.frozen:
        raise HarnessError(f"{trial.who} has Options that can change: add @dataclass(frozen=True).")
    for name, preset in presets.items():
        if not isinstance(preset, kind):
            raise HarnessError(f"{trial.who} has the preset {name}, which is no Options.")
    wrong = "no_such_option_at_all"
    try:
        trial.method.options(None, {wrong: "1"})
    except UsageError:
        return
    raise HarnessError(f"{trial.who} accepted the unknown option {wrong}.")


def pairs_come_lazily(trial: Trial) -> None:
    """The first record comes before the prompts are all read, from any iterable of prompts."""
    taken = 0

    def stream() -> Iterator[Prompt]:
        nonlocal taken
        for number, prompt in enumerate(islice(cycle(trial.prompts), STREAM)):
            taken += 1
            yield dataclasses.replace(prompt, id=f"{prompt.id}-{number}")

    made = trial.make(stream(), Talker(trial.model()))
    if next(made, None) is None:
        raise HarnessError(f"{trial.who} yielded nothing for {STREAM} prompts.")
    if taken > READ_AHEAD:
        raise HarnessError(
            f"{trial.who} read {taken} of {STREAM} prompts before its first record. Yield each "
            "record as it is ready (at most a chunk of prompts behind), or a run of a million "
            "prompts fills the memory and a kill loses everything."
        )


def pairs_are_valid(trial: Trial) -> None:
    """Every record is a Pair or a Drop that the pair stage accepts, and at least one is a pair."""
    before = _state(trial)
    made = make_pairs(trial.context("pairs"), trial.model())
    trial.pairs = made.pairs
    _unchanged(trial, before, "make_pairs")


def image_is_kept(trial: Trial) -> None:
    """A pair carries the prompt that it was given: same image, question and id."""
    given = {prompt.id: prompt for prompt in trial.prompts}
    trial.items = list(trial.make(iter(trial.prompts), trial.model()))
    for item in trial.items:
        if isinstance(item, Pair) and not isinstance(item.rejected, tuple):
            raise HarnessError(
                f"{trial.who} gave rejected answers that are no tuple: write (text,)."
            )
        if item.prompt != given[item.prompt.id]:
            raise HarnessError(
                f"{trial.who} changed prompt '{item.prompt.id}': a pair must carry the prompt it "
                "was given, with its own image. What was asked instead belongs into meta."
            )


def same_seed_same_pairs(trial: Trial) -> None:
    """Asked again with the same seed, the method makes the same records."""
    again = list(trial.make(iter(trial.prompts), trial.model()))
    _equal(trial, trial.items, again, "a second time with the same seed")


def resume_gives_the_rest(trial: Trial) -> None:
    """Asked for the second half of the prompts alone, it makes the second half of the records."""
    half = len(trial.prompts) // 2
    rest = {prompt.id for prompt in trial.prompts[half:]}
    tail = [item for item in trial.items if item.prompt.id in rest]
    again = list(trial.make(iter(trial.prompts[half:]), trial.model()))
    _equal(trial, tail, again, "after a resume in the middle")


def checkpoint_is_written(trial: Trial) -> None:
    """Training returns a checkpoint in the folder it was given and changes none of its inputs."""
    model = trial.model()
    before, pairs = _state(trial), copy.deepcopy(trial.pairs)
    said = _said(trial, model)
    trial.trained = _train(trial, model, "trained")
    _unchanged(trial, before, "train")
    if trial.pairs != pairs:
        raise HarnessError(f"{trial.who} changed the pairs that train was given.")
    if _said(trial, model) != said:
        raise HarnessError(
            f"{trial.who} changed the model that train was given: asked again, it answers "
            "differently. Train a copy or an adapter, as harness.dpo.train does."
        )


def checkpoint_can_be_loaded(trial: Trial) -> None:
    """The trained model answers."""
    assert trial.trained is not None
    _said(trial, trial.model().with_adapter(trial.trained))


def same_seed_same_weights(trial: Trial) -> None:
    """Trained again with the same seed, the weights come out the same, byte by byte."""
    assert trial.trained is not None
    again = _train(trial, trial.model(), "again")
    first, second = (
        files_digest(path, sorted(path.glob("*.safetensors"))) for path in (trial.trained, again)
    )
    if first != second:
        raise HarnessError(
            f"{trial.who} trained other weights with the same seed and pairs. Take every random "
            "number from the seed that train is given."
        )


CHECKS: Mapping[str, Callable[[Trial], None]] = {
    "options are validated": options_are_validated,
    "pairs come lazily": pairs_come_lazily,
    "pairs are valid, inputs unchanged": pairs_are_valid,
    "the image is kept": image_is_kept,
    "same seed, same pairs": same_seed_same_pairs,
    "a resume in the middle gives the rest": resume_gives_the_rest,
    "a checkpoint is written, inputs unchanged": checkpoint_is_written,
    "the checkpoint can be loaded": checkpoint_can_be_loaded,
    "same seed, same weights": same_seed_same_weights,
}


def _state(trial: Trial) -> tuple[Any, ...]:
    images = {image: image.read_bytes() for prompt in trial.prompts for image in prompt.images}
    return copy.deepcopy((list(trial.prompts), trial.options, images))


def _unchanged(trial: Trial, before: tuple[Any, ...], hook: str) -> None:
    for name, old, new in zip(("prompts", "options", "images"), before, _state(trial), strict=True):
        if old != new:
            raise HarnessError(f"{trial.who} changed the {name} that {hook} was given.")


def _equal(
    trial: Trial, first: Sequence[Pair | Drop], second: Sequence[Pair | Drop], when: str
) -> None:
    if len(first) != len(second):
        raise HarnessError(
            f"{trial.who} made {len(second)} records {when}, and {len(first)} before."
        )
    for old, new in zip(first, second, strict=True):
        if old != new:
            raise HarnessError(
                f"{trial.who} made another record for prompt '{old.prompt.id}' {when}. Derive "
                "each prompt's randomness with seed_of(seed, prompt.id), and nothing from the "
                "order of the prompts."
            )


def _train(trial: Trial, model: Model, name: str) -> Path:
    return train(trial.context(name), trial.pairs, model).path


def _said(trial: Trial, model: Model) -> str:
    prompt = trial.prompts[0]
    (answer,) = model.answer([Request(prompt.question, (prompt.open_image(),), max_new_tokens=8)])
    if answer.text is None:
        raise HarnessError(f"{trial.who} left a model that cannot answer: {answer.error}")
    return answer.text


class Scripted:
    """Answers from a list, in its order.

    Attributes:
        texts: what is left to say.
        seen: the requests so far.
    """

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.seen: list[Request] = []

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Give each request the next text."""
        for request in requests:
            self.seen.append(request)
            yield Answer(self.texts.pop(0))
