"""Which files of a benchmark's package determine its scores, found without running them."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

_DYNAMIC = frozenset({"import_module", "__import__", "entry_points", "exec"})
_TASK = re.compile(r"^task:", re.MULTILINE)


def code_files(root: Path, module: str, task: str) -> list[Path]:
    """Return the files of a package that a benchmark's module rests on.

    Those are its module, what that imports of the package, and so on; and every file that is no
    module, such as lists of words, save the task files of other benchmarks. Where one of the
    modules imports others by a name that is made while it runs, all files count.

    Args:
        root: the package's folder.
        module: dotted name of the benchmark's module.
        task: the benchmark's task file, as an absolute path if it is its own.
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
