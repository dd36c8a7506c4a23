"""``report.md``: the comparison for a pull request or a README.

Questions, answers and ids were written by strangers and by models. They appear only inside code,
where Markdown knows no HTML, link, mention or image, and behind a fence longer than any run of
backticks they hold.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.compare import FAILS, PASSES, BenchmarkComparison, Comparison
from harness.errors import as_markdown
from harness.pairs import facts
from harness.report import ARMS, ReportInput
from harness.storage import write_whole
from harness_reports import drawing, numbers, rounds, table, uncertain, words

NAME = "report.md"

_LONGEST = 1200  # characters of one answer; the whole text lies in the run folder


def write(report: ReportInput, folder: Path) -> Path:
    """Write ``report.md`` into the run folder, whole or not at all.

    Raises:
        HarnessError: if the file cannot be written.
    """
    return write_whole(folder / NAME, render(report))


def render(report: ReportInput) -> str:
    """Return the report as GitHub-flavoured Markdown."""
    comparison = report.comparison
    if comparison is None:
        return _alone(report)
    blocks = [_title(report), f"**{plain(words.headline(comparison, report.arms))}**"]
    blocks += _notices(report)
    blocks += _gate(report)
    blocks += [*_results(report), *_forest(comparison), _reading(report)]
    blocks += _notes(report)
    blocks += _uncertainty(report)
    if report.arms == ARMS:  # what one of two runs was trained on says nothing of the other
        blocks += ["## Pairs", _pairs(report), *_doctor(report)]
    blocks += [*_rounds(report), *_training(report), "## Answer length", _lengths(report)]
    blocks += _flips(comparison.benchmarks)
    blocks += _categories(report)
    blocks += _examples(report)
    blocks += ["## How it was made", _origin(report)]
    return "\n\n".join(blocks) + "\n"


def code(text: str, limit: int = 120) -> str:
    """Return foreign text as one inline code span that also fits a table cell.

    A bar would end the cell even inside code, so it is shown as a broken bar.
    """
    line = words.one_line(text, limit).replace("|", "¦")
    if not line:
        return "(empty)"
    ticks = "`" * (1 + max((len(run) for run in re.findall(r"`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def fenced(text: str | None, limit: int = _LONGEST) -> str:
    """Return foreign text as a code block, whatever fences it holds itself."""
    if text is None:
        return "*(no answer)*"
    shown = words.visible(text)
    if len(shown) > limit:
        shown = f"{shown[:limit]}\n… and {len(shown) - limit} more characters"
    runs = (len(run) for run in re.findall(r"`+", shown))
    fence = "`" * max(3, 1 + max(runs, default=0))
    return f"{fence}text\n{shown}\n{fence}"


def plain(text: str) -> str:
    """Return text whose every Markdown and HTML sign is shown as itself; no mention, no link."""
    return as_markdown(words.one_line(text, limit=2000))


def _notices(report: ReportInput) -> list[str]:
    return [f"> {plain(note)}" for note in report.sentences]


def _alone(report: ReportInput) -> str:
    """Return the figures of one model that was measured by itself."""
    head = ("benchmark", "figure", "95 % interval", "unit", "rows (images)", "missing")
    rows = []
    for level, name, _ in table.levels(report):
        title = f"{code(level.benchmark)} {code(name)}"
        rows.append(
            [
                f"**{title}**" if level.primary else title,
                numbers.figure(level.figure, level.digits),
                numbers.level_interval(level.interval, level.digits),
                plain(level.unit),
                f"{level.samples} ({level.clusters})",
                str(level.missing),
            ]
        )
    told = (
        "Headline figures are in bold. Intervals treat questions about one image as one "
        "observation. A missing row has no score: it is left out and never counted as zero."
    )
    blocks = [f"# Figures of {code(report.model)}", *_notices(report)]
    blocks += [_table(head, rows, numeric=range(1, 6)), told]
    published = [f"- {code(name)}: {plain(text)}" for name, text in words.published(report)]
    if published:
        blocks += ["## Published results", "\n".join(published)]
    return "\n\n".join([*blocks, "## How it was made", _origin(report)]) + "\n"


def _title(report: ReportInput) -> str:
    if report.arms == ARMS:
        return f"# Did {code(report.method)} make {code(report.model)} better?"
    first, second = map(code, report.arms)
    return f"# {first} vs {second} on {code(report.model)}"


def _results(report: ReportInput) -> list[str]:
    """Return the figures that the verdict rests on, and every figure behind a click."""
    comparison = report.compared
    every = table.rows(comparison)
    deciding = [row for row in every if row.decides]
    blocks = [_figures(report, deciding), *map(plain, table.footnotes(deciding, comparison))]
    if len(every) > len(deciding):
        notes = map(plain, table.footnotes(every, comparison))
        blocks.append(_folded(f"All {len(every)} figures", [_figures(report, every), *notes]))
    return blocks


def _figures(report: ReportInput, shown: Sequence[table.Row]) -> str:
    coverage = f"{100 * (1 - report.compared.alpha):g}"
    first, second = _arms(report)
    head = (
        "figure",
        "verdict",
        first,
        second,
        f"difference [{coverage} % paired]",
        "p (corrected)",
        "fixed / broken",
        f"missing {first} / {second}",
        "samples (images)",
    )
    return _table(head, map(_row, shown), numeric=range(2, 9))


def _arms(report: ReportInput) -> tuple[str, str]:
    """Return what the two sides are called; runs are named by strangers."""
    if report.arms == ARMS:
        return ARMS
    first, second = (code(name, 40) for name in report.arms)
    return first, second


def _row(row: table.Row) -> list[str]:
    figure = row.figure
    name = f"{code(row.benchmark.name)} {', '.join(map(code, row.names))}"
    verdict = row.verdict.replace("*", "\\*")
    return [
        f"**{name}**" if row.decides else name,
        f"**{verdict}**" if row.decides else verdict,
        numbers.figure(figure.before, figure.digits),
        numbers.figure(figure.after, figure.digits),
        numbers.difference(figure.difference, figure.interval, figure.digits),
        _p(figure.p_holm),
        row.flips,
        row.missing,
        f"{figure.samples} ({figure.clusters})",
    ]


def _forest(comparison: Comparison) -> list[str]:
    drawn = drawing.forest(comparison)
    return [fenced(drawn, len(drawn))] if drawn else []


def _p(value: float | None) -> str:
    return numbers.p_value(value).replace("<", "&lt;")


def _reading(report: ReportInput) -> str:
    comparison, (first, second) = report.compared, _arms(report)
    figures = "figure" if comparison.family == 1 else "figures"
    return (
        f"Differences are {second} minus {first} on the same samples; intervals and p values treat "
        "questions about one image as one observation. Verdicts are corrected (Holm) over the "
        f"{comparison.family} headline {figures} of this run, in bold; the others are corrected "
        f"over all. The margin of *no worse* is {words.margin(comparison)}. A missing "
        "sample has no score: it is left out of the difference and never counted as zero."
    )


def _notes(report: ReportInput) -> list[str]:
    comparison, arms = report.compared, report.arms
    benchmarks = comparison.benchmarks
    notes = [
        f"- {code(b.name)}: {plain(note)}" for b in benchmarks for note in words.notes(b, arms)
    ]
    scored = [f"- {code(b.name)} was scored by {code(words.judges(b, arms))}." for b in benchmarks]
    told = [*words.trainings(comparison), *words.sensitivity(comparison)]
    return ["\n".join([*notes, *(f"- {plain(text)}" for text in told), *scored])]


def _uncertainty(report: ReportInput) -> list[str]:
    """Return the components of the variance, and what the verdicts owe to choices."""
    rows = [[plain(cell) for cell in row] for row in uncertain.table(report)]
    if not rows:
        return []
    told = [*uncertain.sentences(report.compared), uncertain.ASSUMPTION]
    parts = [_table(uncertain.HEAD, rows, numeric=range(1, len(uncertain.HEAD)))]
    parts += ["Shares of the variance. " + uncertain.DASHES]
    parts += ["\n".join(f"- {plain(text)}" for text in told)]
    return [_folded("Components of the variance", parts)]


def _pairs(report: ReportInput) -> str:
    dropped = sum(report.dropped.values())
    text = f"{report.pairs} pairs were trained on; {dropped} prompts gave none"
    if dropped:
        named = sorted(report.dropped.items(), key=lambda item: (-item[1], item[0]))
        text += " (" + ", ".join(f"{code(reason)}: {count}" for reason, count in named) + ")"
    return text + "."


def _gate(report: ReportInput) -> list[str]:
    if not report.gate:
        return []
    failed = any(ruling.outcome == FAILS for ruling in report.gate)
    rows = [
        [
            f"**{ruling.outcome}**" if ruling.outcome != PASSES else ruling.outcome,
            code(ruling.rule),
            f"{code(ruling.benchmark)} {code(ruling.column)}",
            plain(ruling.told),
        ]
        for ruling in report.gate
    ]
    head = ("gate", "rule", "figure", "measured")
    said = "**FAIL: at least one rule failed.**" if failed else "The gate found no regression."
    return [said, _table(head, rows, numeric=range(0))]


def _doctor(report: ReportInput) -> list[str]:
    """Return the pair diagnostics' warnings, and its figures behind a click."""
    if report.doctor is None:
        return []
    warnings = [f"> **Warning.** {plain(warning)}" for warning in report.doctor.warnings]
    rows = [[plain(name), plain(value)] for name, value in facts(report.doctor)]
    table = _table(("pairs", ""), rows, numeric=range(0))
    return [*warnings, _folded("Pair diagnostics", [table])]


