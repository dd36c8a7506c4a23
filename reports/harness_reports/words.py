"""A comparison in plain words, and foreign text made harmless to look at."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from harness.compare import BenchmarkComparison, Comparison, MetricResult
from harness.report import ReportInput
from harness.states import sentences
from harness_reports import numbers

_JOINERS = "\u200c\u200d"  # several scripts cannot be spelled without them


def headline(comparison: Comparison) -> str:
    """Answer "did it get better?" in a sentence or two."""
    gains, losses = _named(comparison, "gain"), _named(comparison, "loss")
    if comparison.verdict == "mixed":
        return f"Mixed: better on {gains}, worse on {losses}."
    if comparison.verdict == "gain":
        alone = all(figure.verdict == "gain" for _, figure in heads(comparison))
        return f"Yes: better on {gains}." + ("" if alone else " No loss could be told elsewhere.")
    if comparison.verdict == "loss":
        return f"No: worse on {losses}, better on none."
    if comparison.verdict == "no change":
        return "No change: every sample scored exactly the same before and after."
    if comparison.verdict == "no worse":
        return (
            f"Not better, and not worse by more than the margin ({comparison.margin:g} % of the "
            "scale) on any benchmark."
        )
    return f"Cannot tell: {_limits(comparison)}"


def verdict(figure: MetricResult) -> str:
    """Return one figure's verdict with what it was measured against."""
    if figure.verdict == "no worse":
        return f"no worse (by {numbers.figure(figure.margin, figure.digits)})"
    return figure.verdict


def heads(comparison: Comparison) -> list[tuple[BenchmarkComparison, MetricResult]]:
    """Return the headline figures with their benchmarks."""
    return [(b, figure) for b in comparison.benchmarks for figure in b.figures if figure.primary]


def trainings(comparison: Comparison) -> list[str]:
    """Return each headline figure's differences by training seed, where there are several."""
    told = []
    for benchmark, figure in heads(comparison):
        if not figure.seeds:
            continue
        each = ", ".join(numbers.signed(value, figure.digits) for value in figure.seeds)
        text = f"{benchmark.name} {figure.column} by training seed: {each} {figure.unit}"
        if figure.seed_error is not None:
            error = numbers.figure(figure.seed_error, figure.digits + 1)
            text += f"; the choice of seed adds {error} to the standard error"
        told.append(f"{text}.")
    return told


def sensitivity(comparison: Comparison) -> list[str]:
    """Return the smallest differences that these samples could have told."""
    return [
        f"{benchmark.name} {figure.column}: a true difference of "
        f"{numbers.figure(figure.detectable, figure.digits)} {figure.unit} had an 80 % chance to "
        f"be told by itself, {numbers.figure(figure.detectable_corrected, figure.digits)} after "
        "correction."
        for benchmark, figure in heads(comparison)
        if figure.detectable is not None
    ]


def missing(benchmark: BenchmarkComparison) -> str:
    """Return missing samples, before and after."""
    return f"{len(benchmark.missing_before)} / {len(benchmark.missing_after)}"


def notes(benchmark: BenchmarkComparison) -> tuple[str, ...]:
    """Return what a reader has to know of a benchmark, and what became of its rows."""
    arms = {"before": benchmark.states_before, "after": benchmark.states_after}
    return (*benchmark.notes, *sentences(arms))


def flips(benchmark: BenchmarkComparison) -> str:
    """Return how many were fixed and how many broken."""
    return f"{len(benchmark.fixed)} / {len(benchmark.broken)}"


def judges(benchmark: BenchmarkComparison) -> str:
    """Name who gave the scores."""
    before, after = ", ".join(benchmark.judges_before), ", ".join(benchmark.judges_after)
    return before if before == after else f"{before} (before), {after} (after)"


def published(report: ReportInput) -> list[tuple[str, str]]:
    """Return what others have printed of the benchmarks, each with its benchmark and model."""
    return [
        (f"{benchmark} {model}", text)
        for benchmark, models in report.published.items()
        for model, text in models.items()
    ]


def visible(text: str) -> str:
    r"""Spell out characters that hide, reorder or control other text, as ``\u202e``.

    Line feeds and tabs stay; every other line end becomes a line feed.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Nearly every text is plain, and a report may hold a hundred thousand of them.
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(_shown(character) for character in text)


def one_line(text: str, limit: int = 120) -> str:
    """Return visible text on one line, cut at ``limit`` characters."""
    line = " ".join(visible(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _shown(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    if not hidden or character in "\n\t" or character in _JOINERS:
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _named(comparison: Comparison, wanted: str) -> str:
    found = [
        f"{benchmark.name} {figure.column} "
        f"({numbers.signed(figure.difference, figure.digits)} {figure.unit})"
        for benchmark, figure in heads(comparison)
        if figure.verdict == wanted
    ]
    return listed(found)


def _limits(comparison: Comparison) -> str:
    several = Counter(benchmark.name for benchmark, _ in heads(comparison))
    parts = [
        f"{benchmark.name} {f'{figure.column} ' if several[benchmark.name] > 1 else ''}"
        f"{numbers.figure(figure.detectable_corrected, figure.digits)} {figure.unit}"
        for benchmark, figure in heads(comparison)
        if figure.detectable_corrected is not None and figure.verdict == "cannot tell"
    ]
    text = "what was measured is within what chance does with this many samples."
    if parts:
        text += f" The smallest differences with four chances in five to be told: {listed(parts)}."
    return text


def listed(names: Sequence[str]) -> str:
    """Join names with commas and "and"."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
