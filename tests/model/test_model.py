"""Opening, fingerprints, the answer cache and adapters: what a run relies on."""

from __future__ import annotations

import gc
import json
import re
import shutil
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from harness.engine import weights_fingerprint
from harness.errors import UsageError
from harness.model import Model
from harness.records import Request
from harness.storage import Store
from tests.support.checkpoints import Sizes, read_json, write_llava, write_lora

torch.set_num_threads(1)
quiet = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


ASKED = [Request("is there a dog?", (picture(seed),), max_new_tokens=6) for seed in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llava(tmp_path_factory.mktemp("base") / "llava", Sizes(), seed=3)


@pytest.fixture(scope="module")
def adapter(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(tmp_path_factory.mktemp("adapter") / "lora", folder)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.sqlite")


def test_importing_the_model_is_light() -> None:
    code = (
        "import harness.model, sys;"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_with_stored_answers_never_loads_torch(folder: Path, tmp_path: Path) -> None:
    first = Model.open(folder, store=Store(tmp_path / "s"), device="cpu")
    (answer,) = first.answer([Request("yes", max_new_tokens=3)])
    assert first.calls == 1
    code = (
        "import sys; from pathlib import Path; from harness.model import Model;"
        "from harness.storage import Store; from harness.records import Request;"
        f"s = Store(Path({str(tmp_path / 's')!r}));"
        f"m = Model.open({str(folder)!r}, store=s, device='cpu');"
        "a = list(m.answer([Request('yes', max_new_tokens=3)]));"
        "print(ascii(a[0].text), m.calls, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{answer.text!a} 0 False"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "model.safetensors").unlink(), "no *.safetensors"),
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            "pickle",
        ),
        (
            lambda f: (f / "model.safetensors").write_bytes(
                (f / "model.safetensors").read_bytes()[:-50]
            ),
            "damaged or incomplete",
        ),
        (lambda f: (f / "config.json").write_text("{"), "JSON"),
        (lambda f: (f / "chat_template.jinja").unlink(), "chat template"),
    ],
)
def test_a_spoiled_folder_is_refused_with_advice(
    folder: Path, tmp_path: Path, spoil: object, words: str
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert callable(spoil)
    spoil(copy)
    with pytest.raises(UsageError, match=words.replace("*", r"\*")) as caught:
        Model.open(copy, device="cpu")
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_refused_with_advice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="Did you mean 'llava'"):
        Model.open(folder.parent / "lava", device="cpu")
    with pytest.raises(UsageError, match="hf download"):
        Model.open("nobody/nothing-of-the-kind", device="cpu")
    with pytest.raises(UsageError, match="fixed commit"):
        Model.open("nobody/nothing", trust_remote_code=True, revision="main")
    with pytest.raises(UsageError, match="only hub ids"):
        Model.open(folder, revision="main")
    with pytest.raises(UsageError, match="CUDA"):
        Model.open(folder, device="cuda:99")
    with pytest.raises(UsageError, match="CUDA"):
        Model.open(folder, device="cuda:²")
    with pytest.raises(UsageError, match="dtype"):
        Model.open(folder, dtype="int4")
    with pytest.raises(UsageError, match="no adapter"):
        Model.open(folder, adapter=folder)


