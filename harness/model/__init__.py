"""A model that can be asked: a checkpoint in this process, in several, or behind a server."""

from __future__ import annotations

from harness.engine import ENGINE_VERSION, weights_fingerprint
from harness.model.address import (
    OFFICIAL,
    SCHEME,
    ServerName,
    server_name,
    short_name,
    without_password,
)
from harness.model.ask import Answering, AnyModel, ask_each
from harness.model.distributed import everywhere, processes
from harness.model.download import fetched
from harness.model.engines import OWN, Engine, Identity, Opening
from harness.model.fit import misfit_of
from harness.model.launch import CHILD, end_with_parent, run_distributed
from harness.model.model import Model
from harness.model.open import open_checkpoint, open_model, refuse_server
from harness.model.openai_client import ChatClient
from harness.model.replies import ChatReply, Passing, Refused
from harness.model.spec import Spec
from harness.model.workers import at_once

__all__ = [
    "CHILD",
    "ENGINE_VERSION",
    "OFFICIAL",
    "OWN",
    "SCHEME",
    "Answering",
    "AnyModel",
    "ChatClient",
    "ChatReply",
    "Engine",
    "Identity",
    "Model",
    "Opening",
    "Passing",
    "Refused",
    "ServerName",
    "Spec",
    "ask_each",
    "at_once",
    "end_with_parent",
    "everywhere",
    "fetched",
    "misfit_of",
    "open_checkpoint",
    "open_model",
    "processes",
    "refuse_server",
    "run_distributed",
    "server_name",
    "short_name",
    "weights_fingerprint",
    "without_password",
]
