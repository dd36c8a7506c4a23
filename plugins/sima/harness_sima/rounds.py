"""SIMA's iterations inside of the training hook.

Round 1 trains on the pairs that the pair stage made. Each later round asks the prompts of those
pairs again, now with the model of the round before as answerer, critic and DPO reference, and
trains on what comes out. The adapter of a round is merged into the weights before the next one, so
what is returned after several rounds is a full model, not an adapter.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import dpo, progress
from harness.errors import HarnessError
from harness.records import Pair, Prompt, distinct, to_json
from harness.storage import write_whole
from harness_sima.critic import read_template
from harness_sima.pairing import pairs_of

if TYPE_CHECKING:
    from harness.model import Model
    from harness_sima import Options


def train_rounds(
    pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int
) -> Path:
    """Train ``options.rounds`` times and return the folder of the last merged model.

    Under ``out`` each round keeps its adapter, its curves and, from the second on, its pairs.
    Called again after a kill, finished rounds are taken as they are: a round's ``model`` folder
    appears whole or not at all.

    Raises:
        HarnessError: if a later round makes no pairs.
    """
    prompts = distinct(pair.prompt for pair in pairs)
    finished = [n for n in range(1, options.rounds + 1) if _model(out, n).is_dir()]
    begin = max(finished, default=0)
    merged = _model(out, begin) if begin else model.path
    current = model.with_adapter(merged) if begin else model
    for number in range(begin + 1, options.rounds + 1):
        place = out / f"round-{number}"
        if number > 1:
            pairs = _made_again(prompts, current, options, place, seed + number - 1)
        if not pairs:
            raise HarnessError(
                f"Round {number} of {options.rounds} made no pairs of {len(prompts)} prompts; "
                f"see {place / 'pairs.jsonl'}. Set rounds={number - 1}, or give more prompts."
            )
        progress.say(f"SIMA round {number} of {options.rounds}: {len(pairs)} pairs.")
        trained = dpo.train(pairs, current, place, seed=seed + number - 1, training=options)
        current.release()
        if trained != _model(out, number):  # an adapter
            part = place / "merging"
            shutil.rmtree(part, ignore_errors=True)
            # A 16-bit format would lose small updates, round by round.
            dpo.merge(merged, trained, part, dtype="float32", pairs=pairs[:16])
            trained = part.rename(_model(out, number))
        merged = trained
        current = model.with_adapter(merged)
    for number in range(1, options.rounds):
        shutil.rmtree(_model(out, number), ignore_errors=True)
    return merged


def _model(out: Path, number: int) -> Path:
    return out / f"round-{number}" / "model"


def _made_again(
    prompts: Sequence[Prompt], model: Model, options: Options, place: Path, seed: int
) -> list[Pair]:
    items = list(pairs_of(prompts, model, options, read_template(options.template), seed))
    lines = [json.dumps(to_json(item), ensure_ascii=False) + "\n" for item in items]
    write_whole(place / "pairs.jsonl", "".join(lines))
    # Equal and empty answers never get here: pairs_of drops them itself.
    return [item for item in items if isinstance(item, Pair)]
