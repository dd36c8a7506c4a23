"""Files spoilt in seeded ways: bytes, values, layout of a folder.

:func:`spoil` spoils one file and says how; :func:`restored` puts it back as it was.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Chance = random.Random
DEEP = 5000
VALUES: tuple[str, ...] = (
    *("null", "true", "false", "0", "-1", "3", "1e999", "1e308", "-0.0", "NaN", "Infinity"),
    *("1" + "0" * 400, "1" + "0" * 5000, '""', '"x"', '"\\u0000"', '"\\ud800"', '"../../secret"'),
    *('"/etc/hostname"', '"/dev/zero"', '"~nobody-here/x"', '"hub:x/y"', '"http://localhost:9/x"'),
    *("[]", "{}", "[[]]", '[null, "a", 1]', '{"a": {"b": null}}', '"' + "x" * 200_000 + '"'),
    *('"\\u202e\\u001b[31m"', "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP),
    *("[" * 60 + "]" * 60, "[" + "0," * 20_000 + "0]", '"1e5"', '"None"', '"%s %d {} {0}"'),
)
"""Values in JSON, which are values in YAML too."""
YAMLS = (
    *("!!python/object/apply:os.system [ls]", "&a [*a]", "*nothing", "!function utils.absent"),
    *("!function os.system", "!include secret", "{", "}", "- -", "2001-01-01", "0o777", ".nan"),
    *("|", ">-", '"\\x00"', "? :", "!!binary x", "!!set {a, b}", "<<: [1]", "1_000", "~", "%TAG"),
)


# Bytes


def _truncated(data: bytes, chance: Chance) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _flipped(data: bytes, chance: Chance) -> bytes:
    made = bytearray(data or b"x")
    for _ in range(chance.choice((1, 1, 3, 30))):
        made[chance.randrange(len(made))] = chance.randrange(256)
    return bytes(made)


def _inserted(data: bytes, chance: Chance) -> bytes:
    odd = (b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xc3", b"\xef\xbb\xbf", b"\x1b[2J", b"\r", b'"')
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.choice(odd) * chance.choice((1, 1, 9)) + data[place:]


def _repeated(data: bytes, chance: Chance) -> bytes:
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:end] + data[start:]


def _replaced(data: bytes, chance: Chance) -> bytes:
    return chance.choice(
        (
            *(b"", b"\n", b"\0" * 4096, b"null", b"[]", b"{}", b"\xff" * 99, b"a: b", b"PAR1"),
            *(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", b"<html>"),
            *(b"PK\x03\x04", b"\x80\x04K\x01.", b"ARROW1\0\0", b"%!PS-Adobe-3.0 EPSF-3.0\n"),
            b"[" * DEEP,
            *(chance.randbytes(300), data[::-1], data + data),
        )
    )  # fmt: skip


def _number(data: bytes, chance: Chance) -> bytes:
    """Replace a number in a text, or four bytes in anything else."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data[:100_000]))
    if not found:
        return _flipped(data, chance)
    start, end = chance.choice(found).span()
    odd = (b"-1", b"0", b"1e999", b"99999999999", b"NaN", b"9" * 5000, b"0.5", b"1e5", b"''")
    return data[:start] + chance.choice(odd) + data[end:]


BYTES = (_truncated, _flipped, _inserted, _repeated, _replaced, _number)


# Values of JSON


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(inner, (*at, key))


_HOLE = "\ue000hole\ue000"


