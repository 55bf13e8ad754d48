"""E_bulk of an element with a calculator: the energy per atom of its crystal where the energy is least.

The crystal has the structure of experiment (`single_rs.dft.bulk_cell`); its lattice constant, and c/a where it is not
cubic, are those of the calculator, so that strain of a particle costs energy and nothing else does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from single_rs.base.errors import ConvergenceError, InputError
from single_rs.energy.calculators import Factory
from single_rs.export.dft import bulk_cell

__all__ = ["bulk_energy"]

# A calculator whose lattice constant is further from experiment than this does not describe the element.
_REACH = 0.1
_TOLERANCE = 1e-4  # relative, of the lattice constant: 1e-6 eV in E at the curvature of Pt (195 eV per unit strain²)


def bulk_energy(element: str, factory: Factory) -> tuple[float, float]:
    """Return E_bulk (eV per atom) and the ratio of the calculator's lattice constant a to that of experiment.

    Parameters
    ----------
    element
        Chemical symbol.
    factory
        Gives the calculator for a structure.

    Raises
    ------
    InputError
        The element has no simple crystal: its reference energy has to be given.
    ConvergenceError
        The energy is least at the edge of the search.
    """
    from scipy.optimize import minimize, minimize_scalar

    start = bulk_cell(element, spin=False)
    if start is None:
        raise InputError(f"the bulk of {element} is no simple crystal; give its energy in eV per atom (bulk)")

    def energy(scale: float, ratio: float = 1.0) -> float:
        cell = start.copy()
        cell.set_cell(start.cell.array * (scale * np.array([1.0, 1.0, ratio])), scale_atoms=True)
        cell.calc = factory(cell)
        return float(cell.get_potential_energy()) / len(cell)

    found: Any = minimize_scalar(
        energy, bounds=(1 - _REACH, 1 + _REACH), method="bounded", options={"xatol": _TOLERANCE}
    )
    scale, least = float(found.x), float(found.fun)
    lengths = start.cell.lengths()
    if np.ptp(lengths) > 1e-6 * lengths.max():
        # Not cubic: a and c are free.
        begin = np.array([[scale, 1.0], [scale * 1.01, 1.0], [scale, 1.01]])
        found = minimize(
            lambda p: energy(p[0], p[1]),
            begin[0],
            method="Nelder-Mead",
            options={"initial_simplex": begin, "xatol": _TOLERANCE, "fatol": 1e-7},
        )
        scale, least = float(found.x[0]), float(found.fun)
    if not abs(scale - 1) < _REACH - 2 * _TOLERANCE or not np.isfinite(least):
        raise ConvergenceError(
            f"the bulk of {element} has its least energy at {scale:.3f} of the measured lattice constant; "
            f"this calculator does not describe it (within {1 - _REACH:.1f} to {1 + _REACH:.1f} is needed)"
        )
    return least, scale
