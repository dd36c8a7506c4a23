"""Rows made up from what a task of lmms-eval reads, for tasks whose data is not here.

A task names no schema: what its rows must hold is in its code. :func:`made_task` offers a row that
has every column, with a value that its name suggests, and tries the few other kinds of values that
occur (options as a list or as its text, an answer as a letter, a number or a word) until the task
scores its rows. The same rows serve the page of supported tasks and the parity of their figures.
"""

from __future__ import annotations

import base64
import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import PIL.Image

from harness.benchmark.columns_read import columns_read
from harness.benchmark.importing import config_of, kept_as_it_was
from harness.benchmark.task import Task

ROWS = 24
WORDS = ("red", "green", "blue", "yellow")
_IMAGE = PIL.Image.new("RGB", (32, 32), (90, 120, 30))
ANSWERS = ("letter", "index", "word", "yes", "number", "bracket", "list", "one_based")
OPTIONS = ("list", "text", "lettered", "dict")
IMAGES = ("image", "list", "base64")


def _as_base64() -> str:
    data = io.BytesIO()
    _IMAGE.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


_BASE64 = _as_base64()


_USUAL = re.compile(r"answer|label|gt|option|choice|question|categ|type|image|index|idx|^id$", re.I)


class MadeRow(dict[str, Any]):
    """A row that holds whatever it is asked for; what was asked for stays in it."""

    def __init__(self, number: int, answers: str, options: str, images: str, words: Sequence[str]):
        super().__init__()
        self.number, self.kinds, self.words = number, (answers, options, images), words

    def __missing__(self, name: str) -> Any:
        value = self._value(str(name))
        self[name] = value
        return value

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and name in "ABCD")

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self or _USUAL.search(name) else default

    def keys(self) -> Any:
        for name in ("image_1", "question", "answer"):
            self[name]
        return super().keys()

    def __copy__(self) -> MadeRow:
        other = MadeRow(self.number, *self.kinds, self.words)
        other.update(self)
        return other

    def _value(self, name: str) -> Any:
        low, right = name.lower(), self.number % 4
        answers, options, images = self.kinds
        if low in ("a", "b", "c", "d"):
            return WORDS["abcd".index(low)]
        if low == "bytes":
            return _BASE64
        if low == "metadata":
            return MadeRow(self.number, *self.kinds, self.words)
        if re.search(r"(image|img|visual|picture|photo)", low) and not re.search(
            r"id|source|type|path|name|num|url|file|size|width|height|categ", low
        ):
            kinds = {"image": _IMAGE, "list": [_IMAGE], "base64": _BASE64}
            return [_IMAGE] if low.endswith("s") and images == "image" else kinds[images]
        if re.search(r"option|choice|candidate", low):
            kinds = {
                "list": list(WORDS),
                "text": str(list(WORDS)),
                "lettered": [f"{x}. {w}" for x, w in zip("ABCD", WORDS, strict=True)],
                "dict": dict(zip("ABCD", WORDS, strict=True)),
            }
            return kinds[options]
        if re.search(r"answer|label|target|^gt|_gt|ground|correct|solution|caption|reference", low):
            if re.search("type", low):
                return ("text", "integer")[self.number % 2]
            kinds = {
                "letter": "ABCD"[right],
                "index": right,
                "one_based": right + 1,
                "word": WORDS[right],
                "yes": ("yes", "no")[self.number % 2],
                "number": str(self.number % 3),
                "bracket": f"({'ABCD'[right]})",
                "list": [WORDS[right]],
            }
            return kinds[answers]
        if re.search(r"(^|_)(id|idx|index|pid|qid|uid)$|_id$|^id", low):
            number = self.number + 1
            return f"validation_Art_{number}" if answers == "letter" and low == "id" else number
        if low == "question_type" and "first" in self.words:
            return "multiple-choice"
        if re.search(r"^question|prompt|query|text|instruction|problem|conversation", low):
            listed = "\n".join(f"{x}. {w}" for x, w in zip("ABCD", WORDS, strict=True))
            return f"What colour is thing {self.number}? <image 1> <image_1>\n{listed}"
        if re.search(r"precision|num|count|width|height|year|level", low):
            return self.number % 3
        if re.search(r"split|categ|type|task|domain|class|subject|source|lang|field|ability", low):
            return self.words[self.number % len(self.words)]
        return self.words[self.number // 2 % len(self.words)]


class _Rows(list[MadeRow]):
    @property
    def features(self) -> dict[str, None]:
        return dict.fromkeys(self[0])


class MadeTask(Task):
    """A task on made-up rows."""

    def __init__(self, path: str, rows: Sequence[MadeRow]) -> None:
        self.path, self.folder, self._images = path, None, None
        with kept_as_it_was():
            from lmms_eval.api.task import ConfigurableTask

            config = dict(_cached_config(path))
            config["process_docs"] = None
            for row in rows:
                for name in _columns_of(path, config):
                    row[name]

            def download(task: Any, options: Any = None) -> None:
                kinds = ("test", "validation", "training", "fewshot")
                splits = {config.get(f"{kind}_split") for kind in kinds}
                task.dataset = dict.fromkeys(splits - {None}, _Rows(rows))
                task.dataset_no_image = task.dataset

            before, ConfigurableTask.download = ConfigurableTask.download, download
            try:
                self._task = ConfigurableTask(config=config, model_name="llava_hf")
            finally:
                ConfigurableTask.download = before
        self._docs = self._task.task_docs


def _columns_of(path: str, config: Mapping[str, Any]) -> list[str]:
    named = [str(config.get(key) or "") for key in ("doc_to_text", "doc_to_target")]
    whole = [name for name in named if re.fullmatch(r"\w+", name)]
    return [*whole, *re.findall(r"\{\{\s*(\w+)", " ".join(named)), *columns_read(path)]


_configs: dict[str, Mapping[str, Any]] = {}


def _cached_config(path: str) -> Mapping[str, Any]:
    if path not in _configs:
        import importlib

        importlib.import_module("lmms_eval.api.metrics")
        _configs.clear()
        _configs[path] = config_of(path)
    return _configs[path]


def _words_of(path: str) -> Iterator[Sequence[str]]:
    """Yield lists of words that a task's code may want for a category, as keys of its tables."""
    yield ("first", "second", "third")
    code = "".join(f.read_text(errors="replace") for f in sorted(Path(path).parent.glob("*.py")))
    for table in re.findall(r"^\w+\s*(?::[^=\n]+)?=\s*\{(.*?)^\}", code, re.DOTALL | re.MULTILINE):
        keys = list(dict.fromkeys(re.findall(r"[\"']([^\"'\n]{2,50})[\"']\s*:", table)))[:6]
        if len(keys) > 1:
            yield keys
    metrics = re.findall(r"metric:\s*[\"']?([^\"'\n#]+)", Path(path).read_text())
    if len(metrics) > 1:
        yield [metric.strip() for metric in metrics]


def made_tasks(path: str, most: int = 128) -> Iterator[MadeTask]:
    """Yield the task on rows of one kind after another."""
    tried = 0
    for words in list(_words_of(path))[:4]:
        for images, options, answers in product(IMAGES, OPTIONS, ANSWERS):
            tried += 1
            if tried > most:
                return
            rows = [MadeRow(n, answers, options, images, words) for n in range(ROWS)]
            with contextlib.suppress(Exception):
                yield MadeTask(path, rows)
