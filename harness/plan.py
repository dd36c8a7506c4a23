"""What the settings mean on this machine, found out before anything is spent.

:func:`resolve` turns names into objects and files into fingerprints, and so meets every mistake of
the user. It imports neither torch nor lmms-eval: a run that is done is recognised at once.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.benchmark import Benchmark
from harness.errors import UsageError
from harness.judge import check
from harness.lmms import HUB, data_fingerprint
from harness.lmms_adhoc import benchmark, code_digest, expand
from harness.plugins import Method, digest_of, load, load_method, names
from harness.prompts import prompts_fingerprint, read_prompts
from harness.records import Prompt, World, fingerprint, to_json
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

_NO_RESULT = ("out", "reports", "baseline", "judging", "canary", "merge")
"""Settings that change no answer, pair or weight."""


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
        }
        options = to_json(self.options) if self.options is not None else None
        code = fingerprint(wanted, options, model_fingerprint, self.inputs)
        model = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(self.settings.model).name).strip("-.")
        return self.settings.out / f"{self.settings.method}-{model or 'model'}-{code[:8]}"


def resolve(settings: Settings) -> Plan:
    """Load what the settings name and fingerprint what they point at.

    Raises:
        UsageError: for anything that does not exist or does not fit, naming the near miss.
        HarnessError: for files that are there and broken.
    """
    method = load_method(settings.method)
    wanted = {name: benchmark(name) for name in expand(settings.benches)}
    for name in settings.reports:
        load("reports", name)
    check(settings.judging)
    model_world = _world(settings.model)
    preset = settings.preset or _fitting_preset(method, model_world)
    options = method.options(preset, dict(settings.options))
    data_world, prompt_world = _world(settings.data), _world(settings.prompts)
    data = data_of(settings.data)
    prompt_file = prompt_world.prompts if prompt_world else Path(settings.prompts)
    prompts = read_prompts(prompt_file, settings.max_prompts)
    inputs = {
        "method": _method_digest(method, options),
        "prompts": prompts_fingerprint(prompt_file, prompts),
    }
    for name, bench in wanted.items():
        inputs[f"data:{bench.name}"] = data_fingerprint(bench.task, data)
        inputs[f"bench:{bench.name}"] = fingerprint(code_digest(name), inputs[f"data:{bench.name}"])
    return Plan(
        settings=settings,
        method=method,
        options=options,
        benchmarks=tuple(wanted.values()),
        model=model_world.model if model_world else settings.model,
        data=data,
        prompts=prompts,
        notice=data_world.notice if data_world else None,
        inputs=inputs,
    )


def versions() -> dict[str, str]:
    """Return the versions of everything that could change a number."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def _world(name: str) -> World | None:
    if os.sep in name or name not in names("worlds"):
        return None
    world = load("worlds", name)
    assert isinstance(world, World)
    return world


def _fitting_preset(method: Method, world: World | None) -> str | None:
    presets = getattr(method.module, "PRESETS", {})
    return world.preset if world is not None and world.preset in presets else None


def data_of(name: str) -> str | Path:
    """Return the folder that ``--data`` means, or ``"hub"``.

    Raises:
        UsageError: if there is no such folder.
    """
    world = _world(name)
    if world is not None:
        return world.data
    if name == HUB:
        return HUB
    if not Path(name).is_dir():
        raise UsageError(
            f"There is no data folder {name}. Name a folder with copies of the data sets, 'hub' "
            f"for the real ones, or an embedded world ({', '.join(names('worlds'))}) with --data."
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
