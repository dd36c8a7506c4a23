"""What a leaderboard comes to, run by run: figures better and worse than the baseline's."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.leaderboard import Leaderboard, RankedRun
from harness.compare import GAIN, LOSS

_NAMED = 8  # runs in one sentence


@dataclass(frozen=True)
class Standing:
    """One run over all headline figures.

    Attributes:
        run: its name.
        gains: figures that are better than the baseline's.
        losses: those that are worse.
        undecided: the others.
        missing: rows without an answer or score.
        cells: where it stands in each ranking.
    """

    run: str
    gains: int
    losses: int
    undecided: int
    missing: int
    cells: tuple[RankedRun, ...]


def standings(board: Leaderboard) -> list[Standing]:
    """Return the runs, the baseline first, then by gains less losses."""
    by_run: dict[str, list[RankedRun]] = {}
    for ranking in board.rankings:
        for each in ranking.runs:
            by_run.setdefault(each.run, []).append(each)
    found = []
    for name, cells in by_run.items():
        said = [each.verdict for each in cells]
        gains, losses = said.count(GAIN), said.count(LOSS)
        missing = sum(each.missing for each in cells)
        undecided = len(cells) - gains - losses
        found.append(Standing(name, gains, losses, undecided, missing, tuple(cells)))
    first = board.baseline
    return sorted(found, key=lambda each: (each.run != first, each.losses - each.gains, each.run))


def conclusion(board: Leaderboard) -> str:
    """Say which runs are better than the baseline, which worse, and which neither."""
    rivals = [each for each in standings(board) if each.run != board.baseline]
    count = len(board.rankings)
    kinds = (
        ("Better on some figures and worse on none", (True, False), "gains"),
        ("Better on some and worse on others", (True, True), "gains"),
        ("Worse on some and better on none", (False, True), "losses"),
        ("Neither better nor worse on any figure", (False, False), ""),
    )
    told = []
    for title, decided, counted in kinds:
        chosen = [each for each in rivals if (each.gains > 0, each.losses > 0) == decided]
        shown = [
            each.run + (f" ({getattr(each, counted)} of {count})" if counted else "")
            for each in chosen[:_NAMED]
        ]
        if len(chosen) > _NAMED:
            shown.append(f"{len(chosen) - _NAMED} more")
        told += [f"{title}: {', '.join(shown)}."] if shown else []
    return " ".join(told)
