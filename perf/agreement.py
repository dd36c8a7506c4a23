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

from harness_tinyworld import DEMO

from harness.engine.fallback import answer_alone
from harness.engine.inputs import prepare
from harness.engine.stopping import ending_of
from harness.model import Model
from harness.pairs import read_prompts
from harness.records import Request


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
    asked = [
        request
        for prompt in read_prompts(DEMO.prompts, given.count)
        for image in [prompt.open_image()]
        for request in (
            Request(prompt.question, (image,), max_new_tokens=given.tokens),
            Request("Is there a red ring?", (image,), 4, choices=("Yes", "No")),
        )
    ]
    shared = list(model.answer(asked))
    loaded = model.base.loaded()
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
    found = {
        "dtype": given.dtype,
        "device": str(loaded.device),
        "answers": len(pairs),
        "equal": sum(one.text == two.text for one, two in pairs) / len(pairs),
        "largest_logprob_difference": max(apart),
        "mean_logprob_difference": sum(apart) / len(apart),
    }
    if given.json:
        print(json.dumps(found))
        return
    print(
        f"{found['dtype']} on {found['device']}: {found['equal']:.1%} of {len(pairs)} answers are "
        f"equal; log-probabilities differ by at most {max(apart):.2g} nats, "
        f"{found['mean_logprob_difference']:.2g} on average"
    )


if __name__ == "__main__":
    main()
