"""What the pair stage sees for itself: unusable prompts, cut answers, pairs no training takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from harness import dpo
from harness.dpo import Training
from harness.errors import HarnessError
from harness.model import Model
from harness.pairs import make_pairs
from harness.pairs.generate import Watched
from harness.records import Pair, Prompt, Request
from tests.pairs.test_pairs import method_of
from tests.support.checkpoints import write_llava
from tests.support.contexts import run_context


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Model.open(write_llava(tmp_path_factory.mktemp("model")), device="cpu")


@pytest.fixture
def good(tmp_path):
    Image.new("RGB", (28, 28), "red").save(tmp_path / "good.png")
    return tmp_path / "good.png"


def stage(folder, model, prompts, generate, training=None):
    method = method_of(generate)
    return make_pairs(run_context(folder, method, training or Training(), prompts=prompts), model)


def reasons(folder):
    lines = (folder / "dropped.jsonl").read_text().splitlines()
    return {row["prompt"]["id"]: row["reason"] for row in map(json.loads, lines)}


def spoilt(folder: Path, good: Path) -> dict[str, Path]:
    """Images that cannot be read, each broken in its own way."""
    whole = good.read_bytes()
    contents = {
        "cut": whole[:60],
        "empty": b"",
        "html": b"<html>404</html>",
        "text": b"not an image",
    }
    made = {}
    for name, content in contents.items():
        made[name] = folder / f"{name}.png"
        made[name].write_bytes(content)
    for mode in ("I;16", "F"):
        made[mode] = folder / f"{mode[0]}.tif"
        Image.new(mode, (9, 9)).save(made[mode])
    return made


def test_unreadable_images_are_counted_drops_in_the_order_of_the_prompts(tmp_path, model, good):
    bad = spoilt(tmp_path, good)
    images = [good, *bad.values(), good, good]
    prompts = [Prompt(f"p{n}", image, "what is it?") for n, image in enumerate(images)]

    def generate(prompts, seed):
        for prompt in list(prompts):  # reads ahead, as engines do
            yield Pair(prompt, "a red circle", ("no",))

    made = stage(tmp_path / "run", model, prompts, generate)
    assert [pair.prompt.id for pair in made.pairs] == ["p0", "p7", "p8"]
    assert made.dropped == {"unreadable image": 6}
    rows = [json.loads(line) for line in (tmp_path / "run/pairs.jsonl").read_text().splitlines()]
    assert [row["prompt"]["id"] for row in rows if "prompt" in row] == [f"p{n}" for n in range(9)]


UNFIT = {
    "space": (("two dogs", "two dogs\n"), "equal"),
    "tokens": (("a red", "a  red"), None),
    "mark": (("a <image> tag", "no"), "control token"),
    "end": (("a dog</s>", "no"), "control token"),
    "pad": (("<pad> a dog", "no"), "control token"),
    "worse": (("a dog", "<image>"), "control token"),
    "blank": (("a dog", " "), "empty"),
    "long": (("a dog " * 4000, "no"), "too long"),
    "fine": (("a dog", "no"), None),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_training_would_refuse_is_a_drop_with_its_reason(tmp_path, model, good, name):
    (chosen, rejected), reason = UNFIT[name]
    prompts = [Prompt("good", good, "what is it?"), Prompt("odd", good, "what is there?")]

    def generate(prompts, seed):
        for prompt in prompts:
            texts = (chosen, rejected) if prompt.id == "odd" else ("a red circle", "no")
            yield Pair(prompt, texts[0], texts[1:])

    made = stage(tmp_path / "run", model, prompts, generate)
    assert reasons(tmp_path / "run") == ({} if reason is None else {"odd": reason})
    training = Training(lora_rank=2, lora_alpha=4, save_steps=0)
    dpo.train(made.pairs, model, tmp_path / "out", seed=0, training=training)
    if reason is not None:
        odd = Pair(prompts[1], chosen, (rejected,))
        with pytest.raises(HarnessError, match="'odd'"):
            dpo.train([odd], model, tmp_path / "odd", seed=0, training=training)


def test_one_bad_answer_of_several_leaves_the_others(tmp_path, model, good):
    prompts = [Prompt("p", good, "what is it?")]
    scores = {"scores": [4, 3, 2, 1, 0]}
    made = stage(
        tmp_path / "run",
        model,
        prompts,
        lambda prompts, seed: (
            Pair(p, "a dog", ("no", "a <pad>", "no ", "two"), scores) for p in prompts
        ),
    )
    (pair,) = made.pairs
    assert pair.rejected == ("no", "two")
    assert pair.meta["scores"] == [4, 3, 0]


@pytest.mark.parametrize(
    "question", ["what does </s> mean?", "<pad> what?", "the tag <image> here"]
)
def test_a_question_with_a_control_token_is_never_asked(tmp_path, model, good, question):
    prompts = [Prompt("good", good, "what is it?"), Prompt("odd", good, question)]
    asked = []

    def generate(prompts, seed):
        for prompt in prompts:
            asked.append(prompt.id)
            yield Pair(prompt, "a dog", ("no",))

    stage(tmp_path / "run", model, prompts, generate)
    assert asked == ["good"]
    assert reasons(tmp_path / "run") == {"odd": "control token"}


def test_the_stage_sees_which_answers_were_cut(model, good):
    """A random model goes on to the limit; a text that also ended by itself counts as whole."""
    prompt = Prompt("p", good, "what is it?")
    watched = Watched(model)
    (answer,) = watched.answer([Request(prompt.question, (prompt.open_image(),), 3)])
    assert (answer.finish, watched.path) == ("length", model.path)
    pair = Pair(prompt, f" {answer.text}\n", ("no",))
    assert watched.marked(pair).meta["cut"] == [pair.chosen]
    other = Pair(prompt, "a dog", ("no",))
    assert watched.marked(other) is other
    own = Pair(prompt, answer.text, ("no",), {"cut": []})
    assert watched.marked(own) is own
    watched._whole |= watched._cut
    assert watched.marked(pair) is pair


@pytest.mark.parametrize("cut", ["drop", "keep"])
def test_cut_answers_are_dropped_or_trained_without_an_end(tmp_path, model, good, cut):
    prompts = [Prompt(name, good, f"what is {name}?") for name in ("whole", "chosen", "worse")]
    said = {"whole": [], "chosen": ["a cut dog"], "worse": ["two", "none"]}

    def generate(prompts, seed):
        for prompt in prompts:
            yield Pair(prompt, "a cut dog", ("no", "two"), {"cut": said[prompt.id]})

    training = Training(cut=cut, loss="multi_mean", lora_rank=2, lora_alpha=4, save_steps=0)
    made = stage(tmp_path / "run", model, prompts, generate, training)
    encoder, eos = dpo.pair_encoder(model, training), model.processor.tokenizer.eos_token_id
    ends = [
        [ids[-1] == eos for ids in encoder.encode(at, pair).answers]
        for at, pair in enumerate(made.pairs)
    ]
    if cut == "drop":
        assert made.dropped == {"cut": 1}
        assert [pair.rejected for pair in made.pairs] == [("no", "two"), ("no",)]
        assert ends == [[True, True, True], [True, True]]
    else:
        assert ends == [[True, True, True], [False, True, True], [True, True, False]]
    dpo.train(made.pairs, model, tmp_path / "out", seed=0, training=training)
    effect = json.loads((tmp_path / "out" / "effect.json").read_text())
    assert effect["cut"] == pytest.approx(0 if cut == "drop" else 2 / 9)
