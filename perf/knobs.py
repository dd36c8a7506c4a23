"""Processor time until a bad knob is refused, each by a process of its own.

uv run python perf/knobs.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile

from tests.support.bad_knobs import BAD_KNOBS

WORDS = ("run", "--method", "seva", "--bench", "pope", "--limit", "4", "--max-prompts", "24")


def spent() -> float:
    """Return the processor time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print a line for each knob, and the range of the times."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for knob in BAD_KNOBS:
            start = spent()
            done = subprocess.run(
                [sys.executable, "-m", "harness", *WORDS, "--out", folder, "--set", knob],
                capture_output=True,
                text=True,
            )
            times.append(spent() - start)
            said = (done.stderr.strip().splitlines() or [""])[0]
            print(f"{times[-1]:5.2f} s  exit {done.returncode}  {knob:<28} {said:.90}")
    print(f"{len(times)} knobs: {min(times):.2f} to {max(times):.2f} s of processor time")


if __name__ == "__main__":
    main()
