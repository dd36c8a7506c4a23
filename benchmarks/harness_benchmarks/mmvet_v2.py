"""MM-Vet v2: open questions about one or several images amid text (arXiv 2408.00765).

A row of the hub's data set, cut short:

    {"id": "v2_0", "question": "What is x in the equation?<IMG><image_0>", "answer": "-1<AND>-5",
     "capability": ["ocr", "math"], "added_in": "v1", "image_0": ..., "image_1": null}

It is graded as MM-Vet is (:mod:`harness_benchmarks.mmvet`), by the same request to a judge, and
has a seventh capability, ``seq``: sequences of images and text. Images are shown in the order in
which the question names them, before the text, which keeps their names ("<image_0>"); a model that
is given text between images sees another prompt. lmms-eval asks its judge while it scores, and
puts a request to think step by step before the question; the authors ask the question alone, and so
does the protocol llava-1.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.benchmark import Papers, Row, mean_of
from harness_benchmarks import llava, mmvet
from harness_benchmarks.means import in_group

_SEQUENCE = "image-text sequence"


def _groups(doc: Mapping[str, Any]) -> Mapping[str, str]:
    skills = [str(skill) for skill in doc["capability"]]
    return {"capability": ",".join(skills), _SEQUENCE: "yes" if "seq" in skills else "no"}


def _alone(row: Row) -> str:
    return str(row.doc["question"]).replace("<IMG>", "")


BENCHMARK = replace(
    mmvet.BENCHMARK,
    name="mmvet_v2",
    title="MM-Vet v2",
    task="mmvetv2/mmvetv2.yaml",
    columns=(
        mean_of("score", primary=True),
        mean_of("score", name=_SEQUENCE, applies=in_group(_SEQUENCE, "yes")),
    ),
    groups=_groups,
    source="arXiv 2408.00765; hub: whyu/mm-vet-v2, split test, 517 rows",
    published={},
    papers={llava.PROTOCOL: Papers(("score",), _alone)},
)
