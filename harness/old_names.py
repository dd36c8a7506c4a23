"""Names of version 0.0, kept for one release: they work and warn once. This file goes with 0.2.

Packages replaced flat modules, and private words gave way to the field's. A plugin that still
imports an old module (``harness.columns``) or an old name (``harness.benchmark.Column``) gets the
new one, and its author a ``FutureWarning`` that says what to write instead.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import operator
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")

MODULES: Mapping[str, str] = {
    "harness.ask": "harness.model",
    "harness.columns": "harness.benchmark",
    "harness.comparison": "harness.compare",
    "harness.comparison_gate": "harness.compare",
    "harness.comparison_training": "harness.pairs",
    "harness.conclude": "harness.report",
    "harness.curves": "harness.dpo",
    "harness.data_files": "harness.benchmark",
    "harness.data_official": "harness.benchmark",
    "harness.doctor": "harness.pairs",
    "harness.doctor_text": "harness.pairs",
    "harness.evaluate": "harness.stages",
    "harness.folder": "harness.storage",
    "harness.judge_exam": "harness.benchmark",
    "harness.lmms": "harness.benchmark",
    "harness.preflight": "harness.stages",
    "harness.prompts": "harness.pairs",
    "harness.rounding": "harness.stats",
    "harness.run_seeds": "harness.run",
    "harness.statistics": "harness.stats",
    "harness.store": "harness.storage",
    "harness.thumbnails": "harness.storage",
    "harness.train": "harness.stages",
}
"""Old module, and the package that holds its public names now."""

NAMES: Mapping[str, Mapping[str, str]] = {
    "harness": {"World": "harness.Demo"},
    "harness.benchmark": {
        "Ask": "harness.benchmark.JudgePrompt",
        "Column": "harness.benchmark.Metric",
        "Entry": "harness.benchmark.SourceRow",
        "Exam": "harness.benchmark.Rubric",
        "Official": "harness.benchmark.SourceFiles",
        "Unreadable": "harness.benchmark.UnparsableReply",
        "paper": "harness.benchmark.judge_prompt",
    },
    "harness.compare": {
        "Column": "harness.benchmark.Metric",
        "Figure": "harness.compare.MetricResult",
        "ReportInput": "harness.report.ReportInput",
        "all_of": "harness.benchmark.all_of",
        "f1_of": "harness.benchmark.f1_of",
        "mean_of": "harness.benchmark.mean_of",
        "ratio_of": "harness.benchmark.ratio_of",
    },
    "harness.dpo": {"canary": "harness.dpo.image_ablation"},
    "harness.pairs": {"Curve": "harness.dpo.Curve", "text_of": "harness.pairs.pair_report_text"},
    "harness.records": {"World": "harness.records.Demo"},
    "harness.train": {"training_of": "harness.dpo.training_of"},
}
"""Old names by package (or module), and what they are now."""

KEYWORDS: Mapping[str, str] = {
    "exam": "rubric",
    "official": "source_files",
    "photo": "image_source",
}
"""Old keywords and attributes of ``Benchmark``, and the new ones."""

OPTIONS: Mapping[str, str] = {
    "--canary": "--image-ablation",
    "--judgings": "--judge-repeats",
    "--patience": "--pair-timeout",
}
"""Old options of the command line, and the new ones."""


def forward(module: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__``, which finds old names.

    Args:
        module: a package with old names (:data:`NAMES`) or an old module (:data:`MODULES`).
    """

    def find(name: str) -> Any:
        package = MODULES.get(module, module)
        new = NAMES.get(module, NAMES.get(package, {})).get(name)
        if new is None and module in MODULES and not name.startswith("__"):
            new = f"{package}.{name}"
        if new is None:
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        place, _, last = new.rpartition(".")
        found = getattr(importlib.import_module(place), last, None)
        if found is None:
            raise AttributeError(f"module '{module}' has no attribute '{name}', nor has {place}")
        _warn(f"{module}.{name}", new)
        return found

    return find


def renamed_keywords(kind: type[T]) -> type[T]:
    """Let a dataclass take and show its fields by their old names too (:data:`KEYWORDS`)."""
    made = kind.__init__

    def init(self: Any, *args: Any, **given: Any) -> None:
        for old, new in KEYWORDS.items():
            if old in given:
                _warn(f"{kind.__name__}({old}=...)", f"{new}=...")
                given[new] = given.pop(old)
        made(self, *args, **given)

    kind.__init__ = init  # type: ignore[method-assign]
    for old, new in KEYWORDS.items():
        setattr(kind, old, property(operator.attrgetter(new)))
    return kind


def options(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with old options replaced, and say so on stderr."""
    found = []
    for word in words:
        name, sign, value = word.partition("=")
        new = OPTIONS.get(name, name)
        if new != name:
            print(f"{name} is now {new}; the old name works until 0.2.", file=sys.stderr)
        found.append(f"{new}{sign}{value}")
    return found


def install() -> None:
    """Let old module names be imported."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())


class _OldModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes an old module on demand; asked last, after every real module."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name in MODULES else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__getattr__"] = forward(module.__name__)


_said: set[str] = set()


def _warn(old: str, new: str) -> None:
    if old not in _said:
        _said.add(old)
        warnings.warn(
            f"{old} is now {new}; the old name works until harness 0.2.",
            FutureWarning,
            stacklevel=3,
        )
