"""Runs the command line, as ``harness`` or ``python -m harness``."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run a command; Ctrl-C before it has begun ends it as an interruption later does."""
    try:
        from harness.cli import main as run
        from harness.model import end_with_parent

        end_with_parent()
        run()
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("Interrupted. Run the same command again to go on from here.\n")
            sys.stderr.flush()
        os._exit(130)


if __name__ == "__main__":
    main()
