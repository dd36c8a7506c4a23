"""VizWiz-VQA: questions that blind people asked about their own photographs (arXiv 1802.08218).

A row of the hub's data set, cut short (ten answers per question):

    {"question_id": "VizWiz_val_00000000.jpg", "question": "Ok. There is another picture I hope it
     is a better one.", "answers": ["unanswerable", "dog", ...], "category": "unanswerable",
     "image": ...}

The published 50.0 is from the test server; here, as in lmms-eval, the validation split is scored,
so the two do not compare.
"""

from __future__ import annotations

from harness.benchmark import Benchmark
from harness_benchmarks._short import columns, scored_by_match

BENCHMARK = Benchmark(
    name="vizwiz",
    title="VizWiz",
    task="vizwiz_vqa/vizwiz_vqa_val.yaml",
    score=scored_by_match(lambda row: [str(text) for text in row.doc["answers"]]),
    columns=columns(),
    groups=lambda doc: {"category": str(doc.get("category", ""))},
    max_new_tokens=128,
    licence="CC BY 4.0",
    source="arXiv 1802.08218; hub: lmms-lab-encoder/VizWiz-VQA, split val, 4319 rows",
    published={
        "llava-1.5-7b": "50.0, test server (SIMA table 2; LLaVA model zoo); 50.03 (Re-Align)",
        "sima-7b": "54.4 (SIMA table 2); 50.04 when measured again by Re-Align",
    },
)
