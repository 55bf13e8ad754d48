"""Deformation gradient of each atom from its bonds alone, without smoothing: Falk and Langer's, as Shimizu uses it.

With d_ij = x_j − x_i the bonds of atom i and L_ij the bonds of the reference lattice that they are,

    F_i = argmin Σ_j |d_ij − F L_ij|² = (Σ_j d_ij L_ijᵀ) (Σ_j L_ij L_ijᵀ)⁻¹,      D²_i = Σ_j |d_ij − F_i L_ij|²,

F = R U, strain = U − I; D² (non-affine) is large where the neighbours do not move as one crystal, as in the core of a
dislocation. The bonds are those within the first shell (bcc: first two), each matched to the nearest bond of the
lattice of the atom's domain; those that miss it by more than 0.3 of their length are left out. No numbering of sites is
needed, so a dislocation is no obstacle, but there is no average either: with 3 pm in Pt the components of an atom
inside have an error of 0.5%, of one on the surface 0.9% (rms), two and four times those of the 2 Å kernel.

References: M. L. Falk and J. S. Langer, Phys. Rev. E 57, 7192 (1998), doi:10.1103/PhysRevE.57.7192;
F. Shimizu, S. Ogata and J. Li, Mater. Trans. 48, 2923 (2007), doi:10.2320/matertrans.MJ200769.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from single_rs.analysis.lattice import Lattice, check_atoms
from single_rs.analysis.strain.field import Strain, StrainConfig, assemble, reference_cells
from single_rs.analysis.strain.kernel import matched_bonds
from single_rs.base.tensors import position_covariance, slope_covariance

__all__ = ["Deformation", "bond_strain"]

# Least share of the second moment of the bonds in the flattest direction, of their mean one: the three bonds of a
# regular tetrahedron to one corner have 0.4, bonds in a plane 0.
_FLATTEST = 0.1
_LEAST_BONDS = 3


@dataclass(frozen=True)
class Deformation:
    """Deformation of each of n atoms from its bonds.

    Attributes
    ----------
    gradient
        (n, 3, 3) F, in the frame of the input positions: d = F L; NaN without three bonds that span space.
    nonaffine
        (n,) Å², D², the squares of what F leaves of the bonds; NaN as above.
    bonds
        (n,) number of bonds that fit the lattice.
    strain
        U − I of each atom with its errors, as that of the other methods.
    """

    gradient: NDArray[np.float64]
    nonaffine: NDArray[np.float64]
    bonds: NDArray[np.int64]
    strain: Strain


def bond_strain(
    positions: ArrayLike,
    lattice: Lattice,
    config: StrainConfig = StrainConfig(),  # noqa: B008 (frozen)
    sigma: ArrayLike | None = None,
    covariance: ArrayLike | None = None,
    modes: ArrayLike | None = None,
) -> Deformation:
    """Deformation gradient and strain of every atom from its bonds.

    Parameters
    ----------
    positions
        (n, 3) Å, the positions that `lattice` was fitted to.
    lattice
        Result of `fit_lattice`.
    config
        Reference and frame of the components; there is no kernel.
    sigma
        (n,) Å per axis, standard errors of the positions. None: what the scatter of the bonds about F says.
    covariance
        (n, 3, 3) Å², covariance of each position; it wins over `sigma`.
    modes
        (m, n, 3) Å, errors that the atoms share; `sigma` and `covariance` are then without them.

    Raises
    ------
    InputError
        If the numbers of atoms differ, or the bulk is asked for and not known.
    """
    x = check_atoms(positions, lattice)
    noise = position_covariance(len(x), sigma, covariance)
    count = len(x)
    moment, product = np.zeros((count, 3, 3)), np.zeros((count, 3, 3))
    found = []
    for k, cell in enumerate(reference_cells(lattice, config.reference)):
        of = np.flatnonzero((lattice.domain == k) | ((lattice.domain < 0) & (k == 0)))
        i, j, ideal, fits = matched_bonds(x, lattice, cell, of)
        i, j, ideal = i[fits], j[fits], ideal[fits]
        np.add.at(moment, i, ideal[:, :, None] * ideal[:, None])
        np.add.at(product, i, (x[j] - x[i])[:, :, None] * ideal[:, None])
        found.append((i, j, ideal))
    i, j = (np.concatenate([f[n] for f in found]) for n in (0, 1))
    ideal = np.concatenate([f[2] for f in found])
    bonds = np.bincount(i, minlength=count)
    flattest = np.linalg.eigvalsh(moment)[:, 0] / np.maximum(np.trace(moment, axis1=1, axis2=2) / 3, 1e-12)
    good = (bonds >= _LEAST_BONDS) & (flattest > _FLATTEST)
    inverse = np.zeros_like(moment)
    inverse[good] = np.linalg.inv(moment[good])
    gradient = np.where(good[:, None, None], product @ inverse, np.nan)

    arm = np.einsum("nij,nj->ni", inverse[i], ideal)
    total = np.zeros((count, 3))
    np.add.at(total, i, arm)
    everyone = np.arange(count)
    rows, columns = np.concatenate([i, everyone]), np.concatenate([j, everyone])
    values = np.concatenate([arm, -total])
    x_, y_, z_ = (sparse.csr_array((values[:, b], (rows, columns)), shape=(count, count)) for b in range(3))

    rest = np.sum((x[j] - x[i] - np.einsum("nij,nj->ni", gradient[i], ideal)) ** 2, axis=1)
    nonaffine = np.where(good, np.bincount(i, rest, minlength=count), np.nan)
    if noise is None:
        noise = np.broadcast_to(_variance(i, ideal, total, inverse, nonaffine, bonds) * np.eye(3), (count, 3, 3))
    strain = assemble(
        x,
        lattice,
        config,
        gradient - np.eye(3),
        slope_covariance((x_, y_, z_), noise),
        method="bonds",
        noise=noise,
        operator=(x_, y_, z_),
        modes=modes,
    )
    return Deformation(gradient, nonaffine, bonds, strain)


def _variance(
    i: NDArray[np.int64],
    ideal: NDArray[np.float64],
    total: NDArray[np.float64],
    inverse: NDArray[np.float64],
    nonaffine: NDArray[np.float64],
    bonds: NDArray[np.int64],
) -> float:
    """Variance of the positions per axis, Å², that the non-affine part tells.

    D² is |P (δ_j − δ_i)|² with P = 1 − L M⁻¹ Lᵀ of rank k − 3, so its expectation per axis and unit variance is
    k − 3 + 1ᵀP1 = 2 k − 3 − (Σ L)ᵀ M⁻¹ (Σ L). The mean over atoms with bonds to spare is taken, without those above
    four times the median, which are defects and not noise.
    """
    sums = np.zeros((len(bonds), 3))
    np.add.at(sums, i, ideal)
    freedom = 2 * bonds - 3 - np.einsum("ni,nij,nj->n", sums, inverse, sums)
    spare = np.isfinite(nonaffine) & (bonds > _LEAST_BONDS)
    if not spare.any():
        return np.nan
    each = nonaffine[spare] / (3 * freedom[spare])
    return float(each[each <= 4 * np.median(each)].mean())
