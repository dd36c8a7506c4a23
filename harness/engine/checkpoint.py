"""Model folders on disk: where they are, whether they are whole, and what their bytes hash to.

Everything here works without torch, so that a run whose answers are all stored never loads it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.engine.weights import (
    WEIGHTS,
    check_whole,
    read_json,
    reads_images,
    refuse_adapter,
    refuse_original_llava,
    refuse_pickles,
    weight_files,
)
from harness.errors import UsageError, near_miss
from harness.storage import file_digest, files_digest, folder_digest

_DETERMINING = (
    WEIGHTS,
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "*processor_config.json",
    "chat_template*",
    "additional_chat_templates/*",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*.py",
    "adapter_config.json",
)
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_ADAPTER_CONFIG = "adapter_config.json"
_LLAVA_REST = "non_lora_trainables.bin"
_DEPTHS, _MOST_LAYERS = ("layers", "layer", "depth"), 10_000
_PLACES = ("base_model_name_or_path", "revision", "auto_mapping")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve(source: str | Path, revision: str | None = None, remote_code: bool = False) -> Path:
    """Return the folder of a model named by a path or a hub id, checked to be whole.

    Args:
        source: a folder, or a hub id such as ``llava-hf/llava-1.5-7b-hf``.
        revision: branch, tag or commit on the hub.
        remote_code: the checkpoint may bring its own Python; needs a full commit for a hub id.

    Raises:
        UsageError: if it is neither, is not available offline, or is no usable checkpoint.
    """
    try:
        folder = Path(source).expanduser()
    except RuntimeError as error:  # ~nobody
        raise UsageError(f"The model {source} names no folder: {error}. Write its path.") from error
    if folder.is_dir():
        if revision is not None:
            raise UsageError(
                f"A revision ({revision}) was given for the folder {folder}; only hub ids have "
                "revisions. Leave the revision out."
            )
        return _checked(folder.resolve())
    name = str(source)
    if folder.exists():
        raise UsageError(
            f"The model {name} is a file, not a folder. Name the folder that holds config.json "
            "and the *.safetensors files."
        )
    if not _HUB_ID.fullmatch(name):
        beside = [p.name for p in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise UsageError(
            f"There is no model folder {name}.{near_miss(folder.name, beside)} Name an existing "
            "folder with config.json and *.safetensors, or a hub id like owner/name."
        )
    if remote_code and not _COMMIT.fullmatch(revision or ""):
        raise UsageError(
            f"The code that {name} brings would run on this machine; that needs a fixed commit. "
            "Give the full 40-digit commit as the revision, after reading that code."
        )
    return _checked(_from_hub(name, revision))


def _from_hub(name: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        with suppress(EntryNotFoundError):  # said better when the folder is there
            config = Path(hf_hub_download(name, "config.json", revision=revision))
            refuse_original_llava(name, read_json(config))  # before gigabytes come in vain
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=[*_DETERMINING, "*.json"])
        )
    except (OSError, ValueError, RuntimeError) as error:
        at = f" at revision {revision}" if revision else ""
        raise UsageError(
            f"The model {name}{at} is neither a folder on this machine nor available from the hub "
            f"({type(error).__name__}). Check the spelling and the network, or download it on a "
            f"connected machine with 'hf download {name}' and name the folder."
        ) from error


def _checked(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        hint = (
            " It holds an adapter: name its base model, and the adapter separately."
            if (folder / _ADAPTER_CONFIG).is_file()
            else " Name the folder that save_pretrained wrote."
        )
        raise UsageError(f"The model folder {folder} has no config.json.{hint}")
    config = read_json(folder / "config.json")
    refuse_adapter(folder)
    refuse_original_llava(folder, config)
    weight_files(folder, config)
    _refuse_many_layers(folder, config)
    return folder


def _refuse_many_layers(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse a network that would be built layer by layer for hours before a weight is missed."""
    for part in (config, *(each for each in config.values() if isinstance(each, dict))):
        for key, value in part.items():
            if key.endswith(_DEPTHS) and isinstance(value, int) and value > _MOST_LAYERS:
                raise UsageError(
                    f"{folder / 'config.json'} says {key}: {value}; no model has more than "
                    f"{_MOST_LAYERS} layers. Save or download the checkpoint again."
                )


