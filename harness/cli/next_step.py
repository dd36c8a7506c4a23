"""The last line of a command: what to type next. It stands on stderr, beside progress."""

from __future__ import annotations

import shlex
import sys

import click


def say_next(*words: object) -> None:
    """Say which call of the harness follows; words are quoted as a shell needs them."""
    sys.stdout.flush()  # it comes last, and not at all where nobody reads
    click.echo(f"Next: {shlex.join(('harness', *map(str, words)))}", err=True)
