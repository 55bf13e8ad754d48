"""The modulation transfer of a detector, as programs and makers give it: a STAR file as RELION's, or two columns.

Both hold frequencies in 1/px, from 0 to 0.5, which is Nyquist, and the transfer there: in a STAR file the columns
rlnResolutionInversePixel and rlnMtfValue of any block, in a text file two numbers a line, apart by blanks or a comma,
with lines of words or ``#`` left out.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.star_table import column, read_star

__all__ = ["read_mtf"]

STAR_COLUMNS = ("rlnResolutionInversePixel", "rlnMtfValue")
NYQUIST = 0.5  # 1/px
REACHED = 0.45  # 1/px: what is beyond the last frequency is that at it
STEPS = 64  # from 0 to Nyquist, that a curve is read at
LARGEST_FILE = 1 << 20  # bytes
NEEDED = "frequencies in 1/px that rise from 0 to 0.5, and the transfer there"


def read_mtf(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Return the modulation transfer (65,) at even steps from 0 to Nyquist.

    Raises
    ------
    DataFileError
        No such file, or no such table.
    InputError
        Frequencies that do not rise from 0 to Nyquist.
    """
    frequency, transfer = _star(path) if Path(path).suffix.lower() == ".star" else _columns(path)
    if len(frequency) < 2 or (np.diff(frequency) <= 0).any() or frequency[0] < 0:
        raise InputError(f"{path} has {len(frequency)} frequencies that do not rise; needed are {NEEDED}")
    if not REACHED <= frequency[-1] <= NYQUIST + 1e-3:
        raise InputError(
            f"{path} has frequencies up to {frequency[-1]:g}; needed are {NEEDED} "
            "(fractions of Nyquist are to be halved)"
        )
    return np.interp(np.linspace(0, NYQUIST, STEPS + 1), frequency, transfer)


def _star(path: str | os.PathLike[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    blocks = read_star(path)
    for table in blocks.values():
        if all(name in table for name in STAR_COLUMNS):
            frequency, transfer = (column(path, table, name) for name in STAR_COLUMNS)
            return frequency, transfer
    raise DataFileError(f"{path} has no block with the columns {' and '.join(STAR_COLUMNS)}")


def _columns(path: str | os.PathLike[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST_FILE + 1)
        if len(text) > LARGEST_FILE:
            raise ValueError(f"it has more than {LARGEST_FILE:,} bytes")
        lines = text.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DataFileError(f"cannot read the modulation transfer {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise DataFileError(f"{path} is no table of a modulation transfer: {error}") from None
    rows: list[tuple[float, float]] = []
    for number, line in enumerate(lines, start=1):
        words = line.split("#")[0].replace(",", " ").replace(";", " ").split()
        try:
            values = [float(word) for word in words]
        except ValueError:
            if rows:
                raise DataFileError(f"{path}, line {number}: {line.strip()[:80]!r}; two numbers are needed") from None
            continue  # a title
        if not values:
            continue
        if len(values) != 2 or not np.isfinite(values).all():
            raise DataFileError(f"{path}, line {number}: {line.strip()[:80]!r}; two numbers are needed")
        rows.append((values[0], values[1]))
    table = np.array(rows).reshape(-1, 2)
    return table[:, 0], table[:, 1]
