"""One command in several processes: the first tells the story, the others compute with it."""

from __future__ import annotations

import sys
from collections.abc import Callable

from harness.errors import ExitCode
from harness.launch import end_with_parent, launch, launched


def in_company(count: int, tell: Callable[[], ExitCode]) -> int:
    """Run ``tell`` in the first of ``count`` processes and keep the others at its service.

    Under ``accelerate launch`` the processes are there already; ``count`` is then of no account.

    Returns:
        The exit code.
    """
    if count > 1 and not launched():
        return launch(count, sys.argv[1:])
    if not launched():
        return tell()
    from harness.model_ranks import ranks

    end_with_parent()
    if ranks().rank > 0:
        try:
            ranks().serve()
        except KeyboardInterrupt:
            return ExitCode.INTERRUPTED  # the first process says so
        return ExitCode.DONE
    code = tell()
    ranks().dismiss()
    return code
