"""One training from begin to end: checks, adapter, trainer, resume, and the files it leaves."""

from __future__ import annotations

import contextlib
import hashlib
import math
import random
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from peft import LoraConfig
from transformers import EarlyStoppingCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl.trainer.dpo_config import DPOConfig

from harness import progress
from harness.dpo.adapters import train_on
from harness.dpo.callback import Curves, margins, update_norms
from harness.dpo.checks import checked, refuse_unused
from harness.dpo.collator import Collator
from harness.dpo.config import FULL, Training, refuse_misfit, shared
from harness.dpo.effect import EFFECT, TrainingEffect, curves_of
from harness.dpo.encoding import encoder_for
from harness.dpo.forward import (
    FeatureCache,
    private_copy,
    use_packed_attention,
    why_plain,
)
from harness.dpo.length import split, steps_for
from harness.dpo.loss_open import open_loss
from harness.dpo.losses import Knobs
from harness.dpo.merging import write_whole_model
from harness.dpo.parts import (
    lora_targets,
    open_weights,
    quantize,
    saved_projectors,
    trains_vision,
    widen,
)
from harness.dpo.resume import References, latest
from harness.dpo.trainer import PackedTrainer
from harness.engine import quietly
from harness.errors import HarnessError, UsageError
from harness.model import Model, everywhere
from harness.records import Pair, fingerprint, to_json
from harness.storage import write_json

if TYPE_CHECKING:
    from harness.model import Spec

_MEASURED = 32
"""Of so many training pairs the margin is measured, where none are held out."""


def start(pairs: Sequence[Pair], model: Model, out: Path, seed: int, training: Training) -> Path:
    """Train in all processes of this run; does what :func:`harness.dpo.train` promises."""
    refuse_misfit(training)
    given, pairs = pairs, checked(pairs, training)
    refuse_unused(given, training)
    rest = (out.resolve(), seed, training)
    return everywhere(
        partial(_joined, pairs, model.spec(), *rest),
        lambda: run(pairs, model, out, seed, training),
    )


def _joined(pairs: Sequence[Pair], spec: Spec, out: Path, seed: int, training: Training) -> None:
    run(pairs, Model.of(spec), out, seed, training)


def run(pairs: Sequence[Pair], model: Model, out: Path, seed: int, training: Training) -> Path:
    """Train on checked pairs, as one of the processes of this run."""
    if training.tune == FULL and model.adapter is not None:
        raise UsageError(
            f"The model carries the adapter {model.adapter}, which tune=full would not see. Merge "
            "it first and train the merged model: harness.dpo.merge(base, adapter, out)."
        )
    made = out / ("model" if training.tune == FULL else "adapter")
    state = out / "state" / identity(pairs, model, training, seed)
    out.mkdir(parents=True, exist_ok=True)
    with quiet(), own_randomness():
        with progress.bar("train", unit="steps") as bar:
            trainer = build(pairs, model, state, seed, training)
            if training.quantize:
                model.release()  # the memory is what 4 bits are for
            share = training.batch_size * training.accumulation
            trainer.add_callback(Curves(out / "curves.jsonl", bar, share))
            point = latest(state)
            if point is not None:
                progress.say(f"Training continues from {point.name}.")
            try:
                trainer.train(resume_from_checkpoint=None if point is None else str(point))
            except torch.OutOfMemoryError as error:
                raise HarnessError(
                    "The GPU's memory is too small for this training. Set "
                    "gradient_checkpointing=true, or halve batch_size and double "
                    f"accumulation. ({str(error).splitlines()[0]})"
                ) from error
        effect = measured(trainer, out / "curves.jsonl")
        if trainer.args.should_save:
            write_json(out / EFFECT, to_json(effect))
            _publish(trainer, made, model)
            shutil.rmtree(out / "state", ignore_errors=True)
        trainer.accelerator.wait_for_everyone()
    return made