def _rounds(report: ReportInput) -> list[str]:
    head = rounds.head(report)
    if not head:
        return []
    rows = [[plain(cell) if cell else "" for cell in row] for row in rounds.rows(report)]
    told = "Figures after each round, with the difference from before the first and its interval."
    return ["## Rounds", _table(head, rows, numeric=range(1, len(head))), told]


def _training(report: ReportInput) -> list[str]:
    if report.training is None:
        return []
    rows = [[plain(name), plain(value)] for name, value in report.training.facts]
    blocks = ["## Training", _table(("training", ""), rows, numeric=range(0))]
    # What one of two runs was trained on says nothing of the other.
    if report.arms == ARMS and (drawn := drawing.curves(report.curves)):
        blocks.append(_table(("curve", "by step", "first to last"), drawn, numeric=range(0)))
    return blocks


def _lengths(report: ReportInput) -> str:
    first, second = _arms(report)
    head = (
        "benchmark",
        f"tokens {first}",
        f"tokens {second}",
        "similar in length",
        "difference over those",
    )
    rows = []
    for benchmark in report.compared.benchmarks:
        own = benchmark.length
        rows.append(
            [
                code(benchmark.name),
                numbers.length(own.before),
                numbers.length(own.after),
                f"{own.matched} of {own.samples}",
                table.alike(benchmark),
            ]
        )
    return _table(head, rows, numeric=range(1, 5))


