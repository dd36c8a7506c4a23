"""What the settings mean on this machine, found out before anything is spent.

:func:`resolve` turns names into objects and files into fingerprints, and so meets every mistake of
the user. It imports neither torch nor lmms-eval: a run that is done is recognised at once.
"""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness import progress
from harness.benchmark import (
    HUB,
    Benchmark,
    DataPlaces,
    benchmark,
    check_tables,
    code_digest,
    data_fingerprint,
    expand,
)
from harness.context import EvalPlan, Plan, data_parts
from harness.dpo import LOSSES, terms_of, training_of
from harness.engine import resolve as checkpoint_folder
from harness.errors import UsageError
from harness.judge import check, check_prompts
from harness.model import OWN, Opening, misfit_of, refuse_server
from harness.pairs import Given, gather, located
from harness.plugins import Method, digest_of, filled, load, load_method, names
from harness.protocol import HF, LLAVA, checked, sentence
from harness.records import Demo, fingerprint, to_json
from harness.report import writers_of
from harness.settings import EMBEDDED, EvalSettings, Settings
from harness.storage import files_digest, folder_digest

_PAPER = "paper"
PACKAGES = (
    *("vlm-harness", "accelerate", "datasets", "lmms-eval", "peft", "tokenizers"),
    *("torch", "torchvision", "transformers", "trl"),
)


def resolve(settings: Settings) -> Plan:
    """Load what the settings name and fingerprint what they point at.

    Raises:
        UsageError: for anything that does not exist or does not fit, naming the near miss.
        HarnessError: for files that are there and broken.
    """
    method = load_method(settings.method)
    refuse_server(settings.model, settings.benches)
    writers_of(settings.reports)
    check(settings.judging)
    model_demo = demo_of(settings.model)
    preset = settings.preset or _fitting_preset(method, model_demo)
    typed = _typed(settings, method)
    options = method.options(preset, typed)
    data_demo = demo_of(data_parts(settings.data)[0])
    data = data_of(settings.data)
    protocol, notes = protocol_of(settings, model_demo)
    engine = engine_of(settings, protocol)
    benchmarks, inputs = benchmarks_of(settings.benches, data, protocol)
    check_prompts(settings.judging.prompts, benchmarks, data)
    given, prompts_print = _given(settings)
    inputs |= {"method": _method_digest(method, options, typed), "prompts": prompts_print}
    return Plan(
        settings=settings,
        seed=settings.seed,
        method=method,
        options=options,
        benchmarks=benchmarks,
        model=model_demo.model if model_demo else settings.model,
        data=data,
        prompts=given.prompts,
        dropped=given.dropped,
        notice=data_demo.notice if data_demo else None,
        inputs=inputs,
        protocol=protocol,
        notes=notes,
        engine=engine,
    )


def protocol_of(settings: Settings, demo: Demo | None) -> tuple[str, tuple[str, ...]]:
    """Return the protocol of a run, and what its reports say where it is not the papers' own.

    The preset ``paper`` takes the papers' protocol where the model can follow it.

    Raises:
        UsageError: if there is no such protocol, or no such model.
    """
    asked = None if settings.protocol is None else checked(settings.protocol)
    if settings.preset != _PAPER or demo is not None or asked == LLAVA:
        return asked or HF, ()
    if asked == HF or settings.engine != OWN:
        return HF, (sentence(HF),)
    reason = misfit_of(checkpoint_folder(settings.model))
    if reason is None:
        return LLAVA, ()
    return HF, (f"The model cannot follow the papers' protocol: {reason}.", sentence(HF))


def engine_of(asked: Settings | EvalSettings, protocol: str) -> Opening | None:
    """Return how the engine that was asked for is made; ``None`` for the engine ``own``.

    Raises:
        UsageError: if there is no such engine, or an option does not fit it, or it cannot follow
            the protocol.
    """
    kind, values = load("engines", asked.engine), dict(asked.engine_options)
    options = getattr(kind, "Options", None)
    if options is None and values:
        raise UsageError(f"The engine '{asked.engine}' has no options; leave --engine-set out.")
    if asked.engine == OWN:
        return None
    if protocol != HF:
        raise UsageError(
            f"The engine '{asked.engine}' formats images and conversations by the checkpoint's "
            f"own processor and template, so the protocol {protocol} cannot be followed. Use "
            f"--engine {OWN}, or leave "
            "--protocol out."
        )
    made = (
        filled(f"engine '{asked.engine}'", options(), values, "--engine-set ")
        if options is not None
        else None
    )
    return partial(kind, options=made)


def resolve_eval(asked: EvalSettings) -> EvalPlan:
    """Load the benchmarks that the settings name and fingerprint their rows.

    Raises:
        UsageError: for anything that does not exist or does not fit, naming the near miss.
        HarnessError: for files that are there and broken.
    """
    check(asked.judging)
    data, demo = data_of(asked.data), demo_of(asked.model)
    data_demo = demo_of(data_parts(asked.data)[0])
    protocol = HF if asked.protocol is None else checked(asked.protocol)
    engine = engine_of(asked, protocol)
    benchmarks, inputs = benchmarks_of(asked.benches, data, protocol)
    check_prompts(asked.judging.prompts, benchmarks, data)
    return EvalPlan(
        settings=asked,
        benchmarks=benchmarks,
        model=demo.model if demo else asked.model,
        data=data,
        notice=data_demo.notice if data_demo else None,
        inputs=inputs,
        protocol=protocol,
        engine=engine,
    )


