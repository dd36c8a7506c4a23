"""The check in a run: each benchmark against the training prompts, once for each pair."""

from __future__ import annotations

from harness import progress
from harness.benchmark import Task
from harness.contamination.detect import LEVELS, THRESHOLD, Contamination, inspect, seen_in
from harness.contamination.overlap import ImageOverlap
from harness.context import Context, Plan
from harness.records import fingerprint, to_json

_VERSION = 1  # of the contamination check itself: grows when it would find something else


def check_contamination(context: Context[Plan]) -> tuple[ImageOverlap, ...]:
    """Look for the images of the training prompts in every benchmark.

    Findings are kept in the store, so that a second run on the same prompts and data, with
    whatever method, decodes nothing.

    Raises:
        HarnessError: if an image of a prompt cannot be decoded.
    """
    plan, store = context.plan, context.store
    limit = plan.settings.limit
    keys = {
        benchmark.name: "radar:"
        + fingerprint(
            [_VERSION, THRESHOLD, LEVELS],
            [prompt.id for prompt in plan.prompts],
            plan.inputs["prompts"],
            plan.inputs[f"bench:{benchmark.name}"],
            limit,
        )
        for benchmark in plan.benchmarks
    }
    found = store.records(keys.values(), ImageOverlap)
    waiting = [benchmark for benchmark in plan.benchmarks if keys[benchmark.name] not in found]
    if waiting:
        with progress.bar("contamination", len(waiting), "benchmarks") as bar:
            bar.advance(0, "images of the prompts")
            known = seen_in(plan.prompts)
            for benchmark in waiting:
                bar.advance(0, benchmark.name)
                touched = _touched(
                    inspect(benchmark, Task(benchmark.task, plan.data), known, limit)
                )
                store.put({keys[benchmark.name]: to_json(touched)})
                found[keys[benchmark.name]] = touched
                bar.advance(1)
    return tuple(found[keys[benchmark.name]] for benchmark in plan.benchmarks)


def _touched(found: Contamination) -> ImageOverlap:
    return ImageOverlap(
        benchmark=found.benchmark,
        rows=found.rows,
        ids=tuple(touch.row for touch in found.touched),
        by_number=sum(touch.bits is None for touch in found.touched),
    )
