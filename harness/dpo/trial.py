"""One pair through one optimiser step on a copy, before anything is paid for."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor

from harness.dpo.checks import checked
from harness.dpo.config import KEEP, Training
from harness.dpo.forward import private_copy
from harness.dpo.loss_terms import BY_IMAGE, terms_of
from harness.dpo.pair import opened, turns_of
from harness.dpo.parts import base_of, quantize
from harness.dpo.session import build, own_randomness, quiet
from harness.engine import forced_through_generation
from harness.errors import HarnessError
from harness.model import Model, everywhere
from harness.records import Pair, Request

if TYPE_CHECKING:
    from harness.dpo.trainer import PackedTrainer
    from harness.model import Spec

_EXACT = 2e-5
"""Largest difference of a log-probability to generation's, as a share of it; float32."""
_ROUNDED = 0.05  # in 16-bit formats, where two correct orders of summation differ by as much
_ADAM = 16  # bytes of a trained weight: itself, its gradient and two moments, each float32


@dataclass(frozen=True)
class Trial:
    """What was seen of a step.

    Attributes:
        targets: modules that get an adapter; none where the weights themselves are trained.
        trained: how many weights are trained.
        fixed: bytes of the weights that are not trained, the model before included.
        saved: bytes that a forward pass keeps for its backward pass, for each token.
        tokens: of the pair: prompt and answers, as the network reads them.
        prompt: of which are the prompt's.
        packed: whether a row is read once, however many answers it has.
        difference: of log-probabilities in training and forced through generation, the largest;
            as a share of them.
    """

    targets: tuple[str, ...]
    trained: int
    fixed: int
    saved: float
    tokens: int
    prompt: int
    packed: bool
    difference: float

    def memory(self, rows: int, answers: int, length: int) -> float:
        """Estimate the bytes of a training."""
        row = self.prompt + answers * length
        if not self.packed:
            row = answers * (self.prompt + length)
        return self.fixed + _ADAM * self.trained + self.saved * rows * row


def start(pair: Pair, model: Model, training: Training) -> Trial:
    """Do what :func:`harness.dpo.try_step` promises, in all processes of this run."""
    how = dataclasses.replace(
        training, holdout=0.0, eval_steps=0, patience=0, save_steps=0, report_to=(), cut=KEEP
    )
    pairs = checked([pair], how)
    return everywhere(partial(_joined, pairs, model.spec(), how), lambda: run(pairs, model, how))


def _joined(pairs: Sequence[Pair], spec: Spec, training: Training) -> None:
    run(pairs, Model.of(spec), training)


def run(pairs: Sequence[Pair], model: Model, training: Training) -> Trial:
    """Try one step, as one of the processes of this run."""
    with tempfile.TemporaryDirectory(prefix="harness-trial-") as folder, quiet(), own_randomness():
        trainer = build(pairs, model, Path(folder), 0, training, told=False)
        network: Any = trainer.model
        if training.gradient_checkpointing:
            network.gradient_checkpointing_enable({"use_reentrant": False})
        network.train()
        batch = trainer._prepare_inputs(trainer.data_collator([{"row": 0}]))
        with torch.no_grad():
            policy, _ = trainer.policy_and_reference(network, network, batch)
        row: Any = batch["rows"][0]
        difference = _against_generation(pairs[0], model, training, row.answers, policy)
        saved = _step(trainer, batch)
        return Trial(
            targets=tuple(
                name
                for name, module in base_of(network).named_modules()
                if isinstance(module, BaseTunerLayer)
            ),
            trained=sum(w.numel() for w in network.parameters() if w.requires_grad),
            fixed=_fixed(network, trainer.ref_model, None if training.quantize else model.network),
            saved=saved / batch["input_ids"].numel(),
            tokens=batch["input_ids"].numel(),
            prompt=len(row.prompt),
            packed=trainer.packed,
            difference=difference,
        )


def _fixed(network: Any, *others: Any) -> int:
    """Return the bytes of all weights but the trained ones, those held in common once."""
    trained = {weight.data_ptr() for weight in network.parameters() if weight.requires_grad}
    found = {
        weight.data_ptr(): weight.nbytes
        for one in (network, *others)
        if one is not None
        for weight in one.parameters()
    }
    return sum(size for place, size in found.items() if place not in trained)


def _step(trainer: PackedTrainer, batch: Any) -> float:
    """Make one optimiser step and return the bytes that its forward pass kept.

    Raises:
        HarnessError: if a gradient is not finite, or no weight changed.
    """
    network: Any = trainer.model
    own = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    kept: dict[int, int] = {}

    def count(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return value

    with (
        torch.autograd.graph.saved_tensors_hooks(count, lambda value: value),
        trainer.compute_loss_context_manager(),
    ):
        loss = trainer._compute_loss(network, batch, return_outputs=False)
    loss.backward()
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    before = [weight.detach().clone() for weight in weights]
    if not all(bool(torch.isfinite(w.grad).all()) for w in weights if w.grad is not None):
        raise HarnessError(
            "One training step on one pair gave a gradient that is not finite. Lower beta, or load "
            "the model in a wider format with --dtype float32."
        )
    optimizer = trainer.create_optimizer()
    optimizer.step()
    if all(torch.equal(old, new) for old, new in zip(before, weights, strict=True)):
        advice = "Raise learning_rate, or train on pairs whose answers the model can tell apart."
        alone = len(terms_of(trainer.loss.text)) == 1  # in a sum, another part may be the cause
        if alone and trainer.loss.needs.images and BY_IMAGE not in batch["rows"][0].kinds:
            advice = (
                f"loss={trainer.loss.text} compares the chosen answer under two images, and this "
                "pair has it under one. Name another loss, or take a method or a file that "
                "gives such pairs (docs/pairs.md, rejected_image)."
            )
        raise HarnessError(
            f"One training step on one pair changed no weight (loss {loss.item():.4g}). {advice}"
        )
    return float(sum(kept.values()))


def _against_generation(
    pair: Pair,
    model: Model,
    training: Training,
    answers: Sequence[tuple[int, ...]],
    policy: Tensor,
) -> float:
    """Compare log-probabilities in training with those forced through generation.

    Raises:
        HarnessError: if they differ.
    """
    loaded = model.base.bare()
    if training.quantize:
        loaded = dataclasses.replace(loaded, network=private_copy(loaded.network))
        quantize(loaded.network)
    truth = []
    for (_, side), ids in zip(pair.answers, answers, strict=False):  # SFT takes the first alone
        images, view = opened(pair, side)
        request = Request(pair.asked, images, view=view)
        rendered = model.base.template.write(turns_of(pair))
        truth += forced_through_generation(loaded, request, rendered, [ids])
    limit = _EXACT if loaded.dtype == torch.float32 else _ROUNDED
    shares = [
        abs(seen - true) / max(1.0, abs(true))
        for seen, true in zip(policy.double().tolist(), truth, strict=True)
    ]
    worst = max(range(len(shares)), key=shares.__getitem__)
    if not math.isfinite(shares[worst]) or shares[worst] > limit:
        raise HarnessError(
            "Training and generation do not agree on this model: an answer of "
            f"{len(answers[worst])} "
            f"tokens has the log-probability {policy[worst].item():.5f} in training and "
            f"{truth[worst]:.5f} forced through generation. The family "
            f"'{loaded.network.config.model_type}' cannot be trained here; "
            "docs/training.md lists those that can."
        )
    return float(shares[worst])
