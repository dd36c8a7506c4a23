"""MMMU, validation: questions of thirty college subjects, most with options (arXiv 2311.16502).

A row of the hub's data set, cut short:

    {"id": "validation_Accounting_1", "question": "<image 1> Each of the following situations ...",
     "options": "['$6', '$7', '$8', '$9']", "answer": "B", "question_type": "multiple-choice",
     "subfield": "Managerial Accounting", "image_1": ..., "image_2": null, ... "image_7": null}

``accuracy`` counts all rows alike, as the authors' overall figure does. A letter is read by their
rule, in lmms-eval's copy: in brackets, alone, before a full stop, or an option's text in an answer
of more than five words; of several the last one. Where nothing can be read they draw a letter at
random; here that answer is wrong, and counted in ``nothing read``. What their draw gives on average
is ``accuracy, unread at chance``. An open answer is right when a
reference stands in one of its key parts, or a number of it equals one to two decimals. A reference
may be a list of answers that are right; lmms-eval takes the list for one text, which no answer
holds, and is not followed.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from harness.benchmark import Benchmark, Choices, Row, Task, has, mean_of
from harness.records import Scored
from harness_benchmarks import _choices
from harness_benchmarks.parse import best_of, lettered

_DISCIPLINES = {
    "Art and Design": "Art Art_Theory Design Music",
    "Business": "Accounting Economics Finance Manage Marketing",
    "Science": "Biology Chemistry Geography Math Physics",
    "Health and Medicine": "Basic_Medical_Science Clinical_Medicine "
    "Diagnostics_and_Laboratory_Medicine Pharmacy Public_Health",
    "Humanities and Social Science": "History Literature Sociology Psychology",
    "Tech and Engineering": "Agriculture Architecture_and_Engineering Computer_Science "
    "Electronics Energy_and_Power Materials Mechanical_Engineering",
}
_DISCIPLINE = {subject: name for name, all_ in _DISCIPLINES.items() for subject in all_.split()}


class _Letters(list[str]):
    """Letters of which a random one is none, so that the rule's last resort can be told."""

    def __getitem__(self, place: Any) -> Any:
        return ""


def _listed(text: Any) -> list[str]:
    """Read a list as the data set writes it; a plain text is a list of one."""
    shown = str(text).strip()
    if shown.startswith("["):
        try:
            found = ast.literal_eval(shown)
        except (ValueError, SyntaxError):
            return [shown]
        return [str(item) for item in found]
    return [shown]


def _options(doc: Mapping[str, Any]) -> dict[str, str]:
    """Return the options by letter; none for an open question."""
    if doc["question_type"] != "multiple-choice":
        return {}
    return _choices.by_letter(_listed(doc["options"]))


def score(task: Task, row: Row, answer: str) -> Scored:
    """Score one answer by the authors' rule."""
    options = _options(row.doc)
    if not options:
        return _open(task, row, answer)
    said = task.helper("parse_multi_choice_response")(answer, _Letters(options), options)
    right = str(row.doc["answer"])
    found = _choices.read(answer, options, right, float(said == right))
    chance = found.scores["strict"] if said else 1 / len(options)
    return Scored({**found.scores, "nothing": float(not said), "chance": chance})


def _open(task: Task, row: Row, answer: str) -> Scored:
    references = _listed(row.doc["answer"])

    def strict(text: str) -> float:
        said = task.helper("parse_open_response")(text)
        return float(task.helper("eval_open")(references, said))

    value = strict(answer)
    lenient = best_of(answer, references, strict, value)
    return Scored({"strict": value, "lenient": lenient, "nothing": 0.0, "chance": value})


def _lettered(row: Row) -> Choices:
    options = tuple(_options(row.doc))
    return lettered(options, str(row.doc["answer"])) if options else Choices((), 0)


def _groups(doc: Mapping[str, Any]) -> Mapping[str, str]:
    subject = str(doc["id"]).split("_", 1)[1].rsplit("_", 1)[0]
    discipline = _DISCIPLINE.get(subject, "")
    return {"discipline": discipline, "subject": subject, "type": str(doc["question_type"])}


BENCHMARK = Benchmark(
    name="mmmu",
    title="MMMU",
    task="mmmu/mmmu_val.yaml",
    score=score,
    columns=(
        mean_of("strict", name="accuracy", primary=True, lenient="lenient accuracy"),
        mean_of("lenient", name="lenient accuracy"),
        mean_of("logit", name="logit accuracy", applies=has("logit")),
        mean_of("chance", name="accuracy, unread at chance"),
        mean_of("nothing", name="nothing read", higher_is_better=False),
    ),
    groups=_groups,
    choices=_lettered,
    licence="Apache-2.0 (images under their own licences)",
    source="arXiv 2311.16502; hub: lmms-lab-encoder/MMMU, split validation, 900 rows",
)
