"""The lattice constants that the powder pattern and the mean bond yield, beside the fitted one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from single_rs.analysis.distances.powder_fit import PowderLattice, powder_lattice
from single_rs.analysis.distances.rows import bond_constant
from single_rs.analysis.lattice import Lattice
from single_rs.base.errors import ConvergenceError, InputError
from single_rs.crystal.neighbours import doubtful_sigma
from single_rs.records import Atoms

__all__ = ["distance_summary", "known_sigma", "powder_of", "powder_summary"]


def known_sigma(atoms: Atoms) -> np.ndarray | None:
    """Standard errors (n,) in Å per axis, None unless they are known of all atoms and the positions allow them."""
    sigma = np.asarray(atoms.sigma, dtype=np.float64)
    if len(sigma) < 2 or not (np.all(np.isfinite(sigma)) and np.all(sigma > 0)):
        return None
    return None if doubtful_sigma(atoms.positions, sigma) else sigma


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


def distance_summary(atoms: Atoms, lattice: Lattice, powder: PowderLattice | None) -> dict[str, Any]:
    """Lattice constants that the powder pattern and the mean bond yield, for lattice.json.

    Parameters
    ----------
    atoms, lattice
        The particle and its fitted lattice.
    powder
        Result of `powder_lattice`, None where there is none.
    """
    a, a_err, bonds = bond_constant(atoms.positions, lattice, known_sigma(atoms))
    bond = {"a": round(a, 6), "a_err": round(a_err, 6) if math.isfinite(a_err) else None, "bonds": len(bonds)}
    return {"powder": None if powder is None else powder_summary(powder), "bond": bond}
