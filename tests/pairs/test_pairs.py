from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pluggy
import pytest
from harness_tinyworld import DEMO

from harness import hookimpl, hookspecs
from harness.errors import HarnessError
from harness.pairs import make_pairs, read_prompts
from harness.plugins import Method
from harness.records import Drop, Pair, Prompt, seed_of
from tests.support.contexts import run_context

IMAGE = read_prompts(DEMO.prompts, 1)[0].image
PROMPTS = tuple(Prompt(f"p{n}", IMAGE, f"question {n}") for n in range(40))


def method_of(generate) -> Method:
    """A real method around a generator function."""
    module = ModuleType("guest")

    def hook(prompts, seed):
        return generate(prompts, seed)

    hook.__name__ = "make_pairs"
    module.make_pairs = hookimpl(hook)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    return Method("guest", "guest-dist", module, manager.hook)


def run(generate, folder, prompts=PROMPTS, fingerprint="f", **more):
    context = run_context(
        folder,
        method_of(generate),
        prompts=prompts,
        inputs={"method": fingerprint},
        store=folder.with_suffix(".sqlite"),
        seed=3,
        **more,
    )
    return make_pairs(context, SimpleNamespace(fingerprint="model"))


def good(prompts, seed):
    """Two records a prompt, random by its id alone; some equal, some dropped."""
    for prompt in prompts:
        number = seed_of(seed, prompt.id) % 7
        if number == 0:
            yield Drop(prompt, "unparsable")
        else:
            yield Pair(prompt, "same", ("same" if number == 1 else f"other {number}",))
            yield Pair(prompt, "best", (f"r{number}", "best", f"r{number}", "third"))


def test_pairs_are_checked_and_drops_are_counted(tmp_path):
    made = run(good, tmp_path)
    numbers = [seed_of(3, prompt.id) % 7 for prompt in PROMPTS]
    assert made.dropped == {"unparsable": numbers.count(0), "equal": numbers.count(1)}
    assert made.prompts == 40
    twins = [pair for pair in made.pairs if pair.chosen == "best"]
    assert twins
    assert all(pair.rejected[1:] == ("third",) for pair in twins)
    assert (tmp_path / "dropped.jsonl").read_text().count("\n") == sum(made.dropped.values())


@pytest.mark.parametrize("killed_at", [0, 1, 15, 16, 17, 33, 60])
def test_a_kill_at_any_record_changes_nothing(tmp_path, killed_at):
    def dying(prompts, seed):
        for number, item in enumerate(good(prompts, seed)):
            if number == killed_at:
                raise KeyboardInterrupt
            yield item

    asked = []

    def counted(prompts, seed):
        for prompt in prompts:
            asked.append(prompt.id)
            yield from good([prompt], seed)

    whole = run(good, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(dying, tmp_path / "torn")
    resumed = run(counted, tmp_path / "torn")
    assert resumed.pairs == whole.pairs
    assert resumed.dropped == whole.dropped
    assert (tmp_path / "torn/pairs.jsonl").read_bytes() == (
        tmp_path / "whole/pairs.jsonl"
    ).read_bytes()
    if killed_at >= 60:
        assert len(asked) < 20


def test_a_finished_room_asks_nobody(tmp_path):
    def never(prompts, seed):
        raise AssertionError

    first = run(good, tmp_path)
    again = run(never, tmp_path)
    assert again.reused
    assert again.pairs == first.pairs
    with pytest.raises(HarnessError, match="failed in make_pairs"):
        run(never, tmp_path, fingerprint="other")


def test_no_pairs_left_is_an_error_with_the_reasons(tmp_path):
    def equal(prompts, seed):
        return (Pair(prompt, "a", ("a",)) for prompt in prompts)

    with pytest.raises(HarnessError, match=r"No pairs are left of 40 prompts \(40 equal\)"):
        run(equal, tmp_path)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("text", "yielded str instead of a Pair"),
        (Pair(Prompt("stranger", Path("x"), "q"), "a", ("b",)), "that it was not given"),
        (Pair(PROMPTS[0], "a", ()), "without texts"),
        (Pair(PROMPTS[0], None, ("b",)), "without texts"),
        (Pair(PROMPTS[0], "a", "bcd"), "are one string"),
    ],
)
def test_nonsense_is_refused_in_the_methods_name(tmp_path, item, said):
    with pytest.raises(HarnessError, match=said) as caught:
        run(lambda prompts, seed: iter([item]), tmp_path)
    assert "guest-dist" in str(caught.value)


def test_pairs_are_asked_for_lazily(tmp_path):
    pulled = []

    def slow(prompts, seed):
        for prompt in prompts:
            pulled.append(prompt.id)
            if len(pulled) == 20:
                raise KeyboardInterrupt
            yield Pair(prompt, "a", ("b",))

    with pytest.raises(KeyboardInterrupt):
        run(slow, tmp_path)
    assert len((tmp_path / "pairs.jsonl").read_text().splitlines()) == 1 + 16


def test_a_method_that_hangs_is_stopped_by_name_and_what_it_gave_is_kept(tmp_path):
    def hangs(prompts, seed):
        for number, item in enumerate(good(prompts, seed)):
            if number == 37:
                while True:
                    time.sleep(0.01)
            yield item

    with pytest.raises(HarnessError, match=r"'guest' .* no pair for .* --pair-timeout"):
        run(hangs, tmp_path / "hung", pair_timeout=0.5 / 60)
    kept = (tmp_path / "hung" / "pairs.jsonl").read_text().splitlines()
    assert len(kept) > 20
    run(good, tmp_path / "hung")
    run(good, tmp_path / "whole")
    hung, whole = ((tmp_path / n / "pairs.jsonl").read_bytes() for n in ("hung", "whole"))
    assert hung == whole


def test_a_beginning_without_answers_ends_at_once(tmp_path):
    seen = []

    def mute(prompts, seed):
        for prompt in prompts:
            seen.append(prompt.id)
            yield Drop(prompt, "missing", {"error": "not finite: m gives NaN"})

    told = (
        r"The pairs of 'guest': the first 8 prompts got no answers, .* asked nothing more. "
        r"8 of 8: not finite: m gives NaN\. .*--dtype float32"
    )
    with pytest.raises(HarnessError, match=told):
        run(mute, tmp_path)
    assert len(seen) == 8
    assert not (tmp_path / "pairs.jsonl").exists() or not read_rows(tmp_path)


def read_rows(folder):
    return [line for line in (folder / "pairs.jsonl").read_text().splitlines() if "prompt" in line]


def test_a_beginning_with_one_answer_goes_on_and_other_drops_are_no_silence(tmp_path):
    def late(prompts, seed):
        for number, prompt in enumerate(prompts):
            if number == 7:
                yield Pair(prompt, "a", ("b",))
            else:
                yield Drop(prompt, "missing", {"error": "away"})

    assert run(late, tmp_path / "late").dropped == {"missing": 39}

    def unparsable(prompts, seed):
        for number, prompt in enumerate(prompts):
            yield Pair(prompt, "a", ("b",)) if number == 39 else Drop(prompt, "unparsable")

    assert run(unparsable, tmp_path / "words").dropped == {"unparsable": 39}
