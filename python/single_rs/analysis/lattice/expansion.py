"""How far a fitted cell is from that of the bulk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from single_rs.analysis.lattice.fit import Lattice

__all__ = ["Expansion", "expansion"]


@dataclass(frozen=True)
class Expansion:
    """Relative change of a cell against the bulk, fractions.

    Attributes
    ----------
    a, b, c
        Of the lengths.
    a_err, b_err, c_err
        Their standard errors, of the fit.
    mean, mean_err
        Of the cube root of the volume, and its standard error.
    reference_err
        Uncertainty of the bulk constants themselves (±0.005 Å, 0.1%), the same for all particles of the element.
    """

    a: float
    a_err: float | None
    b: float
    b_err: float | None
    c: float
    c_err: float | None
    mean: float
    mean_err: float | None
    reference_err: float


def expansion(lattice: Lattice) -> Expansion | None:
    """Relative change of a, b, c and of the mean length (cube root of the volume) against the bulk, with errors.

    None when the element is unknown or its bulk has another structure.
    """
    if lattice.bulk is None:
        return None
    cell, p = lattice.bulk.cell(), lattice.parameters
    ratio = p.volume / float(np.linalg.det(cell))
    out: list[float] = []
    for name, bulk in zip("abc", np.linalg.norm(cell, axis=1).tolist(), strict=True):
        out += [getattr(p, name) / bulk - 1, getattr(p, f"{name}_err") / bulk]
    out += [ratio ** (1 / 3) - 1, ratio ** (1 / 3) * p.volume_err / p.volume / 3, lattice.bulk.error / lattice.bulk.a]
    return Expansion(*(round(v, 7) for v in out))
