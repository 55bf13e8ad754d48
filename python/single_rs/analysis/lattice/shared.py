"""Errors of a cell from what the atoms of a particle share.

Where all views lie within a cone the frames hardly tell a stretch along it, and the error of that stretch is one for
all atoms (`Atoms.modes`): no scatter about the fit shows it. The cell is fitted anew to the atoms displaced by each
shared error u_m, and with θ(x) the fit

    cov(θ) = C + Σ_m δθ_m δθ_mᵀ,    δθ_m = θ(x + u_m) − θ(x).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.lattice.affine import fit_affine
from single_rs.analysis.lattice.domains import Member

__all__ = ["with_shared_errors"]


def with_shared_errors(
    member: Member, x: NDArray[np.float64], sigma: NDArray[np.float64] | None, modes: NDArray[np.float64] | None
) -> Member:
    """Return a domain whose covariance holds the errors that its atoms share.

    Parameters
    ----------
    member
        The domain; one too thin for a cell of its own stays as it is.
    x, sigma
        (n, 3) Å and (n,) Å per axis, of all atoms.
    modes
        (m, n, 3) Å from the refinement; None without.
    """
    if modes is None or not len(modes) or not member.affine:
        return member
    known = np.flatnonzero(member.indexed)
    sites, weights = member.sites[known], None if sigma is None else sigma[known]

    def fitted(positions: NDArray[np.float64]) -> NDArray[np.float64]:
        fit = fit_affine(sites, positions[known], weights)
        return np.concatenate([fit.origin, fit.cell.ravel()])

    start = fitted(x)
    change = np.array([fitted(x + mode) - start for mode in modes])
    covariance = member.fit.covariance + change.T @ change
    return dataclasses.replace(member, fit=dataclasses.replace(member.fit, covariance=covariance))
