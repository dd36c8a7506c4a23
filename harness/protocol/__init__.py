"""How an image and a conversation reach the model: the checkpoint's own way, or the papers'."""

from __future__ import annotations

from harness.protocol.fit import Checkpoint, misfit
from harness.protocol.llava import CHAT_TEMPLATE, Conversation, pixels, token_ids
from harness.protocol.names import HF, LLAVA, PROTOCOLS, checked, sentence
from harness.protocol.turns import IMAGE, Message, answered, messages, texts_of

__all__ = [
    "CHAT_TEMPLATE",
    "HF",
    "IMAGE",
    "LLAVA",
    "PROTOCOLS",
    "Checkpoint",
    "Conversation",
    "Message",
    "answered",
    "checked",
    "messages",
    "misfit",
    "pixels",
    "sentence",
    "texts_of",
    "token_ids",
]
