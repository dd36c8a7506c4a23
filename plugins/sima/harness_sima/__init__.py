"""SIMA (arXiv 2405.15973; NAACL 2025 Findings): the model judges its own answers.

Per prompt the model answers twice, greedily and sampled. Then it is shown the image again with the
question, the reference answer and both answers, and names the better one. Training is DPO.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from harness import dpo, progress
from harness.hookspecs import hookimpl
from harness.records import Bounds, Drop, Pair, Prompt
from harness_sima.critic import ORDERS, is_official, read_template
from harness_sima.pairing import pairs_of
from harness_sima.templates import SHIPPED

if TYPE_CHECKING:
    from harness.model import Model


@dataclass(frozen=True)
class Options(dpo.Training):
    """SIMA's knobs; the defaults are the paper's.

    Attributes:
        temperature: of the sampled answer.
        top_p: nucleus mass of the sampled answer.
        max_new_tokens: where an answer is cut, in tokens.
        critic_tokens: where the critic is cut, in tokens.
        template: the critic's prompt: ``default`` and ``compact`` are shipped, anything else is a
            text file with the places ``{question}``, ``{reference}``, ``{response_1}`` and
            ``{response_2}``; its text becomes the value, so that another text is another run.
            The authors' own file prompt_for_critic.py is taken too, and recognised by its hash.
        order: ``released`` shows the sampled answer first, always; ``both`` asks in both orders
            and keeps a pair only where both verdicts prefer the same answer.
        bare: also take an answer that is nothing but 1 or 2 for a verdict, as the released code
            does.
    """

    temperature: Annotated[float, Bounds(above=0, most=100)] = 0.8
    top_p: Annotated[float, Bounds(above=0, most=1)] = 0.9
    max_new_tokens: Annotated[int, Bounds(least=1, most=65_536)] = 1024
    critic_tokens: Annotated[int, Bounds(least=1, most=65_536)] = 4096
    template: str = "default"
    order: Annotated[str, Bounds(among=ORDERS)] = "released"
    bare: bool = False
    learning_rate: float = 1e-7
    beta: float = 0.1
    epochs: float = 3.0
    batch_size: int = 1
    accumulation: int = 1
    lora_rank: int = 128
    lora_alpha: int = 256
    warmup_ratio: float = 0.03

    def __post_init__(self) -> None:
        """Refuse what could only fail later, and read the template where it is a file."""
        super().__post_init__()
        if self.template not in SHIPPED:
            object.__setattr__(self, "template", read_template(self.template))


PRESETS = {
    "paper": Options(),
    "released": Options(loss="sima_released", bare=True),
    "small": Options(
        template="compact",
        max_new_tokens=128,
        critic_tokens=48,
        **dpo.SMALL,
    ),
}


@hookimpl
def make_pairs(
    prompts: Iterable[Prompt], model: Model, options: Options, seed: int
) -> Iterator[Pair | Drop]:
    """Answer twice, let the model judge, and keep what it could decide."""
    template = read_template(options.template)
    if is_official(template):
        progress.say("sima: the critic is asked with the authors' prompt (official prompt).")
    return pairs_of(prompts, model, options, template, seed)


@hookimpl
def train(pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int) -> Path:
    """Train with DPO; the reference is the model that made the pairs."""
    return dpo.train(pairs, model, out, seed=seed, training=options)
