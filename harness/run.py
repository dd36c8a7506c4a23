"""The story: align one model with one method, and measure it before and after.

Read :func:`run` and you know the house. Every room finds its own finished work on disk by the
fingerprint of its inputs, so calling this again continues where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.compare import Comparison, compare
from harness.evaluate import evaluate
from harness.folder import write_json
from harness.model import Model
from harness.pairs import PairSet, make_pairs
from harness.plugins import load
from harness.report import Report, write_reports
from harness.settings import Settings, resolve, settings_json, versions
from harness.store import Store
from harness.train import Checkpoint, train


@dataclass(frozen=True)
class Outcome:
    """What a run came to, and where it lies."""

    folder: Path
    comparison: Comparison
    pairs: PairSet
    checkpoint: Checkpoint
    reports: Mapping[str, Path]
    calls: int
    reused: bool


def run(settings: Settings) -> Outcome:
    """Make pairs, train on them, evaluate before and after, compare, and report.

    "Before" comes first: a broken benchmark fails before training is paid for.

    Raises:
        UsageError: if the settings name something that is not there.
        HarnessError: if a room could not do its work; everything finished stays on disk.
    """
    plan = resolve(settings)
    store = Store(settings.out / "store.sqlite")
    model = Model.open(plan.model, store=store, device=settings.device, dtype=settings.dtype)
    folder = plan.folder(model.fingerprint)
    write_json(folder / "settings.json", settings_json(plan))
    write_json(folder / "versions.json", versions())

    prints = _fingerprints(plan, model)
    common = {"data": plan.data, "folder": folder, "limit": settings.limit}
    before = evaluate("before", model, plan.benchmarks, fingerprints=prints, **common)
    pairs = make_pairs(
        plan.method,
        plan.prompts,
        model,
        plan.options,
        seed=settings.seed,
        folder=folder,
        fingerprint=prints["pairs"],
    )
    checkpoint = train(
        plan.method,
        pairs.pairs,
        model,
        plan.options,
        seed=settings.seed,
        folder=folder,
        fingerprint=prints["pairs"],
    )
    aligned = _aligned(model, checkpoint, store, settings)
    after_prints = _fingerprints(plan, aligned)
    after = evaluate("after", aligned, plan.benchmarks, fingerprints=after_prints, **common)

    columns = {benchmark.name: benchmark.columns for benchmark in plan.benchmarks}
    comparison = compare(before.samples, after.samples, columns, seed=settings.seed)
    report = Report(plan, folder, comparison, pairs, checkpoint)
    written = write_reports(report, {name: load("reports", name) for name in settings.reports})
    return Outcome(
        folder=folder,
        comparison=comparison,
        pairs=pairs,
        checkpoint=checkpoint,
        reports=written,
        calls=model.calls + aligned.calls,
        reused=before.reused and pairs.reused and checkpoint.reused and after.reused,
    )
