"""What the pair stage costs beside the model: processor time, memory and disk per prompt.

The prompts' file, the answer store, the pair stage, its journal and the training's encoder are the
real ones; the answers come from an engine that only waits, with many requests under way at a time.
Each size is a process of its own. Everything is made in a temporary folder and removed.

python perf/scale.py --prompts 12500 25000 50000 100000
python perf/scale.py --prompts 1000 --delay 0.001 --json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import checkout
import numpy as np
from harness_tinyworld import MODEL
from PIL import Image

from harness.context import Context
from harness.engine import EngineRequest, Source
from harness.model import Identity, Model, at_once
from harness.pairs import make_pairs, read_prompts
from harness.plugins import load_method
from harness.records import Answer, Request
from harness.storage import Store
from tests.support.contexts import run_context

_SIZE = 336  # LLaVA-1.5's


class Waiting:
    """An engine that answers every request with the same sentence, after a while."""

    identity = Identity("waiting", "1")

    def __init__(self, workers: int, delay: float) -> None:
        """Answer ``workers`` requests at a time, each after ``delay`` seconds."""
        self.workers, self.delay = workers, delay

    def refuses(self, request: Request) -> str | None:
        """Nothing."""
        return None

    def run(
        self, items: Sequence[EngineRequest], adapter: Path | None = None
    ) -> Iterator[tuple[int, Answer]]:
        """Wait for each, as for a server."""

        def one(item: EngineRequest) -> Answer:
            time.sleep(self.delay)
            return Answer(f"A picture of something, asked as {item.request.prompt}", "stop")

        return at_once(self.workers, one, items)

    def at(self, source: Source) -> Waiting:
        """It has no weights."""
        return self

    def release(self) -> None:
        """It holds nothing."""


def write_prompts(folder: Path, count: int, images: int) -> Path:
    """Write a prompts' file, several prompts to an image, as LLaVA's instructions have it."""
    draw = np.random.default_rng(0)
    for place in range(images):
        pixels = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((_SIZE, _SIZE), Image.Resampling.BICUBIC)
        picture.save(folder / f"{place}.jpg")
    path = folder / "prompts.jsonl"
    with path.open("w") as file:
        for place in range(count):
            row = {"id": str(place), "image": f"{place % images}.jpg"}
            row |= {"question": f"What can be seen in picture {place}, and where is it?"}
            row |= {"reference": f"There is the thing number {place}, on the left of a table."}
            file.write(json.dumps(row) + "\n")
    return path


def measure(folder: Path, prompts: Path, workers: int, delay: float) -> dict[str, float]:
    """Make all pairs in this process, and read them again; return what each has taken."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    method = load_method("gt_dpo")
    store = Store(folder / "store.sqlite")
    engine = Waiting(workers, delay)
    model = Model.open(MODEL, store=store, device="cpu", engine=lambda source: engine)
    model.processor  # noqa: B018  (loaded before the clock runs)
    before = _peak()
    begin, clock = time.process_time(), time.perf_counter()
    read = read_prompts(prompts)
    reading = time.process_time() - begin
    context = run_context(folder, method, method.options("small", {}), prompts=read)
    context = Context(context.plan, folder, store)
    begin = time.process_time()
    made = make_pairs(context, model)
    making, took = time.process_time() - begin, time.perf_counter() - clock
    assert len(made.pairs) == len(read)
    assert model.calls == len(read)
    peak = _peak()
    begin = time.process_time()
    again = make_pairs(context, model)
    assert again.reused
    store.close()
    each = 1000 / len(read)
    return {
        "prompts": len(read),
        "read_ms": round(reading * each, 3),
        "pairs_ms": round(making * each, 3),
        "again_ms": round((time.process_time() - begin) * each, 3),
        "seconds": round(took, 1),
        "peak_mb": round(peak),
        "before_mb": round(before),
        "journal_bytes": round((folder / "pairs.jsonl").stat().st_size / len(read)),
        "store_bytes": round(sum(p.stat().st_size for p in folder.glob("store*")) / len(read)),
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print a row for each number of prompts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--images", type=int, default=1000, help="different images at most")
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--delay", type=float, default=0.02, help="seconds an answer takes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside is not None:
        found = measure(asked.inside, asked.inside / "prompts.jsonl", asked.workers, asked.delay)
        print(json.dumps(found))
        return
    rows = []
    for count in asked.prompts:
        with tempfile.TemporaryDirectory() as place:
            write_prompts(Path(place), count, min(asked.images, count))
            command = [sys.executable, __file__, "--inside", place]
            command += ["--workers", str(asked.workers), "--delay", str(asked.delay)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=checkout.ROOT)
        rows.append(json.loads(done.stdout))
        if not asked.json:
            print("  ".join(f"{name} {value:g}" for name, value in rows[-1].items()), flush=True)
    if asked.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
