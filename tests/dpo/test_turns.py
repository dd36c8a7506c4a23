"""Several images, several turns, no image: training sees what generation and TRL see."""

from __future__ import annotations

import dataclasses
import json
from itertools import groupby

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness import dpo
from harness.dpo import UNHELD, Training, Unfit, session
from harness.dpo.ablation import blanked
from harness.dpo.encoding import encoder_for
from harness.dpo.pair import check
from harness.errors import HarnessError
from harness.model import Model
from harness.pairs import export_pairs, read_given
from harness.protocol import IMAGE, Conversation, messages, texts_of
from harness.records import Pair, Prompt, Side
from tests.dpo.test_equal_to_trl import assert_close, gradients, ours, stock, wake
from tests.support.checkpoints import BOS_TEMPLATE, Sizes, write_llava
from tests.support.families import (
    gemma3,
    idefics,
    intern,
    llava,
    llava_next,
    mllama,
    paligemma,
    qwen,
)

torch.set_num_threads(1)
TRAINING = Training(learning_rate=1e-3, lora_rank=4, lora_alpha=8, batch_size=8, accumulation=1)


def slow(*families):
    return [pytest.param(family, marks=pytest.mark.slow) for family in families]


@pytest.fixture(scope="module", params=[qwen, *slow(llava, idefics, llava_next, intern)])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param.__name__)
    return Model.open(request.param(folder / "model"), device="cpu")


HISTORY = (("what is shown?", "a red dog"), ("where?", "in the street"))


@pytest.fixture(scope="module")
def prompts(folder):
    one, two, three = (folder / f"{number}.png" for number in range(3))
    marked = f"picture 1: {IMAGE}\npicture 2: {IMAGE}\nwhich has a dog?"
    return {
        "plain": Prompt("plain", one, "is there a dog?"),
        "images": Prompt("images", one, "which has a dog?", more_images=(two, three)),
        "marked": Prompt("marked", two, marked, more_images=(one,)),
        "turns": Prompt("turns", three, "is it blue?", history=HISTORY),
        "both": Prompt(
            "both", one, f"{IMAGE}and here?", more_images=(two,),
            history=((f"{IMAGE}what is here?", "a cat"),),
        ),
        "blind": Prompt("blind", None, "is water blue?"),
        "blind turns": Prompt("blind turns", None, "is it blue?", history=HISTORY[:1]),
    }  # fmt: skip


def pair_of(prompt, *rejected):
    return Pair(prompt, "yes a red circle", rejected or ("no",))


@pytest.mark.parametrize(
    "kind", ["both", "blind turns", *slow("images", "marked", "turns", "blind")]
)
def test_training_sees_what_generation_gives(model, prompts, kind):
    pair = pair_of(prompts[kind], "no", "two people left of it")
    training = dataclasses.replace(TRAINING, loss="multi_mean")
    assert dpo.try_step(pair, model, training).difference <= 2e-5


@pytest.mark.parametrize("also", ["", *slow("train_projector", "feature_cache")])
def test_packed_rows_are_separate_rows_in_float64(model, prompts, tmp_path, also):
    pairs = [pair_of(prompt, "no", "two people") for prompt in prompts.values()]
    found, more = [], {"": {}, "train_projector": {also: True}, "feature_cache": {also: 0.1}}[also]
    for packed in (None, False):
        how = {} if packed is False and also == "feature_cache" else more
        training = dataclasses.replace(TRAINING, loss="multi_mean", packed=packed, **how)
        trainer, batch = ours(model, pairs, tmp_path, training)
        trainer.model.double()
        found.append((trainer, batch))
    (first, tight), (second, wide) = found
    wake(first, second)
    mine = [gradients(first, tight) for _ in range(2)]  # the second from what was kept
    theirs = gradients(second, wide)
    for each in mine:
        assert_close(each, theirs)


