"""A checkpoint under the names that vLLM reads.

transformers from 5.23 on writes CLIP and SigLIP towers without the part ``vision_model.`` that
their published checkpoints have, and vLLM 0.32 asks for. Such files are copied with other names
and the same bytes; everything else is a link.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from harness.storage import parse_json, read_json

_HEADER = 8
_TOWER = re.compile(
    r"^((?:model\.)?vision_tower\.)(?=embeddings\.|encoder\.|pre_layrnorm\.|post_layernorm\.|head\.)"
)


def as_vllm_reads(folder: Path, out: Path) -> Path:
    """Return the folder, or ``out`` with its files under other names where they are needed.

    Args:
        folder: the checkpoint.
        out: an empty folder, or one that was filled before.
    """
    shards = sorted(folder.glob("*.safetensors"))
    if not any(_renamed(name) != name for shard in shards for name in _names(shard)):
        return folder
    for file in folder.iterdir():
        target = out / file.name
        if target.exists() or file.name in {shard.name for shard in shards}:
            continue
        if file.name.endswith(".safetensors.index.json"):
            index = read_json(file)
            index["weight_map"] = {_renamed(k): v for k, v in index["weight_map"].items()}
            target.write_text(json.dumps(index), encoding="utf-8")
        else:
            target.symlink_to(file.resolve())
    for shard in shards:
        if not (out / shard.name).is_file():
            _copy(shard, out / shard.name)
    return out


def _renamed(name: str) -> str:
    return _TOWER.sub(r"\1vision_model.", name)


def _names(shard: Path) -> list[str]:
    with shard.open("rb") as file:
        size = int.from_bytes(file.read(_HEADER), "little")
        return list(parse_json(file.read(size)))


def _copy(shard: Path, target: Path) -> None:
    """Copy a safetensors file under other names: its header is JSON, its bytes stay."""
    part = target.with_suffix(".part")
    with shard.open("rb") as source, part.open("wb") as made:
        size = int.from_bytes(source.read(_HEADER), "little")
        header = {_renamed(k): v for k, v in parse_json(source.read(size)).items()}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % _HEADER)  # as the format has it
        made.write(len(text).to_bytes(_HEADER, "little") + text)
        shutil.copyfileobj(source, made, 1 << 24)
    part.rename(target)
