"""SeVa (arXiv 2404.10501): what the model says of a corrupted image is the rejected answer.

Per prompt the greedy answer to the clean image is chosen and the greedy answer to the corrupted
image is rejected; equal pairs say nothing and are dropped. Training is DPO on the clean image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import dpo
from harness.hookspecs import hookimpl
from harness.records import Drop, Pair, Prompt, Request, seed_of
from harness_seva.noise import STEPS, Noise

if TYPE_CHECKING:
    from harness.model import Model


@dataclass(frozen=True)
class Options(dpo.Training):
    """SeVa's knobs; the defaults are the paper's, for a model of LLaVA-1.5's size.

    Attributes:
        noise_step: strength of the corruption, 0 to 999; the paper uses 500 and 800.
        max_new_tokens: where an answer is cut, in tokens.
    """

    noise_step: int = 500
    max_new_tokens: int = 512
    learning_rate: float = 2e-6
    beta: float = 0.1
    epochs: float = 2.0
    batch_size: int = 16
    lora_rank: int = 1024
    lora_alpha: int = 2048
    warmup_ratio: float = 0.03

    def __post_init__(self) -> None:
        """Refuse a noise step outside of the schedule."""
        if not 0 <= self.noise_step < STEPS:
            raise ValueError(f"noise_step must lie in 0..{STEPS - 1}, not {self.noise_step}")


PRESETS = {
    "paper": Options(),
    "small": Options(lora_rank=32, lora_alpha=64, learning_rate=1e-4, batch_size=8),
}


@hookimpl
def make_pairs(
    prompts: Iterable[Prompt], model: Model, options: Options, seed: int
) -> Iterator[Pair | Drop]:
    """Ask each question twice, with the clean and with the noised image."""
    asked: list[Prompt] = []

    def requests() -> Iterator[Request]:
        for prompt in prompts:
            asked.append(prompt)
            images = (prompt.open_image(),)
            noise = Noise(options.noise_step, seed_of(seed, prompt.id, "noise"))
            for view in (None, noise):
                yield Request(
                    prompt.question, images, max_new_tokens=options.max_new_tokens, view=view
                )

    answers = model.answer(requests())
    for clean, noised in zip(answers, answers, strict=True):
        prompt = asked.pop(0)
        if clean.text is None or noised.text is None:
            yield Drop(prompt, "missing", {"error": clean.error or noised.error})
        else:
            yield Pair(prompt, clean.text, (noised.text,), {"noise_step": options.noise_step})


@hookimpl
def train(
    pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int
) -> Path:
    """Train with DPO on the clean image."""
    return dpo.train(pairs, model, out, seed=seed, training=options)
