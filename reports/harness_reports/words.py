"""A comparison in words, and foreign text made safe to display."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from harness.compare import BenchmarkComparison, Comparison, MetricResult, Summary, summary
from harness.records import sentences
from harness.report import ARMS, ReportInput
from harness_reports import numbers

_JOINERS = "\u200c\u200d"  # several scripts cannot be spelled without them


def headline(comparison: Comparison, arms: tuple[str, str] = ARMS) -> str:
    """Answer "did it get better?", and say what a reader must know before believing it.

    Args:
        comparison: what was found.
        arms: what its two sides are called, where they are not one model before and after.
    """
    found = summary(comparison)
    parts = [unread(benchmark, arms) for benchmark in found.unread]
    parts += [_answer(comparison, found, arms), _tally(found)]
    parts += [_not_measured(comparison, *gone) for gone in found.unmeasured]
    parts += _lengths(found, arms)
    return " ".join(filter(None, parts))


def unread(benchmark: BenchmarkComparison, arms: tuple[str, str] = ARMS) -> str:
    """Say how many answers say nothing, and what follows."""
    before, after = (f"{100 * share:.0f} %" for share in benchmark.unread)
    first, second = arms if arms == ARMS else (f"of {name}" for name in arms)
    return (
        f"{benchmark.name}: {after} of the answers {second} are empty or could not be read "
        f"({before} {first}), so only its losses are decided."
    )


def _answer(comparison: Comparison, found: Summary, arms: tuple[str, str]) -> str:
    gains, losses = _named(found.gains), _named(found.losses)
    is_, than = ("", "") if arms == ARMS else (f"{arms[1]} is ", f" than {arms[0]}")
    if found.verdict == "mixed":
        return f"Mixed: {is_}better{than} on {gains}, worse on {losses}."
    if found.verdict == "gain":
        return f"{is_}better{than} on {gains}." if is_ else f"Yes: better on {gains}."
    if found.verdict == "loss" and is_:
        return f"{is_}worse{than} on {losses}, better on none."
    if found.verdict == "loss":
        return f"No: worse on {losses}, better on none."
    if found.verdict == "no change" and comparison.version == 1:
        return "No change: every sample scored exactly the same before and after."
    if found.verdict == "no change":
        return (
            "No change: the same answers are compared with themselves, and every sample scored "
            "exactly the same."
        )
    if found.same_answers:
        both = "before and after" if arms == ARMS else f"of {arms[0]} and {arms[1]}"
        return (
            f"No change: every answer is the same {both}. This holds for these rows; for other "
            "images, only the intervals apply."
        )
    if found.verdict == "no worse":
        if is_:
            return (
                f"{is_}not better{than}, and not worse by more than the margin "
                f"({margin(comparison)}) on any benchmark."
            )
        return (
            f"Not better, and not worse by more than the margin ({margin(comparison)}) on any "
            "benchmark."
        )
    return f"Cannot tell: {_limits(comparison)}"


def _tally(found: Summary) -> str:
    """Count what became of the headline figures, where there are several."""
    if found.heads < 2 or found.verdict == "no change":
        return ""
    beside = sum(not figure.primary for _, figure in found.losses)
    text = (
        f"Of {found.heads} headline figures: {_count(len(found.gains), 'gain')}, "
        f"{_count(len(found.losses) - beside, 'loss')}, {len(found.undecided)} undecided"
    )
    return text + (f"; {_count(beside, 'loss')} in secondary figures." if beside else ".")


def _count(number: int, what: str) -> str:
    many = {"gain": "gains", "loss": "losses"}[what]
    return f"{number} {what if number == 1 else many}"


def _not_measured(comparison: Comparison, benchmark: BenchmarkComparison, rows: int) -> str:
    text = f"{rows} of {benchmark.samples} rows of {benchmark.name} were not measured"
    if benchmark.name in comparison.accepted:
        return f"{text} (accepted)."
    return f"{text}."


def _lengths(found: Summary, arms: tuple[str, str]) -> list[str]:
    """Say where answers became much longer or shorter."""
    told = []
    for word, sign in (("shorter", -1), ("longer", 1)):
        places = [
            f"{abs(100 * change):.0f} % on {benchmark.name}"
            for benchmark, change in found.lengths
            if change * sign > 0
        ]
        if places:
            became = "Answers became" if arms == ARMS else f"Answers of {arms[1]} are"
            told.append(f"{became} {word}: {listed(places)}.")
    return told


def margin(comparison: Comparison) -> str:
    """Return what counts as worse, in words."""
    own = [f"{value:g} % on {name}" for name, value in comparison.margins.items()]
    return listed([f"{comparison.margin:g} % of the scale", *own])


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
    """Return minimum detectable difference, power, and what detecting 2 % takes, by figure."""
    told = []
    for benchmark, figure in heads(comparison):
        if figure.detectable is not None or _never(comparison, figure):
            told.append(f"{benchmark.name} {figure.column}: {_detectable(figure)}{_power(figure)}")
    return told


def _power(figure: MetricResult) -> str:
    """Return the power curve after correction, and what it takes to detect 2 % of the scale."""
    if not figure.power or figure.detectable_corrected is None:
        return ""
    curve = ", ".join(
        f"{100 * chance:.0f} % at {numbers.figure(effect, figure.digits)}"
        for effect, chance in figure.power
    )
    text = f" Power after correction: {curve}."
    goal = f"{numbers.figure(figure.wanted, figure.digits)} {figure.unit}"
    if figure.images_needed is None and figure.seeds_needed is None:
        return f"{text} No number of images detects {goal}."
    ways = []
    if figure.images_needed is not None:
        rows = round(figure.images_needed * figure.samples / max(figure.clusters, 1))
        ways.append(f"{figure.images_needed} images ({rows} rows)")
    if figure.seeds_needed is not None:
        ways.append(f"{figure.seeds_needed} training seeds")
    return f"{text} Detecting {goal} takes about {' or '.join(ways)}."


def _detectable(figure: MetricResult) -> str:
    if figure.detectable is None:
        return "no difference of any size has 80 % power to be detected."
    text = (
        f"a true difference of {numbers.figure(figure.detectable, figure.digits)} {figure.unit} "
        "had 80 % power without correction, "
    )
    if figure.detectable_corrected is None:
        return f"{text}none of any size after correction."
    return f"{text}{numbers.figure(figure.detectable_corrected, figure.digits)} after correction."


def _never(comparison: Comparison, figure: MetricResult) -> bool:
    """Whether a figure was measured and yet no difference of any size would have been detected."""
    return (
        comparison.version > 1
        and figure.interval is not None
        and figure.verdict != "no change"
        and figure.detectable_corrected is None
    )


def missing(benchmark: BenchmarkComparison) -> str:
    """Return missing samples, before and after."""
    return f"{len(benchmark.missing_before)} / {len(benchmark.missing_after)}"


def notes(benchmark: BenchmarkComparison, arms: tuple[str, str] = ARMS) -> tuple[str, ...]:
    """Return what a reader has to know of a benchmark, and what became of its rows."""
    states = dict(zip(arms, (benchmark.states_before, benchmark.states_after), strict=True))
    return (*benchmark.notes, *sentences(states))


def flips(benchmark: BenchmarkComparison) -> str:
    """Return how many were fixed and how many broken."""
    return f"{len(benchmark.fixed)} / {len(benchmark.broken)}"


BUILTIN = "builtin"
"""What the built-in grader calls itself."""


def judges(benchmark: BenchmarkComparison, arms: tuple[str, str] = ARMS) -> str:
    """Name who gave the scores."""
    before, after = ", ".join(benchmark.judges_before), ", ".join(benchmark.judges_after)
    return before if before == after else f"{before} ({arms[0]}), {after} ({arms[1]})"


def published(report: ReportInput) -> list[tuple[str, str]]:
    """Return what others have printed of the benchmarks, each with its benchmark and model."""
    return [
        (f"{benchmark} {model}", text)
        for benchmark, models in report.published.items()
        for model, text in models.items()
    ]


def settings(report: ReportInput) -> Iterator[tuple[str, str]]:
    """Yield what a run was asked for, and the versions that it ran with."""
    yield from (
        ("method", report.method),
        ("model", report.model),
        ("benchmark data", report.data or "not named"),
        ("seed", str(report.seed)),
    )
    yield from ((f"option {key}", value) for key, value in report.options.items())
    yield from sorted(report.versions.items())


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


def _named(places: Sequence[tuple[BenchmarkComparison, MetricResult]]) -> str:
    return listed(
        [
            f"{benchmark.name} {figure.column} "
            f"({numbers.signed(figure.difference, figure.digits)} {figure.unit})"
            for benchmark, figure in places
        ]
    )


def _limits(comparison: Comparison) -> str:
    several = Counter(benchmark.name for benchmark, _ in heads(comparison))
    parts, never = [], []
    for benchmark, figure in heads(comparison):
        name = (
            f"{benchmark.name} {figure.column}" if several[benchmark.name] > 1 else benchmark.name
        )
        if figure.verdict == "cannot tell" and figure.detectable_corrected is not None:
            least = numbers.figure(figure.detectable_corrected, figure.digits)
            parts.append(f"{name} {least} {figure.unit}")
        elif figure.verdict == "cannot tell" and _never(comparison, figure):
            never.append(name)
    text = "the differences are within what chance produces with this many samples."
    if parts:
        text += f" Minimum detectable differences (80 % power): {listed(parts)}."
    if never:
        text += f" No difference of any size could be detected on {listed(never)}."
    return text


def listed(names: Sequence[str]) -> str:
    """Join names with commas and "and"."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
