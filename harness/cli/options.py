"""What several commands share: options, how values are read, and the last line of output."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.errors import UsageError, plain

if TYPE_CHECKING:
    from harness.compare import Terms
    from harness.settings import JudgeSettings

F = TypeVar("F", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)


def together(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Return what gives a command several options, in this order."""

    def give(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return give


class _Names(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on
    """Names that commas join, each once, as a tuple."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split what was typed; nothing between the commas is an error where something is asked."""
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        if not names and (param is None or param.default != ""):
            option = param.opts[0] if param is not None else "The list"
            raise UsageError(
                f"{option} names nothing. Give at least one name, as in {option} pope."
            )
        return names


NAMES = _Names()

BENCH = click.option(
    "--bench",
    required=True,
    type=NAMES,
    metavar="A,B",
    help="Benchmarks or suites, comma-separated; see harness list benchmarks.",
)
DATA = click.option(
    "--data",
    default="tinyworld",
    show_default=True,
    metavar="DIR|hub[,BENCH=DIR]",
    help="Benchmark data: a folder of copies, the hub, or the built-in miniatures; BENCH=DIR gives "
    "one benchmark its own folder.",
)
PAIR_IMAGES = click.option(
    "--images",
    metavar="DIR",
    type=PATH,
    help="Folder that image paths of prompts or pairs are relative to; by default that of their "
    "file.",
)
ALLOW_URLS = click.option(
    "--allow-urls", is_flag=True, help="Fetch images of prompts or pairs that are given as URLs."
)
LIMIT = click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Use only the first N rows of each benchmark.",
)
MAX_NEW_TOKENS = click.option(
    "--max-new-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Limit of new tokens for an answer, in all benchmarks; by default each task's own.",
)
DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the model runs.",
)
DTYPE = click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Precision; auto is bfloat16 on cuda, else float32.",
)
PROTOCOL = click.option(
    "--protocol",
    metavar="hf|llava-1.5",
    help="How images and conversations reach the model, and how answers are read: by the "
    "checkpoint's processor and chat template (hf, the default), or as in the papers' code "
    "(llava-1.5).",
)
ENGINE = click.option(
    "--engine",
    default="own",
    show_default=True,
    metavar="own|vllm|server",
    help="Engine that generates all answers; see harness list engines, docs/engines.md.",
)
ENGINE_SET = click.option(
    "--engine-set",
    "engine_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one option of the engine; may be repeated.",
)
NPROC = click.option(
    "--nproc",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of processes that share the work, one per GPU.",
)
OUT = click.option(
    "--out",
    type=PATH,
    default=Path("runs"),
    show_default=True,
    help="Folder for run folders and the answer cache.",
)
model_flags = together(DEVICE, DTYPE, PROTOCOL, ENGINE, ENGINE_SET, NPROC, OUT)
EVENTS = click.option("--json", "events", is_flag=True, help="One JSON event per line on stdout.")
JSON = click.option(
    "--json", "events", is_flag=True, help="Print the result as one JSON object on stdout."
)
QUIET = click.option("--quiet", is_flag=True, help="Show no progress on stderr.")


MARGIN = click.option(
    "--margin",
    metavar="PERCENT|BENCH=PERCENT,...",
    help='Margin of "no worse", in percent of a metric\'s scale (default 1), for all benchmarks or '
    "for single ones, as in 0.5,mmvet=2.",
)
ALPHA = click.option(
    "--alpha",
    type=click.FloatRange(min=0.0001, max=0.5),
    metavar="LEVEL",
    help="Significance level of tests and intervals (default 0.05).",
)
TRACK = click.option(
    "--track",
    type=NAMES,
    default="",
    metavar="A,B",
    help="Trackers to log the result to: wandb, mlflow, trackio, tensorboard.",
)
ACCEPT_MISSING = click.option(
    "--accept-missing",
    type=NAMES,
    default="",
    metavar="A,B",
    help='Benchmarks whose missing rows do not veto a gain or "no worse".',
)
comparison_flags = together(MARGIN, ALPHA, ACCEPT_MISSING)
judge_flags = together(
    click.option("--judge", metavar="JUDGE", help="openai:MODEL[@URL], hf:PATH_OR_ID or builtin."),
    click.option(
        "--judge-repeats",
        "judgings",
        type=click.IntRange(min=1),
        metavar="N",
        help="Verdicts per answer; their mean is the score.",
    ),
    click.option(
        "--judge-rpm",
        type=click.IntRange(min=1),
        metavar="N",
        help="Limit of requests to the judge per minute.",
    ),
    click.option(
        "--judge-price",
        metavar="IN/OUT",
        help="Price of a million input tokens and of a million output tokens.",
    ),
    click.option(
        "--judge-cap",
        type=click.FloatRange(min=0),
        metavar="COST",
        help="Stop judging before this cost is exceeded.",
    ),
    click.option(
        "--judge-thinking",
        type=click.IntRange(min=0),
        metavar="TOKENS",
        help="Extra tokens for a judge that thinks before it replies (default 4096).",
    ),
    click.option(
        "--judge-prompt",
        "judge_prompts",
        metavar="BENCH=FILE",
        multiple=True,
        help="Judge prompt for a benchmark, such as the one of its authors; may be repeated.",
    ),
    click.option(
        "--accept-judge",
        metavar="JUDGE",
        help="Use this judge although it fails its anchor answers.",
    ),
    click.option(
        "--accept-drift", is_flag=True, help="If the judge has changed, judge everything again."
    ),
)


