"""Pairs and prompts that exist, in the shapes in which they are published."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import threading

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError, UsageError
from harness.pairs import given_answers, read_given
from harness.pairs.forms import FORMS, read_row, recognise
from harness.pairs.given import given_fingerprint
from harness.pairs.prompts import gather
from harness.pairs.tables import located
from harness.records import Drop, Pair
from tests.support.pair_files import PAIRS, WRITERS, images, json_file, parquet, picture, vlfeedback


def row(**changed):
    return {"image": "a.png", "question": "What?", "chosen": "yes", "rejected": "no", **changed}


USER = {"role": "user", "content": "What?"}
ASSISTANT = {"role": "assistant", "content": "yes"}
VIDEO = {"type": "video", "video": "a.mp4"}


@pytest.fixture
def folder(tmp_path):
    images(tmp_path, "a.png", "b.png")
    return tmp_path


@pytest.mark.parametrize("shape", WRITERS)
def test_every_published_shape_is_read_without_a_manual_step(tmp_path, shape):
    path = WRITERS[shape](tmp_path)
    found = read_given(path, keep=tmp_path / "kept")
    made = [(pair.prompt.question, pair.chosen, *pair.rejected) for pair in found.pairs]
    assert made == list(PAIRS)
    assert not found.dropped
    assert [prompt.open_image().size for prompt in found.prompts] == [(8, 8)] * 2
    assert [pair.prompt for pair in found.pairs] == list(found.prompts)
    texts = list(given_answers(path))
    assert [(id_, question) for id_, question, _ in texts] == [
        (prompt.id, prompt.question) for prompt in found.prompts
    ]
    assert [item.chosen for _, _, item in texts] == [pair.chosen for pair in found.pairs]


@pytest.mark.parametrize("shape", WRITERS)
def test_the_same_files_are_prompts_too(tmp_path, shape):
    path = WRITERS[shape](tmp_path)
    found, _ = gather(path, keep=tmp_path / "kept")
    assert [prompt.question for prompt in found.prompts] == [question for question, *_ in PAIRS]
    assert found.pairs == ()


def test_vlfeedback_pairs_all_answers_with_different_means(tmp_path):
    """Means 4, 5, 4, 7/3: five of the six pairs, the better answer first."""
    found = read_given(vlfeedback(tmp_path))
    _, good, bad = PAIRS[0]
    assert [(pair.chosen, *pair.rejected) for pair in found.pairs] == [
        (good, "m1"), ("m1", bad), (good, "m2"), (good, bad), ("m2", bad),
    ]  # fmt: skip
    assert found.pairs[3].meta["scores"] == [5.0, 7 / 3]
    assert len({prompt.id for prompt in found.prompts}) == 5
    prompts, _ = gather(tmp_path / "vlfeedback.jsonl")
    assert len(prompts.prompts) == 1


CONVERSATION = [
    {"from": "human", "value": "<image>\nWhat?"},
    {"from": "gpt", "value": "A."},
    {"from": "human", "value": "And now?"},
    {"from": "gpt", "value": "B."},
]
MARKED = {"from": "gpt", "value": "<image>"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"rejected": "yes"}, "equal"),
        ({"rejected": " yes\n"}, "equal"),
        ({"chosen": "caf\u00e9", "rejected": "cafe\u0301 "}, "equal"),
        ({"rejected": ""}, "empty answer"),
        ({"image": "absent.png"}, "image missing"),
        ({"image": "broken.png"}, "image unreadable"),
        ({"image": "deep.png"}, "image unreadable"),
        ({"image": None, "question": "<image> Which?"}, "no image"),
        ({"image": None, "rejected_image": "a.png"}, "no image"),
        ({"image": ["a.png", "absent.png"]}, "image missing"),
        ({"question": "<image><image> Which?"}, "image marks"),
        ({"image": ["a.png", "b.png"], "question": "<image> Which?"}, "image marks"),
        ({"image": "../a.png"}, "image outside"),
        ({"image": "/etc/hostname"}, "image outside"),
        ({"image": "http://localhost:9/a.png"}, "image is a URL"),
        ({"image": "a\0.png"}, "image outside"),
        ({"question": "<image>"}, "no question"),
        ({"question": None, "conversations": CONVERSATION[:2]}, "several turns"),
        (
            {"question": None, "conversations": [*CONVERSATION[:3], CONVERSATION[2]]},
            "several turns",
        ),
        (
            {"question": None, "conversations": [CONVERSATION[2], MARKED, CONVERSATION[0]]},
            "image marks",
        ),
        ({"question": None, "prompt": [{"role": "tool", "content": "x"}]}, "unknown role"),
        ({"question": None, "prompt": [{"role": "user", "content": 3}]}, "unknown shape"),
        ({"question": None, "prompt": [{"role": "user", "content": [VIDEO]}]}, "no text or image"),
        ({"question": [{"role": "user", "content": "a"}] * 2}, "several turns"),
        (
            {"question": None, "prompt": [{"role": "system", "content": "Be brief."}]},
            "system message",
        ),
        ({"question": None, "prompt": [ASSISTANT]}, "no question"),
        ({"question": None, "prompt": [USER, {**ASSISTANT, "content": ""}, USER]}, "empty answer"),
        ({"chosen": [ASSISTANT, ASSISTANT]}, "several turns"),
        ({"chosen": ["yes"]}, "unknown shape"),
        ({"image": 3}, "no image"),
        ({"system": "You are a pirate."}, "system message"),
        ({"chosen_image": "b.png"}, "own image for an answer"),
        ({"chosen": 3}, "unknown shape"),
        ({"chosen": "a \ud83d"}, "torn text"),
        ({"question": "what is \ude00"}, "torn text"),
        ({"chosen": None, "rejected": None}, "no answers"),
    ],
)
def test_a_row_that_cannot_be_used_is_counted_with_its_reason(folder, changed, reason):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    PIL.Image.new("I;16", (8, 8)).save(folder / "deep.png")
    path = json_file(folder, [row(), row(**changed)], "pairs.jsonl")
    found = read_given(path)
    assert isinstance(found.pairs[0], Pair)
    (drop,) = [*found.dropped, *(each for each in found.pairs if isinstance(each, Drop))]
    assert (drop.reason, drop.meta["row"]) == (reason, "line 2")


@pytest.mark.parametrize("name", ["p.json", "p.jsonl"])
def test_prompts_of_our_own_form_are_cleaned_in_every_kind_of_file(folder, name):
    texts = ["<image>\nWhat is this?", "", "  ", "<image>", "<image><image> Which?", "Why?"]
    rows = [{"image": "a.png", "question": text} for text in texts]
    rows.append({"image": "https://x.test/y.png", "text": "q"})  # so that JSON lines are a table
    found, _ = gather(json_file(folder, rows, name))
    assert [prompt.question for prompt in found.prompts] == ["What is this?", "Why?"]
    reasons = [*["no question"] * 3, "image marks", "image is a URL"]
    assert [drop.reason for drop in found.dropped] == reasons


def test_nothing_usable_is_refused_with_counts_and_three_examples(folder):
    path = json_file(folder, [row(image=f"{n}.png") for n in range(5)], "pairs.jsonl")
    with pytest.raises(HarnessError) as caught:
        read_given(path)
    told = str(caught.value)
    assert "None of the 5 rows" in told
    assert "5 image missing" in told
    assert told.count(".png;") == 3  # a name is followed by the hint at --images
    assert "--images DIR" in told
    assert "docs/pairs.md" in told


def test_an_unknown_shape_names_its_columns_and_the_known_forms(folder):
    path = json_file(folder, [{"a": 1, "b": 2}], "pairs.jsonl")
    with pytest.raises(HarnessError, match=r"its columns are a, b.*VLFeedback.*RLAIF-V"):
        read_given(path)


def test_images_begin_where_the_option_says(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("coco")
    images(elsewhere, "train/c.png")
    rows = [row(image="train/c.png"), row(image=str(elsewhere / "train/c.png"))]
    path = json_file(folder, rows)
    found = read_given(path, images=elsewhere)
    assert [prompt.image for prompt in found.prompts] == [elsewhere / "train/c.png"] * 2


def test_a_conversation_is_a_prompt_by_its_first_question(folder):
    path = json_file(folder, [{"image": "a.png", "conversations": CONVERSATION}])
    found, _ = gather(path)
    (prompt,) = found.prompts
    assert (prompt.question, prompt.reference) == ("What?", "A.")
    assert found.notes == ("1 conversations go on; only their first question is used",)


def test_ids_are_distinct_whatever_the_file_says(folder):
    rows = [row(id="x"), row(id="x"), row(id="x#2"), row(id=7), row(id="7")]
    found = read_given(json_file(folder, rows))
    ids = [prompt.id for prompt in found.prompts]
    assert len(set(ids)) == 5
    assert ids[0] == "x"


def test_an_image_in_the_table_is_kept_by_its_content_once(tmp_path):
    rows = [row(image={"bytes": picture(n % 2), "path": "x"}, chosen=f"{n}") for n in range(4)]
    found = read_given(parquet(tmp_path, rows), keep=tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert found.prompts[0].image == found.prompts[2].image


def test_what_another_process_is_writing_meanwhile_is_left_alone(tmp_path):
    table = parquet(tmp_path, [row(image={"bytes": picture(1), "path": "x"})])
    kept = read_given(table, keep=tmp_path / "one").prompts[0].image
    (tmp_path / "two").mkdir()
    part = (tmp_path / "two" / kept.name).with_suffix(".part")
    part.write_bytes(b"half of")
    assert read_given(table, keep=tmp_path / "two").prompts[0].image.read_bytes() == picture(1)
    assert part.read_bytes() == b"half of"


def test_an_image_written_as_a_data_uri_is_its_bytes(tmp_path):
    uri = "data:image/png;base64," + base64.b64encode(picture(1)).decode()
    wrapped = f"DATA:{uri[5:60]}\n{uri[60:]}"
    broken = ["data:image/png;base64,%%%", f"{uri[:80]}…"]
    rows = [row(image=each, question=f"{at}?") for at, each in enumerate([uri, wrapped, *broken])]
    found = read_given(parquet(tmp_path, rows), keep=tmp_path / "kept")
    assert [each.image.read_bytes() for each in found.prompts] == [picture(1), picture(1)]
    assert [drop.reason for drop in found.dropped] == ["image unreadable"] * 2


def test_bytes_that_are_no_image_are_told_without_an_address_of_memory(tmp_path):
    rows = [row(image={"bytes": picture(1)}), row(image={"bytes": b"no image"})]
    (drop,) = read_given(parquet(tmp_path, rows)).dropped
    assert drop.meta["detail"] == "the bytes in the row: in no known format"


def test_the_password_of_an_address_is_in_no_drop(folder):
    found = read_given(json_file(folder, [row(), row(image="HTTPS://me:secret@host/a.png")]))
    (drop,) = found.dropped
    assert drop.reason == "image is a URL"
    assert "secret" not in f"{drop} {found.notes}"
    assert "host/a.png" in drop.meta["detail"]


def test_the_fingerprint_knows_the_bytes_and_not_the_places(tmp_path):
    prints = []
    for name, shade in (("one", 0), ("two", 0), ("three", 1)):
        where = tmp_path / name
        where.mkdir()
        rows = [row(), row(image={"bytes": None, "path": "b.png"}, id="2")]
        (where / "a.png").write_bytes(picture(2))
        (where / "b.png").write_bytes(picture(shade))
        path = json_file(where, rows)
        kept = where / "kept"
        prints.append(given_fingerprint(path, read_given(path, keep=kept), kept))
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("p.json", b'{\n"a": 1}', "0 lists could be the rows"),
        ("p.json", b'[{"a": 1},', "no valid JSON"),
        ("p.json", b"[" * 100_000, "no valid JSON"),
        ("p.json", b'[{"a": ' + b"[" * 200 + b"]" * 200 + b"}]", "nested"),
        ("p.parquet", b"PAR1 and no more PAR1", "cannot be read as a table"),
        ("p.arrow", b"ARROW1 and no more", "cannot be read as a table"),
        ("p.bin", b"\x00\x01\x02", "is no table"),
        ("p.json", b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        ("p.json", b"", "is empty"),
        ("p.csv", b"a,b\n\xff\xfe,2\n", "cannot be read as a table"),
    ],
)
def test_what_is_no_table_is_refused_by_name(tmp_path, name, content, told):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(HarnessError, match=rf"(?s){name}.*{told}"):
        read_given(path)


def test_a_broken_line_is_counted_and_the_others_are_used(folder):
    path = folder / "pairs.jsonl"
    path.write_bytes(b'{"image": \n' + json.dumps(row()).encode() + b"\n\xff\xff\n[1]\n")
    found = read_given(path)
    assert len(found.pairs) == 1
    assert [drop.meta["row"] for drop in found.dropped] == ["line 1", "line 3", "line 4"]


def test_one_object_around_the_rows_is_looked_into(folder):
    path = folder / "pairs.json"
    for indent in (1, None):
        path.write_text(json.dumps({"version": 1, "data": [row()]}, indent=indent))
        assert len(read_given(path).pairs) == 1


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"text": json.dumps({"question": "What?", "chosen": "a", "rejected": "b"})}, ""),
        ({"text": json.dumps({"question": 3, "chosen": "a", "rejected": "b"})}, "unknown shape"),
        (
            {"conversations": [USER], "output_1": ASSISTANT, "output_2": USER, "preference": 3},
            "no preference",
        ),
        (
            {
                "conversations": [USER, ASSISTANT],
                "rejected_conversations": [{**USER, "content": "Who?"}, ASSISTANT],
            },
            "two questions",
        ),
        ({"chosen": [USER, ASSISTANT], "rejected": [ASSISTANT]}, "two questions"),
        ({"prompt": "What?", "completions": {"response": ["a", "b"]}}, "no preference"),
        (
            {
                "prompt": "What?",
                "completions": [
                    {"response": "a", "annotations": {"Helpfulness": {"Rating": "4"}}},
                    {"response": "b", "annotations": {"Helpfulness": {"Rating": "N/A"}}},
                    {"response": "c", "annotations": {"Helpfulness": {}}},
                ],
            },
            "no preference",
        ),
        (
            {"instruction": "What?", "history": [["a"]], "chosen": "a", "rejected": "b"},
            "unknown shape",
        ),
    ],
)
def test_a_row_of_a_published_form_is_read_or_says_what_is_wrong(values, problem):
    values = {"image": "a.png", **values}
    (found,) = read_row(recognise(values), values)
    assert found.problem == problem


@pytest.mark.parametrize("text", ["{", "[1]", '{"question": "What?"}', "plain"])
def test_a_text_that_is_no_pair_is_not_rlhf_vs_form(text):
    form = recognise({"image": "a.png", "text": text})
    assert form is None or form.name != "RLHF-V"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"dataset_dict.json": '{"splits": ["a", "b"]}'}, "no split train; it has: a, b"),
        ({"dataset_dict.json": '{"splits": "a"}'}, "no split train; it has: none"),
        ({"dataset_dict.json": "{"}, "Save the data set again"),
        ({"state.json": '{"_data_files": [{"filename": "data.arrow"}]}'}, "is not whole"),
        ({"state.json": "[]"}, "is not whole"),
        ({"notes.txt": "x"}, "holds no table"),
    ],
)
def test_a_saved_data_set_that_is_not_whole_is_refused(tmp_path, files, told):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=told):
        read_given(tmp_path)


def test_entries_and_lines_of_another_shape_are_counted(folder):
    lines = folder / "pairs.csv"
    lines.write_text("image,question,chosen,rejected\na.png,What?,yes,no\na.png,What?\n\n")
    found = read_given(lines)
    assert len(found.pairs) == 1
    assert [drop.meta["row"] for drop in found.dropped] == ["line 3"]
    entries = folder / "pairs.json"
    entries.write_text(json.dumps([row(), [1], "x"], indent=1))
    found = read_given(entries)
    assert len(found.pairs) == 1
    assert [drop.meta["row"] for drop in found.dropped] == ["entry 2", "entry 3"]


def test_a_folder_with_several_tables_asks_which(folder):
    json_file(folder, [row()], "one.json")
    json_file(folder, [row()], "two.json")
    with pytest.raises(UsageError, match=r"several tables \(one.json, two.json"):
        read_given(folder)


def test_the_hub_is_not_read_and_the_message_says_what_is():
    with pytest.raises(UsageError, match=r"hf download a/b --repo-type dataset --local-dir DIR"):
        located("hub:a/b", "--pairs")
    with pytest.raises(UsageError, match="There is no file or folder"):
        located("absent.json", "--pairs")


@pytest.fixture
def server():
    """Serves a picture at /a.png, a text at /t.png, and too much at /big.png."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = {"/a.png": picture(), "/t.png": b"text", "/big.png": b"x" * (5 << 20)}
            self.send_response(200 if self.path in known else 404)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(known.get(self.path, b""))

        def log_message(self, *args):
            pass

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


