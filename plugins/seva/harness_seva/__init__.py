"""SeVa (arXiv 2404.10501): what the model says of a corrupted image is the rejected answer.

Per prompt the greedy answer to the clean image is chosen and the greedy answer to the corrupted
image is rejected; equal pairs say nothing and are dropped. Training is DPO on the clean image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from harness import dpo, progress
from harness.hookspecs import hookimpl
from harness.model import ask_each
from harness.pairs import thoughts_of, word_distance
from harness.records import Answer, Bounds, Drop, Pair, Prompt, Request, seed_of
from harness_seva.corruptions import Chain, Corruption, edits_of, parse
from harness_seva.noise import STEPS

if TYPE_CHECKING:
    import PIL.Image

    from harness.model import Model


AUTO = "auto"
LADDER = tuple(f"noise:step={step}" for step in (200, 400, 600, 800, 999))


@dataclass(frozen=True)
class Options(dpo.Training):
    """SeVa's knobs; the defaults are the paper's, for a model of LLaVA-1.5's size.

    Attributes:
        corruption: what is done to the image, as ``name`` or ``name:key=value,...``, several
            joined by ``+``; the names and strengths are in ``harness_seva.corruptions``. ``auto``
            takes the mildest of ``ladder`` that changes a prompt's answer by ``target``.
        ladder: corruptions for ``auto``, mildest first.
        target: part of the words that has to change, for ``auto``.
        noise_step: strength of ``noise``, 0 to 999; the paper uses 500 and 800.
        max_new_tokens: where an answer is cut, in tokens.
        delete_newlines: glue the lines of both answers together, as the released code does.
        quota: ``PREFIX=COUNT`` texts: train on at most so many pairs whose prompt id begins with
            the prefix, drawn by seed. The released code does so at step 800.
    """

    corruption: str = "noise"
    ladder: tuple[str, ...] = LADDER
    target: Annotated[float, Bounds(above=0, most=1)] = 0.2
    noise_step: Annotated[int, Bounds(least=0, below=STEPS)] = 500
    max_new_tokens: Annotated[int, Bounds(least=1, most=65_536)] = 512
    delete_newlines: bool = False
    quota: tuple[str, ...] = ()
    learning_rate: float = 2e-6
    beta: float = 0.1
    batch_size: int = 16
    accumulation: int = 8
    lora_rank: int = 1024
    lora_alpha: int = 2048
    warmup_ratio: float = 0.03

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        super().__post_init__()
        if not self.rungs():
            raise ValueError("ladder names no corruption; give some, mildest first")
        self.quotas()

    def rungs(self) -> dict[str, Corruption | Chain]:
        """Return the corruptions that are tried, mildest first, by name; one but for ``auto``.

        Raises:
            ValueError: see :func:`harness_seva.corruptions.parse`.
        """
        texts: tuple[str, ...] = (self.corruption,)
        if self.corruption == "noise":
            texts = (f"noise:step={self.noise_step}",)
        elif self.corruption == AUTO:
            texts = self.ladder
        return {str(made): made for made in map(parse, texts)}

    def quotas(self) -> dict[str, int]:
        """Return the largest number of pairs by prefix of the prompt id.

        Raises:
            ValueError: if a text is no ``PREFIX=COUNT``.
        """
        found = {}
        for text in self.quota:
            prefix, _, count = text.rpartition("=")
            if not prefix or not count.isdigit():
                raise ValueError(f"quota '{text}' is no PREFIX=COUNT, such as ocr_vqa=4300")
            found[prefix] = int(count)
        return found


PRESETS = {
    "paper": Options(),
    "released": Options(
        noise_step=800,
        delete_newlines=True,
        quota=("ocr_vqa=4300", "textvqa=6500"),
        repeats=2,
        train_projector=True,
    ),
    "small": Options(max_new_tokens=128, **dpo.SMALL),
}


def uses(options: Options) -> tuple[str, ...]:
    """Return what else decides the result: the edits of other packages."""
    return edits_of(options.ladder if options.corruption == AUTO else (options.corruption,))


@hookimpl
def make_pairs(
    prompts: Iterable[Prompt], model: Model, options: Options, seed: int
) -> Iterator[Pair | Drop]:
    """Ask each question with the clean image and with each corrupted one."""
    rungs = options.rungs()

    def requests(prompt: Prompt) -> Iterator[Request]:
        image, limit = prompt.open_image(), options.max_new_tokens
        yield Request(prompt.question, (image,), max_new_tokens=limit)
        for corruption in rungs.values():
            worse, view = corruption.apply(image, seed_of(seed, prompt.id, corruption.name))
            yield Request(prompt.question, (worse,), max_new_tokens=limit, view=view)

    for prompt, (clean, *worse) in ask_each(model, prompts, requests):
        yield _preference(prompt, clean, dict(zip(rungs, worse, strict=True)), options)


def _preference(
    prompt: Prompt, clean: Answer, answers: Mapping[str, Answer], options: Options
) -> Pair | Drop:
    if clean.text is None or any(answer.text is None for answer in answers.values()):
        errors = (answer.error for answer in (clean, *answers.values()) if answer.text is None)
        return Drop(prompt, "missing", {"error": next(errors)})
    told = {name: str(answer.text) for name, answer in answers.items()}
    meta: dict[str, Any] = {
        "changes": {name: word_distance(clean.text, text) for name, text in told.items()}
    }
    meta |= thoughts_of({"clean": clean, **answers})
    name = next(iter(told))
    if options.corruption == AUTO:
        enough = [each for each, far in meta["changes"].items() if far >= options.target]
        if not enough:
            return Drop(prompt, "equal", meta)
        name = meta["augmentation"] = enough[0]
    if clean.text == told[name]:
        return Drop(prompt, "equal", meta)
    chosen, rejected = clean.text, told[name]
    if options.delete_newlines:
        chosen, rejected = chosen.replace("\n", ""), rejected.replace("\n", "")
    return Pair(prompt, chosen, (rejected,), meta)


def pictures(pair: Pair, options: Options, seed: int) -> Mapping[str, PIL.Image.Image]:
    """Return the corrupted image behind the rejected answer, drawn again from the same seed."""
    rungs = options.rungs()
    name = pair.meta.get("augmentation") or next(iter(rungs))
    corruption = rungs[name]
    drawn = seed_of(seed, pair.prompt.id, corruption.name)
    return {name: corruption.picture(pair.prompt.open_image(), drawn)}


@hookimpl
def train(pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int) -> Path:
    """Train with DPO on the clean image."""
    kept = within_quota(pairs, options, seed)
    if len(kept) < len(pairs):
        progress.say(f"SeVa's quota keeps {len(kept)} of {len(pairs)} pairs.")
    return dpo.train(kept, model, out, seed=seed, training=options)


def within_quota(pairs: Sequence[Pair], options: Options, seed: int) -> tuple[Pair, ...]:
    """Return the pairs in their order, without those drawn out by a quota; others all stay."""
    gone: set[int] = set()
    for prefix, count in options.quotas().items():
        places = [at for at, pair in enumerate(pairs) if pair.prompt.id.startswith(prefix)]
        drawn = sorted(places, key=lambda at: seed_of(seed, "quota", pairs[at].prompt.id))
        gone.update(drawn[count:])
    return tuple(pair for at, pair in enumerate(pairs) if at not in gone)
