"""The command line: read flags, call one function, print. Results go to stdout, the rest to stderr.

Nothing heavy is imported before a command needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli_data import data, list_names
from harness.cli_eval import evaluate
from harness.cli_evidence import bundle, compare, import_, plan, verify
from harness.cli_flags import BENCH, DATA, DEVICE, DTYPE, EVENTS, LIMIT, NPROC, OUT, QUIET
from harness.cli_gate import gate
from harness.cli_judge import judge, judge_flags, judge_settings
from harness.cli_methods import check, new_method, pairs
from harness.cli_push import push
from harness.cli_words import key_values, split
from harness.errors import ExitCode, HarnessError, plain

if TYPE_CHECKING:
    from harness.run import Outcome

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


@app.command()
@click.option(
    "--method", required=True, metavar="NAME", help="Method to try: harness list methods."
)
@BENCH
@click.option(
    "--model",
    default="tinyworld",
    show_default=True,
    metavar="PATH_OR_ID",
    help="LLaVA checkpoint: folder or hub id; or the embedded one.",
)
@DATA
@click.option(
    "--prompts",
    default="tinyworld",
    show_default=True,
    metavar="FILE",
    help="Training prompts, JSON lines with image, question and reference.",
)
@click.option("--preset", metavar="NAME", help="Options preset; by default the one that fits.")
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="One option of the method; repeat for more.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of everything random.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Train with so many seeds, from --seed on, and compare over all of them.",
)
@LIMIT
@click.option("--max-prompts", type=click.IntRange(min=1), help="Only the first prompts.")
@click.option(
    "--report",
    "reports",
    default="markdown,html",
    show_default=True,
    metavar="A,B",
    help="Reports to write, joined by commas.",
)
@DEVICE
@DTYPE
@NPROC
@OUT
@click.option(
    "--baseline",
    metavar="BUNDLE|RUN",
    type=click.Path(path_type=Path),
    help="Take the answers before from there, where they are the same ones.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="MINUTES",
    help="How long a method may take from one pair to the next.",
)
@click.option("--canary", is_flag=True, help="Ask whether the trained model needs the image.")
@click.option("--merge", is_flag=True, help="Write base and adapter as one checkpoint too.")
@judge_flags
@EVENTS
@QUIET
def run(
    bench: str,
    reports: str,
    options: tuple[str, ...],
    seeds: int,
    nproc: int,
    events: bool,
    quiet: bool,
    **asked: Any,
) -> int:
    """Make pairs, train on them, evaluate before and after, compare.

    \b
    harness run --method seva --bench mmvet,pope
    harness run --method seva --bench pope --model ./llava-1.5-7b-hf --data hub --prompts p.jsonl
    harness run --method seva --bench pope --set noise_step=800 --set learning_rate=5e-5
    """
    from harness.cli_company import in_company
    from harness.progress import Reporter, showing
    from harness.records import distinct
    from harness.seeds import run_seeds
    from harness.settings import Settings

    settings = Settings(
        benches=split(bench, "--bench"),
        reports=distinct(("json", *split(reports, "--report"))),
        options=key_values(options),
        judging=judge_settings(asked),
        **asked,
    )

    def tell() -> ExitCode:
        with showing(Reporter(quiet=quiet, events=events)) as reporter:
            outcome = run_seeds(settings, seeds)
            if events:
                reporter.event("done", **_summary(outcome))
            else:
                _show(outcome)
        return ExitCode.UNSCORED if outcome.comparison.missing else ExitCode.DONE

    return in_company(nproc, tell)


@app.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--report",
    "reports",
    default="terminal",
    show_default=True,
    metavar="A,B",
    help="Reports to write, joined by commas.",
)
def report(folder: Path, reports: str) -> ExitCode:
    """Write reports of a finished run again.

    \b
    harness report runs/seva-tinyworld-1a2b3c4d --report terminal,markdown
    """
    from harness.plugins import load
    from harness.report import write_reports
    from harness.runs import open_run, with_two_arms

    run = with_two_arms(open_run(folder))
    writers = {name: load("reports", name) for name in split(reports, "--report")}
    for name, path in write_reports(run.report, folder, writers).items():
        if name != "terminal":
            click.echo(path)
    return ExitCode.UNSCORED if run.report.comparison.missing else ExitCode.DONE


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
    verify,
):
    app.add_command(_command)


def main() -> None:
    """Run the command line and end the process with the exit code of design section 8."""
    for name, value in _QUIET_LIBRARIES.items():
        os.environ.setdefault(name, value)
    try:
        code = app.main(standalone_mode=False)
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
        from harness.folder import disk_is_full

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


def _summary(outcome: Outcome) -> dict[str, Any]:
    from harness.records import to_json

    return {
        "folder": str(outcome.folder),
        "checkpoint": str(outcome.checkpoint.path),
        "reports": {name: str(path) for name, path in outcome.written.items()},
        "reused": outcome.reused,
        "calls": outcome.calls,
        "missing": outcome.comparison.missing,
        "comparison": to_json(outcome.comparison),
    }


def _show(outcome: Outcome) -> None:
    from harness.plugins import load

    load("reports", "terminal")(outcome.report, outcome.folder)
    if outcome.reused:
        click.echo("This run was done already: everything was reused, the model was not asked.")
    else:
        click.echo(f"The model was asked {outcome.calls} times; other answers were known.")
