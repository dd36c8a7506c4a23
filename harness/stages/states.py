"""How far the stages of a run are, read from its folder alone or for what a plan expects there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from harness.context import Plan
from harness.dpo import read_curves
from harness.errors import HarnessError, UsageError, near_miss
from harness.judge import last_judging, place
from harness.model import Model
from harness.records import Sample, from_json, settled
from harness.stages.pair_parts import parts_in
from harness.stages.training import TRAINING
from harness.storage import Journal, Memo, header_of, seal_of

T = TypeVar("T")

BEFORE, PAIRS, TRAIN, AFTER, JUDGE, REPORT = "before", "pairs", "train", "after", "judge", "report"
STAGES = (BEFORE, PAIRS, TRAIN, AFTER, JUDGE, REPORT)
"""In the order of a run."""
_NEEDS = {TRAIN: (PAIRS,), AFTER: (TRAIN,), JUDGE: (BEFORE, AFTER), REPORT: STAGES[:-1]}
DONE, BEGUN, MISSING = "done", "begun", "missing"


@dataclass(frozen=True)
class Part:
    """How far one part of a stage is: a benchmark, or the whole of it (then the name is empty).

    ``total`` is ``None`` if it is not known yet. Rows are ``unmeasured`` that have no answer or
    score; the same command asks for them again.
    """

    name: str
    done: int = 0
    total: int | None = None
    complete: bool = False
    unmeasured: int = 0


@dataclass(frozen=True)
class StageState:
    """How far a stage, one of :data:`STAGES`, is: its parts, and the unit that is counted.

    ``ahead`` are parts that jobs of their own answer before the stage itself begins (see
    :class:`harness.stages.PairPart`); they make nothing of it done. ``answered`` counts their
    units, each once: parts of two divisions, 1/2 and 1/3, share some.
    """

    stage: str
    unit: str
    parts: tuple[Part, ...]
    ahead: tuple[Part, ...] = ()
    answered: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return all(part.complete for part in self.parts)

    @property
    def usable(self) -> bool:
        """Whether later stages can work on it: they count rows that were not measured."""
        return all(
            part.complete or (part.unmeasured > 0 and part.total in (None, part.done))
            for part in self.parts
        )

    @property
    def state(self) -> str:
        """``done``, ``begun`` or ``missing``."""
        if self.complete:
            return DONE
        begun = any(part.done or part.complete for part in (*self.parts, *self.ahead))
        return BEGUN if begun else MISSING

    @property
    def done(self) -> int:
        """How many units are on disk: those answered ahead until the stage itself begins."""
        return sum(part.done for part in self.parts) or self.answered

    @property
    def total(self) -> int | None:
        """How many there will be, if that is known."""
        totals = [part.total for part in self.parts]
        return None if None in totals else sum(total or 0 for total in totals)


def checked_stages(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of stages in the order of a run.

    Raises:
        UsageError: if there is no such stage, naming the near miss.
    """
    for name in names:
        if name not in STAGES:
            raise UsageError(
                f"There is no stage '{name}'.{near_miss(name, STAGES)} A run has: "
                f"{', '.join(STAGES)}."
            )
    return tuple(stage for stage in STAGES if stage in names)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the files of a run have to be made from; those of other inputs count as missing.

    Fingerprints of the journals by arm and benchmark, that of the pairs (``None`` for any), how
    many prompts there are, and fingerprint and prompts of every part that was begun, by its name.
    """

    prints: Mapping[str, Mapping[str, str]]
    pairs: str | None
    prompts: int
    ahead: Mapping[str, tuple[str, int]] = field(default_factory=dict)


def stages_of(
    folder: Path,
    benches: Sequence[str],
    *,
    trained: bool = True,
    judged: bool = False,
    limit: int | None = None,
    expected: Expected | None = None,
) -> tuple[StageState, ...]:
    """Read how far every stage of a run is.

    A run that is not ``trained`` measures one model, as after; where it is ``judged``, a judge has
    to score its answers; ``expected`` is what its files have to be made from, if that is known.
    """
    prints = expected.prints if expected is not None else {}
    arms = []
    for arm in (BEFORE, AFTER) if trained else (AFTER,):
        parts = [_rows(folder / arm / f"{b}.jsonl", prints.get(arm, {}).get(b)) for b in benches]
        arms.append(StageState(arm, "answers", tuple(parts)))
    arms = _with_totals(arms, limit)
    found = list(arms)
    if trained:
        wanted = (expected.pairs, expected.prompts) if expected is not None else (None, None)
        pairs = _pairs(folder, *wanted)
        ahead, answered = ((), 0) if pairs.complete else _ahead(folder, expected)
        found.append(StageState(PAIRS, "prompts", (pairs,), ahead, answered))
        found.append(StageState(TRAIN, "steps", (_training(folder, pairs.complete),)))
    if judged:
        found.append(StageState(JUDGE, "verdicts", (_judged(folder),)))
    whole = all(part.done and part.done == part.total for arm in arms for part in arm.parts)
    found.append(StageState(REPORT, "reports", (_reported(folder, whole),)))
    return tuple(sorted(found, key=lambda each: STAGES.index(each.stage)))


def bars_of(plan: Plan) -> list[str]:
    """Return the bars that a run shows, in their order; what is done already shows none."""
    asked = plan.settings
    count = asked.rounds.count if asked.rounds is not None else 1
    arms = [f"rounds/{number}/{AFTER}" for number in range(1, count) if asked.eval_rounds]
    return [
        *(f"{BEFORE} {benchmark.name}" for benchmark in plan.benchmarks),
        *[PAIRS, TRAIN] * count,
        *(f"{arm} {benchmark.name}" for arm in (AFTER, *arms) for benchmark in plan.benchmarks),
        *([JUDGE] if plan.judged else []),
    ]


def stages_of_plan(plan: Plan, model: Model, folder: Path) -> tuple[StageState, ...]:
    """Read how far every stage of a run is, counting only what was made from the plan's inputs."""
    before = plan.prints(model.fingerprint)
    after = dict.fromkeys(before, "none")
    path = checkpoint_in(folder)
    if path is not None:
        with contextlib.suppress(HarnessError):  # what cannot be opened has no answers
            after = plan.prints(model.with_adapter(path).fingerprint)
    rounds = plan.settings.rounds is not None  # then the pairs are those of the last round
    parts = {part.name: part.of(plan) for part in parts_in(folder)}
    return stages_of(
        folder,
        list(before),
        judged=plan.judged,
        limit=plan.settings.limit,
        expected=Expected(
            prints={BEFORE: before, AFTER: after},
            pairs=None if rounds else plan.pairs_print(model.fingerprint),
            prompts=len(plan.prompts) + len(plan.dropped),
            ahead={
                name: (own.pairs_print(model.fingerprint), len(own.prompts))
                for name, own in parts.items()
            },
        ),
    )


