"""All methods side by side on the embedded world, three seeds each; writes docs/methods.md.

    python perf/methods.py --out runs/methods            # the whole table
    python perf/methods.py --out runs/look --limit 36 --max-prompts 24 --seeds 2   # a look

Every method starts from the same model, prompts and rows. Nothing is left out: losers stand where
winners do.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from harness.compare import MetricResult
from harness.errors import HarnessError
from harness.run_seeds import run_seeds
from harness.settings import Settings

MORE = (
    ("multineg", (("loss", "plackett_luce"),)),
    ("multineg", (("expand", "true"),)),
    ("multineg", (("one_negative", "true"),)),
    ("sima", (("order", "both"),)),
)
METHODS = tuple(
    (name, ()) for name in ("seva", "sima", "multineg", "sft", "gt_dpo", "swapped", "random_pairs")
)


def main() -> int:
    """Run everything, print each line as it comes, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--table", type=Path, default=Path("docs/methods.md"))
    parser.add_argument("--bench", default="mmvet,pope")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--max-prompts", type=int)
    given = parser.parse_args()
    base = Settings(
        method="",
        benches=tuple(given.bench.split(",")),
        limit=given.limit,
        max_prompts=given.max_prompts,
        out=given.out,
    )
    singles, joint = [], []
    for method, options in (*METHODS, *MORE):
        name = " ".join([method, *("=".join(option) for option in options)])
        began = time.monotonic()
        asked = replace(base, method=method, options=options, seed=given.seed)
        try:
            outcome = run_seeds(asked, given.seeds)
        except HarnessError as error:
            joint.append(f"| {name} | | | | | | | failed: {str(error)[:120]} |")
            print(joint[-1], flush=True)
            continue
        for bench in outcome.comparison.benchmarks:
            (figure, *_) = [figure for figure in bench.figures if figure.primary]
            joint.append(line(name, bench.name, figure))
            for seed, difference in enumerate(figure.seeds, start=given.seed):
                own = shown(difference, sign=True)
                singles.append(f"| {name} | {bench.name} | {seed} | {own} |")
            print(joint[-1], f"{time.monotonic() - began:.0f} s", flush=True)
    given.table.write_text(page(joint, singles, sys.argv[1:]), encoding="utf-8")
    return 0


def line(name: str, bench: str, figure: MetricResult) -> str:
    """Return a row of the table: one method on one benchmark, over all seeds."""
    low, high = figure.interval or (None, None)
    cells = [
        name,
        bench,
        shown(figure.before),
        shown(figure.after),
        shown(figure.difference, sign=True),
        f"{shown(low, sign=True)} to {shown(high, sign=True)}",
        shown(figure.seed_error),
        figure.verdict,
    ]
    return "| " + " | ".join(cells) + " |"


def shown(value: float | None, *, sign: bool = False) -> str:
    """Write a figure, or a dash where there is none."""
    return "–" if value is None else f"{value:{'+' if sign else ''}.1f}"


def page(joint: list[str], singles: list[str], words: list[str]) -> str:
    """Return the Markdown page: over all seeds first, then every seed's own difference."""
    return "\n".join(
        [
            "# All methods, side by side, on the embedded world",
            "",
            "Made by `python perf/methods.py " + " ".join(words) + "`. Tinyworld is a miniature: "
            "these figures say whether the methods work here, and nothing about a real model.",
            "",
            "Each row is one method trained with several seeds. After is the mean over the seeds; "
            "the 95 % interval of the difference is paired, clustered by image, and allows for "
            "other seeds (docs/measuring.md). Verdicts are corrected over the two benchmarks.",
            "",
            "| method | benchmark | before | after | difference | 95 % interval | seed error | "
            "verdict |",
            "|---" * 8 + "|",
            *joint,
            "",
            "What each seed came to by itself:",
            "",
            "| method | benchmark | seed | difference |",
            "|---" * 4 + "|",
            *singles,
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
