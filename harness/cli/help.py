"""How help is laid out: options and commands by what they are for, with whole summaries."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from typing import Any

import click

_NARROW = 52
"""Columns that click's own help needs."""

_FEW = 15
"""As many options are read as one list."""

_SECTIONS: Mapping[str, str] = {
    "Method and model": "method model adapter preset set pairs prompts images allow-urls",
    "Benchmarks": "bench data limit max-prompts max-new-tokens baseline",
    "Training": "seed seeds holdout pair-timeout merge merge-dtype only part",
    "Rounds": "rounds round-prompts replay round-reference eval-rounds",
    "How answers are computed": "device dtype protocol engine engine-set nproc",
    "Comparison": "margin alpha accept-missing image-ablation attribution",
    "Judge": "judge judge-repeats judge-rpm judge-price judge-cap judge-thinking judge-prompt "
    "accept-judge accept-drift",
    "Output": "out report track json quiet config print-config help",
}
"""Options by section; one that is in none stands first."""


class _Formatter(click.HelpFormatter):
    """On a narrow terminal names take a third of a line, and longer ones a line of their own."""

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write names with what they mean."""
        most = col_max if self.width >= _NARROW else self.width // 3
        super().write_dl(rows, most, col_spacing)


class HelpContext(click.Context):
    """A context whose help fits a narrow terminal."""

    formatter_class = _Formatter


class SectionedCommand(click.Command):
    """A command whose help lists its options by section where there are many."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list for each section."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        if len(options) <= _FEW:
            super().format_options(ctx, formatter)
            return
        where = {name: title for title, names in _SECTIONS.items() for name in names.split()}
        found: dict[str, list[tuple[str, str]]] = {"Options": [], **{t: [] for t in _SECTIONS}}
        for option in options:
            row = option.get_help_record(ctx)
            if row is not None:
                found[where.get(option.opts[-1].lstrip("-"), "Options")].append(row)
        for title, rows in found.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class SectionedGroup(click.Group):
    """A group whose help lists its commands by section, with whole summaries.

    Attributes:
        sections: commands by title; one section for all where it is empty.
    """

    context_class = HelpContext
    sections: Mapping[str, Iterable[click.Command]] = {}

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Let help fit a narrow terminal; click by itself writes fifty columns at least."""
        width = shutil.get_terminal_size().columns
        if width < _NARROW:
            extra["terminal_width"] = width - 1
        return super().make_context(info_name, args, parent, **extra)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list for each section."""
        for title, commands in (self.sections or {"Commands": self.commands.values()}).items():
            with formatter.section(title):
                formatter.write_dl(
                    [(str(each.name), each.get_short_help_str(limit=200)) for each in commands]
                )
