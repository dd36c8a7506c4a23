"""Questions asked of finished comparisons: the leaderboard, and what a run could detect."""

from __future__ import annotations

from harness.analysis.leaderboard import rank, recorded_terms
from harness.analysis.leaderboard_tables import leaderboard_markdown, leaderboard_text
from harness.analysis.power import estimate, throughputs_of
from harness.analysis.power_tables import power_text

__all__ = [
    "estimate",
    "leaderboard_markdown",
    "leaderboard_text",
    "power_text",
    "rank",
    "recorded_terms",
    "throughputs_of",
]
