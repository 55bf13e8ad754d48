"""Errors of a cell from how its regions differ: real strain fields are smooth, so residuals of neighbours are alike.

The covariance of the fit (`affine`) takes the residuals of different atoms as independent. With a strain that varies
over the particle they are not, and the cell of another piece of the same material differs by far more than that:
octants of particles of 8,000 to 23,000 atoms by 10 to 65 times. So the atoms are parted into the eight octants about
their centre, each is fitted alone, and the variance between octants beyond what their own errors explain,

    E = cov_k(cell_k) − ⟨C_k⟩,    cov(cell) = C + E / 8    where    R = ⟨var_k(cell_k) / ⟨C_k⟩⟩ > 2,

is added to the covariance C, eigenvalues below 0 set to 0. R, the mean over the nine entries of the cell, is 1.0 ± 0.3
with independent noise, and nothing is added, so that small particles keep the errors of the fit. The mean strain of a
known field is better known than this: the errors of the fit are kept as `Lattice.independent`. Strain that varies over
lengths near the diameter moves all octants alike, and is not seen: with fields of 8 Å in particles of 2,000 atoms the
true error is 1.5 times the stated one (12 times that of the fit), with 15 Å 3.5 times (24).

Reference: errors of correlated data by blocks: H. Flyvbjerg and H. G. Petersen, J. Chem. Phys. 91, 461 (1989),
doi:10.1063/1.457480.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.lattice.affine import AffineFit, fit_affine
from single_rs.analysis.lattice.domains import Member
from single_rs.base.errors import ConvergenceError
from single_rs.crystal.prototypes import Prototype, crystal_axes

__all__ = ["with_block_errors"]

# Fewer atoms do not determine the 12 parameters of an octant and their errors.
_LEAST_ATOMS = 20
# Octants of a plate are flat; fewer than six say too little of a covariance.
_LEAST_BLOCKS = 6
_EXCESS = 2.0


def with_block_errors(
    member: Member, kind: Prototype, x: NDArray[np.float64], sigma: NDArray[np.float64] | None
) -> Member:
    """Return a domain whose covariance holds what its octants differ by; as it was where they do not.

    Parameters
    ----------
    member, kind
        The domain, and its prototype.
    x, sigma
        (n, 3) Å and (n,) Å per axis, of all atoms.
    """
    known = np.flatnonzero(member.indexed)
    if not member.affine or len(known) < 8 * _LEAST_ATOMS:
        return member
    ray = (x[known] - x[known].mean(axis=0)) @ crystal_axes(member.fit.cell, kind.name).T
    octant = (ray > 0) @ np.array([4, 2, 1])
    fits: list[AffineFit] = []
    for k in range(8):
        mine = known[octant == k]
        if len(mine) < _LEAST_ATOMS:
            continue
        try:
            fits.append(fit_affine(member.sites[mine], x[mine], None if sigma is None else sigma[mine]))
        except ConvergenceError:  # a flat octant has no cell
            continue
    if len(fits) < _LEAST_BLOCKS:
        return member
    cells = np.array([f.cell.ravel() for f in fits])
    own = np.array([f.covariance[3:, 3:] for f in fits])
    stated = np.maximum(np.einsum("kii->ki", own).mean(axis=0), 1e-12)
    if np.mean(cells.var(axis=0, ddof=1) / stated) < _EXCESS:
        return member
    values, vectors = np.linalg.eigh(np.cov(cells.T) - own.mean(axis=0))
    excess = (vectors * np.clip(values, 0, None)) @ vectors.T / len(fits)
    covariance = member.fit.covariance.copy()
    covariance[3:, 3:] += excess
    return dataclasses.replace(member, fit=dataclasses.replace(member.fit, covariance=covariance))
