"""A run can be followed through few files: what it executes is counted, and must not grow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TRACE = Path(__file__).parent / "support" / "trace.py"
WORDS = ["run", "--method", "seva", "--bench", "pope", "--limit", "12", "--max-prompts", "12"]
FILES, LINES = 115, 9349
"""What such a run executed when this was written (``python tests/support/trace.py run ...``)."""


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
