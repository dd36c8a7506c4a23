"""TextVQA: questions that need text in the image to be read (arXiv 1904.08920).

A row of the hub's data set, cut short (ten answers per question):

    {"question_id": 34602, "question": "what is the brand of this camera?", "image_id":
     "003a8ae2ef43b901", "ocr_tokens": ["DAKOTA", "DIGITAL", ...], "answers": ["nous les gosses",
     "dakota", "clos culombu", "dakota digital", "dakota", ...], "image": ...}

lmms-eval gives no OCR tokens with the question, LLaVA's own script does; and it turns the question
into lower case but for its first letter. Published figures with tokens are higher; the protocol
llava-1.5 gives the tokens, on a line of their own before the request for a short answer.
"""

from __future__ import annotations

from harness.benchmark import Benchmark, Papers, Row
from harness_benchmarks import llava
from harness_benchmarks._short import columns, scored_by_match


def _with_tokens(row: Row) -> str:
    question, short = row.text.split("\n", 1)
    tokens = ", ".join(map(str, row.doc["ocr_tokens"]))
    return f"{question}\nReference OCR token: {tokens}\n{short}"


BENCHMARK = Benchmark(
    name="textvqa",
    title="TextVQA",
    task="textvqa/textvqa_val.yaml",
    score=scored_by_match(lambda row: [str(text) for text in row.doc["answers"]]),
    columns=columns(),
    max_new_tokens=128,
    licence="CC BY 4.0 (images: Open Images, CC BY 2.0)",
    source="arXiv 1904.08920; hub: lmms-lab-encoder/textvqa, split validation, 5000 rows",
    published={
        "llava-1.5-7b": "58.2, with OCR tokens (SIMA table 2; LLaVA model zoo)",
        "sima-7b": "58.5 (SIMA table 2)",
        "seva-7b": "56.2 (a later paper by SeVa's first author)",
    },
    papers={llava.PROTOCOL: Papers(("accuracy",), _with_tokens, needs=("ocr_tokens",))},
)
