"""Which protocol a run has, what its reports say, and that its answers never mix with others."""

from __future__ import annotations

import dataclasses

import harness_tinyworld
import pytest

from harness.eval import measure
from harness.protocol import HF, LLAVA, sentence
from harness.resolve import protocol_of
from harness.runs import compare_runs, open_run
from harness.settings import EvalSettings, Settings
from tests.support.checkpoints import write_llava


def asked(model, **more) -> Settings:
    return Settings("seva", ("pope",), model=str(model), **more)


def test_the_preset_paper_takes_the_papers_protocol_where_the_model_can_follow(tmp_path):
    model = write_llava(tmp_path / "m")
    assert protocol_of(asked(model), None) == (HF, ())
    assert protocol_of(asked(model, preset="small"), None) == (HF, ())
    assert protocol_of(asked(model, preset="paper"), None) == (LLAVA, ())
    assert protocol_of(asked(model, protocol=LLAVA), None) == (LLAVA, ())
    told = protocol_of(asked(model, preset="paper", protocol=HF), None)
    assert told == (HF, (sentence(HF),))
    assert protocol_of(asked(model, preset="paper"), harness_tinyworld.DEMO) == (HF, ())
    (model / "chat_template.jinja").write_text("<|im_start|>user {{ messages }}")
    name, notes = protocol_of(asked(model, preset="paper"), None)
    assert name == HF
    assert "its own chat template" in notes[0]
    assert "padded to a square" in notes[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    plain = EvalSettings(("pope",), limit=12, out=out)
    return [measure(dataclasses.replace(plain, protocol=name)) for name in (None, LLAVA)]


def test_a_run_keeps_its_protocol_and_says_it(runs):
    own, papers = (open_run(each.folder).report for each in runs)
    assert (own.protocol, papers.protocol) == (HF, LLAVA)
    assert sentence(LLAVA) in papers.sentences
    assert not any("Protocol" in each for each in own.sentences)
    heads = [[level.column for level in each.levels if level.primary] for each in (own, papers)]
    assert heads == [["accuracy"], ["mean F1 of the splits (LLaVA's rule)"]]


def test_answers_of_two_protocols_are_asked_for_twice_and_a_comparison_says_so(runs):
    assert runs[0].folder != runs[1].folder
    assert all(each.calls > 0 for each in runs)
    told = compare_runs(*(open_run(each.folder) for each in runs)).sentences
    assert any(" by hf and " in each and " by llava-1.5. Images" in each for each in told)
    assert measure(EvalSettings(("pope",), limit=12, out=runs[0].folder.parent)).calls == 0
