"""CHAIR: which objects does a description name that are not in the image? (arXiv 1809.02156).

A row of the hub's data set, cut short:

    {"question_id": "391895", "gt_object": ["person", "motorcycle", ...], "image": ...}

CHAIR_s is the share of descriptions that name at least one absent object, CHAIR_i the share of
absent ones among all mentions. There are two conventions for the latter. In the original and in
lmms-eval, a word that is said twice counts twice, above and below ("CHAIR_i"). The script that
SIMA ships counts a hallucinated word once per description above, and every mention below
("CHAIR_i SIMA"), which can only be lower; "man", "woman" and "boy" are three words there. Both fall
when a model says less, so recall and the length of the answers belong beside them.

What is named is found by :mod:`harness_benchmarks.objects` in lmms-eval's own list of COCO's
objects, or in ``synonyms.txt`` beside the data. As in the original, a word of any part of speech
counts, in its singular, and no seat is a chair in a description that names a toilet. The original
makes singulars with pattern.en, SIMA's script and lmms-eval with WordNet, here the ending decides.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.benchmark import Benchmark, Papers, Row, Task, mean_of, ratio_of
from harness.records import Scored
from harness_benchmarks import llava
from harness_benchmarks.objects import FILE, Names, names_of, read_names


def names_for(task: Task) -> Names:
    """Return the table of a task: the file beside the data, else lmms-eval's list for COCO."""
    file = None if task.folder is None else Path(task.folder) / FILE
    if file is not None and file.is_file():
        return read_names(file)
    return _coco(_Hashable(task.helper("INVERSE_SYNONYM_DICT"), task.helper("DOUBLE_WORD_DICT")))


class _Hashable:
    """lmms-eval's two tables of COCO's words, the same object for the whole process."""

    def __init__(self, single: dict[str, str], double: dict[str, str]) -> None:
        self.single, self.double = single, double

    def __hash__(self) -> int:
        return len(self.single)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, _Hashable) and self.single == other.single


@lru_cache(maxsize=2)
def _coco(tables: _Hashable) -> Names:
    double = ((phrase, tables.single.get(word, "")) for phrase, word in tables.double.items())
    return names_of([*((phrase, thing) for phrase, thing in double), *tables.single.items()])


_SEAT = "seat"
_TOILET = frozenset({"toilet", _SEAT})


def score(task: Task, row: Row, answer: str) -> Scored:
    """Count mentions, absent ones (each mention, and each word once), and what is recalled."""
    names = names_for(task)
    present = {names.name(str(thing)) for thing in row.doc["gt_object"]}
    named = [(word, thing) for word, thing in names.named(answer) if thing]
    if {word for word, _ in named} >= _TOILET:
        named = [(word, thing) for word, thing in named if word != _SEAT]
    said = [thing for _, thing in named]
    absent = [thing for thing in said if thing not in present]
    words = {word for word, thing in named if thing not in present}
    return Scored(
        {
            "hallucinated": float(bool(absent)),
            "mentions": float(len(said)),
            "absent": float(len(absent)),
            "absent_words": float(len(words)),
            "present": float(len(present)),
            "recalled": float(len(present & set(said))),
        },
        verdict=f"named: {', '.join(said) or 'nothing'}; absent: {', '.join(absent) or 'nothing'}",
    )


BENCHMARK = Benchmark(
    name="chair",
    title="CHAIR",
    task="coco_cap_chair/coco_cap_chair.yaml",
    score=score,
    columns=(
        mean_of("hallucinated", name="CHAIR_s", higher_is_better=False, primary=True),
        ratio_of("absent", "mentions", name="CHAIR_i", higher_is_better=False, primary=True),
        ratio_of("absent_words", "mentions", name="CHAIR_i SIMA", higher_is_better=False),
        ratio_of("recalled", "present", name="recall"),
        mean_of(
            "mentions",
            name="objects named",
            scale=1.0,
            high=100.0,
            higher_is_better=None,
            unit="objects",
        ),
    ),
    image_source=lambda doc: f"COCO_val2014_{int(doc['question_id']):012d}",
    max_new_tokens=512,
    licence="CC BY 4.0 (annotations); images: COCO val2014",
    source="arXiv 1809.02156; hub: tsunghanwu/mscoco_chair, split test",
    published={
        "llava-1.5-7b": "CHAIR_s 50.8, CHAIR_i 11.7 in SIMA's convention (SIMA table 1); 44.6 to "
        "50 and 12.8 to 14.2 elsewhere, with other images and lengths",
        "sima-7b": "CHAIR_s 40.9, CHAIR_i 10.4 in SIMA's convention (SIMA table 1)",
    },
    papers={llava.PROTOCOL: Papers(("CHAIR_s", "CHAIR_i SIMA"))},
)
