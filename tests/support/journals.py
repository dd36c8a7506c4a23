"""Journals of two runs held against each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def assert_same_rows(one: Path, two: Path) -> None:
    """Demand equal lines; only log-probabilities may differ as the batch rounds them."""
    lines = [[json.loads(line) for line in path.read_text().splitlines()] for path in (one, two)]
    shares = [
        [row["scores"].pop("logit_right") for row in rows if "logit_right" in row.get("scores", {})]
        for rows in lines
    ]
    for rows in lines:
        rows[-1].pop("sha256", None)  # of the lines as they are written, these shares included
    assert lines[0] == lines[1], one.name
    assert shares[0] == pytest.approx(shares[1], abs=1e-5), one.name
