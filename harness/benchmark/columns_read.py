"""Which columns a task surely reads, found in its source without running it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from harness.benchmark.task_files import yaml_chain

_HOOKS = ("doc_to_visual", "doc_to_text", "process_results", "doc_to_target")


def read_columns(task: str) -> tuple[str, ...]:
    """Return the columns without which a task fails at every row.

    Those are the ``doc["name"]`` that its functions reach on every path. A task that rewrites its
    documents first (``process_docs``) is not looked at.
    """
    functions: dict[str, tuple[Path, str]] = {}
    for file in reversed(yaml_chain(task)):  # what includes another file goes over it
        text = file.read_text(encoding="utf-8")
        for key in (*_HOOKS, "process_docs"):
            if re.search(rf"^{key}\s*:", text, re.MULTILINE):
                functions.pop(key, None)
        for key, module, name in re.findall(
            r"^(\w+)\s*:\s*!function\s+[\"']?([\w.]+)\.(\w+)", text, re.MULTILINE
        ):
            functions[key] = (file.parent / (module.replace(".", "/") + ".py"), name)
    if "process_docs" in functions:
        return ()
    found: dict[str, None] = {}
    for key in _HOOKS:
        if key in functions:
            found.update(dict.fromkeys(_read_by(*functions[key])))
    return tuple(found)


def _read_by(file: Path, name: str) -> list[str]:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []  # loading the task says it better
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name and node.args.args:
            return _sure(node.body, node.args.args[0].arg)
    return []


def _sure(body: list[ast.stmt], doc: str) -> list[str]:
    found: list[str] = []
    for statement in body:
        if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if any(isinstance(node, ast.Name) and node.id == doc for node in targets):
                return found + _in(statement.value, doc)
            if any(_is_column(node, doc) for node in targets):
                return found  # it makes columns of its own
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr):
            found += _in(statement.value, doc)
        elif isinstance(statement, ast.Return):
            return found + _in(statement.value, doc)
        elif isinstance(statement, ast.Assert):
            found += _in(statement.test, doc)
        elif isinstance(statement, ast.If | ast.While):
            return found + _in(statement.test, doc)
        elif isinstance(statement, ast.For):
            return found + _in(statement.iter, doc)
        else:
            return found  # a try, a with: what follows may never be reached
    return found


def _in(node: ast.AST | None, doc: str) -> list[str]:
    """Return the columns that evaluating an expression surely reads."""
    if node is None or isinstance(node, ast.Lambda):
        return []
    if _is_column(node, doc):
        assert isinstance(node, ast.Subscript)
        assert isinstance(node.slice, ast.Constant)
        return [str(node.slice.value)]
    if isinstance(node, ast.BoolOp):
        return _in(node.values[0], doc)
    if isinstance(node, ast.IfExp):
        return _in(node.test, doc)
    if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        return _in(node.generators[0].iter, doc)
    return [name for child in ast.iter_child_nodes(node) for name in _in(child, doc)]


def _is_column(node: ast.AST, doc: str) -> bool:
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == doc
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    )
