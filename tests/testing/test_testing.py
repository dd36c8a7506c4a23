"""The contract kit against methods that break each promise, and the scaffold it must like."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import subprocess
import sys
import textwrap
import time
import tomllib
from pathlib import Path

import pytest

from harness import hookspecs
from harness.errors import HarnessError, UsageError
from harness.pairs import time_limit
from harness.testing import (
    assert_benchmark,
    assert_report,
    check_method,
    new_loss,
    new_method,
    new_package,
)
from harness.testing.contract import CHECKS
from harness.testing.templates import CODE

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "write-a-method.md"

HEAD = """
import random, time
from dataclasses import dataclass, replace
from harness import Pair, Request, hookimpl

@hookimpl
def train(pairs, out):
    raise RuntimeError("never reached")

@hookimpl
def make_pairs(prompts, model, seed):
"""

BREAKERS = [
    (
        "pairs come lazily",
        "for prompt in list(prompts): yield Pair(prompt, 'a', ('b',))",
        "read 1024 of 1024 prompts",
    ),
    (
        "pairs are valid, inputs unchanged",
        "for prompt in prompts: yield Pair(prompt, 'a', ())",
        "at least one rejected answer",
    ),
    (
        "the image is kept",
        "for prompt in prompts: yield Pair(replace(prompt, question='else'), 'a', ('b',))",
        "changed prompt",
    ),
    ("pairs come lazily", "return iter(())", "yielded nothing for 1024 prompts"),
    (
        "pairs are valid, inputs unchanged",
        "for prompt in prompts: prompt.image.write_bytes(b''); yield Pair(prompt, 'a', ('b',))",
        "changed the images",
    ),
    ("the image is kept", "for prompt in prompts: yield Pair(prompt, 'a', ['b'])", "write (text,)"),
    (
        "a resume in the middle gives the rest",
        "for n, prompt in enumerate(prompts): yield from [Pair(prompt, 'a', ('b',))] * (n == 0)",
        "records after a resume",
    ),
    (
        "same seed, same pairs",
        "for prompt in prompts: yield Pair(prompt, str(random.random()), ('b',))",
        "seed_of",
    ),
    (
        "a resume in the middle gives the rest",
        "for n, prompt in enumerate(prompts): yield Pair(prompt, f'a{n}', ('b',))",
        "after a resume",
    ),
    (
        "a checkpoint is written, inputs unchanged",
        "for prompt in prompts: yield Pair(prompt, 'a', ('b',))",
        "never reached",
    ),
]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lay a package with an entry point on the path, as an installer would."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def lay(name: str, code: str) -> None:
        module = f"lodger_{name}"
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lodger-{name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[harness.methods]\n{name} = {module}\n")
        importlib.invalidate_caches()

    yield lay
    for module in [module for module in sys.modules if module.startswith("lodger_")]:
        del sys.modules[module]


def first_failure(name, **words):
    report = check_method(name, prompts=4, **words)
    (failed,) = [check for check in report.checks if check.passed is False]
    assert not report.passed
    assert f"'{name}' (lodger-{name})" in failed.detail
    assert all(check.passed is None for check in report.checks[report.checks.index(failed) + 1 :])
    return failed


def test_a_broken_promise_is_named_with_the_plugin(install, monkeypatch):
    # These methods never ask the model; what it says before and after training is not the point.
    monkeypatch.setattr("harness.testing.contract._said", lambda trial, model: "")
    for number, (promise, body, said) in enumerate(BREAKERS):
        install(f"breaker{number}", HEAD + "    " + body + "\n")
        failed = first_failure(f"breaker{number}")
        assert failed.name == promise, (promise, failed)
        assert said in failed.detail, failed.detail


def test_a_method_that_hangs_is_stopped_and_named(install):
    body = "    for prompt in prompts:\n        while True:\n            try:\n"
    body += (
        "                time.sleep(0.01)\n            except Exception:\n                pass\n"
    )
    install("sleeper", HEAD + body + "        yield 1\n")
    failed = first_failure("sleeper", seconds=0.5)
    assert "took longer than 0.5 s for 'pairs come lazily'" in failed.detail


def test_a_time_limit_leaves_no_trace():
    with time_limit(5, "no"):
        pass
    with pytest.raises(HarnessError, match="too long"), time_limit(0.01, "too long"):
        time.sleep(5)
    with pytest.raises(ValueError, match="own"), time_limit(5, "no"):
        raise ValueError("own")


def test_options_must_be_frozen_and_have_a_json_form(install):
    loose = HEAD.replace(
        "@hookimpl\ndef train", "@dataclass\nclass Options:\n    n: int = 1\n\n@hookimpl\ndef train"
    )
    install("loose", loose + "    yield 1\n")
    assert "frozen=True" in first_failure("loose").detail
    plain = HEAD.replace(
        "@hookimpl\ndef train", "class Options:\n    n = 1\n\n@hookimpl\ndef train"
    )
    install("plain", plain + "    yield 1\n")
    with pytest.raises(UsageError, match="not a dataclass"):
        check_method("plain")
    for name, option, told in (
        ("preset", "n: int = 1", "preset paper, which is no Options"),
        ("json", "n: object = frozenset()", "no JSON form"),
    ):
        code = HEAD.replace(
            "@hookimpl\ndef train",
            f"@dataclass(frozen=True)\nclass Options:\n    {option}\n\n"
            "PRESETS = {'paper': 1}\n\n@hookimpl\ndef train",
        )
        install(name, code + "    yield 1\n")
        if name == "json":
            with pytest.raises(UsageError, match=told):
                check_method(name)
        else:
            assert told in first_failure(name).detail


def code_lines(source: str) -> int:
    """Lines inside the bodies of functions and classes, docstrings and blanks aside."""
    tree, lines = ast.parse(source), set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign):
            lines |= set(range(node.lineno, node.end_lineno + 1))
            first = getattr(node, "body", [None])[0]
            if isinstance(first, ast.Expr):
                lines -= set(range(first.lineno, first.end_lineno + 1))
    return sum(bool(source.splitlines()[number - 1].strip()) for number in lines)


def test_the_scaffold_is_short_and_whole(tmp_path):
    out = new_method("sharper_eye", tmp_path / "new")
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert found == {
        *("pyproject.toml", "README.md"),
        *("harness_sharper_eye/__init__.py", "tests/test_sharper_eye.py"),
    }  # fmt: skip
    project = tomllib.loads((out / "pyproject.toml").read_text())
    assert project["project"]["name"] == "harness-sharper-eye"
    assert project["project"]["entry-points"]["harness.methods"] == {
        "sharper_eye": "harness_sharper_eye"
    }
    code = (out / "harness_sharper_eye" / "__init__.py").read_text()
    assert "$" not in code
    assert code_lines(code) <= 20
    assert max(map(len, code.splitlines())) <= 100
    for path in out.rglob("*.py"):
        ast.parse(path.read_text())


def test_the_scaffold_refuses_a_bad_name_a_taken_one_and_a_full_folder(tmp_path):
    for name in ("Bad", "1st", "a-b", "class", ""):
        with pytest.raises(UsageError, match="cannot be the name"):
            new_method(name, tmp_path / "x")
    with pytest.raises(UsageError, match="'seva' is there already, from harness-seva"):
        new_method("seva", tmp_path / "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="not empty"):
        new_method("fine", tmp_path)


def test_the_document_is_in_step_with_hooks_kit_and_scaffold():
    text = DOC.read_text()
    for hook in (hookspecs.make_pairs, hookspecs.train):
        names = list(inspect.signature(hook).parameters)
        assert f"{hook.__name__}({', '.join(names)})" in text
        assert all(f"| `{name}` |" in text for name in names)
    for promise, check in CHECKS.items():
        assert f"- **{promise}**" in text, promise
        assert check.__doc__
    assert textwrap.dedent(CODE).replace("$name", "sharper") in text


def run(words: list[str], folder: Path, *paths: Path) -> str:
    places = os.pathsep.join(map(str, paths))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": places}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(package: Path, target: Path) -> Path:
    """Install a package from its own folder, as its author would, without a network."""
    words = ["uv", "pip", "install", "--no-deps", "--offline", "-q", "--target", str(target)]
    run([*words, "--python", sys.executable, str(package)], package)
    return target


SMALL = ["--bench", "pope", "--limit", "18", "--max-prompts", "8", "--quiet"]


@pytest.mark.slow
def test_a_scaffolded_method_passes_check_and_runs_unchanged(tmp_path):
    package = new_method("sharper", tmp_path / "package")
    site = installed(package, tmp_path / "site")
    run([sys.executable, "-m", "pytest", "-q", str(package / "tests")], package, site)
    words = [sys.executable, "-m", "harness", "run", "--method", "sharper", *SMALL]
    run([*words, "--set", "max_new_tokens=16", "--out", str(tmp_path)], tmp_path, site)
    assert list(tmp_path.glob("sharper-*/comparison.json"))


@pytest.mark.slow
def test_a_strangers_package_runs_from_its_own_folder(tmp_path):
    site = installed(ROOT / "tests" / "support" / "third_party", tmp_path / "site")
    words = [sys.executable, "-m", "harness", "run", "--method", "noop", *SMALL]
    run([*words, "--out", str(tmp_path)], tmp_path, site)
    assert list(tmp_path.glob("noop-*/comparison.json"))
    asked = "from harness.testing import assert_method; assert_method('noop')"
    run([sys.executable, "-c", asked], tmp_path, site)


def as_installed(package: Path, kind: str) -> dict[str, str]:
    """Put beside a package what pip would: its entry points, once its folder is on the path."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    points = project["entry-points"][f"harness.{kind}"]
    info = package / f"{project['name'].replace('-', '_')}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n"
    )
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[harness.{kind}]\n{lines}")
    return points


