"""Packages of a new method or loss: pip-installable, tested, running before a line is changed."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

from harness.errors import UsageError
from harness.plugins import names
from harness.storage import write_whole

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

FILES = {
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


def new_method(name: str, out: Path) -> Path:
    """Write the package of a new method and return its folder.

    Args:
        name: what ``--method`` will take: lower-case letters, digits and underscores.
        out: folder to write; it must be absent or empty.

    Raises:
        UsageError: if the name cannot be one or is taken, or the folder holds something.
    """
    return _written("method", name, out, FILES)


def new_loss(name: str, out: Path) -> Path:
    """Write the package of a new loss and return its folder; see :func:`new_method`."""
    return _written("loss", name, out, LOSS_FILES)


def _written(kind: str, name: str, out: Path, files: Mapping[str, str]) -> Path:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(
            f"'{name}' cannot be the name of a {kind}: use lower-case letters, digits and "
            f"underscores, a letter first, as in: harness new-{kind} my_{kind} --out DIR"
        )
    owners = names({"method": "methods", "loss": "losses"}[kind]).get(name)
    if owners:
        raise UsageError(
            f"The {kind} '{name}' is there already, from {', '.join(owners)}. Choose another name."
        )
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty. Name a new folder with --out.")
    words = {"name": name, "dist": name.replace("_", "-")}
    for path, text in files.items():
        write_whole(out / Template(path).substitute(words), Template(text).substitute(words))
    return out
