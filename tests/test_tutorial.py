"""The commands of docs/tutorial.md, as they stand there, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "tutorial.md"


@pytest.mark.slow
def test_the_tutorial_runs_from_its_first_line_to_its_last(tmp_path):
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), flags=re.S)
    assert len(blocks) > 5
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "exit code 4" in done.stdout, "the gate catches the loss"
    assert "Every number and verdict follows from the" in done.stdout
    assert (tmp_path / "seva.zip").is_file()
