"""One sweep on local, SLURM and Ray, each with a killed job and a killed driver: the same figures?

    python perf/sweeps.py EXECUTOR... FOLDER

runs 2 methods x 2 seeds x 3 benchmarks on the built-in demo with each executor and compares the
results with those of plain runs. ``slurm`` and ``ray`` are started on this machine for it, from
what is installed: Debian's slurm-wlm, and uv run --with ray. SLURM has two nodes, of which one is
killed with its jobs after the driver.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.kills import assert_close  # noqa: E402
from tests.support.ray_cluster import ray_cluster  # noqa: E402
from tests.support.slurm import lose_node, slurm  # noqa: E402
from tests.support.sweeps import OPTIONS, killed_twice, plain  # noqa: E402

WHOLE = {
    "methods": ["seva", "sima"],
    "seeds": 2,
    "benches": ["pope", "mmvet", "chair"],
    "options": OPTIONS,
}


def main(*words: str) -> None:
    """Print what happened to the sweep on each executor, and fail where its result differs."""
    *executors, folder = words
    place = Path(folder).resolve()
    expected = plain(WHOLE, place / "plain")
    for name in executors:
        starts = {"slurm": lambda: slurm(place / "nodes", ("one", "two")), "ray": ray_cluster}
        with starts.get(name, nullcontext)():
            text = {"ray": "ray", "slurm": "slurm:poll=1"}.get(name, "local:at_once=2")
            began = time.monotonic()
            apart = {"outlives": True, "lose": lambda: lose_node("one")} if name == "slurm" else {}
            story = killed_twice(WHOLE, text, place / name, **apart)
            seconds = time.monotonic() - began
        assert_close(expected, dict(story.comparisons))
        codes = dict(Counter(str(code) for _, code in story.ended))
        print(
            f"{name}: {story.jobs} jobs in {seconds:.0f} s, exit codes {codes}; {len(story.kept)} "
            f"done before the driver was killed, none of them again; comparisons of "
            f"{', '.join(story.comparisons)} equal those of plain runs",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
