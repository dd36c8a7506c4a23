"""Where a task's file and its data lie, found without importing lmms-eval."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.storage import folder_digest

HUB = "hub"
OWN = "local/"
"""Prefix of data sets that everyone lays out for themselves, from files under a licence."""


def data_fingerprint(path: str, data: str | Path) -> str:
    """Identify the data a task would read, without importing lmms-eval.

    A folder is identified by its bytes; the hub by name, because the revision is only known once
    the data is fetched (the row's ``content`` then guards the comparison).

    Raises:
        UsageError: if the folder has no copy of the data set.
    """
    name = dataset_name(path)
    if str(data) == HUB:
        return f"{HUB}:{name}"
    return folder_digest(local_folder(name, Path(data)))


def dataset_name(path: str) -> str:
    """Read ``dataset_path`` from the YAML text, following ``include``, without running its code."""
    file = yaml_file(path)
    include = None
    for line in file.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key == "dataset_path":
            return value.split("#")[0].strip().strip("\"'")
        if key == "include":
            include = value.strip().strip("\"'")
    if include is None:
        raise UsageError(f"The task file {file} names no dataset_path; add one.")
    return dataset_name(str(file.parent / include))


def yaml_file(path: str) -> Path:
    """Find a task's file below lmms-eval's ``tasks`` folder; an absolute path is taken as it is.

    Raises:
        HarnessError: if lmms-eval is absent, or has no such file.
    """
    if Path(path).is_absolute():
        return Path(path)
    file = tasks_folder() / path
    if not file.is_file():
        raise HarnessError(
            f"lmms-eval {version('lmms-eval')} has no task file {path}. "
            "Install the version range that pyproject.toml names."
        )
    return file


def tasks_folder() -> Path:
    """Return the folder of lmms-eval's task files.

    Raises:
        HarnessError: if lmms-eval is not installed.
    """
    spec = find_spec("lmms_eval")
    if spec is None or spec.origin is None:
        raise HarnessError("lmms-eval is not installed. Install it with: pip install lmms-eval")
    return Path(spec.origin).parent / "tasks"


def local_folder(name: str, data: Path) -> Path:
    """Find the copy of a data set: the folder of its bare name.

    Raises:
        UsageError: if there is none, naming those that are there.
    """
    folder = data / name.rsplit("/", 1)[-1]
    if not folder.is_dir():
        known = sorted(path.name for path in data.glob("*") if path.is_dir())
        other = (
            "see what to fetch and to type with: harness data describe --bench NAME"
            if name.startswith(OWN)
            else "fetch it with --data hub."
        )
        raise UsageError(
            f"There is no data set {folder.name} in {data} (it has: {', '.join(known) or 'none'})."
            f" Name a folder that holds it with --data DIR, or {other}"
        )
    return folder
