"""One writer and one reader for every dataclass that stands in a file: JSON for records, NPZ for arrays.

Both are derived from the fields of the class, so that a field is named once. A JSON file begins with the name of its
class and the version of its schema, ``"type"`` and ``"schema"``; a file of another version is refused. What was not
measured is null, and so are NaN and infinities, which JSON has not.
"""

from __future__ import annotations

import dataclasses
import math
import os
import zipfile
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from single_rs.base.errors import DataFileError
from single_rs.io.atomic import atomic, write_text

__all__ = ["decode", "encode", "read_arrays", "read_record", "write_arrays", "write_record"]

T = TypeVar("T")


def encode(record: Any) -> dict[str, Any]:
    """Return the plain content of a dataclass: nested dictionaries, lists, numbers, texts and null."""
    content: dict[str, Any] = _finite(msgspec.to_builtins(record, enc_hook=_plain))
    return content


def decode(content: Any, kind: type[T], source: str) -> T:
    """Return the dataclass that plain content describes; `source` names it in the error."""
    try:
        return msgspec.convert(content, kind, dec_hook=_array)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise DataFileError(f"{source} is not a {kind.__name__} of this version: {error}; make it anew") from None


def write_record(path: str | os.PathLike[str], record: Any) -> None:
    """Write a dataclass as JSON, whole or not at all.

    Parameters
    ----------
    path
        File; replaced if it exists.
    record
        A dataclass; its class may have a ``SCHEMA`` version, 1 when not given.

    Raises
    ------
    DataFileError
        When the file cannot be written.
    """
    head = {"type": type(record).__name__, "schema": _schema(type(record))}
    text = msgspec.json.format(msgspec.json.encode({**head, **encode(record)}), indent=1).decode()
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
        content = msgspec.json.decode(Path(path).read_bytes())
    except (OSError, msgspec.DecodeError, RecursionError) as error:
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


def _schema(kind: type[Any]) -> int:
    return int(getattr(kind, "SCHEMA", 1))


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} has no place in a record")


def _array(kind: Any, value: Any) -> Any:
    origin = getattr(kind, "__origin__", kind)
    if origin is not np.ndarray:
        raise TypeError(f"{kind} has no place in a record")
    return np.array(value, np.float64 if _has_null(value) else None)


def _has_null(value: Any) -> bool:
    return any(_has_null(v) for v in value) if isinstance(value, list) else value is None


def _finite(value: Any) -> Any:
    """Return nested content with null in the place of NaN and infinities."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
