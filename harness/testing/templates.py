"""The files of a new plugin's package, by kind; ``$name`` stands for its name."""

from __future__ import annotations

COLOURS = ("red", "green", "blue", "yellow")
"""Of the images of a new benchmark; each has two questions."""

CODE = '''\
"""$name: the model's answer to a blurred image is worse than its answer to the sharp one."""

from dataclasses import dataclass

from PIL import ImageFilter

from harness import Drop, Pair, Request, ask_each, dpo, hookimpl


@dataclass(frozen=True)
class Options(dpo.Training):
    """What --set changes, next to every knob of the training.

    Attributes:
        radius: of the blur, in pixels.
        max_new_tokens: where an answer is cut.
    """

    radius: float = 8.0
    max_new_tokens: int = 64


PRESETS = {"small": Options(lora_rank=32, lora_alpha=64, learning_rate=1e-4, accumulation=1)}


@hookimpl
def make_pairs(prompts, model, options):
    """Yield one pair, or the reason why there is none, for each prompt."""

    def requests(prompt):
        sharp = prompt.open_image()
        blurred = sharp.filter(ImageFilter.GaussianBlur(options.radius))
        return [Request(prompt.question, (i,), options.max_new_tokens) for i in (sharp, blurred)]

    for prompt, (good, bad) in ask_each(model, prompts, requests):
        both = good.text and bad.text
        yield Pair(prompt, good.text, (bad.text,)) if both else Drop(prompt, "missing")


@hookimpl
def train(pairs, model, options, out, seed):
    """Train with DPO and return the folder of the adapter."""
    return dpo.train(pairs, model, out, seed=seed, training=options)
'''

PROJECT = """\
[project]
name = "harness-$dist"
version = "0.1.0"
description = "The method $name for vlm-harness."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["vlm-harness", "pillow>=10"]

[project.entry-points."harness.methods"]
$name = "harness_$name"

[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["harness_$name"]
"""

README = """\
# harness-$dist

The method `$name` for vlm-harness. Say here which paper it is from, its formula, what it needs, and
where it deviates.

```
pip install -e .
harness check --method $name
harness run --method $name --bench mmvet,pope
pytest
```
"""

TEST = """\
def test_the_contract_is_kept(harness_check):
    harness_check("$name")
"""

LOSS = '''\
"""$name: logistic loss of the margin between chosen and rejected answer."""

from harness.dpo import needs


@needs(one_rejected=True)
def $name(scores, knobs, *, strength=1.0):
    """One value a row; the mean over the batch is minimised.

    Args:
        scores: log-probabilities, (B, K), the chosen answer first; see docs/write-a-loss.md.
        knobs: beta and the other numbers of the training.
        strength: a knob of this loss, set as in loss=$name:strength=2.
    """
    from torch.nn import functional

    rewards = knobs.beta * scores.ratios
    return -functional.logsigmoid(strength * (rewards[:, 0] - rewards[:, 1]))
'''

LOSS_README = """\
# harness-$dist

The loss `$name` for vlm-harness. Say here which paper it is from and its formula.

```
pip install -e .
harness check --loss $name
harness run --method seva --bench mmvet,pope --set loss=$name
pytest
```
"""

LOSS_TEST = """\
from harness.dpo import check_loss


def test_the_promises_are_kept():
    assert not any(check_loss("$name").values())
"""

METHOD_FILES = {
    "pyproject.toml": PROJECT,
    "README.md": README,
    "harness_$name/__init__.py": CODE,
    "tests/test_contract.py": TEST,
}
LOSS_FILES = {
    "pyproject.toml": PROJECT.replace("The method", "The loss")
    .replace("harness.methods", "harness.losses")
    .replace('= "harness_$name"', '= "harness_$name:$name"')
    .replace(', "pillow>=10"', ""),
    "README.md": LOSS_README,
    "harness_$name/__init__.py": LOSS,
    "tests/test_promises.py": LOSS_TEST,
}

BENCHMARK = '''\
"""$name: short answers, right when they are the reference but for case and punctuation."""

from pathlib import Path

from harness.benchmark import Benchmark, Scored, mean_of


def score(task, row, answer):
    """Return the scores of one answer; one that could not be had is None, never a number."""
    right = answer.strip().rstrip(".!").lower() == row.target.lower()
    return Scored({"right": float(right)})


BENCHMARK = Benchmark(
    name="$name",
    title="$name",
    task=str(Path(__file__).parent / "task.yaml"),
    score=score,
    columns=(mean_of("right", name="accuracy", primary=True),),
    groups=lambda doc: {"kind": doc["kind"]},
    licence="say under which licence the rows may be used",
    source="say where the rows are from",
)
'''

