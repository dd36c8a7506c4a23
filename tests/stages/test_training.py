"""What may follow a training: canary and merged checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from harness_tinyworld import DEMO

from harness.dpo.ablation import ImageAblation
from harness.engine import checkpoint_digest
from harness.model import Model
from harness.pairs import read_prompts
from harness.records import Request
from harness.stages import Ablation, Checkpoint, merged
from harness.stages.training import is_kept
from harness.storage import Memo


def scored(chosen, blank, drops):
    return asdict(ImageAblation(10, chosen, blank, 0.0, 0.0, drops))


def test_the_sentence_says_what_blanking_did():
    alive = Ablation(scored(-20.0, -60.0, 1.0), scored(-18.0, -57.0, 0.9)).note
    assert "10 pairs lowers" in alive
    assert "39.00 nats on average (40.00 before training)" in alive
    assert "90% of them (100% before)" in alive
    assert "need" not in alive
    assert "less than half" not in alive
    weak = Ablation(scored(-20.0, -60.0, 1.0), scored(-18.0, -20.0, 0.9)).note
    assert "less than half" in weak
    blind = Ablation(scored(-20.0, -60.0, 1.0), scored(-18.0, -18.0, 0.4)).note
    assert "does not need the image" in blind


def test_a_full_model_is_its_own_merge(tmp_path):
    whole = Checkpoint(tmp_path, "d", adapter=False, reused=False)
    assert merged(whole, None, tmp_path) == tmp_path


@pytest.mark.slow
def test_the_merged_checkpoint_answers_like_the_adapter_and_is_made_once(tmp_path):
    words = ["--method", "seva", "--bench", "pope", "--limit", "18", "--max-prompts", "24"]
    more = ["--set", "learning_rate=2e-3", "--image-ablation", "--merge", "--json", "--quiet"]
    command = [sys.executable, "-m", "harness", "run", *words, *more, "--out", str(tmp_path)]

    def run():
        done = subprocess.run(command, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    first = run()
    assert any(note.startswith("Image ablation: ") for note in first["notes"])
    folder = Path(first["folder"])
    made = {path: path.stat().st_mtime_ns for path in (folder / "merged").iterdir()}
    prompts = read_prompts(DEMO.prompts, 12)
    asked = [Request(p.question, (p.open_image(),), max_new_tokens=24) for p in prompts]
    base = Model.open(DEMO.model, device="cpu")
    worn = base.with_adapter(Path(first["checkpoint"]))
    apart = Model.open(folder / "merged", device="cpu")
    told = [[a.text for a in model.answer(asked)] for model in (base, worn, apart)]
    assert told[1] == told[2] != told[0]
    second = run()
    assert second["reused"]
    assert second["calls"] == 0
    assert {path: path.stat().st_mtime_ns for path in (folder / "merged").iterdir()} == made


def test_a_folder_counts_with_the_files_it_was_left_with(tmp_path):
    made, memo = tmp_path / "made", Memo(tmp_path / "made.json")
    made.mkdir()
    (made / "x.safetensors").write_text("1")
    assert not is_kept(memo, "a", made)
    memo.write("a")  # as earlier versions did
    assert is_kept(memo, "a", made)
    memo.write("a", files=checkpoint_digest(made))
    assert is_kept(memo, "a", made)
    assert not is_kept(memo, "b", made)
    (made / "README.md").write_text("mine")
    assert is_kept(memo, "a", made)
    (made / "x.safetensors").write_text("2")
    assert not is_kept(memo, "a", made)
