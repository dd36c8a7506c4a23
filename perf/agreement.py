"""Does sharing change an answer in half precision? Count equal answers and compare scores.

    python perf/agreement.py --dtype bfloat16
    python perf/agreement.py --dtype float32 --model ./llava-1.5-7b-hf

Every question is answered twice by the same weights in the same number format: by the engine, in
one stream with all others, and alone by ``generate``. In float32 all answers are equal. In bfloat16
another batch is rounded otherwise, so two nearly equal tokens may change places; what is counted is
how often that happens, and how far the log-probabilities of "Yes" and "No" are apart.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from harness_tinyworld import DEMO

from harness.engine.decoding import ending_of
from harness.engine.fallback import answer_alone
from harness.engine.inputs import prepare
from harness.model import Model
from harness.pairs import read_prompts
from harness.records import Request


def compare(model: Model, asked: Sequence[Request]) -> dict[str, Any]:
    """Answer each request by the engine and alone; return how many answers are equal.

    ``shared`` is the part of the requests that the engine itself drove: those of a family that it
    does not trust in this number format are answered alone anyway, and always equal.
    """
    shared = list(model.answer(asked))
    loaded, trusted = model.base.loaded(), model.base.engine()._trusted
    ending = ending_of(loaded.network, loaded.tokenizer)
    alone = [
        answer_alone(loaded, prepare(loaded, request, model.render(request)), ending)
        for request in asked
    ]
    pairs = list(zip(shared, alone, strict=True))
    apart = [
        abs(ours - theirs)
        for one, two in pairs
        for ours, theirs in zip(one.choices, two.choices, strict=True)
    ]
    driven = [trusted.get((None, min(len(request.images), 2)), False) for request in asked]
    return {
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "device": str(loaded.device),
        "answers": len(pairs),
        "shared": sum(driven) / len(pairs),
        "failed": sum(one.text is None for one, _ in pairs),
        "equal": sum(one.text == two.text for one, two in pairs) / len(pairs),
        "largest_logprob_difference": max(apart, default=0.0),
        "mean_logprob_difference": sum(apart) / max(len(apart), 1),
    }


def tinyworld(count: int, tokens: int) -> list[Request]:
    """Return two questions about each of the first prompts' images: free, and yes or no."""
    return [
        request
        for prompt in read_prompts(DEMO.prompts, count)
        for image in [prompt.open_image()]
        for request in (
            Request(prompt.question, (image,), max_new_tokens=tokens),
            Request("Is there a red ring?", (image,), 4, choices=("Yes", "No")),
        )
    ]


def main() -> None:
    """Print what agreed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(DEMO.model))
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--count", type=int, default=160)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    model = Model.open(given.model, device=given.device, dtype=given.dtype)
    found = compare(model, tinyworld(given.count, given.tokens))
    if given.json:
        print(json.dumps(found))
        return
    print(
        f"{found['dtype']} on {found['device']}: {found['equal']:.1%} of {found['answers']} "
        "answers are equal; log-probabilities differ by at most "
        f"{found['largest_logprob_difference']:.2g} nats, "
        f"{found['mean_logprob_difference']:.2g} on average"
    )


if __name__ == "__main__":
    main()
