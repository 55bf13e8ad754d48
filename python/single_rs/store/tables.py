"""One writer and one reader for every dataclass that stands in a CSV file.

Both are derived from the fields of the class and what `base.columns` notes of them, so that a column is named once.
RFC 4180 below comments that begin with #, UTF-8, LF line ends. A number that is not known is an empty cell, a field
that is ``None`` has no column, and columns that the class does not know are passed over.
"""

from __future__ import annotations

import csv
import math
import os
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from single_rs.base.columns import Column, Stated
from single_rs.base.errors import DataFileError, SingleError
from single_rs.io.atomic import atomic_text

__all__ = ["fields_of", "read_table", "text_cell", "write_table"]

T = TypeVar("T")

# What a spreadsheet takes for a formula; https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
CHUNK = 20_000  # rows turned into text at once


def fields_of(kind: type[Any]) -> Iterator[tuple[str, Column | Stated, type]]:
    """Give each field that stands in the file of a class: its name, its place, and the type of one value."""
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        for place in getattr(hint, "__metadata__", ()):
            if isinstance(place, (Column, Stated)):
                yield name, place, _scalar(hint.__origin__)


def write_table(path: str | os.PathLike[str], record: Any) -> None:
    """Write a dataclass of columns as CSV, whole or not at all.

    Parameters
    ----------
    path
        File; replaced if it exists.
    record
        A dataclass whose fields say where they stand (`base.columns`).

    Raises
    ------
    DataFileError
        When the file cannot be written.
    """
    head: list[str] = []
    columns: list[tuple[NDArray[Any], Column]] = []
    with atomic_text(path) as file:
        for name, place, _ in fields_of(type(record)):
            value = getattr(record, name)
            if value is None:
                continue
            if isinstance(place, Stated):
                file.write(f"# {name}: {value:{place.form}} {place.unit}".rstrip() + "\n")
                continue
            head += place.names_of(name)
            parts = np.asarray(value).reshape(len(value), len(place.names_of(name)))
            columns += [(part, place) for part in parts.T]
        table = csv.writer(file, lineterminator="\n")
        table.writerow(head)
        for start in range(0, len(columns[0][0]), CHUNK):
            texts = [_texts(part[start : start + CHUNK], place) for part, place in columns]
            table.writerows(zip(*texts, strict=True))


def read_table(path: str | os.PathLike[str], kind: type[T], **others: Any) -> T:
    """Read a dataclass of columns back.

    Parameters
    ----------
    path
        File.
    kind
        Its class.
    **others
        Fields that are not in the file.

    Raises
    ------
    DataFileError
        When it cannot be read, lacks a column, or has rows of several lengths.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        head, *rows = csv.reader(line for line in lines if line.strip() and not line.startswith("#"))
        parts = zip(*rows, strict=True) if rows else [()] * len(head)
        cells = {name.strip(): part for name, part in zip(head, parts, strict=True)}
    except (OSError, ValueError, csv.Error) as error:
        raise DataFileError(f"{path} cannot be read as a table: {error}") from None
    stated = {name: text.strip() for name, _, text in (line[2:].partition(":") for line in lines if line[:2] == "# ")}
    found: dict[str, Any] = {}
    try:
        for name, place, scalar in fields_of(kind):
            if isinstance(place, Stated):
                if name in stated:
                    found[name] = scalar(stated[name].removesuffix(f" {place.unit}"))
            elif place.names_of(name)[0] in cells:
                values = np.array([_values(cells[one], scalar) for one in place.names_of(name)])
                found[name] = np.ascontiguousarray(values.T).reshape(place.shape_of(len(rows)))
        return kind(**found, **others)
    except (KeyError, ValueError, TypeError, SingleError) as error:
        raise DataFileError(f"{path} is not a {kind.__name__} of this version: {error}; make it anew") from None


def text_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: one that would be gets an apostrophe before it.

    For names of folders, samples and the like; numbers are not texts, and may begin with a minus.
    """
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def _texts(values: NDArray[Any], place: Column) -> list[str]:
    if values.dtype.kind == "U":
        return [text_cell(text) for text in values.tolist()]
    if values.dtype.kind != "f":
        return [str(value) for value in values.astype(np.int64).tolist()]
    if place.decimals is not None:
        values = np.round(values, place.decimals) + 0.0  # 0.0 turns -0.0 into 0.0
    return [format(value, place.form) if math.isfinite(value) else "" for value in values.tolist()]


def _values(texts: typing.Sequence[str], scalar: type) -> NDArray[Any]:
    if issubclass(scalar, np.floating):
        return np.array([float(text) if text.strip() else np.nan for text in texts], scalar)
    if issubclass(scalar, np.str_):
        plain = (text[1:] if text[:1] == "'" and text_cell(text[1:]) == text else text for text in texts)
        return np.array(list(plain), np.str_)
    return np.array([int(text) for text in texts], np.int64).astype(scalar)


def _scalar(kind: Any) -> type:
    """Return the type of one value of a field: of an array that of its items, of an optional one that of the other."""
    for one in typing.get_args(kind):
        if typing.get_origin(one) is np.ndarray:
            return _scalar(one)
    if typing.get_origin(kind) is np.ndarray:
        scalar: type = typing.get_args(typing.get_args(kind)[1])[0]
        return scalar
    return kind if isinstance(kind, type) else next(one for one in typing.get_args(kind) if one is not type(None))
