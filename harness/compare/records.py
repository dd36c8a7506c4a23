"""What a comparison says: frozen records with a JSON form, made once and read by every report.

``None`` always means "cannot be known". Figures, differences, intervals, errors and detectable
differences are in the column's own unit; lengths are in tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.compare.terms import Terms
from harness.errors import UsageError
from harness.records import StateCount

VERSION = 3

GAIN, LOSS, CHANGED = "gain", "loss", "changed"
NO_WORSE, CANNOT_TELL, NO_CHANGE, MIXED = "no worse", "cannot tell", "no change", "mixed"
VERDICTS = (GAIN, LOSS, CHANGED, NO_WORSE, CANNOT_TELL, NO_CHANGE)
"""Of a figure; records from outside may say nothing else."""


@dataclass(frozen=True)
class MetricResult:
    """One column of one benchmark, before and after, over the samples that both arms have.

    Attributes:
        column: its name.
        unit: of figure and difference.
        digits: decimals in tables.
        primary: belongs to the headline and to the family that is corrected.
        higher_is_better: ``None`` where neither direction is better.
        samples: rows that count in both arms.
        units: groups of rows that count together; rows themselves for most columns.
        clusters: images among them.
        missing_before: rows without a score before.
        missing_after: rows without a score after.
        before: the figure before.
        after: the figure after.
        difference: after minus before.
        interval: 95 % interval of the difference (more exactly 1 - ``alpha`` of the comparison).
        error: standard error of the difference over images.
        p: two-sided p value.
        p_exact: the same with ties in full.
        p_holm: ``p`` corrected over the headline columns of the run (Holm); columns beside the
            headline are corrected over all columns of the run.
        p_discovery: ``p`` corrected the Benjamini-Hochberg way, over the same columns.
        p_margin: one-sided p of "worse by the margin or more", corrected by Holm.
        margin: what counts as worse, in the figure's unit.
        test: which test gave ``p``.
        effect: difference in standard deviations of one unit's contribution (Cohen's d_z).
        design_effect: how many times the variance grew because rows share images.
        detectable: minimum detectable difference: the true one that such a comparison finds with
            a chance of 80 %, uncorrected; ``None`` where no difference of any size would be found.
        detectable_corrected: the same when the correction is at its most severe.
        verdict: ``"gain"``, ``"loss"``, ``"no worse"``, ``"cannot tell"``, ``"no change"``, and
            ``"changed"`` where neither direction is better.
        freedom: degrees of freedom of the error over images.
        seeds: each training's own difference, where there are several.
        seed_error: standard error over training seeds; part of ``error``.
        bounds: ends that also allow for rare large changes among images that were not seen; "no
            worse" and a gate's ``lower`` and ``upper`` rest on them.
        worst: lowest and highest difference that the missing rows leave possible; ``None`` where
            nothing is missing.
        interval_corrected: the interval at ``alpha`` over the size of the family: all of them
            together hold their truths, so each does whichever figure is picked for being large.
        p_rows: two-sided p if every row counted by itself instead of every image.
        power: true differences, and how likely such a comparison is to detect each after
            correction; of headline figures.
        wanted: two hundredths of the scale.
        images_needed: how many images detect such a difference after correction; ``None`` where no
            number does.
        seeds_needed: how many trainings do so on these images; ``None`` where fifty do not, or with
            one training.
    """

    column: str
    unit: str
    digits: int
    primary: bool
    higher_is_better: bool | None
    samples: int
    units: int
    clusters: int
    missing_before: int
    missing_after: int
    before: float | None
    after: float | None
    difference: float | None
    interval: tuple[float, float] | None
    error: float | None
    p: float | None
    p_exact: float | None
    p_holm: float | None
    p_discovery: float | None
    p_margin: float | None
    margin: float
    test: str
    effect: float | None
    design_effect: float | None
    detectable: float | None
    detectable_corrected: float | None
    verdict: str
    freedom: float | None = None
    seeds: tuple[float | None, ...] = ()
    seed_error: float | None = None
    bounds: tuple[float, float] | None = None
    worst: tuple[float, float] | None = None
    interval_corrected: tuple[float, float] | None = None
    p_rows: float | None = None
    power: tuple[tuple[float, float], ...] = ()
    wanted: float | None = None
    images_needed: int | None = None
    seeds_needed: int | None = None


@dataclass(frozen=True)
class Flip:
    """A row (or group of rows) that changed sides.

    Attributes:
        id: the row's id, or the group's.
        direction: ``"fixed"``, ``"broken"``, ``"lost"`` (scored only before) or ``"found"``.
        label: ``"true change"``, ``"format break"`` (right by content in both arms), ``"cut off"``,
            ``"refusal"`` or ``"missing"``.
        rows: ids of its rows, where it is a group.
    """

    id: str
    direction: str
    label: str
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupResult:
    """The headline figure over the rows of one category, such as one MM-Vet capability."""

    key: str
    value: str
    samples: int
    clusters: int
    before: float | None
    after: float | None
    difference: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Length:
    """Mean answer length in tokens, and the headline difference where lengths are alike.

    Attributes:
        samples: rows answered in both arms.
        before: mean tokens before.
        after: mean tokens after.
        matched: rows whose two answers differ by at most 2 tokens or a tenth of the longer one.
        difference: the headline difference over the matched rows only.
        interval: its interval.
    """

    samples: int
    before: float | None
    after: float | None
    matched: int
    difference: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class BenchmarkComparison:
    """Everything about one benchmark.

    Attributes:
        name: as in ``--bench``.
        samples: rows that both arms hold.
        clusters: images among them.
        left_out: rows that only one arm holds or whose content differs (only if ``partial``).
        judges_before: who gave the scores before.
        judges_after: who gave the scores after.
        missing_before: ids of rows without answer or score before.
        missing_after: ids of rows without answer or score after.
        figures: one per column, the benchmark's order.
        flips: what changed sides, by id.
        flips_in: name of the column that flips are read from; empty where there is none.
        rose: units whose score rose, whether or not it changed sides.
        fell: units whose score fell.
        length: answer length.
        groups: headline figure by category.
        notes: what a reader has to know.
        unread: share of the answered rows whose answer is empty or could not be read, before and
            after.
        changed_answers: rows whose answer differs between the arms, in any training; ``None``
            where an older version did not count them.
        states_before: rows by state before, with the most frequent reason; over all trainings.
        states_after: rows by state after.
    """

    name: str
    samples: int
    clusters: int
    left_out: int
    judges_before: tuple[str, ...]
    judges_after: tuple[str, ...]
    missing_before: tuple[str, ...]
    missing_after: tuple[str, ...]
    figures: tuple[MetricResult, ...]
    flips: tuple[Flip, ...]
    flips_in: str
    rose: int
    fell: int
    length: Length
    groups: tuple[GroupResult, ...]
    notes: tuple[str, ...] = ()
    unread: tuple[float, float] = (0.0, 0.0)
    changed_answers: int | None = None
    states_before: tuple[StateCount, ...] = ()
    states_after: tuple[StateCount, ...] = ()

    @property
    def fixed(self) -> tuple[str, ...]:
        """Ids of what was wrong before and is right after."""
        return tuple(flip.id for flip in self.flips if flip.direction == "fixed")

    @property
    def broken(self) -> tuple[str, ...]:
        """Ids of what was right before and is wrong after."""
        return tuple(flip.id for flip in self.flips if flip.direction == "broken")


@dataclass(frozen=True)
class Comparison:
    """Before against after over all benchmarks of a run.

    Attributes:
        benchmarks: in the order of the run.
        verdict: over the headline figures; ``"mixed"`` is a gain here and a loss there.
        family: how many headline figures the correction runs over.
        seed: of the resampling.
        draws: how many resamples.
        alpha: level of tests and intervals.
        margin: what counts as worse, in percent of a column's range.
        notes: sentences for the reader, in a file of version 0.1 alone; later ones hold the
            records that they follow from.
        version: of this record; figures of version 1 were computed otherwise.
        accepted: benchmarks whose missing rows were accepted: they do not bound the verdict.
        margins: benchmarks with a margin of their own.
    """

    benchmarks: tuple[BenchmarkComparison, ...]
    verdict: str
    family: int
    seed: int
    draws: int
    alpha: float
    margin: float
    notes: tuple[str, ...] = ()
    version: int = VERSION
    accepted: tuple[str, ...] = ()
    margins: Mapping[str, float] = field(default_factory=dict)

    @property
    def terms(self) -> Terms:
        """What was laid down before it was made."""
        return Terms(self.margin, self.alpha, self.accepted, self.margins)

    @property
    def missing(self) -> int:
        """How many answers or scores are missing in both arms together."""
        return sum(len(b.missing_before) + len(b.missing_after) for b in self.benchmarks)


@dataclass(frozen=True)
class Example:
    """One flip with the words that were said, for reports. All texts are hostile."""

    benchmark: str
    id: str
    direction: str
    label: str
    question: str
    target: str
    before: str | None
    after: str | None


_OVERALL = (*VERDICTS, MIXED)
_DIRECTIONS = ("fixed", "broken", "lost", "found")
_LABELS = ("true change", "format break", "cut off", "refusal", "missing")
_DRAWS = 200_000  # twenty times the default; each costs time and memory
_DIGITS = 12


def check_words(comparison: Comparison) -> None:
    """Refuse a comparison with words or settings that no version of ours writes.

    Raises:
        ValueError: if there is one; it names the field.
    """
    if not comparison.benchmarks:  # one model by itself: nothing is computed
        return
    if not 1 <= comparison.draws <= _DRAWS:
        raise ValueError(f"draws is {comparison.draws}, not between 1 and {_DRAWS}")
    try:
        comparison.terms  # noqa: B018 (refuses a margin or level that is out of range)
    except UsageError as error:
        raise ValueError(str(error)) from error
    if comparison.seed < 0:
        raise ValueError(f"seed is {comparison.seed}, which is negative")
    names = [each.name for each in comparison.benchmarks]
    if len(set(names)) < len(names):
        raise ValueError("benchmarks names one benchmark twice")
    for place, word, known in _words(comparison):
        if word not in known:
            raise ValueError(f"{place} is {word!r:.60}, not one of: {', '.join(map(str, known))}")


def _words(comparison: Comparison) -> Iterator[tuple[str, object, Sequence[object]]]:
    yield "verdict", comparison.verdict, _OVERALL
    for number, each in enumerate(comparison.benchmarks):
        place = f"benchmarks[{number}]"
        for at, figure in enumerate(each.figures):
            yield f"{place}.figures[{at}].verdict", figure.verdict, VERDICTS
            yield f"{place}.figures[{at}].digits", figure.digits, range(_DIGITS)
        for at, flip in enumerate(each.flips):
            yield f"{place}.flips[{at}].direction", flip.direction, _DIRECTIONS
            yield f"{place}.flips[{at}].label", flip.label, _LABELS