def sees(folder: Path) -> bool:
    """Tell whether a checkpoint reads images too, by its configuration or its processor's.

    Either sign is enough: a vision-language model that lacks its processor files is a broken one
    and no text model.
    """
    # To ask transformers' lists would load torch.
    return reads_images(folder, read_json(folder / "config.json"))


def check_adapter(folder: Path) -> Path:
    """Return the resolved folder of a PEFT adapter.

    Raises:
        UsageError: if it has no configuration or no safetensors weights.
    """
    if not folder.is_dir():
        raise UsageError(
            f"There is no adapter folder {folder}. Name the folder that the training wrote."
        )
    if not (folder / _ADAPTER_CONFIG).is_file():
        raise UsageError(
            f"The folder {folder} holds no {_ADAPTER_CONFIG}, so it is not an adapter. Name the "
            "folder that the training wrote; a full model is named as the model itself."
        )
    if not (folder / _ADAPTER_WEIGHTS).is_file():
        refuse_pickles(folder, None)
        raise UsageError(
            f"The adapter folder {folder} has no {_ADAPTER_WEIGHTS}. Save the adapter again with "
            "save_pretrained."
        )
    read_json(folder / _ADAPTER_CONFIG)
    check_whole(folder / _ADAPTER_WEIGHTS)
    if (folder / _LLAVA_REST).is_file():
        raise UsageError(
            f"The adapter folder {folder} was written by the original LLaVA code: more trained "
            f"weights lie in {_LLAVA_REST}, which PEFT does not load. Convert and merge it, and "
            f"name the result as the model: harness convert-checkpoint {folder} --base "
            f"LANGUAGE_MODEL --out {folder}-hf --trust-pickles"
        )
    return folder.resolve()


def weights_fingerprint(path: Path) -> str:
    """Hash the bytes of everything in a model folder that determines its answers.

    Weights, configurations, tokeniser, processor and chat template count; file times, the
    folder's place and files that no model reads (optimiser, logs, README) do not.

    Returns:
        64 hexadecimal digits (SHA-256).

    Raises:
        UsageError: if the weights are pickled or missing.
    """
    folder = _checked(Path(path))
    deeper = weight_files(folder, read_json(folder / "config.json"))
    return files_digest(folder, [*_determining(folder).union(deeper)])


def _determining(folder: Path) -> set[Path]:
    found = {path for pattern in _DETERMINING for path in folder.glob(pattern)}
    return {path for path in found if path.is_file() and path.name[-1] != "~"}  # an editor's copy


def checkpoint_digest(path: Path) -> str:
    """Hash what may be read when a trained or merged checkpoint is loaded, names and bytes.

    The same files count as for a model, and weights in folders below. A README, a tracker's logs
    or what an editor or the hub's client leaves there play no part.
    """
    return files_digest(path, [*_determining(path).union(path.rglob(WEIGHTS))])


def is_unchanged(path: Path, digest: str) -> bool:
    """Tell whether a checkpoint is there as it was noted; the versions before hashed every file."""
    return path.is_dir() and (checkpoint_digest(path) == digest or folder_digest(path) == digest)


def adapter_fingerprint(path: Path) -> str:
    """Hash an adapter's weights and settings; where its base lay while training plays no part."""
    settings = {
        key: sorted(value) if _are_texts(value) else value
        for key, value in read_json(path / _ADAPTER_CONFIG).items()
        if key not in _PLACES
    }
    total = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    total.update(bytes.fromhex(file_digest(path / _ADAPTER_WEIGHTS)))
    return total.hexdigest()


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
