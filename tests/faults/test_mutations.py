"""Spoilt inputs of every kind: a result or one paragraph, never a traceback, a hang or gigabytes.

``HARNESS_MUTATIONS=500 uv run pytest -m slow tests/faults/test_mutations.py -s`` spoils
500 files of each kind; the default suite spoils a few. docs/log.md has what was found.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import click
import PIL.Image
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from harness_tinyworld import DATA

from harness.benchmark import Task, benchmark
from harness.cli import app
from harness.errors import ExitCode, HarnessError
from harness.jobs import Ended
from harness.judge.server import ServerJudge
from harness.storage import journal_of, spread
from tests.benchmark.test_own_data import write as write_own_task
from tests.runs.test_scoring import files_of
from tests.support.checkpoints import Sizes, write_llava, write_lora
from tests.support.finished import mmvet, pope, write_run
from tests.support.judge_server import Running, running
from tests.support.mutations import restored, spoil
from tests.support.pair_files import WRITERS, images, json_file, parquet

MANY = int(os.environ.get("HARNESS_MUTATIONS", "40"))
FEW = 6
SECONDS = 30
MEMORY = 1500  # MiB that all spoilt files of a kind may add to the process
CODES = {int(code) for code in ExitCode} - {ExitCode.INTERRUPTED, ExitCode.UNHEARD}


@dataclass(frozen=True)
class Scene:
    """Files that are spoilt one by one, and the commands that read them.

    Attributes:
        files: one of them is spoilt.
        commands: by which it is read; one of them is taken.
    """

    files: Sequence[Path]
    commands: Sequence[Sequence[str]]


def recipes(folder: Path, judge: Running) -> Scene:
    path = folder / "recipe.yaml"
    path.write_text(
        "method: seva\nbench: [mmvet, pope]\nseeds: 3\nlimit: 12\nmerge: true\nmargin: 2\nout: "
        f"{folder / 'runs'}\njudge: builtin\nset:\n  noise_step: 800\n  beta: 0.2\n"
    )
    plan = folder / "plan.yaml"
    plan.write_text("bench: pope\nlimit: 5\nseeds: 2\njudge-repeats: 1\n")
    return Scene(
        (path, plan),
        [["run", "--config", str(path), "--print-config"], ["plan", "--config", str(path)]],
    )


def own_tasks(folder: Path, judge: Running) -> Scene:
    task = Path(write_own_task(folder, "yes"))
    rows = folder / "elsewhere" / "rows.jsonl"
    answers = json_file(folder, [{"id": n, "answer": "yes"} for n in range(4)], "answers.jsonl")
    out = ["--out", str(folder / "runs"), "--quiet"]
    return Scene(
        (task, rows, folder / "elsewhere" / "a.png"),
        [["plan", "--bench", str(task)], ["score", str(answers), "--bench", str(task), *out]],
    )


def pictures(folder: Path, judge: Running) -> Scene:
    images(folder, "a.png", "b.png")
    PIL.Image.new("RGB", (40, 30), "red").save(folder / "c.jpg")
    calls = []
    for name in ("a.png", "c.jpg"):
        row = {"image": name, "question": "?", "chosen": "a", "rejected": "b"}
        calls.append(["pairs", str(json_file(folder, [row], f"{name}.json"))])
    return Scene((folder / "a.png", folder / "c.jpg"), calls)


def pairs(folder: Path, judge: Running) -> Scene:
    tables, files = [], []
    for name, write in WRITERS.items():
        place = folder / name
        place.mkdir()
        tables.append(write(place))
        files += [p for p in place.rglob("*") if p.is_file() and p.suffix != ".png"]
    return Scene(files, [["pairs", str(table)] for table in tables])


def answers(folder: Path, judge: Running) -> Scene:
    rows = list(Task(benchmark("pope").task, DATA).rows(0, 12))
    files = files_of(rows, folder)
    out = ["--limit", "12", "--out", str(folder / "runs"), "--quiet"]
    return Scene(
        list(files.values()), [["score", str(p), "--bench", "pope", *out] for p in files.values()]
    )


def tables(folder: Path, judge: Running) -> Scene:
    for name in ("POPE", "MMVet"):
        shutil.copytree(DATA / name, folder / "data" / name)
    for path in (folder / "data").rglob("*.parquet"):
        pq.write_table(pq.read_table(path).slice(0, 12), path)
    data = str(folder / "data")
    files = [p for p in (folder / "data").rglob("*") if p.is_file() and p.suffix != ".md"]
    return Scene(
        files, [["data", "verify", data], ["plan", "--bench", "pope,mmvet", "--data", data]]
    )


def judge_prompts(folder: Path, judge: Running) -> Scene:
    rows = Task(benchmark("mmvet").task, DATA).rows(0, 4)
    given = json_file(folder, [{"id": row.id, "answer": row.target} for row in rows], "a.jsonl")
    call = ["score", str(given), "--bench", "mmvet", "--limit", "4", "--quiet"]
    call += ["--out", str(folder / "runs"), "--judge", judge.judge, "--judge-prompt"]
    text, code = folder / "prompt.txt", folder / "prompt.py"
    names, mark = ("question", "reference", "answer"), "0" * 16  # as the judge of tests reads it
    text.write_text("\n".join(f"[{n} {mark}]\n{{{n}}}\n[/{n} {mark}]" for n in names))
    code.write_text("PROMPT = 'Grade it'\n")
    return Scene((text, code), [[*call, f"mmvet={text}"], [*call, f"mmvet={code}"]])


def checkpoints(folder: Path, judge: Running) -> Scene:
    small = Sizes(vision_layers=2, hidden=32, mlp=32, layers=1, vision_hidden=16)
    model = write_llava(folder / "model", small)
    adapter = write_lora(folder / "adapter", model)
    kinds = (".json", ".jinja", ".safetensors")
    files = [p for place in (model, adapter) for p in place.iterdir() if p.suffix in kinds]
    words = ["eval", "--model", str(model), "--bench", "pope", "--limit", "1", "--device", "cpu"]
    words += ["--max-new-tokens", "2", "--out", str(folder / "runs"), "--quiet"]
    return Scene(files, [words, [*words, "--adapter", str(adapter)]])


def sharded(folder: Path, judge: Running) -> Scene:
    from safetensors.torch import load_file, save_file

    small = Sizes(vision_layers=2, hidden=32, mlp=32, layers=1, vision_hidden=16)
    model = write_llava(folder / "model", small)
    whole = model / "model.safetensors"
    tensors = load_file(whole)
    parts: tuple[dict[str, Any], ...] = ({}, {}, {})
    for number, name in enumerate(sorted(tensors)):
        parts[number % 3][name] = tensors[name]
    names = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    for name, part in zip(names, parts, strict=True):
        save_file(part, model / name, {"format": "pt"})
    placed = {key: name for name, part in zip(names, parts, strict=True) for key in part}
    index = json_file(model, [], "model.safetensors.index.json")
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": placed}, indent=1))
    whole.unlink()
    words = ["eval", "--model", str(model), "--bench", "pope", "--limit", "1", "--device", "cpu"]
    words += ["--max-new-tokens", "2", "--out", str(folder / "runs"), "--quiet"]
    return Scene((index, index, model / names[0], model / "config.json"), [words])


def prompts(folder: Path, judge: Running) -> Scene:
    images(folder, "a.png", "b.png")
    rows = [{"id": f"p{n}", "image": f"{n}.png", "question": "What is shown?"} for n in "ab"]
    talk = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A dog."}]
    llava = [{"id": row["id"], "image": row["image"], "conversations": talk} for row in rows]
    csv = folder / "p.csv"
    csv.write_text("image,question,reference\na.png,What?,A dog\nb.png,Who?,\n")
    forms = [json_file(folder, rows, "p.jsonl"), json_file(folder, llava, "llava.json"), csv]
    forms.append(parquet(folder, rows, "p.parquet"))
    out = ["--out", str(folder / "runs"), "--quiet", "--only", "report", "--prompts"]
    asked = ["run", "--method", "seva", "--bench", "pope", "--limit", "1", *out]
    return Scene((*forms, folder / "a.png"), [[*asked, str(form)] for form in forms])


def sweeps(folder: Path, judge: Running) -> Scene:
    out, recipe = folder / "out", folder / "sweep.yaml"
    recipe.write_text(
        "methods:\n  - seva\n  - method: sima\n    name: s\n    set: {beta: 0.2}\nseeds: 2\n"
        f"benches: [pope]\noptions:\n  limit: 2\nout: {out}\nresources:\n  train: {{gpus: 1}}\n"
    )
    done = write_run(out / "seva-x", {"pope": pope(12)}, {"pope": pope(12, seed=4)}, draws=50)
    stages = [
        {"name": f"seva-x/{n}", "needs": [], "log": "logs/a", "command": ["run"]} for n in "ab"
    ]
    entrant = {"label": "seva", "model": "m", "folder": done.name, "runs": [done.name]}
    sweep = {"jobs": stages, "entrants": [entrant]}
    files = [recipe, json_file(out, [], "sweep.json"), json_file(out, [], "driver.json")]
    files[1].write_text(json.dumps(sweep))
    files[2].write_text('{"host": "h", "pid": 1, "began": 1.5, "left": 2}')
    ended = journal_of(out / "ended.jsonl", "ended.jsonl", Ended)
    ended.append(Ended("seva-x/a", 1, "it failed"))
    files += [ended.path, done / "settings.json", done / "pairs.jsonl", done / "before/pope.jsonl"]
    shown = ["status", str(out)]
    return Scene(files, [shown, [*shown, "--json"], ["sweep", str(recipe), "--print-jobs"]])


def segments(folder: Path, judge: Running) -> Scene:
    out, small = folder / "runs", Sizes(vision_layers=2, hidden=32, mlp=32, layers=1)
    model = write_llava(folder / "model", small)
    spread(out)
    words = ["eval", "--model", str(model), "--bench", "pope", "--limit", "2", "--device", "cpu"]
    words += ["--max-new-tokens", "2", "--out", str(out), "--quiet"]
    assert not fault_of(words, 300)[0]
    (run,) = out.glob("eval-*")
    files = [*(out / "answers").glob("*.jsonl"), *(p for p in run.rglob("*.json*") if p.is_file())]
    return Scene(files, [words])


def finished(folder: Path, judge: Running) -> Scene:
    arms = ({"pope": pope(12), "mmvet": mmvet(12)}, {"pope": pope(12, seed=4), "mmvet": mmvet(12)})
    run, other = (write_run(folder / name, *arms, draws=50) for name in ("seva-x", "seva-y"))
    shutil.copytree(run / "checkpoint", run / "rounds" / "1" / "checkpoint")
    shutil.copyfile(run / "training.json", run / "rounds" / "1" / "training.json")
    files = [p for p in run.rglob("*") if p.is_file() and p.suffix != ".md"]
    calls = [[name, str(run)] for name in ("gate", "report", "verify", "status", "pairs")]
    calls.append(["compare", str(run), str(other)])
    return Scene(files, [*calls, ["plan", "--bench", "pope,mmvet", "--from", str(run)]])


KINDS: dict[str, Callable[[Path, Running], Scene]] = {
    made.__name__: made
    for made in (
        *(recipes, own_tasks, pictures, pairs, answers, tables, judge_prompts, checkpoints),
        *(sharded, prompts, sweeps, segments, finished),
    )
}


@pytest.fixture(scope="module", autouse=True)
def quiet_caches(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hub")))
        patch.setattr(ServerJudge, "pause", 0.001)
        yield


@pytest.fixture(scope="module")
def judge() -> Iterator[Running]:
    with running() as found:
        yield found


def _late(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit >> 20


def fault_of(words: Sequence[str], seconds: int = SECONDS) -> tuple[str, int]:
    """Call a command as the command line does; say what is wrong with how it ended."""
    before = signal.signal(signal.SIGALRM, _late)
    signal.alarm(seconds)
    try:
        done = CliRunner().invoke(app, list(words), standalone_mode=False)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    error = done.exception
    if isinstance(error, HarnessError):
        text, code = str(error), int(error.code)
        if not text.strip() or "\n\n" in text.strip() or len(text) > 4000:
            return f"no paragraph: {text[:500]!r} ({len(text)})", code
    elif isinstance(error, click.ClickException):
        text, code = error.format_message(), ExitCode.USAGE
    elif error is not None:
        return "".join(traceback.format_exception(error))[-3000:], 1
    else:
        text, code = done.output, int(done.return_value or 0)  # type: ignore[call-overload]
    if "Traceback (most recent" in text or "Something unexpected" in text:
        return text[-3000:], code
    return ("" if code in CODES else f"exit code {code}"), code


def campaign(kind: str, place: Path, judge: Running, count: int) -> tuple[list[str], Counter[int]]:
    """Spoil that many files of a kind; return what went wrong, and the exit codes."""
    folder, outside = place / kind, place / "secret"
    folder.mkdir()
    outside.write_text('{"secret": "SECRET-7731"}\n')
    scene = KINDS[kind](folder, judge)
    faults, codes, tried = [], Counter[int](), set[tuple[str, ...]]()
    peak = _peak()
    for number in range(count):
        chance = random.Random(f"{kind} {number}")
        path = chance.choice(scene.files)
        named = {str(path), str(path.parent)}
        near = [words for words in scene.commands if named & set(words)]
        words = chance.choice(near or scene.commands)
        if tuple(words) not in tried:
            told, _ = fault_of(words, 300)  # the files as they should be, and the imports
            assert not told, told
            tried.add(tuple(words))
        with restored(path):
            how = spoil(path, outside, chance)
            told, code = fault_of(words)
        codes[code] += 1
        if _peak() > peak + MEMORY:
            told += f" peak memory {_peak()} MiB, {peak} before"
            peak = _peak()
        if outside.read_text() != '{"secret": "SECRET-7731"}\n':
            told += " a file outside was changed"
        if told:
            faults.append(f"{kind} {number}: {how} of {path.name}, {' '.join(words)[:100]}\n{told}")
    return faults, codes


@pytest.mark.parametrize("kind", ["recipes", "pictures", "pairs", "tables"])  # no heavy library
def test_a_few_spoilt_files_end_in_a_result_or_a_paragraph(
    kind: str, judge: Running, tmp_path: Path
) -> None:
    faults, _ = campaign(kind, tmp_path, judge, FEW)
    assert not faults, "\n".join(faults)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_spoilt_files_end_in_a_result_or_a_paragraph(
    kind: str, judge: Running, tmp_path: Path
) -> None:
    faults, codes = campaign(kind, tmp_path, judge, MANY)
    print(f"{kind}: {MANY} spoilt files, exit codes {dict(codes)}, {len(faults)} faults")  # noqa: T201
    assert not faults, "\n".join(faults)
    assert codes[ExitCode.DONE] < MANY, "nothing was refused"
