"""What the contamination radar found, and the headline figures without it: frozen records."""

from __future__ import annotations

from dataclasses import dataclass

from harness.rounding import half_up


@dataclass(frozen=True)
class Touched:
    """Rows of one benchmark whose image was found among the training prompts.

    Attributes:
        benchmark: as in ``--bench``.
        rows: how many rows were looked at.
        ids: those that show an image of the training prompts.
        by_number: of these, rows that only share a photograph's number in its collection, such as
            a COCO number; their pixels may differ.
    """

    benchmark: str
    rows: int
    ids: tuple[str, ...]
    by_number: int


@dataclass(frozen=True)
class CleanFigure:
    """One headline column over the rows that were not touched; fields as in ``Figure``."""

    column: str
    unit: str
    digits: int
    samples: int
    before: float | None
    after: float | None
    difference: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Overlap:
    """The radar's finding on one benchmark.

    Attributes:
        touched: the rows.
        figures: headline columns without them; empty where none was touched, or all were.
    """

    touched: Touched
    figures: tuple[CleanFigure, ...] = ()

    @property
    def note(self) -> str:
        """One or two sentences for a reader; empty where nothing was touched."""
        found = self.touched
        if not found.ids:
            return ""
        number = f", {found.by_number} of them by its number only" if found.by_number else ""
        text = (
            f"{found.benchmark}: {len(found.ids)} of {found.rows} rows show an image of the "
            f"training prompts{number}."
        )
        told = "; ".join(_told(figure) for figure in self.figures)
        return f"{text} Without them: {told}." if told else f"{text} None is left without them."


def _told(figure: CleanFigure) -> str:
    if figure.before is None or figure.after is None or figure.difference is None:
        return f"{figure.column} cannot be known"
    before, after, difference = (
        half_up(value, figure.digits) for value in (figure.before, figure.after, figure.difference)
    )
    text = f"{figure.column} {before} before, {after} after, {difference:+}"
    if figure.interval is not None:
        low, high = (half_up(end, figure.digits) for end in figure.interval)
        text += f" [{low:+}, {high:+}]"
    return text
