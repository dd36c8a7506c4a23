"""A package that is hidden while another is imported is there again afterwards."""

import importlib.util
import sys

import pytest

from harness.dpo.imports import as_if_missing


@pytest.fixture
def client(tmp_path, monkeypatch):
    """A package that nobody has imported yet, and one that uses it where it is installed."""
    (tmp_path / "some_client.py").write_text("")
    (tmp_path / "some_trainer.py").write_text(
        "try:\n    import some_client\nexcept ImportError:\n    some_client = None\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("some_client", "some_trainer"):
        sys.modules.pop(name, None)


def test_what_is_hidden_is_not_imported_and_is_found_afterwards(client):
    with as_if_missing("some_client"):
        assert importlib.util.find_spec("some_client") is None
        import some_trainer
    assert some_trainer.some_client is None
    assert importlib.util.find_spec("some_client") is not None
    import some_client  # noqa: F401


def test_what_is_imported_already_stays(client):
    import some_client

    with as_if_missing("some_client"):
        import some_trainer
    assert some_trainer.some_client is some_client is sys.modules["some_client"]


def test_an_error_inside_hides_nothing_for_good(client):
    with pytest.raises(ZeroDivisionError), as_if_missing("some_client"):
        1 / 0  # noqa: B018
    assert importlib.util.find_spec("some_client") is not None
