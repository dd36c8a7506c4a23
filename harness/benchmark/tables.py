"""The tables that a task reads: which files they are, and whether they are whole.

Everything here reads names, cards and headers, so it costs next to nothing beside one answer.
``harness data verify``, ``harness plan`` and each evaluation say the same sentences, before a
model is asked.
"""

from __future__ import annotations

import csv
import glob
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.benchmark.own_data import OwnData
from harness.benchmark.table_files import SHARD, arrow_table, check_files, reading_table, upper
from harness.benchmark.task_files import (
    HUB,
    configs_of,
    local_folder,
    own_data,
    place_of,
    read_columns,
    task_settings,
    yaml_file,
)
from harness.errors import UsageError
from harness.storage import parse_json, parse_yaml, read_bytes, read_text

_TEXTS = (".jsonl", ".json", ".csv", ".tsv")
_KINDS = (".parquet", ".arrow", *_TEXTS)
_ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""What ``save_to_disk`` writes beside its tables."""
_LARGEST_TEXT = 1 << 26
# How ``datasets`` recognises a split by a file's or folder's name, where no card says it.
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}


@dataclass(frozen=True)
class Tables:
    """The tables of one split; ``rows`` and ``columns`` as far as their headers say."""

    where: str
    files: tuple[Path, ...]
    rows: int | None
    columns: tuple[str, ...]
    notes: tuple[str, ...]


def check_tables(task: str, data: str | Path) -> Tables | None:
    """Find the tables that a task reads, and refuse those that are not whole.

    Args:
        task: the task's YAML, as :class:`harness.benchmark.Task` takes it.
        data: ``"hub"``, or the folder that holds copies of data sets.

    Returns:
        The tables; ``None`` where the data lies on the hub, or in a form that is not known here.

    Raises:
        UsageError: if shards, the split or columns are absent, or a file cannot be read.
    """
    data = place_of(data, task)
    settings = task_settings(yaml_file(task))
    split = str(settings.get("test_split") or settings.get("validation_split") or "")
    splits: Mapping[str, Sequence[Path]]
    own = own_data(task)
    if own is not None:
        where, splits = f"the data of {Path(task).name}", own.splits or _in_folder(own)
    elif str(data) == HUB:
        return None
    else:
        folder = local_folder(str(settings["dataset_path"]), Path(data))
        where = f"the data set {folder}"
        _refuse_form(task, folder)
        splits = _joined([_splits(folder, name) for name in configs_of(settings)])
    splits = {known: files for known, files in splits.items() if files}
    if not splits or not split:
        return None
    if split not in splits:
        raise UsageError(_no_split(where, tuple(splits), Path(task).name, split))
    files = splits[split]
    check_files(where, files)
    rows, columns, notes = facts_of(where, files)
    lacking = [column for column in read_columns(task) if columns and column not in columns]
    if lacking:
        raise UsageError(
            f"{upper(where)} has no column {' and no column '.join(lacking)} in its split "
            f"{split}, which the task {Path(task).name} reads. It has: {', '.join(columns)}. "
            "Rename the columns, or fetch the version of the data set that the task was made for."
        )
    return Tables(where, tuple(files), rows, columns, tuple(notes))


def _refuse_form(task: str, folder: Path) -> None:
    """Refuse a data set that is there, and not in a form in which a task can read it."""
    tables = tables_below(folder)
    told = None
    if (folder / "state.json").is_file():
        told = "is one split that save_to_disk wrote by itself"
    elif not tables and (archives := sorted(folder.glob("*.zip"))):
        told = f"holds an archive, {archives[0].name}, which is not read in an evaluation"
    elif "image" in read_columns(task):
        texts = [path for path in tables if path.suffix in _TEXTS]
        named = next((path for path in texts if _names_images(path)), None)
        if named is not None and len(texts) == len(tables):
            told = f"names its images in {named.relative_to(folder)}, and does not hold them"
    if told is not None:
        raise UsageError(
            f"The data set {folder} {told}. Lay it out with: harness data convert NAME {folder} "
            "--out DIR"
        )


def _names_images(path: Path) -> bool:
    with suppress(OSError, ValueError, csv.Error):
        return "image" in _facts(path)[1]
    return False


def _joined(parts: Sequence[Mapping[str, Sequence[Path]]]) -> Mapping[str, Sequence[Path]]:
    """Put the tables of several configs together, split by split; a split is in all of them."""
    shared = [split for split in parts[0] if all(part.get(split) for part in parts)]
    return {split: [file for part in parts for file in part[split]] for split in shared}


def _no_split(where: str, splits: Sequence[str], task: str, split: str) -> str:
    return (
        f"{upper(where)} has the split{'s' if splits[1:] else ''} {', '.join(splits)}; the task "
        f"{task} wants {split}. Rename the files (and the split in README.md, if it is named "
        "there), or fetch the data set again: another version may have other names."
    )


def facts_of(where: str, files: Sequence[Path]) -> tuple[int | None, tuple[str, ...], list[str]]:
    """Return number of rows, columns, and notes on ids that occur twice.

    Raises:
        UsageError: if a file cannot be read, or files differ in their columns.
    """
    rows: int | None = 0
    columns: tuple[str, ...] = ()
    ids: Counter[object] = Counter()
    for path in files:
        with reading_table(path):
            count, names, found = _facts(path)
        if columns and names and set(names) != set(columns):
            other = sorted(set(names) ^ set(columns))
            raise UsageError(
                f"The tables of {where} have different columns: {path.name} differs from "
                f"{files[0].name} in {', '.join(other)}. Fetch the data set again; two versions "
                "seem to lie in one folder."
            )
        columns = columns or names
        rows = None if rows is None or count is None else rows + count
        ids.update(found)
    twice = [value for value, times in ids.items() if times > 1]
    notes = []
    if twice:
        total = sum(ids[value] for value in twice)
        notes.append(
            f"{total} rows of {where} share their id with another row, such as {twice[0]!s:.60}. "
            "Rows are identified by their position, so each is asked; see whether the table holds "
            "rows twice"
        )
    return rows, columns, notes


def _facts(path: Path) -> tuple[int | None, tuple[str, ...], list[object]]:
    if path.suffix == ".parquet":
        from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]

        with ParquetFile(path) as table:
            names = tuple(map(str, table.schema_arrow.names))
            kept = "id" in names and not str(table.schema_arrow.field("id").type).startswith(
                ("list", "struct", "large_list")
            )
            ids = table.read(columns=["id"]).column("id").to_pylist() if kept else []
            return int(table.metadata.num_rows), names, ids
    if path.suffix in (".jsonl", ".json") and path.stat().st_size <= _LARGEST_TEXT:
        text = read_text(path, _LARGEST_TEXT).removeprefix("\ufeff")
        try:
            values = parse_json(text)
        except ValueError:  # one object a line
            values = [parse_json(line) for line in text.split("\n") if line.strip()]
        if isinstance(values, Mapping) and path.suffix == ".json":
            return None, (), []  # one object: the rows may lie in a field of it
        values = values if isinstance(values, list) else [values]
        if not all(isinstance(value, Mapping) for value in values):
            raise ValueError("a row is not a JSON object")
        every = tuple(dict.fromkeys(key for value in values for key in value))
        found = [value["id"] for value in values if isinstance(value.get("id"), str | int)]
        return len(values), every, found
    if path.suffix == ".arrow":
        with arrow_table(path) as table:
            return table.num_rows, tuple(map(str, table.schema.names)), []
    if path.suffix in (".csv", ".tsv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ","), [])
        return None, tuple(header), []
    return None, (), []


def _in_folder(own: OwnData) -> Mapping[str, Sequence[Path]]:
    """Return the tables of a folder that ``save_to_disk`` wrote, or of images with their list."""
    folder = Path(str(own.options.get("data_dir") or own.source))
    states = [path for path in sorted(folder.rglob("state.json")) if path.is_file()]
    found: dict[str, Sequence[Path]] = {}
    for state in states:
        split = "train" if state.parent == folder else state.parent.name
        found[split] = _listed(state, _named_in_state(state))
    for kind in ("metadata.jsonl", "metadata.csv"):
        for path in sorted(folder.rglob(kind)):
            _listed(path, _named_in_metadata(path))
    return found


def _listed(listing: Path, names: Sequence[str]) -> list[Path]:
    lacking = [name for name in names if not (listing.parent / name).is_file()]
    if lacking:
        more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
        raise UsageError(
            f"The data folder {listing.parent} lacks {lacking[0]}{more}, which its {listing.name} "
            "names. Copy the missing files there, or save the data set again."
        )
    return [listing.parent / name for name in names]


def _named_in_state(state: Path) -> list[str]:
    try:
        return [str(one["filename"]) for one in parse_json(read_text(state))["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{state} names no data files ({error}). Save the data set again with save_to_disk."
        ) from error


def _named_in_metadata(path: Path) -> list[str]:
    try:
        text = read_text(path, _LARGEST_TEXT).removeprefix("\ufeff")
        rows: list[Any]
        if path.suffix == ".csv":
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
        else:
            rows = [parse_json(line) for line in text.split("\n") if line.strip()]
        return [str(row["file_name"]) for row in rows if row.get("file_name")]
    except (OSError, ValueError, AttributeError, csv.Error) as error:
        raise UsageError(
            f"{path} cannot be read ({error}). Repair it; every row names its image as file_name."
        ) from error


def tables_below(folder: Path) -> list[Path]:
    """Return every table below a folder, hidden ones aside."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in _KINDS
        and path.name not in _ABOUT
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _splits(folder: Path, name: str | None) -> Mapping[str, Sequence[Path]]:
    """Return the tables of each split as ``datasets`` finds them; nothing where that is unclear."""
    configs = _configs(folder)
    if configs:
        return _named_in_card(folder, configs, name)
    if name is not None:
        return {}
    every = [path for path in tables_below(folder) if path.suffix != ".json"]
    sharded = [
        path for path in every if path.parent == folder / "data" and SHARD.fullmatch(path.name)
    ]
    if sharded:
        found: dict[str, list[Path]] = {}
        for path in sharded:
            shard = SHARD.fullmatch(path.name)
            found.setdefault(shard["stem"] if shard else "", []).append(path)
        return found
    found = {}
    for path in every:
        parts = re.split(r"[-._ /0-9]+", path.relative_to(folder).as_posix())
        split = next(
            (split for split, words in _WORDS.items() if any(word in parts for word in words)), None
        )
        if split is not None:
            found.setdefault(split, []).append(path)
    return found or ({"train": every} if every else {})


