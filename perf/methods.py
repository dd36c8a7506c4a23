"""All methods side by side on the embedded world, three seeds each; writes docs/methods.md.

    python perf/methods.py --out runs/methods            # the whole table
    python perf/methods.py --out runs/look --limit 36 --max-prompts 24 --seeds 2   # a look
    python -m harness_tinyworld.build --data other --scenes 1
    python perf/methods.py --out runs/search --data other --only gt_dpo --seeds 1 \
        --set of_set=learning_rate=5e-5 --table /tmp/search.md      # knobs, on other scenes

Every method starts from the same model, prompts and rows. Nothing is left out: losers stand where
winners do. The first three are controls whose outcome is known beforehand: if `gt_dpo` does not
gain, `swapped` does not lose, or `random_pairs` does either, the instrument is broken. The command
then ends with 1.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from harness.compare import BenchmarkComparison, MetricResult
from harness.errors import HarnessError
from harness.run import run_seeds
from harness.settings import Settings

Options = tuple[tuple[str, str], ...]
CASES: tuple[tuple[str, Options], ...] = (
    ("gt_dpo", (("of_set", "learning_rate=5e-5"),)),  # searched on other scenes: docs/log.md
    ("swapped", ()),
    ("random_pairs", ()),
    ("sft", ()),
    ("seva", ()),
    ("sima", ()),
    ("multineg", ()),
    ("mdpo", ()),
    ("povid", ()),
    ("rlhfv", ()),
    ("simpo", ()),
    ("stic", ()),
    ("csr", ()),
)
MORE: tuple[tuple[str, Options], ...] = (
    ("multineg", (("loss", "plackett_luce"),)),
    ("multineg", (("expand", "true"),)),
    ("multineg", (("one_negative", "true"),)),
    ("sima", (("order", "both"),)),
)
CONTROLS = ("gt_dpo", "swapped", "random_pairs")
BESIDE = {"chair": ("CHAIR_i", "recall"), "pope": ("says yes",), "amber": ("Cover", "Hal")}
"""Columns that are shown beside the headline of a benchmark."""
BEGIN, END = "<!-- from perf/methods.py -->", "<!-- until here -->"
"""Marks of the part of a page that is measured; what stands around them is written by hand."""


@dataclass(frozen=True)
class Line:
    """One column of one benchmark under one method, over all seeds."""

    case: str
    bench: str
    figure: MetricResult


def main() -> int:
    """Run everything, print each line as it comes, write table and plot, check the controls."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--table", type=Path, default=Path("docs/methods.md"))
    parser.add_argument("--plot", type=Path, help="forest plot, an SVG")
    parser.add_argument("--bench", default="chair,pope,mmvet,llavabench")
    parser.add_argument("--model", default="tinyworld")
    parser.add_argument(
        "--data", default="tinyworld", help="folder made by harness_tinyworld.build"
    )
    parser.add_argument("--preset", help="with a --model; the embedded world has its own")
    parser.add_argument("--only", help="methods, by comma")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE for all of them")
    parser.add_argument("--more", action="store_true", help="variants of sima and multineg too")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--max-prompts", type=int)
    given = parser.parse_args()
    base = Settings(
        method="",
        benches=tuple(given.bench.split(",")),
        model=given.model,
        data=given.data,
        preset=given.preset,
        limit=given.limit,
        max_prompts=given.max_prompts,
        out=given.out,
    )
    wanted = given.only.split(",") if given.only else [name for name, _ in CASES]
    cases = [case for case in (*CASES, *(MORE if given.more else ())) if case[0] in wanted]
    more = tuple((key, value) for key, _, value in (text.partition("=") for text in given.set))
    lines, failed = [], []
    for method, options in cases:
        own = tuple(sorted((dict(options) | dict(more)).items()))
        name = " ".join([method, *("=".join(option) for option in own)])
        began = time.monotonic()
        try:
            outcome = run_seeds(
                replace(base, method=method, options=own, seed=given.seed), given.seeds
            )
        except HarnessError as error:
            failed.append(f"{name} failed: {error}")
            print(failed[-1], flush=True)
            continue
        for bench in outcome.comparison.benchmarks:
            for figure in shown(bench):
                lines.append(Line(name, bench.name, figure))
                print(row(lines[-1]), f"{time.monotonic() - began:.0f} s", flush=True)
    faults = [*failed, *controls(lines)]
    old = given.table.read_text(encoding="utf-8") if given.table.is_file() else ""
    made = placed(old, page(lines, faults, sys.argv[1:]))
    given.table.write_text(made, encoding="utf-8")
    if given.plot:
        given.plot.write_text(forest(lines), encoding="utf-8")
    print(sentence(lines, faults), flush=True)
    return int(bool(faults))


def shown(bench: BenchmarkComparison) -> list[MetricResult]:
    """Return the headline of a benchmark, and the columns that belong beside it."""
    beside = BESIDE.get(bench.name, ())
    return [figure for figure in bench.figures if figure.primary or figure.column in beside]


