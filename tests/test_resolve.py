"""What a method's options name on disk is hashed by its bytes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness import resolve
from harness.context import kept_data
from harness.plugins import load_method
from harness.resolve import _method_digest, option_files


@dataclass(frozen=True)
class Options:
    critic: Path | None = None
    template: str = "default"
    words: tuple[str, ...] = ()


def digest(options: Options, **typed: str) -> str:
    return _method_digest(load_method("sima"), options, typed)


def test_a_file_or_folder_among_the_options_counts_by_its_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "critic"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "weights").write_text("one")
    first = digest(Options(critic=folder))
    os.utime(folder / "below" / "weights", (1, 1))
    assert digest(Options(critic=folder)) == first
    (folder / "below" / "weights").write_text("two")
    second = digest(Options(critic=folder))
    assert second != first
    (folder / "below" / "weights").rename(folder / "below" / "others")
    assert digest(Options(critic=folder)) not in (first, second)

    file = tmp_path / "words.txt"
    for typed, options in (
        ({"template": str(file)}, Options(template=str(file))),
        ({"words": f"a+{file}"}, Options(words=("a", str(file)))),
    ):
        file.write_text("one")
        first = digest(options, **typed)
        file.write_text("two")
        assert digest(options, **typed) != first


def test_what_a_method_wraps_counts_as_if_it_were_asked_for_itself(tmp_path, monkeypatch) -> None:
    file, method = tmp_path / "file", load_method("swapped")

    def wrapped(text: str, **values: str) -> str:
        file.write_text(text)
        return _method_digest(method, method.options(None, values), values)

    body = "{question} {reference} {response_1} {response_2}"
    for of, key in (("sima", "template"), ("mdpo", "pairs")):
        values = {"of": of, "of_set": f"{key}={file}"}
        first = wrapped(body, **values)
        assert wrapped(body, **values) == first != wrapped(f"{body}.", **values)

    first = {of: wrapped("", of=of) for of in ("seva", "mdpo")}
    code = resolve.digest_of
    monkeypatch.setattr(
        resolve, "digest_of", lambda *of: code(*of) + str(of == ("methods", "seva"))
    )
    assert all(wrapped("", of=of) != before for of, before in first.items())


def test_the_code_of_other_packages_counts(monkeypatch) -> None:
    """A loss or an edit by its name alone would be taken as done after its code was edited."""
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(resolve, "digest_of", lambda *of: asked.append(of) or "")
    monkeypatch.setattr("harness.dpo.loss_terms.names", lambda _: {"guests": []})
    monkeypatch.setattr("harness_seva.corruptions.find", lambda *_: None)
    stic = load_method("stic")
    made = stic.options(None, {"loss": "dpo+0.5*guests", "corruption": "edit:darker"})
    _method_digest(stic, made, {})
    assert asked == [
        ("methods", "stic"), ("methods", "seva"), ("edits", "darker"), ("losses", "guests"),
    ]  # fmt: skip


def test_words_that_lead_nowhere_and_defaults_change_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain = digest(Options())
    (tmp_path / "default").write_text("x")  # a file by chance; nobody typed its name
    assert digest(Options()) == plain
    long = "{question}\n" * 5000
    assert digest(Options(template=long), template=long) == plain
    assert digest(Options(template=""), template="") == plain
    assert digest(Options(critic=Path("~nobody-of-this-name/x"))) == plain
    assert option_files(None, {}) == {}


def test_a_data_folder_is_kept_by_its_whole_path(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    assert kept_data("d") == str(tmp_path / "d")
    assert kept_data("hub") == "hub"
    assert kept_data("tinyworld") == "tinyworld"
