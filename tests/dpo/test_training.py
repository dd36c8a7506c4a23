"""Training as a method sees it: what it returns, what it leaves alone, and what it refuses."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from harness import dpo
from harness.dpo import Training, session
from harness.dpo.encoding import Encoder
from harness.dpo.forward import collate, image_features, packed_logits, plain_logits, why_plain
from harness.dpo.packing import attend, token_log_probs
from harness.dpo.pair import check
from harness.errors import HarnessError, UsageError
from harness.model import Model
from harness.records import Pair, Prompt, Side
from harness.storage import read_json
from tests.support.checkpoints import BOS_TEMPLATE, LLAVA_HF_TEMPLATE, write_llava

TRAINING = Training(
    loss="multi_softmax", learning_rate=3e-3, lora_rank=4, lora_alpha=8, batch_size=2,
    accumulation=2, save_steps=0,
)  # fmt: skip
REJECTED = ("no water in the street", "two", "a cat above the tree")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dpo")


@pytest.fixture(scope="module")
def model(folder):
    return Model.open(write_llava(folder / "llava"), device="cpu")


@pytest.fixture(scope="module")
def pairs(folder):
    random = np.random.default_rng(7)
    made = []
    for number in range(8):
        image = folder / f"{number}.png"
        Image.fromarray(random.integers(0, 255, (28, 28, 3), dtype=np.uint8)).save(image)
        question = "is there a dog?" + " please" * (number % 3)
        rejected = REJECTED[: 1 + number % 3]
        made.append(Pair(Prompt(f"p{number}", image, question), "yes a red circle", rejected))
    return made


def encoder(model, **how):
    return Encoder(model.processor, model.network.config.image_token_id, **how)


def curves(out):
    return [json.loads(line) for line in (out / "curves.jsonl").read_text().splitlines()]


def test_training_learns_and_leaves_the_model_as_it_was(model, pairs, tmp_path, capfd):
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    flags = [module.training for module in model.network.modules()]
    grads = [weight.requires_grad for weight in model.network.parameters()]
    state, modules = torch.get_rng_state(), [name for name, _ in model.network.named_modules()]
    adapter = dpo.train(
        pairs, model, tmp_path, seed=1, training=dataclasses.replace(TRAINING, epochs=6)
    )

    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), state)
    assert [name for name, _ in model.network.named_modules()] == modules
    assert [module.training for module in model.network.modules()] == flags
    assert [weight.requires_grad for weight in model.network.parameters()] == grads
    assert all(torch.equal(before[name], now) for name, now in model.network.state_dict().items())
    assert "forward" not in vars(model.network)
    assert model.network.config.get_text_config()._attn_implementation == "sdpa"

    assert sorted(path.suffix for path in adapter.iterdir()) == [".json", ".md", ".safetensors"]
    steps = curves(tmp_path)
    assert [step["step"] for step in steps] == list(range(1, 13))
    assert steps[0]["margin"] == 0
    assert steps[-1]["margin"] > 0.1
    assert steps[-1]["accuracy"] == 1
    assert {"loss", "kl", "length_chosen", "peak_mb", "answer_tokens_per_second"} <= set(steps[0])

    network = AutoModelForImageTextToText.from_pretrained(model.path)
    loaded = PeftModel.from_pretrained(network, adapter)
    names = [name for name, _ in loaded.named_parameters() if "lora_" in name]
    assert names
    assert all("language_model" in name for name in names)
    seen = dpo.image_ablation(pairs[:3], model, adapter)
    plain = dpo.image_ablation(pairs[:3], model)
    assert seen.margin > plain.margin + 0.5
    merged = dpo.merge(model.path, adapter, tmp_path / "merged")
    again = dpo.image_ablation(pairs[:3], Model.open(merged, device="cpu"))
    assert again.margin == pytest.approx(seen.margin, abs=1e-3)


def test_the_same_seed_gives_the_same_bytes(model, pairs, tmp_path):
    made = [
        dpo.train(pairs[:4], model, tmp_path / name, seed=seed, training=TRAINING)
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    weights = [(path / "adapter_model.safetensors").read_bytes() for path in made]
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize("loss", ["sft", "sima_released", "plackett_luce", "mpo"])
def test_other_losses_train(model, pairs, tmp_path, loss):
    training = dataclasses.replace(TRAINING, loss=loss, epochs=5, loss_weights=(1.0, 0.0, 0.0))
    few = [dataclasses.replace(pair, rejected=pair.rejected[:1]) for pair in pairs[:4]]
    adapter = dpo.train(few, model, tmp_path, seed=1, training=training)
    steps = curves(tmp_path)
    assert steps[-1]["loss"] < steps[0]["loss"] - 1e-3
    if loss == "sima_released":  # its competitors stand in the loss alone
        assert dpo.try_step(few[0], model, training).difference < 1e-5
        effect = read_json(tmp_path / "effect.json")
        for when, path in (("before", None), ("after", adapter)):
            own = dpo.image_ablation(few, model, path)
            assert effect[when]["margin"] == pytest.approx(own.margin, abs=1e-4)


@pytest.mark.parametrize("template", [LLAVA_HF_TEMPLATE, BOS_TEMPLATE, "no eos"])
def test_one_bos_one_eos_and_the_answer_as_in_context(folder, pairs, template):
    if template == "no eos":
        template = LLAVA_HF_TEMPLATE.replace("{{ eos_token }}", " ")
    model = Model.open(write_llava(folder / str(hash(template)), template=template), device="cpu")
    row = encoder(model).encode(0, check(pairs[2]))
    tokenizer = model.processor.tokenizer
    assert row.prompt.count(tokenizer.bos_token_id) == 1
    assert row.prompt[0] == tokenizer.bos_token_id
    assert row.prompt.count(model.network.config.image_token_id) == 16
    texts = [tokenizer.decode(answer) for answer in row.answers]
    assert texts == [f" {answer}</s>" for answer in ("yes a red circle", *REJECTED)]


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_packed_rows_mean_what_separate_rows_mean(folder, model, pairs, kv_heads):
    """Ragged numbers of answers, ragged lengths, one answer of a single token; in float64."""
    from tests.support.checkpoints import Sizes

    other = Model.open(write_llava(folder / f"kv{kv_heads}", Sizes(kv_heads=kv_heads)))
    network = session.private_copy(other.network).double()
    rows = [encoder(other).encode(at, pair) for at, pair in enumerate(pairs[:4])]
    rows[1] = dataclasses.replace(rows[1], answers=((*rows[1].answers[0],), (2,)))
    plain = collate(rows, packed=False)
    plain["vision"] = {name: value.double() for name, value in plain["vision"].items()}
    expected = token_log_probs(plain_logits(network, network, plain), plain["labels"])

    session.use_packed_attention(network)
    packed = collate(rows, packed=True)
    pixels = [{"pixel_values": one["pixel_values"].double()} for one in packed["vision"]]
    features = image_features(network, pixels, grad=False)
    logits = packed_logits(network, network, packed, features)
    assert logits.shape[0] == sum(len(answer) for row in rows for answer in row.answers)
    torch.testing.assert_close(
        token_log_probs(logits, packed["labels"]), expected, rtol=1e-6, atol=1e-6
    )


def test_packed_attention_has_no_wrong_way_to_be_called():
    one = torch.zeros(1, 2, 3, 4)
    mask = torch.ones(1, 1, 3, 3, dtype=torch.bool)
    for arguments in ((one, one, one, None), (one, one, one, mask)):
        with pytest.raises(HarnessError, match="not packed"):
            attend(None, *arguments)


def test_a_log_probability_computed_by_hand():
    logits = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    found = token_log_probs(logits * 1.0, torch.tensor([0, 1]))
    p = 1 / (1 + np.exp(-1))
    assert found.tolist() == pytest.approx([np.log(0.5), np.log(1 - p)])
    found.sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[0.5, -0.5], [-p, p]]).double())


def test_the_plain_path_trains_alike_and_says_so(model, pairs, tmp_path):
    from harness import progress

    log = tmp_path / "log.txt"
    forced = dataclasses.replace(TRAINING, packed=False)
    with progress.showing(progress.Reporter(quiet=True, log=log)):
        dpo.train(pairs[:4], model, tmp_path / "plain", seed=1, training=forced)
    dpo.train(pairs[:4], model, tmp_path / "packed", seed=1, training=TRAINING)
    assert "one full row per answer" in log.read_text()
    losses = [[step["loss"] for step in curves(tmp_path / name)] for name in ("plain", "packed")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_plain_path_projects_no_token_before_the_last_of_a_prompt(model, pairs):
    rows = [encoder(model).encode(at, pair) for at, pair in enumerate(pairs[:3])]
    seen = []
    hook = model.network.lm_head.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    with torch.no_grad():
        plain_logits(model.network, model.network, collate(rows, packed=False))
    hook.remove()
    shortest = min(len(row.prompt) for row in rows)
    longest = max(len(row.prompt) + len(answer) for row in rows for answer in row.answers)
    assert [given.shape[1] for given in seen] == [longest - shortest + 1]


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("rope_parameters", {"rope_type": "dynamic", "rope_theta": 1.0}, "positions"),
        ("sliding_window", 64, "sliding window"),
        ("layer_types", ["full_attention", "chunked_attention"], "whole sequence"),
        ("attn_logit_softcapping", 30.0, "caps"),
    ],
)
def test_a_language_model_that_would_differ_takes_the_plain_path(model, setting, value, reason):
    copied = session.private_copy(model.network)
    assert why_plain(copied) is None
    setattr(copied.config.text_config, setting, value)
    assert reason in why_plain(copied)


def test_a_family_that_is_not_known_takes_the_plain_path(model):
    copied = session.private_copy(model.network)
    copied.config.model_type = "other"
    assert "'other' is not known" in why_plain(copied)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": " "}, "chosen answer of pair 'p0' is empty"),
        ({"rejected": ("no", "")}, "rejected answer of pair 'p0' is empty"),
        ({"rejected": ()}, "no rejected answer in pair 'p0'"),
        ({"rejected": ("no", "yes a red circle ")}, "pair 'p0' is also rejected"),
        ({"chosen": "yes <image>"}, "pair 'p0' contains the image placeholder"),
        ({"meta": {"scores": [1.0]}}, "one number per answer"),
        ({"meta": {"scores": ["good", "bad"]}}, "one number per answer"),
        ({"meta": {"scores": "12"}}, "one number per answer"),
        ({"meta": {"scores": [1.0, float("nan")]}}, "one number per answer"),
        ({"sides": (Side(score="good"), Side())}, "a score is 'good'"),
    ],
)
def test_a_pair_that_teaches_nothing_is_refused_by_name(model, pairs, tmp_path, change, message):
    broken = dataclasses.replace(pairs[0], **change)
    with pytest.raises(HarnessError, match=message):
        dpo.train([broken], model, tmp_path, seed=1, training=TRAINING)


def test_a_cut_that_leaves_only_the_prompt_is_refused(model, pairs, tmp_path):
    length = len(encoder(model).encode(0, pairs[0]).prompt)
    short = dataclasses.replace(TRAINING, max_length=length)
    with pytest.raises(HarnessError, match=rf"pair 'p0' alone has {length} tokens"):
        dpo.train(pairs[:1], model, tmp_path, seed=1, training=short)
    row = encoder(model, max_length=length + 2, keep_cut=True).encode(0, pairs[0])
    assert [len(answer) for answer in row.answers] == [2, 2]


def test_duplicates_of_a_negative_are_removed_with_their_scores(pairs):
    pair = dataclasses.replace(
        pairs[0], rejected=("no", "two", " no"), meta={"scores": [3, 2, 1, 2]}
    )
    clean = check(pair)
    assert clean.rejected == ("no", "two")
    assert clean.meta["scores"] == [3, 2, 1]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"loss": "mutli_softmax"}, "Did you mean 'multi_softmax'"),
        ({"beta": 0.0}, "^beta is 0.0"),
        ({"beta": float("inf")}, "beta is inf; it must be above 0 and at most 100"),
        ({"scheduler": "cosin"}, "Did you mean 'cosine'"),
        ({"loss_weights": (1.0, -1.0, 0.0)}, "loss_weights"),
    ],
)
def test_a_knob_that_does_not_fit_is_refused(knobs, message):
    with pytest.raises(UsageError, match=message):
        Training(**knobs)


def test_a_pairwise_loss_refuses_several_negatives(model, pairs, tmp_path):
    with pytest.raises(UsageError, match=r"pair 'p1' has 2\. Choose multi_softmax"):
        dpo.train(pairs, model, tmp_path, seed=1, training=Training())


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (r".*\.(q_proj|v_proj)", "also matches model.vision_tower"),
        (r".*lm_head", "also matches lm_head"),
        (r"nothing", "names nothing"),
        (r".*nothing", "matches no module"),
    ],
)
def test_lora_stays_in_the_language_model(model, pairs, tmp_path, targets, message):
    training = dataclasses.replace(TRAINING, lora_targets=targets)
    with pytest.raises(UsageError, match=message):
        dpo.train(pairs[:1], model, tmp_path, seed=1, training=training)


def test_a_broken_weight_stops_the_run_and_names_the_pair(model, pairs, tmp_path):
    broken = session.private_copy(model.network)
    with torch.no_grad():
        head = broken.lm_head.weight = torch.nn.Parameter(broken.lm_head.weight.clone())
        head[5] = float("nan")
    trainer = session.build(pairs[:2], Fake(model, broken), tmp_path, 1, TRAINING)
    with pytest.raises(HarnessError, match=r"loss of pair 'p\d' is nan"):
        trainer.train()


@dataclasses.dataclass
class Fake:
    """A model whose network was replaced; everything else is the real one's."""

    model: Model
    network: torch.nn.Module

    @property
    def processor(self):
        return self.model.processor

    @property
    def protocol(self):
        return self.model.protocol

    @property
    def adapter(self):
        return self.model.adapter


