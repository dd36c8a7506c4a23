"""Where a task's file and its data lie and which columns it reads, without importing lmms-eval."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.benchmark.own_data import OwnData, read_own_data
from harness.errors import HarnessError, UsageError, pip
from harness.storage import folder_digest, parse_yaml, read_text, writable

HUB = "hub"
_LARGEST = 16 << 20  # bytes of a task file
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
OWN = "local/"
"""Prefix of data sets that everyone lays out for themselves, from files under a licence."""


class DataPlaces(str):
    """What ``--data`` means where some benchmarks have a folder of their own.

    As a text it is the place of all others. Whatever reads a task's data asks :func:`place_of`.

    Attributes:
        own: the folder of each such benchmark, by its task.
    """

    own: Mapping[str, str]

    def __new__(cls, base: str, own: Mapping[str, str]) -> DataPlaces:
        """Make one of the place of all and the places of some."""
        made = super().__new__(cls, base)
        made.own = dict(own)
        return made


def place_of(data: str | Path, task: str) -> str | Path:
    """Return where a task's data lies: the hub, or a folder of copies."""
    return data.own.get(task, str(data)) if isinstance(data, DataPlaces) else data


def data_fingerprint(path: str, data: str | Path) -> str:
    """Identify the data a task would read, without importing lmms-eval.

    A folder, and the files that a task of one's own names, are identified by their bytes; a data
    set on the hub by its commit.

    Raises:
        UsageError: if the folder has no copy of the data set.
    """
    own = own_data(path)
    if own is not None:
        return own.fingerprint()
    data = place_of(data, path)
    name = dataset_name(path)
    if str(data) == HUB:
        commit = hub_revision(path)
        return f"{HUB}:{name}@{commit}" if commit else f"{HUB}:{name}"
    return folder_digest(local_folder(name, Path(data)))


def hub_revision(path: str) -> str | None:
    """Return the commit at which a task's data set on the hub is read, where it is known."""
    settings = task_settings(yaml_file(path))
    name, options = str(settings.get("dataset_path")), settings.get("dataset_kwargs")
    if name.startswith(OWN) or not _HUB_NAME.fullmatch(name):
        return None
    wanted = options.get("revision") if isinstance(options, dict) else None
    return hub_commit(name, None if wanted is None else str(wanted))


def dataset_name(path: str) -> str:
    """Return the ``dataset_path`` of a task file or of what it includes; none of its code runs.

    Raises:
        UsageError: if there is none.
    """
    name = task_settings(yaml_file(path)).get("dataset_path")
    if not name:
        raise UsageError(f"The task file {yaml_file(path)} names no dataset_path; add one.")
    return str(name)


def configs_of(settings: Mapping[str, Any]) -> tuple[str | None, ...]:
    """Return the configs of its data set that a task reads, one after another.

    A list in the place of ``dataset_name`` is our own extension: lmms-eval takes one name.
    """
    named = settings.get("dataset_name")
    names = named if isinstance(named, list) else [named]
    return tuple(None if name is None else str(name) for name in names)


def yaml_chain(path: str) -> tuple[Path, ...]:
    """Return a task's file, the file that it includes, and so on."""
    found = [yaml_file(path)]
    while include := _read_yaml(found[-1]).get("include"):
        file = yaml_file(str((found[-1].parent / str(include)).resolve()))
        if file in found:
            raise UsageError(f"The task file {found[-1]} includes {file}, which leads back to it.")
        found.append(file)
    return tuple(found)


def task_settings(path: Path) -> dict[str, Any]:
    """Read a task file with what it includes, without running its code.

    Raises:
        UsageError: if it is no YAML.
    """
    merged: dict[str, Any] = {}
    for file in reversed(yaml_chain(str(path))):
        merged.update(_read_yaml(file))
    merged.pop("include", None)
    return merged


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise UsageError(f"The task file {path} cannot be read ({error}).") from error
    return dict(_parsed(path, changed))