def test_addresses_are_fetched_only_when_that_is_allowed(tmp_path, server):
    names = ("a.png", "t.png", "big.png", "absent.png")
    path = json_file(tmp_path, [row(image=f"{server}/{name}") for name in names])
    with pytest.raises(HarnessError, match=r"4 image is a URL.*--allow-urls"):
        read_given(path, keep=tmp_path / "kept")
    found = read_given(path, keep=tmp_path / "kept", allow_urls=True)
    assert [prompt.image.read_bytes() for prompt in found.prompts] == [picture()]
    reasons = {drop.reason: drop.meta["detail"] for drop in found.dropped}
    assert sorted(drop.reason for drop in found.dropped) == [
        "image not fetched", "image not fetched", "image unreadable",
    ]  # fmt: skip
    assert "status 404" in reasons["image not fetched"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "type", "text"]), inner
        )
    ),
    max_leaves=8,
)
columns = sorted({key for form in FORMS for group in form.columns for key in group})


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.sampled_from(columns), values, max_size=6))
def test_no_row_whatsoever_raises(hostile):
    form = recognise(hostile)
    for found in read_row(form, hostile) if form else ():
        assert found.problem or isinstance(found.question, str)
        assert found.problem or all(isinstance(text, str) for text in found.rejected)


def answers_of(path):
    """Texts with the names of the images that the answers are read under."""
    return [
        [(text, side.image.name if side.image else None) for text, side in pair.answers]
        if isinstance(pair, Pair)
        else pair.reason
        for pair in read_given(path).pairs
    ]


