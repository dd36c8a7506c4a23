"""The boundary for files: what comes from outside is bounded, and fails in two ways."""

from __future__ import annotations

import contextlib
import json
import os
import struct

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.records import Sample, from_json, to_json
from harness.storage import (
    check_depth,
    parse_json,
    parse_yaml,
    read_bytes,
    read_header,
    read_json,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


def nested(levels):
    return "[" * levels + "]" * levels


def test_sixty_four_levels_are_read_and_no_more():
    assert parse_json(nested(64)) is not None
    for levels in (66, 900, 100_000):
        with pytest.raises(ValueError, match="64 levels deep"):
            parse_json(nested(levels))
    assert parse_json(json.dumps([[]] * 500)) == [[]] * 500  # wide is not deep


@given(JSON)
def test_what_is_written_is_read(value):
    text = json.dumps(value)
    assert json.dumps(parse_json(text)) == text
    assert json.dumps(parse_json(text.encode())) == text


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_a_value_error(data):
    with contextlib.suppress(ValueError):
        parse_json(data)


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "absent"):
        with pytest.raises(OSError, match=r"regular file|No such file"):
            read_bytes(path)
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(ValueError, match="11 bytes, more than the 10"):
        read_bytes(tmp_path / "large", 10)


def test_a_link_may_lead_inside_and_not_outside(tmp_path):
    inside = tmp_path / "run"
    inside.mkdir()
    (tmp_path / "secret.json").write_text("1")
    (inside / "a.json").write_text("2")
    (inside / "near.json").symlink_to(inside / "a.json")
    (inside / "far.json").symlink_to(tmp_path / "secret.json")
    assert read_json(inside / "near.json", within=inside) == 2
    with pytest.raises(OSError, match="link out of"):
        read_json(inside / "far.json", within=inside)


@pytest.mark.parametrize("text", ["a: &x [*x]", "&x [*x, 1]", "[" * 2000, "a: [b", "\0"])
def test_yaml_that_holds_itself_or_is_none_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"levels deep|expected|not allowed|could not"):
        parse_yaml(text, yaml.SafeLoader)


def test_yaml_that_grows_by_its_aliases_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ValueError, match="more than 1000000 values"):
        parse_yaml("\n".join(lines), yaml.SafeLoader)
    assert parse_yaml("a: &x [1]\nb: *x", yaml.SafeLoader) == {"a": [1], "b": [1]}


def test_a_value_that_holds_itself_is_too_deep():
    value: list[object] = []
    value.append(value)
    with pytest.raises(ValueError, match="levels deep"):
        check_depth(value)


def test_a_header_of_weights_is_bounded(tmp_path):
    path = tmp_path / "w.safetensors"
    head = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"1234")
    assert read_header(path)[1] == path.stat().st_size
    odd = [b"", b"version https://git-lfs.github.com/spec/v1\n", struct.pack("<Q", 1 << 62)]
    deep, wrong = b"[" * 5000, b'{"a": {"data_offsets": 7}}'
    for data in [*odd, *(struct.pack("<Q", len(each)) + each for each in (deep, wrong, b"[]"))]:
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"header|Expecting|levels deep"):
            read_header(path)


GOOD = to_json(Sample("1", "c", "i", "?", "t", "a", 3, "stop", scores={"x": 1.0, "y": None}))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("tokens", "3", "tokens should be a whole number, not '3'"),
        ("tokens", True, "tokens should be a whole number, not True"),
        ("tokens", 10**4000, "tokens should be a whole number, not a huge number"),
        ("answer", ["a"], r"answer should be a text, not \['a'\]"),
        ("scores", [1], r"scores should be an object"),
        ("scores", {"x": "1"}, r"scores\.x should be a finite number"),
        ("scores", {"x": float("nan")}, r"scores\.x should be a finite number, not nan"),
        ("scores", {"x": float("inf")}, r"scores\.x should be a finite number"),
        ("groups", {"a": 1}, r"groups\.a should be a text"),
        ("extra", 1, "extra is no field of a Sample"),
    ],
)
def test_a_field_of_another_type_is_named(field, value, told):
    assert from_json(Sample, GOOD).scores == {"x": 1.0, "y": None}
    with pytest.raises(TypeError, match=told):
        from_json(Sample, {**GOOD, field: value})


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), JSON))
def test_odd_records_are_records_or_type_errors(changes):
    try:
        found = from_json(Sample, {**GOOD, **changes})
    except TypeError:
        return
    assert json.dumps(to_json(found)) == json.dumps({**GOOD, **changes})
