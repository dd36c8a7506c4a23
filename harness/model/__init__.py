"""A model that can be asked: a checkpoint in this process, in several, or behind a server."""

from __future__ import annotations

from harness.engine import ENGINE_VERSION, weights_fingerprint
from harness.model.ask import ask_each
from harness.model.distributed import everywhere
from harness.model.launch import run_distributed
from harness.model.model import Model
from harness.model.open import open_model
from harness.model.openai_client import KEY, Passing, Refused, connect, patiently
from harness.model.server import SCHEME
from harness.model.spec import Spec

__all__ = [
    "ENGINE_VERSION",
    "KEY",
    "SCHEME",
    "Model",
    "Passing",
    "Refused",
    "Spec",
    "ask_each",
    "connect",
    "everywhere",
    "open_model",
    "patiently",
    "run_distributed",
    "weights_fingerprint",
]
