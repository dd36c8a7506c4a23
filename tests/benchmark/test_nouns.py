"""Which words of a text are nouns, and what CHAIR, AMBER and Mementos make of them."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from harness_benchmarks import amber, chair, mementos
from harness_benchmarks.nouns import singular, tokens, words_of
from harness_benchmarks.objects import names_of
from hypothesis import given, settings
from hypothesis import strategies as st


def nouns(text: str) -> set[str]:
    words = words_of(text)
    return {word for word, noun in zip(words.singular, words.nouns, strict=True) if noun}


@pytest.mark.parametrize(
    ("text", "there", "absent"),
    [
        ("A dog can be seen.", {"dog"}, {"can"}),
        (
            "The two can be seen. This can be seen. Some can be seen, that can be seen.",
            set(),
            {"can"},
        ),
        ("A can of soda stands here. The red can is full.", {"can", "soda"}, set()),
        ("He holds the can; two cans are left.", {"can"}, set()),
        ("A can opener can be seen.", {"opener"}, {"can"}),
        (
            "People watch a train leave the station.",
            {"person", "train", "station"},
            {"watch", "leave"},
        ),
        ("The man's watch is old, and he wears a watch.", {"man", "watch"}, set()),
        ("They drink water from a cup, to watch it.", {"water", "cup"}, {"drink", "watch"}),
        ("A hot drink stands beside a mirror.", {"drink", "mirror"}, {"hot"}),
        ("The cat's paw and the buses’ wheels", {"cat", "paw", "bus", "wheel"}, {"s"}),
        ("The leaves of the tree", {"leaf", "tree"}, {"leave"}),
        ("The image shows the bear.", {"image", "bear"}, {"show"}),
        ("", set(), set()),
        ("?!", set(), set()),
    ],
)
def test_nouns_are_told_from_verbs_and_adjectives(text, there, absent):
    assert there <= nouns(text)
    assert not absent & nouns(text)


def test_words_are_split_as_the_originals_do():
    assert tokens("The cat's hot-dog, don't") == ["the", "cat", "'s", "hot-dog", ",", "don", "'t"]
    plurals = "knives shelves firemen grandchildren women glasses benches ladies grass bus"
    assert [singular(word) for word in plurals.split()] == [
        *("knife", "shelf", "fireman", "grandchild", "woman", "glass", "bench", "lady"),
        *("grass", "bus"),
    ]


@given(st.text(max_size=60))
def test_any_text_can_be_read(text):
    words = words_of(text)
    assert len(words.singular) == len(words.nouns)


def test_a_caption_takes_a_millisecond_at_most():
    caption = "The image features a cat sitting on a wooden bench, where a can can be seen. " * 6
    words_of(caption)
    began = time.process_time()
    for number in range(50):
        words_of(f"{caption}{number}")
    assert (time.process_time() - began) / 50 < 0.003, "0.5 ms measured; room for a slow machine"


# CHAIR

COCO = names_of(
    [
        *(("seat", "chair"), ("chair", "chair"), ("toilet", "toilet"), ("toilet seat", "toilet")),
        *(("man", "person"), ("woman", "person"), ("boy", "person"), ("dog", "dog")),
        *(("hot dog", "hot dog"), ("sports ball", "sports ball"), ("cat", "cat")),
    ]
)


def chair_of(text: str, monkeypatch, present: tuple[str, ...] = ()) -> dict[str, float]:
    monkeypatch.setattr(chair, "names_for", lambda task: COCO)
    row = SimpleNamespace(doc={"gt_object": present})
    return chair.score(SimpleNamespace(), row, text).scores


def test_the_script_of_sima_counts_surface_words(monkeypatch):
    """By hand: 4 mentions, of which 3 different words; the original counts all 4."""
    scores = chair_of("a man and a woman and a boy and a man", monkeypatch)
    assert (scores["absent"], scores["absent_words"], scores["mentions"]) == (4, 3, 4)


def test_a_seat_beside_a_toilet_is_no_chair(monkeypatch):
    assert chair_of("the seat of the toilet", monkeypatch, ("toilet",))["absent"] == 0
    assert chair_of("a seat", monkeypatch, ("toilet",))["absent"] == 1
    assert chair_of("a toilet and a chair", monkeypatch, ("toilet",))["absent"] == 1


def test_possessives_and_compounds_and_commas(monkeypatch):
    assert chair_of("the cat's dogs", monkeypatch, ("cat", "dog"))["recalled"] == 2
    assert chair_of("a hot dog", monkeypatch, ("dog",))["absent"] == 1
    assert chair_of("sports, ball", monkeypatch)["mentions"] == 0


# AMBER

WORDS = ("sky", "tree", "dog", "cat", "bench", "river", "boat", "lamp")


def original(said, association, truth, hallu, safe):
    """AMBER's counts by the steps of its ``inference.py``, without its word vectors."""
    listed = {word for key in association for word in (key, *association[key])}
    kept = [noun for noun in said if noun in listed]
    safe_words = [w for thing in truth for w in association[thing]]
    owners = [i for i, thing in enumerate(truth) for _ in association[thing]]
    ha_words = [w for thing in hallu for w in association[thing]]
    ha_owners = [i for i, thing in enumerate(hallu) for _ in association[thing]]
    covered, imagined, flagged = [0] * len(truth), [0] * len(hallu), 0
    for noun in kept:
        if noun in safe:
            continue
        if noun in safe_words or noun in truth:
            where = [*safe_words, *truth].index(noun)
            covered[[*owners, *range(len(truth))][where]] = 1
            continue
        if noun in ha_words or noun in hallu:
            where = [*ha_words, *hallu].index(noun)
            imagined[[*ha_owners, *range(len(hallu))][where]] = 1
        flagged += 1
    return {
        "hallucinated": float(flagged > 0),
        "named": float(len(kept)),
        "absent": float(flagged),
        "truths": float(len(truth)),
        "covered": float(sum(covered)),
        "imagined": float(len(hallu)),
        "imagined_named": float(sum(imagined)),
    }


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    def write(association, safe=()):
        folder = tmp_path_factory.mktemp("amber")
        (folder / "metadata").mkdir()
        (folder / "metadata" / "relation.json").write_text(json.dumps(association))
        (folder / "metadata" / "safe_words.txt").write_text("".join(f"{w}\n" for w in safe))
        return SimpleNamespace(folder=folder)

    return write


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_amber_counts_as_its_authors_script_does(lists, data):
    some = st.lists(st.sampled_from(WORDS), unique=True, max_size=3)
    association = {word: data.draw(some, label=word) for word in WORDS[:6]}
    keys = st.lists(st.sampled_from(WORDS[:6]), unique=True, max_size=4)
    truth, hallu, safe = data.draw(keys), data.draw(keys), data.draw(some)
    said = data.draw(st.lists(st.sampled_from(WORDS), max_size=6))
    text = " ".join(f"Here is a {word}." for word in said)
    row = SimpleNamespace(doc={"truth": truth, "hallu": hallu})
    made = amber.score(lists(association, safe), row, text)
    assert made.scores == original(said, association, truth, hallu, safe)


