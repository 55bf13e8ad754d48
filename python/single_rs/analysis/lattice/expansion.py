"""How far a fitted cell is from that of the bulk."""

from __future__ import annotations

import numpy as np

from single_rs.analysis.lattice.fit import Lattice

__all__ = ["expansion"]


def expansion(lattice: Lattice) -> dict[str, float] | None:
    """Relative change of a, b, c and of the mean length (cube root of the volume) against the bulk, with errors.

    Fractions, with standard errors of the fit (`*_err`); "reference_err" is the uncertainty of the bulk constants
    themselves (±0.005 Å, 0.1%), the same for all particles of the element. None when the element is unknown or its bulk
    has another structure.
    """
    if lattice.bulk is None:
        return None
    cell, p = lattice.bulk.cell(), lattice.parameters
    lengths = np.linalg.norm(cell, axis=1)
    ratio = p.volume / float(np.linalg.det(cell))
    out: dict[str, float] = {}
    for name, bulk in zip("abc", lengths, strict=True):
        out[name] = getattr(p, name) / float(bulk) - 1
        out[f"{name}_err"] = getattr(p, f"{name}_err") / float(bulk)
    out["mean"] = ratio ** (1 / 3) - 1
    out["mean_err"] = ratio ** (1 / 3) * p.volume_err / p.volume / 3
    out["reference_err"] = lattice.bulk.error / lattice.bulk.a
    return {k: round(v, 7) for k, v in out.items()}
