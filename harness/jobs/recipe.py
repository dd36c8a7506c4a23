"""What a sweep is asked to do: methods, models and seeds, all on the same benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from harness.errors import UsageError, near_miss, plain
from harness.jobs.model import MINUTES
from harness.plugins import option_text
from harness.records import distinct
from harness.settings import EMBEDDED

_Stage = Literal["before", "pairs", "train", "after", "judge", "report"]
_Plain = str | int | float | bool
_Options = dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _many(value: Any) -> Any:
    """Let a single name, or names that commas join, stand for a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _counted(value: Any) -> Any:
    """Let a number of seeds stand for so many, from 0 on."""
    return list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value


def _named(key: str) -> BeforeValidator:
    """Let a name alone stand for an entry that says nothing else."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


class _Method(_Strict):
    method: str
    name: str | None = None
    preset: str | None = None
    set: dict[str, _Plain | list[_Plain]] = {}
    options: _Options = {}


class _Model(_Strict):
    model: str
    options: _Options = {}


class Resources(_Strict):
    """What a job of one stage gets from a scheduler.

    Attributes:
        gpus: how many; by default one for what asks or trains a model, and none otherwise.
        minutes: how long at a time.
        parts: how many jobs like it answer its prompts beforehand, each a part; of pairs only.
    """

    gpus: Annotated[int, Field(ge=0)] | None = None
    minutes: Annotated[int, Field(ge=1)] = MINUTES
    parts: Annotated[int, Field(ge=1)] = 1


class Recipe(_Strict):
    """A sweep.

    Attributes:
        methods: names, or entries with preset, ``set``, and further options of ``harness run``.
        benches: benchmarks and suites, for all runs.
        models: names, or entries with further options of ``harness run``.
        seeds: training seeds that follow each other, or how many.
        options: of ``harness run``, for all runs.
        out: the folder of the sweep.
        executor: where jobs run, as ``--executor`` has it.
        resources: by stage.
    """

    methods: Annotated[
        list[Annotated[_Method, _named("method")]], BeforeValidator(_many), Field(min_length=1)
    ]
    benches: Annotated[list[str], BeforeValidator(_many), Field(min_length=1)]
    models: Annotated[
        list[Annotated[_Model, _named("model")]], BeforeValidator(_many), Field(min_length=1)
    ] = [_Model(model=EMBEDDED)]
    seeds: Annotated[
        list[Annotated[int, Field(ge=0)]], BeforeValidator(_counted), Field(min_length=1)
    ] = [0]
    options: _Options = {}
    out: str | None = None
    executor: str | None = None
    resources: dict[_Stage, Resources] = {}


@dataclass(frozen=True)
class Wish:
    """One method on one model, as options of ``harness run`` without seed and folder."""

    label: str
    options: Mapping[str, Any]


SET_BY_SWEEP = ("method", "bench", "model", "seed", "seeds", "out", "only", "part", "json", "quiet")
"""Options of ``harness run`` that a sweep gives each of its jobs itself."""


def read_recipe(asked: Mapping[str, Any], where: str) -> Recipe:
    """Check the content of a recipe file.

    Raises:
        UsageError: for an unknown key, naming the near miss, or a value that does not fit.
    """
    try:
        recipe = Recipe.model_validate(asked)
    except ValidationError as error:
        raise UsageError(_explained(error, where)) from error
    first, *_ = seeds = recipe.seeds
    if seeds != list(range(first, first + len(seeds))):
        raise UsageError(
            f"{where} lists the seeds {', '.join(map(str, seeds))}. Runs of one method are "
            f"reported together over seeds that follow each other: write seeds: "
            f"{list(range(first, first + len(seeds)))}"
        )
    for stage, resources in recipe.resources.items():
        if stage != "pairs" and resources.parts > 1:
            raise UsageError(
                f"{where}: resources.{stage} has parts, and only the prompts of pairs can be "
                "divided among jobs. Write them as in: resources: {pairs: {parts: 4}}"
            )
    entries: tuple[Recipe | _Method | _Model, ...] = (recipe, *recipe.methods, *recipe.models)
    for entry in entries:
        if not isinstance(entry.options.get("set", {}), dict):
            raise UsageError(f"{where}: set holds options of the method, as in set: {{beta: 0.1}}")
        for name in entry.options:
            if name in SET_BY_SWEEP:
                raise UsageError(
                    f"{where} gives '{name}' among the options of its runs; a sweep sets that "
                    f"itself. Its own keys are: {', '.join(Recipe.model_fields)}."
                )
    return recipe


def wishes_of(recipe: Recipe) -> tuple[Wish, ...]:
    """Return what is to be run with every seed: each method on each model."""
    names = [each.method for each in recipe.methods]
    found = []
    for model in recipe.models:
        for method in recipe.methods:
            one = names.count(method.method) == 1
            options: dict[str, Any] = {"method": method.method, "bench": recipe.benches}
            options |= {"model": model.model}
            options |= {"preset": method.preset} if method.preset is not None else {}
            given = (recipe.options, model.options, method.options)
            for each in given:
                options |= each
            together: dict[str, Any] = {}
            for part in (*(each.get("set", {}) for each in given), method.set):
                together |= part
            options |= {"set": together} if together else {}
            found.append(Wish(method.name or (method.method if one else _label(method)), options))
    labels = [(each.label, each.options["model"]) for each in found]
    if len(distinct(labels)) < len(labels):
        raise UsageError(
            "Two methods of the sweep have the same name. Give each its own name, as in: "
            "{method: seva, name: seva-strong, set: {noise_step: 800}}"
        )
    return tuple(found)


def _label(method: _Method) -> str:
    told = [method.preset] if method.preset is not None else []
    told += [f"{key}={option_text(value)}" for key, value in method.set.items()]
    return " ".join((method.method, *told))


def _explained(error: ValidationError, where: str) -> str:
    """Say in one paragraph what does not fit; the first fault alone."""
    fault = error.errors()[0]
    *place, last = [str(part) for part in fault["loc"]] or [""]
    at = f"{where}: {'.'.join(place)}" if place else where
    if fault["type"] == "extra_forbidden":
        known = _keys_at(place)
        return (
            f"{at} has the key '{plain(last)}', which there is not.{near_miss(last, known)} "
            f"Known: {', '.join(known)}."
        )
    name = ".".join((*place, last))
    if fault["type"] == "missing":
        return f"{where} lacks '{name}'. Add it; docs/sweeps.md shows a recipe."
    stages = get_args(_Stage)
    if "[key]" in (last, *place):
        stage = place[-1] if last == "[key]" else last
        return (
            f"{where}: resources has the stage '{plain(stage)}', which there is not."
            f"{near_miss(stage, stages)} Known: {', '.join(stages)}."
        )
    got = plain(repr(fault["input"]))[:80]
    return f"{where}: {name} does not fit: {fault['msg'][:1].lower()}{fault['msg'][1:]}; got {got}."


def _keys_at(place: Iterable[str]) -> list[str]:
    kinds: dict[str, type[BaseModel]] = {
        "methods": _Method,
        "models": _Model,
        "resources": Resources,
    }
    kind = next((kinds[part] for part in place if part in kinds), Recipe)
    return list(kind.model_fields)
