"""Distances, pair distribution and powder pattern of one particle as the analysis writes them.

Files: distances.csv (every pair along the rows of the lattice), pdf.csv (R, g and G), powder.csv (I and S of the Debye
equation for X-rays). The lattice constant of the powder pattern stands beside the fitted one, as measured and without
the shift of the finite size; without strain that varies, a of the peaks, of the bonds and of the fit agree.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from single_rs.atoms import Atoms
from single_rs.distances.pdf import pair_distribution, write_pair_distribution
from single_rs.distances.powder import powder_pattern, write_powder_pattern
from single_rs.distances.powder_fit import PowderLattice, powder_lattice
from single_rs.distances.rows import bond_constant, row_distances, write_row_distances
from single_rs.errors import ConvergenceError, InputError
from single_rs.lattice import Lattice

if TYPE_CHECKING:
    from single_rs.export import ParticleModel

__all__ = ["distance_summary", "known_sigma", "powder_of", "powder_summary", "write_distances"]


def known_sigma(atoms: Atoms) -> np.ndarray | None:
    """Standard errors (n,) in Å per axis, None unless they are known of all atoms."""
    sigma = np.asarray(atoms.sigma, dtype=np.float64)
    return sigma if np.all(np.isfinite(sigma)) and np.all(sigma > 0) else None


def powder_of(atoms: Atoms, lattice: Lattice) -> tuple[PowderLattice | None, tuple[str, ...]]:
    """Lattice constant of the powder pattern, or None and a note why there is none."""
    try:
        return powder_lattice(atoms.positions, lattice, atoms.symbols, known_sigma(atoms)), ()
    except (ConvergenceError, InputError) as error:
        return None, (f"no lattice constant from the powder pattern: {error}",)


def powder_summary(powder: PowderLattice) -> dict[str, Any]:
    """Numbers for lattice.json and summary.json: Å, shifts as fractions, None for errors that are not known.

    Parameters
    ----------
    powder
        Result of `powder_lattice`.
    """
    numbers = {
        "a": powder.a,
        "a_err": powder.a_err,
        "c": powder.c,
        "c_err": powder.c_err,
        "finite_size_shift": powder.shift,
        "finite_size_shift_c": powder.shift_c,
        "a_corrected": powder.corrected,
        "c_corrected": powder.corrected_c,
        "size": powder.size,
        "strain_spread": powder.strain,
    }
    return {k: round(float(v), 6) if math.isfinite(v) else None for k, v in numbers.items()}


def distance_summary(model: ParticleModel) -> dict[str, Any] | None:
    """Lattice constants that the powder pattern and the mean bond yield, for lattice.json; None without a lattice."""
    if model.lattice is None:
        return None
    a, a_err, bonds = bond_constant(model.atoms.positions, model.lattice, known_sigma(model.atoms))
    bond = {"a": round(a, 6), "a_err": round(a_err, 6) if math.isfinite(a_err) else None, "bonds": len(bonds)}
    return {"powder": None if model.powder is None else powder_summary(model.powder), "bond": bond}


def write_distances(folder: Path, model: ParticleModel) -> list[Path]:
    """Write distances.csv (with a lattice), pdf.csv and powder.csv into a folder; return the files.

    A powder pattern needs form factors, so atoms of unknown species have none.
    """
    x, sigma = model.atoms.positions, known_sigma(model.atoms)
    written = []
    if model.lattice is not None:
        written.append(folder / "distances.csv")
        write_row_distances(written[-1], row_distances(x, model.lattice, sigma))
    written.append(folder / "pdf.csv")
    write_pair_distribution(written[-1], pair_distribution(x, sigma, model.lattice))
    try:
        pattern = powder_pattern(x, model.atoms.symbols)
    except InputError:  # Noted by `powder_of` already.
        return written
    written.append(folder / "powder.csv")
    write_powder_pattern(written[-1], pattern, model.powder)
    return written
