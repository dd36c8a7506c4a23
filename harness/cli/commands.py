"""The command line: read flags, call one function, print. Results go to stdout, the rest to stderr.

Nothing heavy is imported before a command needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import click

from harness import old_names
from harness.cli.augmentations import augmentations
from harness.cli.bundle import bundle, verify
from harness.cli.compact import compact
from harness.cli.compare import compare
from harness.cli.convert import convert_checkpoint
from harness.cli.data import data
from harness.cli.doctor import doctor
from harness.cli.eval import evaluate
from harness.cli.gate import gate
from harness.cli.help import HelpContext, SectionedGroup
from harness.cli.imports import import_
from harness.cli.judge import judge
from harness.cli.list import list_names
from harness.cli.methods import SCAFFOLDS, check, push
from harness.cli.pairs import pairs
from harness.cli.plan import plan
from harness.cli.report import report
from harness.cli.reproduce import reproduce
from harness.cli.run import run
from harness.cli.score import score
from harness.cli.status import status
from harness.cli.sweep import sweep
from harness.cli.unexpected import DEBUG, no_sudden_end, unexpected, writable_anywhere
from harness.errors import ExitCode, HarnessError, plain

_QUIET_LIBRARIES = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}


def _debug(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        os.environ[DEBUG] = "1"  # processes that this one starts see it too


def _version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from harness.resolve import versions

    found = versions()
    click.echo(f"harness {found.pop('vlm-harness')}")
    click.echo(", ".join(f"{name} {version}" for name, version in found.items()))
    context.exit()


_SECTIONS: Mapping[str, Sequence[click.Command]] = {
    "Train and measure": (run, sweep, evaluate, score, plan),
    "Look at results": (status, report, compare, gate, judge, pairs, augmentations, reproduce),
    "Share and verify": (bundle, verify, import_, push),
    "Data, plugins, machine": (
        *(list_names, data, convert_checkpoint, compact),
        *(check, *SCAFFOLDS, doctor),
    ),
}
"""The commands of ``harness --help``, by what they are for."""


@click.group(
    cls=SectionedGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_version,
    help="Show the versions of the harness and of what it rests on.",
)
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_debug,
    help=f"Show where an unexpected error was raised; also with {DEBUG}=1.",
)
def app() -> None:
    """Did this alignment method make this vision-language model better?

    \b
    harness run --method seva --bench mmvet,pope
    """


app.sections = _SECTIONS
for _command in chain.from_iterable(_SECTIONS.values()):
    _command.context_class = HelpContext
    app.add_command(_command)


def main() -> None:
    """Run the command line and end the process with an exit code (README.md lists them)."""
    for name, value in _QUIET_LIBRARIES.items():
        os.environ.setdefault(name, value)
    writable_anywhere()
    try:
        with no_sudden_end():
            code = _code()
        sys.stdout.flush()
    except BrokenPipeError:
        code = _deaf()
    if code == ExitCode.INTERRUPTED:  # taking torch apart takes seconds, and all is on disk
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code))
    sys.exit(int(code))


def _code() -> int:
    """Run the command, and turn whatever it raises into one paragraph and an exit code."""
    stdout = sys.stdout
    try:
        arguments = old_names.options(sys.argv[1:])
        return int(app.main(arguments, "harness", standalone_mode=False) or 0)
    except HarnessError as error:
        return _complain(str(error), error.code, error)
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one ends the process at once
        return _complain(
            "Interrupted. Run the same command again to go on from here.", ExitCode.INTERRUPTED
        )
    except BrokenPipeError:
        raise
    except OSError as error:
        from harness.storage import cannot_write, disk_is_full

        if error.errno == errno.ENAMETOOLONG:
            return _complain(
                f"{str(error.filename)[:60]!r}... is too long for the name of a file. Name an "
                "existing file or folder.",
                ExitCode.USAGE,
                error,
            )
        if disk_is_full(error) or error.errno == errno.EROFS:
            told = cannot_write(Path(str(error.filename or "a file")), error)
            return _complain(str(told), ExitCode.FAILED, error)
        return _complain(unexpected(error), ExitCode.FAILED, error)
    except SystemExit as error:  # nothing of ours ends the process in this way
        if "_HARNESS_COMPLETE" in os.environ:  # click does, when it completes for a shell
            return int(error.code or 0)
        # Rich ends it where a pipe is closed; so does click, which wraps stdout before.
        if isinstance(error.__context__, BrokenPipeError) or sys.stdout is not stdout:
            raise BrokenPipeError from error
        return _complain(unexpected(error), ExitCode.FAILED, error)
    except BaseException as error:  # foreign code may raise what is no Exception
        return _complain(unexpected(error), ExitCode.FAILED, error)


def _deaf() -> int:
    """The reader of stdout is gone, as after ``| head``: end without a message."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    return ExitCode.UNHEARD


def _complain(text: str, code: ExitCode, error: BaseException | None = None) -> int:
    if error is not None and os.environ.get(DEBUG):
        click.echo("".join(map(_lines, traceback.format_exception(error))), err=True, nl=False)
    # What was typed, and names in foreign files, may be of any length and hold any sign.
    shown = _lines(re.sub(r"\S{1000,}", lambda word: f"{word[0][:100]}...", text))
    click.echo(f"Error: {shown}" if code != ExitCode.INTERRUPTED else shown, err=True)
    return code


def _lines(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))
