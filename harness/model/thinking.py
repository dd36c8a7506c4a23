"""Parts what a model thought aloud from its answer."""

from __future__ import annotations

import re

_OPEN = r"<think(?:ing)?>|\[THINK\]|◁think▷"
_CLOSE = r"</think(?:ing)?>|\[/THINK\]|◁/think▷"
_MARK = re.compile(f"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)


def split_thought(text: str) -> tuple[str, str]:
    """Return the thought, and the answer; without any mark, the text as it is.

    A mark that is never closed makes everything behind it a thought; a closing mark alone,
    everything before it, as chat templates open the thinking themselves.
    """
    thoughts: list[str] = []
    said: list[str] = []
    inside, place = False, 0
    for mark in _MARK.finditer(text):
        part = text[place : mark.start()]
        place = mark.end()
        if mark["close"] and not inside:
            thoughts.extend([*said, part])
            said = []
        else:
            (thoughts if inside else said).append(part)
        inside = mark["open"] is not None
    if place == 0:
        return "", text
    (thoughts if inside else said).append(text[place:])
    return "\n".join(filter(None, map(str.strip, thoughts))), "".join(said).strip()
