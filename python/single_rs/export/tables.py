"""Tables of distances, powder patterns and cells as CSV, whole or not at all; and read back."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.distances import PairDistribution, PowderLattice, PowderPattern, RowDistances
from single_rs.analysis.lattice import CellAgainstSize
from single_rs.base.errors import DataFileError
from single_rs.io import atomic_text
from single_rs.io.table import read_commented

__all__ = [
    "read_pair_distribution",
    "read_powder_pattern",
    "read_row_distances",
    "write_cell_against_size",
    "write_pair_distribution",
    "write_powder_pattern",
    "write_row_distances",
]

PAIRS = ("r", "rdf", "rdf_err", "g", "g_err", "reduced", "reduced_err")
PATTERN = ("q", "intensity", "structure")
ROWS = ("family", "u", "v", "w", "i", "j", "radius", "distance", "distance_err", "reference")
_CHUNK = 20_000  # rows of a table turned into text at once


def write_pair_distribution(path: str | os.PathLike[str], result: PairDistribution) -> None:
    """Write the functions as CSV, whole or not at all.

    Parameters
    ----------
    path
        File; replaced if it exists.
    result
        Result of `pair_distribution`: r in Å, R in 1/Å, g without unit, G in 1/Å².
    """
    with atomic_text(path) as file:
        file.write(f"# density: {result.density:.6f} atoms/Å³; diameter: {result.diameter:.3f} Å; ")
        file.write(f"width: {result.width} Å; atoms: {result.count}\n")
        table = csv.writer(file, lineterminator="\n")
        table.writerow(PAIRS)
        for row in zip(*(getattr(result, n) for n in PAIRS)):
            table.writerow([f"{v:.6g}" for v in row])


def read_pair_distribution(path: Path) -> PairDistribution:
    """Read the functions back; raise `DataFileError` where they are not what `write_pair_distribution` writes."""
    table = read_commented(path)
    with _named(path):
        stated = dict(re.findall(r"(\w+): ([\d.]+)", table.comment))
        values: dict[str, Any] = {name: table.numbers(name) for name in PAIRS}
        values |= {name: float(stated[name]) for name in ("density", "diameter", "width")}
        return PairDistribution(**values, count=int(stated["atoms"]))


def write_powder_pattern(
    path: str | os.PathLike[str], pattern: PowderPattern, lattice: PowderLattice | None = None
) -> None:
    """Write the pattern as CSV, whole or not at all.

    Parameters
    ----------
    path
        File; replaced if it exists.
    pattern
        Result of `powder_pattern`; q in 1/Å.
    lattice
        Lattice parameter that the pattern yields, written into the comment.
    """
    with atomic_text(path) as file:
        file.write(f"# Debye equation, {pattern.radiation}; q = 4π sin θ / λ in 1/Å\n")
        if lattice is not None:
            file.write(f"# a of the peaks: {lattice.a:.6f} +- {lattice.a_err:.6f} Å; without the shift of the finite ")
            file.write(f"size: {lattice.corrected:.6f} +- {lattice.a_err:.6f} Å\n")
        table = csv.writer(file, lineterminator="\n")
        table.writerow(PATTERN)
        for row in zip(pattern.q, pattern.intensity, pattern.structure):
            table.writerow([f"{v:.7g}" for v in row])


def read_powder_pattern(path: Path) -> PowderPattern:
    """Read a pattern back; raise `DataFileError` where it is not what `write_powder_pattern` writes."""
    table = read_commented(path)
    with _named(path):
        radiation = re.search(r"equation, (\w+)", table.comment)
        q, intensity, structure = (table.numbers(name) for name in PATTERN)
        return PowderPattern(q, intensity, structure, radiation[1] if radiation else "xray")


def write_row_distances(path: str | os.PathLike[str], rows: RowDistances) -> None:
    """Write all pairs as CSV, whole or not at all.

    Parameters
    ----------
    path
        File; replaced if it exists.
    rows
        Result of `row_distances`; atoms counted from 0, lengths in Å.
    """
    with atomic_text(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(ROWS)
        columns = (rows.family, *rows.direction.T, rows.i, rows.j, rows.radius, rows.distance, rows.distance_err)
        for k in range(0, len(rows.i), _CHUNK):
            part = [c[k : k + _CHUNK].tolist() for c in (*columns, rows.reference)]
            file.writelines(map("{},{},{},{},{},{},{:.6f},{:.6f},{:.6f},{:.6f}\n".format, *part))


def read_row_distances(
    path: Path, positions: NDArray[np.float64], sigma: NDArray[np.float64] | None = None
) -> RowDistances:
    """Read all pairs back.

    Parameters
    ----------
    path
        File.
    positions, sigma
        (n, 3) Å and (n,) Å per axis of the atoms, which are in a file of their own.

    Raises
    ------
    DataFileError
        Where it is not what `write_row_distances` writes.
    """
    table = read_commented(path)
    with _named(path):
        return RowDistances(
            i=table.integers("i"),
            j=table.integers("j"),
            family=np.array(table.columns["family"]),
            direction=np.column_stack([table.integers(name) for name in "uvw"]),
            **{name: table.numbers(name) for name in ("distance", "distance_err", "radius", "reference")},
            positions=positions,
            sigma=np.full(len(positions), np.nan) if sigma is None else sigma,
        )


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, ValueError) as error:
        raise DataFileError(f"{path} is not a table of this version: {error!r}; run `single-rs analyze`") from None


def write_cell_against_size(path: str | os.PathLike[str], result: CellAgainstSize) -> None:
    """Write the table as CSV (one row per particle, the fitted line in comments), whole or not at all.

    Parameters
    ----------
    path
        File; replaced if it exists.
    result
        Result of `cell_against_size`; Å, degrees, fractions.
    """
    with atomic_text(path) as file:
        file.write(f"# {result.quantity} = bulk + slope / diameter (Å, degrees, fractions)\n")
        file.write(f"# bulk: {result.bulk:.6f} +- {result.bulk_err:.6f}; scatter: {result.scatter:.6f}\n")
        file.write(f"# slope: {result.slope:.6f} +- {result.slope_err:.6f}; chi2: {result.chi2:.2f}\n")
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["diameter", "diameter_err", *result.table])
        columns = np.column_stack([result.diameter, result.diameter_err, *result.table.values()])
        table.writerows([[f"{v:.6f}" for v in row] for row in columns])
