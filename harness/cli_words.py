"""How the command line reads words of the user: lists joined by commas, and KEY=VALUE."""

from __future__ import annotations

from harness.errors import UsageError


def split(text: str, option: str) -> tuple[str, ...]:
    """Return the names that commas join, each once.

    Raises:
        UsageError: if there is none.
    """
    parts = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not parts:
        raise UsageError(f"{option} names nothing. Give at least one name, as in {option} pope.")
    return parts


def key_values(texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return ``--set`` texts as pairs, sorted by key.

    Raises:
        UsageError: if one is no KEY=VALUE.
    """
    values: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise UsageError(f"--set {text} is no KEY=VALUE. Write, for example, --set beta=0.1")
        values[key.strip()] = value.strip()
    return tuple(sorted(values.items()))
