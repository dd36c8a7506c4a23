"""The command that publishes what a run trained."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("repo", metavar="USER/NAME")
@click.option("--private", is_flag=True, help="Make the repository private, if it is made now.")
def push(run: Path, repo: str, private: bool) -> None:
    """Upload a run's checkpoint to the Hugging Face hub, with its report as model card.

    The key is read from HF_TOKEN, or from what 'hf auth login' has kept.

    \b
    harness push runs/seva-tinyworld-1a2b3c4d you/llava-seva
    """
    from harness.push import push as upload
    from harness.runs import open_run

    click.echo(upload(open_run(run), repo, private=private))
