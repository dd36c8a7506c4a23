"""A run can be followed through few files: what it executes is counted, and must not grow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TRACE = Path(__file__).parent / "support" / "trace.py"
WORDS = ["run", "--method", "seva", "--bench", "pope", "--limit", "12", "--max-prompts", "12"]
FILES, LINES = 143, 13281
"""What such a run executed on 2026-11-26 (``python tests/support/trace.py run ...``).

It was 159 files before small modules were joined with their owners. Before engines became plugins,
stages could run alone, a prompt could have several images and turns, answers of several machines
were put together, and every command ended with what to type next, it was 140 and 11,556. Before the
preflight, the measures of a training's effect, the shares of an interval, power curves, protocols
and the ledger of looks it was 115 and 9,349.
"""


@pytest.mark.slow
def test_a_small_run_executes_no_more_of_the_project_than_it_did(tmp_path):
    done = subprocess.run(
        [sys.executable, str(TRACE), *WORDS, "--quiet", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stderr.splitlines()[-1])
    told = f"{found['files']} files, {found['lines']} lines of functions"
    assert found["files"] <= 1.1 * FILES, told
    assert found["lines"] <= 1.1 * LINES, told
