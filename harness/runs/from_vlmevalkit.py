"""Read result files of VLMEvalKit: tables with one row per question and a verdict in each row.

Before scoring VLMEvalKit writes ``index``, ``question``, ``answer`` and ``prediction`` into
``MODEL_DATASET.xlsx``; scoring writes the same rows with the verdict into a second file:
``*_result`` (choices: ``hit``), ``*_auxmatch`` (yes or no: ``score``), ``*_results`` or one named
after the judge (``eval_score``, ``score``). Only the second kind can be compared row by row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harness.benchmark import numeric
from harness.data import plain_cell
from harness.errors import HarnessError, UsageError, some
from harness.records import Answer, Sample, as_read, distinct, fingerprint
from harness.runs.answer_files import FAILED, files_below, records_in
from harness.runs.imports import IN_WORDS, Imported, all_but, note_on_images, words_in

_SCORES = ("hit", "score", "eval_score", "match", "correct")
_IMAGES = ("image_path", "image_name", "image_file", "image_id", "img_id", "imageId", "image")
_GROUPS = ("category", "l2-category", "capability", "type", "split")
_MILLION = 1_000_000
"""Circular MMBench numbers the rotations of question ``n`` as ``n`` plus millions."""
_FAMILY = re.compile(
    r"_(?=(?:MMBench|MMStar|MMMU|MMVet|MME|POPE|HallusionBench|SEEDBench|ScienceQA|LLaVABench|AI2D"
    r"|TextVQA|ChartQA|DocVQA|InfoVQA|OCRBench|OCRVQA|MathVista|MathVision|MathVerse|RealWorldQA"
    r"|BLINK|AMBER|CRPE|NaturalBench|MMVP|VStar|HRBench|MMT|CCBench|COCO|MTVQA|QBench|Q-Bench"
    r"|CV-?Bench|MIA|R-?Bench|GQA|VizWiz|MMLongBench|VisOnlyQA|LogicVista|SimpleVQA|MMHal)"
    r"(?![a-z]))"
)
_VERDICT_FILE = re.compile(
    r"_(auxmatch|results?|(exact_matching|gpt|chatgpt|openai|qwen|deepseek)[\w.-]*)$", re.IGNORECASE
)


def read_vlmevalkit(
    paths: Iterable[Path], left_out: list[str] | None = None
) -> tuple[Imported, ...]:
    """Read result files: ``.xlsx``, ``.tsv``, ``.csv`` or ``.json``, or those below a folder.

    Files that cannot be imported are noted in ``left_out``; without it, the first is an error.

    Raises:
        UsageError: if a file is absent, of another kind, without verdicts, or named twice.
        HarnessError: if a file is damaged, or nothing can be imported.
    """
    files = [file for path in paths for file in _files(path)]
    named: dict[str, Path] = {}
    for file in files:
        name = _dataset(file)
        if name in named:
            raise UsageError(f"{name} is there twice: {named[name]} and {file}. Name it once.")
        named[name] = file
    return all_but([partial(_imported, file) for file in files], left_out)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [file for file in files_below(path) if _VERDICT_FILE.search(file.stem)]
    if not found:
        raise UsageError(
            f"There is no file with verdicts below {path}, such as *_result.xlsx or "
            "*_auxmatch.xlsx. Answers without verdicts are scored with: harness score FILE "
            "--bench BENCH"
        )
    return found


def _imported(path: Path) -> Imported:
    if not path.is_file():
        raise UsageError(f"There is no file {path}. Name result files of VLMEvalKit.")
    table = _table(path)
    if not table:
        raise HarnessError(f"{path} holds no rows. Evaluate again.")
    known = set(table[0])
    score = next((name for name in _SCORES if name in known), None)
    answered = known >= {"index", "prediction"}
    if score is None or not answered:
        raise UsageError(
            f"{path} has no verdicts: 'index', 'prediction' and one of {', '.join(_SCORES)} are "
            f"needed, and it has {', '.join(map(str, table[0]))}. Name the file that VLMEvalKit "
            "wrote when it scored, such as *_result.xlsx or *_auxmatch.xlsx"
            + (f", or let harness score {path} --bench BENCH score it" if answered else "")
            + "."
        )
    if {"gpt4_score", "score"} <= known:
        raise UsageError(
            f"{path} holds two marks a row, and its figure is the ratio of their sums. Score its "
            "answers anew: harness score FILE --bench llavabench"
        )
    nameless = [str(number) for number, row in enumerate(table, start=1) if row["index"] is None]
    if nameless:
        raise HarnessError(
            f"{len(nameless)} of {len(table)} rows of {path} have no index: rows "
            f"{some(nameless, most=3)}. Nothing of it was taken. Copy the file again from where it "
            "was made."
        )
    values = [_number(row[score]) for row in table]
    samples = tuple(_sample(row, score, value) for row, value in zip(table, values, strict=True))
    unscored = sum(row.error is not None for row in samples)
    notes = [
        note_on_images(samples),
        f"scored by VLMEvalKit, column '{score}'; where its judge failed it may have guessed",
        f"tokens were not counted, {IN_WORDS}",
        "images were not kept, so rows are matched by question and target alone",
    ]
    if unscored:
        notes.append(f"{unscored} rows have no answer or no verdict and count as missing")
    return Imported(f"vlmevalkit-{_dataset(path)}", samples, {score: True}, tuple(notes))


def _dataset(path: Path) -> str:
    """Take the data set from ``MODEL_DATASET_auxmatch.xlsx``.

    Models' names hold ``_`` too. VLMEvalKit writes into a folder named after the model, which tells
    where the data set's name begins; else one of its families of data sets does.
    """
    stem = path.stem
    while _VERDICT_FILE.search(stem):
        stem = _VERDICT_FILE.sub("", stem)
    models = [p.name for p in path.absolute().parents if stem.startswith(f"{p.name}_") and p.name]
    family = list(_FAMILY.finditer(stem))
    if models:
        name = stem.removeprefix(f"{max(models, key=len)}_")
    elif family:
        name = stem[family[-1].start() + 1 :]
    else:
        name = stem.partition("_")[2] or stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)


def _sample(row: Mapping[str, Any], score: str, value: float | None) -> Sample:
    index, target = plain_cell(row["index"]), plain_cell(row.get("answer"))
    prompt = _prompt(row)
    said = row["prediction"]
    # In a table an empty answer looks like none; one that was judged was there.
    lost = (said is None and value is None) or any(mark in str(said) for mark in FAILED)
    read = as_read(
        Answer(None, finish="missing", error="VLMEvalKit could not get an answer")
        if lost
        else Answer(plain_cell(said), thought=plain_cell(row.get("thinking")))
    )
    answer, error = read.text, read.error
    if error is None and value is None:
        error = f"no number in column '{score}'"
    return Sample(
        id=index,
        content=fingerprint(prompt, target),
        cluster=_cluster(row, index),
        prompt=prompt,
        target=target,
        answer=answer,
        tokens=words_in(answer),
        finish=read.finish,
        error=error,
        scores={score: value if error is None else None},
        judge="VLMEvalKit",
        verdict=plain_cell(row["log"]) if row.get("log") is not None else None,
        groups={name: plain_cell(row[name]) for name in _GROUPS if row.get(name) is not None},
        thought=read.thought,
    )


def _prompt(row: Mapping[str, Any]) -> str:
    parts = [plain_cell(row[name]) for name in ("hint", "question") if row.get(name) is not None]
    letters = [name for name in "ABCDEFGH" if row.get(name) is not None]
    return "\n".join([*parts, *(f"{name}. {plain_cell(row[name])}" for name in letters)])


def _cluster(row: Mapping[str, Any], index: str) -> str:
    for name in _IMAGES:
        if row.get(name) is not None and len(str(row[name])) < 500:  # longer: the image itself
            return fingerprint(plain_cell(row[name]))
    if index.isdigit() and int(index) >= _MILLION:
        return f"row {int(index) % _MILLION}"
    return f"row {index}"


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        text = value.strip().lower()
        if text in ("true", "false"):
            return float(text == "true")
        try:
            value = float(text)
        except ValueError:
            return None
    return numeric(value)


def _table(path: Path) -> list[dict[str, Any]]:
    """Return the rows, each with every column; what is empty or absent is ``None``."""
    records = [record for _, record in records_in(path)]
    names = distinct(name for record in records for name in record)
    return [{name: _kept(record.get(name)) for name in names} for record in records]


def _kept(value: Any) -> Any:
    return None if value is None or value == "" or value != value else value
