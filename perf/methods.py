"""All methods side by side on the embedded world, three seeds each; writes docs/methods.md.

    python perf/methods.py --out /tmp/methods            # the whole table
    python perf/methods.py --out /tmp/methods --limit 36 --max-prompts 24 --seeds 0   # a look

Every method starts from the same model, prompts and rows; each line is one seed's comparison of
after with before, with its paired interval. Nothing is left out: losers stand where winners do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

from harness.errors import HarnessError
from harness.run import Outcome, run
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
HEAD = (
    "| method | seed | pairs | benchmark | before | after | difference | 95 % interval | verdict |"
)


def main() -> int:
    """Run everything, print each line as it comes, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--table", type=Path, default=Path("docs/methods.md"))
    parser.add_argument("--bench", default="mmvet,pope")
    parser.add_argument("--seeds", default="0,1,2")
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
    lines, differences = [], {}
    for method, options in (*METHODS, *MORE):
        for seed in map(int, given.seeds.split(",")):
            name = " ".join([method, *("=".join(option) for option in options)])
            began = time.monotonic()
            try:
                outcome = run(replace(base, method=method, options=options, seed=seed))
            except HarnessError as error:
                lines.append(f"| {name} | {seed} | | | | | | | failed: {str(error)[:120]} |")
                print(lines[-1], flush=True)
                continue
            for line, bench, difference in rows(name, seed, outcome):
                lines.append(line)
                print(line, f"{time.monotonic() - began:.0f} s", flush=True)
                differences.setdefault((name, bench), []).append(difference)
    given.table.write_text(page(lines, differences, sys.argv[1:]), encoding="utf-8")
    return 0


def rows(name: str, seed: int, outcome: Outcome):
    """Yield a line of the table for the headline figure of each benchmark."""
    for bench in outcome.comparison.benchmarks:
        (figure,) = [figure for figure in bench.figures if figure.primary][:1]
        numbers = [shown(figure.before), shown(figure.after), shown(figure.difference, sign=True)]
        low, high = figure.interval or (None, None)
        yield (
            f"| {name} | {seed} | {len(outcome.pairs.pairs)} | {bench.name} | "
            + " | ".join(numbers)
            + f" | {shown(low, sign=True)} to {shown(high, sign=True)} | {figure.verdict} |",
            bench.name,
            figure.difference,
        )


def shown(value: float | None, *, sign: bool = False) -> str:
    """Write a figure, or a dash where there is none."""
    return "–" if value is None else f"{value:{'+' if sign else ''}.1f}"


def page(lines: list[str], differences: dict, words: list[str]) -> str:
    """Return the Markdown page: seeds summed up first, then every single comparison."""
    summary = []
    for (name, bench), found in differences.items():
        known = [value for value in found if value is not None]
        if known:
            spread = f"{min(known):+.1f} to {max(known):+.1f}"
            summary.append(
                f"| {name} | {bench} | {statistics.fmean(known):+.1f} | {spread} | {len(known)} |"
            )
    return "\n".join(
        [
            "# All methods, side by side, on the embedded world",
            "",
            "Made by `python perf/methods.py " + " ".join(words) + "`. Tinyworld is a miniature: "
            "these figures say whether the methods work here, and nothing about a real model.",
            "",
            "| method | benchmark | mean difference | over seeds | seeds |",
            "|---|---|---|---|---|",
            *summary,
            "",
            "Each seed, with its paired interval, clustered by image:",
            "",
            HEAD,
            "|---" * 9 + "|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
