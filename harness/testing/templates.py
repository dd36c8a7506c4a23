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

_PROJECT = """\
[project]
name = "harness-$dist"
version = "0.1.0"
description = "The KIND $name for vlm-harness."
readme = "README.md"
requires-python = ">=3.11"
dependencies = [NEEDS]

[project.entry-points."harness.GROUP"]
$name = "TARGET"

[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["harness_$name"]
"""
_PILLOW = '"vlm-harness", "pillow>=10"'


def _package(
    kind: str,
    group: str,
    target: str,
    code: str,
    *,
    about: str,
    commands: tuple[str, ...],
    needs: str = '"vlm-harness"',
) -> dict[str, str]:
    """Return the files that every package has but its test."""
    words = {"KIND": kind, "GROUP": group, "TARGET": target, "NEEDS": needs}
    project = _PROJECT
    for word, text in words.items():
        project = project.replace(word, text)
    said = f"The {kind} `$name` for vlm-harness. {about}".rstrip()
    typed = "\n".join(("pip install -e .", *commands))
    return {
        "pyproject.toml": project,
        "README.md": f"# harness-$dist\n\n{said}\n\n```\n{typed}\n```\n",
        "harness_$name/__init__.py": code,
    }


def _promise(module: str, name: str, call: str) -> dict[str, str]:
    test = f"def test_the_promises_are_kept():\n    {call}\n"
    return {"tests/test_$name.py": f"from {module} import {name}\n\n\n{test}"}


METHOD_FILES = {
    **_package(
        "method",
        "methods",
        "harness_$name",
        CODE,
        about="Say here which paper it is from, its formula, what it needs, and\n"
        "where it deviates.",
        commands=(
            "harness check --method $name",
            "harness run --method $name --bench mmvet,pope",
            "pytest",
        ),
        needs=_PILLOW,
    ),
    "tests/test_$name.py": "def test_the_contract_is_kept(harness_check):\n"
    '    harness_check("$name")\n',
}
LOSS_FILES = {
    **_package(
        "loss",
        "losses",
        "harness_$name:$name",
        LOSS,
        about="Say here which paper it is from and its formula.",
        commands=(
            "harness check --loss $name",
            "harness run --method seva --bench mmvet,pope --set loss=$name",
            "pytest",
        ),
    ),
    **_promise("harness.dpo", "check_loss", 'assert not any(check_loss("$name").values())'),
}
BENCHMARK_FILES = {
    **_package(
        "benchmark",
        "benchmarks",
        "harness_$name:BENCHMARK",
        BENCHMARK,
        about="Put your rows into `harness_$name/rows.jsonl` and their\n"
        "images beside it, and say here what it measures and where its rows are from.",
        commands=(
            "pytest",
            "harness eval --bench $name",
            "harness run --method seva --bench $name",
        ),
        needs=_PILLOW,
    ),
    "harness_$name/task.yaml": TASK,
    "harness_$name/utils.py": UTILS,
    "harness_$name/rows.jsonl": _ROWS,
    **_promise("harness.testing", "assert_benchmark", 'assert_benchmark("$name")'),
}
REPORT_FILES = {
    **_package(
        "report",
        "reports",
        "harness_$name:write",
        REPORT,
        about="",
        commands=(
            "pytest",
            "harness run --method seva --bench mmvet,pope --report $name",
            "harness report RUN --report $name",
        ),
    ),
    **_promise("harness.testing", "assert_report", 'assert_report("$name")'),
}
