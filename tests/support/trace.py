"""Which of the project's own files and functions one command executes.

python tests/support/trace.py run --method seva --bench pope --limit 12 --max-prompts 12
"""

from __future__ import annotations

import ast
import json
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("harness", "benchmarks", "reports", "plugins")


def traced(words: list[str]) -> dict[str, Any]:
    """Run one command line in this process and count what it executes.

    Returns:
        ``files``: own files of which a function ran; ``lines``: lines of those functions, each
        function once, nested ones with the one around them; ``file_lines``: lines of those files;
        ``clients``: trackers' clients that were imported, though none was asked for.
    """
    seen: set[CodeType] = set()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            seen.add(frame.f_code)

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        from harness.cli import main

        sys.argv = ["harness", *words]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    ran: dict[Path, set[int]] = {}
    for code in seen.copy():  # a thread that is left may still add to it
        path = Path(code.co_filename)
        own = any(path.is_relative_to(ROOT / folder) for folder in FOLDERS)
        if own and code.co_name != "<module>":
            ran.setdefault(path, set()).add(code.co_firstlineno)
    counted = {path: lines_of(path, starts) for path, starts in ran.items()}
    used = {path: count for path, count in counted.items() if count}
    return {
        "files": len(used),
        "lines": sum(used.values()),
        "file_lines": sum(len(path.read_text().splitlines()) for path in used),
        "by_file": {path.relative_to(ROOT).as_posix(): used[path] for path in sorted(used)},
    }


def lines_of(path: Path, starts: set[int]) -> int:
    """Count the lines of the functions that begin at one of these lines."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if first in starts or node.lineno in starts:
                lines.update(range(first, (node.end_lineno or first) + 1))
    return len(lines)


if __name__ == "__main__":
    print(json.dumps(traced(sys.argv[1:])), file=sys.stderr)  # noqa: T201
