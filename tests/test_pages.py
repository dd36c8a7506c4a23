"""Commands that README and docs show are run as they stand there, page by page.

Those that train, ask a model or a server, or install something are not run here; they are parsed
(``test_docs.py``), and those of the tutorial and of the pages about Python and the notebook run in
the slow suite. Folders and files that a page names are laid out before: finished runs, a bundle
that was edited, a file of pairs with its images.
"""

from __future__ import annotations

import json
import re
import runpy
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from harness.runs import bundle
from tests.support.command import harness
from tests.support.finished import mmvet, pope, write_run
from tests.test_docs import PAGES, ROOT, calls

RUN = re.compile(r"(?:runs|base)/(\w+)-[\w.-]+-[0-9a-f]{8}")
QUICK = {"bundle", "compare", "doctor", "gate", "list", "new-loss", "new-method", "pairs", "plan"}
QUICK |= {"reproduce", "verify"}
EDITED = "after/pope.jsonl"
ENDS = {"verify bent.zip": 1, "gate": 4}
"""Exit codes other than 0: the bent bundle, and gates on a run that lost."""


def quick(words: list[str]) -> bool:
    """Whether a command neither trains nor asks a model, a server or the network."""
    if words[0] == "report":
        return "--track" not in words
    return words[0] in QUICK or bool({"--print-config", "--print-jobs"} & set(words))


SHOWN = {
    page.relative_to(ROOT).as_posix(): found
    for page in PAGES
    if page.suffix == ".md"
    and page.name != "tutorial.md"
    and (found := [words for words, whole in calls(page) if whole and quick(words)])
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run that gained, one that lost, and a folder of pairs."""
    folder = tmp_path_factory.mktemp("made")
    for name, right in (("seva", 0.9), ("swapped", 0.2)):
        before = {"pope": pope(right=0.7), "mmvet": mmvet(right=0.4)}
        after = {"pope": pope(right=right, seed=7), "mmvet": mmvet(right=right, seed=7)}
        run = write_run(folder / name, before, after, method=name, draws=100)
        pairs = run / "pairs.jsonl"
        pairs.write_text(pairs.read_text().replace("/home/jane doe/prompts/images", str(folder)))
    for number in range(3):
        Image.new("RGB", (32, 32), (90, 60 * number, 30)).save(folder / f"{number}.png")
    bundle(folder / "seva", folder / "seva.zip")
    return folder


@pytest.fixture
def place(made, tmp_path):
    """An empty folder with what pages take for granted."""
    bent = tmp_path / "bent.zip"
    for name in ("cured.zip", "base.zip", "good.zip"):
        shutil.copy(made / "seva.zip", tmp_path / name)
    with zipfile.ZipFile(made / "seva.zip") as good, zipfile.ZipFile(bent, "w") as file:
        for name in good.namelist():
            text = good.read(name)
            file.writestr(name, text.replace(b"Yes", b"No", 1) if name.endswith(EDITED) else text)
    images = tmp_path / "coco" / "train2017"
    images.mkdir(parents=True)
    rows = []
    for number in range(2):
        Image.new("RGB", (32, 32), (90 * number, 60, 30)).save(images / f"{number}.png")
        row = {"id": number, "image": f"{number}.png", "question": "What is it?"}
        rows.append({**row, "chosen": "A wall.", "rejected": "A dog."})
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    shutil.copytree(made / "seva", tmp_path / "RUN")
    return tmp_path


@pytest.mark.parametrize("page", SHOWN)
def test_the_commands_of_a_page_work_as_they_stand(made, place, page):
    for words in SHOWN[page]:
        line = " ".join(words)
        for match in RUN.finditer(line):
            lost = match[1] in ("swapped", "random_pairs")
            if not (place / match[0]).exists():
                shutil.copytree(made / ("swapped" if lost else "seva"), place / match[0])
        words = [
            "runs/x" if word in ("RUN", "1") and words[0] == "gate" else word for word in words
        ]
        if "runs/x" in words:
            shutil.copytree(made / "seva", place / "runs" / "x", dirs_exist_ok=True)
        done = harness(*words, cwd=place)
        expected = ENDS.get(line, ENDS["gate"] if "gate" in words and "swapped" in line else 0)
        assert done.returncode == expected, f"harness {line}\n{done.stdout}{done.stderr}"


def test_pages_are_found_and_most_kinds_of_commands_run():
    assert len(SHOWN) > 8
    assert len({words[0] for page in SHOWN.values() for words in page}) > 8


def python_of(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), flags=re.S | re.M)


@pytest.mark.parametrize("page", [page.relative_to(ROOT).as_posix() for page in PAGES])
def test_python_shown_is_python(page):
    for number, code in enumerate(python_of(page)):
        compile(code, f"{page}, block {number}", "exec")


def test_the_benchmark_that_is_shown_is_one(tmp_path):
    space = executed(python_of("docs/write-a-benchmark.md")[0], tmp_path)
    assert (space["BENCHMARK"].name, space["BENCHMARK"].columns[0].primary) == ("textvqa", True)


def test_the_loss_that_is_shown_keeps_all_promises(tmp_path, monkeypatch):
    from harness.dpo import check_loss

    (code,) = python_of("docs/write-a-loss.md")
    loss = executed(code, tmp_path)["my_loss"]
    monkeypatch.setattr("harness.dpo.loss_open.load", lambda kind, name: loss)
    monkeypatch.setattr("harness.dpo.loss_terms._knobs_in_source", lambda name: None)
    assert not any(check_loss("dpo:strength=2").values())


def test_the_report_that_is_shown_keeps_all_promises(tmp_path, monkeypatch):
    from harness.testing import assert_report

    (code,) = python_of("docs/write-a-report.md")
    write = executed(code, tmp_path)["write"]
    monkeypatch.setattr("harness.testing.promises.load", lambda kind, name: write)
    assert_report("worst")
    report = SimpleNamespace(model="m", before={"pope": [row(1.0)]}, after={})
    report.after["pope"] = [row(0.0), row(None)]
    head, *rows = write(report, tmp_path).read_text().splitlines()
    assert head == '{"model": "m", "worse": 1}'
    assert rows == ['{"benchmark": "pope", "id": "7", "metric": "right", "answer": "no"}']


def row(score: float | None) -> SimpleNamespace:
    return SimpleNamespace(id="7", content="c", answer="no", scores={"right": score})


def executed(code: str, folder: Path) -> dict[str, Any]:
    (folder / "page.py").write_text(code)
    return runpy.run_path(str(folder / "page.py"))
