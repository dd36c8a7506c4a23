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
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness_tinyworld import MODEL
from harness_tinyworld.architecture import USER, make_model, make_processor, make_tokenizer
from harness_tinyworld.feed import IGNORE, Batch, batches, corpus
from harness_tinyworld.glyphs import CHARACTERS
from harness_tinyworld.vocabulary import COLOURS, SHAPES

CLASSES = (len(SHAPES) + 1, len(COLOURS) + 1, len(CHARACTERS) + 1)


def pixels(images: Any) -> torch.Tensor:
    """Normalise image bytes (n, 80, 80, 3) as the image processor does; returns (n, 3, 80, 80)."""
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0
    mean, std = torch.tensor(OPENAI_CLIP_MEAN), torch.tensor(OPENAI_CLIP_STD)
    return (values - mean[:, None, None]) / std[:, None, None]


def patch_loss(features: torch.Tensor, head: nn.Linear, patches: torch.Tensor) -> torch.Tensor:
    """Score what each patch is said to show: features (n, 100, d), patches (n, 3, 100)."""
    parts = head(features).split(CLASSES, dim=-1)
    losses = [
        nn.functional.cross_entropy(part.flatten(0, 1), patches[:, index].flatten())
        for index, part in enumerate(parts)
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
        cache.update(keys[scene], values[scene], index)
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


def batch_loss(model: Any, head: nn.Linear, batch: Batch, start: torch.Tensor) -> torch.Tensor:
    """Score one batch: answers, and a little of what the patches show."""
    seen = model.model.vision_tower(pixels(batch.images)).last_hidden_state[:, 1:]
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
    parameters: list[nn.Parameter], losses: Iterator[torch.Tensor], steps: int, peak: float
) -> Iterator[float]:
    """Take a step of AdamW for each loss and yield its value."""
    optimizer = torch.optim.AdamW(
        parameters, lr=peak, betas=(0.9, 0.98), weight_decay=0.03, fused=True
    )
    for step, loss in enumerate(losses):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps, peak)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        yield loss.item()


def _say(stage: str, step: int, loss: float, since: float) -> None:
    line = {"stage": stage, "step": step, "loss": round(loss, 4), "s": round(time.time() - since)}
    print(json.dumps(line), flush=True)


def train(out: Path, steps: int, seed: int, scenes: int, vision_steps: int, every: int) -> None:
    """Train and save tokenizer, processor and model in a folder."""
    torch.manual_seed(seed)
    since = time.time()
    tokenizer = make_tokenizer(corpus(1500))
    processor, model = make_processor(tokenizer), make_model(tokenizer)
    head = nn.Linear(128, sum(CLASSES))
    start = torch.tensor([tokenizer.bos_token_id, tokenizer.convert_tokens_to_ids(USER)])[None]
    processor.save_pretrained(out)
    model.save_pretrained(out)
    tower = model.model.vision_tower

    def look() -> Iterator[torch.Tensor]:
        for batch in images(seed, vision_steps):
            seen = tower(pixels(batch[0])).last_hidden_state[:, 1:]
            yield patch_loss(seen, head, torch.from_numpy(batch[1]))

    for step, loss in enumerate(
        optimise([*tower.parameters(), *head.parameters()], look(), vision_steps, 2e-3)
    ):
        if step % 50 == 0:
            _say("look", step, loss, since)

    feed = batches(tokenizer, seed, range(steps), scenes)
    losses = (batch_loss(model, head, batch, start) for batch in feed)
    everything = [*model.parameters(), *head.parameters()]
    for step, loss in enumerate(optimise(everything, losses, steps, 1.5e-3)):
        if step % 25 == 0:
            _say("learn", step, loss, since)
        if every and step % every == every - 1:
            model.save_pretrained(out)
    model.save_pretrained(out)
    _say("done", steps, loss, since)


def images(seed: int, steps: int) -> Iterator[tuple[Any, Any]]:
    """Yield pictures and their patches for the vision tower alone, 48 at a time."""
    import numpy as np

    from harness_tinyworld.scenes import TRAIN, make_scene, patch_truth, render

    for step in range(steps):
        first = TRAIN + 900_000_000 + (seed * 100_000 + step) * 48
        drawn = [make_scene(first + index) for index in range(48)]
        yield np.stack([render(s) for s in drawn]), np.stack([patch_truth(s) for s in drawn])


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train the small world's model from a seed.")
    parser.add_argument("--out", type=Path, default=MODEL, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=3000, help="steps on lessons")
    parser.add_argument("--vision-steps", type=int, default=900, help="steps of the tower alone")
    parser.add_argument("--scenes", type=int, default=16, help="scenes per step")
    parser.add_argument("--seed", type=int, default=0, help="of weights, scenes and wording")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--save-every", type=int, default=0, help="also save each so many steps")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(
        options.out,
        options.steps,
        options.seed,
        options.scenes,
        options.vision_steps,
        options.save_every,
    )


if __name__ == "__main__":
    main()