def engine_values(texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return ``--engine-set`` texts as pairs, sorted by key."""
    return key_values(texts, "--engine-set", "tensor_parallel=2")


def terms_of(
    margin: str | None,
    alpha: float | None,
    accept_missing: tuple[str, ...],
    like: Terms | None = None,
) -> Terms:
    """Return the terms of a comparison: what was typed, in the place of what ``like`` says."""
    from harness.compare import Terms

    found = like or Terms()
    if margin is not None:
        shared, own = _margins(margin)
        shared = found.margin if shared is None else shared
        found = dataclasses.replace(found, margin=shared, margins={**found.margins, **own})
    if alpha is not None:
        found = dataclasses.replace(found, alpha=alpha)
    if accept_missing:
        found = dataclasses.replace(found, accept_missing=accept_missing)
    return found


def _margins(text: str) -> tuple[float | None, dict[str, float]]:
    """Return the margin for all benchmarks, and those of single ones."""
    from harness.records import typed_number

    found: dict[str, float] = {}
    for part in text.split(","):
        name, sign, number = (each.strip() for each in part.rpartition("="))
        value = typed_number(number)
        if not 0 < value < 100 or (sign and not name):
            raise UsageError(
                f"--margin {part} is not a number between 0 and 100, percent of a metric's scale. "
                "Write, for example, --margin 1 or --margin 1,mmvet=2."
            )
        if name in found:
            raise UsageError(
                f"--margin {text} names two margins for {name or 'all benchmarks'}. Write one "
                "number for all, and one for each benchmark with its own, as in 1,mmvet=2."
            )
        found[name] = value
    return found.pop("", None), found


def key_values(
    texts: tuple[str, ...], option: str = "--set", example: str = "beta=0.1"
) -> tuple[tuple[str, str], ...]:
    """Return ``--set`` texts as pairs, sorted by key."""
    values: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise UsageError(
                f"{option} {text} is not a KEY=VALUE. Write, for example, {option} {example}"
            )
        values[key.strip()] = value.strip()
    return tuple(sorted(values.items()))


def lines(text: str) -> str:
    """Make every line of a table harmless for a terminal."""
    return "".join(plain(line) + "\n" for line in text.split("\n")[:-1])


def say_next(*words: object) -> None:
    """Say on stderr which call of the harness follows; words are quoted as a shell needs them."""
    sys.stdout.flush()  # it comes last, and not at all where nobody reads
    click.echo(f"Next: {shlex.join(('harness', *map(str, words)))}", err=True)


def judge_settings(asked: dict[str, Any]) -> JudgeSettings:
    """Take the judge's flags out of a command's parameters."""
    from harness.settings import JudgeSettings

    price = asked.pop("judge_price")
    given = {
        "judge": asked.pop("judge"),
        "judgings": asked.pop("judgings"),
        "rpm": asked.pop("judge_rpm"),
        "price": None if price is None else _price(price),
        "cap": asked.pop("judge_cap"),
        "thinking": asked.pop("judge_thinking"),
        "prompts": asked.pop("judge_prompts") or None,
        "accept_judge": asked.pop("accept_judge"),
        "accept_drift": asked.pop("accept_drift"),
    }
    return JudgeSettings(**{name: value for name, value in given.items() if value is not None})


def _price(text: str) -> tuple[float, float]:
    try:
        into, out = (float(part) for part in text.split("/"))
    except ValueError:
        raise UsageError(
            f"--judge-price {text} is not a price. Give that of a million tokens in and out, as in "
            "--judge-price 2.5/10"
        ) from None
    return into, out
