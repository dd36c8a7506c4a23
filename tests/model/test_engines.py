"""Engines are plugins: the contract, what a third party's engine gets, and what is refused."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import HarnessError, UsageError
from harness.eval import measure
from harness.model import Model, open_model
from harness.records import Request, to_json
from harness.resolve import engine_of
from harness.runs import compare_runs, open_run
from harness.settings import EvalSettings, Settings
from harness.storage import RunRecord, Store
from harness.testing import assert_engine
from harness.testing.engines import demo_questions
from tests.support.checkpoints import Sizes, write_llava, write_lora

TWIN = """
from dataclasses import dataclass, replace
from harness.model import Identity, Model
from harness.model.base import Base

@dataclass(frozen=True)
class Options:
    mark: str = ""
    deaf: bool = False

class Twin:
    "Answers as own does, last request first, and looks at no view."
    Options = Options
    ran = []

    def __init__(self, source, options):
        self.base, self.options = Base(source), options
        self.identity = Identity("twin", "2.0", {"mark": options.mark} if options.mark else {})

    def refuses(self, request):
        return "twin looks at no view" if request.view is not None else None

    def run(self, items, adapter=None):
        Twin.ran.append([item.request.prompt for item in items])
        if self.options.deaf:
            adapter = None
        found = list(self.base.run(items, adapter))
        for place, answer in reversed(found):
            yield place, replace(answer, text=answer.text + self.options.mark)

    def at(self, source):
        return Twin(source, self.options)

    def release(self):
        self.base.release()
"""


@pytest.fixture
def twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    place = tmp_path / "guests"
    info = place / "guest_twin-1.0.dist-info"
    info.mkdir(parents=True)
    (place / "guest_twin.py").write_text(textwrap.dedent(TWIN))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest-twin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness.engines]\ntwin = guest_twin:Twin\n")
    monkeypatch.syspath_prepend(str(place))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("guest_twin", None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llava(tmp_path_factory.mktemp("engines") / "llava", Sizes(), seed=5)


@pytest.fixture(scope="module")
def adapter(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(tmp_path_factory.mktemp("engines") / "lora", folder)


def opened(folder: Path, store: Store | None = None, **values: str) -> Model:
    asked = EvalSettings((), engine="twin", engine_options=tuple(values.items()))
    return Model.open(folder, store=store, engine=engine_of(asked, "hf"))


def test_own_keeps_the_contract(folder, adapter):
    found = assert_engine("own", checkpoint=folder, adapter=adapter, least=1.0, nats=0.0)
    assert (found.rows, found.equal, found.choices, found.difference) == (16, 16, 8, 0.0)


@pytest.mark.usefixtures("twin")
def test_an_engine_of_a_third_party_keeps_it(folder, adapter):
    found = assert_engine("twin", checkpoint=folder, adapter=adapter)
    assert found.equal == found.rows == 16
    assert str(found.identity) == "twin 2.0"


@pytest.mark.usefixtures("twin")
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"mark": "!"}, "0 of 8 greedy answers are those of own"),
        ({"deaf": "yes"}, "greedy answers"),
    ],
)
def test_a_broken_promise_is_named(folder, adapter, values, told):
    with pytest.raises(AssertionError, match=f"twin: .*{told}"):
        assert_engine("twin", values=values, checkpoint=folder, adapter=adapter)


@pytest.mark.usefixtures("twin")
def test_answers_of_two_engines_never_meet_in_the_store(folder, tmp_path):
    store = Store(tmp_path / "store.sqlite")
    asked = demo_questions(1)
    own = [answer.text for answer in Model.open(folder, store=store).answer(asked)]
    other = opened(folder, store, mark="!")
    assert [a.text for a in other.answer(asked)] == [f"{text}!" for text in own]
    assert other.calls == 2
    again = opened(folder, store, mark="!")
    assert [a.text for a in again.answer(asked)] == [f"{text}!" for text in own]
    assert again.calls == 0
    assert opened(folder, store, mark="?").fingerprint != again.fingerprint


@pytest.mark.usefixtures("twin")
def test_own_answers_what_the_engine_refuses_and_shares_it(folder, tmp_path, capsys):
    from harness_seva.noise import Noise

    store = Store(tmp_path / "store.sqlite")
    shown = demo_questions(1)[0]
    viewed = Request(shown.prompt, shown.images, 6, view=Noise(500, seed=1))
    model = opened(folder, store, mark="!")
    plain, noisy = model.answer([shown, viewed])
    own = Model.open(folder, store=store)
    (same,) = own.answer([viewed])
    assert own.calls == 0, "its place in the store is that of own"
    assert same.text == noisy.text
    assert not noisy.text.endswith("!")
    assert plain.text.endswith("!")


@pytest.mark.usefixtures("twin")
def test_the_engine_goes_with_every_version_of_the_model(folder, adapter, tmp_path):
    model = opened(folder)
    assert model.with_adapter(adapter).engine is model.engine
    other = write_llava(tmp_path / "trained whole", Sizes(), seed=6)
    whole = model.with_adapter(other)
    assert whole.answered_by == "twin 2.0"
    assert whole.engine is not model.engine
    ours, theirs = (
        m.with_adapter(other).answer(demo_questions(1)) for m in (model, Model.open(folder))
    )
    assert [a.text for a in ours] == [a.text for a in theirs]
    assert model.spec().engine is not None
    assert str(model.spec().engine.identity) == "twin 2.0"
    assert Model.of(model.spec()).fingerprint == model.fingerprint


@pytest.mark.usefixtures("twin")
def test_two_engines_are_not_compared(tmp_path):
    def run(engine: str) -> Path:
        asked = EvalSettings(("pope",), limit=2, out=tmp_path, max_new_tokens=3, engine=engine)
        return measure(asked).folder

    own, other = run("own"), run("twin")
    assert own != other
    assert RunRecord.read(other).measured["engine"] == "twin 2.0"
    assert RunRecord.read(own).measured["engine"] == "1"
    assert "engine" not in json.loads((own / "comparison.json").read_text())["run"]
    assert "engine" not in RunRecord.read(own).asked
    runs = open_run(own), open_run(other)
    assert any("the engine twin 2.0" in told for told in runs[1].report.sentences)
    with pytest.raises(HarnessError, match=r"by the engine own, and .* by twin 2\.0"):
        compare_runs(*runs)
    assert compare_runs(runs[1], runs[1]).comparison is not None


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"engine": "vlm"}, "No engine is named 'vlm'"),
    ({"engine": "own", "engine_options": (("a", "1"),)}, "'own' has no options"),
    ({"engine": "twin", "engine_options": (("mrak", "1"),)}, "no option 'mrak'.*mark"),
    ({"engine": "twin", "protocol": "llava-1.5"}, "the protocol llava-1.5 cannot be followed"),
]


@pytest.mark.usefixtures("twin")
@pytest.mark.parametrize(("asked", "told"), REFUSED)
def test_what_does_not_fit_is_refused(asked, told):
    settings = EvalSettings((), **asked)
    with pytest.raises(UsageError, match=told):
        engine_of(settings, settings.protocol or "hf")


@pytest.mark.usefixtures("twin")
def test_a_servers_model_takes_no_engine():
    engine = engine_of(EvalSettings((), engine="twin"), "hf")
    with pytest.raises(UsageError, match="Leave --engine out"):
        open_model("openai:m@http://localhost:1/v1", engine=engine)


def test_a_plain_run_says_nothing_of_engines():
    assert not {"engine", "engine_options"} & set(to_json(Settings("seva", ("pope",))))