@pytest.mark.parametrize("kind", ["both", *slow("marked", "blind")])
def test_loss_and_gradients_are_trls(model, prompts, tmp_path, kind):
    pairs = [pair_of(prompts[kind])]
    rows = [
        {
            "prompt": messages(pair.asked, len(pair.prompt.images), pair.prompt.history),
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected[0]}],
            "images": list(pair.prompt.open_images()),
        }
        for pair in pairs
    ]
    mine, batch = ours(model, pairs, tmp_path, TRAINING)
    theirs, reference = stock(model, pairs, tmp_path, TRAINING, rows=rows)
    wake(mine, theirs)
    assert_close(gradients(mine, batch), gradients(theirs, reference))


def encoder_of(model, **how):
    training = dataclasses.replace(TRAINING, **how)
    return encoder_for(model.processor, model.network, training, model.protocol)


@settings(max_examples=15, deadline=None)
@given(question=st.text(max_size=30), answer=st.text(min_size=1, max_size=30))
def test_one_image_and_one_question_are_encoded_as_ever(plain_model, folder, question, answer):
    """By the processor and its template alone, as the harness did before there were turns."""
    encoder, processor = encoder_of(plain_model), plain_model.processor
    if encoder.spelled(question + answer) or not answer.strip():
        return
    asked = [{"type": "image"}, {"type": "text", "text": question}]
    turns = [{"role": "user", "content": asked}]
    said = {"role": "assistant", "content": [{"type": "text", "text": answer.strip()}]}
    text = processor.apply_chat_template(turns, add_generation_prompt=True)
    whole = processor.apply_chat_template([*turns, said])
    image = Image.open(folder / "0.png").convert("RGB")
    ids, both = (
        processor(text=[each], images=[image], add_special_tokens=False)["input_ids"][0]
        for each in (text, whole)
    )
    pair = check(Pair(Prompt("p", folder / "0.png", question), answer, ("other.",)))
    row = encoder.encode(0, pair)
    assert row.prompt == tuple(ids)
    assert row.prompt + row.answers[0] == tuple(both)


def test_the_conversation_of_llava_is_its_own_codes():
    """conversation.py of LLaVA v1.2.2, written out by hand for vicuna_v1."""
    system = (
        "A chat between a curious user and an artificial intelligence assistant. The assistant "
        "gives helpful, detailed, and polite answers to the user's questions."
    )
    write = Conversation().write
    assert write(messages("What?", 1)) == f"{system} USER: <image>\nWhat? ASSISTANT:"
    assert write(messages("What?", 1)) == Conversation().render("What?", 1)
    assert write(messages("And?", 2, (("What?", "A dog."),))) == (
        f"{system} USER: <image>\n<image>\nWhat? ASSISTANT: A dog.</s>USER: And? ASSISTANT:"
    )
    asked = "Image1:<image>\nImage2:<image>\nIn Image2, what?"  # as MIA-DPO writes it
    assert write(messages(asked, 2)) == f"{system} USER: {asked} ASSISTANT:"
    assert write(messages("Why?", 0)) == f"{system} USER: Why? ASSISTANT:"


def test_marks_are_places_only_where_there_is_more_than_one_image_or_turn():
    image, text = {"type": "image"}, {"type": "text", "text": f"a {IMAGE} b"}
    assert messages(text["text"], 1)[0]["content"] == [image, text]
    (turn,) = messages(f"{IMAGE}a{IMAGE} b", 2)
    assert [part.get("text") for part in turn["content"]] == [None, "a", None, " b"]
    first, said, last = messages("b", 2, (("a", "x"),))
    assert [part["type"] for part in first["content"]] == ["image", "image", "text"]
    assert texts_of([first, said, last]) == ["a", "x", "b"]
    for images in (0, 1, 3):
        with pytest.raises(ValueError, match=f"2 places for {images} images"):
            messages(IMAGE, images, ((IMAGE, "x"),))