def _brings_code(copy: Path) -> None:
    config = read_json(copy / "config.json")
    config["model_type"] = "my_llava"
    config["auto_map"] = {"AutoConfig": "configuration_my.MyConfig", "AutoModel": "my.My"}
    (copy / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_brings_code, "brings Python code of its own (auto_map in its configuration)"),
        (
            lambda copy: (copy / "processor_config.json").unlink(),
            "has neither processor_config.json nor preprocessor_config.json",
        ),
    ],
)
def test_what_transformers_cannot_open_is_said_in_our_words(
    folder: Path, tmp_path: Path, spoil: Any, words: str
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    spoil(copy)
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        _ = Model.open(copy, device="cpu").network
    assert "trust_remote_code" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_weights_that_are_missing_are_not_made_up(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    config = read_json(copy / "config.json")
    config["text_config"]["num_hidden_layers"] = 3
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="would be random"):
        list(Model.open(copy, device="cpu").answer(ASKED))


@pytest.mark.parametrize(
    ("part", "change", "named"),
    [
        ("text_config", {"num_hidden_layers": 1}, "model.language_model.layers.1."),
        ("vision_config", {"num_hidden_layers": 2}, "model.vision_tower.encoder.layers.2."),
        ("", {"multimodal_projector_bias": False}, "model.multi_modal_projector.linear_1.bias"),
    ],
)
def test_weights_that_the_configuration_has_no_place_for_are_refused(
    folder: Path, tmp_path: Path, part: str, change: dict[str, object], named: str
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    config = read_json(copy / "config.json")
    (config[part] if part else config).update(change)
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=re.escape(named)) as caught:
        list(Model.open(copy, device="cpu").answer(ASKED))
    assert "has no place for" in str(caught.value)


def test_constants_that_older_versions_stored_are_no_unused_weights(
    folder: Path, tmp_path: Path
) -> None:
    """Position numbers and frequencies, under names of today and those of llava-hf's files."""
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    weights = load_file(copy / "model.safetensors")
    for name in (
        "model.vision_tower.embeddings.position_ids",
        "vision_tower.vision_model.embeddings.position_ids",
        "model.language_model.layers.0.self_attn.rotary_emb.inv_freq",
        "language_model.model.layers.1.self_attn.rotary_emb.inv_freq",
    ):
        weights[name] = torch.arange(4.0)
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    told = list(Model.open(copy, device="cpu").answer(ASKED))
    assert told == list(Model.open(folder, device="cpu").answer(ASKED))


def test_the_fingerprint_hashes_bytes_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    (copy / "README.md").write_text("a note")
    (copy / "model.safetensors").touch()
    assert weights_fingerprint(copy) == weights_fingerprint(folder)
    (copy / "chat_template.jinja").write_text("{{ bos_token }}" + "x")
    assert weights_fingerprint(copy) != weights_fingerprint(folder)


def test_one_changed_byte_of_the_weights_misses_every_stored_answer(
    folder: Path, tmp_path: Path, store: Store
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    model = Model.open(copy, store=store, device="cpu")
    first = list(model.answer(ASKED))
    again = Model.open(copy, store=store, device="cpu")
    assert list(again.answer(ASKED)) == first
    assert again.calls == 0
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-2] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    changed = Model.open(copy, store=store, device="cpu")
    assert changed.fingerprint != again.fingerprint
    list(changed.answer(ASKED))
    assert changed.calls == len(ASKED)


def test_everything_that_determines_an_answer_is_in_its_key(folder: Path, store: Store) -> None:
    model = Model.open(folder, store=store, device="cpu")
    base = Request("is there a dog?", (picture(0),), 4, 0.7, 0.9, 1, ("x",), None, ("Yes",))
    variants = [
        base,
        Request("is there a cat?", base.images, 4, 0.7, 0.9, 1, ("x",), None, ("Yes",)),
        Request(base.prompt, (picture(1),), 4, 0.7, 0.9, 1, ("x",), None, ("Yes",)),
        Request(base.prompt, base.images, 5, 0.7, 0.9, 1, ("x",), None, ("Yes",)),
        Request(base.prompt, base.images, 4, 0.8, 0.9, 1, ("x",), None, ("Yes",)),
        Request(base.prompt, base.images, 4, 0.7, 0.8, 1, ("x",), None, ("Yes",)),
        Request(base.prompt, base.images, 4, 0.7, 0.9, 2, ("x",), None, ("Yes",)),
        Request(base.prompt, base.images, 4, 0.7, 0.9, 1, ("y",), None, ("Yes",)),
        Request(base.prompt, base.images, 4, 0.7, 0.9, 1, ("x",), None, ("No",)),
        Request(base.prompt, (), 4, 0.7, 0.9, 1, ("x",), None, ("Yes",)),
    ]
    list(model.answer(variants))
    assert model.calls == len(variants)
    list(model.answer(variants))
    assert model.calls == len(variants)
    greedy = [Request("yes", max_new_tokens=2, seed=seed) for seed in (1, 2)]
    list(model.answer(greedy))
    assert model.calls == len(variants) + 1


def test_missing_answers_are_not_stored_and_do_not_stop_the_rest(
    folder: Path, store: Store
) -> None:
    model = Model.open(folder, store=store, device="cpu")
    bad = Request("what is <image> there?", (picture(0),), max_new_tokens=3)
    for _ in range(2):
        answers = list(model.answer([ASKED[0], bad, ASKED[1]]))
        assert answers[1].text is None
        assert answers[1].finish == "missing"
        assert answers[1].error
        assert answers[0].text is not None
    assert model.calls == 4


def test_whoever_asks_gets_the_answer_and_the_thought_apart_and_the_store_keeps_both(
    folder: Path, store: Store
) -> None:
    model = Model.open(folder, device="cpu", store=store)
    list(model.answer(ASKED[:1]))
    ((key, value),) = store._db.execute("SELECT key, value FROM entries").fetchall()
    said = {**json.loads(value), "text": "<think>A dog? No, a cat.</think> A cat.", "tokens": 20}
    store._db.execute("UPDATE entries SET value = ? WHERE key = ?", (json.dumps(said), key))
    (again,) = model.answer(ASKED[:1])
    assert model.calls == 1
    assert (again.text, again.thought) == ("A cat.", "A dog? No, a cat.")
    assert store.get([key])[key]["text"].startswith("<think>")


def test_answers_stream_in_order_and_requests_are_read_lazily(folder: Path) -> None:
    model = Model.open(folder, device="cpu")
    read = 0

    def endless():  # type: ignore[no-untyped-def]
        nonlocal read
        while True:
            read += 1
            yield Request(f"w{read % 7}", max_new_tokens=1)

    stream = model.answer(endless())
    first = [next(stream) for _ in range(3)]
    assert all(answer.text is not None for answer in first)
    assert read <= 256


def merged(base: Path, adapter: Path, out: Path) -> Path:
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    network = AutoModelForImageTextToText.from_pretrained(base)
    whole = PeftModel.from_pretrained(network, str(adapter)).merge_and_unload()
    shutil.copytree(base, out)
    whole.save_pretrained(out, safe_serialization=True)
    return out


@quiet
def test_merged_and_unmerged_adapters_answer_alike(
    folder: Path, adapter: Path, tmp_path: Path
) -> None:
    asked = [Request("is there a dog?", r.images, 12, choices=("Yes", "No")) for r in ASKED]
    worn = list(Model.open(folder, adapter=adapter, device="cpu").answer(asked))
    whole = Model.open(merged(folder, adapter, tmp_path / "whole"), device="cpu")
    for one, other in zip(worn, whole.answer(asked), strict=True):
        assert one.text == other.text
        assert one.choices == pytest.approx(other.choices, abs=1e-3)


def test_before_and_after_share_the_base_and_do_not_mix(folder: Path, adapter: Path) -> None:
    before = Model.open(folder, device="cpu")
    after = before.with_adapter(adapter)
    alone = list(Model.open(folder, adapter=adapter, device="cpu").answer(ASKED))
    base = list(before.answer(ASKED))
    mixed = list(zip(before.answer(ASKED), after.answer(ASKED), strict=True))
    assert [pair[0] for pair in mixed] == base
    assert [pair[1] for pair in mixed] == alone
    assert alone != base
    assert after.base is before.base
    assert before.fingerprint != after.fingerprint
    assert after.with_adapter(None).fingerprint == before.fingerprint


def test_a_trainer_gets_the_base_bare_though_an_adapter_has_answered(
    folder: Path, adapter: Path
) -> None:
    model = Model.open(folder, device="cpu")
    names = [name for name, _ in model.network.named_parameters()]
    worn = list(model.with_adapter(adapter).answer(ASKED))
    assert [name for name, _ in model.network.named_parameters()] == names
    assert list(model.with_adapter(adapter).answer(ASKED)) == worn


def test_an_adapter_of_another_model_is_refused(adapter: Path, tmp_path: Path) -> None:
    other = write_llava(tmp_path / "other", Sizes(hidden=32, mlp=64))
    with pytest.raises(UsageError, match="does not fit"):
        list(Model.open(other, adapter=adapter, device="cpu").answer(ASKED))


def test_where_an_adapter_was_trained_does_not_change_its_fingerprint(
    folder: Path, adapter: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(adapter, tmp_path / "moved"))
    settings = read_json(copy / "adapter_config.json")
    settings["base_model_name_or_path"] = "elsewhere"
    settings["modules_to_save"] = None
    (copy / "adapter_config.json").write_text(json.dumps(settings))
    model = Model.open(folder, device="cpu")
    assert model.with_adapter(copy).fingerprint == model.with_adapter(adapter).fingerprint


def test_training_the_network_in_place_is_noticed(folder: Path) -> None:
    model = Model.open(folder, device="cpu")
    first = list(model.answer(ASKED))
    with torch.no_grad():
        model.network.get_output_embeddings().weight.mul_(-1.0)
    assert list(model.answer(ASKED)) == first


def test_release_frees_and_the_next_request_loads_again(folder: Path) -> None:
    model = Model.open(folder, device="cpu")
    first = list(model.answer(ASKED))
    model.release()
    assert model.base._loaded is None
    assert list(model.answer(ASKED)) == first


def test_a_full_checkpoint_is_opened_as_the_model_after(folder: Path, tmp_path: Path) -> None:
    other = write_llava(tmp_path / "full", Sizes(), seed=9)
    after = Model.open(folder, device="cpu").with_adapter(other)
    assert after.adapter is None
    assert list(after.answer(ASKED)) == list(Model.open(other, device="cpu").answer(ASKED))


def test_the_images_of_a_window_are_let_go_before_the_next_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.model.model.WINDOW", 2)
    seen: list[weakref.ref[Image.Image]] = []

    def requests() -> Iterator[Request]:
        for number in range(6):
            if number == 4:  # the first of the third window
                gc.collect()
                assert [each() for each in seen[:2]] == [None, None]
            image = picture(number)
            seen.append(weakref.ref(image))
            yield Request("what?", (image,), max_new_tokens=1)
            del image

    assert len(list(Model.open(folder, device="cpu").answer(requests()))) == 6
