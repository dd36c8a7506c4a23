"""Prompts of the user's for a judge: read, recognised by hash, filled, part of the cache key."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest
from harness_benchmarks import mmbench, mmvet
from harness_sima import critic

from harness.errors import UsageError
from harness.judge import check, prompts
from harness.judge.prompts import check_prompts, read_prompts, with_prompts
from harness.resolve import resolve_eval
from harness.settings import EvalSettings, JudgeSettings

OWN = 'Grade "{answer}" against {reference}. Question: {question} {"score": 1} {0} {other}'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text(OWN)
    return path


def row(**doc: str) -> SimpleNamespace:
    return SimpleNamespace(doc=doc, target="", text="")


def test_texts_take_their_places_and_nothing_else_is_touched(file):
    """A text that looks like a place is left alone; the rubric reads replies as before."""
    (bench,) = with_prompts([mmvet.BENCHMARK], read_prompts([f"mmvet={file}"]))
    asked = bench.rubric.ask(None, row(question="{answer}?", answer="a<AND>b"), "{reference}")
    assert asked.prompt == (
        'Grade "{reference}" against a <AND> b. Question: {answer}? {"score": 1} {0} {other}'
    )
    own = mmvet.BENCHMARK.rubric
    assert asked.max_tokens == own.ask(None, row(question="x", answer="y"), "z").max_tokens
    assert bench.rubric.read is own.read
    assert bench.rubric.version != own.version, "verdicts of another prompt are not taken"


def test_a_published_prompt_is_recognised_in_its_authors_file(tmp_path, monkeypatch):
    secret = "Made up:\nquestion | truth | answer | score\n"
    key = ("mmvet", hashlib.sha256(secret.encode()).hexdigest())
    appended = "\n{question} | {reference} | {answer} | "
    monkeypatch.setattr(prompts, "PUBLISHED", {key: ("example.org", appended)})
    code = f"import evil\nprompt = {secret!r}\nevil.run()\n"
    for name, text in (("a.py", code), ("b.txt", secret)):
        path = tmp_path / name
        path.write_text(text)
        found = read_prompts([f"mmvet={path}"])
        assert "official prompt (example.org" in found["mmvet"].note
        (bench,) = with_prompts([mmvet.BENCHMARK], found)
        asked = bench.rubric.ask(None, row(question="Q?", answer="T"), "A").prompt
        assert asked == f"{secret}\nQ? | T | A | "
    (tmp_path / "a.py").write_text("prompt = 'another'")
    with pytest.raises(UsageError, match="no published judge prompt of mmvet"):
        read_prompts([f"mmvet={tmp_path / 'a.py'}"])


def test_what_cannot_be_used_is_refused_before_anything_is_asked(file, tmp_path):
    for words, told in (
        (["mmvet"], "no BENCH=FILE"),
        ([f"mmvet={tmp_path / 'none'}"], "cannot be read"),
        ([f"mmvet={file}", f"mmvet={file}"], "names mmvet twice"),
    ):
        with pytest.raises(UsageError, match=told):
            check_prompts(words, [mmvet.BENCHMARK], "hub")
    with pytest.raises(UsageError, match="needs a judge"):
        check(JudgeSettings(prompts=(f"mmvet={file}",)))
    with pytest.raises(UsageError, match=r"names pope, which no judge scores.*mmvet"):
        with_prompts([mmvet.BENCHMARK], read_prompts([f"pope={file}"]))
    file.write_text("Grade {reference}")
    with pytest.raises(UsageError, match="no place for the answer"):
        read_prompts([f"mmvet={file}"])
    file.write_text("Grade {answer}")
    (bench,) = with_prompts([mmvet.BENCHMARK], read_prompts([f"mmvet={file}"]))
    with pytest.raises(UsageError, match=r"no place for question, reference of mmvet"):
        bench.rubric.ask(None, row(question="Q", answer="T"), "A")
    judging = JudgeSettings(judge="openai:x@http://localhost:1/v1", prompts=(f"mmvet={file}",))
    with pytest.raises(UsageError, match=r"no place for question, reference of mmvet"):
        resolve_eval(EvalSettings(("mmvet",), judging=judging))


def test_where_rules_decide_nothing_is_asked(file):
    file.write_text("{question} {options} {answer}")
    (bench,) = with_prompts([mmbench.EN], read_prompts([f"mmbench={file}"]))
    helper = SimpleNamespace(prefetch_answer=lambda item: "B")
    task = SimpleNamespace(helper=lambda name: helper)
    assert bench.rubric.ask(task, row(question="Q", A="red", B="blue"), "B") is None


def test_the_critics_own_prompt_is_recognised_with_and_without_names(tmp_path, monkeypatch):
    text = "Q [{}] T [{}] 1 [{}] 2 [{}]\nASSISTANT:\n "
    monkeypatch.setattr(critic, "OFFICIAL", hashlib.sha256(text.encode()).hexdigest())
    named = "Q [{question}] T [{reference}] 1 [{response_1}] 2 [{response_2}]\nASSISTANT:\n "
    for number, content in enumerate((text, named, f"prompt = {text!r}.format(1)")):
        path = tmp_path / f"{number}.py"
        path.write_text(content)
        read = critic.read_template(str(path))
        assert read == named, "white space at its end is part of it"
        assert critic.is_official(read)
        assert critic.read_template(read) == read
    assert not critic.is_official(critic.read_template("default"))
