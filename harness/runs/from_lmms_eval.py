"""Read ``*_samples_*.jsonl`` as lmms-eval 0.7 writes them with ``--log_samples``.

A line holds ``doc_id``, ``input`` (the prompt), ``target``, ``filtered_resps`` (the answer) and one
key for each metric of ``process_results``. lmms-eval's own figures lie beside it in
``*_results.json``: a metric is taken under its name only if the mean of its rows is that figure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from math import isclose
from pathlib import Path
from typing import Any

from harness.benchmark import directions, scores_in
from harness.errors import HarnessError, UsageError
from harness.records import Answer, Sample, as_read, fingerprint
from harness.runs.answer_files import FAILED, files_below, records_in
from harness.runs.imports import IN_WORDS, Imported, all_but, note_on_images, words_in
from harness.storage import read_json

_FILE = re.compile(r"(?P<stamp>.*)_samples_(?P<task>.+)\.jsonl$")
_BESIDE = {
    *("arguments", "doc", "doc_hash", "doc_id", "filtered_resps", "input", "input_media", "resps"),
    *("submission", "target", "token_counts"),
}
"""Keys of a line that are no metric."""
_GROUPS = ("category", "capabilities", "data_type", "question_type")
_CLOSE = 1e-6
_LOST = -1.0


def read_lmms(paths: Iterable[Path], left_out: list[str] | None = None) -> tuple[Imported, ...]:
    """Read sample files, or every one below a folder.

    Tasks that cannot be imported are noted in ``left_out``; without it, the first is an error.

    Raises:
        UsageError: if there are none, or two of one task.
        HarnessError: if a file is damaged, or no task can be imported.
    """
    files: dict[str, Path] = {}
    for path in paths:
        for file in _files(path):
            match = _FILE.match(file.name)
            assert match is not None
            task = match["task"]
            if task in files:
                raise UsageError(
                    f"The task {task} is there twice: {files[task]} and {file}. Name the files of "
                    "one evaluation."
                )
            files[task] = file
    readers = [partial(_imported, task, file) for task, file in sorted(files.items())]
    return all_but(readers, left_out)


def _files(path: Path) -> list[Path]:
    named = files_below(path) if path.is_dir() else [path]
    found = [file for file in named if file.is_file() and _FILE.match(file.name)]
    if not found:
        raise UsageError(
            f"There are no *_samples_*.jsonl in {path}. lmms-eval writes them when it is called "
            "with --log_samples --output_path DIR."
        )
    return found


def _imported(task: str, file: Path) -> Imported:
    rows = _rows(file)
    if not rows:
        raise HarnessError(f"{file} holds no rows. Evaluate again with --log_samples.")
    results = _results(file)
    ways = {**directions(task), **(_of_task(results, "higher_is_better", task) or {})}
    scored = [scores_in({key: row[key] for key in row if key not in _BESIDE}) for row in rows]
    values = {
        metric: [each.get(metric) for each in scored]
        for metric in dict.fromkeys(metric for each in scored for metric in each)
    }
    figures = _of_task(results, "results", task)
    dicts = [value for row in rows for value in row.values() if isinstance(value, Mapping)]
    judged = any(each.get("eval_model") for each in dicts)
    unscored = [_unscored(metric, each, figures, judged) for metric, each in values.items()]
    values = {metric: each for metric, each in values.items() if set(each) != {None}}
    if not values:
        raise HarnessError(
            f"{file} holds no number for a single row, so it cannot be compared row by row. Its "
            f"answers can be scored anew: harness score {file.name} --bench lmms:{task}"
        )
    names, told = _named(values, figures)
    told += filter(None, unscored)
    counted = [_tokens(row) for row in rows]
    in_words = any(count is None for count in counted)
    samples = tuple(
        _sample(
            row,
            {names[m]: values[m][index] for m in scored[index] if m in names},
            in_words=in_words,
        )
        for index, row in enumerate(rows)
    )
    empty = sum(row.answer == "" for row in samples)
    notes = [note_on_images(samples), *told]
    if in_words:
        notes.append(f"tokens were not counted, {IN_WORDS}")
    wanted = (_of_task(results, "n-samples", task) or {}).get("effective")
    if isinstance(wanted, int) and wanted > len(samples):
        last = ", ".join(row.id for row in samples[-3:])
        notes.append(
            f"the file holds {len(samples)} of the {wanted} rows that lmms-eval counted in "
            f"*_results.json, the last ones {last}"
        )
    if empty:
        notes.append(
            f"{empty} answers are empty; lmms-eval stores an answer that failed as an empty one "
            "and scores it as wrong"
        )
    notes.append("images were not kept, so rows are matched by question and target alone")
    metrics = {name: ways.get(metric) for metric, name in names.items()}
    if unknown := [name for name, better in metrics.items() if better is None]:
        notes.append(
            f"no verdict on {', '.join(unknown)}: neither a *_results.json beside the file nor the "
            f"installed task {task} says whether more is better"
        )
    return Imported(f"lmms-{task}", samples, metrics, tuple(notes))


def _unscored(
    metric: str, values: list[float | None], figures: Mapping[str, Any] | None, judged: bool
) -> str | None:
    """Take -1 for a lost score where lmms-eval does so or a judge failed; say what it is taken for.

    Many of its tasks write -1 where an answer could not be scored, and others where it is worse.
    """
    known = [value for value in values if value is not None and value != _LOST]
    lost = values.count(_LOST)
    if not lost or min(known, default=0.0) < 0:
        return None
    told = (
        f"{metric} is -1 in {lost} rows, which many tasks write where a score is lost; it counts "
    )
    own = _agrees(metric, values, figures)
    if not judged and (own or not _agrees(metric, known, figures)):
        return told + ("as a number, as in lmms-eval's own figure" if own else "as a number")
    values[:] = [None if value == _LOST else value for value in values]
    return f"{told}as missing"


def _named(
    values: Mapping[str, Sequence[float | None]], figures: Mapping[str, Any] | None
) -> tuple[dict[str, str], list[str]]:
    """Decide under which name each metric is taken, and say why.

    A figure that is no mean, such as F1 or MME's total, must not be confused with the mean.
    """
    names: dict[str, str] = {}
    notes: list[str] = []
    agreed = [metric for metric, each in values.items() if _agrees(metric, each, figures)]
    for metric, each in values.items():
        same = next((m for m in (*agreed, *names) if m != metric and values[m] == each), None)
        if metric in agreed:
            names[metric] = metric
        elif same is not None:
            notes.append(f"{metric} left out: row by row it is {same}, only added up otherwise")
        elif figures is None:
            names[metric] = metric
        else:
            names[metric] = f"{metric} (mean of rows)"
            notes.append(f"{metric} is no mean of its rows in lmms-eval; here it is")
    if figures is None:
        notes.append("no *_results.json beside it: not checked against lmms-eval's own figures")
    elif agreed:
        notes.append(f"equal to lmms-eval's own figure: {', '.join(agreed)}")
    return {metric: names[metric] for metric in (*agreed, *names) if metric in names}, notes


def _agrees(metric: str, values: Sequence[float | None], figures: Mapping[str, Any] | None) -> bool:
    known = [value for value in values if value is not None]
    theirs = [
        figure
        for key, figure in (figures or {}).items()
        if key.split(",")[0] == metric and isinstance(figure, int | float)
    ]
    mean = sum(known) / max(len(known), 1)
    return any(
        isclose(scale * mean, figure, rel_tol=_CLOSE, abs_tol=_CLOSE)
        for figure in theirs
        for scale in (1, 100)
    )


def _rows(file: Path) -> list[dict[str, Any]]:
    rows = []
    for where, row in records_in(file):
        if "doc_id" not in row:
            raise HarnessError(
                f"{where} in {file.parent} is not a sample of lmms-eval (it has no doc_id). Copy "
                "the file again from where it was made."
            )
        rows.append({**row, "doc_id": str(row["doc_id"])})
    return rows


def _results(file: Path) -> dict[str, Any]:
    match = _FILE.match(file.name)
    assert match is not None
    beside = file.with_name(f"{match['stamp']}_results.json")
    if not beside.is_file():
        return {}
    try:
        found = read_json(beside)
    except ValueError as error:
        raise HarnessError(
            f"{beside} cannot be read ({error}). Copy it again from where it was made, or take "
            "it away to import without it."
        ) from error
    return found if isinstance(found, dict) else {}


def _of_task(results: Mapping[str, Any], part: str, task: str) -> Mapping[str, Any] | None:
    """Return what a part of the results says of a task; ``None`` where it says nothing."""
    tasks = results.get(part)
    told = tasks.get(task) if isinstance(tasks, Mapping) else None
    return told if isinstance(told, Mapping) else None


def _sample(
    row: Mapping[str, Any], scores: Mapping[str, float | None], *, in_words: bool
) -> Sample:
    prompt, target, read = _text(row.get("input")), str(row.get("target")), _read(row)
    lost = [metric for metric, value in scores.items() if value is None]
    error = read.error
    if error is None and lost:
        error = f"lmms-eval gave no number for {', '.join(lost)}"
    dicts = [value for value in row.values() if isinstance(value, Mapping)]
    media = row.get("input_media")
    judges = [str(value["eval_model"]) for value in dicts if value.get("eval_model")]
    groups = {
        key: value[key] for value in dicts for key in _GROUPS if isinstance(value.get(key), str)
    }
    return Sample(
        id=row["doc_id"],
        content=fingerprint(prompt, target),
        cluster=fingerprint(media) if media else f"row {row['doc_id']}",
        prompt=prompt,
        target=target,
        answer=read.text,
        tokens=words_in(read.text) if in_words else read.tokens,
        finish=read.finish,
        error=error,
        scores=scores if read.text is not None else dict.fromkeys(scores),
        judge=judges[0] if judges else "lmms-eval",
        groups=groups,
        thought=read.thought,
    )


def _read(row: Mapping[str, Any]) -> Answer:
    """Return what the model said, without its thinking part."""
    said = row.get("filtered_resps")
    while isinstance(said, list) and len(said) == 1:
        said = said[0]
    if said is None or said == []:
        return Answer(None, finish="missing", error="lmms-eval kept no answer")
    text = _text(said)
    if text.startswith(FAILED):
        return Answer(None, finish="missing", error="lmms-eval could not get an answer")
    tokens = _tokens(row)
    return as_read(Answer(text, words_in(text) if tokens is None else tokens))


def _text(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], str):
        return str(value[0])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _tokens(row: Mapping[str, Any]) -> int | None:
    counts = row.get("token_counts")
    first = counts[0] if isinstance(counts, list) and counts else counts
    count = first.get("output_tokens") if isinstance(first, Mapping) else None
    return count if isinstance(count, int) else None
