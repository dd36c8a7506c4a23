"""``--baseline``: take the answers before from a shared run instead of asking the model again.

A journal of a benchmark may be taken over exactly when its header carries the fingerprint that this
run would write: the same weights, engine, data, scoring code and limit. Where it does not, the run
says which of them differ and asks the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import progress
from harness.context import Context, Plan
from harness.records import Sample
from harness.report import Taken
from harness.runs.bundles import unpacked
from harness.storage import Memo, RunRecord, file_digest, journal_of, memos_in, write_whole

BEFORE = "before"
_TAKEN = "taken.json"


def take_before(context: Context[Plan], model: str) -> None:
    """Copy the journals of the run's baseline that are the ones this run needs.

    What the run has finished itself is kept.

    Raises:
        UsageError: if there is no such bundle or run.
        HarnessError: if the bundle is damaged.
    """
    source, folder = context.plan.settings.baseline, context.folder
    assert source is not None, "this run has no baseline"
    with unpacked(source) as theirs:
        for name, wanted in context.plan.prints(model).items():
            mine = folder / BEFORE / f"{name}.jsonl"
            if journal_of(mine, wanted, Sample).complete:
                continue
            # A model that was measured by itself has the arm "after" alone.
            others = [theirs / arm / f"{name}.jsonl" for arm in (BEFORE, "after")]
            other = next((o for o in others if journal_of(o, wanted, Sample).complete), None)
            if other is not None:
                write_whole(mine, other.read_text(encoding="utf-8"))
                taken_memo(folder, name).write(wanted, source=_called(source))
                progress.say(f"before {name}: taken from {source}")
            else:
                reason = _reason(name, theirs, folder)
                progress.say(f"before {name}: not taken from {source}, {reason}")


def _called(source: Path) -> str:
    if source.is_dir():
        return source.resolve().name
    return f"{source.name} (sha256 {file_digest(source)[:12]})"


def _reason(name: str, theirs: Path, mine: Path) -> str:
    """Name what differs, as far as the two settings.json say."""
    if not any((theirs / arm / f"{name}.jsonl").is_file() for arm in (BEFORE, "after")):
        return "which did not measure it"
    there, here = _parts(name, theirs), _parts(name, mine)
    differing = [what for what, value in here.items() if there.get(what) != value]
    if not differing:
        return "because its rows are unfinished or of another version"
    return f"because of {' and '.join(differing)}"


def _parts(name: str, folder: Path) -> dict[str, Any]:
    record = RunRecord.read(folder)
    return {
        "other weights": record.measured.get("model"),
        "another engine": record.measured.get("engine"),
        "other data": record.inputs.get(f"data:{name}"),
        "other data or scoring code": record.inputs.get(f"bench:{name}"),
        "another --limit": record.asked.get("limit"),
        "another --max-new-tokens": record.asked.get("max_new_tokens"),
    }


def taken_in(folder: Path) -> tuple[Taken, ...]:
    """Return which benchmarks' answers before a run has taken, and from where."""
    taken: dict[str, list[str]] = {}
    for memo in memos_in(folder / BEFORE / _TAKEN):
        noted, journal = memo.read(), folder / BEFORE / f"{memo.part}.jsonl"
        # A journal that was begun anew since, by another engine, is this run's own.
        if noted and journal_of(journal, noted[memo.key], Sample).complete:
            taken.setdefault(str(noted.get("source")), []).append(str(memo.part))
    return tuple(Taken(source, tuple(names)) for source, names in taken.items())


def taken_memo(folder: Path, name: str) -> Memo:
    """Return the note on a benchmark whose answers before were taken from another run."""
    return Memo(folder / BEFORE / _TAKEN, part=name)