TASK = """\
# A task in lmms-eval's format; file names are relative to this file.
task: $name
dataset_path: json
dataset_kwargs:
  data_files: {test: rows.jsonl}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.images
doc_to_text: !function utils.question
doc_to_target: answer
process_results: !function utils.results
generation_kwargs: {max_new_tokens: 16}
metric_list:
  - {metric: right, aggregation: mean, higher_is_better: true}
"""

UTILS = '''\
"""What task.yaml names: how a row is shown, and lmms-eval's own scoring."""

from pathlib import Path

from PIL import Image


def images(doc):
    """Open the images of a row."""
    with Image.open(Path(__file__).parent / doc["image"]) as image:
        return [image.convert("RGB")]


def question(doc, settings=None):
    """Return the text of a row."""
    return f"{doc['question']}\\nAnswer with one word."


def results(doc, answers):
    """Score an answer when lmms-eval itself runs this task."""
    return {"right": float(answers[0].strip().lower() == doc["answer"])}
'''

BENCHMARK_README = """\
# harness-$dist

The benchmark `$name` for vlm-harness. Put your rows into `harness_$name/rows.jsonl` and their
images beside it, and say here what it measures and where its rows are from.

```
pip install -e .
pytest
harness eval --bench $name
harness run --method seva --bench $name
```
"""

BENCHMARK_TEST = """\
from harness.testing import assert_benchmark


def test_the_promises_are_kept():
    assert_benchmark("$name")
"""

REPORT = '''\
"""$name: the headline figures as a table of tab-separated values."""

from pathlib import Path

from harness.report import ReportInput


def write(report: ReportInput, folder: Path) -> Path:
    """Write ``$name.tsv`` into the run folder and return it.

    Texts of models and data are hostile: none of them is written here.
    """
    lines = ["benchmark\\tcolumn\\tbefore\\tafter\\tverdict"]
    if report.comparison is not None:
        for benchmark in report.comparison.benchmarks:
            for figure in benchmark.figures:
                if figure.primary:
                    cells = (benchmark.name, figure.column, figure.before, figure.after)
                    known = ["" if cell is None else str(cell) for cell in cells]
                    lines.append("\\t".join([*known, figure.verdict]))
    for level in report.levels:  # one model by itself
        if level.primary:
            figure = "" if level.figure is None else str(level.figure)
            lines.append("\\t".join([level.benchmark, level.column, "", figure, ""]))
    path = folder / "$name.tsv"
    path.write_text("\\n".join(lines) + "\\n", encoding="utf-8")
    return path
'''

REPORT_README = """\
# harness-$dist

The report `$name` for vlm-harness.

```
pip install -e .
pytest
harness run --method seva --bench mmvet,pope --report $name
harness report RUN --report $name
```
"""

REPORT_TEST = """\
from harness.testing import assert_report


def test_the_promises_are_kept():
    assert_report("$name")
"""

_ROWS = "".join(
    f'{{"id": {2 * at + more}, "image": "images/{colour}.png", "kind": "{kind}", '
    f'"question": "{question}", "answer": "{answer}"}}\n'
    for at, colour in enumerate(COLOURS)
    for more, (kind, question, answer) in enumerate(
        (
            ("colour", "Which colour is this?", colour),
            ("existence", "Is this image red?", "yes" if colour == "red" else "no"),
        )
    )
)

BENCHMARK_FILES = {
    "pyproject.toml": PROJECT.replace("The method", "The benchmark")
    .replace("harness.methods", "harness.benchmarks")
    .replace('= "harness_$name"', '= "harness_$name:BENCHMARK"'),
    "README.md": BENCHMARK_README,
    "harness_$name/__init__.py": BENCHMARK,
    "harness_$name/task.yaml": TASK,
    "harness_$name/utils.py": UTILS,
    "harness_$name/rows.jsonl": _ROWS,
    "tests/test_promises.py": BENCHMARK_TEST,
}
REPORT_FILES = {
    "pyproject.toml": PROJECT.replace("The method", "The report")
    .replace("harness.methods", "harness.reports")
    .replace('= "harness_$name"', '= "harness_$name:write"')
    .replace(', "pillow>=10"', ""),
    "README.md": REPORT_README,
    "harness_$name/__init__.py": REPORT,
    "tests/test_promises.py": REPORT_TEST,
}
