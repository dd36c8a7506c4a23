"""Prompts that a user brings for a judge, such as the authors' own.

``--judge-prompt BENCH=FILE`` takes a text with places such as ``{question}`` and ``{answer}``, or a
Python file of the authors that holds their prompt. Such a file is read, never run: its strings are
compared with the SHA-256 of published prompts, of which this project keeps no word.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.benchmark import Anchor, Benchmark, JudgePrompt, Row, Rubric, Task
from harness.errors import UsageError, why
from harness.storage import read_text

ANSWER = "answer"
_LARGEST = 1 << 20
_PLACE = re.compile(r"\{([a-z_]+)\}")
_FENCED = re.compile(r"^\[(\w+) ([0-9a-f]{16})\]\n(.*?)\n\[/\1 \2\]$", re.MULTILINE | re.DOTALL)
PUBLISHED: Mapping[tuple[str, str], tuple[str, str]] = {
    ("mmvet", "d1b3e0a5b4e72c888b77164489d705bba4dd149934fff564dfba6443d81afe3f"): (
        "github.com/yuweihao/MM-Vet, mm-vet_evaluator.py at acde843",
        "\n{question} | {reference} | {answer} | ",
    )
}
"""By benchmark and SHA-256 of a published prompt: where it is, and what its code appends to it."""


@dataclass(frozen=True)
class OwnPrompt:
    """A prompt that the user brought; ``source`` is where it is published, if that is known."""

    benchmark: str
    file: str
    text: str
    sha256: str
    source: str | None

    @property
    def note(self) -> str:
        """What a reader has to know."""
        told = f"{self.benchmark}: judged with the "
        if self.source is not None:
            return f"{told}official prompt ({self.source}; SHA-256 {self.sha256[:16]})."
        return (
            f"{told}prompt in {Path(self.file).name} (SHA-256 {self.sha256[:16]}), which is none "
            "of the published ones that are known here."
        )


def read_prompts(words: Sequence[str]) -> dict[str, OwnPrompt]:
    """Read what ``--judge-prompt`` names, by benchmark.

    Raises:
        UsageError: if a word is no BENCH=FILE, or a file holds no prompt with a place for the
            answer.
    """
    found: dict[str, OwnPrompt] = {}
    for word in words:
        name, sign, file = word.partition("=")
        if not (name and sign and file):
            raise UsageError(f"--judge-prompt {word} is no BENCH=FILE, such as mmvet=prompt.txt")
        if name in found:
            raise UsageError(f"--judge-prompt names {name} twice. Give one file for it.")
        found[name] = _read(name, file)
    return found


def _read(name: str, file: str) -> OwnPrompt:
    try:
        text = read_text(Path(file).expanduser(), _LARGEST)
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"The judge prompt {file} cannot be read: {why(error)}. Name a text file."
        ) from error
    for known in (text, *(_strings(text) if file.endswith(".py") else ())):
        digest = hashlib.sha256(known.encode()).hexdigest()
        if (name, digest) in PUBLISHED:
            source, appended = PUBLISHED[name, digest]
            return OwnPrompt(name, file, known + appended, digest, source)
    if file.endswith(".py"):
        raise UsageError(
            f"{file} holds no published judge prompt of {name} that is known here. Copy the prompt "
            "into a text file, and write {answer} and the other places into it "
            "(docs/judging.md)."
        )
    if ANSWER not in _PLACE.findall(text):
        raise UsageError(
            f"The judge prompt {file} has no place for the answer. Write {{answer}}, and the "
            "other places of the benchmark (docs/judging.md), where the texts shall stand."
        )
    return OwnPrompt(name, file, text, hashlib.sha256(text.encode()).hexdigest(), None)


def _strings(code: str) -> list[str]:
    """Return the strings of a Python file, without running it."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return []
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [value for value in constants if isinstance(value, str)]


def with_prompts(
    benchmarks: Sequence[Benchmark], prompts: Mapping[str, OwnPrompt]
) -> list[Benchmark]:
    """Return the benchmarks, those with a prompt of the user's judged with it."""
    names = [benchmark.name for benchmark in benchmarks]
    odd = [name for name in prompts if name not in names]
    if odd:
        raise UsageError(
            f"--judge-prompt names {', '.join(odd)}, which no judge scores in this run. Judged "
            f"are: {', '.join(names) or 'none'}."
        )
    return [
        replace(each, rubric=_asking(each.rubric, prompts[each.name]))
        if each.rubric is not None and each.name in prompts
        else each
        for each in benchmarks
    ]


def check_prompts(words: Sequence[str], benchmarks: Sequence[Benchmark], data: str | Path) -> None:
    """Find out before anything is spent whether every prompt of the user's fits its benchmark.

    Raises:
        UsageError: as :func:`read_prompts` and :func:`with_prompts`; and if a prompt has no place
            for something that its benchmark's judge has to see.
    """
    own = read_prompts(words)
    judged = [each for each in benchmarks if each.rubric is not None]
    for each in with_prompts(judged, own) if own else ():
        if each.name in own and each.rubric is not None:
            for anchor in each.rubric.anchors[:1]:
                each.rubric.ask(Task(each.task, data), row_of(anchor), anchor.answer)


def row_of(anchor: Anchor) -> Row:
    """Return an anchor's made-up row."""
    return Row(f"anchor {anchor.name}", "", "", "", (), "", anchor.doc)


def _asking(rubric: Rubric, prompt: OwnPrompt) -> Rubric:
    """Return a rubric that asks with a prompt of the user's and reads replies as before."""

    def ask(task: Task, row: Row, answer: str) -> JudgePrompt | None:
        own = rubric.ask(task, row, answer)
        if own is None:
            return None
        texts = {name: text for name, _, text in _FENCED.findall(own.prompt)}
        absent = [name for name in texts if "{" + name + "}" not in prompt.text]
        if absent:
            raise UsageError(
                f"The judge prompt {prompt.file} has no place for {', '.join(absent)} of "
                f"{prompt.benchmark}. Write each of {', '.join('{' + n + '}' for n in texts)} in "
                "it."
            )
        filled = _PLACE.sub(lambda found: texts.get(found[1], found[0]), prompt.text)
        return replace(own, prompt=filled)

    return replace(rubric, ask=ask, version=f"{rubric.version}, prompt {prompt.sha256}")
