"""What the settings mean on this machine, found out before anything is spent.

:func:`resolve` turns names into objects and files into fingerprints, and so meets every mistake of
the user. It imports neither torch nor lmms-eval: a run that is done is recognised at once.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.benchmark import HUB, Benchmark, benchmark, code_digest, data_fingerprint, expand
from harness.engine import ENGINE_VERSION
from harness.errors import UsageError
from harness.judge import check
from harness.model import SCHEME
from harness.pairs import prompts_fingerprint, read_prompts
from harness.plugins import Method, digest_of, load, load_method, names
from harness.records import Demo, Prompt, fingerprint, to_json
from harness.settings import Settings

PACKAGES = (
    "vlm-harness",
    "accelerate",
    "datasets",
    "lmms-eval",
    "peft",
    "tokenizers",
    "torch",
    "torchvision",
    "transformers",
    "trl",
)

_NO_RESULT = ("out", "reports", "baseline", "judging", "pair_timeout", "image_ablation", "merge")
"""Settings that change no answer, pair or weight."""
_ONLY_WHEN_GIVEN = ("max_new_tokens",)
"""Settings of a later version: without them a run lies where it always lay."""


@dataclass(frozen=True)
class Plan:
    """Settings made concrete: loaded names, read prompts, and a fingerprint for every input."""

    settings: Settings
    method: Method
    options: Any
    benchmarks: tuple[Benchmark, ...]
    model: str | Path
    data: str | Path
    prompts: tuple[Prompt, ...]
    notice: str | None
    inputs: Mapping[str, str]

    def folder(self, model_fingerprint: str) -> Path:
        """Name the run folder: method, model, and a hash of everything that decides the result."""
        named_otherwise = ("model", "data", "prompts", "options", "preset")  # by what they hold
        wanted = {
            key: value
            for key, value in to_json(self.settings).items()
            if key not in (*_NO_RESULT, *named_otherwise)
            and not (key in _ONLY_WHEN_GIVEN and value is None)
        }
        options = to_json(self.options) if self.options is not None else None
        code = fingerprint(wanted, options, model_fingerprint, self.inputs)
        return self.settings.out / folder_name(self.settings.method, self.settings.model, code)


def resolve(settings: Settings) -> Plan:
    """Load what the settings name and fingerprint what they point at.

    Raises:
        UsageError: for anything that does not exist or does not fit, naming the near miss.
        HarnessError: for files that are there and broken.
    """
    method = load_method(settings.method)
    if settings.model.startswith(SCHEME):
        raise UsageError(
            f"{settings.model} is a server's model: its weights are not here, so it cannot be "
            "trained. Name its folder or hub id with --model, or measure it as it is with: "
            f"harness eval --model {settings.model} --bench {','.join(settings.benches)}"
        )
    for name in settings.reports:
        load("reports", name)
    check(settings.judging)
    model_demo = demo_of(settings.model)
    preset = settings.preset or _fitting_preset(method, model_demo)
    options = method.options(preset, dict(settings.options))
    data_demo, prompt_demo = demo_of(settings.data), demo_of(settings.prompts)
    data = data_of(settings.data)
    benchmarks, inputs = benchmarks_of(settings.benches, data)
    prompt_file = prompt_demo.prompts if prompt_demo else Path(settings.prompts)
    prompts = read_prompts(prompt_file, settings.max_prompts)
    inputs |= {
        "method": _method_digest(method, options),
        "prompts": prompts_fingerprint(prompt_file, prompts),
    }
    return Plan(
        settings=settings,
        method=method,
        options=options,
        benchmarks=benchmarks,
        model=model_demo.model if model_demo else settings.model,
        data=data,
        prompts=prompts,
        notice=data_demo.notice if data_demo else None,
        inputs=inputs,
    )


def benchmarks_of(
    names: Sequence[str], data: str | Path
) -> tuple[tuple[Benchmark, ...], dict[str, str]]:
    """Load benchmarks and suites, and fingerprint their rows and the code that scores them.

    Raises:
        UsageError: if a name or its data are not there, naming the near miss.
    """
    wanted = {name: benchmark(name) for name in expand(names)}
    inputs = {}
    for name, bench in wanted.items():
        inputs[f"data:{bench.name}"] = data_fingerprint(bench.task, data)
        inputs[f"bench:{bench.name}"] = fingerprint(code_digest(name), inputs[f"data:{bench.name}"])
    return tuple(wanted.values()), inputs


def prints_of(
    benchmarks: Sequence[Benchmark],
    inputs: Mapping[str, str],
    model: str,
    limit: int | None,
    max_new_tokens: int | None = None,
) -> dict[str, str]:
    """Return, by benchmark, the fingerprint of everything that determines its samples.

    Args:
        benchmarks: which.
        inputs: what :func:`benchmarks_of` found.
        model: the model's fingerprint.
        limit: only the first rows.
        max_new_tokens: where answers are cut, if not where the tasks say.
    """
    cut = () if max_new_tokens is None else (f"max_new_tokens={max_new_tokens}",)
    return {
        bench.name: fingerprint(model, ENGINE_VERSION, inputs[f"bench:{bench.name}"], limit, *cut)
        for bench in benchmarks
    }


def folder_name(what: str, model: str, code: str) -> str:
    """Name a run folder by what was done, with which model, and a hash of all that decides it."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(model).name).strip("-.")
    return f"{what}-{name or 'model'}-{code[:8]}"


def versions() -> dict[str, str]:
    """Return the versions of everything that could change a number."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def demo_of(name: str) -> Demo | None:
    """Return the built-in demo of that name, if it is one."""
    if os.sep in name or name not in names("demos"):
        return None
    demo = load("demos", name)
    assert isinstance(demo, Demo)
    return demo


def _fitting_preset(method: Method, demo: Demo | None) -> str | None:
    presets = getattr(method.module, "PRESETS", {})
    return demo.preset if demo is not None and demo.preset in presets else None


def data_of(name: str) -> str | Path:
    """Return the folder that ``--data`` means, or ``"hub"``.

    Raises:
        UsageError: if there is no such folder.
    """
    demo = demo_of(name)
    if demo is not None:
        return demo.data
    if name == HUB:
        return HUB
    if not Path(name).is_dir():
        raise UsageError(
            f"There is no data folder {name}. Name a folder with copies of the data sets, 'hub' "
            f"for the real ones, or a built-in demo ({', '.join(names('demos'))}) with --data."
        )
    return Path(name)


def _method_digest(method: Method, options: Any) -> str:
    """Hash the method's code, and that of the methods it is built on (``USES``, ``uses``)."""
    uses = getattr(method.module, "uses", None)
    others = uses(options) if uses is not None else getattr(method.module, "USES", ())
    return fingerprint(*(digest_of("methods", name) for name in (method.name, *others)))


def settings_json(plan: Plan, **measured: str) -> dict[str, Any]:
    """Return what settings.json records: the settings, and what they came to.

    Args:
        plan: the settings made concrete.
        measured: what else decides the answers: the model's fingerprint, the engine's version.
    """
    shown = to_json(plan.settings)
    shown["options"] = dict(plan.settings.options)
    effective = dataclasses.asdict(plan.options) if plan.options is not None else {}
    inputs = dict(plan.inputs)
    return {"asked": shown, "options": effective, "inputs": inputs, "measured": measured}
