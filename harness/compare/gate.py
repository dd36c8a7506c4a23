"""The gate: did something get worse by more than it may? A pure function of a comparison.

Rules are joined by commas; each names a benchmark, or one column of it, and what makes it fail:

- ``pope<-0.5``: the measured difference lies below -0.5 of the column's unit. A point estimate:
  chance alone may fail it or pass it.
- ``pope.lower<-2``: the lower bound does: a fall of 2 cannot be ruled out. Bounds are ends of the
  interval that also allow for rare large changes which were not seen.
- ``pope.upper<-0.5``: even the upper one does: the fall is beyond chance and beyond the threshold.
- ``pope.f1<-1``: a column other than the headline ones. Where lower is better, write ``>``.
- ``pope:loss``: the verdict, corrected over the run's benchmarks. ``any:loss`` asks every headline
  figure, and every column that lost in a benchmark whose headline gained: what the run's own
  headline counts as a loss.
- ``mmvet:not-worse``: fails unless the figure is shown to have gained, or to be no worse by the
  margin.

A benchmark whose answers mostly say nothing after measures their form: no rule passes there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.compare.records import (
    GAIN,
    NO_CHANGE,
    NO_WORSE,
    VERDICTS,
    Comparison,
    MetricResult,
)
from harness.compare.verdicts import RuleTarget, deciding, unreadable
from harness.errors import ExitCode, UsageError, near_miss

DEFAULT = "any:loss"
NOT_WORSE = "not-worse"
ANY = "any"
_ASKED = (*VERDICTS, NOT_WORSE)
_SHOWN_NOT_WORSE = (GAIN, NO_WORSE, NO_CHANGE)
PASSES, FAILS, UNKNOWN = "passes", "fails", "unknown"
_ENDS = {"lower": 0, "upper": 1}
_NUMBER = re.compile(r"(?P<target>.+?)\s*(?P<sign>[<>])\s*(?P<limit>[^<>]+)")


@dataclass(frozen=True, slots=True)
class Ruling:
    """One rule, asked of one figure.

    Attributes:
        rule: as the user wrote it.
        benchmark: whose figure it is.
        column: which figure.
        outcome: ``"passes"``, ``"fails"``, or ``"unknown"`` where the figure could not be had.
        told: what was measured and what the interval says, in words.
    """

    rule: str
    benchmark: str
    column: str
    outcome: str
    told: str


@dataclass(frozen=True)
class _Limit:
    """``end`` is ``None`` for the difference itself, else which end of the interval."""

    text: str
    sign: str
    limit: float
    end: str | None


def check_rules(comparison: Comparison, text: str) -> tuple[Ruling, ...]:
    """Ask every rule in ``text`` of the comparison.

    Raises:
        UsageError: for a rule that cannot be read, an unknown benchmark, column or verdict (naming
            the near miss), or a threshold in the direction in which the column gets better.
    """
    rules = [part.strip() for part in text.split(",") if part.strip()]
    if not rules:
        raise UsageError(f"--fail-on names no rule. Write, for example, --fail-on {DEFAULT}")
    return tuple(ruling for rule in rules for ruling in _ruled(comparison, rule))


def exit_code(comparison: Comparison, rulings: Sequence[Ruling]) -> ExitCode:
    """Return 4 for a regression, else 3 for samples or figures that are missing, else 0."""
    if any(ruling.outcome == FAILS for ruling in rulings):
        return ExitCode.REGRESSION
    if comparison.missing or any(ruling.outcome == UNKNOWN for ruling in rulings):
        return ExitCode.UNSCORED
    return ExitCode.DONE


def _ruled(comparison: Comparison, rule: str) -> list[Ruling]:
    match = _NUMBER.fullmatch(rule)
    if match is None:
        target, _, verdict = (part.strip() for part in rule.rpartition(":"))
        if not target or not verdict:
            raise UsageError(
                f"'{rule}' is not a rule. Write BENCH<NUMBER, BENCH.COLUMN<NUMBER or "
                "BENCH:VERDICT, as in pope<-0.5 or mmvet:loss."
            )
        if verdict not in _ASKED:
            raise UsageError(
                f"There is no verdict '{verdict}' (in '{rule}').{near_miss(verdict, _ASKED)} "
                f"Verdicts: {', '.join(_ASKED)}."
            )
        return [_by_verdict(rule, place, verdict) for place in _places(comparison, target, rule)]
    target, sign = match["target"], match["sign"]
    stem, _, end = target.rpartition(".")
    known = _named(comparison)
    limit = _Limit(rule, sign, _number(match["limit"], rule), None)
    if end in _ENDS and target not in known:
        limit, target = _Limit(rule, sign, limit.limit, end), stem
    if target == ANY:
        raise UsageError(
            f"'{rule}': '{ANY}' goes with a verdict, as in {ANY}:loss; figures of different "
            "benchmarks have different units. Name the benchmark for a threshold."
        )
    return [_by_limit(limit, place) for place in _places(comparison, target, rule)]


def _number(text: str, rule: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"'{text.strip()}' in '{rule}' is not a number. Write, as in pope<-0.5.")
    return value


def _named(comparison: Comparison) -> Mapping[str, list[RuleTarget]]:
    """Return what a rule can name: benchmarks (for their headline figures) and columns."""
    found: dict[str, list[RuleTarget]] = {}
    for benchmark in comparison.benchmarks:
        for figure in benchmark.figures:
            found[f"{benchmark.name}.{figure.column}"] = [(benchmark, figure)]
    for benchmark in comparison.benchmarks:
        found[benchmark.name] = [(benchmark, f) for f in benchmark.figures if f.primary]
    return found


def _places(comparison: Comparison, target: str, rule: str) -> list[RuleTarget]:
    known = _named(comparison)
    if target in known:
        return known[target]
    if target == ANY:
        return list(deciding(comparison))
    names = [benchmark.name for benchmark in comparison.benchmarks]
    bench = next((name for name in names if target.startswith(f"{name}.")), None)
    choice = [name for name in known if bench is None or name.startswith(f"{bench}.")]
    shown = names if bench is None else choice
    raise UsageError(
        f"The run has no '{target}' (in '{rule}').{near_miss(target, choice)} "
        f"It has: {', '.join(shown)}."
    )


def _by_verdict(rule: str, place: RuleTarget, verdict: str) -> Ruling:
    figure = place[1]
    failed = figure.verdict == verdict
    if verdict == NOT_WORSE:
        failed = figure.verdict not in _SHOWN_NOT_WORSE
    outcome = FAILS if failed else PASSES
    if figure.difference is None:
        outcome = UNKNOWN
    told = f"{_measured(figure, figure.interval)}, verdict: {figure.verdict}"
    return _ruling(rule, place, outcome, told)


def _by_limit(rule: _Limit, place: RuleTarget) -> Ruling:
    benchmark, figure = place
    better = {True: ">", False: "<", None: ""}[figure.higher_is_better]
    if rule.sign == better:
        other = "<" if rule.sign == ">" else ">"
        raise UsageError(
            f"'{rule.text}' would fail when {benchmark.name} {figure.column} gets better. "
            f"Write {benchmark.name}.{figure.column}{other}NUMBER."
        )
    if figure.difference is None or figure.interval is None:
        told = "the figure could not be had from these samples"
        return Ruling(rule.text, benchmark.name, figure.column, UNKNOWN, told)

    def beyond(value: float) -> bool:
        return value < rule.limit if rule.sign == "<" else value > rule.limit

    bounds = figure.bounds or figure.interval
    ends = [beyond(end) for end in bounds]
    failed = beyond(figure.difference) if rule.end is None else ends[_ENDS[rule.end]]
    if all(ends):
        says = "all within the bounds lies beyond the threshold"
    elif any(ends):
        says = "the bounds hold the threshold: chance alone could decide this"
    else:
        says = "all within the bounds lies on the good side of the threshold"
    told = f"{_measured(figure, bounds)}; {says}"
    return _ruling(rule.text, place, FAILS if failed else PASSES, told)


def _ruling(rule: str, place: RuleTarget, outcome: str, told: str) -> Ruling:
    """Make a ruling; where answers say nothing, a rule that would pass cannot be decided."""
    benchmark, figure = place
    if unreadable(benchmark):
        share = 100 * benchmark.unread[1]
        told += f"; {share:.0f} % of the answers after are empty or could not be read"
        outcome = UNKNOWN if outcome == PASSES else outcome
    return Ruling(rule, benchmark.name, figure.column, outcome, told)


def _measured(figure: MetricResult, ends: tuple[float, float] | None) -> str:
    if figure.difference is None:
        return "no difference could be had"
    # Two more decimals than tables show: a threshold is compared with what was measured.
    digits = figure.digits + 2
    text = f"{figure.difference:+.{digits}f}"
    if ends is not None:
        text += " [{:+.{d}f}, {:+.{d}f}]".format(*ends, d=digits)
    return f"{text} {figure.unit}"
