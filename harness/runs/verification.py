"""Check a run or a bundle: do its numbers and verdicts follow from its rows?

Three questions, none of which needs a model: is every member what the manifest says; what do the
rows give when they are compared again with the recorded seed, draws, level and margin; and is that
what was recorded? What this cannot show is that the rows were measured as stated: for that, compare
the bundle's SHA-256 with the one that its author published.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

from harness.benchmark import Metric
from harness.compare import compare
from harness.contamination import overlaps_of
from harness.errors import HarnessError, UsageError
from harness.records import to_json
from harness.runs.bundles import file_digest, unpacked, wrong_members
from harness.runs.finished import FinishedRun, columns_of, open_run
from harness.storage import folder_digest, lines_of

OK, DIFFERS, UNKNOWN, ALONE = "ok", "differs", "not recomputable", "one model alone"

_TOLERANCE = 1e-9
"""Relative. Records keep ten decimals; another processor or numpy may add in another order."""
_FAMILY = frozenset(("p_holm", "p_discovery", "p_margin", "detectable_corrected", "verdict"))
"""Fields of a figure that depend on the other benchmarks of the run."""


@dataclass(frozen=True)
class Check:
    """One column, or something else of a benchmark or the run, and whether it follows.

    Attributes:
        benchmark: its name; ``"run"`` for what is said of the run as a whole.
        part: the column, or ``"flips"``, ``"groups"``, ``"length"`` ...
        outcome: ``"ok"``, ``"differs"``, ``"not recomputable"``, or ``"one model alone"`` for an
            import or a measurement, which claims no number.
        details: what is recorded and what the rows give, or why nothing can be said.
    """

    benchmark: str
    part: str
    outcome: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """What the check of a run or a bundle came to.

    Attributes:
        path: what was checked.
        digest: SHA-256 of the bundle file; ``None`` for a run folder.
        changed: members (of a folder: checkpoint) that are not what was recorded.
        checks: everything that was recomputed.
        rows: how many rows of both arms, and of every training seed, it was recomputed from.
    """

    path: str
    digest: str | None
    changed: tuple[str, ...]
    checks: tuple[Check, ...]
    rows: int

    @property
    def passed(self) -> bool:
        """Whether nothing was changed and every part follows from the rows.

        Of one model's answers alone only the hashes of a bundle can be checked.
        """
        fine = (OK,) if self.digest is None else (OK, ALONE)
        return not self.changed and all(check.outcome in fine for check in self.checks)


def verify(path: Path) -> Verification:
    """Check a run folder or a bundle.

    Raises:
        UsageError: if there is neither.
        HarnessError: if a file in it cannot be read.
    """
    packed = path.is_file()
    changed = wrong_members(path) if packed else ()
    with unpacked(path, damaged=True) as folder:
        run = open_run(folder)
        if not packed:
            changed = _checkpoint(folder)
        checks = [*_recomputed(run), *_pairs(run, folder)]
    return Verification(
        path=str(path),
        digest=file_digest(path) if packed else None,
        changed=changed,
        checks=tuple(checks),
        rows=sum(
            len(rows)
            for arms in ((run.before, run.after), *run.more)
            for arm in arms
            for rows in arm.values()
        ),
    )


def _recomputed(run: FinishedRun) -> Iterator[Check]:
    recorded = run.report.comparison
    columns: dict[str, tuple[Metric, ...]] = {}
    for each in recorded.benchmarks:
        try:
            columns[each.name] = columns_of(each.name, run)
        except UsageError as error:
            yield Check(each.name, "all columns", UNKNOWN, (str(error),))
    if not recorded.benchmarks:
        yield Check("run", "comparison", ALONE, ("nothing is compared in it, so nothing follows",))
    if not columns:
        return
    try:
        found = compare(
            {name: run.before[name] for name in columns},
            {name: run.after[name] for name in columns},
            columns,
            seed=recorded.seed,
            draws=recorded.draws,
            margin=recorded.margin,
            alpha=recorded.alpha,
            partial=any(each.left_out for each in recorded.benchmarks),
            more=[
                ({name: one[name] for name in columns}, {name: two[name] for name in columns})
                for one, two in run.more
            ],
        )
    except HarnessError as error:
        yield Check("run", "comparison", UNKNOWN, (str(error),))
        return
    whole = len(columns) == len(recorded.benchmarks)
    kept = {each.name: to_json(each) for each in recorded.benchmarks}
    for again in found.benchmarks:
        yield from _benchmark(kept[again.name], to_json(again), whole)
    yield from _overlaps(run, columns)
    if whole:
        details = [
            *_different(recorded.verdict, found.verdict, "verdict"),
            *_different(recorded.family, found.family, "family"),
        ]
        yield _check("run", "verdict", details)


def _benchmark(
    recorded: Mapping[str, Any], again: Mapping[str, Any], whole: bool
) -> Iterator[Check]:
    name = str(again["name"])
    figures = {figure["column"]: figure for figure in recorded["figures"]}
    for figure in again["figures"]:
        column = figure["column"]
        left = frozenset() if whole else _FAMILY
        mine, theirs = (
            {key: value for key, value in each.items() if key not in left}
            for each in (figures.pop(column, {}), figure)
        )
        yield _check(name, column, list(_different(mine, theirs, "")))
    for column in figures:
        yield Check(name, column, UNKNOWN, ("the installed benchmark has no such column",))
    flips = _by_id(recorded["flips"]), _by_id(again["flips"])
    yield _check(name, "flips", list(_different(*flips, "row")))
    groups = _by_key(recorded["groups"]), _by_key(again["groups"])
    yield _check(name, "groups", list(_different(*groups, "group")))
    rest = [key for key in again if key not in ("name", "figures", "flips", "groups", "notes")]
    details = [text for key in rest for text in _different(recorded[key], again[key], key)]
    # A run may note more than its rows say, such as who judged; what they say must be there.
    details += [
        f"lacks the note: {note}" for note in again["notes"] if note not in recorded["notes"]
    ]
    yield _check(name, "rows and lengths", details)


def _overlaps(run: FinishedRun, columns: Mapping[str, Sequence[Metric]]) -> Iterator[Check]:
    """Compare again without the touched rows; the images themselves are not here."""
    wanted = [each for each in run.report.overlaps if each.touched.benchmark in columns]
    found = overlaps_of(
        [each.touched for each in wanted], run.before, run.after, columns, run.report.comparison
    )
    for old, new in zip(wanted, found, strict=True):
        if old.touched.ids:
            details = list(_different(to_json(old)["figures"], to_json(new)["figures"], "figures"))
            yield _check(old.touched.benchmark, "without training images", details)


def _pairs(run: FinishedRun, folder: Path) -> Iterator[Check]:
    """Count the pairs and drops that the run says it trained on."""
    journal = folder / "pairs.jsonl"
    if not journal.is_file():
        return
    pairs, dropped = 0, dict[str, int]()
    for _, line in lines_of(journal):
        try:
            row = json.loads(line)
        except ValueError as error:
            yield Check("run", "pairs", DIFFERS, (f"pairs.jsonl cannot be read: {error}",))
            return
        if "prompt" in row and "reason" in row:
            dropped[row["reason"]] = dropped.get(row["reason"], 0) + 1
        elif "prompt" in row:
            pairs += 1
    details = [
        *_different(run.report.pairs, pairs, "pairs"),
        *_different(dict(run.report.dropped), dropped, "dropped"),
    ]
    yield _check("run", "pairs", details)


def _checkpoint(folder: Path) -> tuple[str, ...]:
    """Compare the checkpoint of a run folder with the hash noted when it was trained."""
    try:
        state = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        path, files = folder / str(state["path"]), state["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    if not path.is_dir() or folder_digest(path) == files:
        return ()
    return (f"{state['path']} has changed since it was trained",)


def _check(benchmark: str, part: str, details: Sequence[str]) -> Check:
    return Check(benchmark, part, DIFFERS if details else OK, tuple(details))


def _different(recorded: Any, again: Any, where: str) -> Iterator[str]:
    """Say at each place where two JSON values differ what is recorded and what the rows give."""
    if isinstance(recorded, Mapping) and isinstance(again, Mapping):
        for key in dict.fromkeys([*recorded, *again]):
            inside = f"{where} {key}".strip()
            if key not in again:
                yield f"{inside} is recorded ({_text(recorded[key])}), and the rows do not give it"
            elif key not in recorded:
                yield f"{inside} is not recorded, and the rows give {_text(again[key])}"
            else:
                yield from _different(recorded[key], again[key], inside)
        return
    if isinstance(recorded, list) and isinstance(again, list) and len(recorded) == len(again):
        for place, (one, two) in enumerate(zip(recorded, again, strict=True)):
            yield from _different(one, two, f"{where}[{place}]")
        return
    numbers = all(type(value) in (int, float) for value in (recorded, again))
    if numbers and isclose(recorded, again, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
        return
    if recorded != again:
        yield f"{where} is recorded as {_text(recorded)}, and the rows give {_text(again)}"


def _by_id(flips: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {str(flip["id"]): flip for flip in flips}


def _by_key(groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{group['key']}={group['value']}": group for group in groups}


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 80 else text[:79] + "…"
