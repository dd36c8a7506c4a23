"""The knobs of a preference training, and the experiment trackers it can report to."""

from __future__ import annotations

import importlib.util
import netrc
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any

from harness.dpo.loss_terms import terms_of
from harness.dpo.trl_names import option_here
from harness.errors import UsageError, brief, pip
from harness.plugins import Method
from harness.records import LATER, Bounds, check_bounds

TRACKERS = ("wandb", "tensorboard", "mlflow", "trackio")
_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX")}
"""Packages that any one of suffices, where a tracker's package has another name."""


def refuse_tracker(name: str) -> None:
    """Refuse a tracker that could not be used.

    Raises:
        UsageError: if its package is missing, nobody is logged in, or its server or store cannot
            be used. W&B's client would wait for its server for days.
    """
    packages = _PACKAGES.get(name, (name,))
    if not any(importlib.util.find_spec(package) for package in packages):
        raise UsageError(
            f"Tracker {name}: the package {packages[0]} is not installed. Install it with "
            f"{pip('install')} {packages[0]}, or leave {name} out."
        )
    if name == "wandb" and os.environ.get("WANDB_MODE") not in ("offline", "disabled"):
        _refuse_wandb(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    if name == "mlflow":
        import mlflow

        try:
            mlflow.MlflowClient()
        except Exception as error:
            raise UsageError(
                f"Tracker mlflow: the store {mlflow.get_tracking_uri()} cannot be used "
                f"({brief(str(error)).rstrip('.')}). Name a server with MLFLOW_TRACKING_URI, or "
                "leave mlflow out."
            ) from error


def _refuse_wandb(server: str) -> None:
    here = "keep the figures here with WANDB_MODE=offline."
    if not os.environ.get("WANDB_API_KEY") and not _logged_in(server):
        raise UsageError(
            "Tracker wandb: no login to W&B was found. Log in with: wandb login, set "
            f"WANDB_API_KEY, or {here}"
        )
    import httpx

    try:
        httpx.head(server, timeout=20.0)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UsageError(
            f"Tracker wandb: {server} does not answer ({type(error).__name__}). Check the network "
            f"and WANDB_BASE_URL, or {here}"
        ) from error


def _logged_in(server: str) -> bool:
    try:
        return netrc.netrc().authenticators(server.split("//")[-1].split("/")[0]) is not None
    except (OSError, netrc.NetrcParseError):
        return False


SCHEDULERS = (
    "cosine",
    "linear",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "polynomial",
    "cosine_with_restarts",
)
OPTIMIZERS = ("adamw_torch", "adafactor", "sgd")
DROP, KEEP = "drop", "keep"
ALL_LINEAR = "all-linear"
LORA, FULL = "lora", "full"
LANGUAGE, PROJECTOR, VISION = PARTS = ("language", "projector", "vision")
FOUR_BIT = "4bit"

_Share = Annotated[float, Bounds(least=0, below=1)]


SMALL: Mapping[str, Any] = MappingProxyType(
    {
        "learning_rate": 1e-4,
        "epochs": 2.0,
        "batch_size": 8,
        "accumulation": 1,
        "lora_rank": 32,
        "lora_alpha": 64,
    }
)
"""Knobs of the preset ``small`` of every method: a training of the built-in demo, in a minute."""


@dataclass(frozen=True)
class Training:
    """How to train. The defaults are plain DPO at moderate LoRA size.

    Attributes:
        loss: one of ``LOSSES`` or of another package, a weighted sum such as ``dpo+0.2*sft``, or
            with knobs of its own, as in ``robust:label_smoothing=0.2``.
        beta: weight of the reference; multiplies every log-ratio (``ipo``: its tau).
        learning_rate: peak learning rate.
        epochs: passes over the pairs; may be a fraction.
        repeats: how often each pair stands in the list of one epoch (SeVa's code doubles the list).
        batch_size: pairs in one forward pass, at most.
        accumulation: forward passes per optimiser step. Several processes share the
            ``batch_size * accumulation`` pairs of a step, so that these stay the same.
        warmup_ratio: part of all steps over which the learning rate grows; the first step's rate
            is above zero.
        warmup_steps: the same as a number of steps; ``None`` takes the ratio.
        max_steps: end after so many optimiser steps, whatever ``epochs`` says.
        scheduler: one of :data:`SCHEDULERS`, after the warm-up.
        optimizer: one of :data:`OPTIMIZERS`, as ``transformers`` names them.
        weight_decay: of the optimiser.
        max_grad_norm: gradients are scaled down to this L2 norm; 0 leaves them.
        tune: ``lora`` trains an adapter, ``full`` the weights themselves; then a whole model is
            returned.
        parts: what is trained, of ``language`` (the decoder and its head), ``projector`` and
            ``vision`` (the tower); the others are frozen. With ``lora`` these get the adapters.
        quantize: ``4bit`` holds the linear layers of the language model in 4 bits (NF4) while an
            adapter is trained on them (QLoRA); needs bitsandbytes.
        lora_rank: rank of the adapter.
        lora_alpha: LoRA's numerator; the adapter's output is scaled by ``alpha / rank``.
        lora_dropout: on the adapter's input. Above zero, other dropout of the model stays on too.
        lora_targets: module names such as ``q_proj,v_proj``, or a regular expression over full
            module names; ``None`` and ``all-linear`` are every linear layer of ``parts`` except
            the language model's head.
        train_projector: also train the image projector itself, saved inside the adapter.
        max_length: longest prompt plus answer in tokens; see ``cut``. ``None``: no limit.
        cut: what becomes of an answer that was cut, when it was generated or by ``max_length``:
            ``drop`` leaves it out, ``keep`` trains on it without an end token.
        gradient_checkpointing: recompute activations in the backward pass: about a third slower,
            a fraction of the memory.
        precompute_reference: compute each answer's reference log-probability once and keep it
            for the later passes; otherwise it is computed at every visit.
        feature_cache: gigabytes of memory, in each process, to keep image features in from one
            epoch to the next; 0 computes them at every visit. For frozen towers, packed rows.
        loss_weights: of the parts of ``mpo``: preference, quality, generation.
        reward_temperature: alpha of ``infonca`` and ``nca`` when pairs carry ``meta["scores"]``.
        packed: ``None`` chooses by model family; ``False`` forces one full row per answer.
        holdout: share of the pairs, by image, that is not trained on: margin and accuracy on them
            are measured before and after.
        eval_steps: measure them every so many steps too, and return the best checkpoint seen;
            0 does not. Needs ``holdout``.
        patience: end after so many measurements without a better one; 0 goes on to the end.
            Needs ``eval_steps``.
        save_steps: optimiser steps between two resumable checkpoints; 0 keeps none.
        save_limit: how many of those are kept.
        report_to: trackers of the training: ``wandb``, ``tensorboard``, ``mlflow``, ``trackio``.
    """

    loss: str = "dpo"
    beta: Annotated[float, Bounds(above=0, most=100)] = 0.1
    learning_rate: Annotated[float, Bounds(above=0, most=1)] = 2e-6
    epochs: Annotated[float, Bounds(above=0, most=1000)] = 1.0
    repeats: Annotated[int, Bounds(least=1, most=1000)] = 1
    batch_size: Annotated[int, Bounds(least=1, most=4096)] = 4
    accumulation: Annotated[int, Bounds(least=1, most=65_536)] = 4
    warmup_ratio: _Share = 0.03
    warmup_steps: Annotated[int | None, Bounds(least=0)] = None
    max_steps: Annotated[int | None, Bounds(least=1, most=100_000_000)] = None
    scheduler: Annotated[str, Bounds(among=SCHEDULERS)] = "cosine"
    optimizer: Annotated[str, Bounds(among=OPTIMIZERS)] = "adamw_torch"
    weight_decay: Annotated[float, Bounds(least=0, most=10)] = 0.0
    max_grad_norm: Annotated[float, Bounds(least=0)] = 1.0
    tune: Annotated[str, Bounds(among=(LORA, FULL))] = field(default=LORA, metadata=LATER)
    parts: Annotated[tuple[str, ...], Bounds(among=PARTS)] = field(
        default=(LANGUAGE,), metadata=LATER
    )
    quantize: Annotated[str | None, Bounds(among=(FOUR_BIT,))] = field(default=None, metadata=LATER)
    lora_rank: Annotated[int, Bounds(least=1, most=8192)] = 128
    lora_alpha: Annotated[int, Bounds(least=1, most=65_536)] = 256
    lora_dropout: _Share = 0.0
    lora_targets: Annotated[str | None, Bounds(pattern=True)] = None
    train_projector: bool = False
    max_length: Annotated[int | None, Bounds(least=2)] = None
    cut: Annotated[str, Bounds(among=(DROP, KEEP))] = DROP
    gradient_checkpointing: bool = False
    precompute_reference: bool = True
    feature_cache: Annotated[float, Bounds(least=0, most=10_000)] = field(
        default=0.0, metadata=LATER
    )
    loss_weights: Annotated[tuple[float, float, float], Bounds(least=0, most=1e6)] = (0.8, 0.2, 1.0)
    reward_temperature: Annotated[float, Bounds(above=0, most=1e6)] = 1.0
    packed: bool | None = None
    holdout: Annotated[float, Bounds(least=0, most=0.5)] = 0.0
    eval_steps: Annotated[int, Bounds(least=0)] = 0
    patience: Annotated[int, Bounds(least=0)] = 0
    save_steps: Annotated[int, Bounds(least=0)] = 50
    save_limit: Annotated[int, Bounds(least=1, most=1000)] = 2
    report_to: Annotated[tuple[str, ...], Bounds(among=TRACKERS)] = ()

    def __post_init__(self) -> None:
        """See :func:`refuse_misfit`."""
        refuse_misfit(self)

    @staticmethod
    def called_here(name: str, value: str) -> str:
        """Say what an option of another trainer is here; see :mod:`harness.dpo.trl_names`."""
        return option_here(name, value)


def refuse_misfit(training: Training) -> None:
    """Refuse values that could only give a wrong or an empty training.

    Called again when training begins, since a method's ``Options`` may have its own checks
    instead of these.

    Raises:
        UsageError: names the knob, its value and what fits.
    """
    check_bounds(training)
    terms_of(training.loss)
    if training.lora_targets == "":
        raise UsageError(
            "lora_targets is empty. Leave it out for every linear layer of parts, or name layers: "
            "lora_targets=q_proj,v_proj."
        )
    if len(training.loss_weights) != 3 or not any(training.loss_weights):
        raise UsageError(
            f"loss_weights is {training.loss_weights}; give three numbers, zero or more and not "
            "all zero: preference, quality, generation."
        )
    if training.eval_steps and not training.holdout:
        raise UsageError(
            "eval_steps measures on held-out pairs, and none are held out. Set holdout too, such "
            "as holdout=0.05."
        )
    if not training.parts:
        raise UsageError(
            f"parts is empty, so nothing would be trained. Name some of {', '.join(PARTS)}."
        )
    if training.tune == FULL:
        _refuse_adapter_knobs(training)
    if training.train_projector and PROJECTOR in training.parts:
        raise UsageError(
            "train_projector=true trains the projector's weights and parts=...+projector puts an "
            "adapter on it. Choose one of the two."
        )
    if training.feature_cache:
        _refuse_changing_features(training)
    if training.patience and not training.eval_steps:
        raise UsageError("patience counts measurements, and eval_steps is 0. Set eval_steps too.")


def _refuse_adapter_knobs(training: Training) -> None:
    if training.quantize:
        raise UsageError(
            f"tune=full trains the weights themselves, and quantize={training.quantize} freezes "
            "them. Leave one of the two out."
        )
    if training.train_projector:
        raise UsageError(
            "train_projector=true belongs to an adapter. With tune=full name the parts: "
            "parts=language+projector."
        )
    if training.lora_targets is not None or training.lora_dropout:
        name = "lora_dropout" if training.lora_dropout else "lora_targets"
        raise UsageError(
            f"{name} is an option of an adapter, and tune=full has none. Leave it out."
        )


def _refuse_changing_features(training: Training) -> None:
    changes = {
        "train_projector": training.train_projector,
        f"parts={'+'.join(training.parts)}": any(part != LANGUAGE for part in training.parts),
        f"lora_dropout={training.lora_dropout}": training.lora_dropout > 0,
        "packed=false": training.packed is False,
    }
    for name, changing in changes.items():
        if changing:
            raise UsageError(
                f"feature_cache keeps image features from epoch to epoch, and with {name} they "
                "are not the same, or not at hand. Leave one of the two out."
            )


def training_of(method: Method, options: Any) -> Training | None:
    """Return how a method trains: its options, where they are a ``Training``, or what it says.

    A method whose options are none may have a function ``training(options)``. ``None`` means that
    it trains in its own way, or nothing at all.
    """
    told = getattr(method.module, "training", None)
    found = told(options) if told is not None else options
    return found if isinstance(found, Training) else None


_SHARDING = {"FSDP": "ACCELERATE_USE_FSDP", "DeepSpeed": "ACCELERATE_USE_DEEPSPEED"}


def shared(most: int, together: int, world: int) -> tuple[int, int]:
    """Return pairs per forward pass, at most ``most``, and passes per step, of each process.

    Raises:
        UsageError: if the pairs of a step cannot be shared evenly, or the launcher was told to
            share the model's weights too.
    """
    for name, variable in _SHARDING.items():
        if os.environ.get(variable, "false").lower() in ("1", "true", "yes"):
            raise UsageError(
                f"The launcher asks for {name} ({variable}), which training does not support: "
                "every process holds the whole model. Start it with harness run --nproc N, or "
                "choose "
                "multi-GPU without sharding in accelerate config; quantize=4bit and "
                "gradient_checkpointing=true save memory."
            )
    for batch in range(most, 0, -1):
        if together % (batch * world) == 0:
            return batch, together // (batch * world)
    raise UsageError(
        f"A step of {together} pairs (batch_size x accumulation) cannot be "
        f"shared evenly by {world} processes. Make it a multiple of {world}, or change --nproc."
    )
