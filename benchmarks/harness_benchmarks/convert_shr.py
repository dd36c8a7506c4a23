"""SHR's official files: HA-DPO's lists, and Visual Genome's images and regions.

``val_images_final.json`` names the images. ``shr_factual_part1.jsonl`` and ``..._part2.jsonl`` hold
further facts, one image a line: ``{"2324501": ["...", ...]}``. ``image_data.json`` says where
an image lies (the last two parts of its ``url``) and its COCO number, and
``region_descriptions.json`` what its regions show. The layout was learnt from HA-DPO's evaluation
(``ha_dpo/shr_eval/json_eval.py``) and Visual Genome's readme; the files could not be had.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from harness.benchmark import Files, Reading, SourceFiles, SourceRow, malformed, texts_of, value_of

_IMAGES = "val_images_final.json"
_FACTS = ("shr_factual_part1.jsonl", "shr_factual_part2.jsonl")
_WHERE = "image_data.json"
_REGIONS = "region_descriptions.json"


def read(files: Files) -> Reading:
    """Join the five lists; an image's facts are its regions', then those that HA-DPO adds."""
    wanted = [(where, _number(item, where)) for where, item in files.items(_IMAGES)]
    facts = _facts(files)
    known = frozenset(number for _, number in wanted)
    images = _images(files, known)
    regions = _regions(files, known)
    rows = []
    for where, number in wanted:
        for there, name in ((images, _WHERE), (regions, _REGIONS)):
            if number not in there:
                raise malformed(where, f"image {number} is not in {name}")
        path, coco = images[number]
        values = {
            "question_id": str(number),
            "facts": (*regions[number], *facts.get(number, ())),
            "coco_id": coco,
        }
        rows.append(SourceRow(f"image {number}", where, values, (path,)))
    return Reading(rows)


def _number(item: Any, where: str) -> int:
    try:
        return int(value_of(item, "image_id", int | str, where))
    except ValueError as error:
        raise malformed(where, "image_id is not a number") from error


def _facts(files: Files) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    for name in _FACTS:
        for where, item in files.lines(name):
            keys = list(item) if isinstance(item, dict) else []
            if len(keys) != 1 or not keys[0].isdecimal():
                raise malformed(where, "one image's number and its facts were expected")
            if int(keys[0]) in found:
                raise malformed(where, f"image {keys[0]} has facts already")
            found[int(keys[0])] = texts_of(item, keys[0], where)
    return found


def _images(files: Files, wanted: Collection[int]) -> dict[int, tuple[str, str]]:
    """Return where each image lies, and its COCO number or nothing."""
    found = {}
    for where, item in files.items(_WHERE):
        number = value_of(item, "image_id", int, where)
        if number in wanted:
            path = PurePosixPath(urlsplit(value_of(item, "url", str, where)).path)
            coco = item.get("coco_id")
            found[number] = ("/".join(path.parts[-2:]), "" if coco is None else str(coco))
    return found


def _regions(files: Files, wanted: Collection[int]) -> dict[int, tuple[str, ...]]:
    """Return the phrases of each image's regions; the list counts images by its regions' own."""
    found: dict[int, tuple[str, ...]] = {}
    for where, item in files.items(_REGIONS):
        regions = value_of(item, "regions", list, where)
        if regions and value_of(regions[0], "image_id", int, where) in wanted:
            phrases = (value_of(region, "phrase", str, where).strip() for region in regions)
            found[regions[0]["image_id"]] = tuple(phrase for phrase in phrases if phrase)
    return found


OFFICIAL = SourceFiles(
    fetch=(
        f"{_IMAGES}, {_FACTS[0]} and {_FACTS[1]}, from "
        "https://huggingface.co/datasets/juliozhao/SHR",
        f"{_WHERE} and {_REGIONS} (image meta data, region descriptions), and the images' folders "
        "VG_100K and VG_100K_2 (both parts), from "
        "https://homes.cs.washington.edu/~ranjay/visualgenome/api.html",
    ),
    rows=200,
    images=200,
    read=read,
)
