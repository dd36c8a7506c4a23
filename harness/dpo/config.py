"""The knobs of a preference training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.errors import UsageError, near_miss

LOSSES = (
    "dpo",
    "dpo_norm",
    "infonca",
    "ipo",
    "mpo",
    "multi_mean",
    "multi_softmax",
    "nca",
    "plackett_luce",
    "sft",
    "sima_released",
)
"""Names for ``Training.loss``; the formulas are in ``harness/dpo/losses.py``."""

ONE_NEGATIVE = ("dpo", "dpo_norm", "ipo", "sima_released")
"""Losses that are defined for exactly one rejected answer."""

SCHEDULERS = ("cosine", "linear", "constant", "constant_with_warmup")

POSITIVE = (
    "beta", "learning_rate", "epochs", "repeats", "batch_size", "accumulation", "lora_rank",
    "lora_alpha", "reward_temperature",
)  # fmt: skip


@dataclass(frozen=True)
class Training:
    """How to train. The defaults are plain DPO at moderate LoRA size.

    Attributes:
        loss: one of :data:`LOSSES`.
        beta: weight of the reference; multiplies every log-ratio (``ipo``: its tau).
        learning_rate: peak learning rate of AdamW.
        epochs: passes over the pairs; may be a fraction.
        repeats: how often each pair stands in the list of one epoch (SeVa's code doubles the list).
        batch_size: pairs in one forward pass, at most.
        accumulation: forward passes per optimiser step. Several processes share the
            ``batch_size * accumulation`` pairs of a step, so that these stay the same.
        warmup_ratio: part of all steps over which the learning rate grows from zero.
        scheduler: one of :data:`SCHEDULERS`, after the warm-up.
        weight_decay: of AdamW.
        max_grad_norm: gradients are scaled down to this L2 norm; 0 leaves them.
        lora_rank: rank of the adapter.
        lora_alpha: LoRA's numerator; the adapter's output is scaled by ``alpha / rank``.
        lora_dropout: on the adapter's input. Above zero, other dropout of the model stays on too.
        lora_targets: regular expression over full module names; ``None`` is every linear layer of
            the language model except its head.
        train_projector: also train the image projector, saved inside the adapter.
        max_length: longest prompt plus answer in tokens; longer answers are cut. ``None``: no cut.
        gradient_checkpointing: recompute activations in the backward pass: about a third slower,
            a fraction of the memory.
        precompute_reference: compute each answer's reference log-probability once and keep it
            for the later passes; otherwise it is computed at every visit.
        loss_weights: of the parts of ``mpo``: preference, quality, generation.
        reward_temperature: alpha of ``infonca`` and ``nca`` when pairs carry ``meta["scores"]``.
        packed: ``None`` chooses by model family; ``False`` forces one full row per answer.
        save_steps: optimiser steps between two resumable checkpoints; 0 keeps none.
        report_to: trackers of ``transformers``: ``wandb``, ``tensorboard``, ``mlflow``.
    """

    loss: str = "dpo"
    beta: float = 0.1
    learning_rate: float = 2e-6
    epochs: float = 1.0
    repeats: int = 1
    batch_size: int = 4
    accumulation: int = 4
    warmup_ratio: float = 0.03
    scheduler: str = "cosine"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    lora_rank: int = 128
    lora_alpha: int = 256
    lora_dropout: float = 0.0
    lora_targets: str | None = None
    train_projector: bool = False
    max_length: int | None = None
    gradient_checkpointing: bool = False
    precompute_reference: bool = True
    loss_weights: tuple[float, float, float] = (0.8, 0.2, 1.0)
    reward_temperature: float = 1.0
    packed: bool | None = None
    save_steps: int = 50
    report_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """See :func:`refuse_misfit`."""
        refuse_misfit(self)


def refuse_misfit(training: Training) -> None:
    """Refuse values that could only give a wrong or an empty training.

    Called again when training begins, since a method's ``Options`` may have its own checks
    instead of these.

    Raises:
        UsageError: names the knob, its value and what fits.
    """
    for name, known in (("loss", LOSSES), ("scheduler", SCHEDULERS)):
        value = getattr(training, name)
        if value not in known:
            raise UsageError(
                f"{name}: there is no '{value}'.{near_miss(value, known)} "
                f"Choose one of: {', '.join(known)}."
            )
    for name in POSITIVE:
        if not 0 < getattr(training, name) < math.inf:
            raise UsageError(
                f"{name} is {getattr(training, name)}; it must be above zero and finite."
            )
    if len(training.loss_weights) != 3 or min(training.loss_weights) < 0:
        raise UsageError(
            f"loss_weights is {training.loss_weights}; give three numbers, zero or more: "
            "preference, quality, generation."
        )
