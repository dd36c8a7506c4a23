"""The code on a pretend GPU: ``tests/support/gpu_lane.py``, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAMILIES = ("llava", "llava_next", "qwen", "idefics", "smol", "intern")


def passed(*chosen: str) -> int:
    """Run tests of the lane; return how many passed, or fail with what they said."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/support/gpu_lane.py", "-n", "0",
         "-p", "no:cacheprovider", "-k", " or ".join(chosen)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    found = re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert found, done.stdout[-500:]
    return int(found[1])


@pytest.mark.slow
def test_the_pretend_gpu_and_a_judge_on_it() -> None:
    assert passed("refuses", "judge") == 2


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_engine_training_ablation_and_merge(family: str) -> None:
    """Six tests each: two of answers, two of decoding steps, two of training."""
    assert passed(f"[{family}]", f"[{family}-", f"-{family}]") == 6
