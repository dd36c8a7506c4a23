"""What follows from the rows of a finished run, compared with what was recorded of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import isclose
from pathlib import Path
from typing import Any

from harness.benchmark import Metric
from harness.compare import Comparison, compare, levels_of
from harness.dpo import read_effect
from harness.engine import is_unchanged
from harness.errors import HarnessError, UsageError
from harness.judge import place
from harness.pairs import read_pair_report
from harness.records import to_json
from harness.report import each_round
from harness.runs.finished import FinishedRun, arm_of, columns_of, seed_folder
from harness.stages import overlaps_of, round_folder
from harness.storage import Memo, lines_of, parse_json, read_json, seal_of

OK, DIFFERS, UNKNOWN, ALONE = "ok", "differs", "not recomputable", "one model alone"
OLDER = "another version"

_TOLERANCE = 1e-9
"""Relative. Records keep ten decimals; another processor or numpy may add in another order."""
_FAMILY = frozenset(
    ("p_holm", "p_discovery", "p_margin", "detectable_corrected", "interval_corrected", "verdict")
)
"""Fields of a figure that depend on the other benchmarks of the run."""


@dataclass(frozen=True)
class Check:
    """One column, or something else of a benchmark or the run, and whether it follows.

    Attributes:
        benchmark: its name; ``"run"`` for what is said of the run as a whole.
        part: the column, or ``"flips"``, ``"groups"``, ``"length"`` ...
        outcome: ``"ok"``, ``"differs"``, ``"not recomputable"``, ``"one model alone"`` for an
            import or a measurement, which claims no number, or ``"another version"`` for a figure
            that this version computes in another way.
        details: what is recorded and what the rows give, or why nothing can be said.
        derived: whether it is a figure that another version may compute in another way.
    """

    benchmark: str
    part: str
    outcome: str
    details: tuple[str, ...] = ()
    derived: bool = False


def followed(run: FinishedRun, folder: Path) -> tuple[list[Check], Comparison | None]:
    """Check everything about an opened run, and return what its rows give."""
    checks = [*_sealed(run, folder), *_checkpoint(folder, run.report.checkpoint)]
    for lying in sorted((folder / "rounds").glob("*")):
        checks += _checkpoint(lying, "")
    checks += _told_twice(run, folder)
    found: Comparison | None = None
    recomputed = list[Check]()
    columns: dict[str, tuple[Metric, ...]] = {}
    recorded = run.report.comparison
    for each in recorded.benchmarks if recorded is not None else ():
        try:
            columns[each.name] = columns_of(each.name, run)
        except UsageError as error:
            checks.append(Check(each.name, "all columns", UNKNOWN, (str(error),)))
    if recorded is None:
        recomputed += _levels(run)
    elif columns:
        try:
            found = recompute(run, recorded, columns)
            recomputed += _recomputed(run, recorded, found, columns)
        except HarnessError as error:
            checks.append(Check("run", "comparison", UNKNOWN, (str(error),)))
    if run.report.rounds is not None and found is not None and columns:
        recomputed += _rounds(run, folder, columns)
    recomputed += _pairs(folder, run.report.pairs, run.report.dropped)
    made = run.report.rounds.each if run.report.rounds is not None else ()
    for one in made:
        recomputed += _pairs(round_folder(folder, one.number), one.pairs, one.dropped)
    return [*checks, *recomputed], found


def recompute(
    run: FinishedRun, recorded: Comparison, columns: Mapping[str, Sequence[Metric]]
) -> Comparison:
    """Compare the rows of a run again, with the recorded seed, draws, level and margin."""
    return compare(
        {name: run.before[name] for name in columns},
        {name: run.after[name] for name in columns},
        columns,
        seed=recorded.seed,
        draws=recorded.draws,
        **asdict(recorded.terms),
        partial=any(each.left_out for each in recorded.benchmarks),
        more=[
            ({name: one[name] for name in columns}, {name: two[name] for name in columns})
            for one, two in run.more
        ],
    )


def _recomputed(
    run: FinishedRun,
    recorded: Comparison,
    found: Comparison,
    columns: Mapping[str, Sequence[Metric]],
) -> Iterator[Check]:
    whole = len(columns) == len(recorded.benchmarks)
    kept = {each.name: to_json(each) for each in recorded.benchmarks}
    for again in found.benchmarks:
        yield from _benchmark(kept[again.name], to_json(again), whole)
    yield from _overlaps(run, recorded, columns)
    if whole:
        details = [
            *_different(recorded.verdict, found.verdict, "verdict"),
            *_different(recorded.family, found.family, "family"),
        ]
        yield _check("run", "verdict", details, derived=True)


def _sealed(run: FinishedRun, folder: Path) -> Iterator[Check]:
    """Hold every journal against its last line, and judged rows against those they judge."""
    details = []
    judged = run.report.judging.benchmarks if run.report.judging is not None else ()
    arms = [folder, *(seed_folder(folder, index + 1) for index in range(len(run.more)))]
    for base, arm, name in product(arms, ("before", "after"), judged):
        raw, verdicts = base / arm / f"{name}.jsonl", place(base, arm, name)
        if not raw.is_file() or not verdicts.is_file():  # one model alone has no arm before
            continue
        try:
            rows, marked = seal_of(raw), seal_of(verdicts)
        except (OSError, ValueError) as error:
            details.append(f"the journals of {name} {arm} cannot be read: {error}")
            continue
        if not rows.fits:
            details.append(f"the rows of {arm}/{name}.jsonl are not those that were written")
        if marked.source and marked.source != rows.digest:
            details.append(f"{arm}/{name}.jsonl is not what was judged")
    if judged:
        yield _check("run", "judged answers", details)


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
        yield _check(name, column, list(_different(mine, theirs, "")), derived=True)
    for column in figures:
        yield Check(
            name, column, DIFFERS, ("the installed benchmark lacks this column",), derived=True
        )
    flips = _by_id(recorded["flips"]), _by_id(again["flips"])
    yield _check(name, "flips", list(_different(*flips, "row")), derived=True)
    groups = _by_key(recorded["groups"]), _by_key(again["groups"])
    yield _check(name, "groups", list(_different(*groups, "group")), derived=True)
    rest = [key for key in again if key not in ("name", "figures", "flips", "groups", "notes")]
    details = [text for key in rest for text in _different(recorded[key], again[key], key)]
    # A run may note more than its rows say, such as who judged; what they say must be there.
    details += [
        f"lacks the note: {note}" for note in again["notes"] if note not in recorded["notes"]
    ]
    yield _check(name, "rows and lengths", details, derived=True)


def _rounds(
    run: FinishedRun, folder: Path, columns: Mapping[str, Sequence[Metric]]
) -> Iterator[Check]:
    """Compare the rows of every round again, where the run recorded figures of it."""
    recorded = run.report.rounds
    if recorded is None or not any(each.figures for each in recorded.each):
        return
    judged = run.report.judging.benchmarks if run.report.judging is not None else ()
    try:
        arms = {
            number: arm_of(round_folder(folder, number), "after", columns, judged)
            for number in recorded.evaluated
        }
        again = each_round(run.report, arms, columns).rounds
    except (HarnessError, KeyError, OSError) as error:
        yield Check("run", "rounds", UNKNOWN, (str(error),))
        return
    details = list(_different(to_json(recorded), to_json(again), "rounds"))
    yield _check("run", "rounds", details, derived=True)


def _levels(run: FinishedRun) -> Iterator[Check]:
    """Measure one model again from its rows; a file of version 0.1 claims no figure."""
    recorded: dict[str, dict[str, Any]] = {}
    for level in run.report.levels:
        recorded.setdefault(level.benchmark, {})[level.column] = to_json(level)
    if not recorded:
        yield Check("run", "comparison", ALONE, ("nothing is compared in it, so nothing follows",))
    for name, kept in recorded.items():
        try:
            again = levels_of({name: run.after[name]}, {name: columns_of(name, run)})
        except (UsageError, KeyError) as error:
            yield Check(name, "all columns", UNKNOWN, (str(error),))
            continue
        for level in again:
            old = kept.pop(level.column, {})
            yield _check(
                name, level.column, list(_different(old, to_json(level), "")), derived=True
            )
        for column in kept:
            yield Check(name, column, UNKNOWN, ("the installed benchmark lacks this column",))


def _overlaps(
    run: FinishedRun, recorded: Comparison, columns: Mapping[str, Sequence[Metric]]
) -> Iterator[Check]:
    """Compare again without the touched rows; the images themselves are not here."""
    wanted = [each for each in run.report.overlaps if each.touched.benchmark in columns]
    touched = [each.touched for each in wanted]
    found = overlaps_of(touched, run.before, run.after, columns, recorded, run.more)
    for old, new in zip(wanted, found, strict=True):
        if old.touched.ids:
            details = list(_different(to_json(old)["figures"], to_json(new)["figures"], "figures"))
            yield _check(old.touched.benchmark, "without training images", details, derived=True)


def _pairs(folder: Path, recorded: int, reasons: Mapping[str, int]) -> Iterator[Check]:
    """Count the pairs and drops that the run, or one of its rounds, says it trained on."""
    journal, again = folder / "pairs.jsonl", folder / "dropped.jsonl"
    if not journal.is_file():
        return
    pairs, dropped = 0, list[Mapping[str, Any]]()
    details = []
    try:
        for _, line in lines_of(journal):
            row = parse_json(line)
            if "prompt" in row and "reason" in row:
                dropped.append(row)
            elif "prompt" in row:
                pairs += 1
        if not seal_of(journal).fits:
            details.append(f"the lines of {_named(journal)} are not those that were written")
        if again.is_file() and [parse_json(line) for _, line in lines_of(again)] != dropped:
            details.append(f"{_named(again)} does not hold the drops of pairs.jsonl")
    except (OSError, ValueError, TypeError, HarnessError) as error:
        details.append(f"{_named(journal)} cannot be read: {error}")
    counted = Counter(str(row["reason"]) for row in dropped)
    details += [
        *_different(recorded, pairs, "pairs"),
        *_different(dict(reasons), dict(counted), "dropped"),
    ]
    yield _check("run", _of_round("pairs", folder), details)


def _checkpoint(folder: Path, recorded: str) -> Iterator[Check]:
    """Compare the checkpoint of a run or round with the hash noted when it was trained."""
    file = folder / "training.json"
    if not file.is_file():
        return
    try:
        state = read_json(file)
        where, files = str(state["path"]), str(state["files"])
        path = folder / where
        # A run over several seeds names the checkpoint of its first one, which lies beside it.
        if recorded.startswith("../") and not path.is_dir():
            path = folder / recorded
        beside = path.resolve().is_relative_to(folder.resolve().parent)
        changed = path.is_dir() and beside and not is_unchanged(path, files)
    except (OSError, ValueError, KeyError, TypeError) as error:
        told = [f"{_named(file)} cannot be read: {error!r}"]
    else:
        told = [f"{where} has changed since it was trained"] if changed else []
        if not path.is_dir() and any((folder / "checkpoint").glob("*/*.safetensors")):
            told.append(f"{_named(file)} names {where}, which is not there")
        here = bool(recorded) and not recorded.startswith("../")
        if here and not Path(where).is_relative_to(recorded):
            told.append(f"comparison.json names the checkpoint {recorded}, training.json {where}")
    joined, start = (Memo(folder / "checkpoint" / name) for name in ("joined.json", "merged.json"))
    for memo in (joined, start, Memo(folder / "merged.json", key="adapter")):
        note, made = memo.read() or {}, memo.path.with_suffix("")
        if note.get("files") and made.is_dir() and not is_unchanged(made, note["files"]):
            told.append(f"{made.relative_to(folder)} has changed since it was made")
    yield _check("run", _of_round("checkpoint", folder), told)


def _told_twice(run: FinishedRun, folder: Path) -> Iterator[Check]:
    """Hold what a report says of training and pairs against the stages' own files."""
    rounds = run.report.rounds.each if run.report.rounds is not None else ()
    trained = [(folder, run.report.training)]
    trained += [(round_folder(folder, each.number), each.training) for each in rounds]
    details = list[str]()
    for base, recorded in trained:
        if recorded is not None and (base / "checkpoint" / "effect.json").is_file():
            kept = read_effect(base)
            known = to_json(kept) if kept is not None else None
            details += _different(to_json(recorded), known, "training")
    doctor = read_json(folder / "comparison.json")["run"].get("doctor")
    if doctor is not None and (folder / "pair_report.json").is_file():
        told = read_pair_report(folder)
        lean = to_json(replace(told, examples=())) if told is not None else None
        details += _different({**doctor, "examples": []}, lean, "pair report")
    yield _check("run", "training and pair report", details)


def _named(file: Path) -> str:
    """Name a file from its run folder on."""
    inside = file.parent.parent.name == "rounds"
    return "/".join(file.parts[-3:]) if inside else file.name


def _of_round(part: str, folder: Path) -> str:
    return f"{part} of round {folder.name}" if folder.parent.name == "rounds" else part


def _check(benchmark: str, part: str, details: Sequence[str], *, derived: bool = False) -> Check:
    return Check(benchmark, part, DIFFERS if details else OK, tuple(details), derived)


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
