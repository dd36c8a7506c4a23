"""Benchmark data: where it comes from, a pinned copy for machines without a network, its hashes.

A mirror is a folder that ``--data`` takes: one folder per data set, under its bare name, and
``manifest.json``, which names for each the hub's commit and for every file size and SHA-256.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.benchmark import OWN, Benchmark, SourceFiles, dataset_name
from harness.errors import HarnessError, UsageError, some, why
from harness.records import Sample
from harness.storage import cannot_write, file_digest, read_json, write_json

MANIFEST = "manifest.json"
MADE = "files:"
"""Prefix of the revision of a data set that was converted; the hash of what it was made from."""


@dataclass(frozen=True)
class Mirrored:
    """One data set: the name its task reads, its version, size and SHA-256 of its files by path.

    The version is the hub's commit, or ``files:HASH`` where ``harness data convert`` made it.
    """

    dataset: str
    revision: str
    files: Mapping[str, tuple[int, str]]


def hashes_in(folder: Path) -> dict[str, tuple[int, str]]:
    """Return size and SHA-256 of every file below a folder by path, hidden ones aside."""
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            found[inside.as_posix()] = (path.stat().st_size, file_digest(path))
    return found


def write_manifest(out: Path, entries: Mapping[str, Mirrored]) -> None:
    """Write the manifest of a folder; ``entries`` are named by the data set's folder."""
    shown: dict[str, Any] = {
        name: {
            "dataset": entry.dataset,
            "revision": entry.revision,
            "files": {
                path: {"bytes": size, "sha256": digest}
                for path, (size, digest) in entry.files.items()
            },
        }
        for name, entry in entries.items()
    }
    write_json(out / MANIFEST, {"version": 1, "datasets": shown})


def known_in(out: Path) -> dict[str, Mirrored]:
    """Return what the manifest of a folder names; nothing where there is none yet."""
    return read_manifest(out) if (out / MANIFEST).is_file() else {}


def read_manifest(folder: Path) -> dict[str, Mirrored]:
    """Return what the manifest of a folder names."""
    file = folder / MANIFEST
    try:
        shown = read_json(file)["datasets"]
        return {
            str(name): Mirrored(
                str(entry["dataset"]),
                str(entry["revision"]),
                {
                    str(path): (int(item["bytes"]), str(item["sha256"]))
                    for path, item in entry["files"].items()
                },
            )
            for name, entry in shown.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"The folder {folder} is not a mirror: {MANIFEST} cannot be read ({why(error)}). Make "
            "one with: harness data mirror --bench NAME DIR"
        ) from error


@dataclass(frozen=True)
class Source:
    """Where the data of a benchmark is, and how to get it.

    ``dataset`` is the hub's name, ``None`` where everyone lays it out for themselves; ``fetch`` are
    the files that its authors publish, if they can be converted; ``advice`` is what to type.
    """

    benchmark: str
    title: str
    dataset: str | None
    folder: str
    licence: str
    source: str
    fetch: tuple[str, ...]
    holds: str
    advice: str


def describe(benchmark: Benchmark) -> Source:
    """Say where a benchmark's data is, under which licence, and what to do to get it."""
    name = dataset_name(benchmark.task)
    folder = name.rsplit("/", 1)[-1]
    own = name.startswith(OWN)
    official = benchmark.source_files
    ways = []
    if official is not None:
        ways.append(f"harness data convert {official.by or benchmark.name} FOLDER --out DIR")
    if not own:
        alone = f"{official.hub}, " if official is not None else ""
        ways.append(f"{alone}harness data mirror --bench {benchmark.name} DIR, or --data hub")
    return Source(
        benchmark=benchmark.name,
        title=benchmark.title,
        dataset=None if own else name,
        folder=folder,
        licence=benchmark.licence,
        source=benchmark.source,
        fetch=() if official is None else official.fetch,
        holds="" if official is None else _holds(official),
        advice="; or ".join(ways) or f"lay out DIR/{folder} as its task {benchmark.task} reads it",
    )


def _holds(official: SourceFiles) -> str:
    held = {"rows": official.rows, "images": official.images}
    return ", ".join(f"{count} {what}" for what, count in held.items() if count is not None)


