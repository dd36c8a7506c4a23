from __future__ import annotations

from dataclasses import replace

import harness_tinyworld
import PIL.Image
import pytest
from harness_sima import PRESETS, Options, make_pairs
from harness_sima.critic import fill, read_template, verdict
from harness_sima.templates import COMPACT, DEFAULT

from harness.errors import UsageError
from harness.pairs import diagnose
from harness.records import Answer, Drop, Pair, Prompt


@pytest.mark.parametrize(
    ("text", "strict", "released"),
    [
        ("The first is right. [[1]]", 1, 1),
        ("[[1]] no, wait: [[2]]", 2, 2),
        ("2", None, 2),
        ("1", None, 1),
        ("[[3]]", None, None),
        ("[[1]] and [[tie]]", None, None),
        ("the better one is 1", None, None),
        ("", None, None),
        (None, None, None),
        ("[[2", None, 2),
        ("[[1]", None, None),
    ],
)
def test_a_verdict_is_the_last_one_in_double_brackets(text, strict, released):
    assert verdict(text) == strict
    assert verdict(text, bare=True) == released


def test_filling_deletes_line_breaks_and_takes_no_text_for_a_place():
    made = fill(
        "Q {question}\nR {reference}\n1 {response_1}\n2 {response_2}",
        "a\nb",
        "r",
        "{question}",
        "z",
    )
    assert made == "Q ab\nR r\n1 {question}\n2 z"


def test_the_templates_are_complete_and_the_small_ones_wording_is_the_worlds():
    assert harness_tinyworld.CRITIC.read_text().strip() == COMPACT.strip()
    assert DEFAULT.count("[[1]]") == DEFAULT.count("[[2]]") == 1  # one worked example each
    for word in ("Objects", "Relations", "Attributes"):
        assert DEFAULT.count(word) >= 3


def test_a_template_may_be_a_file_and_its_text_becomes_the_option(tmp_path):
    path = tmp_path / "critic.txt"
    path.write_text("{question}|{reference}|\n{response_1}|{response_2}")
    options = Options(template=str(path))
    assert options.template == "{question}|{reference}|\n{response_1}|{response_2}"
    assert replace(options, order="both").template == options.template
    path.write_text("{question} {reference} {response_1}")
    with pytest.raises(UsageError, match="no place for response_2"):
        Options(template=str(path))
    with pytest.raises(UsageError, match="Did you mean 'compact'"):
        read_template("compac")


def test_the_presets_are_the_paper_and_the_released_code():
    paper, released = PRESETS["paper"], PRESETS["released"]
    assert (paper.learning_rate, paper.epochs, paper.beta) == (1e-7, 3.0, 0.1)
    assert (paper.lora_rank, paper.lora_alpha, paper.loss) == (128, 256, "dpo")
    assert (paper.temperature, paper.top_p, paper.order) == (0.8, 0.9, "released")
    assert (released.loss, released.bare) == ("sima_released", True)
    for wrong in ({"order": "any"}, {"temperature": 0.0}, {"top_p": 1.5}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            Options(**wrong)


class Judge:
    """Answers by prompt; as critic it prefers what ``taste`` says of the two shown answers."""

    def __init__(self, taste):
        self.taste, self.critiques = taste, []

    def answer(self, requests):
        for request in requests:
            if "|" in request.prompt:
                self.critiques.append(request)
                first, second = request.prompt.split("|")[2:]
                yield Answer(self.taste(first, second))
            elif request.prompt == "same":
                yield Answer("equal")
            else:
                yield Answer("sampled one" if request.temperature else "greedy one")


@pytest.fixture
def options(tmp_path):
    (tmp_path / "t.txt").write_text("{question}|{reference}|{response_1}|{response_2}\n")
    return Options(template=str(tmp_path / "t.txt"))


def prompt(tmp_path, name, question="why", reference="because sampled"):
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "i.png")
    return Prompt(name, tmp_path / "i.png", question, reference)


def better(word):
    return lambda first, second: f"so [[{1 if word in first else 2}]]"


def test_the_sampled_answer_is_shown_first_and_the_verdict_decides(tmp_path, options):
    prompts = [
        prompt(tmp_path, "a"),
        prompt(tmp_path, "b", "same"),
        prompt(tmp_path, "c", reference=None),
    ]
    judge = Judge(better("sampled"))
    won, tie, bare = make_pairs(prompts, judge, options, 0)
    assert (won.chosen, won.rejected) == ("sampled one", ("greedy one",))
    assert won.meta["critic"] == [{"first": "sample", "verdict": 1}]
    assert won.meta["winner"] == "sample"
    assert judge.critiques[0].prompt == "why|because sampled|sampled one|greedy one"
    assert judge.critiques[0].images
    assert (tie.reason, bare.reason) == ("equal", "no reference")
    assert len(judge.critiques) == 1
    (lost,) = make_pairs(prompts[:1], Judge(better("greedy")), options, 0)
    assert (lost.chosen, lost.meta["winner"]) == ("greedy one", "greedy")


def test_what_cannot_be_read_is_dropped_and_kept_for_the_eye(tmp_path, options):
    (drop,) = make_pairs([prompt(tmp_path, "a")], Judge(lambda *_: "hm"), options, 0)
    assert isinstance(drop, Drop)
    assert (drop.reason, drop.meta["said"]) == ("unparsable", ["hm"])


def test_both_orders_keep_only_what_agrees_and_the_doctor_sees_the_bias(tmp_path, options):
    prompts = [prompt(tmp_path, f"p{n}") for n in range(10)]
    both = replace(options, order="both")
    biased = list(make_pairs(prompts, Judge(lambda *_: "[[1]]"), both, 0))
    assert {item.reason for item in biased} == {"inconsistent"}
    fair = list(make_pairs(prompts, Judge(better("greedy")), both, 0))
    assert all(isinstance(item, Pair) and item.chosen == "greedy one" for item in fair)
    critic = diagnose(fair).critic
    assert (critic.first, critic.consistent, critic.both) == (0.5, 1.0, 10)
    mixed = diagnose(fair[:5], biased[:5]).critic
    assert (mixed.verdicts, mixed.consistent) == (20, 0.5)
    assert mixed.first == pytest.approx(0.75)
    fixed = list(make_pairs(prompts, Judge(lambda *_: "[[1]]"), options, 0))
    report = diagnose(fixed)
    assert report.critic.first == 1.0
    assert any("shown first" in warning for warning in report.warnings)
    assert report.reference.rate == 1.0  # the sampled answer shares a word with the reference


def test_pairs_are_the_same_made_whole_and_after_a_stop_at_any_prompt():
    """A resumed run asks in other batches, and in another process has no store to find them in."""
    from harness.model import Model
    from harness.pairs import read_prompts

    options = replace(PRESETS["small"], max_new_tokens=24, critic_tokens=8, order="both")
    prompts = read_prompts(harness_tinyworld.PROMPTS, 14)

    def made(start, stop=None):
        model = Model.open(harness_tinyworld.MODEL, device="cpu")
        return list(make_pairs(prompts[start:stop], model, options, 0))

    whole = made(0)
    assert [*made(0, 5), *made(5)] == whole
    assert made(11) == whole[11:]
    assert any(isinstance(item, Pair) or "changes" in item.meta for item in whole)
