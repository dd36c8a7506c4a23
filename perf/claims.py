"""Do the other claims of a report hold? Simulate and count, with generators of their own.

    python perf/claims.py --runs 400

Seven tables: false alarms of a family of 14 metrics over several training seeds; "no worse", and a
gate's open bound, at a true loss of just the margin; the power at the printed minimum detectable
difference (MDD); rows that are missing for a reason; shapes that are hard for an interval;
planned looks; and power beside that of a plain t-test. ``perf/calibration.py`` has false alarms
and coverage of one seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from harness import stats
from harness.benchmark import mean_of, ratio_of
from harness.compare import compare
from harness.records import Sample

Floats = NDArray[np.float64]
Drawn = tuple[Floats, Floats, NDArray[np.int64]]
VALUE = mean_of("score").value
MEAN = mean_of("score", name="score", primary=True)
ALPHA, MARGIN, FAMILY = 0.05, 1.0, 14


def estimate(drawn: Drawn, **options: object) -> stats.Estimate:
    """Estimate scores of 0 to 1 in points."""
    before, after, images = drawn
    ones = np.ones(len(before))
    arms = np.c_[before, ones], np.c_[after, ones]
    numbers = np.unique(images, return_inverse=True)[1].ravel()
    options = {"draws": 200, **options}
    return stats.estimate(*arms, numbers, VALUE, plain_mean=True, **options)


# ---- seeds x Holm


def trained(random: Generator, seeds: int, apart: float) -> stats.Estimate:
    """Draw 60 images of 3 rows, trained with several seeds; nothing changes on average.

    ``apart`` is the standard deviation of seeds over that of the mean over rows.
    """
    images = np.arange(180) // 3
    shared = random.normal(0, 0.1, 60)[images]
    own = apart * (0.01 / 60 + 0.04 / 180) ** 0.5
    changes = [
        shared + random.normal(0, own) + random.normal(0, 0.2, len(images)) for _ in range(seeds)
    ]
    each = [100 * float(change.mean()) for change in changes]
    ones = np.ones(len(images))

    def value(counters: Floats) -> Floats:
        return np.mean([VALUE(part) for part in np.split(counters, seeds, axis=-1)], axis=0)

    before = np.hstack([np.c_[0 * ones, ones]] * seeds)
    after = np.hstack([np.c_[change, ones] for change in changes])
    more = each if seeds > 1 else []
    return stats.estimate(before, after, images, value, draws=1_000, seeds=more)


def families(runs: int) -> None:
    """Print false alarms and coverage over seeds."""
    print("| seeds | between / row sd | families with a false alarm | coverage |")
    print("| ---: | ---: | ---: | ---: |")
    for seeds in (1, 2, 3, 5):
        for apart in (0, 1, 3, 5, 10) if seeds > 1 else (0,):
            alarms, held = 0, 0
            for run in range(runs):
                random = np.random.default_rng((seeds, apart, run))
                found = [trained(random, seeds, apart) for _ in range(FAMILY)]
                alarms += min(stats.holm([one.p for one in found])) <= ALPHA
                held += sum(one.interval[0] <= 0 <= one.interval[1] for one in found)
            shares = f"{alarms / runs:.1%} | {held / runs / FAMILY:.1%}"
            print(f"| {seeds} | {apart} | {shares} |", flush=True)


# ---- a true loss of just the margin


def whole(images: int, rows: int) -> Callable[[Generator], Drawn]:
    """One image in a hundred loses all of its rows; nothing else changes."""

    def draw(random: Generator) -> Drawn:
        lost = np.repeat(random.random(images) < 0.01, rows)
        return np.ones(images * rows), 1.0 - lost, np.arange(images * rows) // rows

    return draw


def unequal(random: Generator) -> Drawn:
    """300 images with 1 to 60 rows (Pareto); one image in a hundred loses all of them."""
    sizes = np.minimum(np.ceil(random.pareto(1.5, 300) + 1), 60).astype(int)
    images = np.repeat(np.arange(300), sizes)
    lost = (random.random(300) < 0.01)[images]
    return np.ones(len(images)), 1.0 - lost, images


def flipping(random: Generator) -> Drawn:
    """2000 rows, half of them right; 6 % of these flip, and 4 % of the others."""
    before = (random.random(2000) < 0.5).astype(float)
    flips = random.random(2000) < np.where(before == 1, 0.06, 0.04)
    return before, np.where(flips, 1 - before, before), np.arange(2000)


def grades(random: Generator) -> Drawn:
    """400 grades in tenths with noise; two in a hundred lose half of the scale."""
    before = random.integers(5, 9, 400) / 10
    noise = random.integers(-1, 2, 400) / 10 * (random.random(400) < 0.6)
    lost = random.random(400) < 0.02
    return before, np.where(lost, before - 0.5, before + noise), np.arange(400)


LOSSES: dict[str, Callable[[Generator], Drawn]] = {
    "40 images x 18, whole images lose": whole(40, 18),
    "100 rows, rare losses": whole(100, 1),
    "60 grades, rare losses": whole(60, 1),
    "1000 rows, rare losses": whole(1000, 1),
    "300 images x 6, whole images lose": whole(300, 6),
    "300 unequal images, whole images lose": unequal,
    "2000 rows, flips in both directions": flipping,
    "400 grades with noise, rare losses": grades,
}


def losses(runs: int) -> None:
    """Print how often "no worse" and an open bound rule are said at a true loss of the margin."""
    print("\n| true loss of 1 point | no worse | `lower<-1` open | coverage of the interval |")
    print("| --- | ---: | ---: | ---: |")
    for name, draw in LOSSES.items():
        said = np.zeros(3)
        for run in range(runs):
            found = estimate(draw(np.random.default_rng((3, run))))
            worse = found.confidence.p_worse(MARGIN, higher_is_better=True)
            low, high = found.interval
            said += worse <= ALPHA, found.bounds[0] >= -MARGIN, low <= -MARGIN <= high
        print(f"| {name} | " + " | ".join(f"{share:.1%}" for share in said / runs) + " |")


# ---- power at the printed MDD


def shifted(images: int, rows: int, spread: float) -> Callable[[Generator, float], Drawn]:
    """Latent abilities with noise in both arms; the effect shifts the second one."""

    def draw(random: Generator, shift: float) -> Drawn:
        easy = 1.2 + random.normal(size=(images, 1)) + random.normal(size=(images, rows))
        arms = []
        for own in (0.0, shift):
            taste = random.normal(size=(images, 1)) * spread
            latent = easy + own + taste + random.normal(size=(images, rows)) * spread
            arms.append((latent > 0).astype(float).ravel())
        return arms[0], arms[1], np.repeat(np.arange(images), rows)

    return draw


def rare(rows: int, share: float) -> Callable[[Generator, float], Drawn]:
    """A share of rows flips in either direction; the effect takes right rows beside that."""

    def draw(random: Generator, loss: float) -> Drawn:
        before = (random.random(rows) < 0.7).astype(float)
        flips = random.random(rows) < np.where(before == 1, share / 1.4, share / 0.6)
        lost = (before == 1) & (random.random(rows) < loss / 0.7)
        return before, np.where(lost, 0.0, np.where(flips, 1 - before, before)), np.arange(rows)

    return draw


def shift_for(spread: float, grid: Floats) -> Floats:
    """Return the true difference, in points, at each shift of a grid."""
    random, draw = np.random.default_rng(99), shifted(20_000, 2, spread)
    pairs = [draw(random, float(shift)) for shift in grid]
    return np.array([100 * (after.mean() - before.mean()) for before, after, _ in pairs])


def powers(runs: int) -> None:
    """Print MDDs and how often a planted effect of that size is told, uncorrected."""
    grid = np.linspace(-2.5, 0, 40)
    cases: list[tuple[str, Callable[[Generator, float], Drawn], Callable[[float], float]]] = []
    for rows, share in ((200, 0.005), (1000, 0.005), (300, 0.1)):
        name = f"{rows} rows, {share:.1%} flip, losses beside that"
        cases.append((name, rare(rows, share), lambda mdd: mdd / 100))
    for spread, sizes in ((0.4, ((10, 18), (20, 18), (40, 18), (300, 1))), (0.08, ((40, 18),))):
        found = shift_for(spread, grid)
        for images, rows in sizes:
            name = f"{images} images x {rows}, shift, {'few' if spread < 0.1 else 'many'} flips"
            plant = lambda mdd, found=found: float(np.interp(-mdd, found, grid))  # noqa: E731
            cases.append((name, shifted(images, rows, spread), plant))
    print("\n| planted: the printed MDD | mean MDD | 10 to 90 % | power there |")
    print("| --- | ---: | ---: | ---: |")
    for name, draw, strength in cases:
        mdds, told = [], 0
        for run in range(runs):
            quiet = estimate(draw(np.random.default_rng((11, run)), 0.0)).confidence
            mdd = quiet.detectable(ALPHA) if quiet else None
            if mdd is None:
                continue
            mdds.append(mdd)
            told += estimate(draw(np.random.default_rng((12, run)), strength(mdd))).p <= ALPHA
        low, high = np.quantile(mdds, (0.1, 0.9))
        print(
            f"| {name} | {np.mean(mdds):.2f} | {low:.1f} to {high:.1f} | {told / len(mdds):.0%} |"
        )


# ---- missing for a reason


def missing(runs: int) -> None:
    """Print how often a gain is told when the worst rows of the second arm have no score."""
    print("\n| worst rows of the after arm unscored | gain | gain, accepted |")
    print("| ---: | ---: | ---: |")
    for share in (0.02, 0.1, 0.3):
        gains = np.zeros(2)
        for run in range(runs):
            random = np.random.default_rng((21, run))
            base = random.random(200)
            arms = [np.clip(base + random.normal(0, 0.2, 200), 0, 1).round(1) for _ in range(2)]
            gone = np.argsort(arms[1], kind="stable")[: int(share * 200)]
            rows = [[_sample(i, float(v)) for i, v in enumerate(arm)] for arm in arms]
            for index in gone:
                rows[1][index] = _sample(int(index), None)
            for place, accepted in enumerate(((), ("b",))):
                found = compare(
                    {"b": rows[0]}, {"b": rows[1]}, {"b": [MEAN]}, draws=200,
                    accept_missing=accepted,
                )  # fmt: skip
                gains[place] += found.verdict == "gain"
        print(f"| {share:.0%} | {gains[0] / runs:.1%} | {gains[1] / runs:.1%} |")


def _sample(index: int, score: float | None) -> Sample:
    return Sample(
        id=f"{index:04d}",
        content=f"{index}",
        cluster=f"{index}",
        prompt="?",
        target="!",
        answer=None if score is None else f"{score}",
        tokens=1,
        finish="missing" if score is None else "stop",
        scores={"score": score},
    )


# ---- shapes that are hard for an interval


def few(images: int) -> Callable[[Generator], Drawn]:
    """A few images of 18 rows with effects of their own, right or wrong."""

    def draw(random: Generator) -> Drawn:
        return shifted(images, 18, 0.4)(random, 0.0)

    return draw


def pareto(random: Generator) -> Drawn:
    """60 images with 1 to 60 rows (Pareto), whose rows move together."""
    sizes = np.minimum(np.ceil(random.pareto(1.5, 60) + 1), 60).astype(int)
    images = np.repeat(np.arange(60), sizes)
    shared = random.normal(0, 0.1, 60)[images]
    return np.zeros(len(images)), shared + random.normal(0, 0.2, len(images)), images


def rare_flips(random: Generator) -> Drawn:
    """400 rows of which one in two hundred flips, up or down."""
    before = (random.random(400) < 0.5).astype(float)
    return before, np.where(random.random(400) < 0.005, 1 - before, before), np.arange(400)


def lognormal(rows: int) -> Callable[[Generator], Drawn]:
    """Many small gains and few large losses: the mean does not change, the shape does."""

    def draw(random: Generator) -> Drawn:
        change = (np.exp(0.5) - random.lognormal(0, 1, rows)) / 20
        return np.zeros(rows), change, np.arange(rows)

    return draw


def near_zero(random: Generator) -> tuple[Floats, Floats]:
    """20 captions before and after that name about one invented object in fifty."""
    named = random.poisson(8, (2, 20)) + 1
    rate = random.gamma(0.5, 0.04, 20)
    arms = [np.c_[random.binomial(n, np.minimum(rate, 1)), n].astype(float) for n in named]
    return arms[0], arms[1]


SHAPES: dict[str, Callable[[Generator], Drawn]] = {
    "8 images x 18": few(8),
    "20 images x 18": few(20),
    "60 unequal images": pareto,
    "400 rows, 0.5 % flip": rare_flips,
    "20 skewed changes (lognormal)": lognormal(20),
    "50 skewed changes (lognormal)": lognormal(50),
    "200 skewed changes (lognormal)": lognormal(200),
}


def shapes(runs: int) -> None:
    """Print false alarms and coverage where nothing changes on average."""
    print("\n| nothing changes on average | false alarms | coverage |")
    print("| --- | ---: | ---: |")
    for name, draw in SHAPES.items():
        found = [estimate(draw(np.random.default_rng((31, run)))) for run in range(runs)]
        _print_shape(name, found)
    ratio = ratio_of("invented", "named").value
    _print_shape(
        "ratio near zero, 20 captions",
        [
            stats.estimate(
                *near_zero(np.random.default_rng((32, run))), np.arange(20), ratio, draws=200
            )
            for run in range(runs)
        ],
    )


def _print_shape(name: str, found: list[stats.Estimate]) -> None:
    alarms = sum(one.p is not None and one.p <= ALPHA for one in found) / len(found)
    held = sum(one.interval is None or one.interval[0] <= 0 <= one.interval[1] for one in found)
    print(f"| {name} | {alarms:.1%} | {held / len(found):.1%} |", flush=True)


# ---- planned looks


def looks(runs: int) -> None:
    """Print how often any of several looks tells a difference where there is none."""
    print("\n| looks at nothing | unplanned | even | pocock | obrien-fleming |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, count, of in (
        ("20 models against one baseline, 300 rows", 20, _models),
        ("5 limits, 100 to 500 rows", 5, _limits),
    ):
        least = [of(np.random.default_rng((41, run)), count) for run in range(runs)]
        cells = [sum(min(each) <= ALPHA for each in least) / runs]
        for plan in stats.SPENDING:
            levels = stats.look_levels(count, ALPHA, plan)
            told = [
                any(p <= level for p, level in zip(each, levels, strict=True)) for each in least
            ]
            cells.append(sum(told) / runs)
        print(f"| {name} | " + " | ".join(f"{share:.1%}" for share in cells) + " |", flush=True)


def _models(random: Generator, count: int) -> list[float]:
    easy, before = random.random(300), random.random(300)
    arms = [(random.random(300) < easy).astype(float) for _ in range(count)]
    first = (before < easy).astype(float)
    return [estimate((first, arm, np.arange(300))).p or 1.0 for arm in arms]


def _limits(random: Generator, count: int) -> list[float]:
    easy = random.random(100 * count)
    one, two = ((random.random(100 * count) < easy).astype(float) for _ in range(2))
    sizes = [100 * look for look in range(1, count + 1)]
    return [estimate((one[:n], two[:n], np.arange(n))).p or 1.0 for n in sizes]


# ---- power against a plain t-test over images


def moved(images: int, rows: int, effect: float) -> Callable[[Generator], Drawn]:
    """Grades whose rows and images vary normally, so that a t-test over image means is valid."""

    def draw(random: Generator) -> Drawn:
        which = np.arange(images * rows) // rows
        change = effect + random.normal(0, 0.05, images)[which]
        return np.zeros(images * rows), change + random.normal(0, 0.2, images * rows), which

    return draw


def turned(images: int, rows: int, effect: float) -> Callable[[Generator], Drawn]:
    """Right or wrong, each row for itself: 10 % flip, ``effect`` more to right, less to wrong."""

    def draw(random: Generator) -> Drawn:
        before = (random.random(images * rows) < 0.5).astype(float)
        changed = random.random(len(before)) < np.where(before == 0, 0.1 + effect, 0.1 - effect)
        return before, np.where(changed, 1 - before, before), np.arange(len(before)) // rows

    return draw


PLANTED: dict[str, Callable[[Generator], Drawn]] = {
    "20 images x 6 grades": moved(20, 6, 0.062),
    "40 images x 18 grades": moved(40, 18, 0.026),
    "300 grades": moved(300, 1, 0.033),
    "40 images x 18, flips": turned(40, 18, 0.033),
    "1000 rows, flips": turned(1000, 1, 0.028),
}


def plain_tests(runs: int) -> None:
    """Print how often an effect is told, and how often a t-test over image means tells it."""
    from scipy import stats as plain

    print("\n| planted | told | plain t-test over images |")
    print("| --- | ---: | ---: |")
    for name, draw in PLANTED.items():
        told = np.zeros(2)
        for run in range(runs):
            drawn = draw(np.random.default_rng((7, run)))
            before, after, images = drawn
            means = np.bincount(images, after - before) / np.bincount(images)
            ours = estimate(drawn, draws=2_000).p
            told += ours <= ALPHA, plain.ttest_1samp(means, 0.0).pvalue <= ALPHA
        print(f"| {name} | {told[0] / runs:.1%} | {told[1] / runs:.1%} |", flush=True)


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400, help="simulated comparisons")
    parser.add_argument("--only", choices=sorted(TABLES), help="one of the tables")
    asked = parser.parse_args()
    for name, table in TABLES.items():
        if asked.only in (None, name):
            table(asked.runs)


TABLES = {
    "families": families,
    "losses": losses,
    "powers": powers,
    "missing": missing,
    "shapes": shapes,
    "looks": looks,
    "plain": plain_tests,
}


if __name__ == "__main__":
    main()
