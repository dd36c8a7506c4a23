"""Questions asked of finished comparisons: the leaderboard, and what a run could detect."""

from __future__ import annotations

from harness.analysis.leaderboard import Leaderboard, RankedRun, Ranking, rank, recorded_terms
from harness.analysis.power import (
    CAUTIOUS,
    TYPICAL,
    Cost,
    Detectable,
    Estimate,
    estimate,
    throughputs_of,
)

__all__ = [
    "CAUTIOUS",
    "TYPICAL",
    "Cost",
    "Detectable",
    "Estimate",
    "Leaderboard",
    "RankedRun",
    "Ranking",
    "estimate",
    "rank",
    "recorded_terms",
    "throughputs_of",
]
