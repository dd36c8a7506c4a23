"""What a stage works on: the settings made concrete, the run folder and the answer store.

A stage takes a :class:`Context` and gives a record. What determines its result is in the plan, so a
stage finds its own finished work by a fingerprint and does it once.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from harness.benchmark import HUB, Benchmark
from harness.engine import ENGINE_VERSION
from harness.errors import UsageError
from harness.model import Opening, short_name
from harness.plugins import Method, names
from harness.protocol import HF
from harness.records import Drop, Prompt, fingerprint, to_json
from harness.settings import BUILTIN, EMBEDDED, EvalSettings, Settings
from harness.storage import RunRecord, Store

if TYPE_CHECKING:
    from harness.benchmark import Metric

_NO_RESULT = (
    *("out", "reports", "baseline", "judging", "pair_timeout", "image_ablation"),
    *("merge", "merge_dtype", "eval_rounds", "attribution"),
    *("margin", "alpha", "accept_missing", "margins"),
    *("protocol", "engine", "engine_options"),  # part of the model's fingerprint
)
"""Settings that change no answer, pair or weight."""
_ONLY_WHEN_GIVEN = ("max_new_tokens", "rounds")
"""Settings of a later version: without them a run lies where it always lay."""
_NAMED_OTHERWISE = (  # by what they hold
    *("model", "data", "prompts", "options", "preset"),
    *("pairs", "images", "allow_urls"),
)


@dataclass(frozen=True, kw_only=True)
class EvalPlan:
    """What is to be measured, made concrete.

    Attributes:
        settings: what the user asked for.
        benchmarks: loaded.
        model: folder or hub id of the model.
        data: folder with the benchmarks' rows, or ``"hub"``.
        notice: what every report has to say first, such as a demo's.
        inputs: fingerprint of every input, by the names that ``settings.json`` gives them.
        seed: of everything random.
        protocol: how images and conversations reach the model.
        engine: what answers; ``None`` is the engine ``own``.
    """

    settings: Settings | EvalSettings
    benchmarks: tuple[Benchmark, ...]
    model: str | Path
    data: str | Path
    notice: str | None
    inputs: Mapping[str, str]
    seed: int = 0
    protocol: str = HF
    engine: Opening | None = None

    @property
    def columns(self) -> dict[str, tuple[Metric, ...]]:
        """The columns of every benchmark, by its name."""
        return {bench.name: bench.columns for bench in self.benchmarks}

    def prints(self, model: str) -> dict[str, str]:
        """Return, by benchmark, the fingerprint of everything that determines its samples."""
        rows = (self.settings.limit, *self._cut)
        return {
            bench.name: fingerprint(
                model, ENGINE_VERSION, self.inputs[f"bench:{bench.name}"], *rows
            )
            for bench in self.benchmarks
        }

    @property
    def _cut(self) -> tuple[str, ...]:
        """Where answers are cut, if not where the tasks say: then no part of a fingerprint."""
        limit = self.settings.max_new_tokens
        return () if limit is None else (f"max_new_tokens={limit}",)

    def folder(self, model: str) -> Path:
        """Name the run folder of a model with this fingerprint."""
        code = fingerprint(model, self.inputs, self.settings.limit, *self._cut)
        return self.settings.out / folder_name("eval", self.settings.model, code)

    def record(self, model: str, engine: str = "") -> RunRecord:
        """Return what ``settings.json`` keeps of the plan and of a model with this fingerprint."""
        asked = {**to_json(self.settings), "data": kept_data(self.settings.data)}
        if self.settings.engine_options:
            asked["engine_options"] = dict(self.settings.engine_options)
        return RunRecord(
            asked=asked,
            inputs=dict(self.inputs),
            measured={
                "model": model,
                "engine": engine or ENGINE_VERSION,
                "protocol": self.protocol,
            },
        )


@dataclass(frozen=True, kw_only=True)
class Plan(EvalPlan):
    """What is to be trained and measured, made concrete.

    Attributes:
        settings: what the user asked for.
        method: loaded.
        options: the method's own.
        prompts: to make pairs from.
        dropped: rows of the prompts' or pairs' file that cannot be used.
        notes: what a reader has to know of how this was asked.
        part: what else determines pairs and training, where they are those of one round of several.
    """

    settings: Settings
    method: Method
    options: Any
    prompts: tuple[Prompt, ...]
    dropped: tuple[Drop, ...] = ()
    notes: tuple[str, ...] = ()
    part: tuple[object, ...] = ()

    @property
    def determined(self) -> tuple[object, ...]:
        """What besides the model determines pairs and training."""
        options = to_json(self.options) if self.options is not None else None
        inputs = (self.inputs["method"], self.inputs["prompts"], options, self.settings.seed)
        return (*inputs, *self.part)

    @property
    def judged(self) -> bool:
        """Whether a judge other than the built-in one scores answers."""
        rubrics = any(bench.rubric is not None for bench in self.benchmarks)
        return rubrics and self.settings.judging.judge != BUILTIN

    def pairs_print(self, model: str) -> str:
        """Return the fingerprint of everything that determines the pairs."""
        return fingerprint(model, ENGINE_VERSION, *self.determined)

    def folder(self, model: str) -> Path:
        """Name the run folder: method, model, and a hash of everything that decides the result."""
        wanted = {
            key: value
            for key, value in to_json(self.settings).items()
            if key not in (*_NO_RESULT, *_NAMED_OTHERWISE)
            and not (key in _ONLY_WHEN_GIVEN and value is None)
        }
        options = to_json(self.options) if self.options is not None else None
        code = fingerprint(wanted, options, model, self.inputs)
        return self.settings.out / folder_name(self.settings.method, self.settings.model, code)

    def record(self, model: str, engine: str = "") -> RunRecord:
        """Return what ``settings.json`` keeps, with the method's options in full."""
        record = super().record(model, engine)
        return dataclasses.replace(
            record,
            asked={**record.asked, "options": dict(self.settings.options)},
            options=dataclasses.asdict(self.options) if self.options is not None else {},
        )


