"""Checkpoints of the original LLaVA code: written in its layout, converted, compared by logits.

The originals are made from a LLaVA of random weights by renaming its tensors as the original code
names them, so what must come out is known tensor for tensor.
"""

from __future__ import annotations

import io
import json
import random
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from harness.cli.commands import app
from harness.engine import EngineRequest, ImageDigests, convert, resolve
from harness.engine.inputs import network_inputs
from harness.engine.vision import Preparer
from harness.errors import HarnessError, UsageError
from harness.model import Model
from harness.protocol import LLAVA
from harness.records import Request
from tests.support.checkpoints import Sizes, write_llava

WORDS = "a chat between user and an assistant helpful USER: ASSISTANT: is there dog"
SIZES = Sizes(vocabulary=380)


def write_pieces(path: Path) -> None:
    """Train a SentencePiece model of 380 pieces, as LLaMA's is made."""
    import sentencepiece

    draw, made = random.Random(0), io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(draw.choices(WORDS.split(), k=9)) for _ in range(600)]),
        model_writer=made,
        vocab_size=SIZES.vocabulary,
        hard_vocab_limit=False,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        pad_id=-1,
        minloglevel=2,
    )
    path.write_bytes(made.getvalue())


def original_name(name: str) -> str:
    name = name.replace("model.multi_modal_projector.linear_1", "model.mm_projector.0")
    name = name.replace("model.multi_modal_projector.linear_2", "model.mm_projector.2")
    return name.replace("model.language_model.", "model.")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A LLaVA of transformers, and the same in the original layout with its tower beside it."""
    from transformers import LlavaForConditionalGeneration

    root = tmp_path_factory.mktemp("original")
    write_pieces(root / "tokenizer.model")
    import sentencepiece

    rows = sentencepiece.SentencePieceProcessor(model_file=str(root / "tokenizer.model"))
    sizes = Sizes(vocabulary=rows.get_piece_size())
    network = LlavaForConditionalGeneration.from_pretrained(write_llava(root / "hf", sizes))
    state = {name: value.clone() for name, value in network.state_dict().items()}
    text, eyes = network.config.text_config, network.config.vision_config
    settings = {
        "model_type": "llava",
        "architectures": ["LlavaLlamaForCausalLM"],
        "mm_vision_tower": str(root / "tower"),
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "mm_use_im_start_end": False,
        "image_aspect_ratio": "pad",
        "torch_dtype": "float32",
        **{
            name: getattr(text, name)
            for name in (
                *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
                *("num_key_value_heads", "rms_norm_eps", "max_position_embeddings", "vocab_size"),
            )
        },
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    tower = {
        f"vision_model.{name.removeprefix('model.vision_tower.')}": value
        for name, value in state.items()
        if name.startswith("model.vision_tower.")
    }
    (root / "tower").mkdir()
    save_file(
        {**tower, "text_model.embeddings.x": torch.ones(1), "logit_scale": torch.ones(1)},
        root / "tower" / "model.safetensors",
    )
    clip = {"model_type": "clip", "vision_config": eyes.to_dict()}
    (root / "tower" / "config.json").write_text(json.dumps(clip))
    rest = {
        original_name(name): value
        for name, value in state.items()
        if not name.startswith("model.vision_tower.")
    }
    return root, settings, state, rest, tower


def write(folder: Path, made, weights: dict, *, pickled: bool = False, **changes) -> Path:
    root, settings, *_ = made
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**settings, **changes}))
    shutil.copy(root / "tokenizer.model", folder)
    weights = {name: value.contiguous() for name, value in weights.items()}
    if pickled:
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        save_file(weights, folder / "model.safetensors")
    return folder


def same(out: Path, wanted: dict) -> None:
    """Every tensor is the source's; embedding and head have one more row, a copy of row 0."""
    found = load_file(out / "model.safetensors")
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        rows = len(value)
        assert torch.equal(found[name][:rows], value), name
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            assert len(found[name]) == rows + 1
            assert torch.equal(found[name][rows], value[0])
        else:
            assert found[name].shape == value.shape


def asked(model: Model) -> dict:
    """One question with one image, as the network of a model is given it."""
    draw = np.random.default_rng(0)
    image = PIL.Image.fromarray(draw.integers(0, 256, (20, 40, 3), dtype=np.uint8))
    request = Request("is there a dog", (image,))
    loaded = model.base.loaded()
    item = EngineRequest(request, model.render(request), (ImageDigests().of(image),))
    return network_inputs(loaded, Preparer(loaded, 0).prepare(item))


@pytest.mark.parametrize("form", ["safe", "pickled", "tower inside", "projector beside"])
def test_every_tensor_is_placed_and_none_is_random(made, tmp_path, form):
    _, _, state, rest, tower = made
    weights = dict(rest)
    if form == "tower inside":
        weights |= {f"model.vision_tower.vision_tower.{k}": v + 1 for k, v in tower.items()}
        state = {k: v + 1 if k.startswith("model.vision_tower.") else v for k, v in state.items()}
    beside = {k: weights.pop(k) for k in list(weights) if "mm_projector" in k}
    if form != "projector beside":
        weights |= beside
    folder = write(tmp_path / "in", made, weights, pickled=form == "pickled")
    if form == "projector beside":
        torch.save(beside, folder / "mm_projector.bin")
    if form in ("pickled", "projector beside"):
        with pytest.raises(UsageError, match="--trust-pickles"):
            convert(folder, tmp_path / "out")
    found = convert(folder, tmp_path / "out", pickles=True)
    assert (found.tensors, found.merged) == (len(state), 0)
    same(tmp_path / "out", state)
    assert resolve(tmp_path / "out")


