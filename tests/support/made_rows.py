"""Rows made up from what a task of lmms-eval reads, for tasks whose data is not here.

A task names no schema: what its rows must hold is in its code. :func:`made_tasks` offers rows that
have every column, with a value that its name suggests. Where the code fails on them, the columns it
read last are given values of other kinds, one after another, and what leads further is kept, until
its scoring tells a right answer from a wrong one. Nothing is drawn at random: the same task always
gets the same rows. They serve the page of supported tasks and the parity of their figures.
"""

from __future__ import annotations

import ast
import base64
import copy
import functools
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import PIL.Image

from harness.benchmark.foreign import described
from harness.benchmark.importing import config_of, kept_as_it_was
from harness.benchmark.task import Row, Task
from harness.benchmark.task_files import read_columns, yaml_chain
from harness.benchmark.wire import Asked, AskedAgain, Unanswerable, scored

ROWS = 24
WORDS = ("red", "green", "blue", "yellow")
_IMAGE = PIL.Image.new("RGB", (32, 32), (90, 120, 30))
_TRIED = (0, 1, 2, 3, 7, 13)  # rows that a kind is tried on
_ANSWERS = ("{right}", "A", "No", "")
_STEPS = 40
_TRIALS, _MORE = 600, 200  # until a task runs at all, and then until its figures move


def _as_base64() -> str:
    data = io.BytesIO()
    _IMAGE.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


_BASE64 = _as_base64()

_USUAL = re.compile(r"answer|label|gt|option|choice|question|categ|type|image|index|idx|^id$", re.I)
ABSENT = "absent"


@functools.cache
def _kinds_of_values(number: int, words: Sequence[Sequence[str]]) -> Mapping[str, Any]:
    """Return what a column of a row may hold, by the name of the kind; the likely ones first."""
    right, letter = number % 4, "ABCD"[number % 4]
    lettered = [f"{x}. {w}" for x, w in zip("ABCD", WORDS, strict=True)]
    return {
        "letter": letter,
        "word": WORDS[right],
        "index": right,
        "number": str(number % 3),
        "yes": ("yes", "no")[number % 2],
        "list": list(WORDS),
        "text": str(list(WORDS)),
        "one word": [WORDS[right]],
        "bracket": f"({letter})",
        "lettered": lettered,
        "lines": "\n".join(lettered),
        "dict": dict(zip("ABCD", WORDS, strict=True)),
        "json dict": json.dumps(dict(zip("ABCD", WORDS, strict=True))),
        **{f"words {place}": each[number % len(each)] for place, each in enumerate(words)},
        "bool": number % 2 == 0,
        "float": 0.5 + number % 3,
        "box": [0.1, 0.2, 0.3 + right / 10, 0.8],
        "box text": str([0.1, 0.2, 0.3 + right / 10, 0.8]),
        "letters": [letter],
        "numbers": [right, right + 1],
        "image": _IMAGE,
        "images": [_IMAGE],
        "base64": _BASE64,
        "bytes": {"bytes": base64.b64decode(_BASE64), "path": None},
        "none": None,
        "empty": "",
        "ten answers": [{"answer": WORDS[right], "answer_id": n} for n in range(10)],
        "said": [{"role": "user", "content": f"What is {number}?"}],
        "from": [{"from": "human", "value": f"What? {number}"}, {"from": "gpt", "value": letter}],
        "boxes": [[0.1, 0.2, 0.3 + right / 10, 0.8]],
        "split and subject": f"validation_{('Art', 'Music')[number % 2]}_{number}",
        "path": f"/a/{WORDS[right]}/{number}.png",
        "latex": f"\\boxed{{{right}}}",
    }


NESTED = ("row", "rows", "json row")  # a mapping, several, and one written down


