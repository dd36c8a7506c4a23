"""Executors by name, from their entry points, with options in the same text."""

from __future__ import annotations

from harness.errors import UsageError
from harness.jobs.model import Executor
from harness.plugins import filled, load


def open_executor(text: str) -> Executor:
    """Return the executor that a text such as ``slurm:partition=a,minutes=60`` names.

    An executor is a frozen dataclass whose fields are its options; one that rests on something
    that is not installed says so in its ``__post_init__``.

    Args:
        text: a name of the entry points ``harness.executors``, and options after a colon.

    Raises:
        UsageError: for an unknown name or option, a value that does not fit, or what is not
            installed.
    """
    name, _, options = text.partition(":")
    kind = load("executors", name)
    values: dict[str, str] = {}
    for part in filter(None, options.split(",")):
        key, sign, value = part.partition("=")
        if not sign:
            raise UsageError(
                f"--executor {text}: '{part}' has no value. Write options as KEY=VALUE, "
                f"separated by commas, as in: --executor local:at_once=2"
            )
        values[key.strip()] = value.strip()
    executor: Executor = filled(f"executor '{name}'", kind(), values, f"--executor {name}:")
    return executor
