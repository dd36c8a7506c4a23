"""The engine ``server``, with real weights behind a real HTTP server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness_tinyworld import DEMO
from PIL import Image

from harness.errors import HarnessError, UsageError
from harness.model import Model
from harness.model.server_engine import ServerEngine, ServerOptions
from harness.records import Prompt
from harness.resolve import engine_of
from harness.run import run
from harness.settings import EvalSettings, Settings
from harness.stages import preflight
from harness.storage import Store
from harness.testing import assert_engine
from harness.testing.engines import demo_questions
from tests.support.checkpoints import Sizes, read_json, write_llava, write_lora
from tests.support.model_server import serving_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llava(tmp_path_factory.mktemp("served") / "llava", Sizes(), seed=5)


@pytest.fixture(scope="module")
def adapter(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(tmp_path_factory.mktemp("served") / "lora", folder)


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with serving_model(folder, dynamic=True) as address:
        yield address


def opened(folder: Path, url: str, store: Store | None = None, model: str = "base") -> Model:
    options = (("model", model), ("url", url))
    asked = EvalSettings((), engine="server", engine_options=options)
    return Model.open(folder, store=store, engine=engine_of(asked, "hf"))


def test_the_contract_is_kept(folder, adapter, url):
    values = {"model": "base", "url": url}
    found = assert_engine(
        "server", values=values, checkpoint=folder, adapter=adapter, least=1.0, nats=1e-4
    )
    assert found.equal == found.rows == 16
    assert found.choices == 8, "the server tells the log-probabilities of Yes and No"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "needs the name that the server gives the model: --engine-set model=NAME"),
        ({"model": "m", "url": "localhost:8000"}, "is not an http:// or https:// address|no http"),
        ({"model": "m", "url": "http://me:pass@host/v1"}, "holds a name or password"),
        ({"model": "m", "at_once": "0"}, "at_once"),
    ],
)
def test_what_names_no_server_is_refused(folder, values, told):
    asked = EvalSettings((), engine="server", engine_options=tuple(values.items()))
    with pytest.raises(UsageError, match=told) as caught:
        Model.open(folder, engine=engine_of(asked, "hf"))
    assert "pass" not in str(caught.value).replace("password", "")


def test_another_engine_is_compared_where_prompts_are_one_image_and_question(folder, url, tmp_path):
    image = tmp_path / "a.png"
    Image.effect_noise((28, 28), 90).convert("RGB").save(image)
    one = Prompt("one", image, "what is there?", "a dog")
    two = Prompt("two", image, "what is there?", "a dog", more_images=(image,))
    model = opened(folder, url)
    assert dict(preflight([two, one], model))["engine"].endswith("1 of 1 short answers as own does")
    assert "was not compared" in dict(preflight([two], model))["engine"]


def test_a_model_that_the_server_lacks_is_named(folder, url):
    with pytest.raises(UsageError, match=r"no model 'bsae'. Did you mean 'base'.*It has: base"):
        list(opened(folder, url, model="bsae").answer(demo_questions(1)))


def test_no_server_is_said_at_once(folder):
    with pytest.raises(HarnessError, match=r"http://127.0.0.1:9/v1 cannot be reached.*Start it"):
        list(opened(folder, "http://127.0.0.1:9/v1").answer(demo_questions(1)))


def test_a_server_that_loads_nothing_is_told_by_which_name(folder, adapter):
    with serving_model(folder) as url:
        adapted = opened(folder, url).with_adapter(adapter)
        with pytest.raises(HarnessError, match="status 404: Not Found") as caught:
            list(adapted.answer(demo_questions(1)))
    name = re.search(r"--lora-modules (harness-[0-9a-f]{12})=(\S+);", str(caught.value))
    assert name is not None
    assert Path(name[2]) == adapter.resolve()
    with serving_model(folder, **{name[1]: adapter}) as url:
        told = [a.text for a in opened(folder, url).with_adapter(adapter).answer(demo_questions(1))]
    own = Model.open(folder, adapter=adapter)
    assert told == [answer.text for answer in own.answer(demo_questions(1))]


def test_weights_that_were_trained_whole_are_never_those_of_before(folder, url, tmp_path):
    other = write_llava(tmp_path / "whole", Sizes(), seed=6)
    whole = opened(folder, url).with_adapter(other)
    with pytest.raises(HarnessError, match=rf"trained weights in {other}.*harness-[0-9a-f]{{12}}"):
        list(whole.answer(demo_questions(1)))


def test_a_server_that_dies_loses_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.model.openai_client.TRIES", 1)
    store, asked = Store(tmp_path / "store.sqlite"), demo_questions(8)
    with serving_model(folder, left=5) as url:
        options = ServerOptions("base", url, at_once=1)
        model = Model.open(folder, store=store, engine=lambda s: ServerEngine(s, options))
        said = []
        with pytest.raises(HarnessError, match=r"stopped answering.*run the same command again"):
            said += [answer.text for answer in model.answer(asked)]
    with serving_model(folder) as again:  # where it listens is its own business here
        options = ServerOptions("base", again, at_once=1)
        model = Model.open(folder, store=store, engine=lambda s: ServerEngine(s, options))
        model.engine.identity = ServerEngine(model.base.source, ServerOptions("base", url)).identity
        told = [answer.text for answer in model.answer(asked)]
    assert told == [answer.text for answer in Model.open(folder).answer(asked)]
    assert model.calls == len(asked) - 5


@pytest.mark.slow
def test_a_whole_run_is_that_of_own(folder, tmp_path):
    asked = Settings("seva", ("pope",), limit=6, max_prompts=6, out=tmp_path, options=())
    own = run(asked)
    with serving_model(DEMO.model, dynamic=True) as url:
        options = (("model", "base"), ("url", url))
        other = run(Settings(**{**vars(asked), "engine": "server", "engine_options": options}))
    assert other.folder != own.folder
    assert [p.rejected for p in other.pairs.pairs] == [p.rejected for p in own.pairs.pairs]
    for arm in ("before", "after"):
        mine, theirs = getattr(own.report, arm)["pope"], getattr(other.report, arm)["pope"]
        assert [row.answer for row in mine] == [row.answer for row in theirs]
    assert any("the engine server unstated" in told for told in other.report.sentences)
    facts = read_json(other.folder / "preflight.json")["facts"]
    assert facts["engine"].endswith("gives 2 of 2 short answers as own does")
    assert "engine" not in read_json(own.folder / "preflight.json")["facts"]
    with serving_model(folder, dynamic=True) as url:
        options = (("model", "base"), ("url", url))
        wrong = Settings(**{**vars(asked), "engine": "server", "engine_options": options})
        with pytest.raises(HarnessError, match=r"none of 2 answers begins alike.*have the weight"):
            run(wrong)
