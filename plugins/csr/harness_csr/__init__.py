"""CSR (arXiv 2405.14622): the model rewards its own answers, calibrated by what the image shows.

Each sentence of several sampled answers has two scores: its log-probability per word, and how well
it fits the image. The answer with the best rank over both is chosen, the worst is rejected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

from harness import dpo
from harness.errors import HarnessError
from harness.hookspecs import hookimpl
from harness.model import ask_each
from harness.pairs import word_distance
from harness.records import Answer, Bounds, Drop, Pair, Prompt, Request, distinct, seed_of

if TYPE_CHECKING:
    import PIL.Image

    from harness.model import Model

CHUNK, SELF = 16, "self"


@dataclass(frozen=True)
class Options(dpo.Training):
    """CSR's knobs; the training's defaults are those of the released script.

    Attributes:
        candidates: answers sampled for each prompt.
        temperature: of the sampling; ``top_p`` is its nucleus mass.
        max_new_tokens: where an answer is cut, in tokens.
        relevance: weight of the image's score against the model's own; the paper's lambda.
        scorer: ``self`` is what the true image adds to a sentence's log-probability against a
            blank one; else the folder of a CLIP checkpoint, as in the paper.
    """

    candidates: Annotated[int, Bounds(least=2, most=64)] = 5
    temperature: Annotated[float, Bounds(above=0, most=100)] = 1.0
    top_p: Annotated[float, Bounds(above=0, most=1)] = 1.0
    max_new_tokens: Annotated[int, Bounds(least=1, most=65_536)] = 512
    relevance: Annotated[float, Bounds(least=0, most=1)] = 0.9
    scorer: str = SELF
    learning_rate: float = 1e-7
    batch_size: int = 1
    accumulation: int = 1

    def __post_init__(self) -> None:
        """Refuse a scorer that is not there."""
        super().__post_init__()
        if self.scorer != SELF and not _is_clip(Path(self.scorer)):
            raise ValueError(
                f"scorer={self.scorer} is neither 'self' nor the folder of a CLIP checkpoint with "
                "safetensors"
            )


def _is_clip(folder: Path) -> bool:
    try:
        kind = json.loads((folder / "config.json").read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError, RecursionError):
        return False
    return kind == "clip" and any(folder.glob("*.safetensors"))


PRESETS = {
    "paper": Options(),
    "small": Options(candidates=4, max_new_tokens=128, **dpo.SMALL),
}


@hookimpl
def make_pairs(
    prompts: Iterable[Prompt], model: Model, options: Options, seed: int
) -> Iterator[Pair | Drop]:
    """Sample candidates, score their sentences, and yield best against worst."""

    def sampled(prompt: Prompt) -> Iterator[Request]:
        for number in range(options.candidates):
            how = (options.temperature, options.top_p, seed_of(seed, prompt.id, number))
            image = (prompt.open_image(),)
            yield Request(prompt.question, image, options.max_new_tokens, *how)

    def scored(item: tuple[Prompt, Sequence[str]]) -> Iterator[Request]:
        prompt, texts = item
        image = prompt.open_image()
        blank = [image.resize((1, 1)).resize(image.size)] if options.scorer == SELF else []
        parts = tuple(part for text in texts for part in beginnings(text))
        for shown in (image, *blank) if len(texts) > 1 else ():
            yield Request(prompt.question, (shown,), 1, choices=parts)

    stream = iter(prompts)
    while chunk := list(islice(stream, CHUNK)):
        asked = list(ask_each(model, chunk, sampled))
        found = [(prompt, distinct(a.text for a in said if a.text)) for prompt, said in asked]
        failed = {prompt.id: _failure(said) for prompt, said in asked}
        for (prompt, texts), answers in ask_each(model, found, scored):
            if len(texts) < 2:
                error = failed[prompt.id]
                yield Drop(prompt, "equal") if texts and error is None else _missing(prompt, error)
            elif any(answer.text is None or not answer.choices for answer in answers):
                yield _missing(prompt, _failure(answers))
            else:
                own, *blind = (per_sentence(texts, answer.choices) for answer in answers)
                likely, *unseen = ([fmean(each) for each in one] for one in (own, *blind))
                fit = [a - b for one in unseen for a, b in zip(likely, one, strict=True)]
                clip, image = options.scorer, prompt.open_image()
                fit = fit or [clip_score(clip, image, text) for text in texts]
                yield preferred(prompt, texts, likely, fit, options)


def _failure(answers: Sequence[Answer]) -> str | None:
    """Return why the first of the answers that is missing is."""
    return next((a.error or "no reason is known" for a in answers if a.text is None), None)


def _missing(prompt: Prompt, error: str | None) -> Drop:
    return Drop(prompt, "missing", {"error": error})


def beginnings(text: str) -> list[str]:
    """Return the beginnings of a text that end with a sentence, the whole last."""
    ends = [match.end() for match in re.finditer(r"[.!?]+(?=\s+\S)", text)]
    return [text[:end] for end in (*ends, len(text))]


def per_sentence(texts: Sequence[str], scores: Sequence[float]) -> list[list[float]]:
    """Return by text and sentence the log-probability per word, from those of all beginnings."""
    values = iter(scores)
    rows = [[(0, 0.0), *((len(b.split()), next(values)) for b in beginnings(t))] for t in texts]
    return [[(q - p) / max(1, n - m) for (m, p), (n, q) in pairwise(row)] for row in rows]


def preferred(
    prompt: Prompt, texts: Sequence[str], own: list[float], fit: list[float], options: Options
) -> Pair:
    """Return the pair of best and worst answer by weighted rank; ties go by the model's own."""
    own, fit = ([round(score, 3) for score in each] for each in (own, fit))  # whatever the batch
    ranks = [[sorted(scores).index(score) for score in scores] for scores in (own, fit)]
    weight = options.relevance
    reward = [((1 - weight) * a + weight * b, a) for a, b in zip(*ranks, strict=True)]
    worst, *_, best = sorted(range(len(texts)), key=reward.__getitem__)
    meta: dict[str, Any] = {"changes": {"worst": word_distance(texts[best], texts[worst])}}
    meta |= {"likelihood": [own[best], own[worst]], "fit": [fit[best], fit[worst]]}
    return Pair(prompt, texts[best], (texts[worst],), meta)


@cache
def _clip(folder: str) -> tuple[Any, Any]:
    from transformers import CLIPModel, CLIPProcessor

    model, told = CLIPModel.from_pretrained(
        folder, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    for names, what in (("missing_keys", "lacks"), ("unexpected_keys", "has no place for")):
        if odd := sorted(told[names]):
            raise HarnessError(
                f"The CLIP checkpoint {folder} {what} {odd[0]} ({len(odd)} in all), so its scores "
                "would be wrong. Name a whole one with --set scorer=DIR."
            )
    return model.eval(), CLIPProcessor.from_pretrained(folder, local_files_only=True)


def clip_score(folder: str, image: PIL.Image.Image, text: str) -> float:
    """Return 100 times the mean cosine of the image and each sentence, none below zero."""
    import torch

    network, processor = _clip(folder)
    parts = [b[len(a) :].strip() for a, b in pairwise(["", *beginnings(text)])]
    inputs = processor(text=parts, images=image, return_tensors="pt", padding=True, truncation=True)
    with torch.no_grad():
        found = network(**inputs)
    return (100 * found.image_embeds @ found.text_embeds.T).clamp(min=0).mean().item()


@hookimpl
def train(pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int) -> Path:
    """Train with DPO; the reference is the model that made the pairs."""
    return dpo.train(pairs, model, out, seed=seed, training=options)
