"""The command ``judge``, and the flags that it shares with ``run``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli.next_step import say_next
from harness.cli.options import NAMES
from harness.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from harness.rejudge import Rejudged
    from harness.settings import JudgeSettings

F = TypeVar("F", bound=Callable[..., Any])

_FLAGS = (
    click.option("--judge", metavar="JUDGE", help="openai:MODEL[@URL], hf:PATH_OR_ID or builtin."),
    click.option(
        "--judge-repeats",
        "judgings",
        type=click.IntRange(min=1),
        help="Verdicts per answer; their mean counts.",
    ),
    click.option("--judge-rpm", type=click.IntRange(min=1), help="Limit of requests per minute."),
    click.option(
        "--judge-price", metavar="IN/OUT", help="Price of a million input and output tokens."
    ),
    click.option("--judge-cap", type=click.FloatRange(min=0), help="Stop judging at this cost."),
    click.option(
        "--judge-thinking",
        type=click.IntRange(min=0),
        metavar="TOKENS",
        help="Extra tokens for a judge that thinks before it replies [4096].",
    ),
    click.option(
        "--judge-prompt",
        "judge_prompts",
        metavar="BENCH=FILE",
        multiple=True,
        help="Prompt for a benchmark's judge, such as its authors'; may be repeated.",
    ),
    click.option(
        "--accept-judge",
        metavar="JUDGE",
        help="Use a judge that fails its anchor answers.",
    ),
    click.option(
        "--accept-drift",
        is_flag=True,
        help="If the judge has changed, judge everything again.",
    ),
)


def judge_flags(command: F) -> F:
    """Give a command the flags that say who judges."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command


def judge_settings(asked: dict[str, Any]) -> JudgeSettings:
    """Take the judge's flags out of a command's parameters.

    Raises:
        UsageError: if price or cap are no amounts of money.
    """
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


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@judge_flags
@click.option("--only-missing", is_flag=True, hidden=True)  # the name of version 0.0
@click.option(
    "--report", "reports", type=NAMES, metavar="A,B", default="", help="Further reports to write."
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="Where a local judge runs.",
)
@click.option("--json", "events", is_flag=True, help="The result as one JSON object.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def judge(
    folder: Path,
    reports: tuple[str, ...],
    device: str,
    events: bool,
    quiet: bool,
    **asked: Any,
) -> ExitCode:
    """Judge the stored answers of a run or eval again.

    The model is not called, and the judge only for verdicts that are missing. Without --judge, the
    judge of last time is asked.

    \b
    harness judge runs/seva-tinyworld-1a2b3c4d --judge openai:gpt-4o-2024-11-20
    harness judge runs/seva-tinyworld-1a2b3c4d --judge hf:./Qwen2.5-7B-Instruct
    harness judge runs/seva-tinyworld-1a2b3c4d
    """
    from harness.plugins import load
    from harness.progress import Reporter, showing
    from harness.rejudge import like_last, rejudge

    del asked["only_missing"]
    named = asked["judge"] is not None
    settings = judge_settings(asked)
    settings = settings if named else like_last(folder, settings)
    with showing(Reporter(quiet=quiet, events=False)):
        done = rejudge(folder, settings, reports=reports, device=device)
    if events:
        click.echo(json.dumps(_summary(done, folder)))
    else:
        load("reports", "terminal")(done.report, folder)
        click.echo(f"{done.calls:,} judge calls; the other verdicts came from the cache.")
        say_next("report", folder, "--report", "html")
    return ExitCode.UNSCORED if done.report.missing else ExitCode.DONE


def _summary(done: Rejudged, folder: Path) -> dict[str, Any]:
    from harness.cli.eval import summary
    from harness.records import to_json

    if done.report.comparison is not None:
        return to_json(done.report.comparison)
    return {**summary(folder, done.report), "calls": 0, "judge_calls": done.calls}


def _price(text: str) -> tuple[float, float]:
    try:
        into, out = (float(part) for part in text.split("/"))
    except ValueError:
        raise UsageError(
            f"--judge-price {text} is not a price. Give that of a million tokens in and out, as in "
            "--judge-price 2.5/10"
        ) from None
    return into, out
