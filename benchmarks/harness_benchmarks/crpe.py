r"""CRPE, relations: subject, predicate and object, in every rotation of options (2402.19474).

A row of the hub's data set, cut short; a question comes four times, its options turned:

    {"question_id": 0, "category": "object", "text": "What is the man riding?\nA. a horse\nB. a
     bicycle\nC. a wave\nD. a bull\nAnswer with the option's letter from the given choices
     directly.", "correct_option": "A", "image": ...}

``circular accuracy``, the authors' figure: questions that are right in all four rotations, where an
answer must be the letter and nothing else. The categories stand in the breakdown; the authors'
overall figure is that of all relation questions. ``plain accuracy`` is lmms-eval's, over rows, with
its filter: an option's text counts as its letter. The split "existence" is not in this data set.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.benchmark import Benchmark, Choices, Row, Task, all_of, mean_of, together
from harness.records import Scored
from harness_benchmarks import _choices
from harness_benchmarks.parse import lettered


def _right(row: Row) -> str:
    return str(row.doc["correct_option"]).strip()


def score(task: Task, row: Row, answer: str) -> Scored:
    """Score one rotation by the authors' rule and by lmms-eval's."""
    right = _right(row)
    options = _choices.in_lines(str(row.doc["text"]))
    found = _choices.read(answer, options, right, float(answer.strip() == right))
    (filtered,) = task.results(row, answer).values()
    return Scored({**found.scores, "plain": float(filtered["exact_match"])})


def _question(task: Task, row: Row) -> Mapping[str, str]:
    """Tell the question of a rotation: its image, its words and its options in any order."""
    text = str(row.doc["text"])
    options, stem = _choices.in_lines(text), _choices.without_lines(text)
    return {"question": " | ".join([row.image, stem, *sorted(options.values())])}


def _lettered(row: Row) -> Choices:
    return lettered(tuple(_choices.in_lines(str(row.doc["text"]))), _right(row))


_TOGETHER = together("question")
BENCHMARK = Benchmark(
    name="crpe",
    title="CRPE (relation)",
    task="crpe_relation/crpe_relation.yaml",
    score=score,
    columns=(
        all_of(
            "strict",
            group=_TOGETHER,
            name="circular accuracy",
            primary=True,
            lenient="lenient circular accuracy",
        ),
        all_of("lenient", group=_TOGETHER, name="lenient circular accuracy"),
        all_of("logit", group=_TOGETHER, name="logit circular accuracy"),
        mean_of("plain", name="plain accuracy"),
        mean_of("unparsed", higher_is_better=False),
    ),
    groups=lambda doc: {"category": str(doc["category"])},
    row_units=_question,
    choices=_lettered,
    licence="Apache-2.0 (images: COCO, under their own licences)",
    source="arXiv 2402.19474; hub: nv-njb/CRPE, split test, 7576 rows",
)
