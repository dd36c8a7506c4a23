"""The code on a pretend GPU: ``tests/support/gpu_lane.py``, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAMILIES = 6


@pytest.mark.slow
def test_engine_training_ablation_merge_and_a_judge() -> None:
    """Six tests of each family: two of answers, two of decoding steps, two of training."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/support/gpu_lane.py", "-n", "0",
         "-p", "no:cacheprovider"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    found = re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert found, done.stdout[-500:]
    assert int(found[1]) == 6 * FAMILIES + 2, "of what a GPU refuses, and of the judge"
