"""An adapter on disk, put onto a network: all of it has its place, or it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel
from peft.utils import load_peft_weights, set_peft_model_state_dict

from harness.errors import UsageError


def with_adapter(network: Any, adapter: Path) -> PeftModel:
    """Return the network with the adapter on it; PEFT passes over what has no place.

    Raises:
        UsageError: if the adapter has tensors that the network has no place for, or lacks some.
    """
    made = PeftModel.from_pretrained(network, str(adapter))
    if odd := _misplaced(made, adapter):
        raise UsageError(
            f"The adapter {adapter} does not fit the model: {len(odd)} of its tensors have no "
            f"place or are not there, such as {odd[0]}. Name the model that it was trained on "
            "(base_model_name_or_path in its adapter_config.json)."
        )
    return made


def train_on(network: Any, adapter: Path) -> None:
    """Give a fresh adapter the weights of an earlier one, so that training goes on from there.

    Raises:
        UsageError: if its layers or rank are others.
    """
    mine = LoraConfig.from_pretrained(str(adapter))
    config = network.peft_config["default"]
    own = {name: getattr(config, name) for name in ("r", "lora_alpha", "use_rslora")}
    theirs = {name: getattr(mine, name) for name in own}
    fits = own == theirs
    if fits:
        try:
            fits = not _misplaced(network, adapter)
        except RuntimeError:
            fits = False
    if not fits:
        raise UsageError(
            f"The model carries the adapter {adapter} ({theirs}), and this training asks for "
            f"{own} on other layers. Train with the same lora_rank, lora_alpha and lora_targets, "
            "or merge the adapter first: harness.dpo.merge(base, adapter, out)."
        )


def _misplaced(network: Any, adapter: Path) -> list[str]:
    """Load an adapter's tensors; return those without a place, and places without a tensor."""
    found: Any = set_peft_model_state_dict(network, load_peft_weights(str(adapter), device="cpu"))
    lacking = [name for name in found.missing_keys if "lora_" in name]
    return sorted([*lacking, *found.unexpected_keys])
