"""VQAv2: short questions about everyday photographs (arXiv 1612.00837).

A row of the hub's data set, cut short (ten answers per question):

    {"question_id": 262148000, "question": "Where is he looking?", "question_type": "none of the
     above", "multiple_choice_answer": "down", "answers": [{"answer": "down", "answer_confidence":
     "yes", "answer_id": 1}, ...], "image_id": 262148, "answer_type": "other", "image": ...}

Published figures are from test-dev; here, as in lmms-eval, the validation split is scored.
"""

from __future__ import annotations

from harness.benchmark import Benchmark
from harness_benchmarks._short import columns, scored_by_match

BENCHMARK = Benchmark(
    name="vqav2",
    title="VQAv2",
    task="vqav2/vqav2_val.yaml",
    score=scored_by_match(lambda row: [str(item["answer"]) for item in row.doc["answers"]]),
    columns=columns(),
    groups=lambda doc: {"answer type": str(doc.get("answer_type", ""))},
    image_source=lambda doc: f"COCO_val2014_{int(doc['image_id']):012d}",
    licence="CC BY 4.0 (annotations); images: COCO val2014",
    source="arXiv 1612.00837; hub: lmms-lab-encoder/VQAv2, split validation, 214354 rows",
    published={"llava-1.5-7b": "78.5, test-dev (LLaVA model zoo)"},
)
