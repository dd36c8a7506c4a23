"""Did this alignment method make this vision-language model better? Measured, not believed.

Import from here in methods, benchmarks and reports; ``harness.run`` shows what a run does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.old_names import forward as _forward
from harness.old_names import install as _install

if TYPE_CHECKING:
    from harness.benchmark import Benchmark
    from harness.errors import HarnessError, UsageError
    from harness.hookspecs import hookimpl
    from harness.model import ask_each
    from harness.records import (
        Answer,
        Demo,
        Drop,
        Pair,
        Prompt,
        Request,
        Sample,
        Scored,
        Side,
        seed_of,
    )

__all__ = [
    "Answer",
    "Benchmark",
    "Demo",
    "Drop",
    "HarnessError",
    "Pair",
    "Prompt",
    "Request",
    "Sample",
    "Scored",
    "Side",
    "UsageError",
    "ask_each",
    "hookimpl",
    "seed_of",
]

_ELSEWHERE = {
    "Benchmark": "benchmark",
    "HarnessError": "errors",
    "UsageError": "errors",
    "ask_each": "model",
    "hookimpl": "hookspecs",
}
"""Names that are not of ``harness.records``, and where they are from."""

if not TYPE_CHECKING:
    _install()
    _old = _forward(__name__)

    def __getattr__(name: str) -> Any:
        """Import a name when it is asked for: the command line begins without all of them."""
        if name not in __all__:
            return _old(name)
        from importlib import import_module

        home = import_module(f"{__name__}.{_ELSEWHERE.get(name, 'records')}")
        return globals().setdefault(name, getattr(home, name))