def _flips(benchmarks: Sequence[BenchmarkComparison]) -> list[str]:
    counted = [(b, Counter((flip.direction, flip.label) for flip in b.flips)) for b in benchmarks]
    rows = [
        [code(b.name), direction, label, str(count)]
        for b, kinds in counted
        for (direction, label), count in sorted(kinds.items())
    ]
    if not rows:
        return []
    table = _table(("benchmark", "direction", "why", "samples"), rows, numeric=range(3, 4))
    return ["## Flips", table]


def _categories(report: ReportInput) -> list[str]:
    blocks = []
    for benchmark in report.compared.benchmarks:
        if benchmark.groups:
            digits = table.digits(benchmark)
            rows = [
                [
                    f"{code(group.key)} {code(group.value)}",
                    numbers.figure(group.before, digits),
                    numbers.figure(group.after, digits),
                    numbers.difference(group.difference, group.interval, digits),
                    f"{group.samples} ({group.clusters})",
                ]
                for group in benchmark.groups
            ]
            arms = _arms(report)
            head = ("category", *arms, "difference, uncorrected", "samples (images)")
            title = f"Categories of {html.escape(words.one_line(benchmark.name))}"
            blocks.append(_folded(title, [_table(head, rows, numeric=range(1, 5))]))
    return blocks


def _examples(report: ReportInput) -> list[str]:
    if not report.examples:
        return []
    blocks = ["## Examples of flips"]
    first, second = (name.capitalize() if report.arms == ARMS else name for name in _arms(report))
    for example in report.examples:
        names = [html.escape(words.one_line(name, 60)) for name in (example.benchmark, example.id)]
        title = f"{example.direction} ({example.label}): <code>{names[0]} {names[1]}</code>"
        parts = []
        for label, text in (
            ("Question", example.question),
            ("Expected", example.target),
            (first, example.before),
            (second, example.after),
        ):
            parts += [f"{label}:", fenced(text)]
        blocks.append(_folded(title, parts))
    return blocks


def _origin(report: ReportInput) -> str:
    lines = [f"- method {code(report.method)}, seed {report.seed}"]
    lines += [f"- model {code(report.model)}, benchmark data {code(report.data or 'not named')}"]
    lines += [f"- option {code(key)} = {code(value)}" for key, value in report.options.items()]
    if report.comparison is not None:
        lines += [f"- checkpoint: {code(report.checkpoint)}"]
    lines += [f"- {code(name)} {code(value)}" for name, value in sorted(report.versions.items())]
    lines += [f"- {code(name)}: {code(value)}" for name, value in sorted(report.clock.items())]
    return _folded("Settings and versions", ["\n".join(lines)])


def _folded(title: str, blocks: Sequence[str]) -> str:
    """Return a block that opens on a click; ``title`` is HTML already."""
    inside = "\n\n".join(blocks)
    return f"<details>\n<summary>{title}</summary>\n\n{inside}\n\n</details>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: range) -> str:
    rule = ["---:" if index in numeric else "---" for index in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
