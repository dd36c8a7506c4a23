"""How long does a comparison of full-sized benchmarks take?

    python perf/compare.py                       # 14 columns of 20,000 samples, 10,000 draws
    python perf/compare.py --rows 1 --graded     # no two clusters alike: the worst case

The time is that of :func:`harness.compare.compare` from samples in memory to the finished record.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import time

from harness.benchmark import Metric, f1_of, mean_of
from harness.compare import compare
from harness.records import Sample


def arm(name: str, seed: int, samples: int, rows: int, graded: bool) -> list[Sample]:
    """Return one benchmark's samples; a tenth of the answers differ between seeds."""
    fixed, own = random.Random(name), random.Random(f"{name} {seed}")
    made = []
    for index in range(samples):
        label, right = float(index % 2), float(fixed.random() < 0.8)
        if own.random() < 0.1:
            right = float(own.random() < 0.8)
        score = (right + own.random()) / 2 if graded else right
        said = label if right else 1 - label
        made.append(
            Sample(
                id=f"{index:06d}",
                content=f"{name}{index}",
                cluster=f"{index // rows}",
                prompt="Is there a red square in the image?",
                target="yes" if label else "no",
                answer="yes" if said else "no",
                tokens=2 + own.randrange(3),
                finish="stop",
                scores={"score": score, "said": said, "label": label},
                groups={"category": "abc"[index % 3]},
            )
        )
    return made


def main() -> None:
    """Make samples, compare them, print wall time and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--columns", type=int, default=14)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=18, help="questions per image")
    parser.add_argument("--graded", action="store_true", help="continuous scores")
    asked = parser.parse_args()
    columns: dict[str, list[Metric]] = {}
    for number in range(asked.columns):
        f1 = number % 2 and not asked.graded
        columns[f"bench{number}"] = [f1_of("said", "label") if f1 else mean_of("score")]
    before, after = (
        {name: arm(name, seed, asked.samples, asked.rows, asked.graded) for name in columns}
        for seed in (1, 2)
    )
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began, worked = time.perf_counter(), time.process_time()
    result = compare(before, after, columns, draws=asked.draws)
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(columns)} columns x {asked.samples} samples, {asked.rows} per image, "
        f"{'graded' if asked.graded else '0/1 and F1'}, {asked.draws} draws: {seconds:.1f} s "
        f"({worked:.1f} s of one core), "
        f"{peak - held:.0f} MB beside the samples ({os.cpu_count()} cores); {result.verdict}"
    )


if __name__ == "__main__":
    main()
