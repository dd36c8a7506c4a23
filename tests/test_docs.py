"""Every command that README and docs show parses, and every file that they name is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from harness.benchmark import expand
from harness.cli import app
from harness.cli.options import key_values
from harness.errors import UsageError
from harness.plugins import find, load_method, names

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("plugins/*/README.md"),
        *ROOT.glob(".github/workflows/*.yml"),
    ]
)
CALL = re.compile(r"\s*(?:\$ )?(?:.*\b(?:uv run|-m) )?harness +([a-z-].*)")
FILE = re.compile(
    r"(?<![\w/.-])((?:docs|harness|tests|perf|benchmarks|plugins|reports)/[\w./-]+\.\w+)"
)


def calls(page: Path) -> list[tuple[list[str], bool]]:
    """The words after each ``harness``, and whether a reader may type them as they stand."""
    fenced, prose, whole = page.suffix == ".yml", [], []
    for line in page.read_text().replace("\\\n", " ").splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            whole += line.split("&&")
        else:
            prose.append(line)
    inline = re.findall(r"`([^`]+)`", " ".join(prose))
    found = [(words_of(code), False) for code in inline] + [
        (words_of(code), True) for code in whole
    ]
    return [(words, complete) for words, complete in found if words]


def words_of(code: str) -> list[str]:
    match = CALL.match(code)
    if match is None:
        return []
    words = shlex.split(re.split(r"\s[|>#]", match[1])[0])
    return ["1" if word == "N" else word for word in words if word != "..." and word[0] != "$"]


def parse(words: list[str], complete: bool) -> dict[str, Any]:
    """Let click read the words as the command line would, without running anything.

    Returns:
        The values of the command's parameters; none for a fragment.

    Raises:
        click.ClickException: if there is no such command, option or value.
    """
    command: click.Command = app
    context = None
    while True:
        try:
            context = command.make_context(command.name, list(words), parent=context)
        except click.exceptions.Exit:  # --help, --version
            return {}
        except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):
            if complete:
                raise
            return {}
        if not isinstance(command, click.Group):
            return context.params
        _, command, words = command.resolve_command(
            context, [*getattr(context, "_protected_args", ()), *context.args]
        )


def _asked(meant):
    bench = meant.get("bench", ())
    return (bench,) if isinstance(bench, str) else bench


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_shown_parses(page):
    for words, complete in calls(page):
        try:
            meant = parse(words, complete)
            if words[0] == "run" and meant.get("method") in names("methods"):
                options = [text for text in meant["options"] if "=my_" not in text]
                load_method(meant["method"]).options(
                    meant["preset"], dict(key_values(tuple(options)))
                )
            for name in expand(_asked(meant)):
                if not name.startswith(("lmms:", "my/")):
                    find("benchmarks", name)
        except (click.ClickException, UsageError) as error:
            pytest.fail(f"{page.name}: harness {shlex.join(words)}: {error}")


def test_the_commands_are_found_and_a_wrong_one_is_noticed():
    shown = [(page.name, words) for page in PAGES for words, _ in calls(page)]
    assert ("README.md", ["run", "--method", "seva", "--bench", "mmvet,pope"]) in shown
    assert (
        "README.md",
        ["gate", "RUN", "--baseline", "base.zip", "--fail-on", "pope<-0.5, mmvet:loss"],
    ) in shown
    assert len({words[0] for _, words in shown}) > 10
    for wrong in (
        "rum --method seva",
        "run --method seva --benhc pope",
        "run --method seva",
        "list methods x y",
    ):
        with pytest.raises(click.ClickException):
            parse(wrong.split(), True)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent.name != "decisions"],  # they name what was not built
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_every_file_named_is_there(page):
    named = FILE.findall(page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_example_in_the_help_parses():
    commands, shown = [*app.commands.values()], 0
    for command in commands:
        commands += command.commands.values() if isinstance(command, click.Group) else []
        examples = [
            words
            for line in (command.help or "").splitlines()
            for part in line.split("&&")
            if (words := words_of(part))
        ]
        for words in examples:
            parse(words, True)
        shown += len(examples)
    assert shown > 20