ONE_IMAGE = BOS_TEMPLATE.replace(
    "{% for part in message['content'] if part['type'] == 'image' %}<image>\n{% endfor %}",
    "{% if message['content'][0]['type'] == 'image' %}<image>\n{% endif %}",
)
LAST_TURN = BOS_TEMPLATE.replace("in messages %}", "in messages[-2:] %}", 1)
NO_TURNS = BOS_TEMPLATE.replace(
    "{% else %}ASSISTANT", "{% elif loop.index > 2 %}{{ raise_exception('one turn') }}"
    "{% else %}ASSISTANT"
)  # fmt: skip


@pytest.mark.parametrize(
    ("template", "kind", "told"),
    [
        (ONE_IMAGE, "images", "no place for all images of pair 'images'"),
        (LAST_TURN, "turns", "leaves out 'what is shown\\?' of the prompt of pair 'turns'"),
        (NO_TURNS, "turns", "refuses the prompt of pair 'turns' with 1 images and 5 turns"),
    ],
)
def test_a_template_that_cannot_hold_them_is_a_drop(tmp_path, prompts, template, kind, told):
    assert template != BOS_TEMPLATE
    model = Model.open(write_llava(tmp_path / "m", template=template), device="cpu")
    encoder = encoder_of(model)
    encoder.fit(pair_of(prompts["plain"]))
    with pytest.raises(Unfit, match=told) as caught:
        encoder.fit(pair_of(prompts[kind]))
    assert caught.value.reason == UNHELD


