"""Checkpoints of the original LLaVA code, read and written again in the layout of transformers.

That code (github.com/haotian-liu/LLaVA, which SeVa and SIMA train with) keeps the projector as
``model.mm_projector``, and the vision tower inside or under another name; an adapter's folder has
``non_lora_trainables.bin`` beside it. Every tensor is renamed and nothing is initialised: what has
no place, and a place that gets no tensor, are errors. Needs torch.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.engine.llava_processor import build_processor, tower_folder
from harness.engine.tensor_files import Get, Reader
from harness.engine.weights import read_json
from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

_SHARD = 4 << 30
_SPARE = (".rotary_emb.inv_freq", ".position_ids")
"""Constants that older versions of transformers stored with the weights."""
_TOWER_SPARE = ("text_model.", "logit_scale", "text_projection.", "visual_projection.")
"""Parts of CLIP that no vision tower has."""
_LORA = ("lora_A", "lora_B")


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote.

    Attributes:
        folder: the checkpoint.
        tensors: how many tensors, all of them read.
        merged: of these, how many an adapter changed.
        tower: where the vision tower's weights came from.
    """

    folder: Path
    tensors: int
    merged: int
    tower: str


def convert(
    folder: Path,
    out: Path,
    *,
    base: Path | None = None,
    tower: Path | None = None,
    pickles: bool = False,
) -> Converted:
    """Write a checkpoint of the original LLaVA code in the layout of transformers.

    Args:
        folder: a full model, or an adapter's folder.
        out: where to; it must not exist.
        base: the language model that an adapter was trained on; by default what it names.
        tower: the vision tower, where the checkpoint does not hold it and names no folder here.
        pickles: read pickled weights, as tensors only.

    Raises:
        UsageError: if the folder is none of these, or something it needs is not there.
        HarnessError: if a tensor has no place, or a place no tensor.
    """
    if out.exists():
        raise UsageError(f"{out} exists already. Name a new folder with --out.")
    settings = _checked(folder)
    read = Reader(pickles)
    language, adapter = _language(folder, base, read)
    eyes = _within(language)
    tower_at = tower_folder(settings, tower)
    if not eyes:
        eyes = read.folder(tower_at, "the vision tower")
    processor, config = build_processor(folder, base, tower_at, settings)
    places = _places(config)
    found = {**_named(language), **_tower(eyes)}
    _check(found, places, folder)
    grown = _grown(found, config)
    merged = _merge(found, adapter)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    _write(part, {**found, **grown})
    config.save_pretrained(part)
    processor.save_pretrained(part)
    _generation(part, config)
    part.rename(out)
    told = f"{folder}" if _within(language) else f"{tower_at}"
    return Converted(out, len(found), merged, told)


def _checked(folder: Path) -> dict[str, Any]:
    """Return the settings of a checkpoint that can be converted.

    Raises:
        UsageError: if it is none, or of a kind that transformers has no place for.
    """
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"{folder} has no config.json. Name a folder that the original LLaVA code saved; an "
            "intermediate checkpoint-N folder of an adapter may lack it, its parent has it."
        )
    config = read_json(folder / "config.json")
    if "mm_vision_tower" not in config:
        raise UsageError(
            f"{folder} is not in the layout of the original LLaVA code (its config.json names no "
            "mm_vision_tower), so there is nothing to convert. Name it as the model itself."
        )
    wanted = {
        "mm_projector_type": ("mlp2x_gelu",),
        "mm_vision_select_feature": ("patch", "cls_patch"),
        "mm_use_im_start_end": (False,),
        "image_aspect_ratio": ("pad", "square", None),
    }
    given = {"mm_vision_select_feature": "patch", "mm_use_im_start_end": False, **config}
    for name, values in wanted.items():
        if given.get(name) not in values:
            raise UsageError(
                f"{folder} cannot be converted: its {name} is {given.get(name)!r}, and LLaVA in "
                f"transformers knows {' or '.join(map(repr, values))} only."
            )
    if str(config.get("model_type")) not in ("llava", "llava_llama"):
        raise UsageError(
            f"{folder} cannot be converted: its model type is {config.get('model_type')}, and "
            "only LLaVA on LLaMA is known here (llava or llava_llama)."
        )
    return config


