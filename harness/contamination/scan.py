"""The check in a run: each benchmark against the training prompts, once for each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import progress
from harness.benchmark import Benchmark, Task
from harness.contamination.detect import LEVELS, THRESHOLD, Contamination, inspect, seen_in
from harness.contamination.overlap import ImageOverlap
from harness.records import Prompt, fingerprint, from_json, to_json
from harness.storage import Store

_VERSION = 1  # of the contamination check itself: grows when it would find something else


def check_contamination(
    prompts: Sequence[Prompt],
    benchmarks: Sequence[Benchmark],
    *,
    data: str | Path,
    store: Store,
    inputs: Mapping[str, str],
    limit: int | None = None,
) -> tuple[ImageOverlap, ...]:
    """Look for the images of the training prompts in every benchmark.

    Findings are kept in the store, so that a second run on the same prompts and data, with
    whatever method, decodes nothing.

    Args:
        prompts: of the training.
        benchmarks: of the run.
        data: where their rows are.
        store: where findings are kept.
        inputs: fingerprints of the prompts (``prompts``), and of each benchmark's data and code
            (``bench:NAME``), as in settings.json.
        limit: only the first rows of each benchmark.

    Raises:
        HarnessError: if an image of a prompt cannot be decoded.
    """
    keys = {
        benchmark.name: "radar:"
        + fingerprint(
            [_VERSION, THRESHOLD, LEVELS],
            [prompt.id for prompt in prompts],
            inputs["prompts"],
            inputs[f"bench:{benchmark.name}"],
            limit,
        )
        for benchmark in benchmarks
    }
    found = {key: from_json(ImageOverlap, entry) for key, entry in store.get(keys.values()).items()}
    waiting = [benchmark for benchmark in benchmarks if keys[benchmark.name] not in found]
    if waiting:
        with progress.bar("contamination", len(waiting), "benchmarks") as bar:
            bar.advance(0, "images of the prompts")
            known = seen_in(prompts)
            for benchmark in waiting:
                bar.advance(0, benchmark.name)
                touched = _touched(inspect(benchmark, Task(benchmark.task, data), known, limit))
                store.put({keys[benchmark.name]: to_json(touched)})
                found[keys[benchmark.name]] = touched
                bar.advance(1)
    return tuple(found[keys[benchmark.name]] for benchmark in benchmarks)


def _touched(found: Contamination) -> ImageOverlap:
    return ImageOverlap(
        benchmark=found.benchmark,
        rows=found.rows,
        ids=tuple(touch.row for touch in found.touched),
        by_number=sum(touch.bits is None for touch in found.touched),
    )