class MadeRow(dict[str, Any]):
    """A row that holds whatever it is asked for; what was asked for stays in it.

    Attributes:
        number: its place.
        kinds: of which kind each column is, where not as its name suggests; columns inside a
            column are named after it, with a dot.
        read: columns in the order in which they were asked for; shared by the rows.
    """

    def __init__(
        self,
        number: int,
        kinds: Mapping[str, str] | None = None,
        words: Sequence[Sequence[str]] = (("first", "second", "third"),),
        read: list[str] | None = None,
        inside: str = "",
    ) -> None:
        super().__init__()
        self.number, self.kinds, self.words = number, kinds or {}, words
        self.read: list[str] = [] if read is None else read
        self.inside = inside

    def __getitem__(self, name: Any) -> Any:
        self.read.append(f"{self.inside}{name}")
        return super().__getitem__(name)

    def __missing__(self, name: str) -> Any:
        if not isinstance(name, str):
            raise KeyError(name)
        kind = self.kinds.get(f"{self.inside}{name}")
        if kind == ABSENT:
            raise KeyError(name)
        value = copy.copy(self._value(name)) if kind is None else self._of_kind(name, kind)
        super().__setitem__(name, value)
        return value

    def __contains__(self, name: object) -> bool:
        self.read.append(f"{self.inside}{name}")
        kind = self.kinds.get(f"{self.inside}{name}", ABSENT)
        return super().__contains__(name) or name in tuple("ABCD") or kind != ABSENT

    def get(self, name: str, default: Any = None) -> Any:
        kind = self.kinds.get(f"{self.inside}{name}", "" if _USUAL.search(str(name)) else ABSENT)
        if kind == ABSENT and not super().__contains__(name):
            self.read.append(f"{self.inside}{name}")
            return default
        return self[name]

    def keys(self) -> Any:
        for name in ("image_1", "question", "answer"):
            self[name]
        return super().keys()

    def __copy__(self) -> MadeRow:
        other = MadeRow(self.number, self.kinds, self.words, self.read, self.inside)
        other.update(self)
        return other

    def __deepcopy__(self, memo: Any) -> MadeRow:
        return self.__copy__()

    def _of_kind(self, name: str, kind: str) -> Any:
        if kind not in NESTED:
            return copy.copy(_kinds_of_values(self.number, self.words)[kind])
        inside = f"{self.inside}{name}."
        row = MadeRow(self.number, self.kinds, self.words, self.read, inside)
        return [row] if kind == "rows" else row

    def _value(self, name: str) -> Any:
        low = name.lower()
        kinds = _kinds_of_values(self.number, self.words)
        first = self.words[0]
        if low in ("a", "b", "c", "d"):
            return WORDS["abcd".index(low)]
        if low == "bytes":
            return _BASE64
        if low == "metadata":
            return self._of_kind(name, "row")
        if re.search(r"(image|img|visual|picture|photo)", low) and not re.search(
            r"id|source|type|path|name|num|url|file|size|width|height|categ", low
        ):
            return kinds["images" if low.endswith("s") else "image"]
        if re.search(r"(option|choice)_?([0-9a-h])$", low):
            return WORDS[ord(low[-1]) % 4]
        if re.search(r"option|choice|candidate", low):
            return kinds["list"]
        if re.search(r"answer|label|target|^gt|_gt|ground|correct|solution|caption|reference", low):
            return kinds["word" if re.search("type", low) else "letter"]
        if re.search(r"(^|_)(id|idx|index|pid|qid|uid)$|_id$|^id", low):
            return self.number + 1
        if low == "question_type" and "first" in first:
            return "multiple-choice"
        if re.search(r"^question|prompt|query|text|instruction|problem|conversation", low):
            return f"What colour is thing {self.number}? <image 1> <image_1>\n{kinds['lines']}"
        if re.search(r"precision|num|count|width|height|year|level", low):
            return self.number % 3
        if re.search(r"split|categ|type|task|domain|class|subject|source|lang|field|ability", low):
            return first[self.number % len(first)]
        return first[self.number // 2 % len(first)]


class _Rows(list[MadeRow]):
    @property
    def features(self) -> dict[str, None]:
        return dict.fromkeys(self[0])


class _Named:
    """Every name is that of a column; a template or a sentence is none."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and re.fullmatch(r"\w+", name) is not None


_HOOKS = ("doc_to_text", "doc_to_target", "doc_to_choice")


def _shown(doc: Any, *given: Any, **named: Any) -> list[PIL.Image.Image]:
    """Stand for the images: where they lie is a matter of the data, and no figure needs them."""
    return [_IMAGE]


def _nothing(doc: Any, *given: Any, **named: Any) -> str:
    """Stand for a hook while the task is built, as it would be called for the first row."""
    return "nothing"


class MadeTask(Task):
    """A task on made-up rows."""

    def __init__(self, path: str, rows: Sequence[MadeRow]) -> None:
        self.path, self.folder, self._images = path, None, None
        with kept_as_it_was():
            from lmms_eval.api.task import ConfigurableTask

            config = dict(_cached_config(path))
            hooks = {name: config.get(name) for name in _HOOKS}
            config |= {"process_docs": None, "doc_to_choice": None}
            config |= {"doc_to_text": _nothing, "doc_to_target": _nothing}

            def download(task: Any, options: Any = None) -> None:
                kinds = ("test", "validation", "training", "fewshot")
                splits = {config.get(f"{kind}_split") for kind in kinds}
                task.dataset = dict.fromkeys(splits - {None}, _Rows([MadeRow(0)]))
                task.dataset_no_image = task.dataset

            before, ConfigurableTask.download = ConfigurableTask.download, download
            try:
                self._task = ConfigurableTask(config=config, model_name="llava_hf")
            finally:
                ConfigurableTask.download = before
        for name, hook in hooks.items():
            setattr(self._task.config, name, hook)
        self._task.config.doc_to_visual = _shown
        self._task.features = _Named()
        self._columns = _columns_of(path, self._task.config)
        self.on(rows)

    def on(self, rows: Sequence[MadeRow]) -> MadeTask:
        """Go on with other rows."""
        for row in rows:
            for name in self._columns:
                try:
                    row[name]
                except KeyError:
                    continue
        self._docs = rows
        return self

    def tried(self, number: int) -> Row:
        """Return a row; whatever its code raises is raised."""
        return self._row(number)


def _columns_of(path: str, config: Any) -> list[str]:
    named = [str(getattr(config, key) or "") for key in ("doc_to_text", "doc_to_target")]
    whole = [name for name in named if re.fullmatch(r"\w+", name)]
    return [*whole, *re.findall(r"\{\{\s*(\w+)", " ".join(named)), *read_columns(path)]


_configs: dict[str, Mapping[str, Any]] = {}


def _cached_config(path: str) -> Mapping[str, Any]:
    if path not in _configs:
        import importlib

        importlib.import_module("lmms_eval.api.metrics")
        _configs.clear()
        _configs[path] = config_of(path)
    return _configs[path]


def _words_of(path: str) -> list[tuple[str, ...]]:
    """Return words that a task's code may want: keys of its tables, and what it compares with."""
    found: list[tuple[str, ...]] = []
    compared: dict[str, None] = {}
    folders = dict.fromkeys(file.parent for file in yaml_chain(path))
    for file in (file for folder in folders for file in sorted(folder.glob("*.py"))):
        try:
            tree = ast.parse(file.read_text("utf-8", errors="replace"))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                found.append(_texts(node.keys))
            elif isinstance(node, ast.List | ast.Tuple | ast.Set):
                found.append(_texts(node.elts))
            elif isinstance(node, ast.Compare):
                compared.update(dict.fromkeys(_texts([node.left, *node.comparators])))
    metrics = re.findall(r"metric:\s*[\"']?([^\"'\n#]+)", Path(path).read_text())
    lists = [("first", "second", "third"), tuple(m.strip() for m in metrics), tuple(compared)]
    lists += sorted(found, key=len, reverse=True)
    kept = [each[:8] for each in dict.fromkeys(lists) if len(each) > 1]
    return [*kept[:8], *[(word,) for word in list(compared)[:8]]]


def _texts(nodes: Sequence[ast.expr | None]) -> tuple[str, ...]:
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    texts = [value for value in values if isinstance(value, str) and 1 < len(value) < 50]
    return tuple(dict.fromkeys(texts))


@dataclass(frozen=True)
class _Way:
    """How far a task comes on rows of some kinds, and the columns that were read last."""

    far: tuple[int, int, int, int]
    last: tuple[str, ...]
    failed: str = ""


class _Search:
    """Looks for kinds of values with which a task's code runs."""

    def __init__(self, task: MadeTask) -> None:
        self.task, self.words, self.trials = task, tuple(_words_of(task.path)), 0
        self.kinds: dict[str, str] = {}
        self.metrics = frozenset(described(Path(task.path)).metrics)
        self.most = 2 * _TRIALS
        self.values = (*_kinds_of_values(0, self.words), *NESTED, ABSENT)

    def rows(self, kinds: Mapping[str, str], read: list[str] | None = None) -> list[MadeRow]:
        return [MadeRow(number, kinds, self.words, read) for number in range(ROWS)]

    def run(self) -> Iterator[Mapping[str, str]]:
        """Yield kinds with which every row is scored, the best ones last."""
        best = self.way(self.kinds)
        for _ in range(_STEPS):
            if not best.failed:
                yield dict(self.kinds)
            better = self._better(best)
            if better is None:
                return
            best = better

    def _better(self, best: _Way) -> _Way | None:
        """Take the first change that leads further: of one column, or of all named alike."""
        if not best.failed:
            self.most = min(self.most, self.trials + (_MORE if best.far[1] else _TRIALS))
            if best.far[1] == len(self.metrics):
                return None
        for column in best.last:
            alike = [each for each in best.last if _stem(each) == _stem(column)]
            for value in self.values:
                if self.kinds.get(column) == value:
                    continue
                for columns in ([column], alike)[: 1 + (len(alike) > 1)]:
                    self.trials += 1
                    if self.trials > self.most:
                        return None
                    kinds = self.kinds | dict.fromkeys(columns, value)
                    found = self.way(kinds)
                    if found.far > best.far:
                        self.kinds = kinds
                        return found
        return None

    def way(self, kinds: Mapping[str, str]) -> _Way:
        """Let the task score some rows, and say how far it came."""
        read: list[str] = []
        rows, lines = self.rows(kinds, read), _Lines(self.task.path)
        done, last, told = 0, "", dict[str, list[list[Any]]]()
        try:
            self.task.on(rows)
            read.clear()
            with lines:
                for number in _TRIED:
                    row = self.task.tried(number)
                    done += 1
                    for place, form in enumerate(_ANSWERS):
                        for name, record in _scored(self.task, row, form).items():
                            told.setdefault(name, [[] for _ in _ANSWERS])[place].append(record)
                        done += 1
        except (Exception, Unanswerable) as error:
            last = f"{type(error).__name__}: {error}"
        order = tuple(dict.fromkeys(reversed(read)))[:12]
        if last:
            return _Way((done, 0, 0, len(lines.seen)), order, last)
        moved = sum(self._moves(name, told[name]) for name in self.metrics & set(told))
        return _Way((done, moved, len(told), 0 if moved else len(lines.seen)), order)

    def _moves(self, metric: str, told: Sequence[Sequence[Any]]) -> bool:
        """Say whether a metric's figure depends on what is answered."""
        figures = set()
        for records in told:
            try:
                figures.add(scored(functools.partial(self.task.whole, metric, records)))
            except Exception:
                continue
        return len(figures - {None}) > 1


def _stem(column: str) -> str:
    return re.sub(r"\d+$|_[a-h]$", "", column)


def _scored(task: MadeTask, row: Row, form: str) -> Mapping[str, Any]:
    try:
        told = scored(lambda: task.results(row, form.format(right=row.target)))
    except Asked:
        try:
            told = scored(lambda: task.results(row, form.format(right=row.target)), "1")
        except AskedAgain as again:
            raise LookupError("its scoring cannot read the reply 1, and asks again") from again
        told = {name: {m: (form, v) for m, v in each.items()} for name, each in told.items()}
    listed = task.metrics
    return {m: v for each in told.values() for m, v in each.items() if m in listed}


class _Lines:
    """Lines of a task's own code that were run."""

    def __init__(self, path: str) -> None:
        self.folder, self.seen = str(Path(path).parent), set[tuple[str, int]]()

    def __enter__(self) -> None:
        self._other = sys.gettrace()
        sys.settrace(self._called)

    def __exit__(self, *error: object) -> None:
        sys.settrace(self._other)  # coverage goes on

    def _called(self, frame: FrameType, event: str, given: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self.folder):
            return None
        return self._line

    def _line(self, frame: FrameType, event: str, given: Any) -> Any:
        if event == "line":
            self.seen.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line


def made_tasks(path: str) -> Iterator[MadeTask]:
    """Yield the task on rows with which its scoring runs, better and better ones.

    Raises:
        LookupError: if there are none, with what its code said last.
    """
    search = _Search(MadeTask(path, []))
    found = False
    for kinds in search.run():
        found = True
        yield MadeTask(path, search.rows(kinds))
    if not found:
        raise LookupError(search.way(search.kinds).failed)
