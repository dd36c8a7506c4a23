"""Did this alignment method make this vision-language model better? Measured, not believed.

This is the front door for methods, benchmarks and reports; the story is told in ``harness.run``.
"""

from __future__ import annotations

from harness.benchmark import Benchmark
from harness.errors import HarnessError, UsageError
from harness.hookspecs import hookimpl
from harness.model import ask_each
from harness.records import Answer, Drop, Pair, Prompt, Request, Sample, Scored, World, seed_of

__all__ = [
    "Answer",
    "Benchmark",
    "Drop",
    "HarnessError",
    "Pair",
    "Prompt",
    "Request",
    "Sample",
    "Scored",
    "UsageError",
    "World",
    "ask_each",
    "hookimpl",
    "seed_of",
]
