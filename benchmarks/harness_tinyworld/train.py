"""Train the small model from a seed: `python -m harness_tinyworld.train --out FOLDER`.

First the vision tower learns what each patch shows, as real towers come pre-trained; then the
whole model learns the lessons. Every image is encoded once and many dialogues share its prefix.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from torch import nn

from harness_tinyworld import MODEL
from harness_tinyworld.architecture import USER, make_model, make_processor, make_tokenizer
from harness_tinyworld.ask import noise_levels
from harness_tinyworld.feed import IGNORE, Batch, ahead, corpus, make_batch, make_pictures
from harness_tinyworld.glyphs import CHARACTERS
from harness_tinyworld.lessons import Syllabus
from harness_tinyworld.optimiser import Optimiser
from harness_tinyworld.scenes import CELL, EASY, HARD, PLAIN, SIDE, Level
from harness_tinyworld.vocabulary import COLOURS, SHAPES

CLASSES = (len(SHAPES) + 1, len(COLOURS) + 1, len(CHARACTERS) + 1)
GRID = SIDE // CELL
LEVELS = {"easy": EASY, "plain": PLAIN, "hard": HARD}


def pixels(images: Any) -> torch.Tensor:
    """Normalise image bytes (n, 80, 80, 3) as the image processor does; returns (n, 3, 80, 80)."""
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0
    mean, std = torch.tensor(OPENAI_CLIP_MEAN), torch.tensor(OPENAI_CLIP_STD)
    return (values - mean[:, None, None]) / std[:, None, None]


def patch_loss(features: torch.Tensor, head: nn.Linear, patches: torch.Tensor) -> torch.Tensor:
    """Score what each patch is said to show: features (n, 100, d), patches (n, 3, 100).

    A head with more outputs than `CLASSES` has must also say each patch's row and column.
    """
    said, truths = head(features), list(patches.unbind(1))
    sizes = [*CLASSES]
    if said.shape[-1] > sum(CLASSES):
        place = torch.arange(GRID * GRID).expand(len(patches), -1)
        truths += [place // GRID, place % GRID]
        sizes += [GRID, GRID]
    losses = [
        nn.functional.cross_entropy(part.flatten(0, 1), truth.flatten())
        for part, truth in zip(said.split(sizes, dim=-1), truths, strict=True)
    ]
    return torch.stack(losses).sum()


def shared_prefix(model: Any, features: torch.Tensor, start: torch.Tensor) -> list[Any]:
    """Run the beginning and the image once; return each layer's keys and values."""
    from transformers import DynamicCache

    table = model.get_input_embeddings()
    image = model.model.multi_modal_projector(features)
    prefix = torch.cat([table(start).expand(len(image), -1, -1), image], dim=1)
    cache = DynamicCache()
    model.model.language_model(inputs_embeds=prefix, past_key_values=cache, use_cache=True)
    return [(layer.keys, layer.values) for layer in cache.layers]


def group_loss(model: Any, prefix: list[Any], group: Any) -> torch.Tensor:
    """Sum the weighted losses of a group's answers, given the keys and values of their images."""
    from transformers import DynamicCache

    scene, ids, labels = (torch.from_numpy(x) for x in (group.scene, group.ids, group.labels))
    cache = DynamicCache()
    for index, (keys, values) in enumerate(prefix):
        cache.update(keys.index_select(0, scene), values.index_select(0, scene), index)
    before, length = prefix[0][0].shape[2], ids.shape[1]
    mask = torch.ones(length, before + length, dtype=torch.bool).tril(before)[None, None]
    out = model.model.language_model(
        inputs_embeds=model.get_input_embeddings()(ids),
        attention_mask=mask.expand(len(ids), -1, -1, -1),
        position_ids=torch.arange(before, before + length)[None].expand(len(ids), -1),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    targets = labels[:, 1:]
    learned = targets != IGNORE
    logits = model.lm_head(out[:, :-1][learned])
    losses = nn.functional.cross_entropy(logits, targets[learned], reduction="none")
    weights = torch.from_numpy(group.weight)[:, None].expand_as(targets)[learned]
    return (losses * weights).sum()


def dimmed(values: torch.Tensor, highest: int) -> torch.Tensor:
    """Corrupt every other image of normalised pixels by a random step of diffusion noise."""
    if not highest:
        return values
    left = torch.from_numpy(noise_levels()).float()[torch.randint(0, highest, (len(values),))]
    left[::2] = 1.0
    left = left[:, None, None, None]
    return left.sqrt() * values + (1 - left).sqrt() * torch.randn_like(values)


def batch_loss(
    model: Any, head: nn.Linear, batch: Batch, start: torch.Tensor, noise: int = 0
) -> torch.Tensor:
    """Score one batch: answers, and a little of what the patches show."""
    values = dimmed(pixels(batch.images), noise)
    seen = model.model.vision_tower(values).last_hidden_state[:, 1:]
    prefix = shared_prefix(model, seen, start)
    answers = sum(group_loss(model, prefix, group) for group in batch.groups)
    count = sum(len(group.ids) for group in batch.groups)
    return answers / count + 0.2 * patch_loss(seen, head, torch.from_numpy(batch.patches))


def rate(step: int, steps: int, peak: float, warm: int = 60, last: float = 0.03) -> float:
    """Return the learning rate: a short rise, then half a cosine."""
    if step < warm:
        return peak * (step + 1) / warm
    part = (step - warm) / max(1, steps - warm)
    return peak * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * part)))


