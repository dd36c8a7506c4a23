"""The command line, one file per command."""

from __future__ import annotations

from harness.cli.commands import app, main

__all__ = ["app", "main"]