def _with_totals(arms: Sequence[StageState], limit: int | None) -> list[StageState]:
    """Both arms have the same rows, so one that is complete says how many the other will have."""
    known = {part.name: part.total for arm in arms for part in arm.parts if part.total is not None}
    return [
        replace(arm, parts=tuple(replace(p, total=known.get(p.name, limit)) for p in arm.parts))
        for arm in arms
    ]


def require(stage: str, states: Sequence[StageState], folder: Path) -> None:
    """Refuse a stage whose inputs are not there.

    Raises:
        UsageError: says what is missing, and what to type.
    """
    left = [each.stage for each in states if not each.usable]
    if any(each in left for each in _NEEDS[stage]):
        missing = [each for each in left if each in _all_needs(stage)]
        raise UsageError(
            f"The stage '{stage}' needs {', '.join(missing)} first: {told(states, folder)} Run "
            f"the same command with --only {','.join((*missing, stage))}, or without --only for "
            "all stages."
        )


def _all_needs(stage: str) -> set[str]:
    direct = _NEEDS.get(stage, ())
    return set(direct).union(*map(_all_needs, direct))


def told(states: Sequence[StageState], folder: Path) -> str:
    """Say in one sentence what a run folder holds and what is missing."""
    there = [f"{each.stage} ({_count(each)})" for each in states if each.state != MISSING]
    missing = [each.stage for each in states if each.state == MISSING]
    text = f"{folder} holds {', '.join(there) or 'no finished stage'}"
    return f"{text}; missing: {', '.join(missing)}." if missing else f"{text}; nothing is missing."


