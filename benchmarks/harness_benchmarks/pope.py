"""POPE: is there such an object in the image? Yes or no (arXiv 2305.10355).

A row of the hub's data set, cut short:

    {"question_id": "1", "question": "Is there a snowboard in the image?", "answer": "yes",
     "image_source": "COCO_val2014_000000310196", "category": "adversarial", "image": ...}

``strict`` is lmms-eval's rule: the answer, lower-cased and stripped, must equal the label, so
"Yes." is wrong. ``lenient`` looks for the first yes or no among the words. lmms-eval's own
``pope_yes_ratio`` counts the labels, not the answers, and is a constant; ours counts the answers.
"""

from __future__ import annotations

import re

from harness.benchmark import Scored
from harness.lmms import Row, Task

_NO = frozenset({"no", "not", "nope", "none", "cannot", "isn", "aren", "doesn", "don"})
_YES = frozenset({"yes", "yeah", "yep"})


def parse(answer: str) -> str | None:
    """Return ``"yes"``, ``"no"``, or ``None`` when the answer says neither.

    The first word that is a yes or a negation decides.
    """
    for word in re.findall(r"[a-z]+", answer.lower()):
        if word in _YES:
            return "yes"
        if word in _NO:
            return "no"
    return None


def score(task: Task, row: Row, answer: str) -> Scored:
    """Score one answer by both rules; ``strict`` is lmms-eval's own value."""
    official = task.score(row, answer)["pope_accuracy"]
    loose = parse(answer)
    return Scored(
        {
            "strict": float(official["score"]),
            "strict_yes": float(official["prediction"] == "yes"),
            "strict_no": float(official["prediction"] == "no"),
            "lenient": float(loose == official["ground_truth"]),
            "lenient_yes": float(loose == "yes"),
            "unparsed": float(loose is None),
            "label_yes": float(official["ground_truth"] == "yes"),
        }
    )