def _configs(folder: Path) -> list[Mapping[str, Any]]:
    import yaml  # type: ignore[import-untyped]

    card = folder / "README.md"
    if not card.is_file():
        return []
    try:
        text = read_bytes(card, _LARGEST_TEXT).decode(errors="replace")
        head = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
        found = parse_yaml(head[1], yaml.SafeLoader) if head else None
    except (OSError, ValueError):
        return []
    configs = found.get("configs") if isinstance(found, Mapping) else None
    return [one for one in configs if isinstance(one, Mapping)] if isinstance(configs, list) else []


def _named_in_card(
    folder: Path, configs: Sequence[Mapping[str, Any]], name: str | None
) -> Mapping[str, Sequence[Path]]:
    names = [str(one.get("config_name", "default")) for one in configs]
    default = [str(one.get("config_name")) for one in configs if one.get("default") is True]
    wanted = name or (default or ["default" if "default" in names else names[0]])[0]
    if wanted not in names:
        raise UsageError(
            f"The data set {folder} has the configurations {', '.join(names)}; the task wants "
            f"{wanted}. Fetch the version of the data set that the task was made for."
        )
    listed = configs[names.index(wanted)].get("data_files")
    if listed is None:
        return {}
    entries = listed if isinstance(listed, list) else [listed]
    found: dict[str, list[Path]] = {}
    for entry in entries:
        split = str(entry.get("split", "train")) if isinstance(entry, Mapping) else "train"
        paths = entry.get("path") if isinstance(entry, Mapping) else entry
        for text in map(str, filter(None, paths if isinstance(paths, list) else [paths])):
            if text.startswith("/") or ".." in Path(text).parts or "://" in text:
                raise UsageError(
                    f"The card {folder / 'README.md'} names data outside of its folder ({text}). "
                    "Put the files into the folder and name them there."
                )
            names = sorted(glob.glob(text, root_dir=folder, recursive=True))
            matched = [folder / one for one in names if (folder / one).is_file()]
            if not matched:
                raise UsageError(
                    f"The data set {folder} lacks {text}, which its card README.md names for the "
                    f"split {split}. Fetch the missing files, for example with: harness data mirror"
                )
            found.setdefault(split, []).extend(matched)
    return found
