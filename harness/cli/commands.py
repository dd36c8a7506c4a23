"""The command line: read flags, call one function, print. Results go to stdout, the rest to stderr.

Nothing heavy is imported before a command needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys

import click

from harness import old_names
from harness.cli.bundle import bundle, verify
from harness.cli.compare import compare
from harness.cli.data import data
from harness.cli.eval import evaluate
from harness.cli.gate import gate
from harness.cli.imports import import_
from harness.cli.judge import judge
from harness.cli.list import list_names
from harness.cli.methods import check, new_method, pairs, push
from harness.cli.plan import plan
from harness.cli.report import report
from harness.cli.run import run
from harness.errors import ExitCode, HarnessError, plain

_QUIET_LIBRARIES = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="vlm-harness", prog_name="harness")
def app() -> None:
    """Did this alignment method make this vision-language model better?

    \b
    harness run --method seva --bench mmvet,pope
    """


for _command in (
    bundle,
    check,
    compare,
    data,
    evaluate,
    gate,
    import_,
    judge,
    list_names,
    new_method,
    pairs,
    plan,
    push,
    report,
    run,
    verify,
):
    app.add_command(_command)


def main() -> None:
    """Run the command line and end the process with the exit code of design section 8."""
    for name, value in _QUIET_LIBRARIES.items():
        os.environ.setdefault(name, value)
    try:
        code = app.main(old_names.options(sys.argv[1:]), standalone_mode=False)
    except HarnessError as error:
        code = _complain(str(error), error.code)
    except click.ClickException as error:
        error.show()
        code = ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        code = _complain(
            "Interrupted. Run the same command again to go on from here.", ExitCode.INTERRUPTED
        )
    except OSError as error:
        from harness.storage import disk_is_full

        if not disk_is_full(error):
            raise
        code = _complain(
            f"The disk is full ({error.filename or error}). Free some space, or name another "
            "folder with --out, then run the same command again; finished work is reused.",
            ExitCode.FAILED,
        )
    sys.exit(int(code or 0))


def _complain(text: str, code: ExitCode) -> ExitCode:
    shown = "\n".join(map(plain, text.split("\n")))  # names in foreign files are not ours
    click.echo(f"Error: {shown}" if code != ExitCode.INTERRUPTED else shown, err=True)
    return code
