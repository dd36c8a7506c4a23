"""The options that say who judges, shared by the commands whose answers may need a judge."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.settings import JudgeSettings

F = TypeVar("F", bound=Callable[..., Any])

_FLAGS = (
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


def _price(text: str) -> tuple[float, float]:
    try:
        into, out = (float(part) for part in text.split("/"))
    except ValueError:
        raise UsageError(
            f"--judge-price {text} is not a price. Give that of a million tokens in and out, as in "
            "--judge-price 2.5/10"
        ) from None
    return into, out
