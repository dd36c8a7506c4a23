"""The gate: did something get worse by more than it may? A pure function of a comparison.

Rules are joined by commas; each names a benchmark, or one column of it, and what makes it fail:

- ``pope<-0.5``: the measured difference lies below -0.5 of the column's unit. A point estimate:
  chance alone may fail it or pass it.
- ``pope.lower<-2``: the lower bound does: a fall of 2 cannot be ruled out. Bounds are ends of the
  interval that also allow for rare large changes which were not seen.
- ``pope.upper<-0.5``: even the upper one does: the fall is beyond chance and beyond the threshold.
- ``pope.worst<-2``: the difference does once every missing row is scored against the second arm.
- ``pope.f1<-1``: a column other than the headline ones. Where lower is better, write ``>``.
- ``pope.rows<500``: fewer than 500 rows count in both arms; ``images`` and ``missing`` likewise.
- ``pope:loss``: the verdict, corrected over the run's benchmarks. ``any:loss`` asks every headline
  figure, and every column that lost in a benchmark whose headline gained: what the run's own
  headline counts as a loss.
- ``mmvet:not-worse``: fails unless the figure is shown to have gained, or to be no worse by the
  margin.
- ``not mmvet:gain``, ``not pope.lower>0``: fails where the rule after ``not`` would not.

A benchmark whose answers mostly say nothing after measures their form: no rule passes there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.compare.records import GAIN, NO_CHANGE, NO_WORSE, VERDICTS, Comparison, MetricResult
from harness.compare.verdicts import RuleTarget, deciding, unreadable
from harness.errors import ExitCode, UsageError, near_miss
from harness.records import typed_number

DEFAULT = "any:loss"
NOT_WORSE = "not-worse"
ANY = "any"
_ASKED = (*VERDICTS, NOT_WORSE)
_SHOWN_NOT_WORSE = (GAIN, NO_WORSE, NO_CHANGE)
PASSES, FAILS, UNKNOWN = "passes", "fails", "unknown"
_ENDS = {"lower": 0, "upper": 1}
_WORST = "worst"
_COUNTS = ("rows", "images", "missing")
_PARTS = (*_ENDS, _WORST, *_COUNTS)
_NOT = "not "
_RULE = re.compile(r"(?P<target>.+?)\s*(?P<sign>[<>])\s*(?P<limit>[^<>]+)")


@dataclass(frozen=True, slots=True)
class Ruling:
    """One rule, asked of one figure.

    Attributes:
        rule: as the user wrote it.
        benchmark: whose figure it is.
        column: which figure.
        outcome: ``"passes"``, ``"fails"``, or ``"unknown"`` where the figure could not be computed.
        told: what was measured and what the interval says, in words.
    """

    rule: str
    benchmark: str
    column: str
    outcome: str
    told: str


@dataclass(frozen=True)
class Rule:
    """A rule as it is read; ``str`` gives a text that reads as the same rule.

    The target is a benchmark, a column or a part of it; the sign is ``"<"``, ``">"``, or ``":"``
    before a verdict; a negated rule fails where the rule without ``not`` would not.
    """

    target: str
    sign: str
    value: float | str
    negated: bool = False

    def __str__(self) -> str:
        return f"{_NOT if self.negated else ''}{self.target}{self.sign}{self.value}"


def read_rule(text: str) -> Rule:
    """Read one rule; whether a run has what it names is asked later."""
    stripped = text.strip()
    negated = stripped.startswith(_NOT)
    rest = stripped.removeprefix(_NOT).strip()
    match = _RULE.fullmatch(rest)
    if match is not None:
        return Rule(match["target"], match["sign"], _number(match["limit"], stripped), negated)
    target, _, verdict = (part.strip() for part in rest.rpartition(":"))
    if not target or not verdict:
        raise UsageError(
            f"'{stripped}' is not a rule. Write BENCH<NUMBER, BENCH.COLUMN<NUMBER, BENCH.rows<N or "
            "BENCH:VERDICT, as in pope<-0.5 or mmvet:loss, or 'not ' before one of them."
        )
    if verdict not in _ASKED:
        raise UsageError(
            f"There is no verdict '{verdict}' (in '{stripped}').{near_miss(verdict, _ASKED)} "
            f"Verdicts: {', '.join(_ASKED)}."
        )
    return Rule(target, ":", verdict, negated)


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


def _ruled(comparison: Comparison, text: str) -> list[Ruling]:
    rule = read_rule(text)
    target, part = _parted(comparison, rule)
    if target == ANY and rule.sign != ":" and part not in _COUNTS:
        raise UsageError(
            f"'{text}': '{ANY}' goes with a verdict, as in {ANY}:loss, or with a number of rows, "
            f"as in {ANY}.rows<100; figures of different benchmarks have different units. Name the "
            "benchmark for a threshold."
        )
    ask = _by_verdict if rule.sign == ":" else _by_count if part in _COUNTS else _by_limit
    places = _places(comparison, target, text)
    found = [ask(rule, text, part, place) for place in places]
    if rule.negated:  # "not any:gain" fails where none of them gained
        outcomes = {outcome for outcome, _ in found}
        turned = PASSES if FAILS in outcomes else UNKNOWN if UNKNOWN in outcomes else FAILS
        found = [(turned, told) for _, told in found]
    return [
        _ruling(text, place, outcome, told)
        for place, (outcome, told) in zip(places, found, strict=True)
    ]


def _parted(comparison: Comparison, rule: Rule) -> tuple[str, str]:
    """Split a target into a benchmark or column, and the part of it that is asked for."""
    stem, _, part = rule.target.rpartition(".")
    whole = rule.sign == ":" or rule.target in _named(comparison) or not stem
    return (rule.target, "") if whole or part not in _PARTS else (stem, part)


def _number(text: str, rule: str) -> float:
    value = typed_number(text)
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


def _by_verdict(rule: Rule, text: str, part: str, place: RuleTarget) -> tuple[str, str]:
    figure = place[1]
    failed = figure.verdict == rule.value
    if rule.value == NOT_WORSE:
        failed = figure.verdict not in _SHOWN_NOT_WORSE
    outcome = UNKNOWN if figure.difference is None else FAILS if failed else PASSES
    return outcome, f"{_measured(figure, figure.interval)}, verdict: {figure.verdict}"


def _by_count(rule: Rule, text: str, part: str, place: RuleTarget) -> tuple[str, str]:
    benchmark, figure = place
    missing = len({*benchmark.missing_before, *benchmark.missing_after})
    count = {"rows": figure.samples, "images": figure.clusters, "missing": missing}[part]
    _refuse_turned(rule, text, place, "<" if part == "missing" else ">", f"has more {part}")
    return FAILS if _beyond(rule, count) else PASSES, f"{count} {part}"


def _by_limit(rule: Rule, text: str, part: str, place: RuleTarget) -> tuple[str, str]:
    figure = place[1]
    if figure.higher_is_better is not None:
        _refuse_turned(rule, text, place, ">" if figure.higher_is_better else "<", "gets better")
    if figure.difference is None or figure.interval is None:
        return UNKNOWN, "the figure cannot be computed from these samples"
    bounds = figure.bounds or figure.interval
    worst = figure.worst or (figure.difference, figure.difference)
    low = rule.sign == "<" if figure.higher_is_better is None else figure.higher_is_better
    asked = {"": figure.difference, _WORST: worst[0 if low else 1]}
    asked |= {name: bounds[at] for name, at in _ENDS.items()}
    ends = [_beyond(rule, end) for end in bounds]
    if all(ends):
        says = "the whole range of the bounds is beyond the threshold"
    elif any(ends):
        says = "the threshold is within the bounds: chance alone could decide this"
    elif rule.negated:
        says = "no value within the bounds is beyond the threshold"
    else:
        says = "the whole range of the bounds is on the good side of the threshold"
    if part == _WORST:
        says = f"with missing rows at their worst {asked[part]:+.{figure.digits + 2}f}"
    told = f"{_measured(figure, bounds)}; {says}"
    return FAILS if _beyond(rule, asked[part]) else PASSES, told


def _beyond(rule: Rule, value: float) -> bool:
    limit = float(rule.value)
    return value < limit if rule.sign == "<" else value > limit


def _refuse_turned(rule: Rule, text: str, place: RuleTarget, better: str, when: str) -> None:
    """Refuse a threshold in the direction that is wanted, which ``not`` turns round."""
    if rule.sign == (better if not rule.negated else {"<": ">", ">": "<"}[better]):
        other = {"<": ">", ">": "<"}[rule.sign]
        raise UsageError(
            f"'{text}' would fail when {place[0].name} {place[1].column} {when}. Write "
            f"{_NOT if rule.negated else ''}{rule.target}{other}NUMBER."
        )


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
        return "no difference could be computed"
    # Two more decimals than tables show: a threshold is compared with what was measured.
    digits = figure.digits + 2
    text = f"{figure.difference:+.{digits}f}"
    if ends is not None:
        text += " [{:+.{d}f}, {:+.{d}f}]".format(*ends, d=digits)
    return f"{text} {figure.unit}"
