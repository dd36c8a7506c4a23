"""Commands around a method: check it, begin one, publish what it trained."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import ExitCode


@click.command()
@click.option("--method", required=True, metavar="NAME", help="Method to check.")
@click.option("--preset", metavar="NAME", help="Options preset; by default the one that fits.")
@click.option("--seconds", default=120.0, show_default=True, help="Time limit of each check.")
def check(method: str, preset: str | None, seconds: float) -> ExitCode:
    """Check a method against the plugin contract, on the built-in demo.

    \b
    harness check --method seva
    """
    from harness.testing import check_method

    report = check_method(method, preset=preset, seconds=seconds)
    click.echo(report.text, nl=False)
    return ExitCode.DONE if report.passed else ExitCode.FAILED


@click.command("new-method")
@click.argument("name")
@click.option("--out", required=True, metavar="DIR", type=click.Path(path_type=Path))
def new_method(name: str, out: Path) -> None:
    """Write a pip-installable package for a new method.

    \b
    harness new-method my_method --out my-method
    pip install -e my-method && harness check --method my_method
    """
    from harness.testing import new_method as write

    click.echo(write(name, out))


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("repo", metavar="USER/NAME")
@click.option("--private", is_flag=True, help="Make the repository private, if it is made now.")
def push(run: Path, repo: str, private: bool) -> None:
    """Upload a run's checkpoint to the Hugging Face hub.

    Its report becomes the model card.

    The key is read from HF_TOKEN, or from what 'hf auth login' has kept.

    \b
    harness push runs/seva-tinyworld-1a2b3c4d you/llava-seva
    """
    from harness.runs import open_evidence
    from harness.runs import push as upload

    click.echo(upload(open_evidence(run), repo, private=private))
