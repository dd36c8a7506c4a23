"""The command ``convert-checkpoint``: a folder of the original LLaVA code, for transformers."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import PATH, say_next


@click.command("convert-checkpoint")
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--out", required=True, metavar="DIR", type=PATH, help="New folder to write.")
@click.option(
    "--base", metavar="DIR", type=PATH, help="Language model that a LoRA adapter was trained on."
)
@click.option(
    "--tower",
    metavar="DIR",
    type=PATH,
    help="Vision tower, unless config.json names a folder that exists.",
)
@click.option(
    "--trust-pickles",
    is_flag=True,
    help="Read pickled weights (*.bin), as tensors only; refused without this option.",
)
def convert_checkpoint(
    folder: Path, out: Path, base: Path | None, tower: Path | None, trust_pickles: bool
) -> None:
    """Convert a checkpoint of the original LLaVA code to transformers' format.

    Full models and LoRA adapters of LLaVA-1.5, as that code, SeVa and SIMA save them.

    \b
    harness convert-checkpoint llava-v1.5-7b --tower clip-vit-l-336 --out llava-hf
    harness convert-checkpoint seva-lora --base vicuna-7b --out hf --trust-pickles
    """
    from harness.engine import convert

    found = convert(folder, out, base=base, tower=tower, pickles=trust_pickles)
    click.echo(f"converted   {found.folder}")
    click.echo(f"tensors     {found.tensors:,} placed, 0 random; {found.merged:,} with the adapter")
    click.echo(f"vision      {found.tower}")
    click.echo("Ask and train it as the original code does with --protocol llava-1.5.")
    say_next("eval", "--bench", "BENCH", "--model", found.folder, "--protocol", "llava-1.5")
