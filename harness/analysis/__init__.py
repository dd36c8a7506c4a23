"""Questions asked of finished comparisons: the leaderboard, and what a run could detect."""

from __future__ import annotations

from harness.analysis.leaderboard import (
    Standing,
    conclusion,
    names_of,
    rank,
    recorded_terms,
    standings,
    starts_alike,
)
from harness.analysis.pairwise import (
    BEFORE,
    Leaderboard,
    Overview,
    RankedRun,
    Ranking,
    RunPair,
)
from harness.analysis.power import (
    CAUTIOUS,
    TYPICAL,
    Cost,
    Detectable,
    Estimate,
    estimate,
    throughputs_of,
)
from harness.analysis.reproduction import Ledger, ledger_of, measured

__all__ = [
    "BEFORE",
    "CAUTIOUS",
    "TYPICAL",
    "Cost",
    "Detectable",
    "Estimate",
    "Leaderboard",
    "Ledger",
    "Overview",
    "RankedRun",
    "Ranking",
    "RunPair",
    "Standing",
    "conclusion",
    "estimate",
    "ledger_of",
    "measured",
    "names_of",
    "rank",
    "recorded_terms",
    "standings",
    "starts_alike",
    "throughputs_of",
]