def _language(
    folder: Path, base: Path | None, read: Reader
) -> tuple[dict[str, Get], Mapping[str, tuple[Get, Get, float]]]:
    """Return language model and projector by their names, and what an adapter adds to each."""
    if not (folder / "adapter_config.json").is_file():
        found = read.folder(folder, "the model")
        extra = folder / "mm_projector.bin"
        if not any("mm_projector" in name for name in found) and extra.is_file():
            found |= read.file(extra)
        return _plain(found), {}
    settings = read_json(folder / "adapter_config.json")
    named = settings.get("base_model_name_or_path")
    at = base or Path(str(named))
    if not (at / "config.json").is_file():
        raise UsageError(
            f"{folder} holds an adapter, and its language model ({named}) is not a folder here. "
            "Name it with --base, such as a download of lmsys/vicuna-7b-v1.5."
        )
    found = _plain(read.folder(at, "the language model"))
    for name in ("non_lora_trainables.bin", "non_lora_trainables.safetensors"):
        if (folder / name).is_file():
            found |= _plain(read.file(folder / name))
    return found, _adapter(folder, settings, read)


def _plain(found: Mapping[str, Get]) -> dict[str, Get]:
    """Take away what wrappers put before names: one of PEFT, one of the trainer."""
    short = {name.removeprefix("base_model.model."): get for name, get in found.items()}
    return {name: get for name, get in short.items() if not name.endswith(_SPARE)}


def _adapter(
    folder: Path, settings: Mapping[str, Any], read: Reader
) -> dict[str, tuple[Get, Get, float]]:
    """Return, by the name of a weight, the two factors and the scale of what is added to it."""
    odd = [name for name in ("use_rslora", "use_dora", "fan_in_fan_out") if settings.get(name)]
    odd += ["bias"] if settings.get("bias", "none") != "none" else []
    odd += [n for n in ("rank_pattern", "alpha_pattern", "modules_to_save") if settings.get(n)]
    if odd:
        raise UsageError(
            f"The adapter {folder} uses {', '.join(odd)}, which is not known here. Merge it with "
            "the code that made it, and convert the result."
        )
    for name in ("adapter_model.safetensors", "adapter_model.bin"):
        if (folder / name).is_file():
            tensors = _plain(read.file(folder / name))
            break
    else:
        raise UsageError(f"{folder} has no adapter_model.safetensors or adapter_model.bin.")
    scale = float(settings["lora_alpha"]) / float(settings["r"])
    pairs: dict[str, dict[str, Get]] = {}
    for name, get in tensors.items():
        part = next((part for part in _LORA if f".{part}." in name), None)
        if part is None:
            raise HarnessError(f"The adapter {folder} holds {name}, which has no place in LoRA.")
        pairs.setdefault(name.partition(f".{part}.")[0] + ".weight", {})[part] = get
    for name, parts in pairs.items():
        if len(parts) != len(_LORA):
            raise HarnessError(f"The adapter {folder} holds one half of LoRA for {name} only.")
    return {name: (parts["lora_A"], parts["lora_B"], scale) for name, parts in pairs.items()}


def _within(language: Mapping[str, Get]) -> dict[str, Get]:
    """Return the vision tower that lies inside of a model, under the tower's own names."""
    mark = "model.vision_tower.vision_tower."
    return {n.removeprefix(mark): g for n, g in language.items() if n.startswith(mark)}


def _named(language: Mapping[str, Get]) -> dict[str, Get]:
    """Give language model and projector the names of transformers."""
    made = {}
    for name, get in language.items():
        if name.startswith("model.vision_tower."):
            continue
        if name.startswith("model.mm_projector."):
            layer = {"0": "linear_1", "2": "linear_2"}
            number, _, rest = name.removeprefix("model.mm_projector.").partition(".")
            made[f"model.multi_modal_projector.{layer.get(number, number)}.{rest}"] = get
        elif name.startswith("model."):
            made[f"model.language_model.{name.removeprefix('model.')}"] = get
        else:
            made[name] = get
    return made


def _tower(found: Mapping[str, Get]) -> dict[str, Get]:
    kept = {name: get for name, get in found.items() if not name.startswith(_TOWER_SPARE)}
    return {
        f"model.vision_tower.{name.removeprefix('vision_model.')}": get
        for name, get in kept.items()
        if not name.endswith(_SPARE) and not name.endswith("position_ids")
    }


