"""The JSON form of frozen records: written by ``to_json``, read back and checked by ``from_json``.

Files come from strangers too, so what is read has the type that the record names, or is an error
that names the field. Numbers are finite: a failure is never a number.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_json(record: Any) -> dict[str, Any]:
    """Return the JSON form of a record: nested records become objects, paths become strings.

    A field of a later version (metadata ``later``) is left out at its default.
    """
    found = {}
    for each in dataclasses.fields(record):
        value = getattr(record, each.name)
        if not each.metadata.get("later") or value != each.default:
            found[each.name] = _plain(value)
    return found


def from_json(kind: type[T], row: Mapping[str, Any]) -> T:
    """Rebuild a record of ``kind`` from its JSON form.

    Raises:
        TypeError: if a field is missing, unknown, or holds something of another type; it names
            the field.
    """
    made: T = _record_reader(kind)(row, "")  # type: ignore[arg-type]  # a class is hashable
    return made


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_json(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


Reader = Callable[[Any, str], Any]
"""Takes a JSON value and the name of its place; gives what the type hint says or raises."""


@functools.cache  # hints are resolved once a type: it takes longer than everything else about a row
def _record_reader(kind: type) -> Reader:
    hints = get_type_hints(kind)
    readers = {each.name: _reader(hints[each.name]) for each in dataclasses.fields(kind)}

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise _wrong(where, "an object", value)
        found = {}
        for name, item in value.items():
            place = f"{where}.{name}" if where else str(name)
            if name not in readers:
                raise TypeError(f"{place} is no field of a {kind.__name__}")
            found[name] = readers[name](item, place)
        try:
            return kind(**found)
        except TypeError as error:  # a field is missing
            raise TypeError(f"{where}: {error}" if where else str(error)) from error

    return read


def _reader(hint: Any) -> Reader:
    """Return what reads a value of a type hint; a hint that JSON knows nothing of takes it all."""
    origin, args = get_origin(hint), get_args(hint)
    if isinstance(hint, UnionType) or origin is Union:
        return _union_reader(args)
    if origin is tuple:
        return _tuple_reader(args)
    if origin in (list, Sequence):
        return _tuple_reader((args[0], ...))
    if origin in (dict, Mapping):
        return _mapping_reader(_reader(args[1]))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        # Resolved when it is needed: a record may hold records of its own kind.
        return lambda value, where: _record_reader(hint)(value, where)
    return _SCALARS.get(hint, lambda value, where: value)


def _union_reader(args: Sequence[Any]) -> Reader:
    readers = [_reader(arg) for arg in args if arg is not type(None)]
    optional = len(readers) < len(args)

    def read(value: Any, where: str) -> Any:
        if value is None and optional:
            return None
        for reader in readers[:-1]:
            with contextlib.suppress(TypeError):
                return reader(value, where)
        return readers[-1](value, where)

    return read


def _tuple_reader(args: Sequence[Any]) -> Reader:
    alike = len(args) == 2 and args[1] is ...
    readers = [_reader(arg) for arg in args if arg is not ...]

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list | tuple) or (not alike and len(value) != len(readers)):
            raise _wrong(where, "a list" if alike else f"a list of {len(readers)}", value)
        chosen = readers * len(value) if alike else readers
        return tuple(
            reader(item, f"{where}[{place}]")
            for place, (reader, item) in enumerate(zip(chosen, value, strict=True))
        )

    return read


def _mapping_reader(inner: Reader) -> Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise _wrong(where, "an object", value)
        return {key: inner(item, f"{where}.{key}") for key, item in value.items()}

    return read


def _read_text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(where, "a text", value)
    return value


def _read_flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(where, "true or false", value)
    return value


def _read_whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 63:
        raise _wrong(where, "a whole number", value)
    return value


def _read_number(value: Any, where: str) -> float:
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    if not fits or not -_LARGEST <= value <= _LARGEST:  # NaN and infinity are no measurement
        raise _wrong(where, "a finite number", value)
    return value  # type: ignore[no-any-return]


def _wrong(where: str, wanted: str, value: Any) -> TypeError:
    text = repr(value) if not isinstance(value, int) or abs(value) < 1 << 63 else "a huge number"
    return TypeError(f"{where or 'it'} should be {wanted}, not {text:.60}")


_LARGEST = 1.7e308
_SCALARS: dict[Any, Reader] = {
    str: _read_text,
    bool: _read_flag,
    int: _read_whole,
    float: _read_number,
    Path: lambda value, where: Path(_read_text(value, where)),
}


def fingerprint(*parts: Any) -> str:
    """Hash anything that has a JSON form into 16 hexadecimal digits, stable between runs."""
    text = json.dumps(_plain(parts), sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
