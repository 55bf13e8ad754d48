"""lattice.json, the best-fit lattice of a particle (see `LatticeRecord`), and the cells of many as CSV."""

from __future__ import annotations

import csv
import os

import numpy as np

from single_rs.analysis.distances.powder_fit import PowderLattice
from single_rs.analysis.distances.summary import BondConstant
from single_rs.analysis.lattice import CellAgainstSize, Lattice
from single_rs.analysis.lattice_record import LatticeRecord, lattice_record
from single_rs.io.atomic import atomic_text
from single_rs.store.codecs import read_record, write_record

__all__ = ["read_lattice", "write_cell_against_size", "write_lattice"]

DIGITS = 8  # 1e-8 Å is a millionth of an error


def write_lattice(
    path: str | os.PathLike[str],
    lattice: Lattice,
    powder: PowderLattice | None = None,
    bond: BondConstant | None = None,
) -> None:
    """Write lattice.json, whole or not at all.

    Parameters
    ----------
    path
        File; replaced if it exists.
    lattice
        Result of `fit_lattice`; lengths in Å, angles in degrees.
    powder, bond
        What distances say of the lattice constant; `read_lattice` passes over them.
    """
    write_record(path, lattice_record(lattice, powder, bond), DIGITS)


def read_lattice(path: str | os.PathLike[str]) -> Lattice:
    """Read the lattice in a lattice.json.

    Parameters
    ----------
    path
        File.

    Raises
    ------
    DataFileError
        If the file is missing or not what `write_lattice` writes.
    """
    return read_record(path, LatticeRecord).lattice


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
