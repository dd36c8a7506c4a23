"""``--baseline``: take the answers before from a shared run instead of asking the model again.

A journal of a benchmark may be taken over exactly when its header carries the fingerprint that this
run would write: the same weights, engine, data, scoring code and limit. Where it does not, the run
says which of them differ and asks the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import progress
from harness.errors import HarnessError
from harness.records import Sample
from harness.runs.bundles import file_digest, unpacked
from harness.storage import journal_of, write_json, write_whole

_ARM = "before"
_NOTED = "taken.json"


def take_before(source: Path, folder: Path, prints: Mapping[str, str]) -> None:
    """Copy the journals of a bundle or run that are the ones this run needs.

    Args:
        source: the bundle or run folder.
        folder: this run's folder; what it has finished itself is kept.
        prints: by benchmark, the fingerprint that its journal must carry.

    Raises:
        UsageError: if there is no such bundle or run.
        HarnessError: if the bundle is damaged.
    """
    with unpacked(source) as theirs:
        known = _noted(folder)
        for name, wanted in prints.items():
            mine = folder / _ARM / f"{name}.jsonl"
            if journal_of(mine, wanted, Sample).complete:
                continue
            # A model that was measured by itself has the arm "after" alone.
            others = [theirs / arm / f"{name}.jsonl" for arm in (_ARM, "after")]
            other = next((o for o in others if journal_of(o, wanted, Sample).complete), None)
            if other is not None:
                write_whole(mine, other.read_text(encoding="utf-8"))
                known[name] = {"fingerprint": wanted, "source": _called(source)}
                write_json(folder / _ARM / _NOTED, known)
                progress.say(f"before {name}: taken from {source}")
            else:
                reason = _reason(name, theirs, folder)
                progress.say(f"before {name}: not taken from {source}, {reason}")


def notes_on_before(folder: Path) -> tuple[str, ...]:
    """Say in the report which benchmarks' answers before were taken from where."""
    taken: dict[str, list[str]] = {}
    for name, entry in _noted(folder).items():
        # A journal that was begun anew since, by another engine, is this run's own.
        if journal_of(folder / _ARM / f"{name}.jsonl", entry["fingerprint"], Sample).complete:
            taken.setdefault(entry["source"], []).append(name)
    return tuple(
        f"Before taken from {source}, not measured in this run: {', '.join(names)}."
        for source, names in taken.items()
    )


def _called(source: Path) -> str:
    if source.is_dir():
        return source.resolve().name
    return f"{source.name} (sha256 {file_digest(source)[:12]})"


def _noted(folder: Path) -> dict[str, dict[str, str]]:
    try:
        noted = json.loads((folder / _ARM / _NOTED).read_text(encoding="utf-8"))
        return {
            str(name): {key: str(entry[key]) for key in ("fingerprint", "source")}
            for name, entry in noted.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _reason(name: str, theirs: Path, mine: Path) -> str:
    """Name what differs, as far as the two settings.json say."""
    if not any((theirs / arm / f"{name}.jsonl").is_file() for arm in (_ARM, "after")):
        return "which did not measure it"
    there, here = _parts(name, theirs), _parts(name, mine)
    differing = [what for what, value in here.items() if there.get(what) != value]
    if not differing:
        return "because its rows are unfinished or of another version"
    return f"because of {' and '.join(differing)}"


def _parts(name: str, folder: Path) -> dict[str, Any]:
    try:
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        inputs, measured = settings["inputs"], settings.get("measured", {})
        data, scored = inputs.get(f"data:{name}"), inputs.get(f"bench:{name}")
        limit = settings["asked"].get("limit")
        cut = settings["asked"].get("max_new_tokens")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HarnessError(
            f"{folder / 'settings.json'} is damaged or was written by another version ({error}). "
            "Leave out --baseline to measure the model here."
        ) from error
    return {
        "other weights": measured.get("model"),
        "another engine": measured.get("engine"),
        "other data": data,
        "other data or scoring code": scored,
        "another --limit": limit,
        "another --max-new-tokens": cut,
    }