@pytest.mark.slow
@pytest.mark.parametrize("family", [paligemma, mllama, gemma3])
def test_families_that_are_not_packed_take_images_and_turns_but_no_text_alone(
    tmp_path, prompts, family
):
    model = Model.open(family(tmp_path / "m"), device="cpu")
    encoder = encoder_of(model)
    for kind in ("images", "marked", "turns", "both"):
        pair = encoder.fit(pair_of(prompts[kind]))
        assert dpo.try_step(pair, model, TRAINING).difference <= 2e-5
    with pytest.raises(Unfit, match="no image in pair 'blind', and this family"):
        encoder.fit(pair_of(prompts["blind"]))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"question": f"{IMAGE} or {IMAGE}?"}, "the texts mark 2 places for 3 images"),
        ({"image": None}, "it has more images, and no first one"),
        ({"image": None, "more_images": ()}, "its prompt has no image, and an answer is read"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_name(plain_model, prompts, folder, change, told):
    prompt = dataclasses.replace(prompts["images"], **change)
    pair = Pair(prompt, "yes", ("no",), {}, (Side(), Side(folder / "1.png")))
    with pytest.raises(Unfit, match=f"Pair 'images' cannot be trained on: {told}"):
        encoder_of(plain_model).fit(pair)


def test_an_answers_own_image_is_in_the_place_of_the_first(plain_model, prompts, folder):
    own = Pair(prompts["images"], "yes", ("no",), {}, (Side(), Side(folder / "2.png")))
    other = dataclasses.replace(prompts["images"], image=folder / "2.png")
    encoder = encoder_of(plain_model)
    first, second = encoder.encode(0, own).prefixes
    for prefix, prompt in ((first, prompts["images"]), (second, other)):
        assert prefix.alike(encoder.encode(0, pair_of(prompt)).prefixes[0])
    assert not first.alike(second)


def test_pairs_with_an_image_in_common_are_held_out_together(folder):
    def prompt(name, *numbers):
        first, *more = (folder / f"{number}.png" for number in numbers)
        return pair_of(Prompt(name, first, "what?", more_images=tuple(more)))

    pairs = [prompt("a", 0, 1), prompt("b", 1, 2), prompt("c", 2), prompt("d", 3), prompt("e", 4)]
    blind = [pair_of(Prompt(name, None, "why?")) for name in "fg"]
    sides = []
    for seed in range(20):
        kept, held = session.split([*pairs, *blind], 0.25, seed)
        sides.append({pair.prompt.id for pair in held})
        assert len(kept) + len(held) == 7
        for together in ({"a", "b", "c"}, {"f", "g"}):
            assert len(together & sides[-1]) in (0, len(together))
    assert len({frozenset(side) for side in sides}) > 2


def test_every_image_is_blanked_and_named(plain_model, prompts, tmp_path):
    pair = pair_of(prompts["images"])
    seen = dpo.image_ablation([pair, pair_of(prompts["blind"])], plain_model)
    assert seen.pairs == 1
    painted = []
    for number, image in enumerate(pair.prompt.open_images()):
        blanked(image).save(tmp_path / f"{number}.png")
        painted.append(tmp_path / f"{number}.png")
    first, *more = painted
    prompt = dataclasses.replace(pair.prompt, image=first, more_images=tuple(more))
    again = dpo.image_ablation([pair_of(prompt)], plain_model)
    assert again.chosen == seen.chosen_blank != seen.chosen
    named = session.identity([pair_of(prompt)], plain_model, TRAINING, 0)
    painted[-1].write_bytes((prompts["images"].images[0]).read_bytes())
    assert session.identity([pair_of(prompt)], plain_model, TRAINING, 0) != named


@pytest.mark.slow
def test_a_whole_training_learns_from_them(plain_model, prompts, tmp_path):
    pairs = [pair_of(prompt) for name, prompt in prompts.items()]
    training = dataclasses.replace(TRAINING, epochs=6, batch_size=3, holdout=0.3)
    dpo.train(pairs, plain_model, tmp_path, seed=1, training=training)
    lines = (tmp_path / "curves.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert losses[-1] < losses[0] - 0.05


def test_a_method_that_asks_about_one_image_is_refused_the_others(prompts):
    assert prompts["plain"].open_image().size == (28, 28)
    for kind, told in (("images", "3 images"), ("turns", "earlier turns"), ("blind", "0 images")):
        with pytest.raises(HarnessError, match=f"Prompt '{kind}' has {told}, and the method asks"):
            prompts[kind].open_image()
    assert [image.size for image in prompts["images"].open_images()] == [
        (28, 28),
        (30, 60),
        (56, 24),
    ]


@pytest.mark.parametrize(
    "kinds", [("plain", "marked", "both"), *slow(("plain", "images", "turns"))]
)
def test_an_exported_set_trains_in_trl_to_the_same_loss(plain_model, prompts, tmp_path, kinds):
    from datasets import load_dataset

    pairs = [pair_of(prompts[kind]) for kind in kinds]
    export_pairs(pairs, "trl", tmp_path / "out")
    made = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    wanted = ("prompt", "chosen", "rejected", "images")
    rows = [{key: row[key] for key in wanted} for row in made]
    mine, batch = ours(plain_model, pairs, tmp_path, TRAINING)
    theirs, reference = stock(plain_model, pairs, tmp_path, TRAINING, rows=rows)
    wake(mine, theirs)
    assert_close(gradients(mine, batch), gradients(theirs, reference))


def test_mia_dpos_pairs_are_trained_on_as_they_are(folder, tmp_path):
    """In the protocol of LLaVA-1.5 the marks stay between the words, as in run_dpo.py."""
    asked = "Image1:<image>\nImage2:<image>\nIn Image2, what animal is it?"
    row = {"prompt": asked, "chosen": "a cat", "rejected": "a dog", "image": ["0.png", "1.png"]}
    path = folder / "mia.json"
    path.write_text(json.dumps([row]))
    (pair,) = read_given(path).pairs
    source = write_llava(tmp_path / "m", Sizes(kv_heads=2))
    model = Model.open(source, device="cpu", protocol="llava-1.5")
    ids = encoder_of(model).encode(0, pair).prompt
    token, tokenizer = model.network.config.image_token_id, model.processor.tokenizer
    pieces = [list(group) for key, group in groupby(ids, lambda id_: id_ == token) if not key]
    texts = [tokenizer.decode(piece, skip_special_tokens=True).strip() for piece in pieces]
    assert [text[-len("Image2:") :] for text in texts[:2]] == ["Image1:", "Image2:"]
    assert texts[2].startswith("In Image2, what animal is it? ASSISTANT:")
    assert dpo.try_step(pair, model, TRAINING).difference <= 2e-5
