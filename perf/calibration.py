"""Are the comparison's error rates what they claim to be? Simulate and count.

    python perf/calibration.py --runs 2000 --workers 2

Every run draws a suite of 14 columns of the shapes that benchmarks have, first with two arms that
differ by chance only, then with a planted effect of the size that the comparison itself states as
found with 80 % power. Counted are false alarms per column, false alarms over the whole family
after correction, how often the interval holds the truth, and how often the effect is found.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from harness import stats
from harness.benchmark import all_of, f1_of, mean_of, ratio_of
from harness.compare import excludes_zero

Floats = NDArray[np.float64]
Drawn = tuple[Floats, Floats, NDArray[np.int64]]
ALPHA = 0.05


@dataclass(frozen=True)
class Shape:
    """One column of the suite: how its data are drawn, and its figure.

    ``draw(random, images, strength)`` gives counters before, after, and cluster numbers; strength
    0 means that the arms differ by chance only.
    """

    name: str
    images: int
    draw: Callable[[Generator, int, float], Drawn]
    value: Callable[[Floats], Floats]
    plain_mean: bool = False


@dataclass(frozen=True)
class Outcome:
    """What one simulated comparison of one column said."""

    p: float
    alarm: bool
    covered: bool
    error: float


def answers(
    random: Generator, images: int, rows: int, strength: float, spread: float
) -> tuple[Floats, Floats]:
    """Return right (1) or wrong (0) before and after, each (images, rows).

    Images and questions are easy or hard in both arms; each arm has its own taste for an image,
    so that flips come in clusters, and its own noise of size ``spread``.
    """
    shape = (images, rows)
    easy = 1.2 + random.normal(size=(images, 1)) + random.normal(size=shape)
    arms = []
    for shift in (0.0, strength):
        taste = random.normal(size=(images, 1)) * spread
        arms.append((easy + shift + taste + random.normal(size=shape) * spread > 0).astype(float))
    return arms[0], arms[1]


def binary(random: Generator, images: int, strength: float, *, rows: int, spread: float) -> Drawn:
    """Draw accuracy counters (right, 1)."""
    before, after = answers(random, images, rows, strength, spread)
    ones = np.ones(images * rows)
    clusters = np.repeat(np.arange(images), rows)
    return np.c_[before.ravel(), ones], np.c_[after.ravel(), ones], clusters


def confusion(
    random: Generator, images: int, strength: float, *, rows: int, spread: float
) -> Drawn:
    """Draw F1 counters (true positives, false positives, false negatives)."""
    label = np.tile(np.arange(rows) % 2, images).astype(float)
    counters = []
    for right in answers(random, images, rows, strength, spread):
        said = np.where(right.ravel() == 1, label, 1 - label)
        counters.append(np.c_[said * label, said * (1 - label), (1 - said) * label])
    return counters[0], counters[1], np.repeat(np.arange(images), rows)


def graded(random: Generator, images: int, strength: float) -> Drawn:
    """Draw MM-Vet scores: tenths from 0 to 1, most at the ends, a third of them restless."""
    base = random.beta(0.5, 0.5, size=images)
    counters = []
    for shift in (0.0, strength):
        restless = random.random(images) < 0.35
        score = base + restless * random.normal(size=images) * 0.35 + shift
        counters.append(np.c_[np.round(np.clip(score, 0, 1), 1), np.ones(images)])
    return counters[0], counters[1], np.arange(images)


def invented(random: Generator, images: int, strength: float) -> Drawn:
    """Draw CHAIR counters (invented objects, named objects); their ratio is skewed."""
    rate = random.gamma(0.5, 1.0, size=images)
    counters = []
    for shift in (0.0, strength):
        named = random.poisson(4, size=images) + 1
        own = 0.3 * rate * random.gamma(2.0, 0.5, size=images) * np.exp(-shift)
        counters.append(np.c_[random.binomial(named, 1 - np.exp(-own)), named].astype(float))
    return counters[0], counters[1], np.arange(images)


def doubled(random: Generator, images: int, strength: float) -> Drawn:
    """Draw MME counters (right, rows, both right, pairs) for two questions per image."""
    counters = []
    for right in answers(random, images, 2, strength, 0.35):
        every = right.all(axis=1).astype(float)
        counters.append(np.c_[right.sum(axis=1), np.full(images, 2.0), every, np.ones(images)])
    return counters[0], counters[1], np.arange(images)


def mme_total(totals: Floats) -> Floats:
    """Return accuracy plus accuracy+, 0 to 200."""
    share = totals[..., 0] / totals[..., 1] + totals[..., 2] / totals[..., 3]
    return np.asarray(100 * share)


ACCURACY = mean_of("right").value
F1 = f1_of("said", "label").value
RATE = ratio_of("invented", "named").value
EVERY = all_of("right", group=lambda sample: sample.id).value


def circular(random: Generator, images: int, strength: float) -> Drawn:
    """Draw circular accuracy: an image counts only if all four turns of its question are right."""
    before, after = answers(random, images, 4, strength, 0.35)
    ones = np.ones(images)
    return np.c_[before.min(axis=1), ones], np.c_[after.min(axis=1), ones], np.arange(images)


def _pope(name: str, images: int, rows: int, spread: float = 0.4) -> Shape:
    draw = partial(binary, rows=rows, spread=spread)
    return Shape(name, images, draw, ACCURACY, plain_mean=True)


SHAPES = (
    _pope("accuracy, 20 images x 18", 20, 18),
    _pope("accuracy, 40 images x 18", 40, 18),
    _pope("accuracy, 40 images x 18, few flips", 40, 18, 0.08),
    _pope("accuracy, 60 images x 6", 60, 6),
    _pope("accuracy, 500 images x 18", 500, 18),
    Shape("F1, 20 images x 18", 20, partial(confusion, rows=18, spread=0.4), F1),
    Shape("F1, 40 images x 18", 40, partial(confusion, rows=18, spread=0.4), F1),
    Shape("F1, 500 images x 18", 500, partial(confusion, rows=18, spread=0.4), F1),
    Shape("graded 0..1, 120 images", 120, graded, ACCURACY, plain_mean=True),
    Shape("graded 0..1, 218 images", 218, graded, ACCURACY, plain_mean=True),
    _pope("accuracy, 300 images x 1 (McNemar)", 300, 1),
    Shape("circular accuracy, 200 images x 4", 200, circular, EVERY, plain_mean=True),
    Shape("hallucination rate, 60 images", 60, invented, RATE),
    Shape("pair total, 60 images x 2", 60, doubled, mme_total),
)


@cache
def truth(shape: int, strength: float, parts: int = 50) -> float:
    """Return the difference in a population of 200,000 images, 4,000 in each part."""
    if strength == 0.0:
        return 0.0
    own, sums, value = SHAPES[shape], [], SHAPES[shape].value
    for part in range(parts):
        random = np.random.default_rng((99, shape, part))
        before, after, _ = own.draw(random, 4_000, strength)
        sums.append((before.sum(axis=0), after.sum(axis=0)))
    before, after = (np.sum(arm, axis=0) for arm in zip(*sums, strict=True))
    return float(value(after) - value(before))


def one(shape: int, run: int, strength: float, draws: int) -> Outcome:
    """Simulate one comparison of one column."""
    own = SHAPES[shape]
    random = np.random.default_rng((7, shape, run, int(strength * 1e6)))
    before, after, clusters = own.draw(random, own.images, strength)
    found = stats.estimate(
        before, after, clusters, own.value, plain_mean=own.plain_mean, seed=run, draws=draws
    )
    p = 1.0 if found.p is None else found.p
    low, high = found.interval or (-np.inf, np.inf)
    alarm = p <= ALPHA and excludes_zero(found.interval)
    covered = low <= truth(shape, strength) <= high
    return Outcome(p, alarm, covered, found.error or 0.0)


def stated_power(effect: float, images: int, errors: Sequence[float]) -> float:
    """Return the power that the stated detectable difference implies for the planted one."""
    freedom = images - 1
    ratio = abs(effect) / float(np.mean(errors))
    return float(scipy_stats.t.cdf(ratio - scipy_stats.t.ppf(1 - ALPHA / 2, freedom), freedom))


@cache
def strength_for(shape: int) -> float:
    """Return the strength at which the comparison states 80 % power, by bisection."""
    own, low, high = SHAPES[shape], 0.0, 2.0
    for _ in range(8):
        middle = round((low + high) / 2, 4)
        errors = []
        for run in range(30):
            random = np.random.default_rng((5, shape, run))
            drawn = own.draw(random, own.images, middle)
            errors.append(stats.estimate(*drawn, own.value, draws=1).error or 0.0)
        power = stated_power(truth(shape, middle, parts=5), own.images, errors)
        low, high = (low, middle) if power > 0.8 else (middle, high)
    return high


def simulate(run: int, draws: int, strengths: Sequence[float]) -> tuple[list[Outcome], ...]:
    """Simulate the whole suite once without and once with effects."""
    quiet = [one(shape, run, 0.0, draws) for shape in range(len(SHAPES))]
    planted = [one(shape, run, strength, draws) for shape, strength in enumerate(strengths)]
    return quiet, planted


@dataclass(frozen=True)
class Row:
    """Rates of one column over all runs, as shares."""

    name: str
    alarms: float
    coverage: float
    planted: float
    planted_coverage: float
    stated: float
    found: float


@dataclass(frozen=True)
class Calibration:
    """Rates of every column, and of the family."""

    rows: tuple[Row, ...]
    family: float
    family_uncorrected: float
    runs: int


def calibrate(runs: int, draws: int, workers: int = 1) -> Calibration:
    """Simulate ``runs`` suites and count."""
    strengths = tuple(strength_for(shape) for shape in range(len(SHAPES)))
    for shape, strength in enumerate(strengths):
        truth(shape, strength)  # once here, before workers are forked with the cache
    work = partial(simulate, draws=draws, strengths=strengths)
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            results = list(pool.map(work, range(runs), chunksize=20))
    else:
        results = [work(run) for run in range(runs)]
    rows = []
    for shape, own in enumerate(SHAPES):
        quiet, planted = ([result[arm][shape] for result in results] for arm in (0, 1))
        effect = truth(shape, strengths[shape])
        rows.append(
            Row(
                name=own.name,
                alarms=_share([o.alarm for o in quiet]),
                coverage=_share([o.covered for o in quiet]),
                planted=effect,
                planted_coverage=_share([o.covered for o in planted]),
                stated=stated_power(effect, own.images, [o.error for o in planted]),
                found=_share([o.alarm for o in planted]),
            )
        )
    family = _share([_told([o for o in quiet]) for quiet, _ in results])
    naive = _share([any(o.alarm for o in quiet) for quiet, _ in results])
    return Calibration(tuple(rows), family, naive, runs)


def table(result: Calibration) -> str:
    """Return the result as a Markdown table."""
    lines = [
        "| column | false alarms | coverage, no effect | planted effect | coverage, planted "
        "| stated power | found |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.name} | {row.alarms:.1%} | {row.coverage:.1%} | {row.planted:+.2f} "
        f"| {row.planted_coverage:.1%} | {row.stated:.0%} | {row.found:.1%} |"
        for row in result.rows
    ]
    lines += [
        "",
        f"Family of {len(result.rows)} columns, {result.runs} runs: at least one false alarm in "
        f"{result.family:.1%} of the runs after Holm's correction, {result.family_uncorrected:.1%} "
        "without it.",
    ]
    return "\n".join(lines)


def _told(outcomes: Sequence[Outcome]) -> bool:
    corrected = stats.holm([outcome.p for outcome in outcomes])
    return any(p <= ALPHA and o.alarm for p, o in zip(corrected, outcomes, strict=True))


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)


def main() -> None:
    """Read the command line, simulate, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="simulated suites")
    parser.add_argument("--draws", type=int, default=1000, help="resamples per comparison")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    asked = parser.parse_args()
    print(table(calibrate(asked.runs, asked.draws, asked.workers)))


if __name__ == "__main__":
    main()