P = TypeVar("P", bound=EvalPlan, covariant=True)


@dataclass(frozen=True)
class Context(Generic[P]):
    """What a stage is given.

    Attributes:
        plan: the settings made concrete.
        folder: the run folder.
        store: answers and verdicts of every run beside it.
    """

    plan: P
    folder: Path
    store: Store


def folder_name(what: str, model: str, code: str) -> str:
    """Name a run folder by what was done, with which model, and a hash of all that decides it."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(short_name(model)).name).strip("-.")
    return f"{what}-{name or 'model'}-{code[:8]}"


def kept_data(name: str) -> str:
    """Return what settings.json says of ``--data``: a folder by its whole path.

    Judging again may be called from another folder, and after the run was moved.
    """
    base, own = data_parts(name)
    if own:
        kept = [f"{bench}={kept_data(place)}" for bench, place in own.items()]
        return ",".join([kept_data(base), *kept])
    known = name == HUB or (os.sep not in name and name in names("demos"))
    return name if known else str(Path(name).absolute())


def data_parts(text: str) -> tuple[str, dict[str, str]]:
    """Part ``PLACE,BENCH=PLACE,...`` into the place of all benchmarks and those of some.

    Raises:
        UsageError: if two places are named for all.
    """
    if "=" not in text or Path(text).is_dir():
        return text, {}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    own = dict(part.split("=", 1) for part in parts if "=" in part)
    bases = [part for part in parts if "=" not in part]
    if len(bases) > 1:
        raise UsageError(
            f"--data names {len(bases)} places for all benchmarks: {', '.join(bases)}. Name one, "
            "and others for single benchmarks, as in: --data hub,pope=./my-pope"
        )
    return (bases or [EMBEDDED])[0], own