def test_captions_that_say_annotated_things_only_invent_nothing(lists):
    """Verbs, adjectives and modals of the list are said in every caption, and name nothing."""
    things = ["sky", "dog", "bench", "person", "grass"]
    verbs = ["can", "watch", "hot", "mirror", "leave", "drink"]
    task = lists({thing: [] for thing in [*things, *verbs]})
    for text in (
        "In the image, the sky, a dog and the grass can be seen.",
        "A person can be seen on a bench. This can be seen; they can watch and drink. It is hot.",
        "The person's dog can leave the bench. The sky can also be seen.",
    ):
        made = amber.score(task, SimpleNamespace(doc={"truth": things, "hallu": ["can"]}), text)
        assert (made.scores["absent"], made.scores["imagined_named"]) == (0, 0), made.verdict
    made = amber.score(
        task, SimpleNamespace(doc={"truth": things, "hallu": ["can"]}), "A dog on a can."
    )
    assert (made.scores["absent"], made.scores["imagined_named"]) == (1, 1)


def test_mementos_counts_a_word_among_objects_where_it_is_one(tmp_path):
    (tmp_path / "objects.txt").write_text("watch\ndog\ncan\n")
    (tmp_path / "behaviors.txt").write_text("watch\n")
    task = SimpleNamespace(folder=tmp_path)
    doc = {"domain": "x", "objects": ["dog"], "behaviors": ["watch"]}
    made = mementos.score(task, SimpleNamespace(doc=doc), "People watch a dog that can be seen.")
    assert made.scores == {"objects": 1.0, "behaviors": 1.0}