def controls(lines: Sequence[Line]) -> list[str]:
    """Say which controls did not come out as they must; a control that was not run says nothing."""

    def verdicts(method: str) -> list[tuple[str, str]]:
        own = [line for line in lines if line.case.split(" ")[0] == method]
        return [(line.bench, line.figure.verdict) for line in own if line.figure.primary]

    faults = []
    gained = {bench for bench, verdict in verdicts("gt_dpo") if verdict == "gain"}
    asked = {bench for bench, _ in verdicts("gt_dpo")}
    for one_of in ({"chair", "pope"}, {"mmvet", "llavabench"}):
        if one_of & asked and not one_of & gained:
            faults.append(f"gt_dpo gains on none of {', '.join(sorted(one_of & asked))}.")
    if verdicts("swapped") and "loss" not in [verdict for _, verdict in verdicts("swapped")]:
        faults.append("swapped loses nowhere.")
    for bench, verdict in dict.fromkeys(verdicts("random_pairs")):
        if verdict in ("gain", "loss"):
            faults.append(f"random_pairs: {verdict} on {bench}.")
    return faults


def sentence(lines: Sequence[Line], faults: Sequence[str]) -> str:
    """Say in a sentence how the controls came out."""
    if faults:
        return " ".join(faults)
    missing = [name for name in CONTROLS if name not in {line.case.split(" ")[0] for line in lines}]
    if missing:
        return f"Controls that were not run: {', '.join(missing)}."
    return (
        "The controls came out as they must: `gt_dpo` gains, `swapped` loses, `random_pairs` does "
        "neither."
    )


def row(line: Line) -> str:
    """Return a row of the table."""
    figure = line.figure
    low, high = figure.interval or (None, None)
    cells = [
        line.case,
        line.bench,
        figure.column,
        number(figure.before),
        number(figure.after),
        number(figure.difference, sign=True),
        f"{number(low, sign=True)} to {number(high, sign=True)}",
        ", ".join(number(seed, sign=True) for seed in figure.seeds) or "–",
        number(figure.detectable),
        figure.verdict,
    ]
    return "| " + " | ".join(cells) + " |"


def number(value: float | None, *, sign: bool = False) -> str:
    """Write a figure, or a dash where there is none."""
    return "–" if value is None else f"{value:{'+' if sign else ''}.1f}"


def placed(old: str, new: str) -> str:
    """Put what was measured between the marks of a page, or at its end if it has none."""
    head, _, rest = old.partition(BEGIN)
    tail = rest.partition(END)[2]
    return "".join([head, BEGIN, "\n\n", new, "\n", END, tail or "\n"])


def page(lines: Sequence[Line], faults: Sequence[str], words: Sequence[str]) -> str:
    """Return the measured part of the page."""
    return "\n".join(
        [
            f"Made by `python perf/methods.py {shlex.join(words)}`.",
            "",
            sentence(lines, faults),
            "",
            "| method | benchmark | column | before | after | difference | 95 % interval | seeds | "
            "MDD | verdict |",
            "|---" * 10 + "|",
            *map(row, lines),
            "",
        ]
    )


def forest(lines: Sequence[Line]) -> str:
    """Draw the headlines' differences with their intervals and seeds; better lies to the right."""
    kept = [line for line in lines if line.figure.primary and line.figure.interval is not None]
    reach = max([1.0, *(abs(end) for line in kept for end in line.figure.interval or ())])
    wide, left, high = 860, 270, 22

    def at(points: float) -> float:
        return left + (wide - left - 20) * (points + reach) / (2 * reach)

    tall = high * (len(kept) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<line x1="{at(0):.1f}" x2="{at(0):.1f}" y1="0" y2="{tall - high}" stroke="#888"/>',
    ]
    colours = {"gain": "#1a7f37", "loss": "#c0392b"}
    for place, line in enumerate(kept):
        figure, y = line.figure, high * (place + 0.7)
        turn = -1.0 if figure.higher_is_better is False else 1.0
        ends = sorted(turn * end for end in figure.interval or ())
        colour = colours.get(figure.verdict, "#555")
        label = f"{line.case} · {line.bench} {figure.column}"
        dots = [turn * seed for seed in figure.seeds if seed is not None]
        parts += [
            f'<text x="6" y="{y + 4:.1f}">{escape(label)}</text>',
            f'<line x1="{at(ends[0]):.1f}" x2="{at(ends[1]):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{colour}" stroke-width="2"/>',
            f'<rect x="{at(turn * (figure.difference or 0.0)) - 4:.1f}" y="{y - 4:.1f}" width="8" '
            f'height="8" fill="{colour}"/>',
            *(f'<circle cx="{at(x):.1f}" cy="{y:.1f}" r="2" fill="black"/>' for x in dots),
        ]
    for points in (-reach, 0.0, reach):
        anchor = "end" if points > 0 else "start" if points < 0 else "middle"
        parts.append(
            f'<text x="{at(points):.1f}" y="{tall - 6}" text-anchor="{anchor}">{points:+.0f}</text>'
        )
    words = "points better than before: 95 % interval, mean (square), seeds (dots)"
    parts.append(f'<text x="6" y="{tall - 6}" font-size="10">{words}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    sys.exit(main())
