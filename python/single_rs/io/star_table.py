"""STAR files as tables: block name → column name → words, read and written as RELION does.

Reference: Hall 1991, doi:10.1021/ci00002a020 (STAR); gemmi parses and prints.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.atomic import write_text

__all__ = ["Column", "block", "column", "integers", "read_star", "write_star"]

Column = Sequence[Any] | NDArray[Any]
VERSION_LINE = "# version 30001"  # tells RELION that the file has optics groups (3.1 and later)


def _text(values: Column) -> list[str]:
    """Return values as STAR words; twelve digits give back angles to 1e-11 rad."""
    out = []
    for v in values:
        if isinstance(v, str):
            out.append(v)
        elif isinstance(v, (float, np.floating)):
            out.append(f"{v:.12g}")
        else:
            out.append(str(int(v)))
    return out


def write_star(path: str | os.PathLike[str], blocks: Mapping[str, Mapping[str, Column]]) -> None:
    """Write loops, one per block, with the version line before each, LF line ends."""
    from gemmi import cif

    document = cif.Document()
    for name, columns in blocks.items():
        loop = document.add_new_block(name).init_loop("_", list(columns))
        texts = [[cif.quote(word) for word in _text(values)] for values in columns.values()]
        if texts[0]:
            loop.set_all_values(texts)
        else:
            # gemmi does not print a loop without rows; one row of "." says the same and is dropped on reading.
            loop.add_row(["."] * len(columns))
    text = "\n".join(
        f"{VERSION_LINE}\n\n{line}" if line.startswith("data_") else line for line in document.as_string().splitlines()
    )
    write_text(path, text + "\n")


def read_star(path: str | os.PathLike[str]) -> dict[str, dict[str, list[str]]]:
    """Return all loops and pairs of a STAR file: block name → column name → words."""
    from gemmi import cif

    if not Path(path).is_file():
        raise DataFileError(f"{path} {'is no file' if Path(path).exists() else 'does not exist'}")
    try:
        # Editors on Windows put a byte order mark before the first word.
        document = cif.read_string(Path(path).read_text(encoding="utf-8-sig"))
    except (ValueError, RuntimeError, OSError) as error:
        raise DataFileError(f"{path} is not a STAR file: {' '.join(str(error).split())}") from None
    blocks: dict[str, dict[str, list[str]]] = {}
    for part in document:
        # gemmi calls a block without a name " ".
        table = blocks.setdefault(part.name.strip(), {})
        for item in part:
            pair: Any = item.pair  # typed as object in gemmi's stubs; it is (tag, value)
            if pair is not None:
                table[pair[0].lstrip("_")] = [cif.as_string(pair[1])]
            elif item.loop is not None:
                for tag in item.loop.tags:
                    words = [cif.as_string(word) for word in part.find_loop(tag)]
                    # as_string turns the word "." of an empty loop into "".
                    table[tag.lstrip("_")] = [] if words == [""] else words
    return blocks


def block(path: str | os.PathLike[str], blocks: Mapping[str, dict[str, list[str]]], name: str) -> dict[str, list[str]]:
    """Return one block or say which ones there are."""
    if name not in blocks:
        raise DataFileError(f"{path} has no data_{name}; it has {', '.join(f'data_{b}' for b in blocks) or 'nothing'}")
    return blocks[name]


def column(
    path: str | os.PathLike[str],
    table: Mapping[str, list[str]],
    name: str,
    default: NDArray[Any] | None = None,
) -> NDArray[np.float64]:
    """Return one column as finite numbers; `default` when it is absent, an error when there is none."""
    if name not in table:
        if default is None:
            raise DataFileError(f"{path} has no column {name}")
        return np.asarray(default, np.float64)
    try:
        values = np.array([float(w) for w in table[name]])
    except ValueError as error:
        raise InputError(f"{path}, column {name}: {error}") from None
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(f"{path}, column {name}, row {row + 1}: {table[name][row]}; a finite number is needed")
    lengths = {len(words) for words in table.values()}
    if len(lengths) > 1:
        raise DataFileError(f"{path}: columns of {min(lengths)} and {max(lengths)} rows in one block")
    return values


def integers(
    path: str | os.PathLike[str],
    table: Mapping[str, list[str]],
    name: str,
    default: NDArray[Any] | None = None,
    most: int = 2**53,
) -> NDArray[np.int64]:
    """Return one column as whole numbers from 0 to `most`; see `column`."""
    values = column(path, table, name, default)
    wrong = (values != np.rint(values)) | (values < 0) | (values > most)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{path}, column {name}, row {row + 1}: {values[row]:.12g}; a whole number from 0 to {most} is needed"
        )
    return values.astype(np.int64)