def test_a_new_benchmark_is_a_package_that_keeps_its_promises(tmp_path, monkeypatch):
    out = new_package("benchmark", "hues", tmp_path / "hues")
    assert as_installed(out, "benchmarks") == {"hues": "harness_hues:BENCHMARK"}
    monkeypatch.syspath_prepend(str(out))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    assert_benchmark("hues")
    rows = out / "harness_hues" / "rows.jsonl"
    rows.write_text(rows.read_text().replace("red.png", "gone.png"))
    with pytest.raises(AssertionError, match="hues, row 0"):
        assert_benchmark("hues")


def test_a_new_report_is_a_package_that_keeps_its_promises(tmp_path, monkeypatch):
    out = new_package("report", "tabs", tmp_path / "tabs")
    assert as_installed(out, "reports") == {"tabs": "harness_tabs:write"}
    monkeypatch.syspath_prepend(str(out))
    assert_report("tabs")
    code = out / "harness_tabs" / "__init__.py"
    code.write_text(code.read_text().replace("folder / ", "folder.parent / "))
    del sys.modules["harness_tabs"]
    with pytest.raises(AssertionError, match="outside of the run folder"):
        assert_report("tabs")


@pytest.mark.parametrize("name", ["html", "junit", "markdown"])
def test_our_own_reports_keep_their_promises(name):
    assert_report(name)


def test_a_new_loss_is_a_package_that_keeps_its_promises(tmp_path, monkeypatch):
    """Installed as pip would: its folder on the path, and its entry point beside it."""
    from harness.dpo import Training, check_loss

    out = new_loss("steep", tmp_path / "steep")
    assert as_installed(out, "losses") == {"steep": "harness_steep:steep"}
    monkeypatch.syspath_prepend(str(out))
    assert Training(loss="dpo+0.2*steep:strength=2").loss
    assert not any(check_loss("0.5*steep:strength=3+sft").values())
    with pytest.raises(UsageError, match="'steep' is there already, from harness-steep"):
        new_loss("steep", tmp_path / "again")
    with pytest.raises(UsageError, match="cannot be the name of a loss"):
        new_loss("Steep Loss", tmp_path / "again")