def identity(pairs: Sequence[Pair], model: Model, training: Training, seed: int) -> str:
    """Hash what decides the result, so that no checkpoint of another training is continued."""
    images = {str(image): None for pair in pairs for image in pair.prompt.images}
    images |= {str(side.image): None for pair in pairs for side in pair.sides if side.image}
    digests = [hashlib.sha256(Path(image).read_bytes()).hexdigest() for image in images]
    return fingerprint(
        [to_json(pair) for pair in pairs], model.fingerprint, digests, to_json(training), seed
    )


def build(
    pairs: Sequence[Pair],
    model: Model,
    state: Path,
    seed: int,
    training: Training,
    *,
    told: bool = True,
) -> PackedTrainer:
    """Make the trainer over a private copy of the model."""
    network: Any = private_copy(model.network)
    reason = "it was asked for" if training.packed is False else why_plain(network)
    if reason is not None and training.packed:
        raise UsageError(f"packed=true does not fit this model: {reason}.")
    if reason is not None and told:
        progress.say(f"Training with one full row per answer, because {reason}.")
    if reason is None:
        use_packed_attention(network)
    if training.quantize:
        quantize(network)
    widen(network, training)
    whole = training.tune == FULL
    kept, held = split(pairs, training.holdout, seed)
    encoder = encoder_for(model.processor, network, training, model.protocol)
    family = network.config.model_type
    if reason is not None and training.feature_cache:
        raise UsageError(
            f"feature_cache={training.feature_cache:g} does not fit this model, because {reason}. "
            "Leave it out."
        )
    cached = training.feature_cache > 0
    collator = Collator([*kept, *held], encoder, packed=reason is None, family=family, keyed=cached)
    listed = [number % len(kept) for number in range(len(kept) * training.repeats)]
    trainer = PackedTrainer(
        model=network,
        ref_model=open_weights(network, training) if whole else None,
        args=arguments(network, state, seed, training, len(listed)),
        data_collator=collator,
        train_dataset=_numbers(listed),
        eval_dataset=_numbers(range(len(kept), len(pairs))) if training.eval_steps else None,
        processing_class=model.processor,
        peft_config=None if whole else adapter_config(network, training),
    )
    if model.adapter is not None:
        train_on(trainer.model, model.adapter)
        weights: Any = trainer.model
        trainer.started = {
            name: weight.detach().cpu().clone()
            for name, weight in weights.named_parameters()
            if weight.requires_grad
        }
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    if training.patience:
        trainer.add_callback(EarlyStoppingCallback(training.patience))
    trainer.packed = reason is None
    trainer.sees = trains_vision(training)
    if cached:
        trainer.features = FeatureCache(training.feature_cache * 1e9)
    trainer.knobs = Knobs(training.beta, training.loss_weights, training.reward_temperature)
    trainer.loss = open_loss(training.loss, trainer.knobs)
    trainer.references = References() if training.precompute_reference else None
    trainer.held_out = len(held)
    return trainer


def _numbers(rows: Iterable[int]) -> Dataset:
    """List rows by their number in the collator, which opens each pair's own image.

    TRL recognises a vision dataset by the column of images.
    """
    numbers = list(rows)
    return Dataset.from_dict({"row": numbers, "image": [""] * len(numbers)})


def measured(trainer: PackedTrainer, curves: Path) -> TrainingEffect:
    """Say what a finished training did; every process of it calls this."""
    collator: Any = trainer.data_collator
    total, held = len(collator.pairs), trainer.held_out
    rows = range(total - held, total) if held else range(min(total, _MEASURED))
    seen = dict(gather_object(list(collator.cut.items())))  # of all processes
    cuts = [cut for row, cut in seen.items() if row < total - held]
    order = margins(trainer, rows)
    network = trainer.accelerator.unwrap_model(trainer.model)
    norms = update_norms(network, trainer.ref_model, trainer.started)
    if order is not None and trainer.started:
        made = {name: network.get_parameter(name).detach().clone() for name in trainer.started}
        network.load_state_dict(trainer.started, strict=False)
        begun = margins(trainer, rows)
        network.load_state_dict(made, strict=False)
        assert begun is not None
        order = (begun[1], order[1])
    known = curves_of(curves) if trainer.args.should_save else ()
    points = next((curve.points for curve in known if curve.name == "learning_rate"), ())
    used = [rate for _, rate in points] or [0.0]
    return TrainingEffect(
        pairs=total - held,
        steps=trainer.state.global_step,
        moving_steps=sum(rate > 0 for rate in used),
        rates=(used[0], max(used), used[-1]),
        update_norm=norms[0],
        weight_norm=norms[1],
        cut=sum(cut for cut, _ in cuts) / max(sum(count for _, count in cuts), 1),
        held_out=held,
        measured=len(rows) if order is not None else 0,
        before=order[0] if order is not None else None,
        after=order[1] if order is not None else None,
    )


