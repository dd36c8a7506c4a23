"""Does the interval over several training seeds hold the truth? Simulate and count.

    python perf/seeds.py --runs 1000

Every run draws one method trained with several seeds and evaluated on the same rows: rows change by
chance and differently for each seed, rows of an image share a change, and each seed has a change of
its own. Nothing changes on average, so the truth is 0. Widths are compared with the interval that
the first seed has alone, which knows nothing of other seeds.
"""

from __future__ import annotations

import argparse

import numpy as np

from harness.benchmark import mean_of
from harness.compare import Unit
from harness.compare.pooled import estimate

IMAGES, ROWS = 60, 3
APART = (0.0, 0.01, 0.03, 0.1)
COLUMN = mean_of("right", name="accuracy", primary=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=400)
    given = parser.parse_args()
    print(
        "| seeds | how far they are apart, in points | one seed's interval | all seeds' interval |"
    )
    print("| ---: | ---: | ---: | ---: |")
    for seeds in (2, 3, 5):
        for apart in APART:
            shares = simulate(seeds, apart, given.runs, given.draws)
            one, both = (f"{share:.1%}" for share in shares)
            print(f"| {seeds} | {100 * apart:g} | {one} | {both} |", flush=True)


def simulate(seeds: int, apart: float, runs: int, draws: int) -> tuple[float, float]:
    """Return how often the interval of one seed, and that of all, holds the truth."""
    held = np.zeros(2)
    for run in range(runs):
        random = np.random.default_rng((seeds, int(1000 * apart), run))
        images = np.arange(IMAGES * ROWS) // ROWS
        before = random.integers(0, 2, len(images))
        shared = random.normal(0, 0.1, IMAGES)[images]
        trained = []
        for _ in range(seeds):
            own = random.normal(0, apart) + random.normal(0, 0.2, len(images))
            trained.append(units(before, before + shared + own, images))
        for place, some in enumerate((trained[:1], trained)):
            found, _ = estimate(COLUMN, some, seed=run, draws=draws, alpha=0.05)
            held[place] += found.interval[0] <= 0.0 <= found.interval[1]
    return float(held[0] / runs), float(held[1] / runs)


def units(before, after, images) -> list[Unit]:
    """Return rows as the comparison counts them."""
    rows = zip(before, after, images, strict=True)
    return [
        Unit(str(i), (i,), int(image), (float(b), 1.0), (float(a), 1.0))
        for i, (b, a, image) in enumerate(rows)
    ]


if __name__ == "__main__":
    main()