def _json(data: bytes, chance: Chance) -> bytes:
    """Put another value in one place, take it out, or write its key twice."""
    try:
        value = json.loads(data)
    except ValueError:
        lines = data.splitlines(keepends=True)
        if len(lines) < 2:
            return _number(data, chance)
        place = chance.randrange(len(lines))
        lines[place] = _json(lines[place], chance) + b"\n" if lines[place].strip() else b"\n"
        return b"".join(lines)
    shallow = [at for at in _places(value) if len(at) <= 2]
    at = chance.choice(shallow if chance.random() < 0.6 else list(_places(value)))
    if not at:
        return chance.choice(VALUES).encode()
    holder = value
    for key in at[:-1]:
        holder = holder[key]
    how = chance.random()
    if how < 0.2:
        del holder[at[-1]]
        return json.dumps(value).encode()
    old = json.dumps(holder[at[-1]])
    holder[at[-1]] = _HOLE
    new = chance.choice(VALUES)
    if how < 0.35 and isinstance(at[-1], str):  # a duplicate key
        new = f"{old}, {json.dumps(at[-1])}: {new}"
    text = json.dumps(value)
    return text.replace(json.dumps(_HOLE), new, 1).encode("utf-8", "surrogatepass")


def _yaml(data: bytes, chance: Chance) -> bytes:
    """Give one line another value, take it out, say it twice, or indent it."""
    lines = data.decode("utf-8", "replace").split("\n")
    place = chance.randrange(len(lines))
    key, colon, _ = lines[place].partition(":")
    value = chance.choice(YAMLS) if chance.random() < 0.4 else chance.choice(VALUES)
    changes = (
        [f"{key}: {value}" if colon else value],
        [f"{key}: {value}" if colon else value],
        [],
        [lines[place], f"{key}: {value}" if colon else lines[place]],
        [f"  {lines[place]}"],
        [lines[place], f"include: {chance.choice((value, 'own.yaml', '../secret'))}"],
    )
    lines[place : place + 1] = chance.choice(changes)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


# Tables, spreadsheets, images


_COLUMNS: tuple[Callable[[int, Chance], pa.Array], ...] = (
    lambda n, _: pa.nulls(n),
    lambda n, _: pa.array([1.5] * n),
    lambda n, _: pa.array([float("nan")] * n),
    lambda n, _: pa.array([2**63 - 1] * n),
    lambda n, _: pa.array([[1, 2]] * n),
    lambda n, _: pa.array([{"bytes": b"x", "path": "../../secret"}] * n),
    lambda n, _: pa.array([{"bytes": None, "path": "/etc/hostname"}] * n),
    lambda n, _: pa.array([{"bytes": 1}] * n),
    lambda n, _: pa.array([b"\xff\x00"] * n),
    lambda n, _: pa.array(["\0\u202e" * 50] * n),
    lambda n, _: pa.array([True] * n),
    lambda n, c: pa.array([c.choice(("x", None)) for _ in range(n)]),
    lambda n, _: pa.array(["x" * 20_000] * n),
)


def _table(data: bytes, chance: Chance) -> bytes:
    """Give one column of a Parquet table another type, name or length; or none of its rows."""
    table = pq.read_table(io.BytesIO(data))
    place = chance.randrange(table.num_columns)
    name = table.column_names[place]
    how = chance.randrange(6)
    if how < 3:
        column = chance.choice(_COLUMNS)(table.num_rows, chance)
        table = table.set_column(place, name, column)
    elif how == 3:
        table = table.remove_column(place)
    elif how == 4:
        table = table.append_column(name, table.column(place))  # the name twice
    else:
        table = table.slice(0, chance.choice((0, 1)))
    made = io.BytesIO()
    pq.write_table(table, made)
    return made.getvalue()


def _sheet(data: bytes, chance: Chance) -> bytes:
    """Spoil one member of a spreadsheet, or give it one that grows when it is unpacked."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", 8) as new:
        names = old.namelist()
        chosen = chance.choice(names)
        for name in names:
            inner = old.read(name)
            if name == chosen:
                inner = chance.choice(
                    (
                        chance.choice(BYTES)(inner, chance),
                        b"<x>" * DEEP,
                        b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/hostname'>"
                        b"]><a>&b;</a>",
                        b" " * 300_000_000,
                    )
                )
            new.writestr(name, inner)
    return made.getvalue()


def png(width: int, height: int) -> bytes:
    """Return a PNG that claims to have this size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 99))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


