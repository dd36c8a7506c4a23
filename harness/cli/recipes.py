"""Recipes: the options of a command as a YAML file, and a command's call printed as one.

    method: seva
    bench: [mmvet, pope]
    seeds: 3
    set:
      noise_step: 800

Keys are the names of the command's options. What is typed on the command line wins.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from harness.cli.help import SectionedCommand
from harness.cli.options import PATH
from harness.errors import UsageError, near_miss, plain, why
from harness.plugins import option_text

_PRINT = "harness.print_config"
_SET = "set"
_OPTIONS = {
    "benches": "bench",
    "reports": "report",
    "options": _SET,
    "engine_options": "engine-set",
    "canary": "image-ablation",  # the name of version 0.0
    "patience": "pair-timeout",
}
"""Where a setting and its option have different names."""
_JUDGE_OPTIONS = {
    "judgings": "judge-repeats",
    "rpm": "judge-rpm",
    "price": "judge-price",
    "cap": "judge-cap",
    "thinking": "judge-thinking",
    "prompts": "judge-prompt",
}
_ROUND_OPTIONS = {"count": "rounds", "prompts": "round-prompts", "reference": "round-reference"}


class RecipeCommand(SectionedCommand):
    """A command that takes its options from a file, and can print them as one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(
                ["--config"],
                type=PATH,
                metavar="FILE|RUN",
                is_eager=True,
                expose_value=False,
                callback=_read,
                help="Take options from a YAML recipe or from a run; options typed here win.",
            ),
            click.Option(
                ["--print-config"],
                is_flag=True,
                expose_value=False,
                callback=_remember,
                help="Print this call as a recipe and exit.",
            ),
        ]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; an option of the training is told apart from a misspelt one."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            told = _of_training(self, error.option_name, "--set {}=VALUE")
            if not told:
                raise
            message = f"No such option '{error.option_name}'.{told}"
            raise click.NoSuchOption(error.option_name, message, ctx=ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, or print what it was asked."""
        held = (ctx.default_map or {}).get("options", ())
        if ctx.get_parameter_source("options") == ParameterSource.COMMANDLINE:
            ctx.params["options"] = (*held, *ctx.params["options"])  # of one key the last counts
        if not ctx.meta.get(_PRINT):
            return super().invoke(ctx)
        import yaml  # type: ignore[import-untyped]

        click.echo(yaml.safe_dump(_recipe(ctx), sort_keys=False, allow_unicode=True), nl=False)
        return 0


def _remember(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    context.meta[_PRINT] = wanted


def _read(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    asked = _of_run(path) if path.is_dir() else recipe_file(path)
    known = _options(context.command)
    given = {str(known[n].name): value for n, value in _typed_all(context.command, asked, path)}
    context.default_map = {**(context.default_map or {}), **given}


def _typed_all(
    command: click.Command, asked: Mapping[str, Any], path: Path
) -> Iterator[tuple[str, Any]]:
    """Return the options of a recipe by their names, as click would have got them."""
    known = _options(command)
    for name, value in asked.items():
        if name not in known:
            told = _of_training(command, str(name), "set: {{{}: VALUE}}")
            told = told or f"{near_miss(str(name), known)} Known: {', '.join(known)}."
            raise UsageError(
                f"{path} says '{plain(str(name))}', which is no option of harness "
                f"{command.name}.{told}"
            )
        if value is not None:
            yield name, _typed(known[name], value, f"{path}: {name}")


def _of_training(command: click.Command, name: str, form: str) -> str:
    """Say where an option of the training goes that was asked of a command; else nothing."""
    from harness.dpo import Training

    key = name.lstrip("-").replace("-", "_")
    if _SET not in _options(command):
        return ""
    if key in {field.name for field in dataclasses.fields(Training)}:
        return f" It is an option of the training: {form.format(key)}"
    told = Training.called_here(key, "VALUE")
    return told and f"{told} Options of the training: {form.format('KEY')}"


def words_of(command: click.Command, asked: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Return the options of a recipe as they would be typed."""
    words: list[str] = []
    for name, value in _typed_all(command, asked, path):
        if isinstance(value, bool):
            words += [f"--{name}"] if value else []
        else:
            for each in value if isinstance(value, tuple) else (value,):
                words += [f"--{name}", each]
    return tuple(words)


def recipe_file(path: Path) -> Mapping[str, Any]:
    """Read a recipe."""
    import yaml

    from harness.storage import parse_yaml, read_text

    try:
        asked = parse_yaml(read_text(path), yaml.SafeLoader)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The recipe {path} cannot be read: {why(error)}. docs/recipes.md shows one."
        ) from error
    if not isinstance(asked, dict):
        raise UsageError(
            f"The recipe {path} holds no options. Write one a line, as in: method: seva"
        )
    return asked