def test_the_converted_model_answers_as_the_one_it_was_made_from(made, tmp_path):
    """Logits of the source and of the conversion, over the tokens that both have."""
    from transformers import LlavaForConditionalGeneration

    root, settings, _, rest, _ = made
    convert(write(tmp_path / "in", made, rest), tmp_path / "out")
    model = Model.open(tmp_path / "out", device="cpu", protocol=LLAVA)
    inputs, rows = asked(model), settings["vocab_size"]
    assert inputs["input_ids"][0, 0] == 1
    assert (inputs["input_ids"] == rows).sum() == 16
    source = LlavaForConditionalGeneration.from_pretrained(root / "hf").eval()
    mine = source.config.image_token_id
    assert not (inputs["input_ids"] == mine).any()
    with torch.inference_mode():
        got = model.network(**inputs).logits[0, -1]
        inputs["input_ids"] = torch.where(inputs["input_ids"] == rows, mine, inputs["input_ids"])
        wanted = source(**inputs).logits[0, -1]
    assert torch.allclose(got[:rows], wanted, atol=1e-6)
    assert got[rows] == got[0], "the image token is as likely as the unknown one"


@pytest.fixture
def adapter(made, tmp_path):
    """A LoRA folder as the original code saves it, and the model that it stands for."""
    _, settings, state, rest, _ = made
    draw = torch.Generator().manual_seed(5)
    base = {name: value for name, value in rest.items() if "mm_projector" not in name}
    write(tmp_path / "vicuna", made, base, model_type="llama")
    folder = tmp_path / "lora"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings))
    wanted, factors, extra = dict(state), {}, {}
    for layer in range(settings["num_hidden_layers"]):
        for part in ("q_proj", "v_proj"):
            name = f"model.layers.{layer}.self_attn.{part}.weight"
            height, width = rest[name].shape
            down = torch.randn(4, width, generator=draw)
            up = torch.randn(height, 4, generator=draw)
            stem = f"base_model.model.{name.removesuffix('.weight')}"
            factors |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}
            hf = f"model.language_model.{name.removeprefix('model.')}"
            wanted[hf] = rest[name] + (8 / 4) * (up @ down)
    for name, value in rest.items():
        if "mm_projector" in name:
            extra[f"base_model.model.{name}"] = value + 0.5
    for name in list(wanted):
        if "multi_modal_projector" in name:
            wanted[name] = wanted[name] + 0.5
    save_file(factors, folder / "adapter_model.safetensors")
    torch.save(extra, folder / "non_lora_trainables.bin")
    settings = {"r": 4, "lora_alpha": 8, "bias": "none", "peft_type": "LORA"}
    settings["base_model_name_or_path"] = "lmsys/vicuna-7b-v1.5"
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder, wanted


def test_an_adapter_is_merged_with_the_projector_that_was_trained_beside_it(adapter, tmp_path):
    folder, wanted = adapter
    with pytest.raises(UsageError, match=r"lmsys/vicuna-7b-v1\.5.*--base"):
        convert(folder, tmp_path / "out", pickles=True)
    found = convert(folder, tmp_path / "out", base=tmp_path / "vicuna", pickles=True)
    assert found.merged == 4
    got = load_file(tmp_path / "out" / "model.safetensors")
    for name, value in wanted.items():
        assert torch.allclose(got[name][: len(value)], value, atol=1e-6), name


def refused(made, tmp_path, weights, **changes) -> str:
    folder = write(tmp_path / "in", made, weights, **changes)
    with pytest.raises(HarnessError) as found:
        convert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("*.part"))
    return str(found.value)


def test_unknown_and_absent_tensors_stop_it_before_anything_is_written(made, tmp_path):
    rest = made[3]
    more = {**rest, "model.resampler.query": torch.ones(2)}
    assert "1 have no place, such as model.language_model.resampler.query" in refused(
        made, tmp_path, more
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mm_projector_type": "linear"}, "mm_projector_type is 'linear'"),
        ({"mm_use_im_start_end": True}, "mm_use_im_start_end"),
        ({"image_aspect_ratio": "anyres"}, "anyres"),
        ({"model_type": "llava_mpt"}, "llava_mpt"),
        ({"mm_vision_tower": "openai/clip-vit-large-patch14-336"}, "hf download openai/clip"),
        ({"hidden_size": 32}, "has the shape"),
    ],
)
def test_what_transformers_has_no_place_for_is_refused(made, tmp_path, changes, told):
    assert told in refused(made, tmp_path, made[3], **changes)


def test_a_lost_tensor_is_named(made, tmp_path):
    rest = {k: v for k, v in made[3].items() if k != "model.norm.weight"}
    assert "places get no tensor, such as model.language_model.norm.weight" in refused(
        made, tmp_path, rest
    )


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_holds_more_than_tensors_is_refused_and_not_run(made, tmp_path, capsys):
    folder = write(tmp_path / "in", made, {"x": torch.ones(1)})
    (folder / "model.safetensors").unlink()
    torch.save({"x": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match="nothing of it was run"):
        convert(folder, tmp_path / "out", pickles=True)
    assert "run" not in capsys.readouterr().out


def test_the_command_says_what_it_did_and_the_refusal_names_the_command(made, tmp_path):
    folder = write(tmp_path / "in", made, made[3])
    with pytest.raises(UsageError, match="harness convert-checkpoint"):
        resolve(folder)
    words = ["convert-checkpoint", str(folder), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "placed, 0 random" in done.output
    with pytest.raises(UsageError, match="exists already"):
        convert(folder, tmp_path / "out")
