"""The contract of a method, checked; a pytest plugin; a scaffold."""

from __future__ import annotations

from harness.testing.check import Check, MethodReport, assert_method, check_method
from harness.testing.scaffold import new_loss, new_method

__all__ = [
    "Check",
    "MethodReport",
    "assert_method",
    "check_method",
    "new_loss",
    "new_method",
]