def mirror(benchmarks: Sequence[Benchmark], out: Path) -> tuple[Mirrored, ...]:
    """Copy the data of some benchmarks into a folder and record every file's hash.

    A data set that an earlier call has put there is fetched at the same commit again, so that a
    mirror does not move by itself.

    Raises:
        UsageError: if a data set is not on the hub, or cannot be fetched.
        HarnessError: if the disk is full.
    """
    sources = [describe(benchmark) for benchmark in benchmarks]
    apart = [source.benchmark for source in sources if source.dataset is None]
    if apart:
        raise UsageError(
            f"The data of {', '.join(apart)} cannot be mirrored: it is not on the hub in the form "
            "that is read. See what to fetch and to type instead with: harness data describe "
            f"--bench {','.join(apart)}"
        )
    known = known_in(out)
    wanted: dict[str, str | None] = {}
    for source in sources:
        last = known[source.folder].revision if source.folder in known else None
        if last is not None and last.startswith(MADE):
            raise UsageError(
                f"{out / source.folder} was made by harness data convert. Remove that folder, or "
                "name another one for the mirror."
            )
        wanted[str(source.dataset)] = last
    done = dict(known)
    for name, revision in wanted.items():
        folder = out / name.rsplit("/", 1)[-1]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            commit = _from_hub(name, revision, folder)
        except OSError as error:
            if error.filename is None:
                raise _not_fetched(name, error) from error
            raise cannot_write(folder, error) from error
        done[folder.name] = Mirrored(name, commit, hashes_in(folder))
        write_manifest(out, done)
    return tuple(done[name.rsplit("/", 1)[-1]] for name in wanted)


def verify(folder: Path) -> tuple[Mirrored, ...]:
    """Check every file of a mirror against its manifest.

    Raises:
        UsageError: if the folder has no manifest.
        HarnessError: if files are missing, changed or unknown, naming them.
    """
    known = read_manifest(folder)
    wrong: list[str] = []
    for name, entry in sorted(known.items()):
        found = hashes_in(folder / name)
        for path in sorted(entry.files.keys() | found.keys()):
            if path not in found:
                wrong.append(f"{name}/{path} is missing")
            elif path not in entry.files:
                wrong.append(f"{name}/{path} is not in the manifest")
            elif found[path] != entry.files[path]:
                wrong.append(f"{name}/{path} has changed")
    if wrong:
        raise HarnessError(
            f"The mirror {folder} is not what was fetched: {some(wrong, '; ')}. Remove the data "
            "set's folder and make it again with harness data mirror or harness data convert; "
            "harness data describe says with which."
        )
    return tuple(entry for _, entry in sorted(known.items()))


def same_data(
    name: str,
    before: Sequence[Sample],
    after: Sequence[Sample],
    prints: tuple[str, str],
    called: tuple[str, str] | None = None,
) -> None:
    """Refuse to compare two runs whose data differ.

    The fingerprint of an import begins with ``import:`` and knows its rows alone: their order in a
    file says nothing. Rows of the same data that one run lacks are refused where the runs are
    ``called`` by names, and else left to the join.

    Raises:
        HarnessError: if the fingerprints differ, or rows that share an id do; names the rows.
    """
    first = {sample.id: sample.content for sample in before}
    second = {sample.id: sample.content for sample in after}
    one, two = called or ("the first run", "the second run")
    both = [key for key in first if key in second]
    changed = [f"row {key} has changed" for key in both if first[key] != second[key]]
    alone = [
        f"row {key} is only in {one if key in first else two}"
        for key in (*first, *second)
        if (key in first) != (key in second)
    ]
    imported = all(value.startswith("import:") for value in prints)
    if not changed and (prints[0] == prints[1] or (imported and not alone)):
        if not alone or called is None:
            return
        raise HarnessError(
            f"{name}: {one} was asked {len(first)} rows and {two} {len(second)} "
            f"({some(alone, '; ')}). Evaluate both with the same --limit, and compare again."
        )
    moved = changed and not alone and sorted(first.values()) == sorted(second.values())
    if moved:
        raise HarnessError(
            f"{name}: the two runs were asked the same {len(first)} rows in another order "
            f"({some(changed, '; ')}), so their rows cannot be matched by position. Evaluate both "
            "on one copy, for example a mirror (harness data mirror), and compare again."
        )
    told = (
        some([*changed, *alone], "; ") if changed or alone else "all rows that were asked are equal"
    )
    raise HarnessError(
        f"{name}: the two runs were measured on different data ({prints[0][:12]} and "
        f"{prints[1][:12]}): {told}. Evaluate both on one copy, for example a mirror "
        "(harness data mirror), and compare again."
    )


def _from_hub(name: str, revision: str | None, folder: Path) -> str:
    """Copy a data set at a commit, or at the newest, into a folder; return the commit."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        found = HfApi().dataset_info(name, revision=revision, timeout=30).sha
        commit = str(found or revision)
        snapshot_download(name, repo_type="dataset", revision=commit, local_dir=folder)
    except OSError as error:
        if error.filename is not None:
            raise
        raise _not_fetched(name, error) from error
    except Exception as error:
        raise _not_fetched(name, error) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    return commit


def _not_fetched(name: str, error: Exception) -> UsageError:
    reason = (str(error).splitlines() or [""])[0]
    return UsageError(
        f"The data set {name} cannot be fetched from the hub: {type(error).__name__}: {reason}. "
        "Check the network and the name, and whether its licence must be accepted on its page; "
        "then run the same command again, which goes on where it stopped."
    )
