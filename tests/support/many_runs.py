"""An overview of many runs, made record by record: sizes that would take hours to train."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

from harness.analysis import Leaderboard, Overview, RankedRun, Ranking, RunPair
from harness.compare import Terms
from harness.dpo import Curve
from harness.report import ReportInput
from tests.support.finished import row


def overview(names: Sequence[str], figures: int, *, seed: int = 0) -> Overview:
    """Return that many headline figures of the named runs against ``before``."""
    chance = random.Random(seed)
    entrants = ("before", *names)
    rankings, pairs = [], []
    for number in range(figures):
        bench = f"bench{number}"
        place = {name: round(chance.uniform(40, 80), 1) for name in entrants}
        ordered = sorted(entrants, key=lambda name: -place[name])
        runs = []
        for rank, name in enumerate(ordered, 1):
            gap = round(place[name] - place["before"], 1)
            verdict = "gain" if gap > 10 else "loss" if gap < -10 else "cannot tell"
            ends = (round(gap - 8, 1), round(gap + 8, 1))
            known = name != "before"
            runs.append(
                RankedRun(
                    run=name,
                    figure=place[name],
                    missing=number % 2,
                    difference=gap if known else None,
                    interval=ends if known else None,
                    interval_corrected=(ends[0] - 3, ends[1] + 3) if known else None,
                    pooled=None,
                    pooled_error=None,
                    p_holm=0.01 if known else None,
                    verdict=verdict if known else "",
                    best=rank,
                    worst=rank,
                    seeds=(gap - 1, gap + 1) if known else (),
                )
            )
        rankings.append(
            Ranking(bench, "accuracy", "points", 1, True, 900, 300, tuple(runs), margin=1.0)
        )
        for one, two in combinations(entrants, 2):
            gap = round(place[two] - place[one], 1)
            verdict = "gain" if gap > 10 else "loss" if gap < -10 else "cannot tell"
            ends = (round(gap - 8, 1), round(gap + 8, 1))
            pairs.append(RunPair(one, two, bench, "accuracy", gap, ends, 0.01, verdict))
    board = Leaderboard(
        baseline="before",
        rankings=tuple(rankings),
        left_out=(),
        family=len(pairs),
        terms=Terms(),
        alpha=0.05,
        seed=0,
        draws=100,
        notes=("a note",),
        pairs=tuple(pairs),
    )
    return Overview(board, {}, {})


def runs_of(names: Sequence[str], figures: int, *, seed: int = 0) -> dict[str, ReportInput]:
    """Return what each of the runs reported: 40 rows of each benchmark, and curves of 400 steps."""
    chance = random.Random(seed)
    found = {}
    for name in names:
        curves = tuple(
            Curve(key, tuple((float(step), chance.random()) for step in range(400)))
            for key in ("loss", "learning_rate", "margin", "accuracy", "kl")
        )
        rows = {
            f"bench{number}": tuple(
                row(at, "yes", f"{chance.choice(['Yes', 'No'])}, {name} says.", {"right": 1.0}, at)
                for at in range(40)
            )
            for number in range(figures)
        }
        found[name] = ReportInput(None, name, "model", curves=curves, before=rows, after=rows)
    return found