def _image(data: bytes, chance: Chance) -> bytes:
    """Claim a gigantic size, or be of a format that is not opened."""
    large = chance.choice((20_000, 70_000, 1 << 20, (1 << 31) - 1))
    return chance.choice(
        (
            png(large, large),
            png(large, 1),
            png(1, large),
            png(0, 5),
            b"BM" + struct.pack("<IHHIIiiHH24x", 99, 0, 0, 54, 40, large, large, 1, 24),
            b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\0\0" + data[:50],
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n",
            b"<svg xmlns='http://www.w3.org/2000/svg' width='9999999'/>",
            b"II*\0\x08\0\0\0\xff\xff" + chance.randbytes(200),
            b"RIFF\xff\xff\xff\xffWEBPVP8X" + chance.randbytes(60),
            b"\0\0\0\x1cftypavif" + chance.randbytes(60),
        )
    )


def _template(data: bytes, chance: Chance) -> bytes:
    """Make a chat template loop, grow, or ask for what is not there."""
    odd = (
        *("{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3, "{{ 'x' * 99999999999 }}"),
        *("{% if", "{{ 1 / 0 }}", "{{ raise_exception('no') }}", "{% include 'x' %}"),
        *("{{ [] | sum }}", "{{ ''.__class__.__mro__ }}", "{{ messages.pop(0) }}", "{{ x() }}"),
        *("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "{{ 9 ** 9 ** 9 }}", "{# "),
        *("{{ '%s' % 1 }}", "{{ lipsum(1000) }}", "{{ messages[0].content | tojson }}", "\0"),
        *("{{ strftime_now('%Y' * 9999) }}", "{{" + "(" * DEEP + "1" + ")" * DEEP + "}}"),
        *("{{ 1" + " + 1" * DEEP + " }}", "{{ '\ud800' }}"),
    )
    text = data.decode("utf-8", "replace")
    place = chance.choice((0, len(text), chance.randrange(len(text) + 1)))
    made = text[:place] + chance.choice(odd) + text[place:]
    return made.encode("utf-8", "surrogatepass")


_OWN: dict[str, tuple[Callable[[bytes, Chance], bytes], ...]] = {
    ".json": (_json,),
    ".jsonl": (_json,),
    ".yaml": (_yaml,),
    ".parquet": (_table,),
    ".xlsx": (_sheet,),
    ".png": (_image,),
    ".jinja": (_template,),
}


# Layout


def _pipe(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path, outside: Path) -> None:
    path.mkdir()
    (path / "a.json").write_text("{}")


def _socket(path: Path, outside: Path) -> None:
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(path.parent)  # a socket's address is short
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def _link_out(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def _link_nowhere(path: Path, outside: Path) -> None:
    path.symlink_to(path.parent / "absent")


def _link_round(path: Path, outside: Path) -> None:
    path.symlink_to(path)


def _link_device(path: Path, outside: Path) -> None:
    path.symlink_to("/dev/zero")


def _absent(path: Path, outside: Path) -> None:
    return


LAYOUT = (*(_pipe, _folder, _socket, _link_out, _link_nowhere, _link_round, _link_device, _absent),)


def spoil(path: Path, outside: Path, chance: Chance) -> str:
    """Spoil a file in one way, and say in which.

    Args:
        path: the file.
        outside: a file that a link may lead to.
        chance: which way is taken.
    """
    data = path.read_bytes()
    if chance.random() < 0.12:
        how = chance.choice(LAYOUT)
        path.unlink()
        how(path, outside)
        return how.__name__
    own = _OWN.get(path.suffix, ())
    change = chance.choice(own if own and chance.random() < 0.6 else BYTES)
    path.write_bytes(change(data, chance))
    return change.__name__


@contextmanager
def restored(path: Path) -> Iterator[None]:
    """Put a file back as it was."""
    data = path.read_bytes()
    try:
        yield
    finally:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.write_bytes(data)
