"""GQA: questions about objects, attributes and relations, made from scene graphs (1902.09506).

A row of the hub's data set, cut short (images are a table of their own, joined by ``imageId``):

    {"id": "201307251", "imageId": "n161313", "question": "Is it overcast?", "isBalanced": true,
     "answer": "no", "fullAnswer": "No, it is not overcast.", ...}
"""

from __future__ import annotations

from harness.benchmark import Benchmark
from harness_benchmarks._short import columns, scored_by_match

BENCHMARK = Benchmark(
    name="gqa",
    title="GQA",
    task="gqa/gqa.yaml",
    score=scored_by_match(lambda row: [row.target]),
    columns=columns(),
    licence="CC BY 4.0 (images: COCO and Flickr, under their own licences)",
    source="arXiv 1902.09506; hub: lmms-lab-encoder/GQA, testdev_balanced, 12578 rows",
    published={
        "llava-1.5-7b": "62.0 (LLaVA model zoo)",
        "seva-7b": "60.7 at noise step 800, 61.1 at step 500 (SeVa README)",
    },
)