def test_a_rejected_image_is_the_chosen_answers_other_image(folder):
    """As mDPO compares: two texts under the row's image, and the better one under another."""
    rows = [
        row(rejected_image="b.png"),
        row(rejected_images=["b.png", "c.png"]),
        row(rejected_image="a.png"),  # the row's own: nothing is said by it
        {"image": "a.png", "question": "What?", "chosen": "yes", "rejected_image": "b.png"},
        {"image": "a.png", "question": "What?", "chosen": "yes", "rejected_image": "a.png"},
        row(rejected_image="absent.png"),
        row(rejected=row()["chosen"], rejected_image="b.png"),
    ]
    (folder / "c.png").write_bytes((folder / "b.png").read_bytes())
    path = json_file(folder, rows, "pairs.jsonl")
    yes, no = (row()[name] for name in ("chosen", "rejected"))
    assert answers_of(path) == [
        [(yes, None), (no, None), (yes, "b.png")],
        [(yes, None), (no, None), (yes, "b.png"), (yes, "c.png")],
        [(yes, None), (no, None), (yes, None)],
        [("yes", None), ("yes", "b.png")],
        "equal",
        [(yes, None), (yes, None), (yes, "b.png")],
    ]
    assert [drop.reason for drop in read_given(path).dropped] == ["image missing"]


