"""Tables of distances, powder patterns and cells as CSV, whole or not at all."""

from __future__ import annotations

import csv
import os

import numpy as np

from single_rs.analysis.distances import PairDistribution, PowderLattice, PowderPattern, RowDistances
from single_rs.analysis.lattice import CellAgainstSize
from single_rs.io import atomic_text

_ROWS = 20_000  # of a table turned into text at once

__all__ = ["write_cell_against_size", "write_pair_distribution", "write_powder_pattern", "write_row_distances"]


def write_pair_distribution(path: str | os.PathLike[str], result: PairDistribution) -> None:
    """Write the functions as CSV, whole or not at all.

    Parameters
    ----------
    path
        File; replaced if it exists.
    result
        Result of `pair_distribution`: r in Å, R in 1/Å, g without unit, G in 1/Å².
    """
    names = ("r", "rdf", "rdf_err", "g", "g_err", "reduced", "reduced_err")
    with atomic_text(path) as file:
        file.write(f"# density: {result.density:.6f} atoms/Å³; diameter: {result.diameter:.3f} Å; ")
        file.write(f"width: {result.width} Å; atoms: {result.count}\n")
        table = csv.writer(file, lineterminator="\n")
        table.writerow(names)
        for row in zip(*(getattr(result, n) for n in names)):
            table.writerow([f"{v:.6g}" for v in row])


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
        table.writerow(["q", "intensity", "structure"])
        for row in zip(pattern.q, pattern.intensity, pattern.structure):
            table.writerow([f"{v:.7g}" for v in row])


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
        table.writerow(["family", "u", "v", "w", "i", "j", "radius", "distance", "distance_err", "reference"])
        columns = (rows.family, *rows.direction.T, rows.i, rows.j, rows.radius, rows.distance, rows.distance_err)
        for k in range(0, len(rows.i), _ROWS):
            part = [c[k : k + _ROWS].tolist() for c in (*columns, rows.reference)]
            file.writelines(map("{},{},{},{},{},{},{:.6f},{:.6f},{:.6f},{:.6f}\n".format, *part))


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
