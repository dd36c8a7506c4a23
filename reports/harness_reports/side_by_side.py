"""Rows that became different things in several runs, with the answers side by side, as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis import BEFORE, Overview
from harness.records import Sample, distinct
from harness_reports import words
from harness_reports.html_samples import became, bounded

_ROWS, _CELLS = 200, 3000  # at most, so that thirty runs are as quick to open as two
_LONGEST = 1500  # characters of one text; the run's own page has more
_PICTURES = 6_000_000  # bytes; of rows beyond them the run's own page has the picture


@dataclass(frozen=True)
class _Arm:
    """The answers of one run to one benchmark, and what became of them where that is known."""

    samples: Mapping[str, Sample]
    changed: Mapping[str, tuple[str, str]] | None

    def answer(self, key: str) -> str | None:
        return self.samples[key].answer if key in self.samples else None

    def status(self, key: str) -> str:
        return "" if self.changed is None else self.changed.get(key, ("unchanged", ""))[0]


def table_of(overview: Overview, order: Sequence[str]) -> dict[str, Any]:
    """Return the rows of each benchmark in which most runs differ from the majority.

    Runs differ where a row is fixed in one and broken, missing or unchanged in another, each
    against its own model before; without one, where the answers differ. Runs with the same answer
    are one group. Of several training seeds the first is shown.

    Args:
        overview: of the runs.
        order: of the runs in every row.
    """
    benches = distinct(ranking.benchmark for ranking in overview.board.rankings)
    each = max(1, min(_ROWS, _CELLS // len(order)) // max(1, len(benches)))
    rows = [
        [number, *row]
        for number, bench in enumerate(benches)
        for row in _rows([_arm(overview, name, bench) for name in order], each)
    ]
    return {
        "runs": [words.visible(name) for name in order],
        "pages": [overview.pages.get(name) for name in order],
        "baseline": order.index(overview.board.baseline),
        "benches": [words.visible(name) for name in benches],
        "rows": rows,
    }


def pictures_of(overview: Overview, rows: Sequence[Sequence[Any]]) -> dict[str, bytes]:
    """Return the small pictures of the rows by name, from whichever run kept them."""
    found: dict[str, bytes] = {}
    size = 0
    for name in distinct(row[4] for row in rows):
        path = next(filter(None, (run.picture(name) for run in overview.runs.values())), None)
        if path is not None and (size := size + path.stat().st_size) <= _PICTURES:
            found[name] = path.read_bytes()
    return found


def _arm(overview: Overview, name: str, bench: str) -> _Arm:
    run = overview.runs.get(name)
    if run is None:  # the model that all runs started from
        samples = [each.before.get(bench, ()) for each in overview.runs.values() if name == BEFORE]
        return _Arm({sample.id: sample for sample in (samples or [()])[0]}, {})
    compared = {each.name: each for each in run.comparison.benchmarks} if run.comparison else {}
    changed = became(compared[bench]) if bench in compared else None
    return _Arm({sample.id: sample for sample in run.after.get(bench, ())}, changed)


def _rows(arms: Sequence[_Arm], most: int) -> Iterator[list[Any]]:
    """Yield the rows on which most runs differ from the majority."""
    outcome = _Arm.answer if any(arm.changed is None for arm in arms) else _Arm.status

    def apart(key: str) -> int:
        return len(arms) - max(Counter(outcome(arm, key) for arm in arms).values())

    differing = {key: count for key in arms[-1].samples if (count := apart(key))}
    for key in sorted(differing, key=lambda key: -differing[key])[:most]:
        groups: dict[tuple[str | None, str], list[int]] = {}
        for place, arm in enumerate(arms):
            groups.setdefault((arm.answer(key), arm.status(key)), []).append(place)
        some = arms[-1].samples[key]
        yield [
            words.visible(key),
            bounded(some.prompt, _LONGEST),
            bounded(some.target, _LONGEST),
            some.cluster,
            [
                [places, None if answer is None else bounded(answer, _LONGEST), status]
                for (answer, status), places in groups.items()
            ],
        ]