def test_a_rejected_image_of_ms_swift_is_the_rejected_answers(folder):
    asked = {"role": "user", "content": "<image>What?"}
    messages = [asked, {"role": "assistant", "content": "yes"}]
    worse = [asked, {"role": "assistant", "content": "no"}]
    rows = [
        {"messages": messages, "images": ["a.png"], **more}
        for more in (
            {"rejected_response": "no", "rejected_images": ["b.png"]},
            {"rejected_images": ["b.png"]},
            {"rejected_messages": worse, "rejected_images": ["a.png"]},
            {"rejected_messages": [{**asked, "content": "Who?"}, worse[1]]},
            {"rejected_response": "no", "rejected_images": ["b.png", "a.png"]},
        )
    ]
    path = json_file(folder, rows, "pairs.jsonl")
    assert answers_of(path) == [
        [("yes", None), ("no", "b.png")], [("yes", None), ("yes", "b.png")],
        [("yes", None), ("no", None)],
    ]  # fmt: skip
    reasons = [drop.reason for drop in read_given(path).dropped]
    assert reasons == ["two questions", "several images"]


def test_a_supervised_file_is_told_what_a_pair_is_and_what_it_can_be_used_for(folder):
    talk = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A cat."}]
    path = json_file(folder, [{"id": n, "image": "a.png", "conversations": talk} for n in range(2)])
    with pytest.raises(HarnessError, match="name them chosen and rejected") as refused:
        read_given(path)
    assert f"--prompts {path}" in str(refused.value)
    assert "harness pairs" not in str(refused.value)
    assert len(gather(path)[0].prompts) == 2


def test_answers_under_other_names_are_told_the_names_that_are_read(folder):
    rows = [{"image": "a.png", "question": "What?", "winner": "A cat.", "loser": "A dog."}]
    with pytest.raises(HarnessError, match=r"columns are image, question, winner, loser.*chosen"):
        read_given(json_file(folder, rows))


def test_a_row_with_several_pairs_is_one_row(folder):
    rated = [
        {"response": text, "annotations": {"Helpfulness": {"Rating": str(mark)}}}
        for text, mark in (("A cat.", 5), ("A dog.", 3), ("A cow.", 1))
    ]
    rows = [{"prompt": f"What {n}?", "img_path": "a.png", "completions": rated} for n in range(2)]
    found = read_given(json_file(folder, rows))
    assert len(found.pairs) == 6
    assert found.forms == {"VLFeedback": 2}
