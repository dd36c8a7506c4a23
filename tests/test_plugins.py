from __future__ import annotations

import importlib
import importlib.metadata
import shutil
import sys
import textwrap

import pytest

from harness.errors import HarnessError, UsageError
from harness.plugins import digest_of, load_method, names
from harness.records import Prompt

WHOLE = """
from dataclasses import dataclass
from harness import hookimpl, Pair

@dataclass(frozen=True)
class Options:
    strength: int = 3
    share: float = 0.5
    layers: tuple[str, ...] = ()

    def __post_init__(self):
        if self.strength > 9:
            raise ValueError("strength must be at most 9")

PRESETS = {"weak": Options(strength=1)}

@hookimpl
def make_pairs(prompts, seed):
    for prompt in prompts:
        yield Pair(prompt, "a", ("b",))

@hookimpl
def train(pairs, out):
    return out
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lay a package with an entry point on the path, as an installer would."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def lay(name: str, code: str, dist: str | None = None) -> None:
        module = f"guest_{(dist or name).replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {dist or 'guest-' + name}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[harness.methods]\n{name} = {module}\n")
        importlib.invalidate_caches()

    yield lay
    for module in [module for module in sys.modules if module.startswith("guest_")]:
        del sys.modules[module]


def refused(name: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_method(name)
    return str(caught.value)


def test_metadata_is_read_again_when_a_package_comes_or_goes_and_only_then(
    install, tmp_path, monkeypatch
):
    """Reading it takes 10 ms and more, and a command looks up a hundred names."""
    read = []
    plain = importlib.metadata.entry_points
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda: read.append(1) or plain())
    install("blurry", WHOLE)
    assert all("blurry" in names("methods") for _ in range(3))
    assert len(read) == 1
    install("sharp", WHOLE)
    assert {"blurry", "sharp"} <= names("methods").keys()
    assert len(read) == 2
    shutil.rmtree(tmp_path / "guest_sharp-1.0.dist-info")
    assert {"blurry", "sharp"} & names("methods").keys() == {"blurry"}
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(tmp_path)])
    assert "blurry" not in names("methods")


def test_a_strangers_method_is_found_like_ours(install):
    install("blurry", WHOLE)
    assert names("methods")["blurry"] == ["guest-blurry"]
    method = load_method("blurry")
    assert (method.name, method.owner) == ("blurry", "guest-blurry")
    prompt = Prompt("1", None, "q")
    (pair,) = method.make_pairs([prompt], None, None, 0)
    assert pair.rejected == ("b",)


def test_a_typo_names_the_near_miss(install):
    install("blurry", WHOLE)
    assert "No method is named 'blury'. Did you mean 'blurry'?" in refused("blury")


def test_two_owners_are_both_named(install):
    install("blurry", WHOLE, dist="first-guest")
    install("blurry", WHOLE, dist="second-guest")
    assert "claim the method 'blurry': first-guest, second-guest" in refused("blurry")


def test_a_broken_import_is_blamed_on_its_package_and_disturbs_no_other(install):
    install("broken", "import no_such_module_at_all")
    install("blurry", WHOLE)
    assert "'broken' (guest-broken) cannot be imported: ModuleNotFoundError" in refused("broken")
    assert load_method("blurry").name == "blurry"


def test_a_wrong_argument_a_misspelt_hook_and_a_lacking_one(install):
    install("arg", WHOLE.replace("make_pairs(prompts, seed)", "make_pairs(prompts, sed)"))
    assert "sed" in refused("arg")
    install("spelt", WHOLE.replace("def train(", "def trian("))
    assert "trian" in refused("spelt")
    install("lacking", WHOLE.replace("@hookimpl\ndef train", "def train"))
    assert "lacks train" in refused("lacking")


def test_options_are_filled_from_text(install):
    install("blurry", WHOLE)
    method = load_method("blurry")
    options = method.options("weak", {"share": "0.25", "layers": "q+v"})
    assert (options.strength, options.share, options.layers) == (1, 0.25, ("q", "v"))
    for values, said in [
        ({"strenght": "1"}, "no option 'strenght'. Did you mean 'strength'?"),
        ({"strength": "much"}, "strength=much of the method 'blurry' has no valid value"),
        ({"strength": "12"}, "strength must be at most 9"),
    ]:
        with pytest.raises(UsageError) as caught:
            method.options(None, values)
        assert said in str(caught.value)
    with pytest.raises(UsageError, match=r"no preset 'weka'\. Did you mean 'weak'"):
        method.options("weka", {})


def test_what_a_method_raises_is_reported_in_its_name(install):
    install("lame", WHOLE.replace('yield Pair(prompt, "a", ("b",))', "yield 1 / 0"))
    method = load_method("lame")
    with pytest.raises(HarnessError, match=r"'lame' \(guest-lame\) failed in make_pairs: Zero"):
        list(method.make_pairs([Prompt("1", None, "q")], None, None, 0))
    full = "raise RuntimeError('I/O error: No space left on device (os error 28)')"
    install("full", WHOLE.replace("return out", full))
    with pytest.raises(HarnessError, match="The disk is full: train of the method 'full'"):
        load_method("full").train([], None, None, None, 0)
    install("none", WHOLE.replace("return out", "return None"))
    with pytest.raises(HarnessError, match="returned None from train"):
        load_method("none").train([], None, None, None, 0)


def test_an_edited_method_is_another_method(install):
    install("blurry", WHOLE)
    first = digest_of("methods", "blurry")
    install("blurry", WHOLE + "\n# edited\n")
    assert digest_of("methods", "blurry") != first


@pytest.mark.parametrize("code", [0, 3])
def test_a_package_that_exits_at_import_ends_nothing_else(install, code):
    install("quitter", f"import sys\nsys.exit({code})")
    with pytest.raises(UsageError, match=r"'quitter' \(guest-quitter\) cannot be imported: Sys"):
        load_method("quitter")


def test_a_method_that_exits_has_failed(install):
    install(
        "leaver",
        WHOLE.replace("for prompt in prompts:", "import sys; sys.exit(0)\n    for _ in ():"),
    )
    made = load_method("leaver").make_pairs([], None, None, 0)
    with pytest.raises(HarnessError, match=r"'leaver' \(guest-leaver\) failed in make_pairs: Sys"):
        list(made)
