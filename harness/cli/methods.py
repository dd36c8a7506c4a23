"""Commands around a method: check it, begin one, publish what it trained."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from harness.cli.options import ALLOW_URLS, DEVICE, DTYPE, PAIR_IMAGES, PATH, key_values, say_next
from harness.errors import ExitCode, UsageError, pip


@click.command()
@click.option("--method", metavar="NAME", help="Method to check, or to try a training with.")
@click.option("--loss", metavar="NAME", help="Loss to check, as --set loss= takes it.")
@click.option("--preset", metavar="NAME", help="Preset of the method's options.")
@click.option(
    "--seconds", default=120.0, show_default=True, help="Time limit of each check of --method."
)
@click.option("--model", metavar="PATH_OR_ID", help="Try a training of this model.")
@click.option("--prompts", metavar="FILE", help="Try it on these training prompts.")
@click.option(
    "--pairs", metavar="FILE", help="Try it on these pairs; --method is then given by default."
)
@PAIR_IMAGES
@ALLOW_URLS
@click.option(
    "--set", "options", multiple=True, metavar="KEY=VALUE", help="Set one option of the method."
)
@DEVICE
@DTYPE
def check(
    method: str | None,
    loss: str | None,
    preset: str | None,
    seconds: float,
    model: str | None,
    prompts: str | None,
    pairs: str | None,
    images: Path | None,
    allow_urls: bool,
    options: tuple[str, ...],
    device: str,
    dtype: str,
) -> ExitCode:
    """Check a method, a loss, or the settings of a training before it is paid for.

    --method alone checks the plugin contract on the built-in demo. --model, --prompts or --pairs
    try in seconds what a run would do: options, images, template, first pairs, one training step,
    memory.

    \b
    harness check --method seva
    harness check --loss dpo+0.2*sft
    harness check --model ./llava-1.5-7b-hf --prompts prompts.jsonl --method seva
    harness check --model ./llava-1.5-7b-hf --pairs pairs.jsonl
    """
    if loss is not None:
        return _check_loss(loss)
    if model is not None or prompts is not None or pairs is not None:
        wanted: dict[str, Any] = {
            "preset": preset,
            "options": key_values(options),
            "images": images,
        }
        wanted |= {"allow_urls": allow_urls, "pairs": pairs}
        method = "given" if method is None and pairs is not None else method
        found = _tried(
            (model or "tinyworld", prompts or "tinyworld"), method, wanted, device, dtype
        )
        click.echo("".join(f"{name:<12}{told}\n" for name, told in found), nl=False)
        return ExitCode.DONE
    if method is None:
        raise UsageError(
            "Name a method (harness check --method seva), a loss (harness check --loss dpo), or "
            "what to try a training on: harness check --model DIR --prompts FILE (or --pairs FILE)."
        )
    from harness.testing import check_method

    report = check_method(method, preset=preset, values=dict(key_values(options)), seconds=seconds)
    click.echo(report.text, nl=False)
    if report.passed:
        say_next("run", "--method", method, "--bench", "mmvet,pope")
    return ExitCode.DONE if report.passed else ExitCode.FAILED


def _check_loss(loss: str) -> ExitCode:
    from harness.dpo import check_loss

    found = check_loss(loss)
    for promise, told in found.items():
        click.echo(f"{'FAILED' if told else 'ok':>11}  {promise}{f': {told}' if told else ''}")
    return ExitCode.FAILED if any(found.values()) else ExitCode.DONE


def _tried(
    where: tuple[str, str],
    method: str | None,
    wanted: Mapping[str, Any],
    device: str,
    dtype: str,
) -> tuple[tuple[str, str], ...]:
    """Run the preflight alone; without a method, for a plain DPO training."""
    from harness.model import open_checkpoint
    from harness.pairs import gather, located
    from harness.resolve import demo_of, resolve
    from harness.settings import Settings
    from harness.stages import check_knobs, preflight

    if method is None:
        demos = [demo_of(name) for name in where]
        file = demos[1].prompts if demos[1] else located(where[1], "--prompts")
        with tempfile.TemporaryDirectory(prefix="harness-check-") as keep:
            found, _ = gather(
                file, images=wanted["images"], keep=Path(keep), allow_urls=wanted["allow_urls"]
            )
            opened = open_checkpoint(
                demos[0].model if demos[0] else where[0], device=device, dtype=dtype
            )
            return preflight(found.prompts, opened)
    plan = resolve(Settings(method=method, benches=(), model=where[0], prompts=where[1], **wanted))
    check_knobs(plan.method, plan.options)
    opened = open_checkpoint(plan.model, device=device, dtype=dtype)
    return preflight(plan.prompts, opened, plan.method, plan.options)


def _scaffold(kind: str, then: str) -> click.Command:
    """Return the command that writes a package to begin a plugin with."""

    @click.command(f"new-{kind}")
    @click.argument("name")
    @click.option("--out", required=True, metavar="DIR", type=PATH, help="New folder to write.")
    def new(name: str, out: Path) -> None:
        from harness.testing import new_package

        click.echo(new_package(kind, name, out))
        click.echo(f"Next: {pip('install')} -e {shlex.quote(str(out))}", err=True)

    new.help = (
        f"Write a pip-installable package for a new {kind}, with its contract test.\n\n\b\n"
        f"harness new-{kind} my_{kind} --out my-{kind}\n"
        f"pip install -e my-{kind} && {then}"
    )
    return new


SCAFFOLDS = (
    _scaffold("method", "harness check --method my_method"),
    _scaffold("loss", "harness check --loss my_loss"),
    _scaffold("benchmark", "harness eval --bench my_benchmark"),
    _scaffold("report", "harness report RUN --report my_report"),
)


@click.command()
@click.argument("run", metavar="RUN", type=PATH)
@click.argument("repo", metavar="USER/NAME")
@click.option(
    "--private", is_flag=True, help="Make the repository private, if it does not exist yet."
)
@click.option("--base-model", metavar="USER/NAME", help="Name of the base model on the hub.")
def push(run: Path, repo: str, private: bool, base_model: str | None) -> None:
    """Upload a run's checkpoint to the Hugging Face hub.

    The report becomes the model card, with the base model and the headline figures. The key is read
    from HF_TOKEN, or from what 'hf auth login' has kept.

    \b
    harness push runs/seva-tinyworld-1a2b3c4d you/llava-seva
    """
    from harness.runs import open_evidence
    from harness.runs import push as upload

    click.echo(upload(open_evidence(run), repo, private=private, base_model=base_model))
    say_next("bundle", run)
