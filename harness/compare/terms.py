"""What is laid down before a comparison is made: margins, level, and accepted missing rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from harness.errors import UsageError, near_miss


@dataclass(frozen=True)
class Terms:
    """What was laid down before a comparison was made.

    Attributes:
        margin: what counts as worse, in percent of a column's range.
        alpha: level of tests and intervals.
        accept_missing: benchmarks whose missing rows shall not stand against a gain or "no worse".
        margins: benchmarks with a margin of their own.

    Raises:
        UsageError: if a margin or the level is out of range.
    """

    margin: float = 1.0
    alpha: float = 0.05
    accept_missing: tuple[str, ...] = ()
    margins: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, margin in (("", self.margin), *self.margins.items()):
            if not 0 <= margin <= 100:
                of = f" of {name}" if name else ""
                raise UsageError(
                    f"The margin{of} is {margin:g}, not between 0 and 100 percent of a metric's "
                    "scale. Name another with --margin, for example --margin 1 or --margin "
                    f"{name or 'pope'}=2."
                )
        if not 0 < self.alpha < 1:
            raise UsageError(
                f"The significance level is {self.alpha:g}, not between 0 and 1. Name another with "
                "--alpha, for example --alpha 0.05."
            )

    def margin_of(self, benchmark: str) -> float:
        """Return what counts as worse on a benchmark, in percent of a column's range."""
        return self.margins.get(benchmark, self.margin)

    def of(self, benchmarks: Iterable[str]) -> Terms:
        """Return what concerns these benchmarks."""
        known = frozenset(benchmarks)
        return replace(
            self,
            accept_missing=tuple(name for name in self.accept_missing if name in known),
            margins={name: margin for name, margin in self.margins.items() if name in known},
        )

    def check(self, benchmarks: Iterable[str]) -> None:
        """Refuse a name that is not among the benchmarks.

        Raises:
            UsageError: naming the near miss.
        """
        known = list(benchmarks)
        for option, names in (
            ("--margin", tuple(self.margins)),
            ("--accept-missing", self.accept_missing),
        ):
            for name in names:
                if name not in known:
                    raise UsageError(
                        f"{option} names '{name}', which is not measured.{near_miss(name, known)} "
                        f"There are: {', '.join(known)}."
                    )


def strictest(found: Iterable[Terms]) -> Terms:
    """Return terms under which nothing is said that any of these would not permit."""
    every = list(found)
    named = {name for terms in every for name in terms.margins}
    accepted = [frozenset(terms.accept_missing) for terms in every]
    return Terms(
        margin=min(terms.margin for terms in every),
        alpha=min(terms.alpha for terms in every),
        accept_missing=tuple(sorted(frozenset.intersection(*accepted))),
        margins={name: min(t.margin_of(name) for t in every) for name in sorted(named)},
    )
