"""Options that several commands share, and how the words that users type are read."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import UsageError, plain

PATH = click.Path(path_type=Path)

BENCH = click.option(
    "--bench",
    required=True,
    metavar="A,B",
    help="Benchmarks or suites, comma-separated; see harness list benchmarks.",
)
DATA = click.option(
    "--data",
    default="tinyworld",
    show_default=True,
    metavar="DIR|hub",
    help="Benchmark data: a folder of copies, the hub, or the built-in miniatures.",
)
LIMIT = click.option(
    "--limit", type=click.IntRange(min=1), help="Use only the first N rows of each benchmark."
)
MAX_NEW_TOKENS = click.option(
    "--max-new-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Longest answer in tokens, for all benchmarks; by default as each task says.",
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
    help="How images and conversations reach the model, and how answers are read: as the "
    "checkpoint has it (hf, the default), or as the papers' code does (llava-1.5).",
)
NPROC = click.option(
    "--nproc",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes that share the work, one per GPU.",
)
OUT = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder for run folders and the answer cache.",
)
EVENTS = click.option("--json", "events", is_flag=True, help="One JSON event per line on stdout.")
QUIET = click.option("--quiet", is_flag=True, help="Show no progress on stderr.")


MARGIN = click.option(
    "--margin",
    type=click.FloatRange(min=0, max=100, min_open=True, max_open=True),
    default=1.0,
    show_default=True,
    metavar="PERCENT",
    help='Margin of "no worse", in percent of a metric\'s scale.',
)
ALPHA = click.option(
    "--alpha",
    type=click.FloatRange(min=0.0001, max=0.5),
    default=0.05,
    show_default=True,
    help="Significance level of tests and intervals.",
)
ACCEPT_MISSING = click.option(
    "--accept-missing",
    metavar="A,B",
    help='Benchmarks whose missing rows do not veto a gain or "no worse".',
)


def named(text: str | None) -> tuple[str, ...]:
    """Return the names that commas join; none where nothing is given."""
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def split(text: str, option: str) -> tuple[str, ...]:
    """Return the names that commas join, each once.

    Raises:
        UsageError: if there is none.
    """
    parts = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not parts:
        raise UsageError(f"{option} names nothing. Give at least one name, as in {option} pope.")
    return parts


def key_values(texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return ``--set`` texts as pairs, sorted by key.

    Raises:
        UsageError: if one is not a KEY=VALUE.
    """
    values: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise UsageError(f"--set {text} is not a KEY=VALUE. Write, for example, --set beta=0.1")
        values[key.strip()] = value.strip()
    return tuple(sorted(values.items()))


def lines(text: str) -> str:
    """Make every line of a table harmless for a terminal."""
    return "".join(plain(line) + "\n" for line in text.split("\n")[:-1])
