"""POPE's three splits, each by itself: how the absent objects were chosen.

A row is POPE's, from the config ``Full`` of the same data set, cut short:

    {"question_id": "1", "question": "Is there a snowboard in the image?", "answer": "yes",
     "image_source": "COCO_val2014_000000310196", "category": "adversarial", "image": ...}

``harness data convert pope`` lays the splits out from the authors' lists, beside all of POPE.
"""

from __future__ import annotations

from dataclasses import replace

from harness.benchmark import Papers
from harness_benchmarks import llava
from harness_benchmarks.convert_pope import OFFICIAL
from harness_benchmarks.pope import BENCHMARK as POPE

_SOURCE = "arXiv 2305.10355; hub: lmms-lab-encoder/POPE, config Full, split {}, 3000 rows"
_ACCURACY = "87.23 popular, 88.14 random, 85.10 adversarial, accuracy (Re-Align)"

RANDOM, POPULAR, ADVERSARIAL = (
    replace(
        POPE,
        name=f"pope_{split}",
        title=f"POPE {split}",
        task=f"pope/pope_{short}.yaml",
        source=_SOURCE.format(split),
        source_files=replace(OFFICIAL, by=POPE.name),
        published={"llava-1.5-7b": _ACCURACY, "seva-7b": f1},
        columns=tuple(column for column in POPE.columns if not column.name.startswith("mean F1")),
        papers={llava.PROTOCOL: Papers(("F1 (LLaVA's rule)",))},
    )
    for split, short, f1 in (
        ("random", "random", "89.28 F1 (SeVa's stored answers, another prompt and parse)"),
        ("popular", "pop", "87.02 F1 (SeVa's stored answers, another prompt and parse)"),
        ("adversarial", "adv", "83.54 F1 (SeVa's stored answers, another prompt and parse)"),
    )
)
