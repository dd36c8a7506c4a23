"""One loaded checkpoint: requests in, answers out."""

from __future__ import annotations

from harness.engine.checkpoint import (
    adapter_fingerprint,
    check_adapter,
    checkpoint_digest,
    is_unchanged,
    resolve,
    sees,
    weights_fingerprint,
)
from harness.engine.decoding import choice_tokens
from harness.engine.engine import Engine
from harness.engine.fallback import forced_through_generation, why_not_shared
from harness.engine.inputs import ANSWER_TYPES, processed_through
from harness.engine.keys import ENGINE_VERSION, EngineRequest, ImageDigests, answer_key
from harness.engine.loading import (
    Loaded,
    Outline,
    Source,
    gpus,
    load,
    pick_device,
    pick_dtype,
    quietly,
    read_network,
    read_outline,
)
from harness.engine.original_llava import Converted, convert
from harness.engine.weights import read_json

__all__ = [
    "ANSWER_TYPES",
    "ENGINE_VERSION",
    "Converted",
    "Engine",
    "EngineRequest",
    "ImageDigests",
    "Loaded",
    "Outline",
    "Source",
    "adapter_fingerprint",
    "answer_key",
    "check_adapter",
    "checkpoint_digest",
    "choice_tokens",
    "convert",
    "forced_through_generation",
    "gpus",
    "is_unchanged",
    "load",
    "pick_device",
    "pick_dtype",
    "processed_through",
    "quietly",
    "read_json",
    "read_network",
    "read_outline",
    "resolve",
    "sees",
    "weights_fingerprint",
    "why_not_shared",
]
