"""Whether a model folder can follow a protocol, read from its small files without torch."""

from __future__ import annotations

from pathlib import Path

from harness.engine import read_json
from harness.errors import UsageError
from harness.model.chat_template import special_tokens, template_of
from harness.protocol import HF, Checkpoint, checked, misfit

_PROCESSORS = ("preprocessor_config.json", "processor_config.json")


def refuse_misfit(folder: Path, protocol: str) -> None:
    """Refuse a protocol that a checkpoint cannot follow.

    Raises:
        UsageError: if there is no such protocol, or the checkpoint cannot follow it.
    """
    if checked(protocol) == HF:
        return
    reason = misfit_of(folder)
    if reason is not None:
        raise UsageError(
            f"The model {folder} cannot follow the protocol {protocol}: {reason}. Leave --protocol "
            f"out, or say --protocol {HF}, to use the model's own processor and chat template."
        )


def misfit_of(folder: Path) -> str | None:
    """Return why a checkpoint cannot follow the protocol llava-1.5; ``None`` where it can."""
    images: dict[str, object] = {}
    for name in _PROCESSORS:
        found = read_json(folder / name) if (folder / name).is_file() else {}
        nested = found.get("image_processor")
        images = images or (nested if isinstance(nested, dict) else found)
    try:
        template = template_of(folder)
    except UsageError:
        template = None
    return misfit(
        Checkpoint(read_json(folder / "config.json"), images, template, special_tokens(folder))
    )
