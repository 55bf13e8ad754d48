"""The lattice constants that the powder pattern and the mean bond yield, beside the fitted one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from single_rs.analysis.distances.powder_fit import PowderLattice, powder_lattice
from single_rs.analysis.distances.rows import bond_constant
from single_rs.analysis.lattice import Lattice
from single_rs.base.errors import ConvergenceError, InputError
from single_rs.crystal.neighbours import doubtful_sigma
from single_rs.records import Atoms

__all__ = ["BondConstant", "PowderSummary", "bond_summary", "known_sigma", "powder_of", "powder_summary"]


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


@dataclass(frozen=True)
class PowderSummary:
    """What the powder pattern says of the lattice.

    Attributes
    ----------
    a, a_err, c, c_err
        Å, lattice constants from the peaks as they are; c of hexagonal structures, else equal to a.
    finite_size_shift, finite_size_shift_c
        Fractions by which the finite size shifts a and c.
    a_corrected, c_corrected
        Å, without that shift.
    size
        Å, diameter that the width of the peaks corresponds to.
    strain_spread
        Spread of strain that the growth of the width with q corresponds to, fraction.
    """

    a: float
    a_err: float | None
    c: float
    c_err: float | None
    finite_size_shift: float | None
    finite_size_shift_c: float | None
    a_corrected: float | None
    c_corrected: float | None
    size: float | None
    strain_spread: float | None


@dataclass(frozen=True)
class BondConstant:
    """The lattice constant that the mean bond yields.

    Attributes
    ----------
    a, a_err
        Å, and its standard error.
    bonds
        Number of bonds.
    """

    a: float
    a_err: float | None
    bonds: int


def powder_summary(powder: PowderLattice) -> PowderSummary:
    """Numbers for lattice.json and summary.json.

    Parameters
    ----------
    powder
        Result of `powder_lattice`.
    """
    p = powder
    size_shifts = (p.shift, p.shift_c, p.corrected, p.corrected_c)
    numbers = (p.a, p.a_err, p.c, p.c_err, *size_shifts, p.size, p.strain)
    return PowderSummary(*(round(float(v), 6) for v in numbers))


def bond_summary(atoms: Atoms, lattice: Lattice) -> BondConstant:
    """Lattice constant that the mean bond yields, for lattice.json.

    Parameters
    ----------
    atoms, lattice
        The particle and its fitted lattice.
    """
    a, a_err, bonds = bond_constant(atoms.positions, lattice, known_sigma(atoms))
    return BondConstant(round(a, 6), round(a_err, 6), len(bonds))
