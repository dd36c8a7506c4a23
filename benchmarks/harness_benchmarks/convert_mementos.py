"""Mementos' official files: descriptions, laid-out sequences, and graphs of synonyms.

The repository has a table of descriptions for each domain and, in ``sym_graphs``, the synonyms of
its objects and actions. The images come in three archives beside ``single_image`` ones with every
picture alone; the former, one image for a sequence, are what the tables name. The graphs are
pickles, which can run code when they are loaded: they are taken apart here, never loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from harness.benchmark import Files, Reading, SourceFiles, SourceRow, malformed
from harness_benchmarks.graphs import StrangeGraphError, synonyms
from harness_benchmarks.standins import StandIns, standins_of

DOMAINS = {"cmc": "comics", "dl": "daily-life", "robo": "robotics"}
KINDS = {"objects": "object", "behaviors": "action"}
_NAMES = ("image_name", "image")
_TEXTS = ("gt_description", "description", "human_description")
QUESTION = (
    "Write a description for the given image sequence in a single paragraph, what is happening in "
    "this episode?"
)
"""The authors' question, as HELM asks it (helm/benchmark/scenarios, mementos_scenario.py)."""
_GIT = "https://github.com/si0wang/Mementos"


def read(files: Files) -> Reading:
    """Read tables and graphs; a graph that is absent leaves its rows without a list of words."""
    rows: list[SourceRow] = []
    lists: dict[str, str] = {}
    for short, domain in DOMAINS.items():
        words: dict[str, StandIns | None] = {}
        for kind, name in KINDS.items():
            lines = _lines(files, f"{short}_{name}_graph_v1.pkl", f"{domain} has no list of {kind}")
            words[kind] = standins_of(lines) if lines else None
            if lines:
                lists[f"{kind}-{domain}.txt"] = "".join(f"{', '.join(line)}\n" for line in lines)
        table = files.table(f"{short}_description.csv")
        rows += [_entry(domain, where, row, words) for where, row in table]
    empty = sum(not all(row.values[kind] for kind in KINDS) for row in rows)
    if empty:
        told = (
            f"{empty} of {len(rows)} descriptions use no word of a list; only a judge scores them"
        )
        files.notes.append(told)
    return Reading(rows, lists)


def _entry(
    domain: str, where: str, row: Mapping[str, str], words: Mapping[str, StandIns | None]
) -> SourceRow:
    image = next((row[name] for name in _NAMES if name in row), "").strip()
    text = next((row[name] for name in _TEXTS if name in row), "").strip()
    if not image or not text:
        raise malformed(where, "the name of an image and a description were expected")
    stem = PurePosixPath(image).stem
    found = {
        kind: table.mentions(text, nouns=kind == "objects") if table else ()
        for kind, table in words.items()
    }
    values = {
        "question_id": stem,
        "domain": domain,
        "question": QUESTION,
        "description": text,
        **found,
    }
    return SourceRow(stem, where, values, (image, f"{stem}.jpg", f"{stem}.png"))


def _lines(files: Files, name: str, without: str) -> list[tuple[str, ...]]:
    """Return a list's lines: each word of a reference, then the words that may stand for it."""
    if files.find(name) is None:
        files.notes.append(f"{name} is not there, so {without}")
        return []
    try:
        pairs = synonyms(files.data(name))
    except StrangeGraphError as error:
        raise malformed(name, str(error)) from error
    lines: dict[str, list[str]] = {}
    for word, goal in pairs:
        lines.setdefault(word, [])
        lines.setdefault(goal, []).extend([word] if word != goal else [])
    return [(goal, *sorted(set(lines[goal]))) for goal in sorted(lines)]


OFFICIAL = SourceFiles(
    fetch=(
        f"cmc_description.csv, dl_description.csv, robo_description.csv and the folder sym_graphs, "
        f"from {_GIT}",
        "the images of comics, dailylife and robotics, one image for a sequence (not those that "
        "begin with single_image), from the link in its README",
    ),
    rows=697,
    images=697,
    read=read,
)
