"""The protocols there are, and what a report says of each.

``hf`` is what the checkpoint's own processor and chat template do. ``llava-1.5`` is what the
original LLaVA code does, and so what the figures of LLaVA-1.5, SeVa and SIMA rest on.
"""

from __future__ import annotations

from harness.errors import UsageError, near_miss

HF, LLAVA = "hf", "llava-1.5"
PROTOCOLS = (HF, LLAVA)

_WAY = {
    HF: (
        "Protocol hf: images and conversations reach the model as the checkpoint's own processor "
        "and chat template have it. The published figures of LLaVA-1.5, SeVa and SIMA rest on "
        "another: images padded to a square, a system prompt, and the authors' reading of answers "
        "(--protocol llava-1.5)."
    ),
    LLAVA: (
        "Protocol llava-1.5: images are padded to a square in the processor's mean colour before "
        "they are resized, the conversation is vicuna_v1 with its system prompt, benchmarks are "
        "worded as in LLaVA's files where those differ, and headline figures follow the authors' "
        "reading of answers; in pairs, training and evaluation alike."
    ),
}


def checked(name: str) -> str:
    """Return the name of a protocol.

    Raises:
        UsageError: if there is none of that name.
    """
    if name not in PROTOCOLS:
        raise UsageError(
            f"Unknown protocol '{name}'.{near_miss(name, PROTOCOLS)} Use {' or '.join(PROTOCOLS)}."
        )
    return name


def sentence(name: str) -> str:
    """Say in a sentence or two what was done."""
    return _WAY[name]