def adapter_config(network: Any, training: Training) -> LoraConfig:
    """Return the LoRA configuration, restricted to the parts that are trained."""
    return LoraConfig(
        r=training.lora_rank,
        lora_alpha=training.lora_alpha,
        lora_dropout=training.lora_dropout,
        target_modules=lora_targets(network, training.lora_targets, training.parts),
        modules_to_save=saved_projectors(network) if training.train_projector else None,
        bias="none",
        task_type="CAUSAL_LM",
    )


def arguments(network: Any, state: Path, seed: int, training: Training, listed: int) -> DPOConfig:
    """Translate the knobs into TRL's configuration; ``listed`` is the length of one epoch."""
    cuda = next(network.parameters()).device.type == "cuda"
    together = training.batch_size * training.accumulation
    batch, count = shared(training.batch_size, together, _world_size())
    steps = steps_for(training, listed)
    warm = training.warmup_steps
    warm = math.ceil(steps * training.warmup_ratio) if warm is None else min(warm, steps)
    return DPOConfig(
        output_dir=str(state),
        beta=training.beta,
        learning_rate=training.learning_rate,
        num_train_epochs=training.epochs,
        max_steps=training.max_steps or -1,
        per_device_train_batch_size=batch,
        per_device_eval_batch_size=batch,
        gradient_accumulation_steps=count,
        warmup_steps=warm,
        lr_scheduler_type=training.scheduler,
        optim=training.optimizer,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        disable_dropout=training.lora_dropout == 0,
        gradient_checkpointing=training.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        max_length=None,
        seed=seed % 2**32,
        data_seed=seed % 2**32,
        bf16=cuda and next(network.parameters()).dtype == torch.bfloat16,
        use_cpu=not cuda,
        # The last layers of a tower are often not read, so that their weights get no gradient.
        ddp_find_unused_parameters=trains_vision(training),
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps" if training.save_steps or training.eval_steps else "no",
        save_steps=training.eval_steps or max(training.save_steps, 1),
        save_total_limit=training.save_limit,
        eval_strategy="steps" if training.eval_steps else "no",
        eval_steps=training.eval_steps or None,
        prediction_loss_only=True,
        load_best_model_at_end=training.eval_steps > 0,
        metric_for_best_model="loss" if training.eval_steps else None,
        report_to=list(training.report_to) or "none",
        disable_tqdm=True,
        log_level="error",
    )


def _world_size() -> int:
    from accelerate import PartialState

    return int(PartialState(cpu=not torch.cuda.is_available()).num_processes)


def _publish(trainer: PackedTrainer, made: Path, model: Model) -> None:
    """Write what was trained beside its final place and rename it: it is whole or absent."""
    part = made.with_name(made.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    if trainer.ref_model is None:
        trainer.save_model(str(part))
    else:
        write_whole_model(part, model, trainer.accelerator.unwrap_model(trainer.model))
    shutil.rmtree(made, ignore_errors=True)
    part.rename(made)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' notices off the terminal while a training runs."""
    import datasets

    bars = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        with quietly(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if bars:
            datasets.enable_progress_bars()


@contextlib.contextmanager
def own_randomness() -> Iterator[None]:
    """Give the caller's random generators back as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
