"""Did this alignment method make this vision-language model better? Measured, not believed.

Import from here in methods, benchmarks and reports; ``harness.run`` shows what a run does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.benchmark import Benchmark
from harness.errors import HarnessError, UsageError
from harness.hookspecs import hookimpl
from harness.model import ask_each
from harness.old_names import forward as _forward
from harness.old_names import install as _install
from harness.records import Answer, Demo, Drop, Pair, Prompt, Request, Sample, Scored, Side, seed_of

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

if not TYPE_CHECKING:
    _install()
    __getattr__ = _forward(__name__)
