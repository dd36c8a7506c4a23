"""Preference training: the knobs and the three calls a method needs.

``train(pairs, model, out, seed=..., training=Training())`` returns a PEFT adapter folder. The work
is done by a subclass of TRL's ``DPOTrainer`` (``harness/dpo/trainer.py``) that reads image and
prompt once per row, however many answers the row has; see docs/performance.md. This module
imports neither torch nor trl until something is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.dpo.config import Training
from harness.protocol import HF
from harness.records import Pair

if TYPE_CHECKING:
    from harness.dpo.ablation import ImageAblation
    from harness.dpo.encoding import Encoder
    from harness.dpo.trial import Trial
    from harness.model import Model


def check_loss(text: str) -> Mapping[str, str]:
    """Try every promise of a loss, or of a sum of losses, on made-up log-probabilities.

    Args:
        text: as ``loss=`` takes it.

    Returns:
        By promise what went wrong; empty where it is kept.

    Raises:
        UsageError: if there is no such loss, or no such knob of one.
    """
    from harness.dpo import loss_open

    return loss_open.check_loss(text)


def train(
    pairs: Sequence[Pair], model: Model, out: Path, *, seed: int, training: Training | None = None
) -> Path:
    """Train a LoRA adapter on preference pairs; the model itself is left as it was.

    Killed at any moment and called again with the same arguments, it continues from the last
    checkpoint under ``out``; other arguments start afresh. With the adapter, ``out`` receives
    ``curves.jsonl`` (one object per optimiser step).

    Args:
        pairs: the preferences; images are opened when their batch is made.
        model: the policy before training, which is also the reference. Where it carries an
            adapter, that one is trained on, and the reference is the model without it.
        out: folder for the adapter, its checkpoints and its curves.
        seed: decides adapter initialisation, order of the pairs and dropout.
        training: the knobs.

    Returns:
        ``out / "adapter"``: PEFT configuration and safetensors that plain ``peft`` loads.

    Raises:
        UsageError: if a knob does not fit the pairs or the model.
        HarnessError: if a pair cannot be trained on (it names the pair), or the loss or the
            gradient is not finite.
    """
    from harness.dpo import session

    return session.start(tuple(pairs), model, Path(out), seed, training or Training())


def pair_encoder(model: Model, training: Training) -> Encoder:
    """Return the encoder that a training of this model uses; its ``fit`` says what a pair is.

    Args:
        model: to be trained; no weights are loaded.
        training: the knobs.

    Raises:
        UsageError: if the checkpoint has no chat template or no EOS.
    """
    from harness.dpo.encoding import encoder_for

    return encoder_for(model.processor, model.outline, training, model.protocol)


def try_step(pair: Pair, model: Model, training: Training) -> Trial:
    """Take one pair through a whole optimiser step on a copy of the model, and look at it.

    Encoder, forward pass, loss, backward pass and optimiser are the training's own. The
    log-probabilities of the pair's answers are compared with those forced through generation.

    Args:
        pair: of the kind that will be trained on.
        model: to be trained; it is left as it was.
        training: the knobs.

    Raises:
        UsageError: if a knob does not fit the model or the pair.
        HarnessError: if the step fails, moves nothing, or training and generation differ.
    """
    from harness.dpo import trial

    return trial.start(pair, model, training)


def checkpoint_moved(path: Path, base: Path) -> bool:
    """Tell whether a checkpoint of any trainer holds other weights than the model before.

    Args:
        path: folder of an adapter or of a full model.
        base: folder of the model before.
    """
    from harness.dpo import effect

    return effect.checkpoint_moved(path, base)


def merge(
    base: Path,
    adapter: Path,
    out: Path,
    *,
    dtype: str = "auto",
    pairs: Sequence[Pair] = (),
    protocol: str = HF,
) -> Path:
    """Write a full safetensors checkpoint: the base with the adapter added to its weights.

    The sum is made in float32. What is written has to keep 95 % of the margin gain on the pairs or,
    without pairs, of the update itself.

    Args:
        base: folder of the base checkpoint.
        adapter: folder that :func:`train` returned.
        out: folder for the full checkpoint; processor files are copied into it.
        dtype: ``auto`` writes the format of the base checkpoint; or ``float32``.
        pairs: some that were trained on; those without a margin (of SFT) are left out.
        protocol: under which the pairs are read, see ``harness.protocol``.

    Raises:
        HarnessError: if the adapter has no safetensors weights, or the format would lose what was
            trained.
    """
    from harness.dpo import merging

    return merging.merge(Path(base), Path(adapter), Path(out), dtype, tuple(pairs), protocol)


def join(adapters: Sequence[Path], out: Path) -> bool:
    """Write one adapter that is several of one base together, each trained on those before it.

    Args:
        adapters: in the order of their training.
        out: folder for the adapter.

    Returns:
        Whether they could be joined: only plain LoRA can, and that exactly.
    """
    from harness.dpo import merging

    return merging.join(tuple(adapters), Path(out))


def image_ablation(
    pairs: Sequence[Pair], model: Model, adapter: Path | None = None, *, limit: int = 64
) -> ImageAblation | None:
    """Ask whether the answers' scores depend on the image at all.

    Compares the mean log-probability of the chosen answers under the true images with that under
    the same images blanked to their mean colour, and so for the preference margin.

    Args:
        pairs: where from; the first ``limit`` are used.
        model: the base model.
        adapter: the trained adapter, or ``None`` for the model as it is.
        limit: how many pairs.

    Returns:
        ``None`` where no pair has a margin, which SFT does not need.
    """
    from harness.dpo import ablation

    return ablation.measure(tuple(pairs[:limit]), model, adapter)
