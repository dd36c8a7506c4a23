"""Mementos: what happens in a sequence of images, laid out as one (arXiv 2401.10529).

A row in the form that ``tasks/mementos.yaml`` reads:

    {"question_id": "rw_17", "domain": "daily-life", "question": "Write a description for the given
     image sequence ...", "description": "A person sits in a white
     plastic chair and throws a ball to a dog ...", "objects": ["person", "chair", "dog"],
     "behaviors": ["sit", "throw ball"], "image": ...}

The official protocol lets a language model extract the objects and behaviours of both texts,
exchanges words of the answer for words of the description by the domain's lists of synonyms, and
takes the F1 of each row's two lists; the score is the mean over the rows. A language model as judge
does the same here, where the lists are there. The built-in grader extracts by the lists alone, so
it sees a behaviour only in its root form or with an "s". Without a list it gives no verdict.

The lists lie beside the data: ``objects-daily-life.txt`` for one domain, ``objects.txt`` for all
others, and likewise ``behaviors``; :mod:`harness_benchmarks.standins` says what a line means.
``harness data convert mementos`` makes them from the authors' graphs, and fills ``objects`` and
``behaviors`` with what they find in the description.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.benchmark import (
    Anchor,
    Benchmark,
    JudgePrompt,
    Row,
    Rubric,
    Task,
    UnparsableReply,
    judge_prompt,
    mean_of,
)
from harness.records import Scored
from harness_benchmarks import grader
from harness_benchmarks.convert_mementos import OFFICIAL
from harness_benchmarks.reading import named_lists
from harness_benchmarks.standins import StandIns, read_standins

OBJECTS = "objects"
KINDS = (OBJECTS, "behaviors")
_LISTS = {"objects": "Object list", "behaviors": "Action list"}
_INTRO = (
    "Two texts describe the same sequence of images: 'reference' was written by a person, and "
    "'answer' is examined for hallucination. List the objects and the actions of each. An object "
    "is something that can be touched, in at most two words; an action belongs to a listed "
    "object and stands in its root form. Where the lists name one thing in different words, use "
    "one word for it in all of them."
)
_FORM = (
    "Reply with these four lines and nothing else, 1 being the reference and 2 the answer:\n"
    "Object list 1: [dog, toy, house]\nAction list 1: [bark, lean backward]\n"
    "Object list 2: [dog, toy]\nAction list 2: [play]"
)


def f1(said: Iterable[str], truth: Iterable[str]) -> float | None:
    """Return the F1 of two sets of names; ``None`` where the truth is empty."""
    found, wanted = set(said), set(truth)
    if not wanted:
        return None
    return 2 * len(found & wanted) / (len(found) + len(wanted))


def _list(task: Task, row: Row, kind: str) -> StandIns | None:
    for name in (f"{kind}-{row.doc.get('domain')}.txt", f"{kind}.txt"):
        file = None if task.folder is None else Path(task.folder) / name
        if file is not None and file.is_file():
            return read_standins(file)
    return None


def score(task: Task, row: Row, answer: str) -> Scored:
    """Return the F1 of objects and of behaviours, each from 0 to 1."""
    scores: dict[str, float | None] = {}
    told = []
    for kind in KINDS:
        words = _list(task, row, kind)
        if words is None:
            scores[kind] = None
            told.append(f"no list of {kind}")
            continue
        said = words.mentions(answer, nouns=kind == OBJECTS)
        scores[kind] = f1(*words.exchanged(said, map(str, row.doc[kind])))
        told.append(f"{kind}: {', '.join(sorted(said)) or 'none'}")
    return Scored(scores, judge=grader.NAME, verdict="; ".join(told))


def ask(task: Task, row: Row, answer: str) -> JudgePrompt:
    """Ask for the objects and actions of the reference description and of the answer."""
    reference = str(row.doc["description"] or "")
    if not grader.words(reference):
        raise UnparsableReply("there is no reference description")
    return JudgePrompt(
        judge_prompt(_INTRO, _FORM, reference=reference, answer=answer), max_tokens=1000
    )


def read(task: Task, row: Row, answer: str, reply: str) -> Scored:
    """Compare the extracted lists, once their synonyms are replaced."""
    scores = {}
    names = [f"{label} {number}" for label in _LISTS.values() for number in (1, 2)]
    lists = iter(named_lists(reply, names))
    for kind in _LISTS:
        words = _list(task, row, kind)
        truth, said = next(lists), next(lists)
        pair = (said, truth) if words is None else words.exchanged(said, truth)
        scores[kind] = f1(*pair)
        if scores[kind] is None:
            raise UnparsableReply(f"the judge found no {kind} in the reference")
    return Scored(scores, verdict=reply)


def _anchor(name: str, answer: str, low: float, high: float) -> Anchor:
    reference = "A person sits on a chair and throws a ball to a dog."
    return Anchor(name, {"description": reference}, answer, "objects", low, high)


RUBRIC = Rubric(
    version="mementos 1",
    ask=ask,
    read=read,
    metrics=lambda row: KINDS,
    anchors=(
        _anchor("right", "A person sits on a chair and throws a ball to a dog.", 0.95, 1.0),
        _anchor("wrong", "A horse drinks from a river.", 0.0, 0.1),
        _anchor("half", "A dog chases a ball.", 0.5, 0.9),
    ),
    span=1.0,
)
BENCHMARK = Benchmark(
    name="mementos",
    title="Mementos",
    task=str(Path(__file__).parent / "tasks" / "mementos.yaml"),
    score=score,
    columns=(
        mean_of("objects", name="object F1", primary=True),
        mean_of("behaviors", name="behavior F1", primary=True),
    ),
    groups=lambda doc: {"domain": str(doc["domain"])},
    judge=grader.NAME,
    rubric=RUBRIC,
    source_files=OFFICIAL,
    licence="none is stated in its repository; ask its authors",
    source="arXiv 2401.10529; github.com/si0wang/Mementos, "
    "697 validation sequences in its tables, 699 in the paper",
    published={
        "llava-1.5-7b": "objects 39.29, behaviours 23.02 (SIMA table 1; 23.01 on the project page)",
        "sima-7b": "objects 46.08, behaviours 26.03 (SIMA table 1)",
    },
)
