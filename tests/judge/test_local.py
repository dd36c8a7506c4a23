"""A judge in this process that knows its trade: a tiny text model, taught one judge's replies.

It learns the marks of one run's answers by heart, from the very questions that the harness asks.
That says nothing about how well it would judge others; it is enough to see that a text model's
verdicts are read, kept, compared and checked like any other judge's.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from harness_benchmarks.grader import grade
from harness_tinyworld import DEMO

from harness.benchmark import Row, Task
from harness.cli import app
from harness.engine import Loaded, Source
from harness.engine import load as load_model
from harness.errors import ExitCode
from harness.judge.items import items_of
from harness.judge.local import LocalJudge
from harness.judge.protocol import Question, Reply
from harness.plugins import load
from harness.records import Request, Sample
from harness.rejudge import rejudge
from harness.run import run
from harness.settings import JudgeSettings, Settings
from harness.storage import read_journal
from tests.engine.test_text import qwen2

MMVET = load("benchmarks", "mmvet")
ARMS = ("before", "after")
SMALL = Settings(
    method="seva",
    benches=("mmvet",),
    limit=12,
    max_prompts=16,
    options=(("learning_rate", "3e-2"), ("max_new_tokens", "24")),
)


def marks_of(folder: Path) -> dict[str, str]:
    """Return what the judge is to reply to each question: 0.9 where the grader says 1, else 0."""
    task = Task(MMVET.task, DEMO.data)
    arms = {arm: read_journal(folder / arm / "mmvet.jsonl", Sample) for arm in ARMS}
    marks = {}
    for item in items_of(MMVET, task, arms, DEMO.data):
        right = grade(item.sample.answer or "", str(item.row.doc["answer"]))[0] == 1.0
        marks[item.ask.prompt] = "0.9" if right else "0.0"
    for anchor in MMVET.rubric.anchors:
        row = Row("", "", "", "", (), "", anchor.doc)
        sound = {0.0: "0.0", 0.3: "0.5", 0.9: "0.9"}[anchor.low]
        marks[MMVET.rubric.ask(task, row, anchor.answer).prompt] = sound
    return marks


def tokenizer_for(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    letters = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = letters, decoders.ByteLevel()
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=768,
            special_tokens=["<pad>", "<s>", "</s>"],
            initial_alphabet=letters.alphabet(),
            show_progress=False,
        ),
    )
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    found = PreTrainedTokenizerFast(tokenizer_object=backend, **special)
    found.chat_template = "{% for m in messages %}<s>{{ m['content'] }}\n{% endfor %}Judge: "
    return found


def teach(path: Path, marks: dict[str, str]) -> Path:
    """Train a text model until it gives each question its mark, and write its folder."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tokenizer_for(list(marks))
    torch.manual_seed(0)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=1024,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )
    rows, ends = [], []
    for question, mark in marks.items():
        turn = [{"role": "user", "content": question}]
        asked = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=True)
        reply = [*tokenizer(mark, add_special_tokens=False)["input_ids"], 2]
        rows.append(torch.tensor([*asked["input_ids"], *reply]))
        ends.append(len(reply))
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    told = torch.zeros_like(ids, dtype=torch.bool)
    for line, (row, end) in enumerate(zip(rows, ends, strict=True)):
        told[line, len(row) - end : len(row)] = True
    steps = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.0)
    for _ in range(300):
        hidden = network.model(input_ids=ids, attention_mask=(ids != 0).long())[0]
        logits = network.lm_head(hidden[:, :-1][told[:, 1:]])
        loss = torch.nn.functional.cross_entropy(logits, ids[told])
        steps.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        steps.step()
        if loss < 0.01:
            break
    network.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(dataclasses.replace(SMALL, out=tmp_path_factory.mktemp("runs"))).folder


@pytest.fixture(scope="module")
def marks(folder: Path) -> dict[str, str]:
    return marks_of(folder)


