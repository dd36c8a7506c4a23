"""Contexts for stages that are tested by themselves, without a run around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.benchmark import Benchmark
from harness.context import Context, EvalPlan, Plan
from harness.plugins import Method
from harness.records import Prompt
from harness.settings import EvalSettings, Settings
from harness.storage import Store


def eval_context(
    folder: Path,
    benchmarks: Iterable[Benchmark],
    data: str | Path = "",
    *,
    store: Path | None = None,
    seed: int = 0,
    **settings: Any,
) -> Context[EvalPlan]:
    """Return what stages that measure work on; every benchmark's input is its own name."""
    found = tuple(benchmarks)
    plan = EvalPlan(
        settings=EvalSettings(tuple(bench.name for bench in found), **settings),
        benchmarks=found,
        model="",
        data=data,
        notice=None,
        inputs={f"bench:{bench.name}": bench.name for bench in found},
        seed=seed,
    )
    return Context(plan, folder, Store(store or folder / "store.sqlite"))


def run_context(
    folder: Path,
    method: Method | None = None,
    options: Any = None,
    *,
    prompts: Iterable[Prompt] = (),
    benchmarks: Iterable[Benchmark] = (),
    data: str | Path = "",
    inputs: Mapping[str, str] | None = None,
    store: Path | None = None,
    seed: int = 0,
    **settings: Any,
) -> Context[Plan]:
    """Return what stages of a run work on; a test that needs no method may leave it out."""
    found = tuple(benchmarks)
    known = {"method": "m", "prompts": "p", **{f"bench:{each.name}": each.name for each in found}}
    plan = Plan(
        settings=Settings(
            method.name if method else "", tuple(b.name for b in found), seed=seed, **settings
        ),
        method=method,  # type: ignore[arg-type]
        options=options,
        prompts=tuple(prompts),
        benchmarks=found,
        model="",
        data=data,
        notice=None,
        inputs={**known, **(inputs or {})},
        seed=seed,
    )
    return Context(plan, folder, Store(store or folder / "store.sqlite"))
