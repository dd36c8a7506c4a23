"""What every benchmark and every report promises, tried out without a model."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.benchmark import Task, benchmark
from harness.compare import compare, levels_of
from harness.plugins import load
from harness.records import Answer, Sample
from harness.report import ReportInput
from harness.stages import sample_of

ODD = (
    *("", " ", "no idea", "A" * 4000, "Yes\u2028no", "\u7b54\u6848\u662f B", "\x00\x1b[31m"),
    *("<script>alert(1)</script>", "```\n# [a](http://a.example)", "=cmd()|' /C calc'!A0"),
)
"""Answers that models give sooner or later, and texts that are dangerous where they are shown."""


def assert_benchmark(name: str, data: str | Path = "hub", rows: int = 8) -> None:
    """Fail where a benchmark breaks a promise of docs/write-a-benchmark.md.

    Its rows open and show images; every answer gets the same scores, finite or missing; no odd
    answer is refused; the reference answers give every headline figure; and the figures of the
    reference answers are not worse than those of odd ones.

    Args:
        name: what ``--bench`` takes.
        data: where its rows are, as ``--data`` takes it; files of its own are read where they lie.
        rows: how many are tried.

    Raises:
        AssertionError: with a sentence that names the benchmark and the row.
    """
    bench = benchmark(name)
    task = Task(bench.task, data)
    assert len(task), f"{name} has no rows."
    right: list[Sample] = []
    odd: list[Sample] = []
    for at, row in enumerate(task.rows(0, rows)):
        assert row.problem is None, f"{name}, row {row.id}: {row.problem}"
        assert row.images, f"{name}, row {row.id} shows no image."
        tried = [
            sample_of(task, bench, row, Answer(text, 1, "stop")) for text in (row.target, *ODD)
        ]
        for text, sample in zip((row.target, *ODD), tried, strict=True):
            where = f"{name}, row {row.id}, answer {text[:20]!r}"
            assert sample.scores, f"{where}: {sample.error}"
            assert set(sample.scores) == set(tried[0].scores), f"{where}: other scores than usual."
            for key, value in sample.scores.items():
                assert value is None or math.isfinite(value), f"{where}: {key} is {value}."
        right.append(tried[0])
        odd.append(tried[1 + at % len(ODD)])
    arm, other = {name: tuple(right)}, {name: tuple(odd)}
    for level in levels_of(arm, {name: bench.columns}):
        assert not level.primary or level.figure is not None, (
            f"{name}: the reference answers give no figure '{level.column}'."
        )
    for figure in compare(other, arm, {name: bench.columns}, draws=100).benchmarks[0].figures:
        if figure.primary and figure.difference and figure.higher_is_better is not None:
            assert (figure.difference > 0) == figure.higher_is_better, (
                f"{name}: in '{figure.column}' odd answers are better than the reference's own."
            )


def assert_report(name: str) -> None:
    """Fail where a report breaks a promise of :data:`harness.Writer`.

    It writes a comparison and one model by itself; the file lies in the run folder and is not
    empty; the same input gives the same bytes; and what it is given is left as it is.

    Args:
        name: what ``--report`` takes.

    Raises:
        AssertionError: with a sentence that names the report.
    """
    write = load("reports", name)
    for made in (_compared(), _alone()):
        contents = []
        for _ in range(2):
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                path = write(made, folder)
                assert isinstance(path, Path), f"{name} returned {type(path).__name__}, not a Path."
                inside = path.resolve().is_relative_to(folder.resolve())
                assert inside, f"{name} wrote {path}, outside of the run folder."
                assert path.is_file() or path.is_dir(), f"{name} wrote no {path.name}."
                contents.append(path.read_bytes() if path.is_file() else b"a folder")
        assert contents[0], f"{name} wrote an empty file."
        assert contents[0] == contents[1], f"{name}: the same input gave other bytes."


def _rows(right: Sequence[bool]) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            id=f"{at} {ODD[at % len(ODD)]}",
            content=f"content {at}",
            cluster=f"image {at // 2}",
            prompt=f"Is it there? {ODD[at % len(ODD)]}",
            target="yes",
            answer="yes" if good else ODD[at % len(ODD)],
            tokens=1,
            finish="stop",
            scores={"right": float(good)},
        )
        for at, good in enumerate(right)
    )


def _compared() -> ReportInput:
    """Return a comparison whose texts are hostile, and whose figures are partly missing."""
    from harness.benchmark import mean_of

    columns = (mean_of("right", name="accuracy", primary=True), mean_of("absent", name="absent"))
    before, after = ({"made-up": _rows([at % n == 0 for at in range(24)])} for n in (3, 2))
    found = compare(before, after, {"made-up": columns}, draws=100)
    return ReportInput(found, "mine", "a model", before=before, after=after)


def _alone() -> ReportInput:
    from harness.benchmark import mean_of

    after = {"made-up": _rows([at % 2 == 0 for at in range(24)])}
    levels = levels_of(after, {"made-up": (mean_of("right", name="accuracy", primary=True),)})
    return ReportInput(None, "eval", "a model", after=after, levels=levels)
