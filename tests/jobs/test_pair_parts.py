"""Pairs of one run whose prompts several jobs have answered: the same bytes, whoever answered."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from types import ModuleType

import pluggy
import pytest
from click.testing import CliRunner
from harness_tinyworld import DEMO, MODEL

from harness import hookimpl, hookspecs
from harness.cli import app
from harness.context import Context
from harness.errors import UsageError
from harness.model import Model
from harness.pairs import read_prompts
from harness.plugins import Method, load_method
from harness.progress import Reporter, showing
from harness.records import Pair, Request
from harness.resolve import resolve
from harness.run import model_of, run_part
from harness.settings import Settings
from harness.stages import PairPart, Part, answer_part, pairs_after_parts, told
from harness.storage import InUseError, Store, compact, locked, open_store, spread
from tests.support.contexts import run_context

FORK = multiprocessing.get_context("fork")
PROMPTS = read_prompts(DEMO.prompts, 9)


def context(out: Path, method) -> Context:
    """A run of a few prompts with short answers, in a folder of several runs."""
    if isinstance(method, str):
        method = load_method(method)
    options = method.options("small", {"max_new_tokens": "8"}) if method.name != "guest" else None
    plan = run_context(out / "run", method, options, prompts=PROMPTS).plan
    return Context(plan, out / "run", open_store(out))


def method_around(make_pairs) -> Method:
    """A real method around a generator function that may ask the model."""
    module = ModuleType("guest")
    module.make_pairs = hookimpl(make_pairs)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    return Method("guest", "guest-dist", module, manager.hook)


def asked(made: Context, kind: type[Model] = Model) -> Model:
    return kind.open(MODEL, store=made.store, device="cpu")


def answered(out: Path, method, *parts: str) -> int:
    """Answer parts as jobs do, each with a store and a model of its own; return the requests."""
    calls = 0
    for text in parts:
        spread(out)
        made = context(out, method)
        model = asked(made)
        answer_part(made, model, PairPart.read(text))
        calls += model.calls
    return calls


def paired(out: Path, method) -> tuple[bytes, bytes, int]:
    made = context(out, method)
    model = asked(made)
    pairs_after_parts(made, model)
    assert (model.base._loaded is None) == (model.calls == 0), "weights are loaded to ask, only"
    files = [(made.folder / name).read_bytes() for name in ("pairs.jsonl", "dropped.jsonl")]
    return files[0], files[1], model.calls


@pytest.mark.parametrize("name", ["seva", "sima"])
def test_pairs_are_the_same_bytes_and_every_answer_is_there(tmp_path, name, capsys):
    """SIMA asks its critic about two answers: both are asked for in a part."""
    *plain, calls = paired(tmp_path / "plain", name)
    assert calls > 0
    assert answered(tmp_path / "parted", name, "3/3", "1/3", "2/3") == calls
    with showing(Reporter()):
        assert paired(tmp_path / "parted", name) == (*plain, 0)
    assert "pairs: the store had every answer" in capsys.readouterr().err


def test_what_no_part_has_answered_is_asked_for_by_the_pairs(tmp_path, capsys):
    *plain, calls = paired(tmp_path / "plain", "seva")
    done = answered(tmp_path / "parted", "seva", "2/3")
    assert 0 < done < calls / 2
    with showing(Reporter()):
        assert paired(tmp_path / "parted", "seva") == (*plain, calls - done)
    assert f"{calls - done} requests had no answer from a part" in capsys.readouterr().err


def test_a_method_that_compares_prompts_is_asked_again_and_gets_the_same(tmp_path):
    """Each answer is to the question of the next prompt, which is another one in a part."""

    def make_pairs(prompts, model):
        prompts = list(prompts)
        for prompt, other in zip(prompts, [*prompts[1:], prompts[0]], strict=True):
            (said,) = model.answer([Request(other.question, (prompt.open_image(),), 4)])
            yield Pair(prompt, said.text or "nothing", ("something else",))

    method = method_around(make_pairs)
    *plain, calls = paired(tmp_path / "plain", method)
    assert answered(tmp_path / "parted", method, "1/2", "2/2") > 0
    *made, again = paired(tmp_path / "parted", method)
    assert made == plain
    assert 0 < again <= calls


class Dying(Model):
    """A model whose process is killed after some answers."""

    def answer(self, requests):
        for number, each in enumerate(super().answer(requests)):
            yield each
            if number == 8:
                os.kill(os.getpid(), signal.SIGKILL)


def _killed(out: Path, part: PairPart) -> None:
    made = context(out, "seva")
    with locked(part.folder(made.folder)):
        answer_part(made, asked(made, Dying), part)


def test_a_part_that_was_killed_goes_on_where_it_was(tmp_path):
    *plain, calls = paired(tmp_path / "plain", "seva")
    out, part = tmp_path / "parted", PairPart(1, 2)
    spread(out)
    process = FORK.Process(target=_killed, args=(out, part))
    process.start()
    process.join(300)
    assert process.exitcode == -signal.SIGKILL
    kept = sum(len(each) for each in open_store(out).entries())
    assert 0 < kept < calls
    assert answered(out, "seva", "1/2", "2/2") == calls - kept
    assert answered(out, "seva", "1/2") == 0, "it is done"
    assert paired(out, "seva") == (*plain, 0)


def test_parts_have_their_own_locks_and_keep_the_store_from_being_put_together(tmp_path):
    settings = Settings("seva", ("pope",), out=tmp_path, max_prompts=4, limit=4)
    plan = resolve(settings)
    run = plan.folder(model_of(plan).fingerprint)
    part = PairPart(2, 2)
    with locked(run), locked(part.folder(run)), pytest.raises(InUseError, match="2-of-2"):
        run_part(settings, part)
    with locked(part.folder(run)), pytest.raises(InUseError, match="2-of-2"):
        compact(tmp_path)
    with locked(run):  # as by a stage of the run that is at work
        folder, states = run_part(settings, part)
    assert folder == run
    assert told(states, run).endswith("missing: before, train, after, report.")
    pairs = next(each for each in states if each.stage == "pairs")
    assert (pairs.state, pairs.done, pairs.complete) == ("begun", 2, False)
    assert pairs.ahead == (Part("2-of-2", 2, 2, complete=True),)
    _, states = run_part(settings, PairPart(2, 3))  # the second prompt, as that part has too
    assert [each.done for each in states if each.stage == "pairs"] == [2]
    assert not (run / "preflight.json").exists(), "the first part does that"
    assert (run / "settings.json").is_file()
    shown = CliRunner().invoke(app, ["status", str(run)], catch_exceptions=False).stdout
    assert "2-of-2     2 prompts" in shown
    assert compact(tmp_path) == 1


@pytest.mark.parametrize("text", ["5/4", "a/b", "0/4", "1/0", "4", "", "1/2/3", "-1/4", "١/4"])
def test_what_names_no_part_is_refused_with_one_that_does(text):
    done = CliRunner().invoke(app, [*RUN, "--only", "pairs", "--part", text])
    assert isinstance(done.exception, UsageError)
    assert "names no part. Write K/N" in str(done.exception)


RUN = ["run", "--method", "seva", "--bench", "pope", "--max-prompts", "4"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--part", "1/2"], "Give --only pairs with it"),
        (["--part", "1/2", "--only", "before,pairs"], "Give --only pairs with it"),
        (["--part", "1/5", "--only", "pairs"], "4 prompts cannot be divided into 5 parts"),
        (["--part", "1/2", "--only", "pairs", "--rounds", "2"], "In rounds, pairs are made with"),
    ],
)
def test_a_part_that_a_run_cannot_have_is_refused_before_anything_is_written(
    tmp_path, words, message
):
    done = CliRunner().invoke(app, [*RUN, *words, "--out", str(tmp_path / "runs")])
    assert isinstance(done.exception, UsageError), done.output
    assert message in str(done.exception)
    assert not (tmp_path / "runs").exists()


def test_stores_of_parts_that_begin_at_once_are_one(tmp_path):
    """Each copies SQLite's answers into files; the first one counts, and none fails."""
    Store(tmp_path / "store.sqlite").put({f"k{n}": {"n": n} for n in range(700)})
    begin = FORK.Event()

    def begins():
        begin.wait()
        spread(tmp_path)
        open_store(tmp_path).put({f"own {os.getpid()}": {"n": 1}})

    parts = [FORK.Process(target=begins) for _ in range(4)]
    for each in parts:
        each.start()
    begin.set()
    for each in parts:
        each.join()
        assert each.exitcode == 0
    found = {key for entries in open_store(tmp_path).entries() for key in entries}
    assert found == {*(f"k{n}" for n in range(700)), *(f"own {each.pid}" for each in parts)}
    assert {path.name for path in tmp_path.iterdir()} >= {"answers", "store.sqlite"}
    assert not list(tmp_path.glob(".answers*"))