def benchmarks_of(
    names: Sequence[str], data: str | Path, protocol: str = HF
) -> tuple[tuple[Benchmark, ...], dict[str, str]]:
    """Load benchmarks and suites, and fingerprint their rows and the code that scores them.

    Raises:
        UsageError: if a name or its data are not there, naming the near miss, or the data lacks
            what the protocol's wording needs.
    """
    wanted = {name: benchmark(name).under(protocol) for name in expand(names)}
    inputs = {}
    for name, bench in wanted.items():
        tables = check_tables(bench.task, data)
        if tables is not None and tables.columns:
            bench.check_columns(tables.where, tables.columns)
        for note in tables.notes if tables is not None else ():
            progress.say(f"{bench.name}: {note}")
        inputs[f"data:{bench.name}"] = data_fingerprint(bench.task, data)
        inputs[f"bench:{bench.name}"] = fingerprint(code_digest(name), inputs[f"data:{bench.name}"])
    return tuple(wanted.values()), inputs


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


def _given(settings: Settings) -> tuple[Given, str]:
    """Read the prompts, or the pairs that exist, and say what of them cannot be used."""
    demo = demo_of(settings.prompts) if settings.pairs is None else None
    option = "--prompts" if settings.pairs is None else "--pairs"
    name = settings.prompts if settings.pairs is None else settings.pairs
    given, mark = gather(
        located(name, option) if demo is None else demo.prompts,
        settings.max_prompts,
        images=settings.images,
        keep=settings.out / "images",
        allow_urls=settings.allow_urls,
        answers=settings.pairs is not None,
    )
    for note in given.notes:
        progress.say(f"{option}: {note}.")
    return given, mark


def _typed(settings: Settings, method: Method) -> dict[str, str]:
    """Return the options of the method that the user set, the file of pairs among them."""
    typed = dict(settings.options)
    fields = getattr(getattr(method.module, "Options", None), "__dataclass_fields__", {})
    if settings.pairs is not None:
        if "pairs" not in fields:
            raise UsageError(
                f"--pairs {settings.pairs} gives pairs that exist, and the method "
                f"'{method.name}' makes its own. Train on them with --method given, or give "
                "their images and questions as prompts with --prompts."
            )
        if settings.prompts != EMBEDDED:
            raise UsageError(
                f"--pairs {settings.pairs} has its own prompts; leave --prompts "
                f"{settings.prompts} out."
            )
        typed["pairs"] = settings.pairs
    return typed


def _fitting_preset(method: Method, demo: Demo | None) -> str | None:
    presets = getattr(method.module, "PRESETS", {})
    return demo.preset if demo is not None and demo.preset in presets else None


def data_of(name: str) -> str | Path:
    """Return the folder that ``--data`` means, or ``"hub"``, or several: ``hub,pope=DIR``.

    Raises:
        UsageError: if there is no such folder or benchmark, or two are named for all.
    """
    base, own = data_parts(name)
    if own:
        places = {benchmark(bench).task: str(data_of(place)) for bench, place in own.items()}
        return DataPlaces(str(data_of(base)), places)
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


def _method_digest(method: Method, options: Any, typed: Mapping[str, str]) -> str:
    """Hash the method's code, what else it is built on, and the files it was given.

    What a method's ``uses`` names is a method, or a plugin of another kind, as in ``edits/NAME``.
    Its ``wraps`` returns a method, that method's options and what was typed of them: all of it
    counts. So does the code of a loss that another package offers.
    """
    uses = getattr(method.module, "uses", None)
    others = uses(options) if uses is not None else getattr(method.module, "USES", ())
    training = training_of(method, options)
    terms = terms_of(training.loss) if training is not None else ()
    losses = (f"losses/{term.name}" for term in terms if term.name not in LOSSES)
    places = (name.rpartition("/")[::2] for name in (method.name, *others, *losses))
    code = fingerprint(*(digest_of(kind or "methods", name) for kind, name in places))
    files = option_files(options, typed)
    wraps = getattr(method.module, "wraps", None)
    if wraps is not None:
        inner, set_to, its_typed = wraps(options)
        files["wraps"] = [_method_digest(inner, set_to, its_typed), fingerprint(to_json(set_to))]
    return fingerprint(code, files) if files else code


def option_files(options: Any, typed: Mapping[str, str]) -> dict[str, list[str]]:
    """Return, by option, the hash of every file and folder that a method's options name.

    A value counts when it is a ``Path``, or a text that the user typed and that leads to something.

    Args:
        options: the method's options; ``None`` where it has none.
        typed: what the user set.
    """
    found: dict[str, list[str]] = {}
    for field in dataclasses.fields(options) if options is not None else ():
        value = getattr(options, field.name)
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, Path) or (isinstance(part, str) and field.name in typed):
                digest = _bytes_of(Path(part))
                if digest is not None:
                    found.setdefault(field.name, []).append(digest)
    return found


def _bytes_of(path: Path) -> str | None:
    try:
        path = path.expanduser()
        if path.is_dir():
            return folder_digest(path) if path.name else None  # not the empty text, which is "."
        return files_digest(path.parent, [path]) if path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long for a name, unreadable, ~nobody
        return None
