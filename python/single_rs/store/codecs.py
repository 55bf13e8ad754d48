"""One writer and one reader for every dataclass that stands in a file: JSON for records, NPZ for arrays.

Both are derived from the fields of the class, so that a field is named once. A JSON file begins with the name of its
class and the version of its schema, ``"type"`` and ``"schema"``; a file of another version is refused. What was not
measured is null, and so are NaN and infinities, which JSON has not; null is NaN again where a class wants a number. A
field that has a default may be missing.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import re
import types
import typing
import zipfile
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from single_rs.base.errors import DataFileError
from single_rs.io.atomic import atomic, write_text

__all__ = ["decode", "encode", "read_arrays", "read_record", "write_arrays", "write_record"]

T = TypeVar("T")

SURROGATE = re.compile("[\ud800-\udfff]")  # how Python holds bytes of a name that are not UTF-8


def encode(record: Any, digits: int | None = None) -> dict[str, Any]:
    """Return the plain content of a dataclass: nested dictionaries, lists, numbers, texts and null.

    Parameters
    ----------
    record
        A dataclass.
    digits
        Decimals that numbers are rounded to; all of them when not given.
    """
    content: dict[str, Any] = _finite(msgspec.to_builtins(record, enc_hook=_plain), digits)
    return content


def decode(content: Any, kind: type[T], source: str) -> T:
    """Return the dataclass that plain content describes; `source` names it in the error."""
    try:
        return msgspec.convert(_with_nan(content, kind), kind, dec_hook=_array)
    except (msgspec.ValidationError, TypeError, ValueError, OverflowError) as error:
        raise DataFileError(f"{source} is not a {kind.__name__} of this version: {error}; make it anew") from None


def write_record(path: str | os.PathLike[str], record: Any, digits: int | None = None) -> None:
    """Write a dataclass as JSON, whole or not at all.

    Parameters
    ----------
    path
        File; replaced if it exists.
    record
        A dataclass; its class may have a ``SCHEMA`` version, 1 when not given.
    digits
        Decimals that numbers are rounded to; all of them when not given.

    Raises
    ------
    DataFileError
        When the file cannot be written.
    """
    content = {"type": type(record).__name__, "schema": _schema(type(record)), **encode(record, digits)}
    text = _indented(content, 0, ensure_ascii=False)
    if SURROGATE.search(text):
        text = _indented(content, 0, ensure_ascii=True)  # escaped, the name of a file comes back as it was
    write_text(path, text + "\n")


def read_record(path: str | os.PathLike[str], kind: type[T]) -> T:
    """Read a dataclass back from its JSON.

    Parameters
    ----------
    path
        File.
    kind
        Its class.

    Raises
    ------
    DataFileError
        When it is missing, not JSON, of another class or of another version.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataFileError(f"{path} cannot be read: {error}; make it anew") from None
    if not isinstance(content, dict):
        raise DataFileError(f"{path} holds a {type(content).__name__}; a JSON object is needed")
    name, schema = content.pop("type", None), content.pop("schema", None)
    if name != kind.__name__ or schema != _schema(kind):
        raise DataFileError(
            f"{path} is a {name or 'file without type'} of schema {schema}; "
            f"{kind.__name__} of schema {_schema(kind)} is needed: make it anew"
        )
    return decode(content, kind, str(path))


def write_arrays(path: str | os.PathLike[str], record: Any) -> None:
    """Write a dataclass of arrays, numbers and texts as NPZ with all their bits; fields that are ``None`` are left out.

    Parameters
    ----------
    path
        File; replaced if it exists.
    record
        A dataclass.
    """
    fields = {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if f.init}
    with atomic(path) as partial, open(partial, "wb") as file:
        np.savez(file, allow_pickle=False, **{k: np.asarray(v) for k, v in fields.items() if v is not None})


def read_arrays(path: str | os.PathLike[str], kind: type[T]) -> T:
    """Read a dataclass of arrays back from its NPZ.

    Parameters
    ----------
    path
        File.
    kind
        Its class.

    Raises
    ------
    DataFileError
        When it is missing, no NPZ, or does not hold the fields of the class.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            values = {name: arrays[name] if arrays[name].ndim else arrays[name].item() for name in arrays.files}
        return kind(**values)
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataFileError(f"{path} cannot be read: {error}; make it anew") from None


def _indented(value: Any, depth: int, ensure_ascii: bool) -> str:
    """Return JSON, a line for each entry, but a list of numbers on one: the encoder in C takes no such format."""
    if isinstance(value, dict) and value:
        rows = [
            f"{json.dumps(str(key), ensure_ascii=ensure_ascii)}: {_indented(v, depth + 1, ensure_ascii)}"
            for key, v in value.items()
        ]
        ends = "{}"
    elif isinstance(value, list) and value and any(isinstance(v, (dict, list, str)) for v in value):
        rows = [_indented(v, depth + 1, ensure_ascii) for v in value]
        ends = "[]"
    else:
        return json.dumps(value, ensure_ascii=ensure_ascii, allow_nan=False)
    space = "\n" + " " * (depth + 1)
    return f"{ends[0]}{space}{f',{space}'.join(rows)}{space[:-1]}{ends[1]}"


def _schema(kind: type[Any]) -> int:
    return int(getattr(kind, "SCHEMA", 1))


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} has no place in a record")


def _array(kind: Any, value: Any) -> Any:
    if getattr(kind, "__origin__", kind) is not np.ndarray:
        raise TypeError(f"{kind} has no place in a record")
    of = [one for alias in getattr(kind, "__args__", ()) for one in getattr(alias, "__args__", ())]
    # Null is NaN where numbers are wanted; the shape is that of the lists.
    return np.array(value, of[-1] if of and isinstance(of[-1], type) else None)


def _with_nan(value: Any, kind: Any) -> Any:
    """Return plain content with NaN for null where a class wants a number and nothing else."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if value is None:
        return math.nan if kind is float else None
    if origin in (types.UnionType, typing.Union):
        kinds = [one for one in inside if one is not types.NoneType]
        return _with_nan(value, kinds[0]) if len(kinds) == 1 else value
    if isinstance(value, dict):
        if origin is dict:
            return {key: _with_nan(v, inside[1]) for key, v in value.items()}
        hints = _hints(kind) if isinstance(kind, type) and dataclasses.is_dataclass(kind) else {}
        return {key: _with_nan(v, hints.get(key)) for key, v in value.items()}
    if isinstance(value, list) and origin in (tuple, list):
        fixed = origin is tuple and Ellipsis not in inside and len(inside) == len(value)
        return [_with_nan(v, inside[k] if fixed else inside[0]) for k, v in enumerate(value)]
    return value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _finite(value: Any, digits: int | None) -> Any:
    """Return nested content rounded, and with null in the place of NaN and infinities."""
    if isinstance(value, dict):
        return {key: _finite(v, digits) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        # Most lists are long columns of numbers.
        plain = digits is None and set(map(type, value)) == {float} and all(map(math.isfinite, value))
        return list(value) if plain else [_finite(v, digits) for v in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return value if digits is None else round(value, digits) + 0.0  # 0.0 turns -0.0 into 0.0
