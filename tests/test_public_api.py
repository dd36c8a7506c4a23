"""docs/public-api.md lists what plugins may import: all of it is there; nothing else is used."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "public-api.md"
PROMISED = (
    "harness",
    "harness.api",
    "harness.benchmark",
    "harness.dpo",
    "harness.model",
    "harness.report",
    "harness.testing",
)


def listed() -> dict[str, list[str]]:
    """The names below each heading of the page."""
    found: dict[str, list[str]] = {}
    for part in PAGE.read_text().split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        found[title.strip("` ")] = re.findall(r"^\| `(\w+)` \|", body, flags=re.M)
    return found


def smaller() -> set[str]:
    return set(re.findall(r"`([\w.]+)`", PAGE.read_text().split("\n## Smaller ones\n")[1]))


@pytest.mark.parametrize("module", PROMISED)
def test_every_promised_name_is_there_and_exported(module):
    face = importlib.import_module(module)
    names = listed()[module]
    assert len(names) == len(set(names)) > 2
    assert set(names) <= set(face.__all__)
    assert all(getattr(face, name) is not None for name in names)


def test_the_front_door_is_listed_whole():
    assert sorted(listed()["harness"]) == sorted(importlib.import_module("harness").__all__)


def imported(path: Path) -> list[tuple[str, str]]:
    """Pairs of module and name that a file takes from harness."""
    return [
        (node.module or "", alias.name)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "harness"
        for alias in node.names
    ]


def test_plugins_of_this_repository_import_nothing_else():
    promised = {(module, name) for module, names in listed().items() for name in names}
    everywhere = {name for module, name in promised if module == "harness"} | smaller()
    modules = {*PROMISED, "harness.progress"}
    for folder in ("plugins", "benchmarks", "reports"):
        for path in (ROOT / folder).rglob("*.py"):
            for module, name in imported(path) if "tests" not in path.parts else ():
                known = (module, name) in promised or f"{module}.{name}" in modules
                assert known or name in everywhere, f"{path} imports {name} from {module}"
