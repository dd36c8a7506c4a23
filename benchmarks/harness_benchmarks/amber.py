"""AMBER, generative part: what a description covers, and what it invents (arXiv 2311.07397).

A row of the hub's data set, cut short:

    {"question_id": 1, "truth": ["mountain", "person", "sky", ...], "hallu": ["bird", "hat", ...],
     "task_type": "generative", "image": ...}

``CHAIR``: the share of absent things among those named; ``Cover``: the share of annotated things
that are named; ``Hal``: the share of descriptions with an absent thing; ``Cog``: the share of
the things people tend to imagine here that are named. Lower is better but for Cover; lmms-eval
marks Cog the other way round. It also starts every row's counters at the 0.001 that AMBER starts
its whole count at, which lowers Hal by about a tenth of a point; here counters start at zero.

AMBER's lists are not in its data set: ``harness data convert amber`` makes both from the authors'
files, or ``relation.json`` and ``safe_words.txt`` are put into ``amber_g/metadata``. The official
scorer counts nouns, found with NLTK's tagger, and takes spaCy's word vectors for synonyms when they
agree to more than 0.8. Here nouns are found by :mod:`harness_benchmarks.nouns`, and synonyms are
those of the association list alone. As there, a word counts for one annotated thing only, the
first that it fits, and a safe word counts among the named ones but covers nothing.
Without the lists there is no verdict, and the row is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from harness.benchmark import Benchmark, Row, Task, mean_of, ratio_of
from harness.errors import HarnessError
from harness.records import Scored
from harness_benchmarks.convert_amber import OFFICIAL
from harness_benchmarks.objects import Names, names_of

_METRICS = (
    *("hallucinated", "named", "absent"),
    *("truths", "covered", "imagined", "imagined_named"),
)


@lru_cache(maxsize=4)
def _lists(folder: Path) -> tuple[Mapping[str, tuple[str, ...]], Names, frozenset[str]] | None:
    relations, safe = folder / "relation.json", folder / "safe_words.txt"
    if not relations.is_file():
        return None
    try:
        related = {
            str(word): tuple(map(str, others))
            for word, others in json.loads(relations.read_text(encoding="utf-8")).items()
        }
        lines = safe.read_text(encoding="utf-8").splitlines() if safe.is_file() else []
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise HarnessError(
            f"AMBER's list {relations} cannot be read ({error}). Fetch it again from AMBER's "
            "repository; it maps words to lists of related words."
        ) from error
    words = [*related, *(other for others in related.values() for other in others)]
    names = names_of((word, word) for word in words)
    plain = {word: tuple(map(names.name, others)) for word, others in related.items()}
    return plain, names, frozenset(filter(None, lines))


def _first_thing(
    names: Names, related: Mapping[str, tuple[str, ...]], things: Sequence[str]
) -> Mapping[str, int]:
    """Return the place of the thing that each word fits first: by association, then by name."""
    first: dict[str, int] = {}
    for place, thing in enumerate(things):
        for word in related.get(thing, ()):
            first.setdefault(word, place)
    for place, thing in enumerate(things):
        first.setdefault(names.name(thing), place)
    return first


def score(task: Task, row: Row, answer: str) -> Scored:
    """Count what one description names, covers and invents."""
    lists = None if task.folder is None else _lists(Path(task.folder) / "metadata")
    if lists is None:
        return Scored(dict.fromkeys(_METRICS), verdict="AMBER's word lists are not there")
    related, names, safe = lists
    said = names.mentions(answer, nouns=True)
    truths, imagined = ([str(word) for word in row.doc[name]] for name in ("truth", "hallu"))
    known, invented = (_first_thing(names, related, things) for things in (truths, imagined))
    counted = [word for word in said if word not in safe]
    absent = [word for word in counted if word not in known]
    values = (
        float(bool(absent)),
        float(len(said)),
        float(len(absent)),
        float(len(truths)),
        float(len({known[word] for word in counted if word in known})),
        float(len(imagined)),
        float(len({invented[word] for word in absent if word in invented})),
    )
    return Scored(
        dict(zip(_METRICS, values, strict=True)),
        verdict=f"named: {', '.join(said) or 'nothing'}; absent: {', '.join(absent) or 'nothing'}",
    )


BENCHMARK = Benchmark(
    name="amber",
    title="AMBER (generative)",
    task="amber_g/amber_g.yaml",
    score=score,
    columns=(
        ratio_of("absent", "named", name="CHAIR", higher_is_better=False, primary=True),
        ratio_of("covered", "truths", name="Cover"),
        mean_of("hallucinated", name="Hal", higher_is_better=False),
        ratio_of("imagined_named", "imagined", name="Cog", higher_is_better=False),
    ),
    max_new_tokens=512,
    source_files=OFFICIAL,
    licence="Apache-2.0 (images: from the web, for research)",
    source="arXiv 2311.07397; hub: Kyunnilee/amber_g, split train, 1004 rows",
)
