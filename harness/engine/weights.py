"""Which weight files a loader really reads; each lies in its folder and is safetensors.

``from_pretrained`` follows names that it finds in ``config.json`` and in index files, unpickles
what does not end in ``.safetensors``, and where a folder holds an adapter's settings it loads the
adapter's base from wherever those point. So what will be read is found out first, in the same way.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import UsageError
from harness.storage import open_regular, parse_json, read_header, read_text

WEIGHTS = "*.safetensors"
_INDEX = ".safetensors.index.json"
_WHOLE = "model.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_FLOATS = ("F64", "F32", "BF16", "F16")
_QUANTIZED = ("quantization_config", "compression_config")
_CONFIG = 64 << 20  # bytes of a configuration; tokenisers of large vocabularies have a tenth
# Checkpoints in the layout of the original LLaVA code, and where they are converted.
_CONVERTED = {
    "llava-v1.5-7b": "llava-1.5-7b-hf",
    "llava-v1.5-13b": "llava-1.5-13b-hf",
    "llava-v1.6-vicuna-7b": "llava-v1.6-vicuna-7b-hf",
    "llava-v1.6-vicuna-13b": "llava-v1.6-vicuna-13b-hf",
    "llava-v1.6-mistral-7b": "llava-v1.6-mistral-7b-hf",
    "llava-v1.6-34b": "llava-v1.6-34b-hf",
    "llava-onevision-qwen2-0.5b-ov": "llava-onevision-qwen2-0.5b-ov-hf",
    "llava-onevision-qwen2-7b-ov": "llava-onevision-qwen2-7b-ov-hf",
}


def weight_files(folder: Path, config: dict[str, Any]) -> list[Path]:
    """Return the weight files that loading this folder reads, checked to be whole.

    Raises:
        UsageError: if one is missing, cut short, outside of the folder or no safetensors file.
    """
    indexes = [path for path in folder.glob(f"*{_INDEX}") if path.is_file()]
    listed = {index.name: _listed(folder, index) for index in indexes}  # an unused one counts too
    named = config.get("transformers_weights")
    if named is not None:
        _check_name(folder, named, "config.json", (".safetensors", _INDEX))
        entry = folder / str(named)
        read = _listed(folder, entry) if str(named).endswith(_INDEX) else [entry]
    elif (folder / _WHOLE).exists():
        read = [folder / _WHOLE]
    else:
        read = listed.get(f"model{_INDEX}", [])
    if not read:
        refuse_pickles(folder, config)
        there = sorted(path.name for path in folder.glob(WEIGHTS))
        raise UsageError(
            f"The model folder {folder} has no *.safetensors file that would be read: neither "
            f"{_WHOLE} nor model{_INDEX}"
            + (f" (it has {', '.join(there[:3])})" if there else "")
            + ". Name the folder that save_pretrained wrote, or download the weights."
        )
    headers = {path: check_whole(path) for path in sorted({*read, *folder.glob(WEIGHTS)})}
    if not any(key in config or key in (config.get("text_config") or {}) for key in _QUANTIZED):
        for path in read:
            _refuse_codes(path, headers[path])
    return read


def _refuse_codes(path: Path, header: dict[str, Any]) -> None:
    """Refuse weights in a format of quantization that no configuration explains.

    They would be read as numbers, without their scales.

    Raises:
        UsageError: if there are any; it names the first.
    """
    kinds = {name: entry.get("dtype") for name, entry in header.items() if name.endswith(".weight")}
    odd = next((name for name, kind in kinds.items() if kind not in _FLOATS), None)
    if odd is not None:
        raise UsageError(
            f"The weights file {path} holds {odd} as {kinds[odd]}, a format of quantization, and "
            "config.json has no quantization_config that says how to read it. Take the whole "
            "config.json of that checkpoint, or weights in float32, bfloat16 or float16."
        )


def _listed(folder: Path, index: Path) -> list[Path]:
    content = read_json(index)
    shards = content.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise UsageError(
            f"The index {index} names no weights: its weight_map is absent or empty. Save or "
            "download the checkpoint again."
        )
    for name in shards.values():
        _check_name(folder, name, index.name, (".safetensors",))
    names = sorted(set(shards.values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UsageError(
            f"The model folder {folder} lacks {missing[0]}"
            + (f" and {len(missing) - 1} more" if missing[1:] else "")
            + f", which {index.name} lists. Download the missing parts."
        )
    return [folder / name for name in names]


def _check_name(folder: Path, name: object, where: str, endings: tuple[str, ...]) -> None:
    text = name if isinstance(name, str) else repr(name)
    parts = PurePosixPath(text.replace("\\", "/"))
    if not isinstance(name, str) or parts.is_absolute() or ".." in parts.parts or ":" in text:
        raise UsageError(
            f"{folder / where} names weights outside of its folder ({text[:100]}). Only files in "
            "the model's own folder are read; copy the file there and name it without a path, or "
            "save the checkpoint again with save_pretrained."
        )
    if not text.endswith(endings):
        raise UsageError(
            f"{folder / where} names {text[:100]}, which is no safetensors file. Other formats are "
            "pickles, which can run any code when read, so they are refused. Save the checkpoint "
            "again with save_pretrained on a machine you trust, and name that folder."
        )


def refuse_adapter(folder: Path) -> None:
    """Refuse a model folder that also holds an adapter's settings.

    Raises:
        UsageError: if it does; transformers would load the base that these name instead.
    """
    if (folder / "adapter_config.json").is_file():
        base = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
        raise UsageError(
            f"The model folder {folder} holds an adapter (adapter_config.json), whose base "
            f"({base or 'not named'}) would be loaded instead of the weights here. Name the base "
            "as the model and this folder as the adapter; or move adapter_config.json away."
        )


def refuse_original_llava(source: str | Path, config: dict[str, Any]) -> None:
    """Refuse the layout of the original LLaVA code, whose classes transformers does not have.

    Raises:
        UsageError: if it is that; says which converted checkpoint to take where one is known.
    """
    if "mm_vision_tower" not in config or "vision_config" in config or "auto_map" in config:
        return
    known = _CONVERTED.get(Path(str(source)).name.lower())
    take = f"llava-hf/{known}" if known else "its conversion among the models of llava-hf there"
    raise UsageError(
        f"The model {source} is in the layout of the original LLaVA code (config.json names "
        f"mm_vision_tower), which transformers cannot load. Take {take} from the hub, or convert "
        f"your own LLaVA-1.5 with: harness convert-checkpoint {source} --out {source}-hf (a 1.6 "
        "with convert_llava_next_weights_to_hf.py of the transformers repository)"
    )


def refuse_pickles(folder: Path, config: dict[str, Any] | None) -> None:
    """Refuse a folder whose weights are pickles, saying how they are converted.

    Raises:
        UsageError: if pickled weights lie there.
    """
    found = sorted(path for pattern in _PICKLES for path in folder.glob(pattern))
    if found:
        text = config is not None and not reads_images(folder, config)
        kind = "AutoModelForCausalLM" if text else "AutoModelForImageTextToText"
        raise UsageError(
            f"The weights in {folder} are pickled ({found[0].name}); a pickle can run any code "
            "when read, so they are refused. Convert them once on a machine you trust: python -c "
            f'"from transformers import {kind} as M; '
            f"M.from_pretrained('{folder}').save_pretrained('{folder}-safe')\", copy the tokeniser "
            "and processor files there, and name that folder."
        )


_EYES = ("vision", "image", "vq_", "mm_")


def reads_images(folder: Path, config: dict[str, Any]) -> bool:
    """Tell whether a checkpoint reads images, by its configuration or its processor's file."""
    return any(key.startswith(_EYES) for key in config) or any(
        folder.glob("*processor_config.json")
    )


def check_whole(path: Path) -> dict[str, Any]:
    """Compare a safetensors file's size with its header; a cut download is found here.

    Returns:
        The header: what it says of each tensor.

    Raises:
        UsageError: if it is no regular file, or damaged.
    """
    try:
        with open_regular(path) as file:
            if file.read(8) == b"version ":
                raise UsageError(
                    f"The weights file {path} is a Git LFS pointer, not the weights: the folder "
                    "was cloned without Git LFS. Run git lfs pull in it, or download it with: "
                    "hf download"
                )
        header, size = read_header(path)
        whole = path.stat().st_size == size
    except (OSError, ValueError):
        header, whole = {}, False
    if not whole:
        raise UsageError(
            f"The weights file {path} is damaged or incomplete. Download or save it again; the "
            "other files of the folder can stay."
        )
    return header


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a checkpoint.

    Raises:
        UsageError: if the file is not a JSON object.
    """
    try:
        content = parse_json(read_text(path, _CONFIG))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read as JSON ({error}). Save or download the checkpoint again."
        ) from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no JSON object. Save or download the checkpoint again.")
    return content
