"""The contracts of plugins, checked; a pytest plugin; packages to begin with."""

from __future__ import annotations

from harness.testing.check import Check, MethodReport, assert_method, check_method
from harness.testing.contract import Scripted
from harness.testing.engines import Agreement, assert_engine
from harness.testing.promises import assert_benchmark, assert_report
from harness.testing.scaffold import new_loss, new_method, new_package

__all__ = [
    "Agreement",
    "Check",
    "MethodReport",
    "Scripted",
    "assert_benchmark",
    "assert_engine",
    "assert_method",
    "assert_report",
    "check_method",
    "new_loss",
    "new_method",
    "new_package",
]