def _of_run(folder: Path) -> dict[str, Any]:
    """Return what was asked of a run; only what differs from a plain call."""
    from harness.records import to_json
    from harness.settings import JudgeSettings, Settings
    from harness.storage import parse_json, read_text

    usual = to_json(Settings("", ())) | {"reports": ["json", "markdown", "html"]}
    try:
        record = parse_json(read_text(folder / "settings.json"))
        asked = record["asked"]
        judging, rounds = asked.pop("judging", {}), asked.pop("rounds", None) or {}
        if (price := judging.get("price")) is not None:
            judging["price"] = "/".join(map(str, price))
        margins = {"": asked.pop("margin", 1.0), **asked.pop("margins", {})}
        return {
            **_told(asked, usual, _OPTIONS),
            **_told(judging, to_json(JudgeSettings()), _JUDGE_OPTIONS),
            **_told(rounds, {}, _ROUND_OPTIONS),
            **({"margin": _margin_text(margins)} if margins != {"": usual["margin"]} else {}),
            **({"seeds": len(seeds)} if (seeds := record.get("seeds", ())) else {}),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{folder} does not say what was asked of it; name the folder of a harness run, or a "
            "recipe."
        ) from error


def _told(
    asked: Mapping[str, Any], usual: Mapping[str, Any], names: Mapping[str, str]
) -> dict[str, Any]:
    """Return settings as options, without those that a plain call has too."""
    return {
        names.get(name, name.replace("_", "-")): value
        for name, value in asked.items()
        if value not in ([], {}, None) and value is not False and value != usual.get(name)
    }


def _margin_text(margins: Mapping[str, float]) -> str:
    return ",".join(f"{name}={value}" if name else f"{value}" for name, value in margins.items())


def _options(command: click.Command) -> dict[str, click.Parameter]:
    """Return a command's options by their long names, without the dashes."""
    own = {"config", "print-config", "help"}
    return {
        option.opts[0].lstrip("-"): option
        for option in command.params
        if isinstance(option, click.Option) and option.opts[0].lstrip("-") not in own
    }


def _typed(option: click.Parameter, value: Any, where: str) -> Any:
    """Return a value as click would have got it from the command line."""
    assert isinstance(option, click.Option)
    if option.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{where} is yes or no: write true or false.")
        return value
    if option.multiple and isinstance(value, dict):
        return tuple(f"{key}={option_text(each)}" for key, each in value.items())
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        return tuple(map(str, value)) if option.multiple else ",".join(map(str, value))
    if isinstance(value, dict | list | bool):
        raise UsageError(f"{where} takes a text or a number, not {plain(str(value))[:80]}.")
    return (str(value),) if option.multiple else str(value)


def _recipe(context: click.Context) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, option in _options(context.command).items():
        value = context.params.get(str(option.name))
        if context.get_parameter_source(str(option.name)) != ParameterSource.DEFAULT:
            found[name] = _plain(name, value)
    return found


def _plain(name: str, value: Any) -> Any:
    if name in (_SET, "engine-set"):
        return dict(each.partition("=")[::2] for each in value)
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
