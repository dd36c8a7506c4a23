"""What makes a project trusted: licences of what it installs, an image, the commands people use."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
COPYLEFT = re.compile(r"GPL|General Public|SSPL|Server Side Public|Commons Clause", re.I)
ALLOWED = {
    "chardet": "LGPL; lmms-eval brings it through pytablewriter, and we neither import nor ship it",
}
SILENT = {"cuda-toolkit", "hf-transfer", "math-verify", "pycocoevalcap", "zss"}
"""Dependencies of dependencies whose metadata names no licence."""


def installed(name: str, found: dict[str, Distribution], extras: frozenset[str]) -> None:
    """Collect a package and all that it brings on this machine."""
    for requirement in map(Requirement, distribution(name).requires or ()):
        marker, key = requirement.marker, canonicalize_name(requirement.name)
        asked = extras or {""}
        if marker is not None and not any(marker.evaluate({"extra": each}) for each in asked):
            continue
        if key not in found:
            found[key] = distribution(requirement.name)
            installed(requirement.name, found, frozenset(requirement.extras))


def licence_of(found: Distribution) -> str:
    """What the metadata names: an expression, classifiers, or the first line of a text."""
    told = found.metadata.get_all("License-Expression") or [
        each for each in found.metadata.get_all("Classifier", []) if each.startswith("License ::")
    ]
    text = "; ".join(told) or (found.metadata.get("License") or "").split("\n")[0]
    return "" if text == "UNKNOWN" else text


def test_nothing_that_is_installed_by_default_has_a_licence_that_binds_users():
    found: dict[str, Distribution] = {}
    installed("vlm-harness", found, frozenset())
    assert len(found) > 50
    licences = {name: licence_of(each) for name, each in found.items()}
    assert {name for name, text in licences.items() if COPYLEFT.search(text)} <= set(ALLOWED)
    assert {name for name, text in licences.items() if not text} <= SILENT, "no licence is named"


def test_the_licence_check_would_notice():
    for text in ("GPL-3.0-only", "OSI Approved :: GNU Affero General Public License v3", "LGPLv2+"):
        assert COPYLEFT.search(text)
    for text in ("MIT", "Apache-2.0 AND BSD-3-Clause", "Mozilla Public License 2.0 (MPL 2.0)"):
        assert not COPYLEFT.search(text)


def test_the_workflow_runs_every_python_that_the_package_admits():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    admitted = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', read("pyproject.toml"))
    first, end = map(int, admitted.groups())
    wanted = [f"3.{minor}" for minor in range(first, end)]
    assert jobs["suite"]["strategy"]["matrix"]["python"] == wanted
    told = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', read("pyproject.toml"))
    assert told == wanted, "the classifiers"
    steps = " ".join(step.get("run", "") for step in jobs["suite"]["steps"])
    for part in ("ruff check", "ruff format", "mypy", "pytest"):
        assert part in steps
    assert "mkdocs build" in read(".ci/run")
    assert any("bash .ci/run" in step.get("run", "") for step in jobs["whole"]["steps"])


def test_the_commands_that_people_use_have_names():
    recipes = re.findall(r"^([a-z]+)(?: \*args)?:$", read("Justfile"), flags=re.M)
    assert recipes == ["demo", "test", "lint", "docs", "ci"]
    assert "uv run --group docs mkdocs build" in read("Justfile"), "mkdocs is in no other group"


@pytest.mark.slow
def test_the_image_builds_and_answers():
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True).returncode != 0:
        pytest.skip("no docker daemon here")
    subprocess.run([docker, "build", "-q", "-t", "vlm-harness-test", str(ROOT)], check=True)
    asked = [docker, "run", "--rm", "vlm-harness-test", "--version"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert "vlm-harness" in done.stdout


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")
