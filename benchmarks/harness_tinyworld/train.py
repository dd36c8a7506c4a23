"""Make the small model from seeds: `python -m harness_tinyworld.train --out FOLDER`.

First the vision tower learns what each patch shows, as real towers come pre-trained; then the
whole model learns the lessons, in the stages of `stages`. Every image is encoded once and many
dialogues share its prefix. A run that is killed goes on with the same command.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import nn

from harness_tinyworld.architecture import USER, make_model, make_processor, make_tokenizer
from harness_tinyworld.ask import noise_levels
from harness_tinyworld.feed import IGNORE, Batch, ahead, corpus, make_batch, make_pictures
from harness_tinyworld.glyphs import CHARACTERS
from harness_tinyworld.optimiser import Optimiser
from harness_tinyworld.scenes import CELL, SIDE
from harness_tinyworld.stages import LEVELS, STAGES, Stage, shortened
from harness_tinyworld.vocabulary import COLOURS, SHAPES

CLASSES = (len(SHAPES) + 1, len(COLOURS) + 1, len(CHARACTERS) + 1)
GRID = SIDE // CELL


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


def dimmed(values: torch.Tensor, highest: int, steps: np.ndarray | None = None) -> torch.Tensor:
    """Corrupt every other image of normalised pixels by diffusion noise: given steps, or random."""
    if not highest and steps is None:
        return values
    drawn = torch.randint(0, highest, (len(values),)) if steps is None else torch.from_numpy(steps)
    left = torch.from_numpy(noise_levels()).float()[drawn]
    left[::2] = 1.0
    left = left[:, None, None, None]
    return left.sqrt() * values + (1 - left).sqrt() * torch.randn_like(values)


def batch_loss(
    model: Any, head: nn.Linear | None, batch: Batch, start: torch.Tensor, noise: int = 0
) -> torch.Tensor:
    """Score one batch: answers, and with a head a little of what the patches show."""
    values = dimmed(pixels(batch.images), noise, batch.steps)
    with torch.set_grad_enabled(head is not None):
        seen = model.model.vision_tower(values).last_hidden_state[:, 1:]
    prefix = shared_prefix(model, seen, start)
    answers = sum(group_loss(model, prefix, group) for group in batch.groups)
    count = sum(len(group.ids) for group in batch.groups)
    shown = patch_loss(seen, head, torch.from_numpy(batch.patches)) if head else 0.0
    return answers / count + 0.2 * shown


def rate(step: int, steps: int, peak: float, warm: int = 60, last: float = 0.03) -> float:
    """Return the learning rate: a short rise, then half a cosine."""
    if step < warm:
        return peak * (step + 1) / warm
    part = (step - warm) / max(1, steps - warm)
    return peak * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * part)))


def _say(stage: str, phase: str, step: int, loss: float, since: float) -> None:
    seconds = round(time.time() - since)
    line = {"stage": stage, "phase": phase, "step": step, "loss": round(loss, 4), "s": seconds}
    click.echo(json.dumps(line))


class Training:
    """One stage under way: what learns, and a file from which it goes on after a kill."""

    def __init__(self, stage: Stage, start: Path | None, folder: Path, save_every: int) -> None:
        """Begin a stage.

        Args:
            stage: What to do.
            start: Checkpoint that the stage goes on from; None makes weights from the seed.
            folder: Where the state and in the end the checkpoint are saved.
            save_every: Save the state each so many steps.
        """
        torch.manual_seed(stage.seed)
        self.stage, self.folder, self.save_every = stage, folder, save_every
        self.file = folder / "state.safetensors"
        self.since = time.time()
        if start is None:
            tokenizer = make_tokenizer(corpus(1500))
            self.processor, self.model = make_processor(tokenizer), make_model(tokenizer)
        else:
            from transformers import AutoModelForImageTextToText, AutoProcessor

            load = AutoModelForImageTextToText.from_pretrained
            self.processor = AutoProcessor.from_pretrained(start)
            self.model = load(start, dtype=torch.float32).eval()
        self.head = nn.Linear(128, sum(CLASSES) + 2 * GRID * stage.where)

    def finish(self) -> None:
        """Train to the end and save the checkpoint."""
        self.folder.mkdir(parents=True, exist_ok=True)
        stage, tower = self.stage, self.model.model.vision_tower
        seen = [tower, self.head] if stage.tower else [self.head]
        self._phase("look", seen, self._look, stage.vision_steps, stage.vision_steps)
        everything: list[nn.Module] = [self.model, self.head]
        if stage.haze:  # vision keeps the truth: habits are the language model's alone
            inner = self.model.model
            everything = [inner.language_model, inner.multi_modal_projector, self.model.lm_head]
        last = min(stage.stop or stage.steps, stage.steps)
        self._phase("learn", everything, self._learn, stage.steps, last)
        self.processor.save_pretrained(self.folder)
        self.model.save_pretrained(self.folder)

    def _look(self, steps: range) -> Iterator[torch.Tensor]:
        make = partial(make_pictures, LEVELS[self.stage.level], self.stage.least)
        for drawn, patches in ahead(make, self.stage.seed, steps):
            with torch.set_grad_enabled(self.stage.tower):
                seen = self.model.model.vision_tower(pixels(drawn)).last_hidden_state[:, 1:]
            yield patch_loss(seen, self.head, torch.from_numpy(patches))

    def _learn(self, steps: range) -> Iterator[torch.Tensor]:
        stage, tokenizer = self.stage, self.processor.tokenizer
        start = torch.tensor([tokenizer.bos_token_id, tokenizer.convert_tokens_to_ids(USER)])[None]
        level, least = LEVELS[stage.level], stage.least
        make = partial(make_batch, tokenizer, stage.scenes, level, stage.syllabus, least)
        head = None if stage.haze else self.head
        for batch in ahead(partial(make, haze=stage.haze), stage.seed, steps):
            yield batch_loss(self.model, head, batch, start, stage.noise)

    def _phase(
        self,
        name: str,
        modules: list[nn.Module],
        losses: Callable[[range], Iterator[torch.Tensor]],
        steps: int,
        last: int,
    ) -> None:
        """Take the steps of a phase that are not yet done."""
        optimiser = Optimiser(modules)
        first = self._resume(name, optimiser)
        if first >= last:
            return
        for step, loss in enumerate(losses(range(first, last)), start=first):
            value = optimiser.step(loss, rate(step, steps, self.stage.rate))
            if step % 50 == 0 or step == last - 1:
                _say(self.stage.name, name, step, value, self.since)
            if step % self.save_every == self.save_every - 1 or step == last - 1:
                self._save(name, step + 1, optimiser)

    def _save(self, phase: str, done: int, optimiser: Optimiser) -> None:
        from safetensors.torch import save_file

        kept = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        kept |= {f"head.{key}": value for key, value in self.head.state_dict().items()}
        kept |= {f"optimiser.{key}": value for key, value in optimiser.state().items()}
        kept["random"] = torch.get_rng_state()
        new = self.file.with_suffix(".new")
        save_file(
            {k: v.contiguous() for k, v in kept.items()}, new, {"phase": phase, "done": f"{done}"}
        )
        new.replace(self.file)

    def _resume(self, phase: str, optimiser: Optimiser) -> int:
        """Take up what was saved; return how many steps of the phase are done."""
        from safetensors import safe_open

        if not self.file.is_file():
            return 0
        with safe_open(self.file, "pt") as saved:
            at = saved.metadata()
            parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "head": {}, "optimiser": {}}
            for key in list(saved.keys()):
                part, _, rest = key.partition(".")
                parts.setdefault(part, {})[rest] = saved.get_tensor(key)
        self.model.load_state_dict(parts["model"])
        self.head.load_state_dict(parts["head"])
        torch.set_rng_state(parts["random"][""])
        if at["phase"] == phase:
            optimiser.load(parts["optimiser"])
            return int(at["done"])
        return sys.maxsize if phase == "look" else 0


def make(
    out: Path, stages: Sequence[Stage], start: Path | None = None, save_every: int = 100
) -> Path:
    """Make the model, stage by stage; what is done already is not done again.

    Args:
        out: The last stage's checkpoint; below it each stage has a folder of its own.
        stages: In order.
        start: Checkpoint that the first stage goes on from; None makes weights from its seed.
        save_every: After so many steps a stage that is killed goes on from there.

    Returns:
        The folder.

    Raises:
        ValueError: if the folder holds a stage that was made in another way.
    """
    for stage in stages:
        folder = out / "stages" / stage.name
        recipe = json.dumps({**asdict(stage), "start": start and start.name}, indent=1) + "\n"
        known = folder / "stage.json"
        if known.is_file() and known.read_text(encoding="utf-8") != recipe:
            raise ValueError(f"{known} describes another stage; choose another folder with --out")
        if not (folder / "done").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            known.write_text(recipe, encoding="utf-8")
            Training(stage, start, folder, save_every).finish()
            (folder / "done").touch()
        start = folder
    assert start is not None
    for file in start.iterdir():
        if file.name not in ("state.safetensors", "stage.json", "done"):
            shutil.copy(file, out / file.name)
    return out


def main() -> None:
    """Read the command line and train."""
    names = [stage.name for stage in STAGES]
    parser = argparse.ArgumentParser(description="Make the small world's model from seeds.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--start", type=Path, help="checkpoint to go on from, with --first")
    parser.add_argument("--first", choices=names, default=names[0], help="stage to begin with")
    parser.add_argument("--last", choices=names, default=names[-1], help="stage to end with")
    parser.add_argument("--part", type=float, default=1.0, help="share of each stage's steps")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--save-every", type=int, default=100, help="steps between saved states")
    given = parser.parse_args()
    if (given.first != names[0]) != (given.start is not None):
        parser.error("--first and --start belong together: a stage goes on from a checkpoint")
    torch.set_num_threads(given.threads)
    stages = STAGES[names.index(given.first) : names.index(given.last) + 1]
    if given.part != 1.0:
        stages = tuple(shortened(stage, given.part) for stage in stages)
    make(given.out, stages, given.start, given.save_every)


if __name__ == "__main__":
    main()
