"""A new method's package: pip-installable, tested, and running before a line is changed."""

from __future__ import annotations

import keyword
import re
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

FILES = {
    "pyproject.toml": PROJECT,
    "README.md": README,
    "harness_$name/__init__.py": CODE,
    "tests/test_contract.py": TEST,
}


def new_method(name: str, out: Path) -> Path:
    """Write the package of a new method and return its folder.

    Args:
        name: what ``--method`` will take: lower-case letters, digits and underscores.
        out: folder to write; it must be absent or empty.

    Raises:
        UsageError: if the name cannot be one or is taken, or the folder holds something.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(
            f"'{name}' cannot be the name of a method: use lower-case letters, digits and "
            "underscores, a letter first, as in: harness new-method my_method --out DIR"
        )
    owners = names("methods").get(name)
    if owners:
        raise UsageError(
            f"The method '{name}' is there already, from {', '.join(owners)}. Choose another name."
        )
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty. Name a new folder with --out.")
    words = {"name": name, "dist": name.replace("_", "-")}
    for path, text in FILES.items():
        write_whole(out / Template(path).substitute(words), Template(text).substitute(words))
    return out
