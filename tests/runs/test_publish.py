"""``harness push`` against a small server that speaks the hub's protocol."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from harness.api import open_result
from harness.runs import open_run, publish
from harness.storage import folder_digest, write_json
from tests.support.finished import pope, write_run

KEY = "hf_" + "k" * 34
SHA = "0" * 40


class Hub(ThreadingHTTPServer):
    """Takes every file by commit, as the hub does with small ones."""

    def __init__(self, status=200):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.files, self.made, self.keys = status, {}, [], set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        name = self.path.partition("/resolve/main/")[2]
        if not name:
            siblings = [{"rfilename": each} for each in self.server.files]
            self.reply({"id": "you/model", "siblings": siblings, "sha": SHA, "private": False})
        elif name in self.server.files:
            self.give(self.server.files[name], "application/octet-stream", 200)
        else:
            self.give(b"", "text/plain", 404, "EntryNotFound")

    def do_HEAD(self):
        self.do_GET()

    def do_POST(self):
        hub = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        hub.keys.add(self.headers.get("Authorization"))
        if self.path.endswith("/repos/create"):
            hub.made.append(json.loads(body))
            self.reply({"url": f"{hub.url}/you/model", "id": "you/model"})
        elif "/preupload/" in self.path:
            names = [each["path"] for each in json.loads(body)["files"]]
            modes = [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]
            self.reply({"files": modes})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    content = base64.b64decode(item["value"]["content"])
                    hub.files[item["value"]["path"]] = content
            self.reply(
                {"commitUrl": f"{hub.url}/you/model/commit/1", "commitOid": "1", "success": True}
            )
        else:
            self.reply({})

    def reply(self, content):
        self.give(json.dumps(content).encode(), "application/json", self.server.status)

    def give(self, content, kind, status, error=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", SHA)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def push(folder, url, repo="you/model", base="org/llava"):
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_TOKEN": KEY, "HF_HUB_OFFLINE": "0"}
    return subprocess.run(
        [sys.executable, "-m", "harness", "push", str(folder), repo, "--private"]
        + (["--base-model", base] if base else []),
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = write_run(
        tmp_path_factory.mktemp("runs") / "seva-tinyworld-1a2b3c4d",
        {"pope": pope(right=0.6)},
        {"pope": pope(right=0.8, seed=3)},
    )
    written = json.loads((folder / "comparison.json").read_text())
    written["run"]["model"] = "/home/somebody/secret-project/llava"
    written["run"]["checkpoint"] = "checkpoint/adapter"
    (folder / "comparison.json").write_text(json.dumps(written))
    adapter = folder / written["run"]["checkpoint"]
    adapter.mkdir(parents=True, exist_ok=True)
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    config = {"base_model_name_or_path": "/home/somebody/secret-project/llava", "r": 4}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    (adapter / "README.md").write_text("peft's own card")
    write_json(
        folder / "training.json", {"path": "checkpoint/adapter", "files": folder_digest(adapter)}
    )
    return folder


def test_the_checkpoint_arrives_with_its_report_and_the_key_is_nowhere_else(run):
    hub = Hub()
    done = push(run, hub.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{hub.url}/you/model"
    assert hub.made[0] == {"name": "model", "organization": "you", "visibility": "private"}
    assert sorted(hub.files) == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert hub.files["adapter_model.safetensors"] == b"weights"
    card = hub.files["README.md"].decode()
    (head, text) = card.removeprefix("---\n").split("\n---\n", 1)
    facts = yaml.safe_load(head)
    assert (facts["library_name"], facts["base_model"]) == ("peft", "org/llava")
    (entry,) = facts["model-index"]
    (result,) = entry["results"]
    (figure,) = [one for one in open_result(run).comparison.benchmarks[0].figures if one.primary]
    assert result["metrics"][0]["value"] == figure.after
    assert result["dataset"]["type"] == "pope"
    assert text.lstrip().startswith("# Did")
    config = json.loads(hub.files["adapter_config.json"])
    assert config == {"base_model_name_or_path": "org/llava", "r": 4}
    assert "pope" in card
    assert "somebody" not in card
    assert hub.keys == {f"Bearer {KEY}"}
    assert KEY not in done.stdout + done.stderr + card


def test_an_adapter_of_a_folder_needs_its_base_models_name(run):
    hub = Hub()
    done = push(run, hub.url, base=None)
    assert done.returncode == 2
    assert "--base-model USER/NAME" in done.stderr
    assert "somebody" not in done.stderr
    assert not hub.files


@pytest.mark.parametrize("limit", [None, 90])
def test_whole_data_sets_of_the_hub_have_eval_results(tmp_path, limit):
    folder = write_run(tmp_path / "seva-1", {"pope": pope()}, {"pope": pope(right=0.8)})
    settings = json.loads((folder / "settings.json").read_text())
    settings["inputs"]["data:pope"] = "hub:lmms-lab/POPE@" + "a" * 40
    settings["asked"]["limit"] = limit
    write_json(folder / "settings.json", settings)
    run = open_run(folder)
    results = publish._eval_results(run)
    if limit is not None:
        assert not results
        return
    (figure,) = [one for one in run.report.compared.benchmarks[0].figures if one.primary]
    (entry,) = yaml.safe_load(results["pope"])
    named = {"id": "lmms-lab/POPE", "task_id": figure.column, "revision": "a" * 40}
    assert entry["dataset"] == named
    assert entry["value"] == figure.after


STRANGER = """
import sys
from peft import PeftModel
from safetensors.torch import load_file
from harness_tinyworld import DEMO
from transformers import AutoModelForImageTextToText

base = AutoModelForImageTextToText.from_pretrained(DEMO.model)
model = PeftModel.from_pretrained(base, "you/model")
loaded = {name.replace(".default", ""): value for name, value in model.state_dict().items()}
for name, value in load_file(sys.argv[1]).items():
    assert loaded[name].equal(value), name
print("equal", len(loaded))
"""


@pytest.mark.slow
def test_a_stranger_loads_what_was_pushed(run, tmp_path):
    from harness_tinyworld import DEMO
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    folder = tmp_path / "runs" / run.name
    shutil.copytree(run, folder)
    adapter = folder / "checkpoint/adapter"
    base = AutoModelForImageTextToText.from_pretrained(DEMO.model)
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(base, config).save_pretrained(adapter)
    write_json(
        folder / "training.json", {"path": "checkpoint/adapter", "files": folder_digest(adapter)}
    )
    hub = Hub()
    done = push(folder, hub.url)
    assert done.returncode == 0, done.stderr
    assert str(DEMO.model).encode() not in hub.files["adapter_config.json"]
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    seen = subprocess.run(
        [sys.executable, "-c", STRANGER, str(adapter / "adapter_model.safetensors")],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        cwd=tmp_path,
    )
    assert seen.stdout.startswith("equal"), seen.stderr


@pytest.mark.parametrize(
    ("status", "code", "told"), [(401, 2, "HF_TOKEN"), (403, 2, "HF_TOKEN"), (418, 1, "418")]
)
def test_what_the_hub_refuses_is_said_in_a_line(run, status, code, told):
    done = push(run, Hub(status).url)
    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert KEY not in done.stderr


def test_no_hub_no_name_no_weights(run, tmp_path):
    done = push(run, "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    done = push(run, "http://127.0.0.1:9", repo="no name/at all/really")
    assert done.returncode == 2
    assert "user/name" in done.stderr
    bare = write_run(tmp_path / "seva-x-1", {"pope": pope()}, {"pope": pope(right=0.7)})
    done = push(bare, "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "no checkpoint" in done.stderr
