"""Do pairs of the demo teach what is on the image? Counts objects named that are not there.

    python perf/absent.py RUN RUN ...       # finished runs on the shipped prompts

`harness pairs RUN` tells how often the chosen answer is closer to the reference, how long answers
are and what the critic prefers; it knows no scenes. Here the scene of every prompt is drawn again,
and what an answer names is held against it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness_tinyworld.measure import kinds_named
from harness_tinyworld.training_prompts import make_prompts

from harness.pairs.diagnostics import read_pairs


def main() -> None:
    """Print one row of a table for each run."""
    there = {prompt.id: scene.kinds for prompt, scene in make_prompts()}
    print("| run | pairs | absent kinds named: chosen | rejected | chosen fewer | chosen more |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for folder in map(Path, sys.argv[1:]):
        found = []
        for pair in read_pairs(folder)[0]:
            kinds = there[pair.prompt.id]
            texts = (pair.chosen, pair.rejected[0])
            found.append([len(kinds_named(text) - kinds) for text in texts])
        chosen, rejected = (sum(column) / len(found) for column in zip(*found, strict=True))
        fewer, more = (sum(sign * (a - b) > 0 for a, b in found) for sign in (-1, 1))
        print(
            f"| {folder.name} | {len(found)} | {chosen:.2f} | {rejected:.2f} | {fewer} | {more} |"
        )


if __name__ == "__main__":
    main()