def test_image_tokens_are_counted_against_the_features(model, pairs):
    row = encoder(model).encode(0, pairs[0])
    row = dataclasses.replace(row, prompt=row.prompt[:-30])
    batch = collate([row], packed=True)
    features = image_features(model.network, batch["vision"], grad=False)
    short = [feature[:-1] for feature in features]
    with pytest.raises(HarnessError, match="pair 'p0' gives 15 features"):
        packed_logits(model.network, model.network, batch, short)


def test_an_adapted_model_is_trained_on_with_the_base_as_reference(model, pairs, tmp_path):
    adapter = dpo.train(pairs[:2], model, tmp_path / "one", seed=1, training=TRAINING)
    again = dpo.train(
        pairs[:2], model.with_adapter(adapter), tmp_path / "two", seed=1, training=TRAINING
    )
    assert again == tmp_path / "two" / "adapter"
    one, two = (read_json(tmp_path / name / "effect.json") for name in ("one", "two"))
    assert two["before"] == one["before"]
    assert two["update_norm"] > one["update_norm"]
    wider = dataclasses.replace(TRAINING, lora_rank=TRAINING.lora_rank + 1)
    with pytest.raises(UsageError, match="carries the adapter"):
        dpo.train(pairs[:2], model.with_adapter(adapter), tmp_path / "x", seed=1, training=wider)


def test_the_projector_can_be_trained_too(model, pairs, tmp_path):
    from safetensors.torch import load_file

    training = dataclasses.replace(TRAINING, train_projector=True, epochs=3)
    adapter = dpo.train(pairs[:4], model, tmp_path, seed=1, training=training)
    weights = load_file(adapter / "adapter_model.safetensors")
    changed = [name for name in weights if "multi_modal_projector.linear_1.weight" in name]
    assert len(changed) == 1
    base = model.network.model.multi_modal_projector.linear_1.weight
    assert not torch.equal(weights[changed[0]], base)
    steps = curves(tmp_path)
    assert steps[0]["margin"] == 0
    assert steps[-1]["margin"] > 0