def _count(state: StageState) -> str:
    if state.stage == REPORT:
        return "written" if state.complete else "older than what it rests on"
    of = f" of {state.total}" if state.total not in (None, state.done) else ""
    lost = sum(part.unmeasured for part in state.parts)
    left = "" if state.complete else ", unfinished"
    return f"{state.done}{of} {state.unit}{left}{f', {lost} not measured' if lost else ''}"


def _rows(path: Path, wanted: str | None) -> Part:
    journal = _journal(path, wanted, partial(from_json, Sample))
    if journal is None:
        return Part(path.stem)
    lost = sum(not settled(row) for row in journal.rows)
    done = journal.complete and not lost
    return Part(
        path.stem, len(journal.rows), len(journal.rows) if journal.complete else None, done, lost
    )


def _pairs(folder: Path, wanted: str | None, prompts: int | None) -> Part:
    return _asked(folder, wanted, prompts)[0]


def _asked(folder: Path, wanted: str | None, prompts: int | None) -> tuple[Part, set[str]]:
    """Return how far pairs are, and the ids of the prompts they are of."""
    journal = _journal(folder / "pairs.jsonl", wanted, _prompt_id)
    if journal is None:
        return Part("", 0, prompts), set()
    ids = set(journal.rows)
    total = len(ids) if journal.complete else prompts
    return Part("", len(ids), total, journal.complete), ids


def _ahead(folder: Path, expected: Expected | None) -> tuple[tuple[Part, ...], int]:
    """Return the parts that were begun, and how many prompts they have answered together."""
    found, answered = [], set[str]()
    for part in parts_in(folder):
        wanted = expected.ahead.get(part.name, ("", 0)) if expected is not None else (None, None)
        state, ids = _asked(part.folder(folder), *wanted)
        found.append(replace(state, name=part.name))
        answered |= ids
    return tuple(found), len(answered)


def _journal(path: Path, wanted: str | None, parse: Callable[[Any], T]) -> Journal[T] | None:
    """Open a journal without writing to it; ``None`` where there is none for these inputs."""
    found = header_of(path)
    return None if found is None or wanted not in (None, found) else Journal(path, found, parse)


def _prompt_id(row: Mapping[str, Any]) -> str:
    return str(row["prompt"]["id"])


def _training(folder: Path, paired: bool) -> Part:
    curves = read_curves(folder)
    steps = int(max((curve.points[-1][0] for curve in curves), default=0))
    done = paired and checkpoint_in(folder) is not None
    return Part("", steps, steps if done else None, done)


def checkpoint_in(folder: Path) -> Path | None:
    """Return the checkpoint of a run whose training is finished."""
    state = Memo(folder / TRAINING).read() or {}
    path = folder / str(state.get("path"))
    return path if state.get("files") is not None and path.is_dir() else None


def _judged(folder: Path) -> Part:
    """Count verdicts; they stand as long as the answers are those that they were given for."""
    last = last_judging(folder)
    if last is None:
        return Part("")
    judging, stand = last[1], True
    for arm in (BEFORE, AFTER):
        for bench in judging.benchmarks:
            try:
                raw = seal_of(folder / arm / f"{bench}.jsonl")
                seal = seal_of(place(folder, arm, bench))
            except OSError:
                return Part("", judging.verdicts, unmeasured=judging.missing)
            stand &= seal.fits and seal.source == raw.digest
    return Part("", judging.verdicts, None, stand and not judging.missing, judging.missing)


def _reported(folder: Path, whole: bool) -> Part:
    """A report stands as long as all that it rests on is there, and older."""
    rests_on = [*folder.glob("before/*.jsonl"), *folder.glob("after/*.jsonl")]
    rests_on += folder.glob("judged/*/*.jsonl")
    try:
        written = (folder / "comparison.json").stat().st_mtime_ns
        stands = all(path.stat().st_mtime_ns <= written for path in rests_on)
    except OSError:
        return Part("", 0, 1)
    return Part("", 1, 1, whole and stands)