def _places(config: Any) -> dict[str, tuple[int, ...]]:
    """Return the tensors that the network has, with their shapes."""
    import torch
    from transformers import LlavaForConditionalGeneration

    with torch.device("meta"):
        network = LlavaForConditionalGeneration(config)
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def _check(found: Mapping[str, Get], places: Mapping[str, tuple[int, ...]], folder: Path) -> None:
    """Refuse unless every tensor has one place and every place one tensor of its shape."""
    unknown, absent = sorted(found.keys() - places.keys()), sorted(places.keys() - found.keys())
    if unknown or absent:
        told = [
            f"{len(names)} {what}, such as {', '.join(names[:3])}"
            for what, names in (("have no place", unknown), ("places get no tensor", absent))
            if names
        ]
        raise HarnessError(f"{folder} was not converted: {'; '.join(told)}. Nothing was written.")
    rows = ("embed_tokens.weight", "lm_head.weight")
    for name, get in found.items():
        shape = tuple(get().shape)
        fits = shape[1:] == places[name][1:] if name.endswith(rows) else shape == places[name]
        if not fits:
            raise HarnessError(
                f"{folder} was not converted: {name} has the shape {shape}, and its place "
                f"{places[name]}. Nothing was written."
            )


def _grown(found: Mapping[str, Get], config: Any) -> dict[str, Get]:
    """Return embedding and head with a row for the image token, where they lack one.

    The row is a copy of the unknown token's: an image's features take its place in the embedding,
    and in a tie the head's first row wins, so that no greedy answer changes.
    """
    import torch

    size = int(config.text_config.vocab_size)

    def longer(get: Get) -> Get:
        def made() -> Tensor:
            rows = get()
            return torch.cat([rows, rows[:1].expand(size - len(rows), -1)])

        return made

    rows = [name for name in found if name.endswith(("embed_tokens.weight", "lm_head.weight"))]
    return {name: longer(found[name]) for name in rows if len(found[name]()) < size}


def _merge(found: dict[str, Get], adapter: Mapping[str, tuple[Get, Get, float]]) -> int:
    """Add an adapter to the weights that it names; all of it must find its place."""
    targets = {name: parts for old, parts in adapter.items() for name in _named({old: parts[0]})}
    lost = sorted(targets.keys() - found.keys())
    if lost:
        raise HarnessError(
            f"The adapter changes {len(lost)} weights that the model does not have, such as "
            f"{lost[0]}. Nothing was written; is --base the model that it was trained on?"
        )
    for name, (down, up, scale) in targets.items():
        found[name] = _added(found[name], down, up, scale)
    return len(targets)


def _added(get: Get, down: Get, up: Get, scale: float) -> Get:
    def made() -> Tensor:
        weight = get()
        return (weight.float() + scale * (up().float() @ down().float())).to(weight.dtype)

    return made


def _write(folder: Path, tensors: Mapping[str, Get]) -> None:
    """Write tensors in shards, one in memory at a time."""
    from safetensors.torch import save_file

    from harness.storage import write_json

    shards = list(_shards(tensors))
    places: dict[str, str] = {}
    total = 0
    for number, names in enumerate(shards, start=1):
        one = len(shards) == 1
        file = "model.safetensors" if one else f"model-{number:05}-of-{len(shards):05}.safetensors"
        loaded = {name: tensors[name]().contiguous() for name in names}
        save_file(loaded, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(names, file)
        total += sum(value.nbytes for value in loaded.values())
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": places}
        write_json(folder / "model.safetensors.index.json", index)


def _shards(tensors: Mapping[str, Get]) -> Iterator[list[str]]:
    names: list[str] = []
    size = 0
    for name in sorted(tensors):
        more = tensors[name]().nbytes
        if names and size + more > _SHARD:
            yield names
            names, size = [], 0
        names.append(name)
        size += more
    yield names


def _generation(folder: Path, config: Any) -> None:
    import transformers

    hub: Any = transformers
    text = config.text_config
    ends = {"bos_token_id": text.bos_token_id, "eos_token_id": text.eos_token_id}
    hub.GenerationConfig(pad_token_id=text.pad_token_id, **ends).save_pretrained(folder)