@lru_cache(maxsize=256)
def _parsed(path: Path, changed: int) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]

    Plain: Any = type("Plain", (yaml.SafeLoader,), {})  # noqa: N806  (its own, to read ``!function``)
    Plain.add_multi_constructor("!", lambda loader, suffix, node: None)
    try:
        config = parse_yaml(read_text(path, _LARGEST), Plain)
    except (OSError, ValueError) as error:
        raise UsageError(f"The task file {path} cannot be read: {error}. Repair it.") from error
    return dict(config) if isinstance(config, dict) else {}


def yaml_file(path: str) -> Path:
    """Find a task's file below lmms-eval's ``tasks`` folder; an absolute path is taken as it is.

    Raises:
        HarnessError: if lmms-eval is absent, or does not ship the file.
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
    """Return the folder of lmms-eval's task files."""
    spec = find_spec("lmms_eval")
    if spec is None or spec.origin is None:
        raise HarnessError(
            f"lmms-eval is not installed. Install it with: {pip('install')} lmms-eval"
        )
    return Path(spec.origin).parent / "tasks"


def local_folder(name: str, data: Path) -> Path:
    """Find the copy of a data set: the folder of its bare name, or its place in a cache of the hub.

    Raises:
        UsageError: if there is none, naming those that are there.
    """
    bare = name.rsplit("/", 1)[-1]
    folder = data / bare
    if folder.is_dir():
        return folder
    cached = _snapshots(name, data)
    if len(cached) == 1:
        return cached[0]
    if cached:
        raise UsageError(
            f"{cached[0].parent} holds {len(cached)} versions of {bare}, and its refs/main names "
            f"none of them. Copy or link the one to read to {folder}."
        )
    archive = data / f"{bare}.zip"
    if archive.is_file():
        raise UsageError(
            f"The data set {bare} is an archive in {data}, and no archive is read in an "
            f"evaluation. Lay it out with: harness data convert NAME {archive} --out DIR"
        )
    known = sorted(path.name for path in data.glob("*") if path.is_dir())
    other = (
        "see what to fetch and to type with: harness data describe --bench NAME"
        if name.startswith(OWN)
        else "fetch it with --data hub."
    )
    raise UsageError(
        f"There is no data set {bare} in {data} (it has: {', '.join(known) or 'none'})."
        f" Name a folder that holds it with --data DIR, or {other}"
    )


def _snapshots(name: str, data: Path) -> list[Path]:
    """Return the version of a data set that a cache of the hub names, or all that it holds."""
    every = sorted(path for path in _cached(name, data).glob("snapshots/*") if path.is_dir())
    named = _snapshot(name, data, "main")
    return [path for path in every if path.name == named] or every


def _snapshot(name: str, data: Path, revision: str) -> str | None:
    """Return the commit that a cache of the hub holds under a branch, a tag or a commit."""
    place, names = _cached(name, data), [revision]
    with suppress(OSError, ValueError):
        names.append(read_text(place / "refs" / revision, 100).strip())
    kept = {path.name for path in place.glob("snapshots/*") if path.is_dir()}
    return next((commit for commit in names if commit in kept), None)


def _cached(name: str, data: Path) -> Path:
    return data / f"datasets--{name.replace('/', '--')}"


def own_data(path: str) -> OwnData | None:
    """Return the data that a user's own task defines; ``None`` where its data set has a name."""
    chain = yaml_chain(path)
    settings = task_settings(chain[0])
    homes = {}
    for file in reversed(chain):
        homes.update(dict.fromkeys(_read_yaml(file), file))
    return read_own_data(settings, homes)


_SECONDS = 10


@cache
def hub_commit(name: str, revision: str | None = None) -> str | None:
    """Return the commit of a data set that this process reads; the same at every call.

    The hub is asked; without a network it is the one that the hub's cache holds under the revision,
    or ``None``. Where none is wanted and the cache names none, it is the one fetched last.
    """
    from huggingface_hub import HfApi, constants

    if not constants.HF_HUB_OFFLINE:
        try:
            return HfApi().dataset_info(name, revision=revision, timeout=_SECONDS).sha
        except Exception:  # loading the data set says in words what is wrong
            pass
    cache = Path(constants.HF_HUB_CACHE)
    if revision is not None:
        return _snapshot(name, cache, revision)
    fetched = _snapshots(name, cache)
    last = max(fetched, key=lambda path: path.stat().st_mtime_ns, default=None)
    return last.name if last is not None else None


