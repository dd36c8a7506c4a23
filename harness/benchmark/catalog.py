"""What ``--bench`` takes: installed benchmarks, suites of them, and any lmms-eval image task.

- ``pope``: an entry point in the group ``harness.benchmarks``.
- ``sima14``: an entry point in ``harness.suites``, a tuple of such names.
- ``lmms:mmstar``: a task of the installed lmms-eval, by its task name; ``lmms:mmstar:math`` takes
  the metric ``math`` for the headline, and a group of tasks stands for its tasks.
- ``folder/task.yaml``: a task file of one's own.

The last two are read by :mod:`harness.benchmark.foreign`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from harness.benchmark.definition import Benchmark
from harness.benchmark.foreign import BRIDGE, foreign, is_foreign, members, task_file
from harness.benchmark.task_files import yaml_chain
from harness.errors import UsageError, near_miss
from harness.plugins import digest_of, find, load, names
from harness.records import distinct, fingerprint
from harness.storage import file_digest, files_digest, folder_digest


def expand(wanted: Sequence[str]) -> tuple[str, ...]:
    """Put the members of suites and groups in the place of their names; each appears once.

    Raises:
        UsageError: if two packages claim a suite.
    """
    known = names("suites")
    found: list[str] = []
    for name in wanted:
        found += load("suites", name) if name in known else members(name)
    return distinct(found)


def benchmark(name: str) -> Benchmark:
    """Return the benchmark that a word after ``--bench`` means.

    Raises:
        UsageError: if nothing has that name, naming the near miss.
    """
    if is_foreign(name):
        return foreign(name)
    installed = [*names("benchmarks"), *names("suites")]
    if name not in installed:
        raise UsageError(
            f"No benchmark or suite is named '{name}'.{near_miss(name, installed)} "
            f"Installed: {', '.join(installed)}. List them with: harness list benchmarks"
        )
    found: Benchmark = load("benchmarks", name)
    return found


def code_digest(name: str) -> str:
    """Hash the code that scores a benchmark, for the keys of stored work.

    Of a benchmark's package those files are hashed that determine its scores, see
    :func:`code_files`; a task file with everything beside it, and what it includes from elsewhere
    with the code there. The version of lmms-eval, whose code asks and scores, counts too.
    """
    digest, installed = _digest_of_files(name), version("lmms-eval")
    return digest if installed == _FIRST else fingerprint(digest, "lmms-eval", installed)


_FIRST = "0.7.3"
"""The version of lmms-eval that keys of stored work do not name, as it was no part of them."""


def _digest_of_files(name: str) -> str:
    if is_foreign(name):
        chain = [file.resolve() for file in yaml_chain(str(task_file(name)))]
        own, away = chain[0].parent, [file for file in chain if file.parent != chain[0].parent]
        included = [(file_digest(file), folder_digest(file.parent, "*.py")) for file in away]
        return fingerprint(BRIDGE, name, folder_digest(own, "*"), *included)
    module = find("benchmarks", name).module
    spec = find_spec(module.split(".")[0])
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        return digest_of("benchmarks", name)
    root = Path(spec.origin).parent
    return files_digest(root, code_files(root, module, benchmark(name).task))


_DYNAMIC = frozenset({"import_module", "__import__", "entry_points", "exec"})
_TASK = re.compile(r"^task:", re.MULTILINE)


def code_files(root: Path, module: str, task: str) -> list[Path]:
    """Return the files of a package that a benchmark's module rests on.

    Those are its module, what that imports of the package, and so on; and every file that is no
    module, such as lists of words, save the task files of other benchmarks. Where one of the
    modules imports others by a name that is made while it runs, all files count.
    """
    every = [
        path
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]
    modules = _imported(root, module)
    if modules is None:
        return every
    return [path for path in every if path in modules or _beside(path, root, task)]


def _imported(root: Path, module: str) -> set[Path] | None:
    """Return the modules that are imported; ``None`` where that cannot be told."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        for file in _files_of(root, waiting.pop()):
            if file in found:
                continue
            found.add(file)
            inside = ".".join((root.name, *file.relative_to(root).parent.parts))
            named = _imports(file, file.stat().st_mtime_ns, inside)
            if named is None:
                return None
            waiting += named
    return found


def _files_of(root: Path, module: str) -> list[Path]:
    """Return the files that importing a module of the package runs: its own and its packages'."""
    first, *parts = module.split(".")
    if first != root.name:
        return []
    files = [root.joinpath(*parts[:depth], "__init__.py") for depth in range(len(parts) + 1)]
    if parts:
        files.append(root.joinpath(*parts[:-1], parts[-1] + ".py"))
    return [file for file in files if file.is_file()]


@lru_cache(maxsize=256)
def _imports(file: Path, changed: int, inside: str) -> tuple[str, ...] | None:
    """Return what a module may import; names of a module may be modules themselves."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return None
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = inside.split(".")[: len(inside.split(".")) - node.level + 1]
            parts = above if node.level else []
            base = ".".join([*parts, *filter(None, [node.module])])
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif getattr(node, "id", getattr(node, "attr", None)) in _DYNAMIC:
            return None
    return tuple(found)


def _beside(path: Path, root: Path, task: str) -> bool:
    """Say whether a file is no module, and no task file of another benchmark."""
    folders = [path.parent, *path.parent.parents]
    within = folders[: folders.index(root) + 1]
    if path.suffix == ".py" and all((folder / "__init__.py").is_file() for folder in within):
        return False
    if path.suffix not in (".yaml", ".yml") or str(path) == task:
        return True
    return _TASK.search(path.read_text("utf-8", errors="replace")) is None
