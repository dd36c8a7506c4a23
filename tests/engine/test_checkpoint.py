"""What is read of a checkpoint is hashed, lies in its folder, and is safetensors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.engine import adapter_fingerprint, resolve, weights_fingerprint
from harness.errors import UsageError
from harness.model import Model
from harness.records import Request
from tests.support.checkpoints import read_json, write_llava, write_lora

torch.set_num_threads(1)
INDEX = "model.safetensors.index.json"
ASKED = [Request("is there a dog?", max_new_tokens=6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llava(tmp_path_factory.mktemp("base") / "llava", seed=3)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def sharded(folder: Path, second: str) -> Path:
    """Split the weights in two; the second file is called ``second``."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    middle = len(names) // 2
    parts = {"model-00001-of-00002.safetensors": names[:middle], second: names[middle:]}
    for file, held in parts.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        part = {name: weights[name] for name in held}
        if file.endswith(".safetensors"):
            save_file(part, folder / file, {"format": "pt"})
        else:
            torch.save(part, folder / file)
    where = {name: file for file, held in parts.items() for name in held}
    total = sum(weight.nbytes for weight in weights.values())
    content = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / INDEX).write_text(json.dumps(content))
    return folder


def test_shards_answer_as_one_file_also_in_a_folder_below(folder: Path, copy: Path) -> None:
    split = sharded(copy, "below/model-00002-of-00002.safetensors")
    wanted = list(Model.open(folder, device="cpu").answer(ASKED))
    assert list(Model.open(split, device="cpu").answer(ASKED)) == wanted


@pytest.mark.parametrize("second", ["model-00002-of-00002.safetensors", "below/b.safetensors"])
def test_a_changed_byte_in_any_shard_is_another_model(copy: Path, second: str) -> None:
    split = sharded(copy, second)
    first = weights_fingerprint(split)
    data = bytearray((split / second).read_bytes())
    data[-1] ^= 1
    (split / second).write_bytes(data)
    assert weights_fingerprint(split) != first


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("weights.bin", "weights.bin, which is no safetensors file"),
        ("../x.bin", "outside of its folder"),
        ("../x.safetensors", "outside of its folder"),
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_an_index_that_leads_elsewhere_is_refused(
    copy: Path, second: str, words: str, beside: bool
) -> None:
    kept = (copy / "model.safetensors").read_bytes()
    split = sharded(copy, second)
    if beside:
        (split / "model.safetensors").write_bytes(kept)
    with pytest.raises(UsageError, match=words) as caught:
        Model.open(split, device="cpu")
    assert "\n" not in str(caught.value)


def absolute(folder: Path) -> None:
    names = read_json(folder / INDEX)
    inside = folder / "model-00002-of-00002.safetensors"
    names["weight_map"] = dict.fromkeys(names["weight_map"], str(inside.resolve()))
    (folder / INDEX).write_text(json.dumps(names))


def config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "config.json").write_text(
            json.dumps({**read_json(folder / "config.json"), **changes})
        )

    return change


def index(content: object) -> Callable[[Path], None]:
    return lambda folder: (folder / INDEX).write_text(json.dumps(content)) and None


def pointer(folder: Path) -> None:
    (folder / "model-00002-of-00002.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
    )


def stored_as(kind: torch.dtype) -> Callable[[Path], None]:
    """Store one weight in a format of quantization."""

    def spoil(folder: Path) -> None:
        path = folder / "model-00002-of-00002.safetensors"
        tensors = load_file(path)
        name = next(name for name in tensors if name.endswith(".weight"))
        save_file({**tensors, name: tensors[name].to(kind)}, path)

    return spoil


def deep(folder: Path) -> None:
    header = b"[" * 100_000
    (folder / "model-00002-of-00002.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + b"\0" * 10
    )


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (absolute, "outside of its folder"),
        (index({"weight_map": {"a": ["x"]}}), "outside of its folder"),
        (index({"weight_map": {"a": "C:x.safetensors"}}), "outside of its folder"),
        (index({"weight_map": []}), "names no weights"),
        (index([]), "no JSON object"),
        (config(transformers_weights="adapter_model.bin"), "no safetensors file"),
        (config(transformers_weights="../other.safetensors"), "outside of its folder"),
        (config(text_config={"num_hidden_layers": 10**9}), "num_hidden_layers: 1000000000; no"),
        (pointer, "Git LFS pointer"),
        (deep, "damaged or incomplete"),
        (stored_as(torch.int8), "as I8, a format of quantization"),
        (stored_as(torch.float8_e4m3fn), "as F8_E4M3, a format of quantization"),
        (lambda f: (f / INDEX).write_text("[" * 100_000), "cannot be read as JSON"),
        (lambda f: (f / INDEX).unlink(), "neither model.safetensors nor"),
        (
            lambda f: (f / "adapter_config.json").write_text(
                '{"base_model_name_or_path": "some/base"}'
            ),
            "some/base",
        ),
    ],
)
def test_odd_folders_are_refused_in_one_paragraph(
    copy: Path, spoil: Callable[[Path], None], words: str
) -> None:
    split = sharded(copy, "model-00002-of-00002.safetensors")
    spoil(split)
    with pytest.raises(UsageError, match=words) as caught:
        resolve(split)
    assert "\n" not in str(caught.value)