@pytest.fixture(scope="module")
def model(marks: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return teach(tmp_path_factory.mktemp("judge"), marks)
    finally:
        torch.set_num_threads(threads)


def harness(*words: object) -> tuple[ExitCode, str]:
    done = CliRunner().invoke(app, [str(word) for word in words], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.return_value, " ".join(done.output.split())


@pytest.mark.slow
def test_a_text_model_judges_a_run(folder: Path, model: Path, marks: dict[str, str]) -> None:
    wanted = {arm: [] for arm in ARMS}
    for arm in ARMS:
        for sample in read_journal(folder / arm / "mmvet.jsonl", Sample):
            wanted[arm].append(0.9 if sample.scores["score"] == 1.0 else 0.0)
    assert wanted["before"] != wanted["after"], "else the comparison would show nothing"

    code, text = harness("judge", folder, "--judge", f"hf:{model}")
    assert code == ExitCode.DONE
    assert f"{len(marks)} judge calls" in text
    assert "mmvet 5 of 5" in text
    found = json.loads((folder / "comparison.json").read_text())
    (bench,) = found["comparison"]["benchmarks"]
    figure = bench["figures"][0]
    for arm in ARMS:
        assert figure[arm] == pytest.approx(100 * sum(wanted[arm]) / len(wanted[arm]))
        assert bench[f"judges_{arm}"] == list(found["run"]["judging"]["models"])
    assert found["run"]["judging"]["missing"] == 0
    assert str(model) in found["run"]["judging"]["models"][0]

    code, text = harness("judge", folder)
    assert code == ExitCode.DONE
    assert "0 judge calls" in text
    assert json.loads((folder / "comparison.json").read_text()) == found


@pytest.mark.slow
def test_the_judge_is_loaded_once_and_let_go(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def counted(source: Source, *read: Any) -> Loaded:
        loaded.append(weakref.ref(found := load_model(source, *read)))
        return found

    monkeypatch.setattr("harness.engine.load", counted)
    copy = Path(shutil.copytree(folder, tmp_path / folder.name))  # beside it lies no store
    settings = JudgeSettings(judge=f"hf:{model}", accept_drift=True)  # judge anew what was judged
    done = rejudge(copy, settings, device="cpu")
    assert done.calls > 5, "anchors, and then the answers"
    gc.collect()
    assert [one() for one in loaded] == [None]


@pytest.mark.slow
def test_one_model_alone_is_judged_like_the_arm_before(folder: Path, model: Path) -> None:
    rows = read_journal(folder / "before" / "mmvet.jsonl", Sample)
    mean = sum(90.0 * (row.scores["score"] == 1.0) for row in rows) / len(rows)
    bench = ("--bench", "mmvet", "--limit", 12, "--out", folder.parent / "alone")
    code, text = harness("eval", *bench, "--judge", f"hf:{model}", "--quiet")
    assert (code, f"mmvet score {mean:.1f}" in text) == (ExitCode.DONE, True)
    assert "Judged by" in text


@pytest.mark.slow
def test_several_judgings_are_drawn_and_stay_the_same(folder: Path, model: Path) -> None:
    settings = JudgeSettings(judge=f"hf:{model}", judgings=3)
    first = rejudge(folder, settings, device="cpu")
    assert first.calls > 0, "what is drawn is no greedy verdict and is never taken for one"
    assert [error.column for error in first.report.judging.errors] == ["score"]
    (folder.parent / "store.sqlite").unlink()
    again = rejudge(folder, dataclasses.replace(settings, accept_drift=True), device="cpu")
    assert again.calls == first.calls
    assert again.report.judging == first.report.judging
    assert again.report.after == first.report.after


def test_the_instruction_of_an_exam_is_computed_once(tmp_path: Path) -> None:
    task = Task(MMVET.task, DEMO.data)
    asks = [MMVET.rubric.ask(task, row, row.target) for row in task.rows(0, 60)]
    questions = [Question(ask.prompt, 1) for ask in dict.fromkeys(asks)]
    judge = LocalJudge(str(qwen2(tmp_path)), device="cpu")
    engine, tokenizer = judge.model.base.engine(), judge.model.base.loaded().tokenizer
    rendered = [judge.model.render(Request(question.prompt)) for question in questions]
    length = sum(len(tokenizer(text)["input_ids"]) for text in rendered)
    replies = list(judge.ask(questions))
    assert len(replies) == len(questions) > 50
    assert engine.passes is not None
    assert engine.passes.computed < 0.4 * length


def test_what_is_drawn_depends_on_question_and_turn_alone(tmp_path: Path) -> None:
    """A model with random weights has no sure reply, so that turns differ, and order must not."""
    folder = str(qwen2(tmp_path))
    asked = [Question(f"w{word} is to be judged", 30, turn) for word in range(9) for turn in (0, 1)]

    def replies(questions: list[Question], judgings: int) -> list[Reply]:
        return [reply for _, reply in LocalJudge(folder, judgings, device="cpu").ask(questions)]

    drawn = replies(asked, 2)
    assert replies(asked[::-1], 2)[::-1] == drawn
    assert any(reply.text for reply in drawn), "else nothing was compared"
    assert any(one.text != two.text for one, two in zip(drawn[::2], drawn[1::2], strict=True))
    greedy = replies(asked, 1)
    assert greedy[::2] == greedy[1::2]
    assert LocalJudge(folder).name != LocalJudge(folder, 2).name == LocalJudge(folder, 3).name