_HOOKS = ("doc_to_visual", "doc_to_text", "process_results", "doc_to_target")


def read_columns(task: str) -> tuple[str, ...]:
    """Return the columns without which a task fails at every row.

    Those are the ``doc["name"]`` that its functions reach on every path. A task that rewrites its
    documents first (``process_docs``) is not looked at.
    """
    functions: dict[str, tuple[Path, str]] = {}
    for file in reversed(yaml_chain(task)):  # what includes another file goes over it
        text = file.read_text(encoding="utf-8")
        for key in (*_HOOKS, "process_docs"):
            if re.search(rf"^{key}\s*:", text, re.MULTILINE):
                functions.pop(key, None)
        for key, module, name in re.findall(
            r"^(\w+)\s*:\s*!function\s+[\"']?([\w.]+)\.(\w+)", text, re.MULTILINE
        ):
            functions[key] = (file.parent / (module.replace(".", "/") + ".py"), name)
    if "process_docs" in functions:
        return ()
    found: dict[str, None] = {}
    for key in _HOOKS:
        if key in functions:
            found.update(dict.fromkeys(_read_by(*functions[key])))
    return tuple(found)


def _read_by(file: Path, name: str) -> list[str]:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []  # loading the task says it better
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name and node.args.args:
            return _sure(node.body, node.args.args[0].arg)
    return []


def _sure(body: list[ast.stmt], doc: str) -> list[str]:
    found: list[str] = []
    for statement in body:
        if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if any(isinstance(node, ast.Name) and node.id == doc for node in targets):
                return found + _in(statement.value, doc)
            if any(_is_column(node, doc) for node in targets):
                return found  # it makes columns of its own
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr):
            found += _in(statement.value, doc)
        elif isinstance(statement, ast.Return):
            return found + _in(statement.value, doc)
        elif isinstance(statement, ast.Assert):
            found += _in(statement.test, doc)
        elif isinstance(statement, ast.If | ast.While):
            return found + _in(statement.test, doc)
        elif isinstance(statement, ast.For):
            return found + _in(statement.iter, doc)
        else:
            return found  # a try, a with: what follows may never be reached
    return found


def _in(node: ast.AST | None, doc: str) -> list[str]:
    """Return the columns that evaluating an expression surely reads."""
    if node is None or isinstance(node, ast.Lambda):
        return []
    if _is_column(node, doc):
        assert isinstance(node, ast.Subscript)
        assert isinstance(node.slice, ast.Constant)
        return [str(node.slice.value)]
    if isinstance(node, ast.BoolOp):
        return _in(node.values[0], doc)
    if isinstance(node, ast.IfExp):
        return _in(node.test, doc)
    if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        return _in(node.generators[0].iter, doc)
    return [name for child in ast.iter_child_nodes(node) for name in _in(child, doc)]


def _is_column(node: ast.AST, doc: str) -> bool:
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == doc
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    )


def datasets_cache() -> tuple[Path, str]:
    """Return where ``datasets`` keeps the tables it has read, and the variable that moves it.

    Read when it is asked for; ``datasets`` reads its variables while it is imported.
    """
    if place := os.environ.get("HF_DATASETS_CACHE"):
        return Path(place).expanduser(), "HF_DATASETS_CACHE"
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    hub = os.environ.get("HF_HOME") or f"{home}/huggingface"
    return Path(hub).expanduser() / "datasets", "HF_HOME"


def cache_for(digest: str) -> str:
    """Name a cache of its own for these very bytes.

    ``datasets`` recognises a folder by its path and card, not by its tables: after an edit it would
    go on serving the old rows.
    """
    place, variable = datasets_cache()
    if not writable(place):
        raise UsageError(
            f"The cache for benchmark data, {place}, cannot be written. Name another folder with: "
            f"export {variable}=DIR"
        )
    return str(place / f"harness-{digest[:16]}")
