"""``harness push`` against a small server that speaks the hub's protocol."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.storage import folder_digest, write_json
from tests.support.finished import pope, write_run

KEY = "hf_" + "k" * 34


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
        self.reply({"id": "you/model", "siblings": [], "sha": "0" * 40, "private": False})

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
        text = json.dumps(content).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def push(folder, url, repo="you/model"):
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_TOKEN": KEY, "HF_HUB_OFFLINE": "0"}
    return subprocess.run(
        [sys.executable, "-m", "harness", "push", str(folder), repo, "--private"],
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
    (adapter / "adapter_config.json").write_text("{}")
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
    assert card.startswith("---\nlibrary_name: peft\n")
    assert "better?" in card
    assert "pope" in card
    assert "somebody" not in card
    assert hub.keys == {f"Bearer {KEY}"}
    assert KEY not in done.stdout + done.stderr + card


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
