"""Is an effect of known size told? Real answers of finished runs, mixed image by image.

    python perf/ladder.py --still RUN --cure RUN --harm RUN --plot docs/screens/ladder.svg

Three runs from the same model on the same rows: one that changes nothing on average (`still`, such
as `random_pairs`), one that gains (`cure`, such as `gt_dpo`), one that loses (`harm`, such as
`swapped`). Every simulated comparison draws images with replacement. A coin for each image
exchanges the two arms of `still`, so that nothing changes on average; then, with a chance that is
the rung of the ladder, the image's answers after are those of the cured (below zero: of the
harmed) model. So each rung's true difference is known. Counted is how often a comparison of one
column tells a difference in its direction, uncorrected.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from harness import stats
from harness.benchmark import Metric, headline
from harness.compare import arrays_of, excludes_zero, join, units_of
from harness.runs import FinishedRun, columns_of, open_run

Floats = NDArray[np.float64]
ALPHA, DRAWS = 0.05, 200
RUNGS = (-1.0, -0.75, -0.5, -0.25, -0.1, 0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Column:
    """Counters of one column, rows in one order: (rows, k) each; `images` numbers the images."""

    name: str
    metric: Metric
    images: NDArray[np.int64]
    before: Floats
    still: Floats
    cure: Floats
    harm: Floats


@dataclass(frozen=True)
class Rung:
    """What was found with one effect: shares of comparisons.

    Attributes:
        planted: the true difference.
        told: a difference in the direction of the planted one (of zero: in either direction).
        wrong: a difference in the other direction.
        covered: the interval holds the true difference.
    """

    planted: float
    told: float
    wrong: float
    covered: float


def columns(still: FinishedRun, cure: FinishedRun, harm: FinishedRun) -> list[Column]:
    """Return the headline columns that all three runs measured, with their counters."""
    found = []
    for bench in still.before:
        for metric in headline(columns_of(bench, still)):
            arms, images = [], None
            for run in (still, cure, harm):
                before, after, images = arrays_of(
                    units_of(metric, join(bench, run.before[bench], run.after[bench]))
                )
                arms += [before, after]
            assert images is not None
            one, same, two = arms[0], arms[1::2], arms[2::2]
            if any(not np.array_equal(one, other) for other in two):
                raise SystemExit(f"{bench}: the runs do not start from the same answers.")
            found.append(Column(f"{bench} {metric.name}", metric, images, one, *same))
    return found


def truth(column: Column, dose: float) -> float:
    """Return the true difference of a rung: figures of expected counters."""
    quiet = (column.before + column.still) / 2
    other = column.cure if dose > 0 else column.harm
    after = (1 - abs(dose)) * quiet + abs(dose) * other
    low, high = (float(column.metric.value(arm.sum(axis=0))) for arm in (quiet, after))
    return high - low


def once(column: Column, dose: float, random: Generator) -> stats.Estimate:
    """Simulate one comparison."""
    count = int(column.images.max()) + 1
    order = np.argsort(column.images, kind="stable")
    sizes = np.bincount(column.images, minlength=count)
    ends = np.cumsum(sizes)
    drawn = random.integers(0, count, count)
    rows = np.concatenate([order[ends[i] - sizes[i] : ends[i]] for i in drawn])
    images = np.repeat(np.arange(count), sizes[drawn])
    turned = (random.random(count) < 0.5)[images][:, None]
    dosed = (random.random(count) < abs(dose))[images][:, None]
    one, two = column.before[rows], column.still[rows]
    other = (column.cure if dose > 0 else column.harm)[rows]
    before = np.where(turned, two, one)
    after = np.where(dosed, other, np.where(turned, one, two))
    metric = column.metric
    return stats.estimate(
        before,
        after,
        images,
        metric.value,
        plain_mean=metric.mean,
        span=metric.high - metric.low,
        draws=DRAWS,
    )


def climb(column: Column, doses: Sequence[float], runs: int) -> list[Rung]:
    """Simulate every rung of one column."""
    rungs = []
    for dose in doses:
        planted, seen = truth(column, dose), np.zeros(3)
        for run in range(runs):
            found = once(column, dose, np.random.default_rng((run, round(1000 * abs(dose)))))
            if found.interval is None or found.p is None or found.difference is None:
                continue
            told = found.p <= ALPHA and excludes_zero(found.interval)
            along = planted == 0 or (found.difference > 0) == (planted > 0)
            low, high = found.interval
            seen += told and along, told and not along, low <= planted <= high
        rungs.append(Rung(planted, *(float(share) for share in seen / runs)))
        told, wrong, covered = (f"{share:.0%}" for share in seen / runs)
        print(f"| {column.name} | {planted:+.1f} | {told} | {wrong} | {covered} |", flush=True)
    return rungs


def drawing(ladders: Sequence[tuple[Column, list[Rung]]], runs: int) -> str:
    """Draw one panel for each column: the planted difference, and how often it is told."""
    wide, tall, edge = 300, 210, 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide * len(ladders)} {tall + 22}" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
    ]
    for place, (column, rungs) in enumerate(ladders):
        reach = max(abs(rung.planted) for rung in rungs) or 1.0
        left, right = place * wide + edge, (place + 1) * wide - 12

        def across(points: float, left=left, right=right, reach=reach) -> float:
            return left + (right - left) * (points + reach) / (2 * reach)

        def up(share: float) -> float:
            return tall - edge - (tall - 2 * edge) * share

        better = column.metric.higher_is_better
        for share in (0.05, 0.8, 1.0):
            parts.append(
                f'<line x1="{left}" x2="{right}" y1="{up(share):.1f}" y2="{up(share):.1f}" '
                f'stroke="#ddd"/><text x="{left - 4}" y="{up(share) + 4:.1f}" '
                f'text-anchor="end">{share:.0%}</text>'
            )
        rising = sorted(rungs, key=lambda rung: rung.planted)
        points = " ".join(f"{across(r.planted):.1f},{up(r.told):.1f}" for r in rising)
        parts.append(f'<polyline points="{points}" fill="none" stroke="#999"/>')
        for rung in rising:
            good = (rung.planted > 0) == (better is not False)
            colour = "#555" if rung.planted == 0 else "#1a7f37" if good else "#c0392b"
            parts.append(
                f'<circle cx="{across(rung.planted):.1f}" cy="{up(rung.told):.1f}" r="3.5" '
                f'fill="{colour}"/>'
            )
        for end, anchor in ((-reach, "start"), (0.0, "middle"), (reach, "end")):
            parts.append(
                f'<text x="{across(end):.1f}" y="{tall - edge + 15}" '
                f'text-anchor="{anchor}">{end:+.1f}</text>'
            )
        parts.append(f'<text x="{left}" y="18" font-weight="bold">{column.name}</text>')
    words = (
        f"across: true difference in points; up: share of {runs} comparisons that tell it "
        "(green: better, red: worse, gray: nothing changed)"
    )
    parts.append(f'<text x="8" y="{tall + 10}">{words}</text></svg>')
    return "\n".join([*parts, ""])


def main() -> None:
    """Read the command line, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--still", type=Path, required=True, help="a run that changes nothing")
    parser.add_argument("--cure", type=Path, required=True, help="a run that gains")
    parser.add_argument("--harm", type=Path, required=True, help="a run that loses")
    parser.add_argument("--runs", type=int, default=200, help="simulated comparisons of each rung")
    parser.add_argument("--plot", type=Path, help="an SVG")
    given = parser.parse_args()
    known = columns(*(open_run(folder) for folder in (given.still, given.cure, given.harm)))
    print("| column | planted | told | told the other way | interval holds it |")
    print("| --- | ---: | ---: | ---: | ---: |")
    ladders = [(column, climb(column, RUNGS, given.runs)) for column in known]
    if given.plot:
        given.plot.write_text(drawing(ladders, given.runs), encoding="utf-8")


if __name__ == "__main__":
    main()