def optimise(
    modules: list[nn.Module], losses: Iterator[torch.Tensor], steps: int, peak: float
) -> Iterator[float]:
    """Take a step for each loss and yield its value."""
    optimiser = Optimiser(modules)
    for step, loss in enumerate(losses):
        yield optimiser.step(loss, rate(step, steps, peak))


def _say(stage: str, step: int, loss: float, since: float) -> None:
    line = {"stage": stage, "step": step, "loss": round(loss, 4), "s": round(time.time() - since)}
    click.echo(json.dumps(line))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train: see the command line's help for each field."""

    out: Path
    start: Path | None
    steps: int
    stop: int
    vision_steps: int
    where: bool
    level: Level
    syllabus: Syllabus
    noise: int
    scenes: int
    rate: float
    seed: int
    save_every: int


def train(plan: Plan) -> None:
    """Train as planned; save tokenizer, processor and model in the plan's folder."""
    torch.manual_seed(plan.seed)
    since = time.time()
    processor, model = begin(plan)
    tokenizer = processor.tokenizer
    processor.save_pretrained(plan.out)
    head = look(model, plan, since)
    start = torch.tensor([tokenizer.bos_token_id, tokenizer.convert_tokens_to_ids(USER)])[None]
    stop = min(plan.stop or plan.steps, plan.steps)
    make = partial(make_batch, tokenizer, plan.scenes, plan.level, plan.syllabus)
    feed = ahead(make, plan.seed, range(stop))
    losses = (batch_loss(model, head, batch, start, plan.noise) for batch in feed)
    for step, loss in enumerate(optimise([model, head], losses, plan.steps, plan.rate)):
        if step % 25 == 0:
            _say("learn", step, loss, since)
        if plan.save_every and step % plan.save_every == plan.save_every - 1:
            model.save_pretrained(plan.out)
    model.save_pretrained(plan.out)
    _say("done", stop, loss, since)


def begin(plan: Plan) -> tuple[Any, Any]:
    """Make, or load where the plan starts from, the processor and the model."""
    if plan.start is None:
        tokenizer = make_tokenizer(corpus(1500))
        return make_processor(tokenizer), make_model(tokenizer)
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(plan.start, dtype=torch.float32)
    return AutoProcessor.from_pretrained(plan.start), model


def look(model: Any, plan: Plan, since: float) -> nn.Linear:
    """Teach the vision tower what patches show; return the head that says it.

    A tower that is trained already stays as it is meanwhile: only the head learns.
    """
    head = nn.Linear(128, sum(CLASSES) + 2 * GRID * plan.where)
    tower = model.model.vision_tower

    def losses() -> Iterator[torch.Tensor]:
        for drawn, patches in ahead(
            partial(make_pictures, plan.level), plan.seed, range(plan.vision_steps)
        ):
            with torch.set_grad_enabled(plan.start is None):
                seen = tower(pixels(drawn)).last_hidden_state[:, 1:]
            yield patch_loss(seen, head, torch.from_numpy(patches))

    modules = [head] if plan.start else [tower, head]
    for step, loss in enumerate(optimise(modules, losses(), plan.vision_steps, plan.rate)):
        if step % 50 == 0:
            _say("look", step, loss, since)
    return head


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train the small world's model from a seed.")
    parser.add_argument("--out", type=Path, default=MODEL, help="folder of the checkpoint")
    parser.add_argument("--start", type=Path, help="checkpoint to go on from")
    parser.add_argument("--steps", type=int, default=1300, help="length of the schedule")
    parser.add_argument("--stop", type=int, default=0, help="stop after so many of its steps")
    parser.add_argument("--vision-steps", type=int, default=450, help="steps of the tower alone")
    parser.add_argument("--where", action="store_true", help="patches also say where they are")
    parser.add_argument("--level", choices=LEVELS, default="plain", help="how hard scenes are")
    parser.add_argument("--plain", type=int, default=12, help="questions per scene")
    parser.add_argument("--places", type=int, default=2, help="more on where things are")
    parser.add_argument("--letters", type=int, default=0, help="more with lettered options")
    parser.add_argument("--judged", type=int, default=4, help="critic's examples per two scenes")
    parser.add_argument("--noise", type=int, default=0, help="highest step of noise; 0 for none")
    parser.add_argument("--scenes", type=int, default=16, help="scenes per step")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0, help="of weights, scenes and wording")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--save-every", type=int, default=0, help="also save each so many steps")
    options = vars(parser.parse_args())
    torch.set_num_threads(options.pop("threads"))
    options["level"] = LEVELS[options["level"]]
    sorts = {name: options.pop(name) for name in ("plain", "places", "letters", "judged")}
    options["syllabus"] = Syllabus(**sorts)
    train(Plan(**options))


if __name__ == "__main__":
    main()