def test_weights_named_in_the_configuration_are_the_ones_hashed(copy: Path) -> None:
    (copy / "below").mkdir()
    (copy / "model.safetensors").rename(copy / "below" / "other.safetensors")
    config(transformers_weights="below/other.safetensors")(copy)
    first = weights_fingerprint(copy)
    assert next(iter(Model.open(copy, device="cpu").answer(ASKED))).text is not None
    data = bytearray((copy / "below" / "other.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "below" / "other.safetensors").write_bytes(data)
    assert weights_fingerprint(copy) != first


@pytest.mark.parametrize(
    ("name", "take"),
    [
        ("llava-v1.5-7b", "Take llava-hf/llava-1.5-7b-hf from"),
        ("llava-v1.6-mistral-7b", "Take llava-hf/llava-v1.6-mistral-7b-hf from"),
        ("llava-v1.5-7b-my-dpo", "among the models of llava-hf"),
    ],
)
@pytest.mark.parametrize("weights", ["pytorch_model-00001-of-00002.bin", "model.safetensors"])
def test_the_original_llava_layout_is_called_that(
    folder: Path, tmp_path: Path, name: str, take: str, weights: str
) -> None:
    """Keys as in the config.json of liuhaotian/llava-v1.5-7b."""
    original = tmp_path / name
    original.mkdir()
    (original / "config.json").write_text(
        json.dumps(
            {
                "architectures": ["LlavaLlamaForCausalLM"],
                "model_type": "llava",
                "mm_vision_tower": "openai/clip-vit-large-patch14-336",
                "mm_projector_type": "mlp2x_gelu",
            }
        )
    )
    shutil.copy(folder / "model.safetensors", original / weights)
    with pytest.raises(UsageError, match="layout of the original LLaVA code") as caught:
        Model.open(original, device="cpu")
    assert take in str(caught.value)
    assert "AutoModelForImageTextToText" not in str(caught.value)


def lora(path: Path, base: Path, **more: object) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    network = AutoModelForImageTextToText.from_pretrained(base)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        worn = get_peft_model(network, LoraConfig(r=2, **more))
        with torch.no_grad():
            for name, weight in worn.named_parameters():
                if "lora_B" in name or "lora_embedding_B" in name:
                    weight.normal_(0, 0.3)
    worn.save_pretrained(path)
    return path


@pytest.mark.parametrize(
    ("targets", "more"),
    [
        (r".*language_model.*q_proj|.*lm_head", {}),
        (r".*language_model.*(q_proj|embed_tokens)", {}),
        (r".*language_model.*q_proj|.*lm_head", {"use_dora": True}),
        (r".*language_model.*q_proj", {"modules_to_save": ["lm_head", "embed_tokens"]}),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_adapters_on_head_and_embedding_answer_as_peft_does(
    folder: Path, tmp_path: Path, targets: str, more: dict[str, object]
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText, AutoProcessor

    adapter = lora(tmp_path / "lora", folder, target_modules=targets, **more)
    before = Model.open(folder, device="cpu")
    plain = list(before.answer(ASKED))
    after = before.with_adapter(adapter)
    found = list(after.answer(ASKED))
    assert list(before.answer(ASKED)) == plain  # the base is still the base

    network = AutoModelForImageTextToText.from_pretrained(folder)
    worn = PeftModel.from_pretrained(network, str(adapter)).eval()
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor.tokenizer(before.render(ASKED[0]), return_tensors="pt")
    made = worn.generate(**inputs, max_new_tokens=6, do_sample=False)
    text = processor.tokenizer.decode(
        made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    assert found[0].text == text.strip()


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_that_would_change_the_base_itself_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    adapter = lora(tmp_path / "lora", folder, target_modules=r".*language_model.*q_proj|.*lm_head")
    first = adapter_fingerprint(adapter)
    weights = load_file(adapter / "adapter_model.safetensors")
    (key,) = [key for key in weights if key.endswith("lm_head.base_layer.weight")]
    weights[key] += 0.1
    save_file(weights, adapter / "adapter_model.safetensors", {"format": "pt"})
    assert adapter_fingerprint(adapter) != first
    with pytest.raises(UsageError, match="change the model before"):
        list(Model.open(folder, adapter=adapter, device="cpu").answer(ASKED))


def test_an_adapter_of_the_original_llava_code_is_refused(folder: Path, tmp_path: Path) -> None:
    adapter = write_lora(tmp_path / "lora", folder)
    (adapter / "non_lora_trainables.bin").write_bytes(b"x")
    with pytest.raises(UsageError, match="non_lora_trainables"):
        Model.open(folder, adapter=adapter, device="cpu")
