"""What a chat server replied, read with care: every field may be anything."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import plain
from harness.records import LENGTH, split_thought
from harness.storage import parse_json, without_keys

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Codes of what may be better next time."""

_MOST_TOKENS = 10_000_000
_FINISHES = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), LENGTH),
    **dict.fromkeys(("content_filter", "safety", "recitation", "refusal"), "refused"),
}
"""What servers call the end of a reply that did not end by itself; OpenAI's words come first."""
_WHOLE = frozenset(
    {
        *("", "stop", "stop_sequence", "eos", "eos_token", "end_turn", "complete", "completed"),
        *("done", "finished", "tool_calls", "function_call"),
    }
)
"""Ends of a whole reply. Any other word but those above means that it was broken off."""
_TEXTS = frozenset({"text", "output_text", ""})


class Refused(Exception):  # noqa: N818  (what the server did)
    """A question that got no reply, for good; says why, without a key in it.

    Attributes:
        sent: whether the server was asked at all.
    """

    def __init__(self, reason: str, *, sent: bool = True) -> None:
        """Say why."""
        super().__init__(clean(reason))
        self.sent = sent


class Passing(Exception):  # noqa: N818  (may be raised by a sender: try again)
    """A reply that is no use but may be better next time, such as an empty one."""


@dataclass(frozen=True)
class ChatReply:
    """One reply.

    Attributes:
        text: what was said, without the thinking part; ``None`` where the server sent no text, or
            a filter or refusal ended it.
        thought: the thinking part.
        finish: ``"stop"``, ``"length"`` where it was cut, or ``"refused"``.
        model: what the server calls the model; empty where it does not say.
        tokens_in: length of the question in tokens, as the server counts.
        tokens_out: length of the reply in tokens, thinking included.
        tokens_said: length of the text alone.
        first: log-probability of what the first token could have been, by its text.
    """

    text: str | None
    thought: str = ""
    finish: str = "stop"
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_said: int = 0
    first: Mapping[str, float] = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """Whether the limit was reached before anything was said."""
        return self.finish == LENGTH and not self.text

    @property
    def thinks(self) -> bool:
        """Whether the model is known to have thought before it spoke."""
        return bool(self.thought) or self.text is None or self.tokens_said < self.tokens_out


def clean(text: str, most: int = 300) -> str:
    """Return foreign text for a message: on one line, short, without keys."""
    return plain(without_keys(" ".join(text.split())))[:most]


def read_reply(body: bytes) -> ChatReply:
    """Read the body of a reply.

    Raises:
        Passing: if it says that something is wrong for now.
        Refused: if it is no chat reply.
    """
    try:
        found = parse_json(body)
    except ValueError as error:
        begin = body[:80].decode(errors="replace")
        raise Refused(f"the server sent no JSON, but {begin!r}; check its address") from error
    if not isinstance(found, dict):
        raise Refused("the server's reply is not a JSON object")
    if found.get("error"):
        raise _told(found["error"])
    choices = found.get("choices")
    if not choices:
        raise Passing("the reply holds no choice")
    choice = choices[0] if isinstance(choices, list) else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise Refused("the reply is not that of a chat: it holds no message")
    ended = _string(choice.get("finish_reason")).lower()
    if ended not in _WHOLE and ended not in _FINISHES:
        raise Passing(f"the server broke the reply off (finish_reason {ended})")
    content, aside = _content(message.get("content"))
    inline, text = ("", None) if content is None else split_thought(content)
    apart = [message.get(name) for name in ("reasoning_content", "reasoning")] + [aside]
    thought = "\n".join(dict.fromkeys(filter(None, [*map(_string, apart), inline])))
    tokens_in, tokens_out, reasoning = _usage(found.get("usage"))
    finish = "refused" if _string(message.get("refusal")) else _FINISHES.get(ended, "stop")
    called = message.get("tool_calls") or message.get("function_call")
    if finish == "refused" or (called and not text):  # nor is what a filter left, or a call
        text = None
    return ChatReply(
        text=None if text is None else without_keys(text.strip()),
        thought=without_keys(thought.strip()),
        finish=finish,
        model=clean(_string(found.get("model")), 200),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        tokens_said=_said(tokens_out, reasoning, text or "", thought),
        first=_first(choice.get("logprobs")),
    )


def _told(error: Any) -> Exception:
    """Return what an error that came in the place of a reply amounts to."""
    message = error.get("message") if isinstance(error, dict) else error
    code = error.get("code") if isinstance(error, dict) else None
    text = f"the server reports: {clean(_string(message) or json.dumps(error))}"
    return Passing(text) if isinstance(code, int) and code in BUSY else Refused(text)


def _string(value: Any) -> str:
    """Return a text, with U+FFFD for halves of surrogate pairs; else nothing."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _content(value: Any) -> tuple[str | None, str]:
    """Return text and thought of a message, which some servers send in parts."""
    if not isinstance(value, list):
        return (_string(value) if isinstance(value, str) else None), ""
    parts = [part for part in value if isinstance(part, dict)]
    said = [part for part in parts if _string(part.get("type")) in _TEXTS]
    aside = [_string(part.get("text")) for part in parts if part not in said]
    return "".join(_string(part.get("text")) for part in said), "".join(aside)


def _count(value: Any) -> int:
    """Return a number of tokens; what is none counts nothing."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return min(int(value), _MOST_TOKENS) if known and value > 0 else 0


def _usage(usage: Any) -> tuple[int, int, int]:
    if not isinstance(usage, dict):
        return 0, 0, 0
    details = usage.get("completion_tokens_details")
    reasoning = details.get("reasoning_tokens") if isinstance(details, dict) else None
    counts = usage.get("prompt_tokens"), usage.get("completion_tokens"), reasoning
    come, go, thought = map(_count, counts)
    return come, go, thought


def _said(tokens: int, reasoning: int, text: str, thought: str) -> int:
    """Return the tokens of the text alone, by its share of the letters where they are not given."""
    if reasoning:
        return max(tokens - reasoning, 0)
    if not thought:
        return tokens
    return round(tokens * len(text) / (len(text) + len(thought))) if text else 0


def _first(logprobs: Any) -> dict[str, float]:
    """Return what is known of the first token, the chosen one included."""
    try:
        first = logprobs["content"][0]
        every = [*first.get("top_logprobs", ()), first]
        found = {
            one["token"]: float(one["logprob"]) for one in every if isinstance(one["token"], str)
        }
    except (TypeError, KeyError, IndexError, ValueError, AttributeError, OverflowError):
        return {}
    return {token: value for token, value in found.items() if math.isfinite(value) and value <= 0}
